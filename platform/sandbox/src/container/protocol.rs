//! What server, starter and sandboxes say to each other.
//!
//! Deliberately knows nothing of how any of it is carried out.

use super::cgroup::Cgroups;
use super::rootfs::RootSpec;
use model::{HostId, InstanceId, MemoryMib};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::ffi::CStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

/// Server to starter.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// First of all.
    Configure(Configuration),
    /// Makes a cell. Answered by [`Reply::Host`].
    MakeHost(HostSpec),
    /// Removes a cell that has no instances. Answered by [`Reply::Host`].
    RemoveHost(HostId),
    /// Starts a sandbox; with it come the status channel and the write end of the output. Answered on the status channel.
    Start(StartSpec),
    /// Sends SIGTERM to the runtime.
    Terminate(InstanceId),
    /// Kills and removes. Answered by [`Reply::Gone`], also where there is no such sandbox.
    Remove(InstanceId),
}

/// Starter to server.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    /// The starter has been configured.
    Ready {
        /// Where the cgroups are.
        cgroups: Cgroups,
        /// What cannot be enforced.
        limitations: Vec<String>,
        /// The machine's address as instances reach it; None where they have no network.
        host_address: Option<Ipv4Addr>,
    },
    /// The starter cannot work here.
    Unusable(Failure),
    /// A cell was made or removed, or could not be.
    Host {
        /// Which.
        host: HostId,
        /// Why not.
        failure: Option<Failure>,
    },
    /// The runtime of this instance has ended, unless it was being removed.
    Ended {
        /// Which.
        instance: InstanceId,
        /// Its wait status; None where the whole sandbox was killed.
        status: Option<i32>,
    },
    /// Nothing is left of this sandbox.
    Gone(InstanceId),
}

/// Sandbox to server, on the status channel. Its end after [`Status::Listening`] is the exec of the runtime, which closes
/// it: no process has to wake up to say so.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Status {
    /// The Runtime API's listener is beside this message.
    Listening {
        /// Name of the instance's control group.
        group: String,
    },
    /// The sandbox could not be made, or its runtime not be exec'd; a warden could not do what it was told.
    Failed(Failure),
    /// The runtime is not exec'd yet: a warden speaks from here on, and starts the extensions next.
    Supervised,
    /// A process has ended, with this wait status.
    Exited {
        /// Which.
        process: Process,
        /// As the kernel has it.
        status: i32,
    },
    /// A process could not be started.
    NotStarted {
        /// Which.
        process: Process,
        /// The kernel's error number.
        errno: i32,
    },
    /// The socket that was asked for is beside this message.
    Socket,
}

/// Server to the warden of a sandbox that has extensions, on the same channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Order {
    /// Start the runtime.
    Start,
    /// Signal a process.
    Signal {
        /// Which.
        process: Process,
        /// Number of the signal.
        signal: i32,
    },
    /// Make a socket in the sandbox's network. Answered by [`Status::Socket`] or [`Status::Failed`].
    Socket,
}

/// A process of a sandbox that was started as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Process {
    /// The runtime.
    Runtime,
    /// An external extension, by its place in the list of them.
    Extension(usize),
}

/// A step that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failure {
    /// What was tried, with the remedy where there is one.
    pub(super) step: String,
    /// The kernel's error number, or zero.
    pub(super) errno: i32,
}

impl Failure {
    pub(super) fn new(step: impl Into<String>, error: &io::Error) -> Self {
        let step = step.into();
        match error.raw_os_error() {
            Some(errno) => Self { step, errno },
            None => Self { step: format!("{step}: {error}"), errno: 0 },
        }
    }

    pub(super) fn error(&self) -> io::Error {
        if self.errno == 0 {
            io::Error::other(self.step.clone())
        } else {
            io::Error::from_raw_os_error(self.errno)
        }
    }
}

/// Names the step of a failed operation.
pub(super) trait Step<T> {
    fn step(self, step: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn step(self, step: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(step(), &error.into()))
    }
}

/// What a starter works with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Configuration {
    /// Part of the name of everything that outlives a process.
    pub(super) server: String,
    /// Directory for mount points and the files behind /tmp, on a disk.
    pub(super) directory: PathBuf,
    /// Root file system of the sandboxes.
    pub(super) root: RootSpec,
    /// How many prepared sandboxes to keep.
    pub(super) pool: usize,
    /// Size of the /tmp of prepared file systems.
    pub(super) tmp: MemoryMib,
    /// What instances can reach.
    pub(super) network: NetworkSpec,
}

/// What instances can reach, as it goes to the starter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NetworkSpec {
    pub(super) wish: NetworkWish,
    /// Ports of the host.
    pub(super) ports: Vec<u16>,
    /// Other addresses.
    pub(super) addresses: Vec<SocketAddrV4>,
    pub(super) connections_limit: u32,
    pub(super) resolvers: Vec<IpAddr>,
}

/// How much a network is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum NetworkWish {
    /// Not.
    None,
    /// Where it can be had.
    Auto,
    /// Without one the starter is of no use.
    Routed,
}

/// A cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HostSpec {
    pub(super) host: HostId,
    pub(super) memory: MemoryMib,
    pub(super) milli_cpus: u32,
    pub(super) cpus: Option<String>,
    pub(super) reveal: HostIds,
}

impl HostSpec {
    /// Name of its control group.
    pub(super) fn group(&self) -> String {
        self.reveal.instance_root_id.clone().unwrap_or_else(|| self.host.to_string())
    }
}

