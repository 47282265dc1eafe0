//! System calls that no crate wraps, each behind a safe function.
//!
//! Deliberately knows nothing of sandboxes; the only module of the starter that holds `unsafe`.

mod first_process;

use super::protocol::{Failure, Step};
pub(super) use first_process::FirstProcess;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::ffi::{CStr, CString, c_char, c_int, c_long, c_void};
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Which side of a fork this is.
#[derive(Debug)]
pub(super) enum Forked {
    /// The new process.
    Child,
    /// The old process, with the new one's id and descriptor.
    Parent { pid: i32, pidfd: OwnedFd },
}

fn result(returned: c_long) -> io::Result<c_long> {
    if returned < 0 { Err(io::Error::last_os_error()) } else { Ok(returned) }
}

/// Forks, with `flags` of clone3 (namespaces), into the v2 cgroup `cgroup` where given.
///
/// The process must be single-threaded.
pub(super) fn fork(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Forked> {
    /// linux/sched.h; libc's constant is cut to 32 bits.
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let mut pidfd: RawFd = -1;
    // SAFETY: clone_args is plain data, for which zero is valid in every field.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = flags | libc::CLONE_PIDFD as u64;
    arguments.pidfd = (&raw mut pidfd) as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: without CLONE_VM the child runs on its own copy of this stack; the process is single-threaded, so no lock
    // is left held in the child.
    let pid = result(unsafe {
        libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<libc::clone_args>())
    })?;
    if pid == 0 {
        return Ok(Forked::Child);
    }
    // SAFETY: the kernel has just stored a new descriptor here, which nothing else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Forked::Parent { pid: pid as i32, pidfd })
}

/// Ends the process at once, with no destructor or exit handler run.
pub(super) fn exit(status: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(status) }
}

/// Leaves the named namespaces (`CLONE_NEW*`) for new ones. The process must be single-threaded.
pub(super) fn unshare(flags: c_int) -> io::Result<()> {
    // SAFETY: namespaces only; no flag that unshares memory or descriptors from other threads is passed here.
    result(c_long::from(unsafe { libc::unshare(flags) })).map(drop)
}

/// Enters a namespace of kind `flag` (`CLONE_NEW*`).
pub(super) fn enter_namespace(namespace: BorrowedFd<'_>, flag: c_int) -> io::Result<()> {
    // SAFETY: setns takes a descriptor and a flag, and touches no memory.
    result(c_long::from(unsafe { libc::setns(namespace.as_raw_fd(), flag) })).map(drop)
}

/// Sets the attributes `MOUNT_ATTR_*` on a mount and all below it.
pub(super) fn set_mount_attributes(mount: BorrowedFd<'_>, attributes: u64) -> io::Result<()> {
    mount_setattr(mount, attributes, libc::AT_EMPTY_PATH | libc::AT_RECURSIVE)
}

/// Sets the attributes `MOUNT_ATTR_*` on a mount, and not on those below it.
pub(super) fn set_mount_attributes_here(mount: BorrowedFd<'_>, attributes: u64) -> io::Result<()> {
    mount_setattr(mount, attributes, libc::AT_EMPTY_PATH)
}

fn mount_setattr(mount: BorrowedFd<'_>, attributes: u64, flags: c_int) -> io::Result<()> {
    let attributes =
        libc::mount_attr { attr_set: attributes, attr_clr: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: the path is an empty C string, and the structure outlives the call with the size given.
    result(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    })
    .map(drop)
}

/// Closes every descriptor from `first` on.
pub(super) fn close_from(first: RawFd) -> io::Result<()> {
    // SAFETY: closing descriptors that Rust values own is sound only because callers exec, exit or forget these values.
    result(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) }).map(drop)
}

/// Makes `number` a copy of `descriptor`, kept over exec.
pub(super) fn duplicate_to(descriptor: BorrowedFd<'_>, number: RawFd) -> io::Result<()> {
    // SAFETY: dup2 touches no memory; what was at `number` is a standard stream, which no OwnedFd owns.
    result(c_long::from(unsafe { libc::dup2(descriptor.as_raw_fd(), number) })).map(drop)
}

/// Occupies `number`, for good, so that no descriptor is ever opened there.
pub(super) fn reserve(number: RawFd) -> io::Result<()> {
    let null = std::fs::File::open("/dev/null")?;
    if null.as_raw_fd() == number {
        std::mem::forget(null);
        return Ok(());
    }
    place_at(null.as_fd(), number)
}

