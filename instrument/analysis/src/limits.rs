//! Limits as found: the highest level that held below the lowest that was refused.
//!
//! A limit is found where the two are neighbours; else it is bounded. Throttled tries and missing answers say nothing.

use crate::answers::Answers;
use crate::finding::Finding;
use crate::statistics::bracket;
use crate::study::{Study, setting};
use record::{Outcome, Record};
use serde::Deserialize;

const EXPERIMENT: &str = "limits";

/// Searched limits: word of the records, metric, unit, what one level is in that unit.
const SEARCHED: [(&str, &str, &str, f64); 3] = [
    ("timeout", "limits.timeout_s", "s", 1.0),
    ("memory", "limits.memory_mib", "MiB", 1.0),
    ("payload", "limits.payload_mib", "MiB", 1.0 / 1024.0),
];

/// The part of the probe's answer that is read here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail {
    fill: Option<Fill>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct Fill {
    bytes: u64,
    full: bool,
}

/// Adds the findings of the experiment's records.
pub(crate) fn analyse(study: &Study, answers: &mut Answers) {
    let records = study.of(EXPERIMENT, answers);
    for (word, metric, unit, scale) in SEARCHED {
        let of = |record: &&&Record| record.setting.get("limit").is_some_and(|it| it == word);
        let tries: Vec<(f64, bool)> = records
            .iter()
            .filter(of)
            .filter_map(|record| {
                let level: f64 = setting(record, "level")?;
                Some((level * scale, record.outcome == Outcome::Ok))
            })
            .collect();
        if !tries.is_empty() {
            let method =
                "halved between what was accepted and what was refused, until neighbours differed";
            let finding = Finding::new(EXPERIMENT, metric, unit).with_method(method, tries.len());
            add_searched(answers, finding, &tries);
        }
    }
    let fills: Vec<&Record> =
        records.iter().copied().filter(|record| record.phase == "fill").collect();
    if !fills.is_empty() {
        add_disk(answers, &fills);
    }
}

fn add_searched(answers: &mut Answers, finding: Finding, tries: &[(f64, bool)]) {
    let found = bracket::last_success(tries);
    let finding = finding.with_interval(found);
    match (found.low, found.high) {
        (Some(held), Some(_)) => answers.add(finding.with_number(held)),
        (Some(_), None) => {
            answers.add_unknown(
                finding,
                "nothing that was tried was refused; a longer range would tell",
            );
        }
        (None, _) => answers.add_unknown(finding, "nothing that was tried was accepted"),
    }
}

/// Adds what /tmp held, most of rounds: what is in it already takes room, so it can be less, never more.
fn add_disk(answers: &mut Answers, records: &[&Record]) {
    let fill = |record: &&Record| serde_json::from_str::<Detail>(&record.detail).ok()?.fill;
    let fills: Vec<Fill> = records.iter().filter_map(fill).collect();
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let finding = Finding::new(EXPERIMENT, "limits.disk_mib", "MiB").with_method(
        "room taken in /tmp until there was none left; most of instances",
        fills.len(),
    );
    let most = fills.iter().map(|fill| fill.bytes).max();
    match (most, fills.iter().all(|fill| fill.full)) {
        (None, _) => answers.add_unknown(finding, "no instance could take room in /tmp"),
        (Some(most), true) => {
            let found = bracket::interval(Some(mib(most)), Some(mib(most)));
            answers.add(finding.with_number(mib(most)).with_interval(found));
        }
        (Some(most), false) => {
            let finding = finding.with_interval(bracket::interval(Some(mib(most)), None));
            answers.add_unknown(finding, "/tmp was never full; asking for more would tell");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Value;

    fn tried(limit: &str, level: u64, outcome: Outcome) -> Record {
        Record {
            experiment: EXPERIMENT.into(),
            phase: "try".into(),
            setting: [("limit", limit.to_owned()), ("level", level.to_string())]
                .map(|(name, value)| (name.to_owned(), value))
                .into(),
            outcome,
            ..Record::default()
        }
    }

    fn filled(mib: u64, full: bool) -> Record {
        let detail = serde_json::json!({"fill": {"bytes": mib << 20, "full": full}});
        Record {
            experiment: EXPERIMENT.into(),
            phase: "fill".into(),
            detail: detail.to_string().into(),
            outcome: Outcome::Ok,
            ..Record::default()
        }
    }

    fn found(records: &[Record], metric: &str) -> Finding {
        crate::found::found(analyse, records, metric)
    }

    // The last that was accepted is the limit, in the metric's unit, and the first that was refused its bracket's end.
    #[test]
    fn limits_are_the_last_accepted() {
        let records = [
            tried("payload", 32_768, Outcome::Failed),
            tried("payload", 4_096, Outcome::Ok),
            tried("payload", 6_144, Outcome::Ok),
            tried("payload", 6_145, Outcome::Failed),
            tried("timeout", 900, Outcome::Ok),
        ];
        let payload = found(&records, "limits.payload_mib");
        assert_eq!(payload.value, Value::Number(6.0));
        assert_eq!(payload.ci95, Some((Some(6.0), Some(6_145.0 / 1024.0))));
        let timeout = found(&records, "limits.timeout_s");
        assert_eq!((timeout.value, timeout.ci95), (Value::Null, Some((Some(900.0), None))));
    }

    // A /tmp that was never full has a bound only.
    #[test]
    fn full_disks_are_found() {
        let disk = |records: &[Record]| found(records, "limits.disk_mib");
        assert_eq!(disk(&[filled(512, true), filled(500, true)]).value, Value::Number(512.0));
        let open = disk(&[filled(16_384, false)]);
        assert_eq!((open.value, open.ci95), (Value::Null, Some((Some(16_384.0), None))));
    }
}
