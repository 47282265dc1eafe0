//! A /proc that tells nothing of the machine: processes as they are, and made-up values for the rest.
//!
//! The kernel's own `subset=pid` leaves out files that programs read (cpuinfo, meminfo, stat), and nothing can be mounted
//! where it leaves them out; so everything that is not a process is covered instead, by what is made up or by nothing.

use super::protocol::{Failure, Step};
use super::rootfs::MADE_UP;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Entries of /proc that are not processes and still stay: they are the sandbox's own, or tell what uname tells.
const KEPT: [&str; 7] =
    ["self", "thread-self", "net", "mounts", "filesystems", "version", "sysvipc"];

/// Entries of /proc that are covered by what is made up for them. A list, since to look for each of /proc's sixty
/// entries among the files takes part of every start.
const OWN: [&str; 6] = ["cpuinfo", "loadavg", "meminfo", "stat", "sys", "uptime"];

/// How many CPUs are made up; as many as Lambda shows up to 3 GB (own count on AWS's documentation of vCPUs, 2026-11).
const PROCESSORS: usize = 2;

/// Files below /proc/sys that C libraries and runtimes read, with common values.
const SETTINGS: [(&str, &str); 15] = [
    ("kernel/cap_last_cap", "40"),
    ("kernel/core_pattern", ""),
    ("kernel/ngroups_max", "65536"),
    ("kernel/osrelease", "6.1.0"),
    ("kernel/ostype", "Linux"),
    ("kernel/pid_max", "32768"),
    ("kernel/random/boot_id", ""),
    ("kernel/threads-max", "1024"),
    ("kernel/yama/ptrace_scope", "1"),
    ("fs/file-max", "65536"),
    ("fs/pipe-max-size", "1048576"),
    ("net/core/somaxconn", "4096"),
    ("net/ipv4/ip_local_port_range", "32768\t60999"),
    ("vm/max_map_count", "65530"),
    ("vm/overcommit_memory", "0"),
];

/// Writes what is made up into a root file system that is being built.
pub(super) fn compose(root: &Path) -> Result<(), Failure> {
    let directory = root.join(MADE_UP.trim_start_matches('/'));
    let cpuinfo: String = (0..PROCESSORS)
        .map(|number| {
            format!(
                "processor\t: {number}\nvendor_id\t: virtual\ncpu family\t: 6\nmodel\t\t: 0\n\
                 model name\t: virtual\ncpu MHz\t\t: 2500.000\ncache size\t: 1024 KB\n\
                 physical id\t: 0\nsiblings\t: {PROCESSORS}\ncore id\t\t: {number}\n\
                 cpu cores\t: {PROCESSORS}\nfpu\t\t: yes\n\
                 flags\t\t: fpu tsc cx8 cmov mmx fxsr sse sse2 syscall nx lm pni ssse3 cx16 sse4_1 \
                 sse4_2 popcnt\nbogomips\t: 5000.00\n\n"
            )
        })
        .collect();
    let processors: String =
        (0..PROCESSORS).map(|number| format!("cpu{number} 0 0 0 100 0 0 0 0 0 0\n")).collect();
    let stat = format!(
        "cpu  0 0 0 200 0 0 0 0 0 0\n{processors}intr 0\nctxt 0\nbtime 0\nprocesses 1\n\
         procs_running 1\nprocs_blocked 0\n"
    );
    let meminfo = "MemTotal:        4194304 kB\nMemFree:         2097152 kB\n\
                   MemAvailable:    2097152 kB\nBuffers:               0 kB\n\
                   Cached:                0 kB\nSwapCached:            0 kB\n\
                   SwapTotal:             0 kB\nSwapFree:              0 kB\n";
    let settings =
        SETTINGS.iter().map(|(name, value)| (format!("sys/{name}"), format!("{value}\n")));
    let files = [
        ("cpuinfo", cpuinfo.as_str()),
        ("meminfo", meminfo),
        ("stat", stat.as_str()),
        ("uptime", "1.00 1.00\n"),
        ("loadavg", "0.00 0.00 0.00 1/1 1\n"),
        (EMPTY_FILE, ""),
    ]
    .map(|(name, text)| (name.to_owned(), text.to_owned()));
    let empty = directory.join(EMPTY_DIRECTORY);
    fs::create_dir_all(&empty).step(|| format!("cannot make {}", empty.display()))?;
    for (name, text) in files.into_iter().chain(settings) {
        let path = directory.join(name);
        path.parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(&path, text))
            .step(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

const EMPTY_FILE: &str = "empty";
const EMPTY_DIRECTORY: &str = "nothing";

/// Entries of this machine's /proc that no function could read anyway, since only the machine's root may. They are not
/// covered: each cover takes time and memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Closed(BTreeSet<String>);

impl Closed {
    /// Looks for them.
    pub(super) fn look() -> Self {
        let closed = fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| {
            let found = entry.metadata().ok()?;
            let name = entry.file_name().into_string().ok()?;
            let is_closed = found.is_file()
                && found.uid() == 0
                && found.gid() == 0
                && found.mode() & 0o077 == 0
                && !OWN.contains(&name.as_str());
            is_closed.then_some(name)
        });
        Self(closed.collect())
    }
}

/// Covers everything in this process's /proc that tells of the machine.
pub(super) fn hide(closed: &Closed) -> Result<(), Failure> {
    let cannot = || "cannot read the new /proc".to_owned();
    let made_up = Path::new(MADE_UP);
    for entry in fs::read_dir("/proc").step(cannot)? {
        let entry = entry.step(cannot)?;
        let name = entry.file_name();
        let Some(text) = name.to_str() else { continue };
        let is_pid = text.bytes().all(|byte| byte.is_ascii_digit());
        if is_pid || KEPT.contains(&text) || closed.0.contains(text) {
            continue;
        }
        let kind = entry.file_type().step(cannot)?;
        let source = if OWN.contains(&text) {
            made_up.join(text)
        } else if kind.is_dir() {
            made_up.join(EMPTY_DIRECTORY)
        } else if kind.is_file() {
            made_up.join(EMPTY_FILE)
        } else {
            continue;
        };
        rustix::mount::mount_bind(&source, entry.path())
            .step(|| format!("cannot cover /proc/{text}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    // What is left uncovered is what this machine's root alone may read, and nothing of what is made up.
    #[test]
    fn only_what_is_closed_is_left() {
        for name in Closed::look().0 {
            let found = fs::metadata(Path::new("/proc").join(&name)).expect("it is there");
            assert_eq!(found.permissions().mode() & 0o077, 0, "{name}");
            assert!(!OWN.contains(&name.as_str()), "{name}");
        }
    }

    // The entries that are listed as made up are those that are composed, no more and no fewer.
    #[test]
    fn what_is_listed_is_composed() {
        let root = tempfile::TempDir::new().expect("a directory");
        compose(root.path()).expect("composed");
        let made_up = root.path().join(MADE_UP.trim_start_matches('/'));
        let mut names: Vec<String> = fs::read_dir(made_up)
            .expect("a directory")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .filter(|name| name != EMPTY_FILE && name != EMPTY_DIRECTORY)
            .collect();
        names.sort();
        assert_eq!(names, OWN);
    }
}
