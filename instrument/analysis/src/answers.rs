//! Where analyses put what they found and what they could not find.

use crate::finding::{Finding, Problem, Value};
use crate::statistics::{CLUSTERS_MIN, Interval, NoInterval};
use std::collections::{BTreeMap, BTreeSet};

/// Findings and problems so far. A problem that was stated is not stated again.
#[derive(Default)]
pub(crate) struct Answers {
    findings: Vec<Finding>,
    problems: Vec<Problem>,
    /// By experiment, what has no interval for want of clusters.
    thin: BTreeMap<String, BTreeSet<String>>,
}

impl Answers {
    /// Adds a finding.
    pub(crate) fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Adds a finding whose value cannot be known, with the reason and what would change it.
    ///
    /// The value is null; for metrics of words it is `unknown`.
    pub(crate) fn add_unknown(&mut self, mut finding: Finding, why: &str) {
        finding.value = match finding.unit.as_str() {
            "word" => Value::Word("unknown".to_owned()),
            _ => Value::Null,
        };
        self.note(&finding.experiment, &format!("{}: {why}", family(&finding.metric)));
        self.add(finding);
    }

    /// Adds a finding with its interval, or without it and with the reason as a problem.
    pub(crate) fn add_with(&mut self, finding: Finding, interval: Result<Interval, NoInterval>) {
        let finding = match interval {
            Ok(interval) => finding.with_interval(interval),
            // That nothing failed needs no bound to be believed; how much failed does.
            Err(NoInterval::TooFewClusters { .. })
                if finding.metric.starts_with("failures.")
                    && finding.value == Value::Number(0.0) =>
            {
                finding
            }
            Err(NoInterval::TooFewClusters { .. }) => {
                let thin = self.thin.entry(finding.experiment.clone()).or_default();
                thin.insert(family(&finding.metric).to_owned());
                finding
            }
            Err(why) => {
                let text = format!("{}: no interval: {why}", family(&finding.metric));
                self.note(&finding.experiment, &text);
                finding
            }
        };
        self.add(finding);
    }

    /// States a problem once.
    pub(crate) fn note(&mut self, experiment: &str, text: &str) {
        let problem = Problem { experiment: experiment.to_owned(), text: text.to_owned() };
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Everything that was put in.
    pub(crate) fn into_parts(mut self) -> (Vec<Finding>, Vec<Problem>) {
        for (experiment, metrics) in std::mem::take(&mut self.thin) {
            let metrics: Vec<String> = metrics.into_iter().collect();
            let text = format!(
                "no interval, at least for some settings, for {}: fewer than {CLUSTERS_MIN} rounds or hosts \
                 to resample; run more rounds",
                metrics.join(", ")
            );
            self.note(&experiment, &text);
        }
        (self.findings, self.problems)
    }
}

/// The metric without the name of its statistic, so that seven of one sample share one problem.
fn family(metric: &str) -> &str {
    match metric.rsplit_once('.') {
        Some((family, _)) if family.contains('.') => family,
        _ => metric,
    }
}
