//! The target `local`: the embedded platform, started in a process of its own. From then on it is a Lambda endpoint
//! like any other: there is no back door.

use crate::endpoint::{Endpoint, MEMORY_RANGE_MIB, OpenError, Options, roles_or_made_up};
use crate::uri::Url;
use crate::{Clock, Facts, lambda};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long the platform may take to say that it is ready.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// How long further lines are waited for once all is said that is needed, unless an empty line or `ready` ends them.
const MORE_LIMIT: Duration = Duration::from_millis(200);
/// How long it may take to end after SIGTERM.
const END_LIMIT: Duration = Duration::from_secs(15);
/// How much of its log's end is shown when it fails.
const TAIL_BYTES: u64 = 2048;

/// A program that starts a platform and says on its standard output how to reach it.
///
/// It prints `endpoint http://HOST:PORT`, `AWS_ACCESS_KEY_ID=KEY` and `AWS_SECRET_ACCESS_KEY=SECRET`, the last two once
/// for each tenant. Lines `AWS_REGION=REGION`, `sandbox KIND` and `memory_mib SMALLEST LARGEST`, and any other of the
/// form `word value`, are taken as facts. An empty line, or `ready`, ends what is read. It ends on SIGTERM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalCommand {
    /// Program and arguments, as in `peek serve --profile study --listen 127.0.0.1:0 --data DIR`.
    pub command: Vec<OsString>,
    /// File that its standard error goes to.
    pub log: PathBuf,
    /// Port that instances may reach at the address of this machine which the line `host_address ADDRESS` names, for a sink
    /// there; None for no sink.
    pub sink_port: Option<u16>,
}

/// Why the platform did not start.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The log's file cannot be made.
    #[error("cannot create its log {path}: {source}")]
    Log {
        /// Where it should be.
        path: PathBuf,
        /// Why it is not.
        source: io::Error,
    },
    /// The program cannot be run.
    #[error("cannot run {program:?}: {source}")]
    Run {
        /// The program.
        program: OsString,
        /// Why not.
        source: io::Error,
    },
    /// It ended before it was ready.
    #[error("it ended ({status}) before it was ready:\n{tail}")]
    Ended {
        /// How.
        status: String,
        /// The end of its log.
        tail: String,
    },
    /// It was not ready in time.
    #[error("it is not ready after {limit} s:\n{tail}", limit = READY_LIMIT.as_secs())]
    Slow {
        /// The end of its log.
        tail: String,
    },
    /// A line that it said cannot be understood.
    #[error("it said {line:?}, which cannot be used")]
    Line {
        /// The line.
        line: String,
    },
}

/// The platform's process. Dropping it ends the process and waits for its end.
#[derive(Debug)]
pub(crate) struct Platform {
    child: Child,
    log: PathBuf,
}

/// What the platform has said so far.
#[derive(Debug, Default, PartialEq)]
struct Said {
    endpoint: Option<Url>,
    keys: Vec<String>,
    secrets: Vec<String>,
    memory_range_mib: Option<(u32, u32)>,
    facts: BTreeMap<String, String>,
}

pub(crate) async fn open(options: &Options) -> Result<Endpoint, OpenError> {
    let command = options.local.as_ref().ok_or(OpenError::LocalCommand)?;
    let (mut platform, lines) = Platform::start(command)?;
    let (said, url) = platform.ready(lines).await?;
    let accounts = said.keys.into_iter().zip(said.secrets).map(|(key, secret)| {
        SharedCredentialsProvider::new(Credentials::from_keys(key, secret, None))
    });
    let accounts: Vec<_> = accounts.collect();
    let mut facts = said.facts;
    let address = facts.remove("host_address").and_then(|it| it.parse::<Ipv4Addr>().ok());
    let sink = address.zip(command.sink_port).map(SocketAddr::from);
    let region = facts.remove("AWS_REGION").unwrap_or_else(|| lambda::REGION.to_owned());
    let roles = roles_or_made_up(options);
    Ok(Endpoint {
        region,
        pace: lambda::PACE_LOCAL,
        memory_range_mib: said.memory_range_mib.unwrap_or(MEMORY_RANGE_MIB),
        facts: Facts {
            sandbox: facts.remove("sandbox").unwrap_or_default(),
            tenants: u32::try_from(accounts.len()).unwrap_or(u32::MAX),
            roles: u32::try_from(roles.len()).unwrap_or(u32::MAX),
            clock: Clock::Same,
            sent: lambda::sent(&url).to_owned(),
            said: facts,
        },
        url,
        accounts,
        roles,
        sink,
        platform: Some(platform),
    })
}

