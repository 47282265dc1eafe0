//! Removes the control groups that a killed server has left, with what still runs in them.
//!
//! Deliberately touches no group of another server's name.

use super::super::protocol::Failure;
use super::{Cgroups, Hierarchy, REMOVAL_LIMIT};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Thaws, kills and removes everything in the groups of the server that `cgroups` names. Returns how many processes it
/// killed.
pub(in super::super) fn sweep(cgroups: &Cgroups) -> Result<usize, Failure> {
    let hierarchies: &[Hierarchy] = cgroups.hierarchies();
    let directories: Vec<PathBuf> = hierarchies
        .iter()
        .flat_map(|hierarchy| {
            let mut groups = below(&hierarchy.directory);
            groups.extend(hierarchy.directory.exists().then(|| hierarchy.directory.clone()));
            groups
        })
        .collect();
    let mut killed = std::collections::BTreeSet::new();
    let deadline = Instant::now() + REMOVAL_LIMIT;
    loop {
        let mut alive = 0;
        for directory in &directories {
            for pid in processes(directory) {
                super::super::system::signal_process(pid, libc::SIGKILL);
                killed.insert(pid);
                alive += 1;
            }
            for (file, thaw) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
                let path = directory.join(file);
                if path.exists() {
                    super::write(&path, thaw)?;
                }
            }
        }
        if alive == 0 || Instant::now() > deadline {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    directories.iter().try_for_each(|directory| super::remove_directory(directory))?;
    Ok(killed.len())
}

/// The groups below `directory`, deepest first.
fn below(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .flat_map(|entry| {
            let mut groups = below(&entry.path());
            groups.push(entry.path());
            groups
        })
        .collect()
}

fn processes(directory: &Path) -> Vec<i32> {
    let own = std::process::id() as i32;
    fs::read_to_string(directory.join("cgroup.procs"))
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.parse().ok())
        .filter(|pid| *pid > 1 && *pid != own)
        .collect()
}
