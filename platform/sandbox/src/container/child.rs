//! What a new process does to become a sandbox, from its first namespace to the exec of the runtime.
//!
//! In three stages: what every sandbox has; what this one has, after which it has no privileges any more; and the function,
//! when there is one. Sandboxes wait for theirs behind all their walls. The order is what keeps it safe, and steps say why
//! they are where they are. Deliberately knows nothing of pools, and decides nothing.

use super::channel::{Channel, MESSAGE_LIMIT, Received};
use super::init;
use super::mounts::{self, FileSystem, WRITABLE};
use super::networks::Network;
use super::proc_view;
use super::protocol::{
    self, CgroupView, Command, Failure, Furnish, PackageComes, ProcView, Report, Status, Step, Tmp,
};
use super::rootfs::{GROUP, Privilege, USER};
use super::seccomp::Refused;
use super::system::{self, Landlock, Program};
use super::warden;
use rustix::process::Resource;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Address of the Runtime API inside a sandbox, as AWS_LAMBDA_RUNTIME_API has it.
pub const RUNTIME_API: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 9001);

/// Where a sandbox sees its package.
pub(super) const PACKAGE: &str = "/var/task";
/// Where a sandbox sees its layers.
pub(super) const LAYERS: &str = "/opt";

/// Name of the machine inside.
const HOST_NAME: &[u8] = b"localhost";

/// What a sandbox starts with.
#[derive(Debug)]
pub(super) struct Birth<'a> {
    /// To the starter.
    pub(super) channel: Channel,
    /// The root file system to copy.
    pub(super) template: &'a OwnedFd,
    /// The network that was made for it; None where it makes its own.
    pub(super) network: Option<&'a Network>,
    pub(super) refused: &'a Refused,
    /// What of /proc needs no cover.
    pub(super) closed: &'a proc_view::Closed,
    pub(super) privilege: Privilege,
    pub(super) proc_view: ProcView,
}

/// Number at which a new sandbox holds its channel; what the starter had open above is closed.
pub(super) const CHANNEL: i32 = 3;
/// Number at which it holds the root file system to copy.
pub(super) const TEMPLATE: i32 = 4;
/// Number at which it holds the network that was made for it, if there is one.
pub(super) const NETWORK: i32 = 5;
/// Number at which it holds the listener in that network.
pub(super) const LISTENER: i32 = 6;

/// Becomes a sandbox. Never returns to the starter's code.
pub(super) fn run(birth: Birth<'_>) -> ! {
    // The starter has nothing at these numbers: its own descriptors are above them.
    let moved = system::place_at(birth.channel.as_fd(), CHANNEL)
        .and_then(|()| system::place_at(birth.template.as_fd(), TEMPLATE))
        .and_then(|()| match birth.network {
            Some(network) => system::place_at(network.namespace.as_fd(), NETWORK)
                .and_then(|()| system::place_at(network.listener.as_fd(), LISTENER))
                .and_then(|()| system::close_from(LISTENER + 1)),
            None => system::close_from(TEMPLATE + 1),
        });
    if moved.is_err() {
        system::exit(1);
    }
    let channel = Channel::from_descriptor(system::adopt(CHANNEL));
    let report = |report: &Report, beside: &[BorrowedFd<'_>]| {
        // Without a starter this process ends anyway.
        let _gone = channel.send(&[&protocol::encode(report)], beside);
    };
    let mut buffer = vec![0; MESSAGE_LIMIT];
    let prepared = be_born(&system::adopt(TEMPLATE), &birth).and_then(|born| {
        let mut beside = vec![born.mounts.as_fd()];
        beside.extend(born.network.as_ref().map(AsFd::as_fd));
        report(&Report::Born, &beside);
        furnish(&channel, &mut buffer, &birth)?;
        Ok(born.listener)
    });
    match prepared {
        Err(failure) => report(&Report::Failed(failure), &[]),
        Ok(listener) => {
            report(&Report::Prepared, &[]);
            wait_for_function(&channel, buffer, &listener);
        }
    }
    system::exit(1)
}

/// What the first stage makes.
struct Born {
    /// Its network, where it made that itself.
    network: Option<OwnedFd>,
    mounts: OwnedFd,
    listener: TcpListener,
}