/// Makes `number` a copy of `descriptor`, closed at exec. Nothing may own what is there, or it is never used again.
pub(super) fn place_at(descriptor: BorrowedFd<'_>, number: RawFd) -> io::Result<()> {
    // SAFETY: dup3 touches no memory; callers see to it that nothing uses the old descriptor of this number.
    result(c_long::from(unsafe { libc::dup3(descriptor.as_raw_fd(), number, libc::O_CLOEXEC) }))
        .map(drop)
}

/// Takes what is at `number` as owned.
///
/// For descriptors that were placed there by [`place_at`] and that no value owns yet.
pub(super) fn adopt(number: RawFd) -> OwnedFd {
    // SAFETY: callers name numbers that they have placed, once.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// Gives the process a session keyring of its own, empty.
pub(super) fn join_new_session_keyring() -> io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: c_int = 1;
    // SAFETY: a null name asks for an anonymous keyring; no memory is read.
    result(unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            KEYCTL_JOIN_SESSION_KEYRING,
            std::ptr::null::<c_char>(),
            0,
            0,
            0,
        )
    })
    .map(drop)
}

/// Lowers limits of this process and of all that it forks, for good.
pub(super) fn limit_resources(limits: &[(Resource, u64)]) -> Result<(), Failure> {
    limits.iter().try_for_each(|(resource, limit)| {
        let limit = getrlimit(*resource).maximum.map_or(*limit, |maximum| maximum.min(*limit));
        setrlimit(*resource, Rlimit { current: Some(limit), maximum: Some(limit) })
            .step(|| format!("cannot set the limit {resource:?}"))
    })
}

/// Calls prctl with integer arguments.
pub(super) fn process_control(option: c_int, argument: u64) -> io::Result<()> {
    // SAFETY: callers pass options whose arguments are integers.
    result(c_long::from(unsafe { libc::prctl(option, argument, 0, 0, 0) })).map(drop)
}

/// Sets every capability set (effective, permitted, inheritable) to the 64 bits given.
pub(super) fn set_capabilities(effective: u64, permitted: u64) -> io::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    const VERSION_3: u32 = 0x2008_0522;
    let header = Header { version: VERSION_3, pid: 0 };
    let data = [
        effective as u32,
        permitted as u32,
        0,
        (effective >> 32) as u32,
        (permitted >> 32) as u32,
        0,
    ];
    // SAFETY: version 3 reads a header of 8 bytes and two data blocks of 12 bytes, which these are.
    result(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) }).map(drop)
}

/// The permitted capabilities of this process.
pub(super) fn permitted_capabilities() -> io::Result<u64> {
    let mut header = [0x2008_0522_u32, 0];
    let mut data = [0_u32; 6];
    // SAFETY: version 3 writes two data blocks of 12 bytes, which `data` holds.
    result(unsafe { libc::syscall(libc::SYS_capget, header.as_mut_ptr(), data.as_mut_ptr()) })?;
    Ok(u64::from(data[1]) | u64::from(data[4]) << 32)
}

/// Brings the loopback interface of this network namespace up.
pub(super) fn loopback_up(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: ifreq is plain data, for which zero is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as c_char;
    request.ifr_name[1] = b'o' as c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    // SAFETY: SIOCSIFFLAGS reads an ifreq, which outlives the call.
    result(c_long::from(unsafe {
        libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request)
    }))
    .map(drop)
}

/// Blocks the signals given for this thread, and nothing else.
pub(super) fn block_signals(signals: &[c_int]) -> io::Result<()> {
    // SAFETY: a sigset is plain data, made valid by sigemptyset; all pointers are to locals.
    result(c_long::from(unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut())
    }))
    .map(drop)
}

/// Gives a signal its default effect.
pub(super) fn default_signal(signal: c_int) {
    // SAFETY: SIG_DFL is a valid disposition; a failure would mean an invalid signal number, and changes nothing.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// Waits for one of the blocked `signals`, for less than a second. None where none came.
pub(super) fn wait_signal_for(signals: &[c_int], limit: Duration) -> Option<c_int> {
    let limit = libc::timespec { tv_sec: 0, tv_nsec: i64::from(limit.subsec_nanos()) };
    // SAFETY: as in `block_signals`; a null info pointer is allowed.
    let signal = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        libc::sigtimedwait(&raw const set, std::ptr::null_mut(), &raw const limit)
    };
    (signal > 0).then_some(signal)
}

/// Waits for one of the blocked `signals`.
#[cfg(not(target_arch = "x86_64"))]
fn wait_signal(signals: &[c_int]) -> c_int {
    // SAFETY: as in `block_signals`; a null info pointer is allowed.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        libc::sigwaitinfo(&raw const set, std::ptr::null_mut())
    }
}

