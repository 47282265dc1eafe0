//! The platform under `peek dev`: `peek serve`, as a process of its own.

use super::Arguments;
use crate::configuration::NONE;
use crate::function::TimeLimit;
use anyhow::{Context, bail};
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long the platform may take to be ready, and to end.
const READY_LIMIT: Duration = Duration::from_secs(60);
const END_LIMIT: Duration = Duration::from_secs(20);

/// A platform that runs. It ends with [`Self::stop`], or, where that is not called, when this is dropped.
#[derive(Debug)]
pub struct Platform {
    child: Child,
    /// URL of its API.
    pub endpoint: String,
    data: PathBuf,
    is_temporary: bool,
}

impl Platform {
    /// Starts it, and waits until its API answers.
    pub async fn start(arguments: &Arguments) -> anyhow::Result<Self> {
        let (data, is_temporary) = match &arguments.data {
            Some(data) => (data.clone(), false),
            None => (std::env::temp_dir().join(format!("peek-dev-{}", std::process::id())), true),
        };
        let cannot = || format!("cannot make {}", data.display());
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&data).with_context(cannot)?;
        let profile = data.join("dev-profile.toml");
        fs::write(&profile, profile_text(arguments))
            .with_context(|| format!("cannot write {}", profile.display()))?;
        let this = std::env::current_exe().context("cannot find this program's own file")?;
        let mut command = Command::new(this);
        command
            .args([
                "serve",
                "--config",
                NONE,
                "--no-auth",
                "--listen",
                &arguments.listen.to_string(),
            ])
            .arg("--data")
            .arg(&data)
            .arg("--profile")
            .arg(&profile)
            .args(["--network", arguments.network.word()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // Ctrl-C is for us to pass on, when we are done with it.
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().context("cannot start the platform")?;
        let stdout = child.stdout.take().context("the platform has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let ready = async {
            let mut endpoint = None;
            while let Some(line) =
                lines.next_line().await.context("cannot read what the platform says")?
            {
                if let Some(url) = line.strip_prefix("endpoint ") {
                    endpoint = Some(url.to_owned());
                }
                if line == "ready" {
                    return endpoint.context("the platform said no endpoint");
                }
            }
            bail!("the platform ended before it was ready; it says why above")
        };
        let ready = tokio::time::timeout(READY_LIMIT, ready).await;
        let ready = ready.with_context(|| {
            format!("the platform is not ready after {} s", READY_LIMIT.as_secs())
        });
        let endpoint = match ready.and_then(|ready| ready) {
            Ok(endpoint) => endpoint,
            Err(error) => {
                let mut platform = Self { child, endpoint: String::new(), data, is_temporary };
                platform.stop().await;
                return Err(error);
            }
        };
        // Whatever else it says goes nowhere, but it must never wait for us to read it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { child, endpoint, data, is_temporary })
    }

    /// Its data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Its data directory in words.
    pub fn place(&self) -> String {
        let end = if self.is_temporary { " (removed at the end)" } else { "" };
        format!("{}{end}", self.data.display())
    }

    /// Waits until it has ended by itself, which it should not.
    pub async fn ended(&mut self) -> String {
        self.child
            .wait()
            .await
            .map_or_else(|error| error.to_string(), |status: ExitStatus| status.to_string())
    }

    /// Ends it with all that it holds.
    pub async fn stop(&mut self) {
        if let Some(pid) =
            self.child.id().and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed()))
        {
            // One that is gone already needs no signal.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        if tokio::time::timeout(END_LIMIT, self.child.wait()).await.is_err() {
            tracing::warn!("the platform does not end: it is killed");
            let _ = self.child.kill().await;
        }
        if self.is_temporary {
            let _ = fs::remove_dir_all(&self.data);
        }
    }
}

/// The profile `local`, changed as the flags ask for.
fn profile_text(arguments: &Arguments) -> String {
    let mut text = include_str!("../../../profiles/local.toml").to_owned();
    if arguments.no_freeze {
        text = without(&text, "after_ms");
    }
    if arguments.settings.timeout == Some(TimeLimit::Off) {
        text = without(&text, "timeout_max_s");
        let limit = format!("[limits]\ntimeout_max_s = {}.0\n", TimeLimit::OFF_S);
        text = text.replacen("[limits]\n", &limit, 1);
    }
    text
}

/// A text without the lines that set this key.
fn without(text: &str, key: &str) -> String {
    let is_other = |line: &&str| line.split('=').next().is_none_or(|word| word.trim() != key);
    text.lines().filter(is_other).map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use scheduler::Profile;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    // Each flag changes its own setting of a profile that the platform takes, and nothing else.
    #[test]
    fn flags_change_the_profile() {
        let of = |flags: &[&str]| {
            let line = Line::parse_from([&["dev"], flags].concat());
            Profile::from_toml(&profile_text(&line.arguments)).expect("a profile")
        };
        let local = Profile::default();
        assert_eq!(of(&[]), local);
        let awake = of(&["--no-freeze"]);
        assert_eq!((awake.rest_after, local.rest_after.is_some()), (None, true));
        assert_eq!(Profile { rest_after: local.rest_after, ..awake }, local);
        let mut endless = of(&["--timeout", "off"]);
        assert_eq!(endless.limits.timeout_max.as_millis() / 1000, u64::from(TimeLimit::OFF_S));
        endless.limits.timeout_max = local.limits.timeout_max;
        assert_eq!(endless, local);
    }
}
