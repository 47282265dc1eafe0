//! What is true of updates: nothing is outdated where they are atomic; else what is to be expected, and what the platform
//! counted.
//!
//! Deliberately knows nothing of records but which function was updated how.

use super::{number, parameter, realised};
use analysis::Truth;
use emulator::{Expected, Updated};
use model::{InstanceId, Span};
use record::Record;
use scheduler::Profile;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

/// Requests sent so long after an acknowledgement, or after the wait that was planned, are right after it.
const RIGHT_AFTER: Span = Span::from_secs(1);

/// What a profile says: nothing is ever outdated where updates are complete when they are acknowledged.
pub(super) fn of_profile(profile: &Profile) -> Vec<Truth> {
    let window_s = profile.updates.map_or(0.0, |updates| updates.window.as_secs_f64());
    let wait = parameter("consistency.safe_wait_s", number(window_s));
    if profile.updates.is_some() {
        return vec![wait];
    }
    let nothing = [
        "consistency.outdated_fraction",
        "consistency.outdated_new_fraction",
        "consistency.outdated_after_wait_fraction",
        "consistency.max_requests_per_outdated_instance",
    ];
    let nothing = nothing.map(|metric| parameter(metric, number(0.0)));
    std::iter::once(wait).chain(nothing).collect()
}

/// What is to be expected of an emulated platform's updates, for each way in which functions were updated.
pub(super) fn of_platform(expected: &Expected, records: &[Record]) -> Vec<Truth> {
    let of = records.iter().filter(|record| record.experiment == "consistency");
    let hows: BTreeSet<How> = of.filter_map(how).collect();
    let expect = |truth: Truth| Truth { kind: "expected".to_owned(), ..truth };
    let mut truths = Vec::new();
    for how in hows.iter().filter(|how| how.wait_ms == 0) {
        let setting = [("kind", json!(how.kind)), ("concurrency", json!(how.concurrency))];
        let (all, new) = expected.outdated(Span::ZERO);
        truths.push(expect(truth("consistency.outdated_fraction", &setting, all)));
        truths.push(expect(truth("consistency.outdated_new_fraction", &[], new)));
    }
    let waits: BTreeSet<u64> = hows.iter().map(|how| how.wait_ms).collect();
    truths.extend(waits.into_iter().map(|wait_ms| {
        let setting = [("wait_s", json!(wait_ms as f64 / 1e3))];
        let (all, _) = expected.outdated(Span::from_millis(wait_ms));
        expect(truth("consistency.outdated_after_wait_fraction", &setting, all))
    }));
    truths
}

/// How a function was updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct How<'r> {
    kind: &'r str,
    concurrency: u32,
    wait_ms: u64,
}

/// What the platform counted of an update.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    instances: u32,
    outdated: u32,
    outdated_new: u32,
    most_requests: u32,
}

/// Truths of kind *realised*: what each updated function's instances ran, as the platform counted it.
pub(super) fn counted(updated: &BTreeMap<String, Vec<Updated>>, records: &[Record]) -> Vec<Truth> {
    let mut functions: BTreeMap<&str, Option<How>> = BTreeMap::new();
    for record in records.iter().filter(|record| record.experiment == "consistency") {
        let how = functions.entry(&record.function).or_insert_with(|| how(record));
        if record.setting.contains_key("void") {
            *how = None;
        }
    }
    let mut tallies: BTreeMap<How, Tally> = BTreeMap::new();
    for (function, how) in functions {
        if let (Some(how), Some(answers)) = (how, updated.get(function)) {
            tallies.entry(how).or_default().add(answers, how);
        }
    }
    let at_once = || tallies.iter().filter(|(how, _)| how.wait_ms == 0);
    let mut truths: Vec<Truth> = at_once()
        .filter(|(_, tally)| tally.instances > 0)
        .map(|(how, tally)| {
            let setting = [("kind", json!(how.kind)), ("concurrency", json!(how.concurrency))];
            truth("consistency.outdated_fraction", &setting, tally.fraction(tally.outdated))
        })
        .collect();
    let all = at_once().fold(Tally::default(), |sum, (_, tally)| sum.and(*tally));
    if all.instances == 0 {
        return truths;
    }
    let new = all.fraction(all.outdated_new);
    truths.push(realised("consistency.outdated_new_fraction", number(new)));
    let most = tallies.values().map(|tally| tally.most_requests).max().unwrap_or(0);
    let metric = "consistency.max_requests_per_outdated_instance";
    truths.push(realised(metric, number(f64::from(most))));
    let mut waits: BTreeMap<u64, Tally> = BTreeMap::new();
    for (how, tally) in &tallies {
        let sum = waits.entry(how.wait_ms).or_default();
        *sum = sum.and(*tally);
    }
    truths.extend(waits.into_iter().map(|(wait_ms, tally)| {
        let setting = [("wait_s", json!(wait_ms as f64 / 1e3))];
        let metric = "consistency.outdated_after_wait_fraction";
        truth(metric, &setting, tally.fraction(tally.outdated))
    }));
    truths
}

