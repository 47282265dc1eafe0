//! A platform in numbers: the scheduler's part, and what its hosts, paths and clocks are like.
//!
//! Deliberately knows nothing of how any of it is carried out. One TOML file holds both parts: the scheduler's sections,
//! which `profiles/local.toml` explains, and this crate's below `[emulated]`, which `profiles/aws-2018.toml` explains.

mod built_in;
mod decides;
mod file;
mod words;

use crate::latency::Latency;
use model::{MemoryMib, Span, Time};
use scheduler::ProfileError;
use serde::Deserialize;
use std::collections::BTreeMap;

pub use built_in::{BUILT_IN, built_in};

/// Everything that an emulated platform is.
#[derive(Clone, Debug, PartialEq)]
pub struct Platform {
    /// What decides.
    pub scheduler: scheduler::Profile,
    /// What it decides about.
    pub model: Model,
}

/// Hosts, paths and clocks in numbers.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// What the platform is, in words for the report.
    pub about: String,
    /// Where the numbers come from, in words for the report.
    pub source: String,
    /// Kind of sandbox, as in `container`; empty where nobody says.
    pub sandbox: String,
    /// Runtimes on offer, the one that starts fastest first.
    pub runtimes: Vec<String>,
    /// Accounts that functions can be deployed to.
    pub tenants: u32,
    /// Roles of each account.
    pub roles: u32,
    /// Kinds of host.
    pub host: Vec<HostType>,
    /// Hosts as they are handed out.
    pub hosts: HostTimes,
    /// The way from the vantage point to the platform and back.
    pub path: Path,
    /// Invocations of instances that are there.
    pub warm: Warm,
    /// Starts of instances, by runtime and memory.
    pub cold: Vec<Cold>,
    /// What makes starts slower.
    pub starts: Starts,
    /// CPU windows.
    pub cpu: CpuModel,
    /// Disks.
    pub disk: Disk,
    /// Networks.
    pub network: Network,
    /// What instances can read.
    pub reveal: RevealModel,
    /// Work after the response.
    pub background: Background,
    /// Functions' clocks.
    pub clock: ClockModel,
    /// Control operations.
    pub control: Control,
    /// What goes wrong.
    pub faults: Faults,
    /// Limits that are not the scheduler's.
    pub limits: LimitsModel,
    /// What changes in mid-study; None where nothing does.
    pub change: Option<ChangeModel>,
}

/// A change of how long idle instances are kept.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeModel {
    /// When, s after the beginning.
    pub at_s: f64,
    /// How long whatever becomes idle from then on is kept, s; what is idle already goes as it would have gone.
    pub idle_limit_s: f64,
}

impl ChangeModel {
    /// When.
    pub fn at(&self) -> Time {
        Time::ZERO + Span::from_secs_f64(self.at_s)
    }

    /// What keeps idle instances from then on.
    pub fn keep_alive(&self) -> scheduler::policy::KeepAlive {
        let limit = Span::from_secs_f64(self.idle_limit_s);
        scheduler::policy::KeepAlive::Fixed(scheduler::policy::Fixed { limit })
    }
}

/// One kind of host.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostType {
    /// Its part of all hosts; parts are divided by their sum.
    pub share: f64,
    /// Model name of its CPUs.
    pub cpu_model: String,
    /// CPUs.
    pub vcpus: u32,
    /// Memory as /proc/meminfo has it, MiB.
    pub memory_mib: u32,
}

/// Hosts as they are handed out.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostTimes {
    /// From the decision to use another host until instances can start on it.
    pub ready: Latency,
    /// Shortest uptime at that moment, s: how long hosts wait in a pool of ready ones.
    pub uptime_min_s: f64,
    /// Longest uptime at that moment, s; in between, any is as likely.
    pub uptime_max_s: f64,
}

/// One way each.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Path {
    /// Of the request.
    pub out: Latency,
    /// Of the answer.
    pub back: Latency,
}

/// Invocations of instances that are there.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Warm {
    /// From the request's arrival at the platform to the handler's first statement.
    pub latency: Latency,
}

/// Starts for one runtime at one memory size. Other sizes lie between their neighbours, by the size's logarithm.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cold {
    /// Runtime.
    pub runtime: String,
    /// Memory size, MiB.
    pub memory_mib: u32,
    /// From the sending of the request to the handler's first statement, on a host that is there, alone, of code never
    /// seen: what the paper calls the cold start's latency. The median way of the request is part of it.
    pub latency: Latency,
}

