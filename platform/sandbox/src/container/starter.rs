//! The starter: one small, single-threaded process that makes sandboxes and owns them.
//!
//! `peek serve` runs itself again as the starter before it loads any secret. At the end of the connection to the server the
//! starter thaws, kills, reaps and removes everything. Deliberately knows nothing of invocations, and keeps no environment
//! of a function longer than it takes to hand it on.

mod equipment;
mod ids;
mod lifecycle;
mod sandbox;
mod spare;

use super::cgroup::Limits;
use super::channel::{Channel, MESSAGE_LIMIT, Received};
use super::child;
use super::network::Router;
use super::protocol::{self, Configuration, Failure, HostSpec, ProcView, Reply, Request, Step};
use super::system;
use equipment::Equipment;
use model::{HostId, InstanceId};
use rustix::event::{Timespec, epoll};
use rustix::fs::FlockOperation;
use sandbox::{Sandbox, Slots};
use spare::Newborn;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long nothing must have been asked for before prepared sandboxes are made, so that no start waits for one.
const QUIET: Duration = Duration::from_millis(2);

/// How long nothing is prepared after that has failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs the starter, with its connection to the server at standard input. For a process that does nothing else.
/// There are no `arguments` yet: everything comes over the connection.
pub fn main(arguments: &[String]) -> ! {
    if !arguments.is_empty() {
        eprintln!("peek starter: unexpected arguments {arguments:?}: it is started by peek serve");
        system::exit(2);
    }
    let status = match serve() {
        Ok(()) => 0,
        Err(failure) => {
            eprintln!("peek starter: {}: {}", failure.step, failure.error());
            1
        }
    };
    system::exit(status)
}

fn serve() -> Result<(), Failure> {
    let cannot = || "cannot begin".to_owned();
    // Ctrl-C is for the server; the starter ends when the server's end of the connection closes.
    // Where this fails, it leads its session already.
    let _leads = rustix::process::setsid();
    system::block_signals(&[libc::SIGCHLD, libc::SIGINT, libc::SIGTERM, libc::SIGHUP])
        .step(cannot)?;
    let null = File::options().read(true).write(true).open("/dev/null").step(cannot)?;
    let input = rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 10).step(cannot)?;
    system::duplicate_to(null.as_fd(), 0).step(cannot)?;
    // Children place descriptors at these numbers; nothing else may be there.
    std::mem::forget(null);
    for number in child::CHANNEL..=child::LISTENER {
        system::reserve(number).step(cannot)?;
    }
    let channel = Channel::from_descriptor(input);
    let mut buffer = vec![0; MESSAGE_LIMIT];
    let Received::Message(length, _) = channel.receive(&mut buffer).step(cannot)? else {
        return Ok(());
    };
    let (request, _) = protocol::decode::<Request>(&buffer[..length]).step(cannot)?;
    let Request::Configure(configuration) = request else {
        return Err(Failure { step: "the first request is no configuration".into(), errno: 0 });
    };
    let equipped = Predecessor::outlive(&configuration.directory)
        .and_then(|gone| Ok((gone, Equipment::gather(&configuration)?)));
    match equipped {
        Ok((_gone, equipment)) => {
            let starter = Starter::new(channel, configuration, equipment);
            let limitations = starter.equipment.limitations.clone();
            let cgroups = starter.equipment.cgroups.clone();
            let host_address = starter.equipment.router.as_ref().map(Router::host_address);
            starter.reply(&Reply::Ready { cgroups, limitations, host_address })?;
            starter.run(buffer)
        }
        Err(failure) => channel
            .send(&[&protocol::encode(&Reply::Unusable(failure))], &[])
            .step(|| "the server is gone".to_owned()),
    }
}

/// The starter of a server that was killed and began again: it may still be removing what this one would make.
///
/// The lock is the process's own, so that no instance inherits it, and held as long as this value lives.
struct Predecessor {
    _lock: File,
}

impl Predecessor {
    /// How long a starter may take to remove its instances.
    const LIMIT: Duration = Duration::from_secs(15);
    /// Between two looks.
    const PAUSE: Duration = Duration::from_millis(20);

    /// Returns when no other starter uses `directory`, which is made where it is missing.
    fn outlive(directory: &Path) -> Result<Self, Failure> {
        let cannot = || format!("cannot lock {}", directory.display());
        fs::create_dir_all(directory).step(cannot)?;
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(directory.join("starter.lock"))
            .step(cannot)?;
        let until = Instant::now() + Self::LIMIT;
        loop {
            match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self { _lock: file }),
                Err(error) if Instant::now() > until => {
                    let step = format!(
                        "another starter still uses {} after {} s: end it",
                        directory.display(),
                        Self::LIMIT.as_secs()
                    );
                    return Err(Failure { step, errno: error.raw_os_error() });
                }
                Err(_) => std::thread::sleep(Self::PAUSE),
            }
        }
    }
}

