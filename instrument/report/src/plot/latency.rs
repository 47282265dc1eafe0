//! Cold and warm latencies of the records, by runtime and memory: what the distribution plots draw.

use crate::metric;
use record::{Outcome, Record};
use std::collections::BTreeMap;

/// Latencies of one runtime and memory size, ascending, ms.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    pub(super) cold: Vec<f64>,
    pub(super) warm: Vec<f64>,
}

/// Latencies by runtime, native first, then by memory.
///
/// Send to handler start, as `coldstart.latency_ms` is defined: the function's wall clock against the vantage point's. Failures and
/// answers without a start have none.
pub(super) fn latencies(records: &[&Record]) -> Vec<(String, BTreeMap<u32, Latencies>)> {
    let mut out: BTreeMap<String, BTreeMap<u32, Latencies>> = BTreeMap::new();
    for record in records {
        let Some(ms) = latency_ms(record) else { continue };
        let cold = record.phase == "cold" && record.instance_invocations == 1;
        let warm = record.phase == "warm" && record.instance_invocations > 1;
        if !cold && !warm {
            continue;
        }
        let runtime = out.entry(record.runtime.to_string()).or_default();
        let own = runtime.entry(record.memory_mib).or_default();
        if cold { own.cold.push(ms) } else { own.warm.push(ms) }
    }
    for own in out.values_mut().flat_map(BTreeMap::values_mut) {
        own.cold.sort_by(f64::total_cmp);
        own.warm.sort_by(f64::total_cmp);
    }
    let mut out: Vec<_> = out.into_iter().collect();
    out.sort_by(|a, b| metric::runtime_order(&a.0).cmp(&metric::runtime_order(&b.0)));
    out
}

/// Send to handler start of one invocation, ms; None where it has none.
pub(super) fn latency_ms(record: &Record) -> Option<f64> {
    if record.outcome != Outcome::Ok || record.started_unix_ns == 0 {
        return None;
    }
    let sent = i128::from(record.epoch_unix_ns) + i128::from(record.sent_ns);
    Some((i128::from(record.started_unix_ns) - sent) as f64 / 1e6)
}

/// Smallest positive and largest number; None where there is no positive one.
pub(super) fn span(numbers: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let positive = numbers.filter(|x| *x > 0.0 && x.is_finite());
    positive.fold(None, |span, x| match span {
        None => Some((x, x)),
        Some((low, high)) => Some((x.min(low), x.max(high))),
    })
}
