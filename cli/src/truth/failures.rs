//! Requests without an answer of the function, as they really were.

use super::{Realised, at, number, realised as realised_as};
use analysis::{LeftOut, Truth};
use record::Record;
use std::collections::BTreeMap;

pub(super) fn realised(realised: &Realised, records: &[Record], left_out: &LeftOut) -> Vec<Truth> {
    let mut experiments: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for record in records.iter().filter(|record| record.phase != "deploy") {
        experiments.entry(record.experiment.as_str()).or_default().push(record);
    }
    let mut truths = Vec::new();
    for (experiment, records) in experiments {
        let rows = (records.len() as u64 + left_out.of(experiment)) as f64;
        let (mut answered, mut failed, mut refused) = (0.0, 0.0, 0.0);
        for it in realised.of_functions(records.into_iter()) {
            answered += f64::from(it.answers.answered);
            failed += f64::from(it.answers.failed + it.answers.nothing);
            refused += f64::from(it.answers.refused);
        }
        let mut say = |metric: &str, value: f64| {
            truths.push(at(realised_as(metric, number(value)), "experiment", experiment));
        };
        say("failures.fraction", (rows - answered) / rows);
        // A refused request may have been tried again, and each try is counted. What is neither answered nor failed was
        // refused in the end: by a quota, where nothing else refuses.
        if refused == 0.0 {
            say("failures.throttled_fraction", (rows - answered - failed) / rows);
        }
    }
    truths
}