/// A cell as the starter knows it.
#[derive(Debug)]
struct Host {
    spec: HostSpec,
    group: String,
    machine_id: Option<PathBuf>,
    boot_id: Option<PathBuf>,
}

#[derive(Debug)]
struct Starter {
    server: Channel,
    configuration: Configuration,
    equipment: Equipment,
    hosts: BTreeMap<HostId, Host>,
    /// By process id.
    sandboxes: BTreeMap<i32, Sandbox>,
    instances: BTreeMap<InstanceId, i32>,
    /// Prepared or soon prepared, and not bound to an instance.
    pool: VecDeque<i32>,
    spare: Option<Newborn>,
    slots: Slots,
    /// Cells that go when the last sandbox of the pool on them is gone.
    leaving: BTreeSet<HostId>,
    /// The cell last started on.
    pool_host: Option<HostId>,
    /// The limits last asked for, which the next start probably asks for again.
    pool_limits: Limits,
    next_serial: u64,
    quiet_from: Instant,
}

/// What may have something to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Server,
    Signals,
    Maker,
    Networks,
    /// By process id.
    Sandbox(i32),
}

/// Most events that are taken in before the next look.
const EVENTS: usize = 64;

impl Source {
    fn data(self) -> epoll::EventData {
        epoll::EventData::new_u64(match self {
            Self::Server => 1 << 32,
            Self::Signals => 2 << 32,
            Self::Maker => 3 << 32,
            Self::Networks => 4 << 32,
            Self::Sandbox(pid) => u64::from(pid.unsigned_abs()),
        })
    }

    fn of(data: epoll::EventData) -> Self {
        match data.u64() >> 32 {
            1 => Self::Server,
            2 => Self::Signals,
            3 => Self::Maker,
            4 => Self::Networks,
            _ => Self::Sandbox(i32::try_from(data.u64()).unwrap_or(0)),
        }
    }
}

impl Starter {
    fn new(server: Channel, configuration: Configuration, equipment: Equipment) -> Self {
        let slots = Slots::new(&configuration.server, equipment.privilege);
        Self {
            server,
            configuration,
            equipment,
            hosts: BTreeMap::new(),
            sandboxes: BTreeMap::new(),
            instances: BTreeMap::new(),
            pool: VecDeque::new(),
            spare: None,
            slots,
            leaving: BTreeSet::new(),
            pool_host: None,
            pool_limits: Limits { memory: None, cpu_weight: 100 },
            next_serial: 1,
            quiet_from: Instant::now(),
        }
    }

    /// Has what `source` says noticed.
    fn watch(&self, descriptor: impl AsFd, source: Source) -> Result<(), Failure> {
        let flags = epoll::EventFlags::IN;
        epoll::add(&self.equipment.events, descriptor, source.data(), flags)
            .step(|| "cannot wait for events (sysctl fs.epoll.max_user_watches)".to_owned())
    }

    /// Undoes [`Self::watch`] for a sandbox.
    fn unwatch(&self, pid: i32) -> Result<(), Failure> {
        let Some(sandbox) = self.sandboxes.get(&pid) else { return Ok(()) };
        match epoll::delete(&self.equipment.events, &sandbox.channel) {
            Err(rustix::io::Errno::NOENT) => Ok(()),
            deleted => deleted.step(|| "cannot leave a sandbox alone".to_owned()),
        }
    }

