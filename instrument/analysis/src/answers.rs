//! Where analyses put what they found and what they could not find.

use crate::finding::{Finding, Problem, Value};
use crate::statistics::{Interval, NoInterval};

/// Findings and problems so far. A problem that was stated is not stated again.
#[derive(Default)]
pub(crate) struct Answers {
    pub(crate) findings: Vec<Finding>,
    pub(crate) problems: Vec<Problem>,
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
        self.note(&finding.experiment.clone(), &format!("{}: {why}", finding.metric));
        self.add(finding);
    }

    /// Adds a finding with its interval, or without it and with the reason as a problem.
    pub(crate) fn add_with(&mut self, finding: Finding, interval: Result<Interval, NoInterval>) {
        match interval {
            Ok(interval) => self.add(finding.with_interval(interval)),
            Err(why) => {
                self.note(
                    &finding.experiment.clone(),
                    &format!("{}: no interval: {why}; run more rounds", finding.metric),
                );
                self.add(finding);
            }
        }
    }

    /// States a problem once.
    pub(crate) fn note(&mut self, experiment: &str, text: &str) {
        let problem = Problem { experiment: experiment.to_owned(), text: text.to_owned() };
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}
