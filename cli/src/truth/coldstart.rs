//! How long requests wait for a new instance, and for one that is there.

use super::{at, expected as expected_as, number, sound};
use analysis::Truth;
use emulator::{Counts, Expected, Measure, Start};
use model::MemoryMib;
use record::Record;
use std::collections::{BTreeMap, BTreeSet};

const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)];

/// How many of the plan's starts are on new hosts is not the profile's alone: it is taken from the counts.
pub(super) fn expected(expected: &Expected<'_>, counts: &Counts, records: &[Record]) -> Vec<Truth> {
    // Smallest package of each setting: the probe's own.
    let mut settings: BTreeMap<(&str, u32), (f64, BTreeSet<&str>)> = BTreeMap::new();
    for record in sound(records, "coldstart") {
        let key = (record.runtime.as_str(), record.memory_mib);
        let (package_mib, functions) =
            settings.entry(key).or_insert((record.package_mib, BTreeSet::new()));
        *package_mib = record.package_mib.min(*package_mib);
        functions.insert(&record.function);
    }
    let mut truths = Vec::new();
    for ((runtime, memory_mib), (package_mib, functions)) in settings {
        let started = functions.iter().filter_map(|name| counts.functions.get(*name));
        let (all, new) =
            started.fold((0, 0), |(all, new), it| (all + it.instances, new + it.new_hosts));
        let new_host = f64::from(new) / f64::from(all.max(1));
        let cold = Start::Cold { runtime, memory: MemoryMib(memory_mib), package_mib, new_host };
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
                if let Some(value) = expected.start_ms(start, measure, p) {
                    say(suffix, value);
                }
            }
            let (mean, sd) = expected.start_moments_ms(start, measure);
            say("mean", mean);
            say("sd", sd);
        }
    }
    truths
}
