//! The container kind of sandbox: packages and settings in, running sandboxes out.
//!
//! Deliberately knows nothing of how the starter does it.

use super::cgroup::{GroupName, Meter};
use super::channel::{Channel, Received};
use super::client::{Connection, Starter, receive};
use super::control::{ContainerControl, Left};
use super::handle::{Beside, Running};
use super::image::{ContainerImage, EXTENSIONS};
use super::instance::ContainerInstance;
use super::network::{Allowed, NetworkConfig};
use super::processes::Processes;
use super::protocol::{
    self, Configuration, Failure, HostIds, HostSpec, NetworkSpec, NetworkWish, Request, StartSpec,
    Status, Step,
};
use super::rootfs::{self, RootSpec};
use crate::runtime::{InstallError, RUNTIME_DIRECTORY, Runtimes};
use crate::{
    End, Facts, HostError, HostSize, HostUse, Identity, Kind, Package, PrepareError, Settings,
    StartError, Started,
};
use bytes::Bytes;
use model::{HostId, MemoryMib, Span};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;
use tokio::io::unix::AsyncFd;

/// How containers are made.
#[derive(Clone, Debug)]
pub struct ContainerConfig {
    /// Directory of this server, on a disk.
    pub data: PathBuf,
    /// Part of the names of everything outside the data directory: 1 to 32 letters, digits, `-` and `_`. No two servers
    /// that run on one machine at a time may share it.
    pub server_id: String,
    /// Command that becomes the starter, with the connection at its standard input.
    pub starter: Vec<OsString>,
    /// What instances see of their host.
    pub reveal: Reveal,
    /// What instances can reach.
    pub network: Network,
    /// How many sandboxes are kept prepared.
    pub pool: usize,
    /// Interpreters, or directories with some, beside those found by themselves.
    pub interpreters: Vec<PathBuf>,
}

/// What instances can reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// Nothing but their own loopback.
    #[default]
    None,
    /// The world where this machine can route it, else nothing, which the facts say.
    Auto(NetworkConfig),
    /// The world; an error where this machine cannot route it.
    Routed(NetworkConfig),
}

impl Network {
    fn spec(&self) -> NetworkSpec {
        let (wish, config) = match self {
            Self::None => (NetworkWish::None, &NetworkConfig::default()),
            Self::Auto(config) => (NetworkWish::Auto, config),
            Self::Routed(config) => (NetworkWish::Routed, config),
        };
        let (mut ports, mut addresses) = (Vec::new(), Vec::new());
        for allowed in &config.allowed {
            match allowed {
                Allowed::Host { port } => ports.push(*port),
                Allowed::Address(address) => addresses.push(*address),
            }
        }
        NetworkSpec {
            wish,
            ports,
            addresses,
            connections_limit: config.connections_limit,
            resolvers: config.resolvers.clone(),
        }
    }
}

/// What of its host an instance sees; all else is made up for each instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reveal {
    /// Nothing; /proc shows the sandbox's processes and made-up values.
    #[default]
    Nothing,
    /// A machine id in /etc/machine-id.
    MachineId,
    /// A boot id in /proc/sys/kernel/random/boot_id.
    BootId,
    /// A path `/sandbox-root-…/instance-…` in /proc/self/cgroup, as at AWS in 2018 (Wang et al., 4.1).
    InstanceRootId,
}

/// Why containers cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The name of the server.
    #[error("server id {0:?} is not 1 to 32 letters, digits, `-` and `_`")]
    ServerId(String),
    /// A directory.
    #[error("cannot make {path}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The runtimes' clients.
    #[error("cannot install the runtime clients")]
    Install(#[from] InstallError),
    /// The starter.
    #[error("{step}")]
    Starter {
        /// What failed, with the remedy where there is one.
        step: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// The container kind.
#[derive(Debug)]
pub struct Container {
    starter: Arc<Starter>,
    /// For the next start.
    ends: Mutex<Option<Ends>>,
    runtimes: Runtimes,
    reveal: Reveal,
    facts: Facts,
}

/// What a sandbox is to run.
#[derive(Clone, Debug)]
pub struct Program<'a> {
    /// Package and command.
    pub image: &'a ContainerImage,
    /// Memory, CPU and /tmp; its environment too.
    pub settings: &'a Settings,
    /// Instance and host; environment of the instance alone.
    pub identity: &'a Identity,
}

/// What connects the server to a new sandbox: the ends of its status channel and of its output.
#[derive(Debug)]
struct Ends {
    status: AsyncFd<Channel>,
    theirs: Channel,
    output: OwnedFd,
    sink: OwnedFd,
}

impl Ends {
    fn new() -> Result<Self, Failure> {
        let cannot = || "cannot connect a sandbox (limit: open files of the server)".to_owned();
        let (ours, theirs) = Channel::pair().step(cannot)?;
        let (output, sink) = output_pipe()?;
        Ok(Self { status: ours.watched().step(cannot)?, theirs, output, sink })
    }
}

/// A pipe for output, and the end of it that is read, nonblocking.
fn output_pipe() -> Result<(OwnedFd, OwnedFd), Failure> {
    let cannot = || "cannot make a pipe (limit: open files of the server)".to_owned();
    let (output, sink) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).step(cannot)?;
    rustix::io::ioctl_fionbio(&output, true).step(cannot)?;
    Ok((output, sink))
}