/// First stage: what every sandbox has.
fn be_born(template: &OwnedFd, birth: &Birth<'_>) -> Result<Born, Failure> {
    die_with_parent()?;
    system::block_signals(&init::SIGNALS).step(|| "cannot block signals".to_owned())?;
    system::default_signal(libc::SIGPIPE);
    rustix::process::setsid().step(|| "cannot make a session".to_owned())?;
    system::enter_namespace(template.as_fd(), libc::CLONE_NEWNS)
        .step(|| "cannot enter the root file system".to_owned())?;
    let own_network = match birth.network {
        Some(_) => {
            system::enter_namespace(system::adopt(NETWORK).as_fd(), libc::CLONE_NEWNET)
                .step(|| "cannot enter its network".to_owned())?;
            0
        }
        None => libc::CLONE_NEWNET,
    };
    system::unshare(libc::CLONE_NEWNS | own_network | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS)
        .step(|| "cannot make namespaces (see sysctl user.max_*_namespaces)".to_owned())?;
    rustix::system::sethostname(HOST_NAME).step(|| "cannot name the sandbox".to_owned())?;
    let proc =
        FileSystem { kind: "proc", options: &[], attributes: WRITABLE | libc::MOUNT_ATTR_NOEXEC };
    mounts::attach(mounts::new(proc)?, Path::new("/proc"))?;
    if birth.proc_view == ProcView::MadeUp {
        proc_view::hide(birth.closed)?;
    }
    let shared = FileSystem {
        kind: "tmpfs",
        options: &[("mode", "1777"), ("size", "64m"), ("nr_inodes", "4096")],
        attributes: WRITABLE | libc::MOUNT_ATTR_NOEXEC,
    };
    mounts::attach(mounts::new(shared)?, Path::new("/dev/shm"))?;
    let open = |kind: &str| -> Result<OwnedFd, Failure> {
        let path = format!("/proc/self/ns/{kind}");
        File::open(&path).map(OwnedFd::from).step(|| format!("cannot open {path}"))
    };
    let (network, listener) = match birth.network {
        Some(_) => (None, TcpListener::from(system::adopt(LISTENER))),
        None => (Some(open("net")?), listen()?),
    };
    Ok(Born { network, mounts: open("mnt")?, listener })
}

/// The starter's end is the sandbox's end, also where the starter is killed.
fn die_with_parent() -> Result<(), Failure> {
    system::process_control(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64)
        .step(|| "cannot bind this process to the starter".to_owned())
}

/// The Runtime API's listener in the network that this process is in, whose loopback it brings up.
pub(super) fn listen() -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(RUNTIME_API);
    // A new namespace's loopback is down, and yet can be bound to; connections need it up.
    let listener = listener.step(|| "cannot listen in the sandbox".to_owned())?;
    system::loopback_up(listener.as_fd()).step(|| "cannot bring loopback up".to_owned())?;
    listener.set_nonblocking(true).step(|| "cannot set the listener nonblocking".to_owned())?;
    Ok(listener)
}

/// Second stage: what this sandbox has. After it this process has no privileges, and never will.
fn furnish(channel: &Channel, buffer: &mut [u8], birth: &Birth<'_>) -> Result<(), Failure> {
    let cannot = || "the starter is not understood".to_owned();
    let Received::Message(length, descriptors) = channel.receive(buffer).step(cannot)? else {
        system::exit(0);
    };
    let (furnish, _) = protocol::decode::<Furnish>(&buffer[..length]).step(cannot)?;
    let mut descriptors = descriptors.into_iter();
    let mut next = || descriptors.next().ok_or_else(|| Failure { step: cannot(), errno: 0 });
    let (machine_id, boot_id) = (next()?, next()?);
    let tmp = if furnish.tmp == Tmp::Mount { Some(next()?) } else { None };
    let mut code = Vec::new();
    if furnish.package != PackageComes::Later {
        code.push((next()?, PACKAGE));
    }
    if furnish.package == PackageComes::NowWithLayers {
        code.push((next()?, LAYERS));
    }
    // First the limits, so that all memory from here on is the instance's. A process that writes its own `0` into
    // `tasks` spares the wait for a grace period that other ways of joining have.
    for _ in 0..furnish.tasks {
        rustix::io::write(next()?, b"0").step(|| "cannot join a control group".to_owned())?;
    }
    // After the join: before it, this namespace would show the path from the host's root.
    if furnish.cgroup_view == CgroupView::Instance {
        system::unshare(libc::CLONE_NEWCGROUP)
            .step(|| "cannot make a control group namespace".to_owned())?;
    }
    mounts::attach(&machine_id, Path::new("/etc/machine-id"))?;
    mounts::attach(&boot_id, Path::new("/proc/sys/kernel/random/boot_id"))?;
    for (mount, place) in code {
        mounts::attach(mount, Path::new(place))?;
    }
    mount_tmp(furnish.tmp, tmp)?;
    become_user(furnish.host_user, birth.privilege)?;
    die_with_parent()?;
    limit_resources()?;
    drop_capabilities()?;
    system::process_control(libc::PR_SET_NO_NEW_PRIVS, 1)
        .step(|| "cannot forgo new privileges".to_owned())?;
    restrict_files()?;
    standard_streams()?;
    birth.refused.install().map_err(|error| Failure { step: error.to_string(), errno: 0 })
}

