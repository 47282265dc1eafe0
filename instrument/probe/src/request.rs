//! What the probe is asked to do, in this order: barrier, identity, exposure, disk counters, CPU, disk, fill, network,
//! hold, failure, background.

use serde::{Deserialize, Serialize};

/// The event of one invocation of the probe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Request {
    /// Sleep until this moment of the function's wall clock, in nanoseconds since 1970, before anything is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub barrier_unix_ns: Option<u64>,
    /// Report who runs where.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub identity: bool,
    /// Report what of the host can be read.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub exposure: bool,
    /// Report the host's disk counters before and after the measurements.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub disk_counters: bool,
    /// Measure the share of a CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cpu>,
    /// Measure the disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<Disk>,
    /// Take all room in /tmp, and give it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fill: Option<Fill>,
    /// Measure the network to a sink that reads and discards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// Sleep until this moment (nanoseconds since 1970) after all measurements, so that instances are held together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_until_unix_ns: Option<u64>,
    /// Sleep this long after all measurements.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_ms: Option<f64>,
    /// Go on with work after the response was returned; the next invocation reports it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub background: Option<Background>,
    /// Fail on purpose with this message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail: Option<String>,
    /// Never looked at: makes the request as large as it is meant to be.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub padding: String,
}

/// Take clock readings as fast as possible on one busy thread per vCPU.
///
/// The threads burn for a period of 100 ms first, so that what a quota let them save up is spent. Then, where the instance is
/// throttled, the window begins as a throttled thread runs again, so that it holds whole periods of the quota; all that
/// takes at most 250 ms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cpu {
    /// Length of the window in milliseconds (the paper: 1000).
    pub window_ms: f64,
    /// Busy threads; 0 means one per vCPU that the function sees.
    #[serde(default)]
    pub threads: u32,
}

/// Write, synchronise and read back blocks in /tmp.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// Bytes of one block.
    pub block_bytes: u64,
    /// Blocks of one round.
    pub blocks: u64,
    /// Rounds.
    pub rounds: u32,
}

/// Take room in /tmp until there is none left. Nothing is written where room can be taken without.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fill {
    /// Bytes at most.
    pub most_bytes: u64,
}

/// Send bytes to a sink for a while, and wait until it has read them and closed the connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Address of the sink, `ADDRESS:PORT`, the address numeric.
    pub sink: String,
    /// How long to send, in milliseconds (the paper: 1000).
    pub window_ms: f64,
}

/// Work that goes on after the response.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Background {
    /// Stop by itself after this many milliseconds.
    pub for_ms: f64,
}
