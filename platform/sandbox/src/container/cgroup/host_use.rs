//! What the instances of a cell have used so far: CPU by the cell's group, disk and network by their processes.
//!
//! Block devices' own counters would say less: on v1 they charge what is written back to nobody, and need a hierarchy more
//! for each start. Deliberately knows nothing of time: rates are the reader's.

use super::{Cgroups, field};
use crate::{HostUse, InstanceUse};
use model::Span;
use std::fs;
use std::path::{Path, PathBuf};

/// The interface by which an instance reaches the world.
const INTERFACE: &str = "eth0:";

impl Cgroups {
    /// What a cell's instances have used; None where it has no group.
    pub(in super::super) fn host_use(&self, host: &str) -> Option<HostUse> {
        let cpu = match self {
            Self::None => return None,
            Self::V2(hierarchy) => {
                let file = hierarchy.directory.join(host).join("cpu.stat");
                Span::from_micros(field(&file, "usage_usec")?)
            }
            Self::V1(hierarchies) => {
                let accounting = hierarchies.iter().find(|it| it.has("cpuacct"))?;
                let file = accounting.directory.join(host).join("cpuacct.usage");
                Span::from_nanos(fs::read_to_string(file).ok()?.trim().parse().ok()?)
            }
        };
        let groups = self.hierarchies().iter().find(|it| it.is_per_instance());
        let directory = groups.map(|it| it.directory.join(host));
        let entries = directory.and_then(|it| fs::read_dir(it).ok()).into_iter().flatten();
        let instances = entries
            .filter_map(Result::ok)
            .filter(|entry| entry.file_type().is_ok_and(|it| it.is_dir()))
            .map(|entry| (entry.file_name().to_string_lossy().into_owned(), used(&entry.path())))
            .collect();
        Some(HostUse { cpu, instances })
    }
}

/// What the processes of a group have used.
fn used(group: &Path) -> InstanceUse {
    let members = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let processes: Vec<PathBuf> = members.lines().map(|pid| Path::new("/proc").join(pid)).collect();
    let read = |process: &Path, file| fs::read_to_string(process.join(file)).unwrap_or_default();
    InstanceUse {
        disk_bytes: processes.iter().map(|it| disk_bytes(&read(it, "io"))).sum(),
        // All of them are in one network namespace.
        network_bytes: processes.first().map_or(0, |it| network_bytes(&read(it, "net/dev"))),
    }
}

/// Bytes fetched from and sent to storage, by /proc/PID/io.
fn disk_bytes(io: &str) -> u64 {
    let number = |name: &str| -> u64 {
        let value = io.lines().find_map(|line| line.strip_prefix(name));
        value.and_then(|it| it.trim().parse().ok()).unwrap_or(0)
    };
    number("read_bytes:") + number("write_bytes:")
}

/// Bytes received and sent, by /proc/PID/net/dev.
fn network_bytes(devices: &str) -> u64 {
    let device = devices.lines().find_map(|line| line.trim_start().strip_prefix(INTERFACE));
    let columns: Vec<&str> = device.unwrap_or_default().split_whitespace().collect();
    let number = |column: usize| columns.get(column).and_then(|it| it.parse().ok()).unwrap_or(0);
    number(0) + number(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Bytes to and from storage count, what only a cache has seen does not.
    #[test]
    fn storage_is_counted() {
        let io = "rchar: 900\nwchar: 800\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 1\n";
        assert_eq!((disk_bytes(io), disk_bytes("")), (12_288, 0));
    }

    // The instance's own interface counts in both directions, the loopback does not.
    #[test]
    fn the_network_is_counted() {
        let devices = "Inter-| Receive | Transmit\n face |bytes packets|bytes packets\n    lo: 77 1 0 0 0 0 0 0 77 1 0 0 0 0 0 0\n  eth0: 1000 10 0 0 0 0 0 0 250 5 0 0 0 0 0 0\n";
        assert_eq!((network_bytes(devices), network_bytes("lo: 1 1")), (1250, 0));
    }

    // A process that reads from and writes to a disk is seen by its group's list of processes.
    #[test]
    fn processes_are_found_by_their_group() {
        let group = std::env::temp_dir().join(format!("peek-host-use-{}", std::process::id()));
        fs::create_dir(&group).expect("a directory");
        let pids = format!("{}\n4194305\n", std::process::id());
        fs::write(group.join("cgroup.procs"), pids).expect("a list");
        let before = used(&group);
        let file = group.join("data");
        fs::write(&file, vec![7_u8; 1 << 20]).expect("room for a MiB");
        fs::File::open(&file).and_then(|it| it.sync_all()).expect("it is on the disk");
        let after = used(&group);
        fs::remove_dir_all(&group).expect("it is ours");
        // A file system in memory has no storage.
        assert!(after.disk_bytes >= before.disk_bytes);
    }
}