fn how(record: &Record) -> Option<How<'_>> {
    let wait_s: f64 = record.setting.get("wait_s")?.parse().ok()?;
    Some(How {
        kind: record.setting.get("kind")?,
        concurrency: record.setting.get("concurrency")?.parse().ok()?,
        wait_ms: (wait_s * 1e3).round() as u64,
    })
}

fn truth(metric: &str, setting: &[(&str, Json)], value: f64) -> Truth {
    let setting = setting.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Truth { setting, ..realised(metric, number(value)) }
}

impl Tally {
    /// Only the first burst after the update, or after its wait, is right after it.
    fn add(&mut self, answers: &[Updated], how: How) {
        let mut since: Vec<Span> = answers.iter().map(|answer| answer.since).collect();
        since.sort_unstable();
        let first = since.iter().take(how.concurrency as usize).next_back();
        let first = first.copied().unwrap_or(Span::ZERO);
        let mut instances: BTreeMap<InstanceId, Vec<&Updated>> = BTreeMap::new();
        for answer in answers {
            instances.entry(answer.instance).or_default().push(answer);
        }
        let until = (Span::from_millis(how.wait_ms) + RIGHT_AFTER).min(first);
        for answers in instances.values() {
            let outdated = answers.iter().filter(|answer| answer.outdated).count();
            self.most_requests = self.most_requests.max(outdated as u32);
            let mut at_once = answers.iter().filter(|answer| answer.since <= until).peekable();
            if at_once.peek().is_some() {
                self.instances += 1;
                let (outdated, new) = at_once.fold((false, false), |(outdated, new), answer| {
                    (outdated || answer.outdated, new || answer.new)
                });
                self.outdated += u32::from(outdated);
                self.outdated_new += u32::from(outdated && new);
            }
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            instances: self.instances + other.instances,
            outdated: self.outdated + other.outdated,
            outdated_new: self.outdated_new + other.outdated_new,
            most_requests: self.most_requests.max(other.most_requests),
        }
    }

    fn fraction(self, part: u32) -> f64 {
        f64::from(part) / f64::from(self.instances.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::super::measured::{covers, findings, number, of, platform, truth};
    use experiment::Kind;
    use model::Span;
    use scheduler::policy::Updates;

    // Where updates are atomic nothing outdated is ever found, whatever was changed, the interval bounds how rare it could
    // be, and no wait is needed.
    #[test]
    fn atomic_updates_are_found() {
        let mut platform = platform("aws-2018", &[]);
        platform.scheduler.updates = None;
        let found = findings(platform, Kind::Consistency, 7, |scope| {
            scope.consistency.rounds = 20;
        });
        let fractions = of(&found, "consistency.outdated_fraction");
        assert_eq!(fractions.len(), 8);
        for finding in fractions {
            assert_eq!((number(&finding.value), truth(finding)), (0.0, 0.0));
            let high = finding.ci95.and_then(|(_, high)| high).expect("an upper end");
            assert!(high > 0.0 && high < 0.2, "{high}");
        }
        let wait = of(&found, "consistency.safe_wait_s")[0];
        assert_eq!(number(&wait.value), 0.0);
        assert!(covers(wait, truth(wait)));
        let most = of(&found, "consistency.max_requests_per_outdated_instance")[0];
        assert_eq!((number(&most.value), truth(most)), (0.0, 0.0));
    }

    // Where updates spread, all that is found is what the platform counted, exactly; the wait is within its bracket, and
    // covers the window; all of it at both ends of what can be outdated.
    #[test]
    fn spreading_updates_are_counted() {
        for (reuse_chance, start_chance, seed) in [(1.0, 1.0, 1), (0.5, 0.3, 2), (0.0, 0.6, 3)] {
            let mut platform = platform("aws-2018", &[]);
            let window = Span::from_millis(5_500);
            platform.scheduler.updates = Some(Updates { window, reuse_chance, start_chance });
            let found = findings(platform, Kind::Consistency, seed, |scope| {
                scope.consistency.rounds = 30;
                scope.consistency.concurrency = vec![1, 20];
            });
            let mut outdated = 0.0;
            for metric in [
                "consistency.outdated_fraction",
                "consistency.outdated_new_fraction",
                "consistency.outdated_after_wait_fraction",
                "consistency.max_requests_per_outdated_instance",
            ] {
                for finding in of(&found, metric) {
                    assert_eq!(finding.truth_kind.as_deref(), Some("realised"), "{metric}");
                    assert_eq!(number(&finding.value), truth(finding), "{finding:?}");
                    outdated += truth(finding);
                }
            }
            assert!(outdated > 0.0, "some were outdated");
            let wait = of(&found, "consistency.safe_wait_s")[0];
            assert_eq!(truth(wait), 5.5);
            assert!(covers(wait, 5.5), "{:?}", wait.ci95);
        }
    }
}
