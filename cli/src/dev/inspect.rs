//! Debuggers: functions that listen for one inside of their sandbox, and ports of this machine that lead there.
//!
//! A sandbox has a network of its own, into which no port of this machine leads. So each connection to such a port gets a
//! process that enters the network of the function's youngest instance, connects there, and passes bytes on.

use super::{NODE_PORT, PYTHON_PORT, Voice, check};
use crate::function::{Item, Language};
use anyhow::{Context, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::process::Command;

/// How long an instance may take to listen.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Most generations between an instance's process and the server's.
const GENERATIONS: usize = 8;
/// Module that is put beside a Python function's code, and is its entry while it is debugged.
const MODULE: &str = "peek_debugged";
/// Names the function's own entry to that module.
const HANDLER: &str = "PEEK_DEBUGGED_HANDLER";

/// The functions that are debugged, and the ports that lead to them.
#[derive(Debug)]
pub struct Inspectors {
    /// First port, 0 for each language's own; None where nothing is debugged.
    first: Option<u16>,
    ports: BTreeMap<String, u16>,
    voice: Voice,
}

impl Inspectors {
    /// Nothing listens yet.
    pub fn new(first: Option<u16>, voice: Voice) -> Self {
        Self { first, ports: BTreeMap::new(), voice }
    }

    /// Has a function listen for a debugger, and opens a port that leads there, where that is asked for.
    pub async fn prepare(&mut self, item: &mut Item) {
        let Some(first) = self.first else { return };
        let (inside, usual) = match item.plan.language {
            Some(Language::Node) => {
                let own = item.plan.environment.get_or_insert_default();
                let options = own.entry("NODE_OPTIONS".to_owned()).or_default();
                *options = format!("{options} --inspect=127.0.0.1:{NODE_PORT}").trim().to_owned();
                (NODE_PORT, NODE_PORT)
            }
            Some(Language::Python) => match debug_python(item).await {
                Ok(()) => (PYTHON_PORT, PYTHON_PORT),
                Err(error) => {
                    if self.ports.insert(item.plan.name.clone(), 0).is_none() {
                        self.voice
                            .complain(&format!("{} is not debugged: {error}", item.plan.name));
                    }
                    return;
                }
            },
            _ => return,
        };
        if self.ports.contains_key(&item.plan.name) {
            return;
        }
        let wanted = match first {
            0 => usual,
            first => first,
        };
        match self.open(&item.plan.name, wanted, inside).await {
            Ok(port) => {
                let name = &item.plan.name;
                self.voice.say(&format!(
                    "{name}: a debugger can attach to 127.0.0.1:{port}, once an instance runs"
                ));
            }
            Err(error) => {
                self.voice.complain(&format!("{} has no inspector port: {error:#}", item.plan.name))
            }
        }
    }

    /// Opens the first port from `wanted` on that no other function has.
    async fn open(&mut self, name: &str, wanted: u16, inside: u16) -> anyhow::Result<u16> {
        let taken = |port: &u16| self.ports.values().any(|other| other == port);
        let port = (wanted..=u16::MAX).find(|port| !taken(port)).context("no port is free")?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let listener = listener.with_context(|| {
            format!("cannot listen at 127.0.0.1:{port}: choose others with --inspect=PORT")
        })?;
        self.ports.insert(name.to_owned(), port);
        let (name, voice) = (name.to_owned(), self.voice);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let led = stream
                    .into_std()
                    .map_err(anyhow::Error::from)
                    .and_then(|it| lead(it, &name, inside));
                if let Err(error) = led {
                    voice.complain(&format!("no debugger for {name}: {error:#}"));
                }
            }
        });
        Ok(port)
    }
}

/// Puts a module before a Python function's own that listens for debuggers. Errors: debugpy is not to be had.
async fn debug_python(item: &mut Item) -> Result<(), String> {
    let has_own = item.source.files().iter().any(|(name, _)| name == "debugpy/__init__.py");
    if !has_own {
        let named = item.plan.runtime.clone().unwrap_or_else(|| "python3".to_owned());
        let advice = "pip install --target DIR debugpy, with DIR its directory".to_owned();
        let interpreter = check::program(&named).or_else(|| check::program("python3"));
        let Some(interpreter) = interpreter else {
            return Err(format!("there is no Python to ask; {advice}"));
        };
        // As an instance does it: nothing but what stands in the system's own directories.
        let asked = Command::new(interpreter)
            .args(["-I", "-c", "import debugpy"])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .await;
        if !asked.is_ok_and(|status| status.success()) {
            return Err(format!("debugpy cannot be imported; {advice}"));
        }
    }
    let own = std::mem::replace(&mut item.plan.handler, format!("{MODULE}.handler"));
    item.plan.environment.get_or_insert_default().insert(HANDLER.to_owned(), own);
    let text = format!(
        "import importlib\nimport os\nimport debugpy\n\
         debugpy.listen((\"127.0.0.1\", {PYTHON_PORT}), in_process_debug_adapter=True)\n\
         _module, _, _name = os.environ[\"{HANDLER}\"].rpartition(\".\")\n\
         handler = getattr(importlib.import_module(_module.replace(\"/\", \".\")), _name)\n"
    );
    item.source.added.push((format!("{MODULE}.py"), text));
    Ok(())
}

