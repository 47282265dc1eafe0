//! Which control groups this machine has, and where a server's go.
//!
//! Deliberately makes nothing.

use super::{Cgroups, Hierarchy};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Controllers that limit or steer instances.
const CONTROLLERS: [&str; 6] = ["cpu", "cpuacct", "cpuset", "memory", "pids", "freezer"];

/// What a machine says of its control groups.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Machine<'a> {
    /// /proc/self/mountinfo.
    pub(in super::super) mounts: &'a str,
    /// /proc/self/cgroup.
    pub(in super::super) groups: &'a str,
    /// cgroup.controllers of the v2 tree at a mount point.
    pub(in super::super) controllers: fn(&Path) -> String,
}

struct Mount<'a> {
    point: &'a str,
    root: &'a str,
    kind: &'a str,
    options: &'a str,
}

fn mounts(text: &str) -> impl Iterator<Item = Mount<'_>> {
    text.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(3);
        let (root, point) = (before.next()?, before.next()?);
        let mut after = after.split(' ');
        let (kind, options) = (after.next()?, after.nth(1)?);
        Some(Mount { point, root, kind, options })
    })
}

/// Where the group `path` of this process is seen, given its mount.
fn place(mount: &Mount<'_>, path: &str) -> PathBuf {
    let below = match mount.root {
        "/" => path,
        root => path.strip_prefix(root).unwrap_or(""),
    };
    Path::new(mount.point).join(below.trim_start_matches('/'))
}

/// The control groups that a server named `server` will have, and in a sentence each what they cannot limit.
pub(in super::super) fn detect(server: &str, machine: Machine<'_>) -> (Cgroups, Vec<String>) {
    let name = format!("peek-{server}");
    let mut own: BTreeMap<&str, &str> = BTreeMap::new();
    for line in machine.groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        if let (Some(controllers), Some(path)) = (parts.next(), parts.next()) {
            own.extend(controllers.split(',').map(|controller| (controller, path)));
        }
    }
    let mut v1: Vec<Hierarchy> = Vec::new();
    for mount in mounts(machine.mounts).filter(|mount| mount.kind == "cgroup") {
        let controllers: Vec<String> = mount
            .options
            .split(',')
            .filter(|option| CONTROLLERS.contains(option))
            .map(str::to_owned)
            .collect();
        let known = v1.iter().any(|hierarchy| hierarchy.controllers == controllers);
        let Some(first) = controllers.first().filter(|_| !known) else { continue };
        let base = place(&mount, own.get(first.as_str()).copied().unwrap_or("/"));
        v1.push(Hierarchy { controllers, directory: base.join(&name), home: base });
    }
    let mut limitations = Vec::new();
    let cgroups = if !v1.is_empty() {
        Cgroups::V1(v1)
    } else if let Some(mount) = mounts(machine.mounts).find(|mount| mount.kind == "cgroup2") {
        let base = PathBuf::from(mount.point);
        let controllers = (machine.controllers)(&base)
            .split_whitespace()
            .filter(|controller| CONTROLLERS.contains(controller))
            .map(str::to_owned)
            .collect();
        let home = place(&mount, own.get("").copied().unwrap_or("/"));
        Cgroups::V2(Hierarchy { controllers, directory: base.join(&name), home })
    } else {
        limitations.push("no control groups are mounted: mount cgroup2 at /sys/fs/cgroup".into());
        return (Cgroups::None, limitations);
    };
    for (controller, what) in
        [("memory", "memory"), ("cpu", "CPU"), ("pids", "the number of processes")]
    {
        if !cgroups.hierarchies().iter().any(|hierarchy| hierarchy.has(controller)) {
            limitations.push(format!(
                "{what} is not limited: the {controller} controller is missing here"
            ));
        }
    }
    (cgroups, limitations)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 /outer /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
36 31 0:33 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices
37 31 0:34 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";

    // On a hybrid machine the v1 controllers are used, each below the group that the server is in.
    #[test]
    fn hybrid_is_v1() {
        let groups = "4:memory:/outer/inner\n1:cpu,cpuacct:/\n6:freezer:/a\n0::/\n";
        let machine = Machine { mounts: V1, groups, controllers: |_| String::new() };
        let (cgroups, limitations) = detect("s1", machine);
        let Cgroups::V1(hierarchies) = cgroups else { panic!("{cgroups:?}") };
        let directories: Vec<_> = hierarchies.iter().map(|h| h.directory.to_str()).collect();
        assert_eq!(
            directories,
            [
                Some("/sys/fs/cgroup/cpu,cpuacct/peek-s1"),
                Some("/sys/fs/cgroup/memory/inner/peek-s1"),
                Some("/sys/fs/cgroup/freezer/a/peek-s1"),
            ]
        );
        assert_eq!(limitations.len(), 1, "{limitations:?}");
        assert!(limitations[0].contains("pids"));
    }

    // On a v2 machine there is one tree, and what its root lacks is said.
    #[test]
    fn unified_is_v2() {
        let mounts = "30 23 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
        let machine =
            Machine { mounts, groups: "0::/user.slice\n", controllers: |_| "cpu pids io\n".into() };
        let (cgroups, limitations) = detect("s1", machine);
        let Cgroups::V2(hierarchy) = cgroups else { panic!("{cgroups:?}") };
        assert_eq!(hierarchy.controllers, ["cpu", "pids"]);
        assert_eq!(hierarchy.directory, Path::new("/sys/fs/cgroup/peek-s1"));
        assert_eq!(hierarchy.home, Path::new("/sys/fs/cgroup/user.slice"));
        assert_eq!(limitations.len(), 1, "{limitations:?}");
    }

    // A machine without control groups says so.
    #[test]
    fn none_is_said() {
        let machine = Machine { mounts: "", groups: "", controllers: |_| String::new() };
        let (cgroups, limitations) = detect("s1", machine);
        assert_eq!((cgroups, limitations.len()), (Cgroups::None, 1));
    }
}
