//! What this machine offers to sandboxes, each thing in one line, with the remedy for what is missing.
//!
//! Looks and tries, but changes nothing that outlives it.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// One thing that sandboxes need or can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it stands.
    pub standing: Standing,
    /// What was found, in words.
    pub found: String,
    /// What to do about it; empty where nothing is missing.
    pub remedy: String,
}

/// How a thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There.
    Good,
    /// Missing, and something is lost without it.
    Lacking,
    /// Missing, and no function runs in a container without it.
    Fatal,
}

impl Check {
    fn good(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, standing: Standing::Good, found: found.into(), remedy: String::new() }
    }

    fn lacking(name: &'static str, found: impl Into<String>, remedy: &str) -> Self {
        Self { name, standing: Standing::Lacking, found: found.into(), remedy: remedy.to_owned() }
    }

    fn fatal(name: &'static str, found: impl Into<String>, remedy: &str) -> Self {
        Self { standing: Standing::Fatal, ..Self::lacking(name, found, remedy) }
    }
}

/// Looks at everything.
pub fn examine() -> Vec<Check> {
    vec![
        privilege(),
        namespaces(),
        cgroups(),
        landlock(),
        seccomp(),
        disk(),
        network(),
        kvm(),
        processes(),
        descriptors(),
        interpreters(),
    ]
}

fn is_root() -> bool {
    // SAFETY: geteuid has no preconditions and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

fn privilege() -> Check {
    if is_root() {
        Check::good("privilege", "root: every limit can be enforced")
    } else {
        Check::lacking(
            "privilege",
            "not root: no cgroup limits, no disk-backed /tmp, no outgoing network for functions",
            "run it as root where functions are not your own",
        )
    }
}

fn namespaces() -> Check {
    let name = "namespaces";
    match try_namespaces() {
        Ok(()) => Check::good(name, "user, mount, pid, network, ipc and uts namespaces work"),
        Err(error) => {
            let restricted = read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
            let disabled = read("/proc/sys/kernel/unprivileged_userns_clone");
            let remedy = if restricted == "1" {
                "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or run as root"
            } else if disabled == "0" {
                "sysctl -w kernel.unprivileged_userns_clone=1, or run as root"
            } else {
                "run as root, or allow user namespaces (sysctl user.max_user_namespaces above 0)"
            };
            Check::fatal(name, format!("cannot make them: {error}"), remedy)
        }
    }
}

/// Makes the namespaces of a sandbox in a child, and tries a mount there: some systems allow the one without the other.
fn try_namespaces() -> io::Result<()> {
    let root = is_root();
    let mut child = Command::new("/bin/true");
    child.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let (target, kind) = (c"/tmp", c"tmpfs");
    // SAFETY: the closure runs between fork and exec and makes system calls only, on constants made before the fork.
    unsafe {
        child.pre_exec(move || {
            let user = if root { 0 } else { libc::CLONE_NEWUSER };
            let flags = user
                | libc::CLONE_NEWNS
                | libc::CLONE_NEWPID
                | libc::CLONE_NEWNET
                | libc::CLONE_NEWIPC
                | libc::CLONE_NEWUTS;
            if libc::unshare(flags) != 0 {
                return Err(io::Error::last_os_error());
            }
            let private = libc::mount(
                std::ptr::null(),
                c"/".as_ptr(),
                std::ptr::null(),
                libc::MS_REC | libc::MS_PRIVATE,
                std::ptr::null(),
            );
            if private != 0 {
                return Err(io::Error::last_os_error());
            }
            let mounted =
                libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), 0, std::ptr::null());
            if mounted == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
        });
    }
    child.status().map(drop)
}

fn cgroups() -> Check {
    let name = "cgroups";
    let wanted = ["cpu", "memory", "pids", "freezer"];
    if let Ok(controllers) = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers") {
        // Version 2 has the freezer built in.
        let has =
            |it: &&str| *it == "freezer" || controllers.split_whitespace().any(|own| own == *it);
        let missing: Vec<_> = wanted.iter().copied().filter(|it| !has(it)).collect();
        return judge_cgroups(name, "version 2", &missing, Path::new("/sys/fs/cgroup"));
    }
    let mounted = |it: &&str| Path::new("/sys/fs/cgroup").join(it).join("tasks").exists();
    let missing: Vec<_> = wanted.iter().copied().filter(|it| !mounted(it)).collect();
    judge_cgroups(name, "version 1 or hybrid", &missing, Path::new("/sys/fs/cgroup/memory"))
}

fn judge_cgroups(name: &'static str, version: &str, missing: &[&str], at: &Path) -> Check {
    if !missing.is_empty() {
        let found = format!("{version}, without {}", missing.join(", "));
        return Check::lacking(
            name,
            found,
            "mount the missing controllers: limits are not enforced",
        );
    }
    if writable(at) {
        Check::good(name, format!("{version}: memory, CPU, processes and freezing are enforced"))
    } else {
        Check::lacking(
            name,
            format!("{version}, not ours to write"),
            "run as root, or under systemd with Delegate=yes: limits are not enforced",
        )
    }
}

