//! Which system calls a function may use.
//!
//! Two filters. The allow-list is the starter's own already, so that no start pays for it: what is not on it does not exist
//! (ENOSYS, on which C libraries fall back). It allows the starter's calls too; the second filter, short, takes these from
//! functions (EPERM), and some arguments of others. Deliberately knows nothing of when they are installed.

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, sock_filter};

/// Why filters cannot be made or installed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SeccompError {
    /// Not compiled.
    #[error("cannot compile the filter of system calls")]
    Compile(#[from] seccompiler::BackendError),
    /// Not installed.
    #[error("cannot install the filter of system calls")]
    Install(#[from] seccompiler::Error),
}

/// Puts the allow-list into force for this process and all that it forks, for good; sets no_new_privs.
pub(super) fn install_allowed() -> Result<(), SeccompError> {
    Ok(seccompiler::apply_filter(&allowed()?)?)
}

fn allowed() -> Result<BpfProgram, SeccompError> {
    let calls = ALLOWED.iter().chain(ALLOWED_HERE).chain(STARTER);
    let rules = calls.map(|call| (*call, Vec::new())).collect();
    let missing = SeccompAction::Errno(libc::ENOSYS as u32);
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let filter = SeccompFilter::new(rules, missing, SeccompAction::Allow, arch)?;
    Ok(BpfProgram::try_from(filter)?)
}

/// What functions are refused of what is allowed to the starter.
#[derive(Clone, Debug)]
pub(super) struct Refused(BpfProgram);

impl Refused {
    /// Assembles the filter.
    pub(super) fn assemble() -> Self {
        Self(assemble(&refused()))
    }

    /// Puts it into force for this process, for good.
    pub(super) fn install(&self) -> Result<(), SeccompError> {
        Ok(seccompiler::apply_filter(&self.0)?)
    }
}

/// What the starter needs to make sandboxes, and its helpers, and a function does not get.
const STARTER: &[i64] = &[
    CLONE3,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_keyctl,
    libc::SYS_landlock_add_rule,
    libc::SYS_landlock_create_ruleset,
    libc::SYS_landlock_restrict_self,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_pivot_root,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_umount2,
    libc::SYS_unshare,
];

const CLONE3: i64 = libc::SYS_clone3;

/// Flags of clone that make namespaces. CLONE_NEWTIME is a signal number to clone, and clone3 does not exist here.
const NAMESPACES: i32 = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET;

/// Socket families that stay inside the sandbox's network namespace; netlink for routes only. AF_VSOCK reaches the
/// hypervisor, AF_ALG and AF_PACKET the kernel's rarely tried parts.
const FAMILIES: [i32; 3] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6];

