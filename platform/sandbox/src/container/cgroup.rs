//! Control groups: a group per server, below it one per cell, below that one per instance; on v1, hybrid and v2.
//!
//! Deliberately knows nothing of processes other than to kill what a dead server has left.

mod detect;
mod hand_down;
mod host_use;
mod meter;
mod sweep;

use super::protocol::{Failure, HostSpec, Step};
use model::MemoryMib;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(super) use detect::{Machine, detect};
use hand_down::{hand_down, hand_down_missing};
pub(super) use meter::Meter;
pub(super) use sweep::sweep;

/// CPU quotas are per this many microseconds; the kernel's default.
const PERIOD_US: u64 = 100_000;

/// Most processes and threads of one instance; Lambda's "execution processes/threads" (quotas page, 2026-11).
const PROCESSES: u32 = 1024;

/// How long the kernel may take to let go of an emptied group.
const REMOVAL_LIMIT: Duration = Duration::from_secs(2);

/// The control groups of one server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Cgroups {
    /// None can be made here.
    #[default]
    None,
    /// One tree per hierarchy.
    V1(Vec<Hierarchy>),
    /// One tree.
    V2(Hierarchy),
}

/// A hierarchy and this server's group in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hierarchy {
    /// Controllers that limit here, as in `memory`.
    pub(super) controllers: Vec<String>,
    /// The group in which the server is.
    pub(super) home: PathBuf,
    /// The server's group.
    pub(super) directory: PathBuf,
}

impl Hierarchy {
    fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }

    /// Whether instances have a group of their own here, rather than sharing their cell's.
    fn is_per_instance(&self) -> bool {
        self.controllers.iter().any(|name| name != "cpuset")
    }
}

/// Names a cell's group and, below it, an instance's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GroupName {
    /// The cell.
    pub(super) host: String,
    /// The instance.
    pub(super) instance: String,
}

/// Limits of one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Memory, without swap; None for the cell's.
    pub(super) memory: Option<MemoryMib>,
    /// Share under contention, 1 to 10,000.
    pub(super) cpu_weight: u32,
}

/// What a new member has to do, or have done to it.
#[derive(Debug, Default)]
pub(super) struct Membership {
    /// v1: the `tasks` files into which it writes `0`.
    pub(super) tasks: Vec<OwnedFd>,
    /// v2: the group into which it is cloned.
    pub(super) group: Option<OwnedFd>,
}

fn write(path: &Path, value: &str) -> Result<(), Failure> {
    File::options()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(value.as_bytes()))
        .step(|| format!("cannot write {value:?} to {}", path.display()))
}

fn write_where_there(path: &Path, value: &str) -> Result<(), Failure> {
    match write(path, value) {
        Err(failure) if failure.errno == libc::ENOENT => Ok(()),
        written => written,
    }
}

fn make_directory(path: &Path) -> Result<(), Failure> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.step(|| format!("cannot make the control group {}", path.display())),
    }
}

/// Removes a group, waiting for the kernel to let go of it. What is not there is removed already.
fn remove_directory(path: &Path) -> Result<(), Failure> {
    let deadline = Instant::now() + REMOVAL_LIMIT;
    loop {
        match fs::remove_dir(path) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error)
                if error.raw_os_error() == Some(libc::EBUSY) && Instant::now() < deadline =>
            {
                std::thread::sleep(Duration::from_micros(200));
            }
            Err(error) => {
                let step = format!("cannot remove the control group {}", path.display());
                return Err(Failure::new(step, &error));
            }
        }
    }
}

/// Weight of all instances together beside one ordinary process: four of them for each CPU.
///
/// With less, sixteen busy functions have the share of one or two processes and wait for the server and its clients: at 16
/// connections the slowest hundredth of warm invocations took 56 ms at a weight of 100, 14 at 200 and 4 to 8 at 400 and
/// more, on two CPUs (`tests/bench.py warm`).
fn top_weight() -> u32 {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(cpus).unwrap_or(u32::MAX).saturating_mul(400).min(10_000)
}