/// Has a process pass bytes between a connection and a port inside of a function's youngest instance.
fn lead(stream: TcpStream, function: &str, port: u16) -> anyhow::Result<()> {
    let pid = youngest_instance(function)
        .context("no instance of it runs: invoke it once, then attach")?;
    stream.set_nonblocking(false).context("cannot wait on the connection")?;
    let stream: OwnedFd = stream.into();
    let this = std::env::current_exe().context("cannot find this program's own file")?;
    let mut child = Command::new(this)
        .args(["tunnel", &pid.to_string(), &port.to_string()])
        .stdin(Stdio::from(stream))
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start a process that leads there")?;
    tokio::spawn(async move { child.wait().await });
    Ok(())
}

/// The process of a function's instance that was started last, among those of servers that we started.
fn youngest_instance(function: &str) -> Option<u32> {
    let wanted = format!("AWS_LAMBDA_FUNCTION_NAME={function}");
    let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let instances = pids.filter(|pid| {
        let variables = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        variables.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
            && is_ours(*pid)
    });
    instances.max_by_key(|pid| started(*pid))
}

/// Whether a process descends from this one.
fn is_ours(pid: u32) -> bool {
    let mut pid = pid;
    for _ in 0..GENERATIONS {
        let Some(parent) = stat(pid).and_then(|fields| fields.get(1)?.parse().ok()) else {
            return false;
        };
        if parent == std::process::id() {
            return true;
        }
        pid = parent;
    }
    false
}

/// When a process was started, in clock ticks since boot (proc(5), field 22 of stat).
fn started(pid: u32) -> u64 {
    stat(pid).and_then(|fields| fields.get(19)?.parse().ok()).unwrap_or(0)
}

/// The fields of /proc/PID/stat from the state on, which follows a name that may hold anything.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

/// `peek tunnel PID PORT`: passes bytes between the connection at standard input and a port of that process's network.
pub fn tunnel(pid: u32, port: u16) -> anyhow::Result<ExitCode> {
    let space = |kind: &str| {
        let path = format!("/proc/{pid}/ns/{kind}");
        fs::File::open(&path)
            .with_context(|| format!("cannot open {path}: has the instance ended?"))
    };
    let (user, network) = (space("user")?, space("net")?);
    let own = fs::metadata("/proc/self/ns/user").context("cannot look at the own namespace")?;
    let theirs = user.metadata().context("cannot look at the instance's namespace")?;
    let enter = |file: &fs::File, kind| move_into_link_name_space(file.as_fd(), Some(kind));
    if enter(&network, LinkNameSpaceType::Network).is_err() {
        // Without root the network belongs to a user namespace that has to be entered first.
        if own.ino() != theirs.ino() {
            enter(&user, LinkNameSpaceType::User)
                .context("cannot enter the instance's user namespace")?;
        }
        enter(&network, LinkNameSpaceType::Network)
            .context("cannot enter the instance's network")?;
    }
    let begun = Instant::now();
    let there = loop {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            Ok(there) => break there,
            Err(error) if begun.elapsed() > CONNECT_LIMIT => {
                bail!(
                    "the function does not listen for a debugger at port {port} of its sandbox: {error}"
                )
            }
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    // SAFETY: standard input is open, is a socket by whoever started this, and is used by nothing else here.
    let here = TcpStream::from(unsafe { OwnedFd::from_raw_fd(0) });
    let (mut from_here, mut to_there) = (here.try_clone()?, there.try_clone()?);
    let forth = std::thread::spawn(move || pass(&mut from_here, &mut to_there));
    pass(&mut &there, &mut &here);
    let _ = here.shutdown(Shutdown::Both);
    let _ = forth.join();
    Ok(ExitCode::SUCCESS)
}

/// Passes bytes on until one side ends, and then says so to the other.
fn pass(from: &mut impl io::Read, to: &mut (impl io::Write + AsFd)) {
    // A side that broke off has ended.
    let _ = io::copy(from, to);
    let _ = rustix::net::shutdown(to.as_fd(), rustix::net::Shutdown::Write);
}
