//! How many instances bursts really got, how fast, and what was queued.

use super::{Realised, at, median, number, parameter, realised as realised_as, setting, sound};
use analysis::Truth;
use emulator::FunctionCounts;
use record::Record;
use std::collections::BTreeMap;

/// An instance of our platform serves one request at a time.
pub(super) fn of_profile() -> Vec<Truth> {
    vec![parameter("scaling.requests_per_instance", number(1.0))]
}

pub(super) fn realised(realised: &Realised, records: &[Record]) -> Vec<Truth> {
    let mut sizes: BTreeMap<(u32, u32), Vec<&Record>> = BTreeMap::new();
    for record in sound(records, "scaling") {
        if let Some(concurrency) = setting(record, "concurrency") {
            sizes.entry((concurrency, record.memory_mib)).or_default().push(record);
        }
    }
    let mut truths = Vec::new();
    for ((concurrency, memory_mib), records) in sizes {
        let bursts: Vec<&FunctionCounts> = realised.of_functions(records.into_iter()).collect();
        let mut say = |metric: &str, value: Option<f64>| {
            if let Some(value) = value {
                let truth = at(realised_as(metric, number(value)), "concurrency", concurrency);
                truths.push(at(truth, "memory_mib", memory_mib));
            }
        };
        let instances = bursts.iter().map(|it| f64::from(it.running)).collect();
        say("scaling.instances", median(instances));
        if realised.has_answers {
            say("scaling.queued_fraction", queued(&bursts));
            say(
                "scaling.instances_per_s",
                median(bursts.iter().filter_map(|it| rate(it)).collect()),
            );
        }
    }
    let most = realised.of_functions(sound(records, "scaling")).map(|it| it.running).max();
    if let Some(most) = most {
        truths.push(realised_as("scaling.max_concurrent_instances", number(f64::from(most))));
    }
    truths
}

/// Of the answers, those of instances that had served another request: functions are fresh, so it was of the same burst.
fn queued(bursts: &[&FunctionCounts]) -> Option<f64> {
    let sum = |of: fn(&FunctionCounts) -> u32| bursts.iter().map(|it| of(it)).sum::<u32>();
    let answered = sum(|it| it.answers.answered);
    (answered > 0).then(|| f64::from(sum(|it| it.answers.again)) / f64::from(answered))
}

/// Instances over the time from the first sending until the last one came to its handler.
fn rate(burst: &FunctionCounts) -> Option<f64> {
    let took = burst.last_new?.since(burst.first_sent?).as_secs_f64();
    (took > 0.0).then(|| f64::from(burst.instances) / took)
}