/// Size of the /tmp of prepared file systems: Lambda's default (quotas page, 2026-11).
const TMP: MemoryMib = MemoryMib(512);

impl Container {
    /// Finds the runtimes, starts the starter, and removes what a killed server of this name has left.
    pub async fn open(config: ContainerConfig) -> Result<Self, OpenError> {
        let ContainerConfig { data, server_id, starter, reveal, network, pool, interpreters } =
            config;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if !(1..=32).contains(&server_id.len()) || !server_id.bytes().all(is_plain) {
            return Err(OpenError::ServerId(server_id));
        }
        let data = fs::canonicalize(&data)
            .map_err(|source| OpenError::Directory { path: data.clone(), source })?;
        let clients = data.join("runtime");
        fs::create_dir_all(&clients)
            .and_then(|()| fs::set_permissions(&clients, PermissionsExt::from_mode(0o755)))
            .map_err(|source| OpenError::Directory { path: clients.clone(), source })?;
        let mut runtimes = Runtimes::discover(&interpreters);
        runtimes.install(&clients, Path::new(RUNTIME_DIRECTORY))?;
        let visible = runtimes.interpreters().flat_map(visible).collect();
        let root = RootSpec { runtime: Some(clients), visible };
        let directory = data.join("sandbox");
        let configuration = Configuration {
            server: server_id,
            directory,
            root,
            pool,
            tmp: TMP,
            network: network.spec(),
        };
        let starter = Starter::open(starter, configuration).await.map_err(open_error)?;
        let connection = starter.connection().await.map_err(open_error)?;
        let facts = Facts {
            name: "container",
            limitations: connection.limitations.clone(),
            host_address: connection.host_address,
        };
        Ok(Self { starter, ends: Mutex::default(), runtimes, reveal, facts })
    }

    /// Creates a sandbox and executes its program in it. What it is from then on is its own.
    pub async fn create(
        &self,
        program: Program<'_>,
    ) -> Result<Running<ContainerControl>, StartError> {
        let instance = program.identity.instance;
        let connection = self.starter.connection().await.map_err(start_error)?;
        let failure = match self.create_by(&connection, program.clone()).await {
            Ok(running) => return Ok(running),
            Err(failure) => failure,
        };
        connection.remove(instance).await;
        if connection.is_alive() {
            return Err(start_error(failure));
        }
        // The starter died under it, which is no fault of the program's: the next one gets it, once.
        let connection = self.starter.connection().await.map_err(start_error)?;
        match self.create_by(&connection, program).await {
            Ok(running) => Ok(running),
            Err(failure) => {
                connection.remove(instance).await;
                Err(start_error(failure))
            }
        }
    }

