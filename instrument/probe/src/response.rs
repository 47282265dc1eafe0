//! What the probe answers.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The result of one invocation of the probe. Times are the function's clocks, never the vantage point's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Response {
    /// Wall clock at the handler's first statement, nanoseconds since 1970.
    pub started_unix_ns: u64,
    /// Wall clock at the handler's last statement, nanoseconds since 1970.
    pub finished_unix_ns: u64,
    /// Monotonic clock between the two, nanoseconds.
    pub duration_ns: u64,
    /// The instance's own id: 32 hexadecimal digits, drawn at init and kept in memory.
    pub instance: String,
    /// The id found in (or, by the first invocation, written to) the instance's /tmp.
    pub instance_tmp: String,
    /// How many invocations this instance has served, this one included.
    pub invocations: u64,
    /// Wall clock when the runtime began to load this function, nanoseconds since 1970.
    pub init_unix_ns: u64,
    /// Language and version of the probe: `native`, `python3.11`, `nodejs20.x`.
    pub runtime: String,
    /// The version that the platform says this is (AWS_LAMBDA_FUNCTION_VERSION).
    pub version: String,
    /// The mark that the deployer put into the environment (PEEK_MARK), a dot, and the mark in the package (its file
    /// peek-mark): together they tell an update, of code or of settings, from its predecessor.
    pub mark: String,
    /// The memory size that the platform says this has (AWS_LAMBDA_FUNCTION_MEMORY_SIZE), MiB.
    pub memory_mib: u32,
    /// Why the platform says it was initialized (AWS_LAMBDA_INITIALIZATION_TYPE): `on-demand`, `provisioned-concurrency`,
    /// `snap-start`; empty where it does not say.
    pub initialization: String,
    /// Who runs where.
    pub identity: Option<Identity>,
    /// What of the host can be read.
    pub exposure: Option<Vec<Exposed>>,
    /// Disk counters before the measurements.
    pub disk_before: Option<Vec<DiskCounter>>,
    /// Disk counters after the measurements.
    pub disk_after: Option<Vec<DiskCounter>>,
    /// CPU share.
    pub cpu: Option<Cpu>,
    /// Disk throughput.
    pub disk: Option<Disk>,
    /// Room in /tmp.
    pub fill: Option<Fill>,
    /// Network throughput.
    pub network: Option<Network>,
    /// What an earlier invocation's background work managed.
    pub background: Option<Background>,
    /// What could not be measured, and why, by part.
    pub problems: BTreeMap<String, String>,
}

/// Everything that may name the instance or its host. Empty where it cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Identity {
    /// Candidates for a host's name, by source: `instance_root_id`, `cgroup`, `env`, `boot_id`, `machine_id`, `ip`.
    ///
    /// `instance_root_id` is the part of the longest `/proc/self/cgroup` path before its last component (Wang et al., 4.1).
    pub host_ids: BTreeMap<String, String>,
    /// `uname -n`.
    pub hostname: String,
    /// Seconds since the host's kernel started.
    pub uptime_s: f64,
    /// Model name of the first CPU.
    pub cpu_model: String,
    /// Online CPUs.
    pub cpu_count: u32,
    /// Memory of the host as /proc/meminfo says, MiB.
    pub host_memory_mib: u32,
    /// Kernel release.
    pub kernel: String,
    /// The instance's own addresses.
    pub addresses: Vec<String>,
}

/// One thing about the host that a function may or may not be able to read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Exposed {
    /// Its path or name, as in `/proc/diskstats` or `env:AWS_REGION`.
    pub item: String,
    /// True where it could be read and was not empty.
    pub readable: bool,
    /// SHA-256 of what was read, first 16 hexadecimal digits, so that instances can be compared; empty where not readable.
    pub digest: String,
}

/// One block device's counters from /proc/diskstats.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DiskCounter {
    /// Device name.
    pub device: String,
    /// Sectors of 512 bytes read.
    pub sectors_read: u64,
    /// Sectors of 512 bytes written.
    pub sectors_written: u64,
}

/// CPU share in one window, over all busy threads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cpu {
    /// Window as it really was, monotonic nanoseconds. Time after its end is in none of the sums.
    pub window_ns: u64,
    /// Wall clock at the window's start, nanoseconds since 1970.
    pub started_unix_ns: u64,
    /// Busy threads.
    pub threads: u32,
    /// CPU time of the busy threads in the window, by their thread clocks, nanoseconds; 0 where there is no such clock,
    /// which `problems` then says under `cpu`.
    pub cpu_ns: u64,
    /// Time in which the threads ran, by gaps between monotonic stamps: sums of gaps below `gap_ns`, nanoseconds.
    pub running_ns: u64,
    /// Gaps at least this long count as time without a CPU, nanoseconds.
    pub gap_ns: u64,
    /// Milliseconds of the window in which the first thread took a stamp (the paper's statistic), at most the window.
    pub ticks: u64,
    /// When the first thread ran: pairs of offsets from the window's start, `[from, to)`, nanoseconds; at most 4,096 pairs.
    pub ran: Vec<(u64, u64)>,
}

/// Disk throughput.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Disk {
    /// Written and synchronised, MiB/s, by round.
    pub write_mib_s: Vec<f64>,
    /// Read back (page cache dropped where allowed), MiB/s, by round.
    pub read_mib_s: Vec<f64>,
    /// Whether the page cache was bypassed (O_DIRECT). Where it was not, reads may be the memory's speed.
    pub direct: bool,
    /// Wall clock at the first round's start, nanoseconds since 1970.
    pub started_unix_ns: u64,
    /// All rounds, nanoseconds.
    pub duration_ns: u64,
}

/// Room in /tmp.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Fill {
    /// Bytes that could be taken, to a block of 4 KiB.
    pub bytes: u64,
    /// Whether there was no more room; else as much as was asked for at most was taken.
    pub full: bool,
}

/// Network throughput.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Network {
    /// Read by the sink, bytes.
    pub sent_bytes: u64,
    /// From the first byte to the sink's close, nanoseconds: a little longer than the window.
    pub duration_ns: u64,
    /// Wall clock at the start, nanoseconds since 1970.
    pub started_unix_ns: u64,
}

/// What background work did between two invocations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Background {
    /// Wall clock when it began, nanoseconds since 1970.
    pub started_unix_ns: u64,
    /// Wall clock at its last sign of life, nanoseconds since 1970. A pause of 500 ms or more ends it: then it is the
    /// last one before that pause, so that a thaw for a later invocation is not taken for work.
    pub last_unix_ns: u64,
    /// The longest time between two signs of life, nanoseconds.
    pub longest_gap_ns: u64,
    /// CPU time that it got, nanoseconds; 0 where there is no thread clock.
    pub cpu_ns: u64,
    /// True where it reached its own end rather than being stopped.
    pub finished: bool,
}
