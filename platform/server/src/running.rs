//! Which servers run on this machine: those that hold the lock of a data directory.

use crate::identity;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A server that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Its process.
    pub pid: u32,
    /// Its data directory, as its own process sees it.
    pub data: PathBuf,
    /// The id in the names of all that it makes.
    pub server_id: String,
}

/// The servers that run, of all users and containers whose processes can be looked into.
pub fn running() -> Vec<Running> {
    let processes = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut found = BTreeMap::new();
    for pid in pids {
        let open =
            fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().filter_map(Result::ok);
        let files = open.filter_map(|entry| fs::read_link(entry.path()).ok());
        for file in files.filter(|file| {
            file.is_absolute() && file.file_name().is_some_and(|name| name == "lock")
        }) {
            let Some(data) = file.parent() else { continue };
            // Seen from where that process stands, which may be a container's root.
            let seen = Path::new(&format!("/proc/{pid}/root"))
                .join(data.strip_prefix("/").unwrap_or(data));
            if let Ok(server_id) = identity::server_id_in(&seen) {
                found.entry(server_id.clone()).or_insert(Running {
                    pid,
                    data: data.to_owned(),
                    server_id,
                });
            }
        }
    }
    found.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // A server is known by its lock while it holds it, and not by what it left in its directory.
    #[test]
    fn servers_are_known_by_their_lock() {
        let data = tempfile::tempdir().expect("a temporary directory");
        let id = identity::server_id(data.path()).expect("an id");
        let runs = || running().iter().any(|server| server.server_id == id);
        assert!(!runs());
        let lock = identity::lock(data.path()).expect("locked");
        assert!(runs());
        drop(lock);
        assert!(!runs());
    }
}
