//! `peek clean`: what killed studies left on a target, and killed servers on this machine.

use anyhow::{Context, bail};
use sandbox::container::left::{self, Left, Whose};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use target::Uri;

/// Options of `peek clean`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where a study was killed: `lambda:http://HOST:PORT` or `aws:REGION`. A local target leaves nothing.
    #[arg(long, value_name = "URI", required_unless_present_any = ["all", "data"])]
    target: Option<Uri>,
    /// Everything that killed servers have left on this machine: processes, control groups, links, packet filters,
    /// temporary data directories. Of servers that run, nothing is touched.
    #[arg(long)]
    all: bool,
    /// What the killed server of this data directory has left on this machine; its functions stay.
    #[arg(long, value_name = "DIR", conflicts_with = "all")]
    data: Option<PathBuf>,
    /// Say what --all or --data would remove, and stop.
    #[arg(long)]
    dry_run: bool,
    /// A role, as `peek study` was given; AWS targets only.
    #[arg(long, value_name = "ARN")]
    role: Vec<String>,
    /// Profile of a further account, as `peek study` was given.
    #[arg(long, value_name = "NAME")]
    account: Vec<String>,
}

/// Removes what is left. The status is 1 where some of it could not be removed.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut is_clean = true;
    if arguments.all {
        is_clean &= machine(arguments.dry_run)?;
    }
    if let Some(data) = &arguments.data {
        is_clean &= one(data, arguments.dry_run)?;
    }
    if let Some(target) = &arguments.target {
        is_clean &= studies(target, arguments)?;
    }
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Removes functions that studies made and could not remove. Whether all are gone.
fn studies(target: &Uri, arguments: &Arguments) -> anyhow::Result<bool> {
    if matches!(target, Uri::Local) {
        println!(
            "nothing to clean: the local platform ends with its study, with all that it holds"
        );
        return Ok(true);
    }
    let options = target::Options {
        study: "clean".to_owned(),
        roles: arguments.role.clone(),
        accounts: arguments.account.clone(),
        ..Default::default()
    };
    let cleaned = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start threads")?
        .block_on(target::clean(target, &options))?;
    for name in &cleaned.removed {
        println!("removed {name}");
    }
    for (name, reason) in &cleaned.left {
        println!("left {name}: {reason}");
    }
    println!("{} removed, {} left", cleaned.removed.len(), cleaned.left.len());
    Ok(cleaned.left.is_empty())
}

/// Removes what dead servers left here. Whether all is gone.
fn machine(is_dry: bool) -> anyhow::Result<bool> {
    if !server::is_root() {
        bail!(
            "--all looks into processes of all users, and removes what is root's: run it as root"
        );
    }
    let running = server::running();
    for server in &running {
        println!("runs: process {}, data in {}", server.pid, server.data.display());
    }
    let ids: Vec<String> = running.into_iter().map(|server| server.server_id).collect();
    Ok(remove(&left::find(Whose::AllBut(&ids)), &temporary(), is_dry))
}

/// Removes what the dead server of a data directory left. Whether all is gone. Errors: it runs.
fn one(data: &Path, is_dry: bool) -> anyhow::Result<bool> {
    let id = server::server_id_in(data)?;
    let _lock = server::lock(data)?;
    Ok(remove(&left::find(Whose::Of(&id)), &[], is_dry))
}

fn remove(left: &[Left], directories: &[PathBuf], is_dry: bool) -> bool {
    let (mut removed, mut left_over) = (0, 0);
    let mut done = |what: String, result: Result<(), String>| match result {
        Ok(()) => {
            println!("{} {what}", if is_dry { "would remove" } else { "removed" });
            removed += 1;
        }
        Err(reason) => {
            println!("left {what}: {reason}");
            left_over += 1;
        }
    };
    for left in left {
        let result = if is_dry { Ok(()) } else { left::remove(left) };
        done(left.to_string(), result);
    }
    for path in directories {
        let result = if is_dry { Ok(()) } else { fs::remove_dir_all(path) };
        done(format!("directory {}", path.display()), result.map_err(|error| error.to_string()));
    }
    println!("{removed} {}, {left_over} left", if is_dry { "to remove" } else { "removed" });
    left_over == 0
}

/// Data directories of studies and of `peek dev` whose processes are gone.
fn temporary() -> Vec<PathBuf> {
    let entries = fs::read_dir(std::env::temp_dir()).into_iter().flatten().filter_map(Result::ok);
    let is_dead = |name: &str| {
        let pid = ["peek-dev-", "peek-study-"].iter().find_map(|start| name.strip_prefix(start))?;
        let pid: u32 = pid.parse().ok()?;
        Some(!PathBuf::from(format!("/proc/{pid}")).exists())
    };
    let dead = entries.filter(|entry| is_dead(&entry.file_name().to_string_lossy()) == Some(true));
    // A server may outlive who started it.
    let is_free = |path: &PathBuf| {
        let locks = [path.join("lock"), path.join("data/lock")];
        locks.iter().all(|lock| File::open(lock).map_or(true, |file| file.try_lock().is_ok()))
    };
    dead.map(|entry| entry.path()).filter(is_free).collect()
}
