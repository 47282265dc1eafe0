//! What servers that were killed, and never started again, have left on this machine.
//!
//! A server sweeps what is left of itself when it starts. This is for those that do not start again: everything that has the
//! name of a server, and of none that runs. Deliberately does not know which those are; the caller says.

use super::cgroup::{Cgroups, Hierarchy, sweep};
use super::network::{self, Remains};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Letters of a server's id.
const ID_LETTERS: usize = 8;
/// How deep below a mounted tree of control groups a server's group is looked for: a container in a service in a slice.
const DEPTH: usize = 12;

/// One thing that is left.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Left {
    /// The control groups of one server in every tree, with whatever still runs in them: what is frozen in one tree dies
    /// in none before it is thawed there.
    Groups(Vec<PathBuf>),
    /// A table of the packet filter.
    Table(String),
    /// A network link.
    Link(String),
}

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Groups(paths) => {
                f.write_str("control groups")?;
                paths.iter().try_for_each(|path| write!(f, " {}", path.display()))
            }
            Self::Table(name) => write!(f, "nft table {name}"),
            Self::Link(name) => write!(f, "link {name}"),
        }
    }
}

/// Whose remains are looked for.
#[derive(Clone, Copy, Debug)]
pub enum Whose<'a> {
    /// Of all servers but those with these ids, which run.
    AllBut(&'a [String]),
    /// Of the server with this id.
    Of(&'a str),
}

impl Whose<'_> {
    fn is_meant(&self, id: &str) -> bool {
        match self {
            Self::AllBut(running) => !running.iter().any(|other| other == id),
            Self::Of(wanted) => *wanted == id,
        }
    }
}

/// What is left of them.
pub fn find(whose: Whose<'_>) -> Vec<Left> {
    let mut left = BTreeSet::new();
    let mut servers: BTreeMap<String, BTreeSet<PathBuf>> = BTreeMap::new();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for line in mounts.lines().filter(|line| line.contains(" - cgroup")) {
        let Some(point) = line.split(' ').nth(4) else { continue };
        groups(Path::new(point), DEPTH, &mut |path, id| {
            if whose.is_meant(id) {
                servers.entry(id.to_owned()).or_default().insert(path.to_owned());
            }
        });
    }
    left.extend(servers.into_values().map(|paths| Left::Groups(paths.into_iter().collect())));
    let Remains { tables, links } = network::remains(whose);
    left.extend(tables.into_iter().map(Left::Table));
    left.extend(links.into_iter().map(Left::Link));
    left.into_iter().collect()
}

/// Ends what still runs in it, and removes it. Errors: in words.
pub fn remove(left: &Left) -> Result<(), String> {
    match left {
        Left::Groups(paths) => {
            let groups = paths.iter().map(|path| Hierarchy {
                controllers: Vec::new(),
                home: path.parent().unwrap_or(Path::new("/")).to_owned(),
                directory: path.clone(),
            });
            let swept = sweep(&Cgroups::V1(groups.collect()));
            swept.map(drop).map_err(|failure| {
                format!("{}: {}", failure.step, std::io::Error::from_raw_os_error(failure.errno))
            })
        }
        Left::Table(name) => network::remove_table(name).map_err(|error| error.to_string()),
        Left::Link(name) => network::remove_link(name).map_err(|error| error.to_string()),
    }
}

/// Calls `found` with each group that has the name of a server, and with its id.
fn groups(directory: &Path, depth: usize, found: &mut impl FnMut(&Path, &str)) {
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        let (path, name) = (entry.path(), entry.file_name());
        match name.to_string_lossy().strip_prefix("peek-").filter(|id| is_id(id)) {
            Some(id) => found(&path, id),
            None if depth > 0 => groups(&path, depth - 1, found),
            None => {}
        }
    }
}

fn is_id(text: &str) -> bool {
    text.len() == ID_LETTERS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    // Groups of servers are found wherever they are, by their whole name, and nothing else is.
    #[test]
    fn groups_are_found_by_name() {
        let top = std::env::temp_dir().join(format!("groups-{}", std::process::id()));
        for path in ["a/peek-0123abcd/cell", "peek-89abcdef", "peek-x", "peek-0123abcde", "other"] {
            fs::create_dir_all(top.join(path)).expect("made");
        }
        let mut found = Vec::new();
        groups(&top, 4, &mut |_, id| found.push(id.to_owned()));
        found.sort();
        assert_eq!(found, ["0123abcd", "89abcdef"]);
        fs::remove_dir_all(top).expect("removed");
    }
}
