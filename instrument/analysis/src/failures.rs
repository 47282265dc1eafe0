//! Requests that failed, by experiment.

use crate::answers::Answers;
use crate::estimates::add_share;
use crate::finding::Finding;
use crate::statistics::cluster::Row;
use crate::study::Study;
use record::{Outcome, Record};
use std::iter::repeat_n;

/// Experiment whose requests are meant to be refused.
const MEANT_TO_FAIL: &str = "limits";

/// Adds the findings of every experiment's records.
pub(crate) fn analyse(study: &Study, answers: &mut Answers) {
    for experiment in study.experiments().filter(|it| *it != MEANT_TO_FAIL) {
        let records: Vec<&Record> = study.requests(experiment).collect();
        let left_out = study.left_out.of(experiment) as usize;
        let rows = |hit: fn(&Record) -> bool| -> Vec<Row<bool>> {
            let kept = records.iter().map(|record| Row::new(u64::from(record.round), hit(record)));
            // What is left out was answered.
            let rounds = study.left_out.rounds(experiment);
            let answered = rounds.flat_map(|(round, records)| {
                repeat_n(Row::new(u64::from(round), false), records as usize)
            });
            kept.chain(answered).collect()
        };
        let finding = |metric: &str, method: &str| {
            Finding::new(experiment, metric, "fraction")
                .with_setting("experiment", experiment)
                .with_method(method, records.len() + left_out)
        };
        add_share(
            answers,
            finding(
                "failures.fraction",
                "requests without an answer of the function, of all requests",
            ),
            &rows(|record| record.outcome != Outcome::Ok),
        );
        add_share(
            answers,
            finding("failures.throttled_fraction", "requests refused by a quota, of all requests"),
            &rows(|record| record.outcome == Outcome::Throttled),
        );
    }
}