impl Said {
    /// Takes in one line. Errors: it has a known word but no usable value.
    fn take(&mut self, line: &str) -> Result<(), LocalError> {
        let wrong = || LocalError::Line { line: line.to_owned() };
        let Some((word, value)) = line.trim().split_once(['=', ' ']) else { return Ok(()) };
        let value = value.trim();
        match word {
            "endpoint" => self.endpoint = Some(value.parse().map_err(|_| wrong())?),
            "AWS_ACCESS_KEY_ID" => self.keys.push(value.to_owned()),
            "AWS_SECRET_ACCESS_KEY" => self.secrets.push(value.to_owned()),
            "memory_mib" => {
                let (smallest, largest) = value.split_once(' ').ok_or_else(wrong)?;
                let number = |text: &str| text.trim().parse().map_err(|_| wrong());
                self.memory_range_mib = Some((number(smallest)?, number(largest)?));
            }
            _ => drop(self.facts.insert(word.to_owned(), value.to_owned())),
        }
        Ok(())
    }

    /// The endpoint, once all is said that is needed.
    fn ready(&self) -> Option<&Url> {
        let keyed = !self.keys.is_empty() && self.keys.len() == self.secrets.len();
        self.endpoint.as_ref().filter(|_| keyed)
    }
}

impl Platform {
    /// Starts the program; its lines come through the receiver, which ends with its standard output.
    ///
    /// It ends when the thread that runs this ends, however that comes about; so this is for a thread that lives as
    /// long as the study.
    fn start(local: &LocalCommand) -> Result<(Self, mpsc::UnboundedReceiver<String>), LocalError> {
        let log = File::create(&local.log)
            .map_err(|source| LocalError::Log { path: local.log.clone(), source })?;
        let program = local.command.first().cloned().unwrap_or_default();
        let wrong = |source| LocalError::Run { program: program.clone(), source };
        let mut command = Command::new(&program);
        command
            .args(local.command.iter().skip(1))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            // Ctrl-C in a terminal reaches the whole group of processes; functions are still to be removed then.
            .process_group(0);
        let parent = std::process::id();
        // SAFETY: the closure runs between fork and exec and makes two system calls, which are async-signal-safe;
        // it allocates nothing and takes no lock.
        unsafe {
            command.pre_exec(move || {
                if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) != 0 {
                    return Err(io::Error::last_os_error());
                }
                // The parent may have ended before the line above.
                if u32::try_from(libc::getppid()) != Ok(parent) {
                    return Err(io::Error::from_raw_os_error(libc::ESRCH));
                }
                Ok(())
            })
        };
        let mut child = command.spawn().map_err(wrong)?;
        let stdout = child.stdout.take();
        let platform = Self { child, log: local.log.clone() };
        let (sender, lines) = mpsc::unbounded_channel();
        // Goes on for as long as the process does, so that its output never blocks it.
        let read = move || {
            for line in stdout.into_iter().flat_map(|stdout| BufReader::new(stdout).lines()) {
                let Ok(line) = line else { break };
                drop(sender.send(line));
            }
        };
        std::thread::Builder::new().name("platform".to_owned()).spawn(read).map_err(wrong)?;
        Ok((platform, lines))
    }

    async fn ready(
        &mut self,
        mut lines: mpsc::UnboundedReceiver<String>,
    ) -> Result<(Said, Url), LocalError> {
        let mut said = Said::default();
        let end = tokio::time::Instant::now() + READY_LIMIT;
        loop {
            let more = tokio::time::Instant::now() + MORE_LIMIT;
            let ready = said.ready().cloned();
            let limit = if ready.is_some() { more.min(end) } else { end };
            match (tokio::time::timeout_at(limit, lines.recv()).await, ready) {
                (Ok(Some(line)), Some(url)) if matches!(line.trim(), "" | "ready") => {
                    return Ok((said, url));
                }
                (Ok(Some(line)), _) => said.take(&line)?,
                (Err(_), Some(url)) => return Ok((said, url)),
                (Err(_), None) => return Err(LocalError::Slow { tail: self.tail() }),
                (Ok(None), _) => {
                    let status = self.end().map_or_else(|e| e.to_string(), |s| s.to_string());
                    return Err(LocalError::Ended { status, tail: self.tail() });
                }
            }
        }
    }

    fn tail(&self) -> String {
        let read = || {
            let mut file = File::open(&self.log)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
            let mut bytes = Vec::new();
            file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
            Ok::<_, io::Error>(bytes)
        };
        read().map_or_else(
            |error| format!("(no log: {error})"),
            |bytes| String::from_utf8_lossy(&bytes).trim_end().to_owned(),
        )
    }

    /// Process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGTERM, then, where that is not heeded, SIGKILL. Blocks until the process has ended.
    fn end(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        if let Ok(pid) = libc::pid_t::try_from(self.child.id()) {
            // SAFETY: kill takes two numbers. The pid is still the child's, since nobody has waited for it yet.
            unsafe { libc::kill(pid, libc::SIGTERM) };
        }
        let limit = Instant::now() + END_LIMIT;
        while Instant::now() < limit {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.child.kill()?;
        self.child.wait()
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!(pid = self.child.id(), %error, "cannot end the local platform");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, log: PathBuf) -> Options {
        let command = ["sh", "-c", script].map(OsString::from).to_vec();
        let local = Some(LocalCommand { command, log, sink_port: None });
        Options { study: "test".to_owned(), local, ..Options::default() }
    }

    const READY: &str = "echo hello; echo sandbox container; echo memory_mib 128 1024
        echo endpoint http://127.0.0.1:9; echo AWS_ACCESS_KEY_ID=k; echo AWS_SECRET_ACCESS_KEY=s=1;
        echo AWS_ACCESS_KEY_ID=l; echo AWS_SECRET_ACCESS_KEY=t; echo; echo Some words; echo ready;";

    // The lines of a ready platform become an endpoint with its facts, and dropping it ends the process.
    #[tokio::test]
    async fn a_platform_is_started_and_ended() {
        let directory = tempfile::tempdir().expect("a directory");
        let script = format!("{READY} exec sleep 1000");
        let endpoint = open(&shell(&script, directory.path().join("log"))).await.expect("ready");
        assert_eq!(endpoint.url.to_string(), "http://127.0.0.1:9");
        assert_eq!((endpoint.facts.sandbox.as_str(), endpoint.facts.tenants), ("container", 2));
        assert!(endpoint.facts.said.is_empty(), "{:?}", endpoint.facts.said);
        assert_eq!(endpoint.memory_range_mib, (128, 1024));
        let pid = endpoint.platform.as_ref().expect("a process").child.id();
        let process = PathBuf::from(format!("/proc/{pid}"));
        assert!(process.exists());
        drop(endpoint);
        assert!(!process.exists());
    }

    // A program that ends early, or says what cannot be used, is an error with its own words.
    #[tokio::test]
    async fn failures_to_start_are_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("log");
        let script = "echo address already in use >&2; exit 3";
        let error = open(&shell(script, log.clone())).await.err().expect("not ready");
        let text = error.to_string();
        assert!(text.contains("address already in use") && text.contains('3'), "{text}");
        let error = open(&shell("echo endpoint nowhere; exec sleep 1000", log)).await;
        assert!(error.err().expect("unusable").to_string().contains("endpoint nowhere"));
        let missing = LocalCommand {
            command: vec![OsString::from("/nonexistent/peek")],
            log: directory.path().join("log"),
            sink_port: None,
        };
        let options =
            Options { study: "test".to_owned(), local: Some(missing), ..Options::default() };
        let error = open(&options).await.err().expect("no program");
        assert!(error.to_string().contains("/nonexistent/peek"), "{error}");
    }
}