/// One step of a filter. Jumps go forward only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Looks at the call's number.
    Number,
    /// Looks at the lower half of an argument.
    Argument(u8),
    /// Goes on at a label where what it looks at is this.
    Equal(u32, Label),
    /// Goes on at a label where any of these bits is set.
    Any(u32, Label),
    /// Where jumps go.
    At(Label),
    /// Ends with an action.
    End(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Label {
    Socket,
    Netlink,
    SocketPair,
    Clone,
    Ioctl,
    Personality,
    Allow,
    Refuse,
    Missing,
}

fn refused() -> Vec<Step> {
    use Step::{Any, Argument, At, End, Equal, Number};
    let mut steps = vec![Number];
    let number = |call: i64| call as u32;
    // glibc makes threads by clone only where clone3 is missing, not where it is refused.
    steps.push(Equal(number(CLONE3), Label::Missing));
    steps.extend([
        Equal(number(libc::SYS_socket), Label::Socket),
        Equal(number(libc::SYS_socketpair), Label::SocketPair),
        Equal(number(libc::SYS_clone), Label::Clone),
        Equal(number(libc::SYS_ioctl), Label::Ioctl),
        Equal(number(libc::SYS_personality), Label::Personality),
    ]);
    steps.extend(STARTER.iter().map(|call| Equal(number(*call), Label::Refuse)));
    steps.extend([End(libc::SECCOMP_RET_ALLOW), At(Label::Socket), Argument(0)]);
    steps.push(Equal(libc::AF_NETLINK as u32, Label::Netlink));
    // What is no netlink is judged as a pair's family is.
    steps.extend([At(Label::SocketPair), Argument(0)]);
    steps.extend(FAMILIES.iter().map(|family| Equal(*family as u32, Label::Allow)));
    steps.push(End(errno(libc::EPERM)));
    steps.extend([
        At(Label::Netlink),
        Argument(2),
        Equal(libc::NETLINK_ROUTE as u32, Label::Allow),
        End(errno(libc::EPERM)),
        At(Label::Clone),
        Argument(0),
        Any(NAMESPACES as u32, Label::Refuse),
        End(libc::SECCOMP_RET_ALLOW),
        // Text put into a terminal's input is typed by whoever holds it.
        At(Label::Ioctl),
        Argument(1),
        Equal(libc::TIOCSTI as u32, Label::Refuse),
        Equal(libc::TIOCLINUX as u32, Label::Refuse),
        End(libc::SECCOMP_RET_ALLOW),
        // None, addresses without randomness (debuggers), and asking.
        At(Label::Personality),
        Argument(0),
        Equal(0, Label::Allow),
        Equal(libc::ADDR_NO_RANDOMIZE as u32, Label::Allow),
        Equal(u32::MAX, Label::Allow),
        At(Label::Refuse),
        End(errno(libc::EPERM)),
        At(Label::Missing),
        End(errno(libc::ENOSYS)),
        At(Label::Allow),
        End(libc::SECCOMP_RET_ALLOW),
    ]);
    steps
}

fn errno(number: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | number as u32
}

/// Classic BPF (linux/filter.h): code, jump if true, jump if false, operand.
fn assemble(steps: &[Step]) -> BpfProgram {
    /// Offset of the arguments in struct seccomp_data, each eight bytes, lower half first on the machines we know.
    const ARGUMENTS: u32 = 16;
    const LOAD: u16 = 0x20;
    const JUMP_EQUAL: u16 = 0x15;
    const JUMP_ANY: u16 = 0x45;
    const RETURN: u16 = 0x06;
    let instruction = |code, jt, k| sock_filter { code, jt, jf: 0, k };
    let is_label = |step: &&Step| matches!(step, Step::At(_));
    steps
        .iter()
        .enumerate()
        .filter_map(|(here, step)| {
            let distance = |label: Label| {
                let rest = &steps[here + 1..];
                let there = rest.iter().position(|step| *step == Step::At(label));
                let there = there.expect("every label is placed after its jumps");
                let labels = rest[..there].iter().filter(is_label).count();
                u8::try_from(there - labels).expect("the filter is short")
            };
            match *step {
                Step::Number => Some(instruction(LOAD, 0, 0)),
                Step::Argument(index) => {
                    Some(instruction(LOAD, 0, ARGUMENTS + 8 * u32::from(index)))
                }
                Step::Equal(value, label) => Some(instruction(JUMP_EQUAL, distance(label), value)),
                Step::Any(bits, label) => Some(instruction(JUMP_ANY, distance(label), bits)),
                Step::At(_) => None,
                Step::End(action) => Some(instruction(RETURN, 0, action)),
            }
        })
        .collect()
}

/// What programs need, on every architecture.
const ALLOWED: &[i64] = &[
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_brk,
    libc::SYS_capget,
    libc::SYS_capset,
    libc::SYS_chdir,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_clone,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_connect,
    libc::SYS_copy_file_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fadvise64,
    libc::SYS_fallocate,
    libc::SYS_fchdir,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_fgetxattr,
    libc::SYS_flistxattr,
    libc::SYS_flock,
    libc::SYS_fremovexattr,
    libc::SYS_fsetxattr,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_futex,
    libc::SYS_futex_waitv,
    libc::SYS_get_mempolicy,
    libc::SYS_get_robust_list,
    libc::SYS_getcpu,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getgroups,
    libc::SYS_getitimer,
    libc::SYS_getpeername,
    libc::SYS_getpgid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getpriority,
    libc::SYS_getrandom,
    libc::SYS_getresgid,
    libc::SYS_getresuid,
    libc::SYS_getrlimit,
    libc::SYS_getrusage,
    libc::SYS_getsid,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_getuid,
    libc::SYS_getxattr,
    libc::SYS_inotify_add_watch,
    libc::SYS_inotify_init1,
    libc::SYS_inotify_rm_watch,
    libc::SYS_io_cancel,
    libc::SYS_io_destroy,
    libc::SYS_io_getevents,
    libc::SYS_io_setup,
    libc::SYS_io_submit,
    libc::SYS_ioctl,
    libc::SYS_ioprio_get,
    libc::SYS_ioprio_set,
    libc::SYS_kill,
    libc::SYS_lgetxattr,
    libc::SYS_linkat,
    libc::SYS_listen,
    libc::SYS_listxattr,
    libc::SYS_llistxattr,
    libc::SYS_lremovexattr,
    libc::SYS_lseek,
    libc::SYS_lsetxattr,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_memfd_create,
    libc::SYS_mincore,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_mlock,
    libc::SYS_mlock2,
    libc::SYS_mlockall,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mq_getsetattr,
    libc::SYS_mq_notify,
    libc::SYS_mq_open,
    libc::SYS_mq_timedreceive,
    libc::SYS_mq_timedsend,
    libc::SYS_mq_unlink,
    libc::SYS_mremap,
    libc::SYS_msgctl,
    libc::SYS_msgget,
    libc::SYS_msgrcv,
    libc::SYS_msgsnd,
    libc::SYS_msync,
    libc::SYS_munlock,
    libc::SYS_munlockall,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_personality,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_pipe2,
    libc::SYS_pkey_alloc,
    libc::SYS_pkey_free,
    libc::SYS_pkey_mprotect,
    libc::SYS_ppoll,
    libc::SYS_prctl,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_prlimit64,
    libc::SYS_pselect6,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_read,
    libc::SYS_readahead,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmmsg,
    libc::SYS_recvmsg,
    libc::SYS_remap_file_pages,
    libc::SYS_removexattr,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getattr,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_rr_get_interval,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_setattr,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_yield,
    libc::SYS_seccomp,
    libc::SYS_semctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_sendfile,
    libc::SYS_sendmmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_setfsgid,
    libc::SYS_setfsuid,
    libc::SYS_setgid,
    libc::SYS_setgroups,
    libc::SYS_setitimer,
    libc::SYS_setpgid,
    libc::SYS_setpriority,
    libc::SYS_setregid,
    libc::SYS_setresgid,
    libc::SYS_setresuid,
    libc::SYS_setreuid,
    libc::SYS_setrlimit,
    libc::SYS_setsid,
    libc::SYS_setsockopt,
    libc::SYS_setuid,
    libc::SYS_setxattr,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_shmdt,
    libc::SYS_shmget,
    libc::SYS_shutdown,
    libc::SYS_sigaltstack,
    libc::SYS_signalfd4,
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_splice,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_symlinkat,
    libc::SYS_sync,
    libc::SYS_sync_file_range,
    libc::SYS_syncfs,
    libc::SYS_sysinfo,
    libc::SYS_tee,
    libc::SYS_tgkill,
    libc::SYS_timer_create,
    libc::SYS_timer_delete,
    libc::SYS_timer_getoverrun,
    libc::SYS_timer_gettime,
    libc::SYS_timer_settime,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_gettime,
    libc::SYS_timerfd_settime,
    libc::SYS_times,
    libc::SYS_tkill,
    libc::SYS_truncate,
    libc::SYS_umask,
    libc::SYS_uname,
    libc::SYS_unlinkat,
    libc::SYS_utimensat,
    libc::SYS_vmsplice,
    libc::SYS_wait4,
    libc::SYS_waitid,
    libc::SYS_write,
    libc::SYS_writev,
];

/// Older calls, which only x86-64 has.
#[cfg(target_arch = "x86_64")]
const ALLOWED_HERE: &[i64] = &[
    libc::SYS_access,
    libc::SYS_alarm,
    libc::SYS_arch_prctl,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_creat,
    libc::SYS_dup2,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd,
    libc::SYS_fork,
    libc::SYS_futimesat,
    libc::SYS_getdents,
    libc::SYS_getpgrp,
    libc::SYS_inotify_init,
    libc::SYS_lchown,
    libc::SYS_link,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_mknod,
    libc::SYS_open,
    libc::SYS_pause,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_rmdir,
    libc::SYS_select,
    libc::SYS_signalfd,
    libc::SYS_stat,
    libc::SYS_symlink,
    libc::SYS_time,
    libc::SYS_unlink,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_vfork,
];

/// Older calls, which only x86-64 has.
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_HERE: &[i64] = &[];

#[cfg(test)]
mod tests {
    use super::*;

    /// What the second filter says of a call.
    fn judge(call: i64, arguments: [u32; 3]) -> u32 {
        let program = Refused::assemble().0;
        let (mut at, mut value) = (0, 0);
        loop {
            let sock_filter { code, jt, k, .. } = program[at];
            at += 1;
            match code {
                0x20 if k == 0 => value = call as u32,
                0x20 => value = arguments[(k as usize - 16) / 8],
                0x15 if value == k => at += usize::from(jt),
                0x45 if value & k != 0 => at += usize::from(jt),
                0x15 | 0x45 => {}
                _ => return k,
            }
        }
    }

    // Nothing of the starter's is on the functions' list, and the list compiles within the kernel's limit.
    #[test]
    fn lists_are_apart() {
        assert!(allowed().expect("compiles").len() < 4096);
        for call in STARTER {
            assert!(!ALLOWED.contains(call) && !ALLOWED_HERE.contains(call), "call {call}");
        }
    }

    // Calls are judged by number and argument: what leads out is refused, what programs need is not.
    #[test]
    fn calls_are_judged() {
        let (allow, refuse) = (libc::SECCOMP_RET_ALLOW, errno(libc::EPERM));
        assert_eq!(judge(CLONE3, [0; 3]), errno(libc::ENOSYS));
        for call in STARTER.iter().filter(|call| **call != CLONE3) {
            assert_eq!(judge(*call, [0; 3]), refuse, "call {call}");
        }
        assert_eq!(judge(libc::SYS_read, [0; 3]), allow);
        let socket = |family: i32, protocol: u32| {
            judge(libc::SYS_socket, [family as u32, libc::SOCK_STREAM as u32, protocol])
        };
        assert_eq!(socket(libc::AF_INET6, 6), allow);
        assert_eq!(socket(libc::AF_NETLINK, libc::NETLINK_ROUTE as u32), allow);
        assert_eq!(socket(libc::AF_NETLINK, libc::NETLINK_AUDIT as u32), refuse);
        assert_eq!(socket(libc::AF_VSOCK, 0), refuse);
        assert_eq!(judge(libc::SYS_socketpair, [libc::AF_UNIX as u32, 1, 0]), allow);
        assert_eq!(judge(libc::SYS_socketpair, [libc::AF_NETLINK as u32, 1, 0]), refuse);
        assert_eq!(judge(libc::SYS_clone, [libc::SIGCHLD as u32, 0, 0]), allow);
        assert_eq!(judge(libc::SYS_clone, [libc::CLONE_NEWUSER as u32 | 17, 0, 0]), refuse);
        assert_eq!(judge(libc::SYS_ioctl, [0, libc::TIOCSTI as u32, 0]), refuse);
        assert_eq!(judge(libc::SYS_ioctl, [0, libc::TCGETS as u32, 0]), allow);
        assert_eq!(judge(libc::SYS_personality, [u32::MAX, 0, 0]), allow);
        assert_eq!(judge(libc::SYS_personality, [8, 0, 0]), refuse);
    }
}