/// A descriptor that becomes readable when one of the blocked `signals` is pending.
pub(super) fn signal_descriptor(signals: &[c_int]) -> io::Result<OwnedFd> {
    // SAFETY: as in `block_signals`; the new descriptor is owned by nothing else.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        let number = result(c_long::from(libc::signalfd(
            -1,
            &raw const set,
            libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
        )))?;
        Ok(OwnedFd::from_raw_fd(number as RawFd))
    }
}

/// Sends a signal to a process of this pid namespace. A process that is gone is no error.
pub(super) fn signal_process(pid: i32, signal: c_int) {
    // SAFETY: kill touches no memory.
    unsafe { libc::kill(pid, signal) };
}

/// Sends a signal to the process behind a pidfd. A process that is gone is no error.
pub(super) fn signal_pidfd(pidfd: BorrowedFd<'_>, signal: c_int) {
    // SAFETY: a null info asks for a plain signal; no memory is read.
    unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<c_void>(),
            0,
        )
    };
}

/// Reaps one ended child, with its wait status; None where none has ended.
pub(super) fn reap() -> Option<(i32, c_int)> {
    let mut status = 0;
    // SAFETY: the status is a local.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    (pid > 0).then_some((pid, status))
}

/// Waits for one child to end, and reaps it.
pub(super) fn wait_for(pid: i32) {
    // SAFETY: a null status is allowed.
    while unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) } < 0
        && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
    {}
}

/// What to exec: file, arguments and environment as one block of C strings.
#[derive(Debug)]
pub(super) struct Program<'a> {
    /// Arguments, of which the first is the file.
    pub(super) arguments: Vec<&'a CStr>,
    /// NAME=value.
    pub(super) environment: Vec<&'a CStr>,
}

/// Executes a program in place of this process, with no signal blocked. Returns only where that failed.
pub(super) fn execute(program: &Program<'_>) -> io::Error {
    let pointers = |strings: &[&CStr]| -> Vec<*const c_char> {
        strings.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (arguments, environment) = (pointers(&program.arguments), pointers(&program.environment));
    let Some(file) = program.arguments.first() else {
        return io::Error::from_raw_os_error(libc::EINVAL);
    };
    if let Err(error) = block_signals(&[]) {
        return error;
    }
    // SAFETY: both arrays end with a null and point at C strings that outlive the call.
    unsafe { libc::execve(file.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

extern "C" fn run<F: FnOnce()>(work: *mut c_void) -> c_int {
    // SAFETY: `run_beside` passes an Option<F> that it does not touch until this process has left its memory.
    let work = unsafe { (*work.cast::<Option<F>>()).take() };
    if let Some(work) = work {
        work();
    }
    exit(127)
}

/// Runs `work` in a child that borrows this process's memory until it has executed a program or ended, closes every
/// descriptor of this process from `first` on, and returns the child's pid when it has its memory for itself again.
///
/// So nothing is copied, as with vfork; but this process waits as any other does, and does not add to the machine's load.
pub(super) fn run_beside<F: FnOnce()>(work: F, first: RawFd) -> io::Result<i32> {
    borrow(work, || close_from(first))
}

/// As [`run_beside`], and closes nothing.
pub(super) fn run_borrowing<F: FnOnce()>(work: F) -> io::Result<i32> {
    borrow(work, || Ok(()))
}

/// Runs `work` in a child that borrows this process's memory, and `meanwhile`, which must use none of it but its own, here.
fn borrow<F: FnOnce()>(work: F, meanwhile: impl FnOnce() -> io::Result<()>) -> io::Result<i32> {
    const STACK: usize = 128 << 10;
    // SAFETY: a new anonymous mapping touches nothing that exists.
    let stack = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            STACK,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK,
            -1,
            0,
        )
    };
    if stack == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let mut work = Some(work);
    let borrowed = AtomicU32::new(1);
    // SAFETY: the stack is ours, its end aligned to pages; this process does nothing but wait in system calls until the
    // child no longer uses it, `work` or the heap, which the kernel tells by clearing `borrowed`.
    let pid = result(c_long::from(unsafe {
        libc::clone(
            run::<F>,
            stack.byte_add(STACK),
            libc::CLONE_VM | libc::CLONE_CHILD_CLEARTID | libc::SIGCHLD,
            (&raw mut work).cast(),
            std::ptr::null_mut::<c_int>(),
            std::ptr::null_mut::<c_void>(),
            borrowed.as_ptr(),
        )
    }))? as i32;
    let closed = meanwhile();
    while borrowed.load(Ordering::Acquire) != 0 {
        // SAFETY: the word outlives the call. The kernel wakes by its address, for all processes, so not FUTEX_PRIVATE_FLAG.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                borrowed.as_ptr(),
                libc::FUTEX_WAIT,
                1,
                std::ptr::null::<libc::timespec>(),
            )
        };
    }
    // SAFETY: nobody uses the stack any more.
    unsafe { libc::munmap(stack, STACK) };
    closed.map(|()| pid)
}