/// What instances see of their host. What is None is made up anew for each instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HostIds {
    /// /etc/machine-id: 32 hexadecimal digits.
    pub(super) machine_id: Option<String>,
    /// /proc/sys/kernel/random/boot_id: a UUID.
    pub(super) boot_id: Option<String>,
    /// First part of the path in /proc/self/cgroup, as in `sandbox-root-1f6b2c`; the second names the instance.
    pub(super) instance_root_id: Option<String>,
}

impl HostIds {
    /// Whether nothing of the host is shown: then /proc shows processes and made-up values only.
    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// One start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StartSpec {
    pub(super) instance: InstanceId,
    pub(super) host: HostId,
    /// Directory that is seen as /var/task.
    pub(super) package: PathBuf,
    /// Directory that is seen as /opt, where the function has layers.
    pub(super) layers: Option<PathBuf>,
    pub(super) memory: MemoryMib,
    pub(super) cpu_weight: u32,
    pub(super) tmp: MemoryMib,
    /// How many of the strings that follow are arguments.
    pub(super) arguments: usize,
    /// How many of those after them are files of external extensions; the others are the environment.
    pub(super) extensions: usize,
}

/// A new process to the starter.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Report {
    /// It has its namespaces; that of its mounts is beside this message, and of its network where it made that itself.
    Born,
    /// It has everything but a function, and no privileges any more.
    Prepared,
    /// It cannot become a sandbox.
    Failed(Failure),
}

/// Starter to a new process: what its sandbox has. Beside it are the files with its machine id and boot id, /tmp and
/// the package where they are given, and the `tasks` files to join.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Furnish {
    /// User and group, as the host sees them.
    pub(super) host_user: u32,
    /// How many `tasks` descriptors to join, by writing `0`.
    pub(super) tasks: usize,
    /// What is seen as the root of cgroups.
    pub(super) cgroup_view: CgroupView,
    /// What /tmp is.
    pub(super) tmp: Tmp,
    /// When the package comes.
    pub(super) package: PackageComes,
}

/// When a sandbox gets its package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum PackageComes {
    /// Beside the message.
    Now,
    /// Beside the message, and its layers after it.
    NowWithLayers,
    /// Later; then the starter mounts it, since the sandbox cannot any more.
    Later,
}

/// Starter to a prepared sandbox: what to become. Status channel and output are beside it, and the strings of the start
/// follow.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Command {
    /// How many strings are arguments.
    pub(super) arguments: usize,
    /// How many are files of external extensions; their output is beside the message, after the runtime's.
    pub(super) extensions: usize,
    /// Name of its control group, for the server.
    pub(super) group: String,
}

/// What is seen as the root of cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum CgroupView {
    /// The instance's own cgroup.
    Instance,
    /// The server's cgroup, so that host and instance are seen below it.
    Server,
}

/// How /proc is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ProcView {
    /// As the kernel shows it.
    Kernel,
    /// Everything that tells of the machine is hidden or made up.
    MadeUp,
}

/// What /tmp is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Tmp {
    /// A file system beside the message.
    Mount,
    /// A tmpfs of this size in bytes.
    Memory(u64),
}

/// A message as bytes: the length of its JSON, and the JSON. What follows is the message's own.
pub(super) fn encode(message: &impl Serialize) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message).expect("messages have string keys only");
    let length = (bytes.len() - 4) as u32;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes
}

/// What the first process of a sandbox says when the runtime has ended: these four bytes, and the wait status as four more.
///
/// No JSON, since that process has neither a heap nor our code any more. As a length it would be too long.
pub(super) const EXITED: [u8; 4] = [0xff; 4];

/// The wait status in `bytes`, where they are what [`EXITED`] says.
pub(super) fn exited(bytes: &[u8]) -> Option<i32> {
    let status = bytes.strip_prefix(&EXITED)?;
    Some(i32::from_le_bytes(status.try_into().ok()?))
}

/// The message in `bytes`, and what follows it.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<(T, &[u8])> {
    let invalid = |text: &str| io::Error::new(io::ErrorKind::InvalidData, text.to_owned());
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(|| invalid("short message"))?;
    let (json, rest) = rest
        .split_at_checked(u32::from_le_bytes(*length) as usize)
        .ok_or_else(|| invalid("cut message"))?;
    Ok((serde_json::from_slice(json)?, rest))
}

/// The C strings in `bytes`.
pub(super) fn strings(bytes: &[u8]) -> io::Result<Vec<&CStr>> {
    bytes
        .split_inclusive(|byte| *byte == 0)
        .map(|text| CStr::from_bytes_with_nul(text).map_err(io::Error::other))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // A message and the strings behind it come back as they were; a cut one is an error.
    #[test]
    fn messages_come_back() {
        let mut bytes = encode(&Request::Remove(InstanceId(7)));
        bytes.extend_from_slice(b"one\0\0");
        let (request, rest) = decode::<Request>(&bytes).expect("whole");
        assert!(matches!(request, Request::Remove(InstanceId(7))));
        assert_eq!(strings(rest).expect("terminated"), [c"one", c""]);
        assert!(decode::<Request>(&bytes[..9]).is_err());
        assert!(strings(b"one").is_err());
    }
    // The report of an end is told from every other message, and is nothing else.
    #[test]
    fn an_end_is_no_message() {
        let mut bytes = EXITED.to_vec();
        bytes.extend_from_slice(&(-7_i32).to_le_bytes());
        assert_eq!(exited(&bytes), Some(-7));
        assert!(decode::<Report>(&bytes).is_err());
        assert_eq!(exited(&bytes[..7]), None);
        assert_eq!(exited(&encode(&Report::Prepared)), None);
    }
}
