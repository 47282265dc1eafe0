//! Which system calls a function may use.
//!
//! Two filters. The allow-list is the starter's own already, so that no start pays for it: what is not on it does not exist
//! (ENOSYS, on which C libraries fall back). It allows the starter's calls too; the second filter, short, takes these from
//! functions (EPERM), and some arguments of others. Deliberately knows nothing of when they are installed.

mod calls;

use calls::{ALLOWED, ALLOWED_HERE};
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