    /// Serves until the server is gone, then removes everything.
    fn run(mut self, mut buffer: Vec<u8>) -> Result<(), Failure> {
        self.watch(&self.server, Source::Server)?;
        self.watch(&self.equipment.signals, Source::Signals)?;
        if let Some(maker) = &self.equipment.maker {
            self.watch(maker, Source::Maker)?;
        }
        if let Some(networks) = &self.equipment.networks {
            self.watch(networks, Source::Networks)?;
        }
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            let is_timed_out = self.wait(&mut events)?;
            let mut is_asked = false;
            for source in events.drain(..).map(|event: epoll::Event| Source::of(event.data)) {
                match source {
                    Source::Sandbox(pid) if self.sandboxes.contains_key(&pid) => self.hear(pid)?,
                    Source::Sandbox(pid) => {
                        if let Err(failure) = self.hear_spare(pid) {
                            self.put_off(&failure);
                        }
                    }
                    Source::Signals => self.reap()?,
                    Source::Maker => self.take_in_tmp()?,
                    Source::Networks => self.take_in_networks(),
                    Source::Server => is_asked = true,
                }
            }
            if is_asked {
                let received = self.server.try_receive(&mut buffer);
                match received.step(|| "the connection to the server broke".to_owned())? {
                    None => {}
                    Some(Received::End) => return self.remove_all(),
                    Some(Received::Message(length, descriptors)) => {
                        self.handle(&buffer[..length], descriptors)?;
                        // It may have held a function's environment.
                        buffer[..length].fill(0);
                    }
                }
                self.quiet_from = Instant::now() + QUIET;
            } else if is_timed_out && self.is_short() {
                self.prepare_one();
            }
        }
    }

    /// Waits for something to do; not for long where something is to be prepared. Returns whether that time is over.
    fn wait(&mut self, events: &mut Vec<epoll::Event>) -> Result<bool, Failure> {
        let timeout = self.is_short().then(|| {
            let left = self.quiet_from.saturating_duration_since(Instant::now());
            Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) }
        });
        let waited = epoll::wait(
            &self.equipment.events,
            rustix::buffer::spare_capacity(events),
            timeout.as_ref(),
        );
        match waited {
            Err(rustix::io::Errno::INTR) => {}
            waited => drop(waited.step(|| "cannot wait for events".to_owned())?),
        }
        Ok(timeout.is_some() && Instant::now() >= self.quiet_from)
    }

    fn handle(&mut self, message: &[u8], descriptors: Vec<OwnedFd>) -> Result<(), Failure> {
        let (request, strings) = protocol::decode::<Request>(message)
            .step(|| "the server is not understood".to_owned())?;
        match request {
            Request::Configure(_) => Ok(()),
            Request::MakeHost(spec) => {
                let host = spec.host;
                let failure = self.make_host(spec).err();
                self.reply(&Reply::Host { host, failure })
            }
            Request::RemoveHost(host) => self.remove_host(host),
            Request::Start(spec) => {
                self.start(spec, strings, descriptors);
                Ok(())
            }
            Request::Terminate(instance) => {
                self.terminate(instance);
                Ok(())
            }
            Request::Remove(instance) => self.remove(instance),
        }
    }

    /// A server that is gone is noticed at the end of its connection.
    fn reply(&self, reply: &Reply) -> Result<(), Failure> {
        match self.server.send(&[&protocol::encode(reply)], &[]) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            sent => sent.step(|| "cannot answer the server".to_owned()),
        }
    }

    fn make_host(&mut self, spec: HostSpec) -> Result<(), Failure> {
        let group = spec.group();
        if self.hosts.contains_key(&spec.host) || self.hosts.values().any(|h| h.group == group) {
            return Err(Failure { step: format!("{} exists already", spec.host), errno: 0 });
        }
        self.equipment.cgroups.make_host(&group, &spec)?;
        let file = |name: &str, text: Option<&String>| -> Result<Option<PathBuf>, Failure> {
            let Some(text) = text else { return Ok(None) };
            let path = self.configuration.directory.join("ids").join(format!("{group}-{name}"));
            fs::write(&path, format!("{text}\n"))
                .step(|| format!("cannot write {}", path.display()))?;
            Ok(Some(path))
        };
        let machine_id = file("machine-id", spec.reveal.machine_id.as_ref())?;
        let boot_id = file("boot-id", spec.reveal.boot_id.as_ref())?;
        self.hosts.insert(spec.host, Host { spec, group, machine_id, boot_id });
        Ok(())
    }

    /// Removes a cell, at once or when what the pool has on it is gone.
    fn remove_host(&mut self, host: HostId) -> Result<(), Failure> {
        let is_used = |sandbox: &Sandbox| sandbox.host == host && sandbox.instance.is_some();
        if self.sandboxes.values().any(is_used) {
            let failure = Failure { step: format!("{host} still has instances"), errno: 0 };
            return self.reply(&Reply::Host { host, failure: Some(failure) });
        }
        self.leaving.insert(host);
        self.end_pooled(host);
        self.remove_leaving_host(host)
    }

    /// Removes a cell that is to go and has no sandbox any more.
    fn remove_leaving_host(&mut self, host: HostId) -> Result<(), Failure> {
        let is_empty = !self.sandboxes.values().any(|sandbox| sandbox.host == host);
        if !is_empty || !self.leaving.remove(&host) {
            return Ok(());
        }
        let failure = self.remove_empty_host(host).err();
        self.reply(&Reply::Host { host, failure })
    }

    fn remove_empty_host(&mut self, id: HostId) -> Result<(), Failure> {
        let Some(host) = self.hosts.remove(&id) else { return Ok(()) };
        for path in [&host.machine_id, &host.boot_id].into_iter().flatten() {
            fs::remove_file(path).step(|| format!("cannot remove {}", path.display()))?;
        }
        self.equipment.cgroups.remove_host(&host.group)
    }
}

fn proc_view(spec: &HostSpec) -> ProcView {
    if spec.reveal.is_nothing() { ProcView::MadeUp } else { ProcView::Kernel }
}
