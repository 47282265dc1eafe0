//! Which controllers a v2 group lets the groups below it have: no limit can be set where its controller is not handed down.
//!
//! Deliberately knows nothing of limits.

use super::super::protocol::{Failure, Step};
use super::{Hierarchy, write};
use std::fs;
use std::path::Path;

/// Lets the groups below a v2 group have its controllers.
pub(super) fn hand_down(hierarchy: &Hierarchy, directory: &Path) -> Result<(), Failure> {
    hierarchy.controllers.iter().try_for_each(|controller| {
        write(&directory.join("cgroup.subtree_control"), &format!("+{controller}"))
    })
}

/// Has the group above the server's hand down what that does not yet.
///
/// systemd sees to most of it on its machines. Where nobody has, it stays so after us: another server may have come to
/// rely on it. All are written at once, so that a group which may not hand down memory, since it has processes of its
/// own, is not left with half of them, which would make its groups useless.
pub(super) fn hand_down_missing(hierarchy: &Hierarchy) -> Result<(), Failure> {
    let parent = hierarchy.directory.parent().unwrap_or(&hierarchy.directory);
    let file = parent.join("cgroup.subtree_control");
    let handed = fs::read_to_string(&file).step(|| format!("cannot read {}", file.display()))?;
    match missing(&hierarchy.controllers, &handed).as_str() {
        "" => Ok(()),
        words => write(&file, words),
    }
}

/// What to write to `cgroup.subtree_control`, which reads `handed`, for all these controllers to be in it.
fn missing(controllers: &[String], handed: &str) -> String {
    let there = |name: &str| handed.split_whitespace().any(|other| other == name);
    let words = controllers.iter().filter(|name| !there(name)).map(|name| format!("+{name}"));
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    // Where nobody hands controllers down, all are asked for at once; what is handed down already is left alone.
    #[test]
    fn only_what_is_missing_is_handed_down() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("cgroup.subtree_control");
        let hierarchy = Hierarchy {
            controllers: ["cpuset", "cpu", "memory", "pids"].map(str::to_owned).to_vec(),
            home: directory.path().to_owned(),
            directory: directory.path().join("peek-s1"),
        };
        for (handed, written) in [
            ("\n", "+cpuset +cpu +memory +pids"),
            ("cpu io memory pids\n", "+cpuset"),
            ("cpuset cpu io memory hugetlb pids\n", ""),
        ] {
            assert_eq!(missing(&hierarchy.controllers, handed), written);
        }
        // A plain file shows what the kernel would be told.
        fs::write(&file, "").expect("it can be written");
        hand_down_missing(&hierarchy).expect("it is handed down");
        let told = fs::read_to_string(&file).expect("it can be read");
        assert_eq!(told, "+cpuset +cpu +memory +pids");
    }
}
