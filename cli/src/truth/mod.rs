//! What a platform's own configuration and counts say, to be set beside what was found: one file per experiment.
//!
//! Read after the analysis; no experiment or analysis sees any of it.

mod accounting;
pub mod clock;
mod coldstart;
mod consistency;
mod cpu;
mod exposure;
mod failures;
mod hosts;
mod identity;
mod idle;
mod isolation;
mod journal;
mod lifetime;
mod limits;
#[cfg(test)]
mod measured;
mod placement;
mod scaling;
mod sharing;
mod starts;
#[cfg(test)]
pub mod trial;

use analysis::{LeftOut, Thinned, Truth, Value};
use emulator::{Counts, Expected, FunctionCounts, Platform, Updated};
use model::HostId;
use record::Record;
use scheduler::Profile;
use std::collections::{BTreeMap, BTreeSet};

/// Truths of kind *parameter*: what `profile` says outright.
pub fn of_profile(profile: &Profile, records: &[Record]) -> Vec<Truth> {
    let mut truths = identity::of_profile(profile);
    truths.extend(isolation::expected(profile, records));
    truths.extend(placement::of_profile(profile, records));
    truths.extend(scaling::of_local());
    truths.extend(idle::of_profile(profile));
    truths.extend(cpu::of_profile(profile, records));
    truths.extend(consistency::of_profile(profile));
    truths.extend(lifetime::of_profile(profile, records));
    truths.extend(accounting::of_profile(profile, records));
    truths.extend(limits::of_profile(profile));
    truths
}

/// All truths of an emulated platform that counted this in a study of which that is left.
pub fn of_thinned(platform: &Platform, counts: &Counts, thinned: &Thinned) -> Vec<Truth> {
    truths_of(platform, counts, &thinned.records, &thinned.left_out)
}

/// All truths of an emulated platform after a study.
pub fn of_region(region: &emulator::Region, records: &[Record]) -> Vec<Truth> {
    truths_of(&region.platform(), &region.counts(), records, &LeftOut::default())
}

fn truths_of(
    platform: &Platform,
    counts: &Counts,
    records: &[Record],
    left_out: &LeftOut,
) -> Vec<Truth> {
    // What was counted comes first: of truths that are as particular, the first is joined.
    let realised = Realised::of(counts);
    let mut truths = realised.truths(records, left_out);
    truths.extend(clock::truths(platform, counts));
    truths.extend(hosts::truths(platform, counts, records));
    truths.extend(of_platform(platform, counts, records));
    truths.extend(sharing::worst_slowdown(&truths, &realised, records));
    truths
}

/// Truths of kinds *parameter* and *expected* of an emulated platform that counted this.
fn of_platform(platform: &Platform, counts: &Counts, records: &[Record]) -> Vec<Truth> {
    let profile = &platform.scheduler;
    let expected = Expected::of(platform);
    let mut truths = identity::of_platform(platform);
    truths.extend(isolation::expected(profile, records));
    truths.extend(placement::of_profile(profile, records));
    truths.extend(scaling::expected(profile, &expected, records));
    truths.extend(exposure::of_platform(platform));
    truths.extend(idle::of_platform(platform, records));
    truths.extend(cpu::expected(&expected, records));
    truths.extend(coldstart::expected(&expected, counts, records));
    truths.extend(starts::expected(&expected, records));
    truths.extend(sharing::expected(&expected, records));
    truths.extend(consistency::of_profile(profile));
    truths.extend(consistency::of_platform(&expected, records));
    let crash = platform.model.faults.crash;
    truths.extend(lifetime::of_platform(&expected, profile, crash, records));
    truths.extend(accounting::of_platform(platform, records));
    truths.extend(limits::of_profile(profile));
    truths.extend(limits::of_platform(platform));
    truths
}

/// What really happened: what an emulated platform counted, or what the local platform's journal tells.
#[derive(Debug, Default)]
pub struct Realised {
    /// By function name.
    functions: BTreeMap<String, FunctionCounts>,
    /// By function name: answers after an update, where the platform counts them.
    updated: BTreeMap<String, Vec<Updated>>,
    /// By function name: the hosts that its instances ran on, numbered by platform.
    hosts: BTreeMap<String, BTreeSet<(u32, HostId)>>,
    /// Platforms whose journals were read.
    platforms: u32,
    /// Whether the counts say what came back of requests; journals do not.
    has_answers: bool,
}