/// `cpu.shares` for a v2 weight: 100 is 1024.
fn shares(weight: u32) -> u64 {
    (u64::from(weight) * 1024 / 100).clamp(2, 262_144)
}

impl Cgroups {
    fn hierarchies(&self) -> &[Hierarchy] {
        match self {
            Self::None => &[],
            Self::V1(hierarchies) => hierarchies,
            Self::V2(hierarchy) => std::slice::from_ref(hierarchy),
        }
    }

    /// Makes the server's group, and gives the calling process a cgroup namespace whose root it is. The process itself
    /// stays outside, so that no instance's load slows it down.
    pub(super) fn make_top(&self) -> Result<(), Failure> {
        if let Self::V2(hierarchy) = self {
            hand_down_missing(hierarchy)?;
        }
        for hierarchy in self.hierarchies() {
            make_directory(&hierarchy.directory)?;
        }
        match self {
            Self::None => return Ok(()),
            Self::V1(hierarchies) => {
                for hierarchy in hierarchies {
                    if hierarchy.has("cpuset") {
                        inherit_cpuset(&hierarchy.directory)?;
                    }
                    if hierarchy.has("cpu") {
                        let weight = shares(top_weight());
                        write(&hierarchy.directory.join("cpu.shares"), &weight.to_string())?;
                    }
                }
            }
            Self::V2(hierarchy) if hierarchy.has("cpu") => {
                write(&hierarchy.directory.join("cpu.weight"), &top_weight().to_string())?;
            }
            Self::V2(_) => {}
        }
        self.enter(|hierarchy| &hierarchy.directory)?;
        let unshared = super::system::unshare(libc::CLONE_NEWCGROUP)
            .step(|| "cannot make a control group namespace".to_owned());
        self.enter(|hierarchy| &hierarchy.home)?;
        unshared?;
        if let Self::V2(hierarchy) = self {
            hand_down(hierarchy, &hierarchy.directory)?;
        }
        Ok(())
    }

    /// Moves the calling process into groups.
    fn enter(&self, group: fn(&Hierarchy) -> &Path) -> Result<(), Failure> {
        let file = if matches!(self, Self::V2(_)) { "cgroup.procs" } else { "tasks" };
        self.hierarchies().iter().try_for_each(|it| write(&group(it).join(file), "0"))
    }

    /// Removes the server's group, in which nothing is left.
    pub(super) fn remove_top(&self) -> Result<(), Failure> {
        self.hierarchies().iter().try_for_each(|hierarchy| remove_directory(&hierarchy.directory))
    }

