//! For tests: an experiment on an emulated platform, its findings, and their truths beside them.

use super::trial;
pub(super) use super::trial::of;
use analysis::{Finding, Value};
use emulator::Platform;
use experiment::{Basis, Kind, Scale, Scope, Study, Vantage};
use target::{Emulated, Target, Uri};

/// A built-in platform with lines of its profile replaced; each of `changes` must be there.
pub(super) fn platform(name: &str, changes: &[(&str, &str)]) -> Platform {
    let (_, text) = emulator::BUILT_IN.iter().find(|(known, _)| *known == name).expect("built in");
    let mut text = (*text).to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{name} has no {from:?}");
        text = text.replace(from, to);
    }
    Emulated::platform(name, &text).expect("a profile")
}

/// What one experiment finds there at full scale with the scope changed by `shape`, with truths joined.
pub(super) fn findings(
    platform: Platform,
    kind: Kind,
    seed: u64,
    shape: impl FnOnce(&mut Scope),
) -> Vec<Finding> {
    let target = Emulated::open(Uri::Emulated("test".to_owned()), platform, seed);
    let basis = Basis {
        scale: Scale::Full,
        seed,
        runtimes: target.runtimes().into_iter().take(1).collect(),
        memory_range_mib: target.memory_range_mib(),
        cores: 2,
        max_concurrency: 400,
        tenants: target.facts().tenants,
        roles: target.facts().roles,
    };
    let mut scope = Scope::cloud(&basis);
    shape(&mut scope);
    let study = Study { scope, experiments: vec![kind] };
    trial::found(&target, &study)
}

/// A number found, or true.
pub(super) fn number(value: &Value) -> f64 {
    match value {
        Value::Number(number) => *number,
        other => panic!("{other:?} is no number"),
    }
}

/// The number that is true.
pub(super) fn truth(finding: &Finding) -> f64 {
    number(finding.truth.as_ref().unwrap_or_else(|| panic!("{} has no truth", finding.metric)))
}

/// Whether the interval contains it.
pub(super) fn covers(finding: &Finding, truth: f64) -> bool {
    let (low, high) = finding.ci95.unwrap_or_else(|| panic!("{} has no interval", finding.metric));
    low.is_none_or(|low| low <= truth + 1e-9) && high.is_none_or(|high| truth <= high + 1e-9)
}