fn mount_tmp(kind: Tmp, given: Option<OwnedFd>) -> Result<(), Failure> {
    let mount = match (kind, given) {
        (_, Some(mount)) => mount,
        (Tmp::Memory(bytes), None) => {
            let size = bytes.to_string();
            let options = [("mode", "1777"), ("size", size.as_str()), ("nr_inodes", "32768")];
            mounts::new(FileSystem { kind: "tmpfs", options: &options, attributes: WRITABLE })?
        }
        (Tmp::Mount, None) => {
            return Err(Failure { step: "no /tmp was given".to_owned(), errno: 0 });
        }
    };
    mounts::attach(mount, Path::new("/tmp"))
}

/// Third stage: the function. A process for it is there before anyone knows which, so that all that is left to do then is
/// to execute; this one becomes the first process of the sandbox. Returns where that is impossible.
fn wait_for_function(channel: &Channel, mut buffer: Vec<u8>, listener: &TcpListener) {
    let mut length = 0;
    let beside = || {
        if let Ok(Received::Message(received, descriptors)) = channel.receive(&mut buffer) {
            length = received;
            become_function(&buffer[..received], descriptors, listener);
        }
    };
    let Ok(runtime) = system::run_beside(beside, CHANNEL + 1) else { return };
    // Other processes of the sandbox cannot read this one's memory; secrets leave it all the same.
    buffer[..length].fill(0);
    std::hint::black_box(&buffer);
    init::look_after(runtime, CHANNEL)
}

/// In the function's process: executes. Returns where that failed, which it has said.
fn become_function(message: &[u8], descriptors: Vec<OwnedFd>, listener: &TcpListener) {
    let Ok((command, strings)) = protocol::decode::<Command>(message) else { return };
    let mut descriptors = descriptors.into_iter();
    let (Some(status), Some(output)) = (descriptors.next(), descriptors.next()) else { return };
    let extension_output = descriptors.next();
    // The exec closes it, and so is seen.
    let status = Channel::from_descriptor(status);
    let listening = protocol::encode(&Status::Listening { group: command.group.clone() });
    // A server that is gone needs neither this nor what follows.
    let _gone = status.send(&[&listening], &[listener.as_fd()]);
    let (status, failure) = match extension_output {
        None => {
            let failure = execute(strings, command.arguments, &output);
            (status, failure)
        }
        Some(beside) => match warden::watch(status, &command, strings, (output, beside)) {
            Ok(()) => return,
            Err(failed) => failed,
        },
    };
    let _gone = status.send(&[&protocol::encode(&Status::Failed(failure))], &[]);
}

/// Becomes the instance's own host user, then the only user of a namespace of its own.
///
/// The mount, network and pid namespaces are the host root's, and stay so: even all capabilities of the new namespace
/// would change nothing in them.
fn become_user(host_user: u32, privilege: Privilege) -> Result<(), Failure> {
    let cannot = || "cannot become the function's user".to_owned();
    if privilege == Privilege::Root {
        use rustix::fs::{Gid, Uid};
        let (user, group) = (Uid::from_raw(host_user), Gid::from_raw(host_user));
        rustix::thread::set_thread_groups(&[]).step(cannot)?;
        rustix::thread::set_thread_res_gid(group, group, group).step(cannot)?;
        // Some distributions let only the privileged make user namespaces.
        rustix::thread::set_keep_capabilities(true).step(cannot)?;
        rustix::thread::set_thread_res_uid(user, user, user).step(cannot)?;
        let permitted = system::permitted_capabilities().step(cannot)?;
        system::set_capabilities(permitted, permitted).step(cannot)?;
    }
    system::unshare(libc::CLONE_NEWUSER)
        .step(|| "cannot make a user namespace (see sysctl user.max_user_namespaces)".to_owned())?;
    // The maps are files of this process, which are its own user's only while it could be dumped.
    system::process_control(libc::PR_SET_DUMPABLE, 1).step(cannot)?;
    for (file, text) in [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("{USER} {host_user} 1")),
        ("/proc/self/gid_map", format!("{GROUP} {host_user} 1")),
    ] {
        fs::write(file, text).step(|| format!("cannot write {file}"))?;
    }
    system::process_control(libc::PR_SET_DUMPABLE, 0).step(cannot)?;
    match system::join_new_session_keyring() {
        Err(error) if error.raw_os_error() != Some(libc::ENOSYS) => {
            Err(Failure::new("cannot make a session keyring", &error))
        }
        _ => Ok(()),
    }
}