    /// Makes a cell's group with its limits.
    pub(super) fn make_host(&self, name: &str, spec: &HostSpec) -> Result<(), Failure> {
        let quota = u64::from(spec.milli_cpus) * PERIOD_US / 1000;
        let bytes = spec.memory.bytes().to_string();
        for hierarchy in self.hierarchies() {
            let directory = hierarchy.directory.join(name);
            make_directory(&directory)?;
            if matches!(self, Self::V2(_)) {
                hand_down(hierarchy, &directory)?;
            }
            if hierarchy.has("cpuset") {
                if matches!(self, Self::V1(_)) {
                    inherit_cpuset(&directory)?;
                }
                if let Some(cpus) = &spec.cpus {
                    write(&directory.join("cpuset.cpus"), cpus)?;
                }
            }
            match self {
                Self::V2(_) => {
                    if hierarchy.has("memory") {
                        write(&directory.join("memory.max"), &bytes)?;
                    }
                    if hierarchy.has("cpu") {
                        write(&directory.join("cpu.max"), &format!("{quota} {PERIOD_US}"))?;
                        let weight = (spec.milli_cpus / 10).clamp(1, 10_000);
                        write(&directory.join("cpu.weight"), &weight.to_string())?;
                    }
                }
                _ => {
                    if hierarchy.has("memory") {
                        write(&directory.join("memory.limit_in_bytes"), &bytes)?;
                    }
                    if hierarchy.has("cpu") {
                        write(&directory.join("cpu.cfs_period_us"), &PERIOD_US.to_string())?;
                        write(&directory.join("cpu.cfs_quota_us"), &quota.to_string())?;
                        let weight = shares(spec.milli_cpus / 10);
                        write(&directory.join("cpu.shares"), &weight.to_string())?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Removes a cell's group.
    pub(super) fn remove_host(&self, name: &str) -> Result<(), Failure> {
        self.hierarchies()
            .iter()
            .try_for_each(|hierarchy| remove_directory(&hierarchy.directory.join(name)))
    }

    /// Makes an instance's group with its limits, all but the CPU ceiling.
    pub(super) fn make_instance(
        &self,
        name: &GroupName,
        limits: Limits,
    ) -> Result<Membership, Failure> {
        let mut membership = Membership::default();
        for hierarchy in self.hierarchies() {
            let mut directory = hierarchy.directory.join(&name.host);
            let is_v2 = matches!(self, Self::V2(_));
            if is_v2 || hierarchy.is_per_instance() {
                directory.push(&name.instance);
                make_directory(&directory)?;
                limit(hierarchy, &directory, limits, is_v2)?;
            }
            let open = |path: &Path, options: &mut fs::OpenOptions| {
                options.open(path).step(|| format!("cannot open {}", path.display()))
            };
            if is_v2 {
                let group = open(&directory, File::options().read(true))?;
                membership.group = Some(group.into());
            } else {
                let tasks = open(&directory.join("tasks"), File::options().write(true))?;
                membership.tasks.push(tasks.into());
            }
        }
        Ok(membership)
    }

    /// Gives an instance's group other limits.
    pub(super) fn limit_instance(&self, name: &GroupName, limits: Limits) -> Result<(), Failure> {
        let is_v2 = matches!(self, Self::V2(_));
        self.hierarchies()
            .iter()
            .filter(|hierarchy| hierarchy.has("memory") || hierarchy.has("cpu"))
            .try_for_each(|hierarchy| {
                let directory = hierarchy.directory.join(&name.host).join(&name.instance);
                if hierarchy.has("memory") && !is_v2 {
                    // Memory may not be limited to more than memory with swap is.
                    write_where_there(&directory.join("memory.memsw.limit_in_bytes"), "-1")?;
                }
                limit(hierarchy, &directory, limits, is_v2)
            })
    }

    /// Removes an instance's group, whose processes have ended.
    pub(super) fn remove_instance(&self, name: &GroupName) -> Result<(), Failure> {
        self.hierarchies()
            .iter()
            .filter(|hierarchy| hierarchy.is_per_instance() || matches!(self, Self::V2(_)))
            .try_for_each(|hierarchy| {
                remove_directory(&hierarchy.directory.join(&name.host).join(&name.instance))
            })
    }

    fn with(&self, controller: &str, name: &GroupName) -> Option<PathBuf> {
        let hierarchy = self.hierarchies().iter().find(|hierarchy| hierarchy.has(controller))?;
        Some(hierarchy.directory.join(&name.host).join(&name.instance))
    }

    /// The file that freezes and thaws an instance; None where there is none.
    pub(super) fn freezer(&self, name: &GroupName) -> Option<PathBuf> {
        match self {
            Self::None => None,
            Self::V1(_) => Some(self.with("freezer", name)?.join("freezer.state")),
            Self::V2(hierarchy) => {
                let directory = hierarchy.directory.join(&name.host).join(&name.instance);
                Some(directory.join("cgroup.freeze"))
            }
        }
    }

    /// What to write into [`Cgroups::freezer`].
    pub(super) fn freezer_words(&self) -> FreezerWords {
        match self {
            Self::V2(_) => FreezerWords { freeze: "1", thaw: "0" },
            _ => FreezerWords { freeze: "FROZEN", thaw: "THAWED" },
        }
    }

    /// Limits an instance's CPU to `milli_cpus`, or to what its cell has, if that is less.
    pub(super) fn set_ceiling(&self, name: &GroupName, milli_cpus: u32) -> Result<(), Failure> {
        let Some(directory) = self.with("cpu", name) else { return Ok(()) };
        let quota = (u64::from(milli_cpus) * PERIOD_US / 1000).max(1000);
        match self {
            Self::V2(_) => write(&directory.join("cpu.max"), &format!("{quota} {PERIOD_US}")),
            _ => {
                write(&directory.join("cpu.cfs_period_us"), &PERIOD_US.to_string())?;
                write(&directory.join("cpu.cfs_quota_us"), &quota.to_string())
            }
        }
    }

    /// Files that say what CPU time an instance has used and what memory at most, where there are such.
    pub(super) fn usage_files(&self, name: &GroupName) -> (Option<PathBuf>, Option<PathBuf>) {
        match self {
            Self::V2(hierarchy) => {
                // Every group has the first file, whatever its controllers.
                let directory = hierarchy.directory.join(&name.host).join(&name.instance);
                let memory = self.with("memory", name).map(|memory| memory.join("memory.peak"));
                (Some(directory.join("cpu.stat")), memory)
            }
            _ => (
                self.with("cpuacct", name).map(|cpu| cpu.join("cpuacct.usage")),
                self.with("memory", name).map(|memory| memory.join("memory.max_usage_in_bytes")),
            ),
        }
    }

    /// Whether the kernel has killed a process of the instance because its memory limit was hit.
    pub(super) fn was_out_of_memory(&self, name: &GroupName) -> bool {
        let file = match self {
            Self::V2(_) => "memory.events",
            _ => "memory.oom_control",
        };
        self.with("memory", name)
            .and_then(|directory| field(&directory.join(file), "oom_kill"))
            .is_some_and(|kills| kills > 0)
    }
}

/// What to write to freeze and to thaw.
#[derive(Clone, Copy, Debug)]
pub(super) struct FreezerWords {
    pub(super) freeze: &'static str,
    pub(super) thaw: &'static str,
}

/// The number after `name` in a file of lines `name number`.
fn field(path: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// A new v1 cpuset has no CPU and no memory node, and takes no member until it has both.
fn inherit_cpuset(directory: &Path) -> Result<(), Failure> {
    let parent = directory.parent().unwrap_or(directory);
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let value = fs::read_to_string(parent.join(file))
            .step(|| format!("cannot read {}", parent.join(file).display()))?;
        write(&directory.join(file), value.trim())?;
    }
    Ok(())
}

fn limit(
    hierarchy: &Hierarchy,
    directory: &Path,
    limits: Limits,
    is_v2: bool,
) -> Result<(), Failure> {
    if let Some(memory) = limits.memory.filter(|_| hierarchy.has("memory")) {
        let bytes = memory.bytes().to_string();
        if is_v2 {
            write(&directory.join("memory.max"), &bytes)?;
            write_where_there(&directory.join("memory.swap.max"), "0")?;
        } else {
            // Memory with swap can be limited to no less than memory, so memory comes first.
            write(&directory.join("memory.limit_in_bytes"), &bytes)?;
            write_where_there(&directory.join("memory.memsw.limit_in_bytes"), &bytes)?;
        }
    }
    if hierarchy.has("cpu") {
        if is_v2 {
            write(&directory.join("cpu.weight"), &limits.cpu_weight.clamp(1, 10_000).to_string())?;
        } else {
            write(&directory.join("cpu.shares"), &shares(limits.cpu_weight).to_string())?;
        }
    }
    if hierarchy.has("pids") {
        write(&directory.join("pids.max"), &PROCESSES.to_string())?;
    }
    Ok(())
}