/// What makes starts slower, or quicker.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Starts {
    /// Part of each start that simultaneous starts of one host do one after another, in slices: k of them take k times as
    /// long, ms. It is part of the latency.
    pub serial_ms: f64,
    /// What each MiB of package adds, ms.
    pub package_ms_per_mib: f64,
    /// What a start is quicker where the same code bytes were started before, ms.
    pub known_code_saves_ms: f64,
}

/// CPU windows.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CpuModel {
    /// Relative standard deviation of an instance's ceiling, drawn once for each instance.
    pub ceiling_sd: f64,
    /// Period of the quota, ms.
    pub period_ms: f64,
}

/// Disks.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// What a host writes, MiB/s.
    pub write_mib_s: f64,
    /// What a host reads, MiB/s.
    pub read_mib_s: f64,
    /// What one instance gets at most; None for all.
    pub instance_mib_s: Option<f64>,
    /// What else moves on a host's disk, MiB/s, in its counters.
    pub noise_mib_s: f64,
    /// How much what a host writes and reads varies from one use to the next, as a part of it: what others leave it.
    #[serde(default)]
    pub variation_sd: f64,
}

/// Networks.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// What a host sends, Mbit/s.
    pub mbit_s: f64,
    /// What an instance of 128 MiB gets at most, and more in proportion to its memory; None for all.
    pub mbit_s_at_128_mib: Option<f64>,
    /// How much what a host sends varies from one use to the next, as a part of it: what others leave it.
    #[serde(default)]
    pub variation_sd: f64,
}

/// Whose name something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Names {
    /// The host's.
    Host,
    /// The instance's.
    Instance,
    /// The same everywhere.
    Nothing,
}

/// Whether something of the host can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// As it is.
    Host,
    /// Made up, or empty.
    Hidden,
}

/// What instances can read.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevealModel {
    /// Whose name each source has; a source that is not here cannot be read.
    pub names: BTreeMap<NameSource, Names>,
    /// CPU model.
    pub cpu_model: Seen,
    /// Uptime.
    pub uptime: Seen,
    /// Memory.
    pub memory: Seen,
    /// Disk counters.
    pub disk_counters: Seen,
    /// Items of the probe's list that can be read.
    pub readable: Vec<String>,
}

/// Where a name may be read. Sorted as METRICS prefers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NameSource {
    /// The part before the last of the longest path in /proc/self/cgroup.
    InstanceRootId,
    /// All of /proc/self/cgroup.
    Cgroup,
    /// An environment variable.
    Env,
    /// /proc/sys/kernel/random/boot_id
    BootId,
    /// /etc/machine-id
    MachineId,
    /// The first address.
    Ip,
}

/// Work after the response.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Background {
    /// How long it goes on, s: 0 where instances are paused at once.
    pub for_s: f64,
    /// CPUs that it gets; None for as many as the instance gets while it runs.
    pub cpus: Option<f64>,
}

/// Functions' clocks against the vantage point's.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockModel {
    /// How much functions' clocks are ahead when the study begins, ms.
    pub offset_ms: f64,
    /// How much further ahead they get, millionths.
    pub drift_ppm: f64,
    /// Standard deviation of a host's own offset, ms.
    pub host_sd_ms: f64,
    /// How much all of them are set ahead at one moment, ms, or back where it is negative; 0 where they never are.
    #[serde(default)]
    pub step_ms: f64,
    /// When that is, s since the study began.
    #[serde(default)]
    pub step_at_s: f64,
}

impl ClockModel {
    /// How much functions' clocks have been set ahead by that moment, ns.
    pub(crate) fn stepped_ns(&self, at: Time) -> f64 {
        if at.as_secs_f64() >= self.step_at_s { self.step_ms * 1e6 } else { 0.0 }
    }
}

/// Control operations.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// From the request to the acknowledgement that a new function can be invoked.
    pub create: Latency,
    /// The same of an update.
    pub update: Latency,
    /// The same of a removal.
    pub delete: Latency,
    /// Operations per second that are allowed for long; more are throttled.
    pub per_s: f64,
    /// Operations that are allowed at once.
    pub burst: u32,
}

/// What goes wrong, as parts of all invocations or starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Faults {
    /// Requests that never arrive.
    pub lost_request: f64,
    /// Answers that never arrive, although the function ran.
    pub lost_reply: f64,
    /// Requests that are delivered twice.
    pub duplicate: f64,
    /// Requests that are throttled for no reason of ours.
    pub throttled: f64,
    /// Invocations in which the runtime dies.
    pub crash: f64,
    /// Starts that fail.
    pub start_failure: f64,
}