impl Realised {
    /// What an emulated platform counted.
    pub fn of(counts: &Counts) -> Self {
        let hosts = counts
            .functions
            .iter()
            .map(|(name, it)| (name.clone(), it.hosts.keys().map(|host| (0, *host)).collect()));
        let updated = counts.functions.iter().filter(|(_, it)| !it.updated.is_empty());
        Self {
            functions: counts.functions.clone(),
            updated: updated.map(|(name, it)| (name.clone(), it.updated.clone())).collect(),
            hosts: hosts.collect(),
            platforms: 1,
            has_answers: true,
        }
    }

    /// Truths of kind *realised* for the functions that `records` name, beside which others were left out.
    pub fn truths(&self, records: &[Record], left_out: &LeftOut) -> Vec<Truth> {
        let mut truths = scaling::realised(self, records);
        truths.extend(placement::realised(self, records));
        truths.extend(isolation::realised(&self.hosts, records));
        truths.extend(consistency::counted(&self.updated, records));
        if self.has_answers {
            truths.extend(failures::realised(self, records, left_out));
        }
        truths
    }

    /// The counts of the functions that these records were sent to, each once.
    fn of_functions<'a>(
        &'a self,
        records: impl Iterator<Item = &'a Record>,
    ) -> impl Iterator<Item = &'a FunctionCounts> {
        let names: BTreeSet<&str> = records.map(|record| record.function.as_str()).collect();
        names.into_iter().filter_map(|name| self.functions.get(name))
    }
}

fn parameter(metric: &str, value: Value) -> Truth {
    truth(metric, value, "parameter")
}

fn expected(metric: &str, value: Value) -> Truth {
    truth(metric, value, "expected")
}

fn realised(metric: &str, value: Value) -> Truth {
    truth(metric, value, "realised")
}

fn truth(metric: &str, value: Value, kind: &str) -> Truth {
    let (metric, kind) = (metric.to_owned(), kind.to_owned());
    Truth { metric, setting: BTreeMap::new(), value, kind }
}

fn word(word: &str) -> Value {
    Value::Word(word.to_owned())
}

fn number(number: f64) -> Value {
    Value::Number(number)
}

/// The same truth, where this setting holds.
fn at(mut truth: Truth, name: &str, value: impl Into<serde_json::Value>) -> Truth {
    truth.setting.insert(name.to_owned(), value.into());
    truth
}

/// The records of an experiment that are in its figures: requests that were sent, in rounds that are not void.
fn sound<'a>(records: &'a [Record], experiment: &'a str) -> impl Iterator<Item = &'a Record> {
    let is_sound =
        |record: &&Record| record.phase != "deploy" && !record.setting.contains_key("void");
    records.iter().filter(move |record| record.experiment == experiment).filter(is_sound)
}

/// A setting's number.
fn setting<T: std::str::FromStr>(record: &Record, name: &str) -> Option<T> {
    record.setting.get(name)?.trim().parse().ok()
}