/// Limits of one user and of one process that control groups do not know. Others the starter has already.
fn limit_resources() -> Result<(), Failure> {
    system::limit_resources(&[(Resource::Nofile, 1024), (Resource::Nproc, 1025)])
}

fn drop_capabilities() -> Result<(), Failure> {
    let cannot = || "cannot drop capabilities".to_owned();
    for capability in 0..64 {
        match system::process_control(libc::PR_CAPBSET_DROP, capability) {
            // Beyond the last one that this kernel knows.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            dropped => dropped.step(cannot)?,
        }
    }
    system::set_capabilities(0, 0).step(cannot)
}

/// Landlock: files may be written in /tmp, /dev and /proc only, whatever is mounted how.
fn restrict_files() -> Result<(), Failure> {
    /// LANDLOCK_ACCESS_FS_* of the interface's first version: 13 rights, of which the first and third and fourth read.
    const EXECUTE: u64 = 1;
    const WRITE_FILE: u64 = 1 << 1;
    const READ_FILE: u64 = 1 << 2;
    const READ_DIR: u64 = 1 << 3;
    const ALL: u64 = (1 << 13) - 1;
    const MAKE_CHAR: u64 = 1 << 6;
    const MAKE_BLOCK: u64 = 1 << 11;
    const REFER: u64 = 1 << 13;
    const TRUNCATE: u64 = 1 << 14;
    const READ: u64 = EXECUTE | READ_FILE | READ_DIR;
    let handled = match Landlock::version() {
        None => return Ok(()),
        Some(1) => ALL,
        Some(2) => ALL | REFER,
        Some(_) => ALL | REFER | TRUNCATE,
    };
    let cannot = || "cannot restrict files by landlock".to_owned();
    let landlock = Landlock::new(handled).step(cannot)?;
    let write = handled & !(MAKE_CHAR | MAKE_BLOCK);
    for (path, allowed) in [
        ("/", READ),
        ("/tmp", write),
        ("/dev/shm", write),
        ("/dev", WRITE_FILE | TRUNCATE | READ),
        ("/proc", WRITE_FILE | TRUNCATE | READ),
    ] {
        let beneath = File::open(path).step(|| format!("cannot open {path}"))?;
        landlock.allow(beneath, allowed).step(cannot)?;
    }
    landlock.restrict().step(cannot)
}

/// Standard input is nothing, and output too until there is a function.
fn standard_streams() -> Result<(), Failure> {
    let cannot = || "cannot connect the standard streams".to_owned();
    let null = File::options().read(true).write(true).open("/dev/null").step(cannot)?;
    (0..=2).try_for_each(|number| system::duplicate_to(null.as_fd(), number)).step(cannot)
}

/// Executes, or says why that failed.
fn execute(strings: &[u8], arguments: usize, output: &OwnedFd) -> Failure {
    let prepared = || {
        let strings = protocol::strings(strings).step(|| "no valid arguments".to_owned())?;
        let Some((arguments, environment)) = strings.split_at_checked(arguments) else {
            return Err(Failure { step: "fewer arguments than promised".to_owned(), errno: 0 });
        };
        rustix::process::chdir(PACKAGE).step(|| format!("cannot enter {PACKAGE}"))?;
        system::duplicate_to(output.as_fd(), 1)
            .and_then(|()| system::duplicate_to(output.as_fd(), 2))
            .step(|| "cannot connect the runtime's output".to_owned())?;
        Ok(Program { arguments: arguments.to_vec(), environment: environment.to_vec() })
    };
    match prepared() {
        Err(failure) => failure,
        Ok(program) => {
            let error = system::execute(&program);
            let file = program.arguments.first().map(|file| file.to_string_lossy());
            Failure::new(format!("cannot execute {}", file.unwrap_or_default()), &error)
        }
    }
}
