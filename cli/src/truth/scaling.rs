//! How many instances bursts really got, how fast, and what was queued.

use super::{
    Realised, at, expected as expected_as, median, number, parameter, realised as realised_as,
    setting, sound,
};
use analysis::Truth;
use emulator::{Expected, FunctionCounts};
use record::Record;
use scheduler::Profile;
use std::collections::BTreeMap;

/// An instance of the local platform serves one request at a time, as the Lambda Runtime API has it.
pub(super) fn of_local() -> Vec<Truth> {
    vec![parameter("scaling.requests_per_instance", number(1.0))]
}

/// An emulated one as many as the profile says, if bursts were large enough to see it.
pub(super) fn expected(profile: &Profile, expected: &Expected, records: &[Record]) -> Vec<Truth> {
    let sizes = sound(records, "scaling").filter_map(|it| setting::<u32>(it, "concurrency"));
    let Some(largest) = sizes.max() else { return Vec::new() };
    let serves = number(f64::from(expected.requests_per_instance(largest)));
    let metric = "scaling.requests_per_instance";
    match profile.scaling.requests_per_instance <= largest {
        true => vec![parameter(metric, serves)],
        false => vec![expected_as(metric, serves)],
    }
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

#[cfg(test)]
mod tests {
    use crate::truth::trial;
    use analysis::Finding;
    use emulator::Expected;
    use experiment::Kind;

    /// What bursts of 4, 10 and 20 requests find where an instance takes so many at once.
    fn found(requests_per_instance: u32) -> Vec<Finding> {
        let section =
            format!("[scaling]\nrequests_per_instance = {requests_per_instance}\n\n[cpu]");
        let target = trial::platform(&[("[cpu]", &section)]);
        let mut study = trial::study(&target, &[Kind::Scaling]);
        study.scope.scaling.rounds = 10;
        study.scope.scaling.concurrency = vec![4, 10, 20];
        trial::found(&target, &study)
    }

    // One at a time, several, and more than any burst has: the finding is the truth, and so are the instances that bursts
    // get, which the oracle knows by itself.
    #[test]
    fn requests_at_once_are_found() {
        for (each, seen) in [(1, 1.0), (3, 3.0), (8, 8.0), (50, 20.0)] {
            let findings = found(each);
            let serves = trial::one(&findings, "scaling.requests_per_instance");
            assert_eq!(trial::numbers(serves), (seen, seen), "{each}");
            assert!(trial::holds(serves), "{serves:?}");
            let mut platform = emulator::built_in("aws-2018").expect("built in").expect("valid");
            platform.scheduler.scaling.requests_per_instance = each;
            let expected = Expected::of(&platform);
            for finding in trial::of(&findings, "scaling.instances") {
                let burst = finding.setting["concurrency"].as_u64().expect("a size") as u32;
                let (found, truth) = trial::numbers(finding);
                assert_eq!((found, truth), (truth, f64::from(expected.instances(burst))), "{each}");
            }
            for finding in trial::of(&findings, "scaling.queued_fraction") {
                assert_eq!(trial::numbers(finding), (0.0, 0.0), "{each}");
            }
        }
    }
}
