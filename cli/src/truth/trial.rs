//! For tests: experiments on an emulated platform, analysed, with the platform's truths beside what was found.

use super::of_region;
use crate::calibrate::Memory;
use analysis::{Finding, Value};
use experiment::{Basis, Kind, Scale, Scope, Study, Vantage, run_study};
use std::future::pending;
use target::{Emulated, Target, Uri};

/// The profile of AWS in 2018 with passages of its text replaced.
pub fn platform(changes: &[(&str, &str)]) -> Emulated {
    seeded(changes, 7)
}

/// The same with another seed of whatever is random there.
pub fn seeded(changes: &[(&str, &str)], seed: u64) -> Emulated {
    let mut text = include_str!("../../../profiles/aws-2018.toml").to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "the profile has no {from:?}");
        text = text.replacen(from, to, 1);
    }
    let platform = Emulated::platform("trial", &text).expect("a profile");
    Emulated::open(Uri::Emulated("trial".to_owned()), platform, seed)
}

/// The default scale's study of these experiments on this target.
pub fn study(target: &Emulated, kinds: &[Kind]) -> Study {
    of_scale(Scale::Default, target, kinds)
}

/// A study of these experiments on this target.
pub fn of_scale(scale: Scale, target: &Emulated, kinds: &[Kind]) -> Study {
    let scope = Scope::cloud(&Basis {
        scale,
        seed: 7,
        runtimes: target.runtimes(),
        memory_range_mib: target.memory_range_mib(),
        cores: 2,
        max_concurrency: 500,
        tenants: target.facts().tenants,
        roles: target.facts().roles,
    });
    Study { scope, experiments: kinds.to_vec() }
}

/// What such a study finds, with its truths.
pub fn found(target: &Emulated, study: &Study) -> Vec<Finding> {
    let mut memory = Memory::default();
    let Ok(_) = target.run(run_study(target, study, &mut memory, pending())).expect("it ends");
    let (mut findings, _) = analysis::analyse(&memory.records);
    analysis::join_truth(&mut findings, &of_region(target.region(), &memory.records));
    findings
}

/// All findings of a metric, of which there must be some.
pub fn of<'f>(findings: &'f [Finding], metric: &str) -> Vec<&'f Finding> {
    let found: Vec<&Finding> = findings.iter().filter(|it| it.metric == metric).collect();
    assert!(!found.is_empty(), "no {metric}");
    found
}

/// The only finding of a metric.
pub fn one<'a>(findings: &'a [Finding], metric: &str) -> &'a Finding {
    let mut of_it = findings.iter().filter(|finding| finding.metric == metric);
    let found = of_it.next().unwrap_or_else(|| panic!("no {metric}"));
    assert!(of_it.next().is_none(), "more than one {metric}");
    found
}

/// Value and truth as numbers.
pub fn numbers(finding: &Finding) -> (f64, f64) {
    match (&finding.value, &finding.truth) {
        (Value::Number(found), Some(Value::Number(truth))) => (*found, *truth),
        _ => panic!("{finding:?}"),
    }
}

/// Whether the interval holds the truth.
pub fn holds(finding: &Finding) -> bool {
    let (_, truth) = numbers(finding);
    let (low, high) = finding.ci95.expect("an interval");
    low.is_none_or(|low| low <= truth + 1e-9) && high.is_none_or(|high| truth <= high + 1e-9)
}