fn writable(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_encoded_bytes()) else { return false };
    // SAFETY: `path` is a string that ends in NUL and outlives the call.
    unsafe { libc::access(path.as_ptr(), libc::W_OK) == 0 }
}

fn landlock() -> Check {
    /// `LANDLOCK_CREATE_RULESET_VERSION` (linux/landlock.h).
    const VERSION: libc::c_ulong = 1;
    // SAFETY: with this flag the call only reports the version of the interface; no memory is passed.
    let version = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, VERSION)
    };
    if version > 0 {
        Check::good("landlock", format!("version {version}: a second wall around files"))
    } else {
        Check::lacking(
            "landlock",
            "not in this kernel",
            "boot with lsm=landlock,... to add a second wall around files",
        )
    }
}

fn seccomp() -> Check {
    match read("/proc/sys/kernel/seccomp/actions_avail").as_str() {
        actions if actions.contains("errno") => Check::good("seccomp", "system calls are filtered"),
        _ => Check::fatal(
            "seccomp",
            "this kernel cannot filter system calls",
            "use a kernel with CONFIG_SECCOMP_FILTER",
        ),
    }
}

fn disk() -> Check {
    let name = "disk-backed /tmp";
    let loops = Path::new("/dev/loop-control").exists();
    let make = ["/sbin/mkfs.ext4", "/usr/sbin/mkfs.ext4"].iter().any(|it| Path::new(it).exists());
    match (is_root() && loops, make) {
        (true, true) => Check::good(name, "loop devices and mkfs.ext4: /tmp is bounded on disk"),
        (true, false) => Check::lacking(name, "no mkfs.ext4", "apt-get install e2fsprogs"),
        (false, _) => Check::lacking(
            name,
            "no loop devices to use: /tmp is a small tmpfs and counts as memory",
            "run as root, with the loop module loaded (modprobe loop)",
        ),
    }
}

fn network() -> Check {
    let name = "network";
    if !is_root() {
        return Check::lacking(name, "functions have none without root", "run as root");
    }
    let nft =
        ["/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft"].iter().any(|it| Path::new(it).exists());
    if !nft {
        return Check::lacking(
            name,
            "no nft",
            "apt-get install nftables, else functions have no network",
        );
    }
    Check::good(name, "network namespaces and nft: functions reach the world by NAT")
}

fn kvm() -> Check {
    let name = "kvm";
    let flags = read("/proc/cpuinfo");
    let virtualised = flags
        .lines()
        .find(|line| line.starts_with("flags"))
        .is_some_and(|line| line.split_whitespace().any(|flag| flag == "vmx" || flag == "svm"));
    match (writable(Path::new("/dev/kvm")), virtualised) {
        (true, true) => Check::good(name, "/dev/kvm with hardware virtualisation"),
        (true, false) => Check::lacking(
            name,
            "/dev/kvm, but the CPU shows neither vmx nor svm",
            "no microVMs here; containers need none of it",
        ),
        (false, _) => Check::lacking(
            name,
            "no /dev/kvm to use",
            "no microVMs here; containers need none of it",
        ),
    }
}

fn processes() -> Check {
    let most: u64 = read("/proc/sys/kernel/pid_max").parse().unwrap_or(0);
    if most >= 32_768 {
        Check::good("processes", format!("kernel.pid_max is {most}"))
    } else {
        Check::lacking(
            "processes",
            format!("kernel.pid_max is {most}"),
            "sysctl -w kernel.pid_max=4194304",
        )
    }
}

fn descriptors() -> Check {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the answer.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    let found = format!("{} (hard limit)", limit.rlim_max);
    if limit.rlim_max >= 16_384 {
        Check::good("descriptors", found)
    } else {
        Check::lacking(
            "descriptors",
            found,
            "raise it (ulimit -n, LimitNOFILE=): each instance takes up to six",
        )
    }
}

fn interpreters() -> Check {
    let found = crate::runtime::Runtimes::discover(&[]);
    let names: Vec<_> =
        found.interpreters().map(|it| format!("{} ({})", it.name, it.path.display())).collect();
    if names.is_empty() {
        Check::lacking(
            "interpreters",
            "neither Python nor Node.js: only provided.al2023 functions run",
            "apt-get install python3 nodejs",
        )
    } else {
        Check::good("interpreters", names.join(", "))
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Whatever is missing comes with what to do about it.
    #[test]
    fn what_is_missing_has_a_remedy() {
        for check in examine() {
            assert_eq!(check.standing == Standing::Good, check.remedy.is_empty(), "{check:?}");
            assert!(!check.found.is_empty(), "{check:?}");
        }
    }
}
