//! What came of a replay under one policy.

use serde::Serialize;

/// Price of a GB-second, USD: AWS Lambda on x86 in us-east-1, first tier ("AWS Lambda pricing", 2025). A GB is 1024 MiB.
pub(crate) const USD_PER_GB_S: f64 = 0.000_016_666_7;

/// Price of a request, USD (the same).
pub(crate) const USD_PER_REQUEST: f64 = 0.2e-6;

/// Sums and quantiles of one policy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Totals {
    /// The policy, as it was named.
    pub policy: String,
    /// From the beginning of the trace to its last invocation, s.
    pub seconds: f64,
    /// Invocations that came.
    pub invocations: u64,
    /// Of these, for which an instance was started and waited for.
    pub cold: u64,
    /// Which ran on an instance that was there.
    pub warm: u64,
    /// Which were refused, by a limit of the profile.
    pub rejected: u64,
    /// Which ran into their timeout, the profile's longest.
    pub expired: u64,
    /// Cold ones among those that ran.
    pub cold_fraction: f64,
    /// The same by function, over functions.
    pub cold_fraction_by_function: ByFunction,
    /// From arrival until the handler runs.
    pub start_ms: Milliseconds,
    /// From arrival until the end.
    pub response_ms: Milliseconds,
    /// Memory over the time of the trace.
    pub memory: Memory,
    /// Instances started.
    pub instances: u64,
    /// Most instances that the platform held at one moment, by memory, MiB.
    pub peak_mib: u64,
    /// Hosts started.
    pub hosts: u64,
    /// What is billed, GB times seconds.
    pub billed_gb_s: f64,
    /// At AWS's prices, USD.
    pub cost_usd: f64,
}

/// Quantiles over functions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ByFunction {
    /// Functions that ran.
    pub functions: u64,
    /// Half of them have at most this.
    pub p50: f64,
    /// Three quarters.
    pub p75: f64,
    /// 95 of 100.
    pub p95: f64,
}

/// Quantiles of latencies, ms; at most 0.8 % too high.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Milliseconds {
    /// Mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    pub p999: f64,
    /// Largest.
    pub max: f64,
}

/// Memory times time, MiB s, from the first to the last arrival.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Memory {
    /// Of hosts, used or not.
    pub hosts_mib_s: f64,
    /// Of instances.
    pub instances_mib_s: f64,
    /// Of these, while they ran an invocation.
    pub busy_mib_s: f64,
    /// While they started.
    pub starting_mib_s: f64,
    /// While they were idle: wasted, if nothing came.
    pub idle_mib_s: f64,
}

impl ByFunction {
    /// Of counts of cold and all invocations.
    pub(crate) fn of(counts: impl Iterator<Item = (u32, u32)>) -> Self {
        let ran = counts.filter(|&(_, all)| all > 0);
        let mut fractions: Vec<f32> = ran.map(|(cold, all)| cold as f32 / all as f32).collect();
        fractions.sort_unstable_by(f32::total_cmp);
        let quantile = |part: f64| {
            let index = (fractions.len() as f64 * part).ceil() as usize;
            fractions.get(index.max(1) - 1).map_or(0.0, |&it| f64::from(it))
        };
        let functions = fractions.len() as u64;
        Self { functions, p50: quantile(0.5), p75: quantile(0.75), p95: quantile(0.95) }
    }
}