/// Overwrites what holds secrets before it is given back.
pub(super) fn forget(mut memory: Vec<u8>) {
    memory.fill(0);
    std::hint::black_box(&memory);
}

/// Attaches `file` to a free loop device, which lets go of it by itself when it is no longer used.
/// Returns the device, open, and its path.
pub(super) fn attach_loop(file: BorrowedFd<'_>) -> io::Result<(OwnedFd, CString)> {
    const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4C82;
    const LOOP_CONFIGURE: libc::c_ulong = 0x4C0A;
    const LO_FLAGS_AUTOCLEAR: u32 = 4;
    const ATTEMPTS: usize = 64;
    #[repr(C)]
    struct Config {
        descriptor: u32,
        block_size: u32,
        info: [u64; 29],
        reserved: [u64; 8],
    }
    /// Index of lo_flags, a u32, in loop_info64 as u64s: 5 u64 before it, then number, encrypt type and key size.
    const FLAGS_WORD: usize = 6;
    let control = std::fs::File::options().read(true).write(true).open("/dev/loop-control")?;
    for _ in 0..ATTEMPTS {
        // SAFETY: LOOP_CTL_GET_FREE takes no argument.
        let number = result(c_long::from(unsafe {
            libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE, 0)
        }))?;
        let path = format!("/dev/loop{number}");
        let device = std::fs::File::options().read(true).write(true).open(&path)?;
        let mut config = Config {
            descriptor: file.as_raw_fd() as u32,
            block_size: 4096,
            info: [0; 29],
            reserved: [0; 8],
        };
        config.info[FLAGS_WORD] = u64::from(LO_FLAGS_AUTOCLEAR) << 32;
        // SAFETY: the structure has the layout and size of the kernel's loop_config and outlives the call.
        let configured = result(c_long::from(unsafe {
            libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &raw const config)
        }));
        match configured {
            Ok(_) => {
                let path = CString::new(path).map_err(io::Error::other)?;
                return Ok((device.into(), path));
            }
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::from_raw_os_error(libc::EBUSY))
}

/// Landlock: what this process and its children may still do with files.
#[derive(Debug)]
pub(super) struct Landlock {
    ruleset: OwnedFd,
    handled: u64,
}

impl Landlock {
    /// The version of landlock's interface, or None where the kernel has none.
    pub(super) fn version() -> Option<u32> {
        const CREATE_RULESET_VERSION: u32 = 1;
        // SAFETY: with this flag a null attribute of size zero is what the kernel asks for.
        let version = unsafe {
            libc::syscall(
                libc::SYS_landlock_create_ruleset,
                std::ptr::null::<c_void>(),
                0,
                CREATE_RULESET_VERSION,
            )
        };
        u32::try_from(version).ok().filter(|version| *version > 0)
    }

    /// A ruleset that refuses all of `handled` (`LANDLOCK_ACCESS_FS_*`) where no rule grants it.
    pub(super) fn new(handled: u64) -> io::Result<Self> {
        // SAFETY: the attribute is one u64, which every version accepts with size 8.
        let number = result(unsafe {
            libc::syscall(libc::SYS_landlock_create_ruleset, &raw const handled, 8, 0)
        })?;
        // SAFETY: a new descriptor that nothing else owns.
        Ok(Self { ruleset: unsafe { OwnedFd::from_raw_fd(number as RawFd) }, handled })
    }

    /// Grants `allowed`, as far as it is handled, beneath a directory.
    pub(super) fn allow(&self, beneath: impl AsFd, allowed: u64) -> io::Result<()> {
        #[repr(C, packed)]
        struct Beneath {
            allowed: u64,
            parent: i32,
        }
        const RULE_PATH_BENEATH: c_int = 1;
        let rule = Beneath { allowed: allowed & self.handled, parent: beneath.as_fd().as_raw_fd() };
        // SAFETY: the rule is a packed landlock_path_beneath_attr that outlives the call.
        result(unsafe {
            libc::syscall(
                libc::SYS_landlock_add_rule,
                self.ruleset.as_raw_fd(),
                RULE_PATH_BENEATH,
                &raw const rule,
                0,
            )
        })
        .map(drop)
    }

    /// Puts the rules into force, for good. Needs no_new_privs.
    pub(super) fn restrict(self) -> io::Result<()> {
        // SAFETY: takes a descriptor and flags.
        result(unsafe {
            libc::syscall(libc::SYS_landlock_restrict_self, self.ruleset.as_raw_fd(), 0)
        })
        .map(drop)
    }
}
