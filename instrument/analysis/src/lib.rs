//! Records in, findings out. Pure functions: every number can be computed again from the files.
//!
//! Deliberately knows nothing of targets, of what they declare as their truth, or of how anything is shown. Each
//! experiment's file says what its metrics mean; [`statistics`] has one file per kind of interval.

mod accounting;
mod answers;
mod clock;
mod coldstart;
mod consistency;
mod contention;
mod cpu;
mod disk;
mod estimates;
mod exposure;
mod failures;
mod finding;
#[cfg(test)]
mod found;
mod hosts;
mod identity;
mod idle;
mod isolation;
mod latency;
mod lifetime;
mod limits;
mod network;
mod offset;
mod paper;
mod placed;
mod placement;
mod scaling;
mod sharing;
pub mod statistics;
mod study;
mod thin;
mod truth;

pub use finding::{Finding, Findings, Paper, PeekVersion, Problem, Setting, TargetName, Value};
pub use hosts::host_type;
pub use paper::{PaperPlatform, join_paper};
pub use thin::{LeftOut, Thinned, Thinning};
pub use truth::{Truth, join_truth};

use answers::Answers;
use record::{Record, Text};
use std::collections::{BTreeMap, BTreeSet};
use study::Study;

/// Everything that the records of one study say: findings, and what could not be found and why.
///
/// `records`: of any experiments, in any order, failures included; an experiment without records has no findings. Where
/// several kinds of sandbox were measured, each is analysed by itself and named in the setting `sandbox`. The same
/// records give the same findings, to the last bit.
pub fn analyse(records: &[Record]) -> (Vec<Finding>, Vec<Problem>) {
    analyse_with(records, &LeftOut::default())
}

/// Everything that the records say of which these are left: the same as [`analyse`] of all of them.
pub fn analyse_thinned(thinned: &Thinned) -> (Vec<Finding>, Vec<Problem>) {
    analyse_with(&thinned.records, &thinned.left_out)
}

fn analyse_with(records: &[Record], left_out: &LeftOut) -> (Vec<Finding>, Vec<Problem>) {
    let sandboxes: BTreeSet<&str> = records.iter().map(|record| record.sandbox.as_str()).collect();
    // A record that failed may not say its kind; beside one kind it can only be of that.
    if sandboxes.iter().filter(|sandbox| !sandbox.is_empty()).count() < 2 {
        return analyse_sandbox(records.iter().collect(), left_out.clone());
    }
    let (mut findings, mut problems) = (Vec::new(), Vec::new());
    for sandbox in sandboxes {
        let of_it = records.iter().filter(|record| record.sandbox == sandbox).collect();
        let (found, unsolved) = analyse_sandbox(of_it, left_out.in_sandbox(sandbox));
        let named = if sandbox.is_empty() { "unknown" } else { sandbox };
        findings.extend(found.into_iter().map(|finding| finding.with_setting("sandbox", named)));
        problems.extend(
            unsolved
                .into_iter()
                .map(|problem| Problem { text: format!("{named}: {}", problem.text), ..problem }),
        );
    }
    (findings, problems)
}

fn analyse_sandbox(mut records: Vec<&Record>, left_out: LeftOut) -> (Vec<Finding>, Vec<Problem>) {
    // Sums of the same numbers in another order differ in their last bits.
    records.sort_by_key(|record| {
        (&record.experiment, &record.unit, record.sent_ns, &record.function, record.sequence)
    });
    let disturbed = disturbances(&records);
    let mut answers = Answers::default();
    let host = identity::host_source(&records);
    let study = Study::of_records(records, host).without(left_out);
    identity::analyse(&study, &mut answers);
    isolation::analyse(&study, &mut answers);
    hosts::analyse(&study, &mut answers);
    exposure::analyse(&study, &mut answers);
    coldstart::analyse(&study, &mut answers);
    scaling::analyse(&study, &mut answers);
    placement::analyse(&study, &mut answers);
    idle::analyse(&study, &mut answers);
    let cpu = cpu::analyse(&study, &mut answers);
    let disk = disk::analyse(&study, &mut answers);
    let network = network::analyse(&study, &mut answers);
    consistency::analyse(&study, &mut answers);
    lifetime::analyse(&study, &mut answers);
    contention::analyse(&[cpu, disk, network], &mut answers);
    accounting::analyse(&study, &mut answers);
    limits::analyse(&study, &mut answers);
    offset::analyse(&study, &mut answers);
    failures::analyse(&study, &mut answers);
    let (mut findings, problems) = answers.into_parts();
    for finding in &mut findings {
        finding.disturbed = disturbed.get(finding.experiment.as_str()).map(Text::to_string);
    }
    (findings, problems)
}

/// By experiment, the precondition that its records say they did not have.
fn disturbances(records: &[&Record]) -> BTreeMap<Text, Text> {
    let said = |record: &&Record| {
        let reason = record.setting.get("disturbed")?;
        Some((record.experiment.clone(), reason.clone()))
    };
    records.iter().filter_map(said).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Nothing in, nothing out: no experiment panics or invents findings without records.
    #[test]
    fn no_records_no_findings() {
        assert_eq!(analyse(&[]), (Vec::new(), Vec::new()));
    }

    // What disturbed an experiment stands beside each of its findings, and beside no other's.
    #[test]
    fn a_disturbance_is_told() {
        let mut disturbed = Record { experiment: "cpu".into(), ..Record::default() };
        disturbed.setting.insert("disturbed".to_owned(), "one core".to_owned());
        let quiet = Record { experiment: "idle".into(), ..Record::default() };
        let (findings, _) = analyse(&[disturbed, quiet]);
        assert!(findings.iter().any(|finding| finding.experiment == "cpu"));
        for finding in findings {
            assert_eq!(finding.disturbed.is_some(), finding.experiment == "cpu");
        }
    }

    // Records with nothing but an experiment's name are failures, never a panic.
    #[test]
    fn empty_records_are_failures() {
        for experiment in [
            "identity",
            "isolation",
            "hosts",
            "exposure",
            "coldstart",
            "scaling",
            "placement",
            "idle",
            "cpu",
            "disk",
            "network",
            "consistency",
            "lifetime",
            "accounting",
            "other",
        ] {
            let record = Record { experiment: experiment.into(), ..Record::default() };
            let (findings, _) = analyse(&vec![record; 12]);
            let failed = findings.iter().find(|finding| finding.metric == "failures.fraction");
            assert_eq!(failed.unwrap().value, Value::Number(1.0));
        }
    }
}