/// Middle of some values; the mean of the middle two where there are two. None where there are none.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let n = values.len();
    match n {
        0 => None,
        _ if n % 2 == 1 => Some(values[n / 2]),
        _ => Some(f64::midpoint(values[n / 2 - 1], values[n / 2])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::Memory;
    use analysis::Finding;
    use experiment::{Basis, Kind, Scale, Scope, Study, run_study};
    use std::future::pending;
    use target::{Emulated, Uri};

    const KINDS: [Kind; 7] = [
        Kind::Identity,
        Kind::Exposure,
        Kind::ColdStart,
        Kind::Scaling,
        Kind::Placement,
        Kind::Idle,
        Kind::Cpu,
    ];

    /// Findings of a quick study of `aws-2018` with some keys changed, with their truths.
    fn findings(changes: &[(&str, &str)]) -> Vec<Finding> {
        let mut text = Emulated::profile_text("aws-2018").expect("built in").into_owned();
        for (from, to) in changes {
            assert!(text.contains(from), "{from} is in aws-2018.toml");
            text = text.replacen(from, to, 1);
        }
        let platform = Emulated::platform("changed", &text).expect("valid");
        let target = Emulated::open(Uri::Emulated("changed".to_owned()), platform, 7);
        let scope = Scope::cloud(&Basis {
            scale: Scale::Quick,
            seed: 7,
            runtimes: vec!["nodejs6.10".to_owned()],
            memory_range_mib: (128, 1536),
            cores: 2,
            max_concurrency: 200,
            tenants: 2,
            roles: 2,
        });
        let study = Study { scope, experiments: KINDS.to_vec() };
        let mut memory = Memory::default();
        let Ok(_) = target.run(run_study(&target, &study, &mut memory, pending())).expect("ends");
        let (mut findings, _) = analysis::analyse(&memory.records);
        let truths = of_region(target.region(), &memory.records);
        analysis::join_truth(&mut findings, &truths);
        findings
    }

    fn realised_of<'a>(findings: &'a [Finding], metric: &str) -> Vec<(&'a Value, &'a Value)> {
        let of_metric = findings.iter().filter(|it| it.metric == metric);
        of_metric
            .filter(|it| it.truth_kind.as_deref() == Some("realised"))
            .map(|it| (&it.value, it.truth.as_ref().expect("a kind has a truth")))
            .collect()
    }

    const REALISED: [&str; 7] = [
        "scaling.instances",
        "scaling.queued_fraction",
        "scaling.max_concurrent_instances",
        "placement.max_colevel",
        "placement.same_function_coresident",
        "failures.fraction",
        "failures.throttled_fraction",
    ];

    // Everything that the platform counts is found exactly, on a platform that does what it should.
    #[test]
    fn counts_are_found() {
        let findings = findings(&[]);
        for metric in REALISED {
            let pairs = realised_of(&findings, metric);
            assert!(!pairs.is_empty(), "{metric}");
            for (found, truth) in pairs {
                assert_eq!(found, truth, "{metric}");
            }
        }
        for metric in ["exposure.item", "exposure.count", "scaling.requests_per_instance"] {
            let of_metric = findings.iter().filter(|it| it.metric == metric);
            for finding in of_metric {
                assert_eq!(Some(&finding.value), finding.truth.as_ref(), "{metric}");
            }
        }
        // The clock between the two is known to half a way, which is a part of the rate's time.
        for (found, truth) in realised_of(&findings, "scaling.instances_per_s") {
            let (Value::Number(found), Value::Number(truth)) = (found, truth) else {
                panic!("{found:?} {truth:?}")
            };
            assert!((found / truth - 1.0).abs() < 0.1, "{found} {truth}");
        }
    }

    // Where requests and answers are lost and refused, the shares of failures are still the platform's own.
    #[test]
    fn failures_are_counted() {
        let findings = findings(&[
            ("lost_request = 0.0", "lost_request = 0.02"),
            ("lost_reply = 0.0", "lost_reply = 0.02"),
            ("throttled = 0.0", "throttled = 0.1"),
            ("crash = 0.0", "crash = 0.02"),
        ]);
        for metric in ["failures.fraction", "failures.throttled_fraction"] {
            let pairs = realised_of(&findings, metric);
            assert_eq!(pairs.len(), KINDS.len(), "{metric}");
            assert!(pairs.iter().any(|(_, truth)| **truth != Value::Number(0.0)), "{metric}");
            for (found, truth) in pairs {
                let (Value::Number(found), Value::Number(truth)) = (found, truth) else {
                    panic!("{found:?} {truth:?}")
                };
                assert!((found - truth).abs() < 1e-9, "{metric} {found} {truth}");
            }
        }
    }

    // What each experiment finds has a truth, except what is only described.
    #[test]
    fn few_metrics_lack_a_truth() {
        let findings = findings(&[]);
        let without = findings.iter().filter(|it| it.truth.is_none());
        let names: BTreeSet<&str> = without.map(|it| it.metric.as_str()).collect();
        let described = |name: &&str| {
            name.ends_with(".min") || name.ends_with(".max") || *name == "idle.pool_alive_fraction"
        };
        let missing: Vec<&str> = names.into_iter().filter(|name| !described(name)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
