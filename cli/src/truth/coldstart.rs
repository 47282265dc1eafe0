//! How long requests wait for a new instance, and for one that is there.

use super::{at, expected as expected_as, number, sound};
use analysis::Truth;
use emulator::{Expected, Measure, Start};
use model::MemoryMib;
use record::Record;
use std::collections::BTreeMap;

const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)];

pub(super) fn expected(expected: &Expected<'_>, records: &[Record]) -> Vec<Truth> {
    // Smallest package of each setting: the probe's own.
    let mut settings: BTreeMap<(&str, u32), f64> = BTreeMap::new();
    for record in sound(records, "coldstart") {
        let key = (record.runtime.as_str(), record.memory_mib);
        let package_mib = settings.entry(key).or_insert(record.package_mib);
        *package_mib = record.package_mib.min(*package_mib);
    }
    let mut truths = Vec::new();
    for ((runtime, memory_mib), package_mib) in settings {
        let cold = Start::Cold { runtime, memory: MemoryMib(memory_mib), package_mib };
        for (metric, start, measure) in [
            ("coldstart.latency_ms", cold, Measure::Latency),
            ("coldstart.overhead_ms", cold, Measure::Overhead),
            ("warmstart.latency_ms", Start::Warm, Measure::Latency),
            ("warmstart.overhead_ms", Start::Warm, Measure::Overhead),
        ] {
            let mut say = |suffix: &str, value: f64| {
                let truth = expected_as(&format!("{metric}.{suffix}"), number(value));
                truths.push(at(at(truth, "runtime", runtime), "memory_mib", memory_mib));
            };
            for (suffix, p) in QUANTILES {
                say(suffix, expected.start_ms(start, measure, p));
            }
            let (mean, sd) = expected.start_moments_ms(start, measure);
            say("mean", mean);
            say("sd", sd);
        }
    }
    truths
}