/// Limits that are not the scheduler's.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsModel {
    /// Memory sizes are multiples of this, MiB.
    pub memory_step_mib: u32,
    /// Largest request, MiB.
    pub payload_mib: f64,
    /// /tmp, MiB.
    pub disk_mib: u32,
    /// Largest package, MiB.
    pub package_mib: u32,
}

impl Platform {
    /// Reads and checks a profile.
    ///
    /// # Errors
    /// [`ProfileError`] with line, key, limit, and for a misspelt key the nearest one.
    pub fn from_toml(text: &str) -> Result<Self, ProfileError> {
        file::read(text)
    }

    /// What a profile says, in words; it may as well be one of `peek serve`, which has no emulated part.
    ///
    /// # Errors
    /// [`ProfileError`], as [`Self::from_toml`].
    pub fn explain(text: &str) -> Result<String, ProfileError> {
        file::explain(text)
    }

    /// The profile in words: what it decides, how large and how quick it is, and what it reveals.
    pub fn in_words(&self) -> String {
        words::of(self)
    }

    /// The latency of a cold start of this runtime and size.
    pub fn cold(&self, runtime: &str, memory: MemoryMib) -> Latency {
        let of = |name: &str| {
            let mut rows: Vec<&Cold> =
                self.model.cold.iter().filter(|row| row.runtime == name).collect();
            rows.sort_by_key(|row| row.memory_mib);
            rows
        };
        let mut rows = of(runtime);
        if rows.is_empty() {
            rows = of(self.model.cold.first().map_or("", |row| &row.runtime));
        }
        let above = rows.iter().position(|row| row.memory_mib >= memory.0);
        match (above, rows.as_slice()) {
            (_, []) => Latency::constant(0.0),
            (Some(0), rows) => rows[0].latency,
            (None, rows) => rows[rows.len() - 1].latency,
            (Some(above), rows) => {
                let (low, high) = (rows[above - 1], rows[above]);
                let log = |mib: u32| f64::from(mib.max(1)).ln();
                let part = (log(memory.0) - log(low.memory_mib))
                    / (log(high.memory_mib) - log(low.memory_mib));
                low.latency.between(high.latency, part)
            }
        }
    }

    /// What the probe looks at, and whether it can be read.
    pub fn exposed(&self) -> impl Iterator<Item = (&'static str, bool)> {
        let readable = |item| self.model.reveal.readable.iter().any(|known| known == item);
        probe::EXPOSURE_ITEMS.lines().map(move |item| (item, readable(item)))
    }

    /// The word for where a function finds its host's name, as METRICS lists them.
    pub fn host_id_source(&self) -> &'static str {
        let names = &self.model.reveal.names;
        let host = names.iter().find(|(_, whose)| **whose == Names::Host);
        let nameless = match self.model.reveal.disk_counters {
            Seen::Host => "io_side_channel",
            Seen::Hidden => "none",
        };
        host.map_or(nameless, |(source, _)| source.word())
    }

    /// What an instance may use of a host's CPUs, alone, in CPUs.
    pub fn cpu_ceiling(&self, memory: MemoryMib, host: &HostType) -> f64 {
        let vcpus = f64::from(host.vcpus);
        let milli = self.scheduler.cpu.ceiling_milli(memory, host.vcpus * 1000);
        milli.map_or(vcpus, |milli| f64::from(milli) / 1e3).min(vcpus)
    }

    /// What one instance may write or read at most, MiB/s.
    pub fn disk_ceiling_mib_s(&self) -> f64 {
        self.model.disk.instance_mib_s.unwrap_or(f64::INFINITY)
    }

    /// What one instance of this size may send at most, Mbit/s.
    pub fn network_ceiling_mbit_s(&self, memory: MemoryMib) -> f64 {
        let most = self.model.network.mbit_s_at_128_mib;
        most.map_or(f64::INFINITY, |most| most * f64::from(memory.0) / 128.0)
    }

    /// How long work after the response goes on at most.
    pub fn background_limit(&self) -> Span {
        Span::from_secs_f64(self.model.background.for_s)
    }
}

impl NameSource {
    /// As METRICS and the probe call it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::InstanceRootId => "instance_root_id",
            Self::Cgroup => "cgroup",
            Self::Env => "env",
            Self::BootId => "boot_id",
            Self::MachineId => "machine_id",
            Self::Ip => "ip",
        }
    }
}
