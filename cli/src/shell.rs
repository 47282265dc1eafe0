//! What belongs to an installation: completions, manual pages, a systemd unit, and what this program is.

use anyhow::Context;
use clap::Command;
use clap_complete::Shell;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The unit as packages install it.
const UNIT: &str = include_str!("../../packaging/peek.service");
/// The program in it.
const INSTALLED: &str = "/usr/bin/peek";

/// Options of `peek completions`.
#[derive(Debug, clap::Args)]
pub struct CompletionsArguments {
    /// For which shell.
    #[arg(value_name = "SHELL", value_parser = ["bash", "zsh", "fish"])]
    shell: String,
}

/// Options of `peek man`.
#[derive(Debug, clap::Args)]
pub struct ManArguments {
    /// Command, as in `serve` or `fn deploy` [default: peek itself].
    command: Vec<String>,
    /// Write the pages of all commands into this directory instead.
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    out: Option<PathBuf>,
}

/// Options of `peek version`.
#[derive(Debug, clap::Args)]
pub struct VersionArguments {
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// Prints completions.
pub fn completions(
    arguments: &CompletionsArguments,
    mut root: Command,
) -> anyhow::Result<ExitCode> {
    let shell: Shell = arguments.shell.parse().map_err(anyhow::Error::msg)?;
    clap_complete::generate(shell, &mut root, "peek", &mut std::io::stdout());
    Ok(ExitCode::SUCCESS)
}

/// Prints a manual page, or writes all.
pub fn man(arguments: &ManArguments, root: &Command) -> anyhow::Result<ExitCode> {
    if let Some(folder) = &arguments.out {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        for (path, command) in crate::configuration::commands(root) {
            write_page(folder, &path, command)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let commands = crate::configuration::commands(root);
    let found = commands.iter().find(|(path, _)| *path == arguments.command);
    let (path, command) =
        found.with_context(|| format!("there is no command {:?}", arguments.command.join(" ")))?;
    let text = page(path, command)?;
    std::io::Write::write_all(&mut std::io::stdout(), &text).context("cannot print")?;
    Ok(ExitCode::SUCCESS)
}

fn write_page(folder: &Path, path: &[String], command: &Command) -> anyhow::Result<()> {
    let file = folder.join(format!("{}.1", page_name(path)));
    std::fs::write(&file, page(path, command)?)
        .with_context(|| format!("cannot write {}", file.display()))
}

fn page_name(path: &[String]) -> String {
    [&["peek".to_owned()], path].concat().join("-")
}

fn page(path: &[String], command: &Command) -> anyhow::Result<Vec<u8>> {
    let name = page_name(path);
    let command = command.clone().display_name(name.clone()).bin_name(name.replace('-', " "));
    let mut text = Vec::new();
    clap_mangen::Man::new(command)
        .title(name)
        .render(&mut text)
        .context("cannot write a manual page")?;
    Ok(text)
}

/// Prints the systemd unit, for this program where it stands.
pub fn unit() -> anyhow::Result<ExitCode> {
    let this = std::env::current_exe().context("cannot find this program's own file")?;
    print!("{}", UNIT.replace(INSTALLED, &this.to_string_lossy()));
    Ok(ExitCode::SUCCESS)
}

/// Prints what this program is.
pub fn version(arguments: &VersionArguments) -> ExitCode {
    let version = env!("CARGO_PKG_VERSION");
    let commit = option_env!("PEEK_COMMIT").filter(|commit| !commit.is_empty());
    if arguments.json {
        let library = if cfg!(target_env = "musl") { "musl" } else { "gnu" };
        let target =
            format!("{}-unknown-{}-{library}", std::env::consts::ARCH, std::env::consts::OS);
        let mut features = vec!["serve", "study", "aws", "tls"];
        features.extend(cfg!(target_feature = "crt-static").then_some("static"));
        let it =
            json!({"version": version, "commit": commit, "target": target, "features": features});
        println!("{it:#}");
    } else {
        println!(
            "peek {version}{}",
            commit.map(|commit| format!(" ({commit})")).unwrap_or_default()
        );
    }
    ExitCode::SUCCESS
}