    async fn create_by(
        &self,
        connection: &Arc<Connection>,
        program: Program<'_>,
    ) -> Result<Running<ContainerControl>, Failure> {
        let Program { image, settings, identity } = program;
        let (strings, arguments) = strings(&program)?;
        let beside = (!image.extensions.is_empty()).then(output_pipe).transpose()?;
        let ready = self.ends.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Ends { status, theirs, output, sink } = ready.map_or_else(Ends::new, Ok)?;
        let request = Request::Start(StartSpec {
            instance: identity.instance,
            host: identity.host,
            package: image.package.clone(),
            layers: image.layers.clone(),
            memory: settings.memory,
            cpu_weight: settings.cpu_weight,
            tmp: settings.tmp,
            arguments,
            extensions: image.extensions.len(),
        });
        let ending = connection.ending(identity.instance);
        let mut descriptors = vec![theirs.as_fd(), sink.as_fd()];
        descriptors.extend(beside.iter().map(|(_, sink)| sink.as_fd()));
        connection.send(&[&protocol::encode(&request), &strings], &descriptors).await?;
        drop((theirs, sink));
        let beside = beside.map(|(output, _)| Beside {
            names: image.extensions.clone(),
            output,
            initialization: identity
                .environment
                .get("AWS_LAMBDA_INITIALIZATION_TYPE")
                .cloned()
                .unwrap_or_default(),
            phase: identity.phase,
        });
        // While the sandbox is made: what the next start would else have to make first.
        let next = Ends::new().ok();
        if next.is_some() {
            *self.ends.lock().unwrap_or_else(PoisonError::into_inner) = next;
        }
        let (listener, sandbox) = executed(&status).await?;
        let processes = beside.is_some().then(|| Arc::new(Processes::new(status)));
        let group = GroupName { host: self.starter.group(identity.host), instance: sandbox };
        let freezer = connection.cgroups.freezer(&group);
        let freezer = freezer
            .map(|path| File::options().write(true).open(path))
            .transpose()
            .step(|| "cannot open the freezer".to_owned())?;
        let most = self.starter.milli_cpus(identity.host).unwrap_or(u32::MAX);
        let control = ContainerControl {
            starter: Arc::clone(&self.starter),
            connection: Arc::clone(connection),
            instance: identity.instance,
            words: connection.cgroups.freezer_words(),
            group,
            meter: Meter::default(),
            freezer,
            ceiling_milli: settings.cpu_ceiling_milli.map(|ceiling| ceiling.min(most)),
            ending,
            exit: OnceLock::new(),
            left: Left::Everything,
            processes,
        };
        let log = identity.log.clone();
        Ok(Running { listener, output, control, log, beside })
    }
}

/// Waits until the runtime has been exec'd. Returns the Runtime API's listener, and the name of the control group.
async fn executed(status: &AsyncFd<Channel>) -> Result<(TcpListener, String), Failure> {
    let cannot = || "the sandbox ended before its runtime was started".to_owned();
    let mut listening = None;
    let mut buffer = [0; 4096];
    loop {
        let Received::Message(length, descriptors) =
            receive(status, &mut buffer).await.step(cannot)?
        else {
            return listening.ok_or_else(|| Failure { step: cannot(), errno: 0 });
        };
        match protocol::decode::<Status>(&buffer[..length]).step(cannot)?.0 {
            Status::Listening { group } => {
                let listener = descriptors.into_iter().next();
                listening = listener.map(|listener| (TcpListener::from(listener), group));
            }
            Status::Failed(failure) => return Err(failure),
            // What follows is for others.
            Status::Supervised => {
                return listening.ok_or_else(|| Failure { step: cannot(), errno: 0 });
            }
            Status::Exited { .. } | Status::NotStarted { .. } | Status::Socket => {}
        }
    }
}

/// Arguments, files of extensions and environment as C strings, and how many of them are arguments.
fn strings(program: &Program<'_>) -> Result<(Vec<u8>, usize), Failure> {
    use std::os::unix::ffi::OsStrExt;
    let Program { image: ContainerImage { launch, extensions, .. }, settings, identity } = program;
    let mut bytes = Vec::new();
    let mut push = |parts: &[&[u8]]| {
        for part in parts {
            if part.contains(&0) {
                let step = format!(
                    "{:?} contains a zero byte: remove it",
                    String::from_utf8_lossy(parts[0])
                );
                return Err(Failure { step, errno: 0 });
            }
            bytes.extend_from_slice(part);
        }
        bytes.push(0);
        Ok(())
    };
    push(&[launch.program.as_os_str().as_bytes()])?;
    for argument in &launch.arguments {
        push(&[argument.as_bytes()])?;
    }
    for extension in extensions {
        push(&[EXTENSIONS.as_bytes(), b"/", extension.as_bytes()])?;
    }
    let mut environment: BTreeMap<&String, &String> = settings.environment.iter().collect();
    environment.extend(&identity.environment);
    for (name, value) in environment {
        push(&[name.as_bytes(), b"=", value.as_bytes()])?;
    }
    Ok((bytes, 1 + launch.arguments.len()))
}

/// What must be seen of an interpreter that is not in /usr/bin: its own files, not all that is local to this machine.
fn visible(interpreter: &crate::runtime::Interpreter) -> Vec<PathBuf> {
    let local = Path::new("/usr/local");
    match interpreter.prefix() {
        None => Vec::new(),
        Some(prefix) if prefix == local => {
            let mut paths = vec![interpreter.path.clone()];
            if let Some(name) = interpreter.path.file_name().and_then(|name| name.to_str()) {
                let library = format!("lib{name}");
                let entries = fs::read_dir(local.join("lib")).into_iter().flatten().flatten();
                paths.extend(entries.map(|entry| entry.path()).filter(|path| {
                    let file = path.file_name().and_then(|file| file.to_str());
                    file.is_some_and(|file| file == name || file.starts_with(&library))
                }));
            }
            paths
        }
        Some(prefix) => vec![prefix.to_owned()],
    }
}

fn open_error(failure: Failure) -> OpenError {
    OpenError::Starter { source: failure.error(), step: failure.step }
}

fn start_error(failure: Failure) -> StartError {
    StartError::Create { source: failure.error(), step: failure.step }
}

impl Kind for Container {
    type Image = ContainerImage;
    type Instance = ContainerInstance<ContainerControl>;

    fn facts(&self) -> Facts {
        self.facts.clone()
    }

    fn runtimes(&self) -> Vec<String> {
        self.runtimes.names()
    }

    async fn make_host(&self, host: HostId, size: HostSize) -> Result<(), HostError> {
        let made = host_ids(self.reveal).map(|reveal| HostSpec {
            host,
            memory: size.memory,
            milli_cpus: size.milli_cpus,
            cpus: cpus(host, size.milli_cpus),
            reveal,
        });
        let made = match made {
            Ok(spec) => self.starter.make_host(spec).await,
            Err(failure) => Err(failure),
        };
        made.map_err(|failure| HostError { host, source: failure.error(), step: failure.step })
    }

    async fn remove_host(&self, host: HostId) {
        if let Err(failure) = self.starter.remove_host(host).await {
            // What is left of it goes at the next sweep.
            eprintln!("peek: cannot remove {host}: {}: {}", failure.step, failure.error());
        }
    }

    async fn host_use(&self, host: HostId) -> Option<HostUse> {
        let connection = self.starter.connection().await.ok()?;
        let group = self.starter.group(host);
        let read = move || connection.cgroups.host_use(&group);
        tokio::task::spawn_blocking(read).await.ok().flatten()
    }

    async fn close(&self) {
        self.starter.close().await;
    }

    async fn prepare(
        &self,
        package: &Package,
        settings: &Settings,
    ) -> Result<ContainerImage, PrepareError> {
        ContainerImage::prepare(&self.runtimes, package, settings)
    }

    async fn start(
        &self,
        image: &ContainerImage,
        settings: &Settings,
        identity: Identity,
    ) -> Result<Started<Self::Instance>, StartError> {
        if !image.has_entrypoint() {
            return Err(StartError::Ended { end: End::NoEntrypoint, log: Bytes::new() });
        }
        let asked_at = Instant::now();
        let running = self.create(Program { image, settings, identity: &identity }).await?;
        let executed_at = Instant::now();
        let mut instance = ContainerInstance::start(running, settings, executed_at).await?;
        Ok(Started {
            extensions: instance.extensions(),
            instance,
            creation: Span::from(executed_at - asked_at),
            init: Span::from(executed_at.elapsed()),
        })
    }
}

/// CPUs for a cell, as a list: as many as it may use at once, starting where the last cell's end. None for all.
fn cpus(host: HostId, milli_cpus: u32) -> Option<String> {
    let own = rustix::thread::sched_getaffinity(None).ok()?;
    let all: Vec<usize> =
        (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| own.is_set(*cpu)).collect();
    let count = (milli_cpus.div_ceil(1000) as usize).max(1);
    if count >= all.len() {
        return None;
    }
    let first = host.0 as usize % all.len() * count;
    let list = (first..first + count).map(|index| all[index % all.len()].to_string());
    Some(list.collect::<Vec<_>>().join(","))
}

/// New ids for a host, as far as they are revealed.
fn host_ids(reveal: Reveal) -> Result<HostIds, Failure> {
    let uuid = rootfs::random_uuid().step(|| "no random numbers".to_owned())?;
    let plain = uuid.replace('-', "");
    let mut ids = HostIds::default();
    match reveal {
        Reveal::Nothing => {}
        Reveal::MachineId => ids.machine_id = Some(plain),
        Reveal::BootId => ids.boot_id = Some(uuid),
        Reveal::InstanceRootId => {
            ids.instance_root_id = Some(format!("sandbox-root-{}", &plain[..6]));
        }
    }
    Ok(ids)
}
