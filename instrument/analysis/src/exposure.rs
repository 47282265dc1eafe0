//! What of its host an instance can read.
//!
//! An item is exposed where any instance could read it. Deliberately judges nothing of how telling an item is.

use crate::answers::Answers;
use crate::finding::{Finding, Value};
use crate::statistics::set::{self, Extent};
use crate::study::Study;
use record::Outcome;
use serde::Deserialize;
use std::collections::BTreeMap;

const EXPERIMENT: &str = "exposure";

/// The part of the probe's answer that is read here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail {
    exposure: Option<Vec<Exposed>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Exposed {
    item: String,
    readable: bool,
}

/// Adds the findings of the experiment's records.
pub(crate) fn analyse(study: &Study, answers: &mut Answers) {
    let records = study.of(EXPERIMENT, answers);
    if records.is_empty() {
        return;
    }
    // By item: instances that could read it, instances asked.
    let mut items: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut answered = 0;
    for record in records.iter().filter(|record| record.outcome == Outcome::Ok) {
        let exposure =
            serde_json::from_str::<Detail>(&record.detail).ok().and_then(|it| it.exposure);
        let Some(exposure) = exposure else {
            answers.note(EXPERIMENT, "some answers did not say what they could read");
            continue;
        };
        answered += 1;
        for exposed in exposure {
            let item = items.entry(exposed.item).or_default();
            item.0 += usize::from(exposed.readable);
            item.1 += 1;
        }
    }
    let count = Finding::new(EXPERIMENT, "exposure.count", "count")
        .with_method("items about the host that any instance could read, of those tried", answered);
    if answered == 0 {
        answers.add_unknown(count, "no instance answered what it could read; see the failures");
        return;
    }
    let readable = items.values().filter(|(readable, _)| *readable > 0).count() as f64;
    answers
        .add(count.with_number(readable).with_interval(set::interval(readable, Extent::AtLeast)));
    for (item, (readable, asked)) in items {
        if readable > 0 && readable < asked {
            let text = format!(
                "exposure.item: {item} was readable on {readable} of {asked} instances: it depends on the \
                 runtime or the host"
            );
            answers.note(EXPERIMENT, &text);
        }
        let method = "read from inside an instance; not empty";
        let finding = Finding::new(EXPERIMENT, "exposure.item", "bool")
            .with_setting("item", item)
            .with_method(method, asked);
        answers.add(Finding { value: Value::Bool(readable > 0), ..finding });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::Record;

    fn read(detail: &str) -> Record {
        Record {
            experiment: EXPERIMENT.into(),
            outcome: Outcome::Ok,
            detail: detail.into(),
            ..Record::default()
        }
    }

    // Items are counted once, however many instances read them; one that only some read is exposed, and said.
    #[test]
    fn items_are_counted_once() {
        let records = [
            read(r#"{"exposure":[{"item":"a","readable":true},{"item":"b","readable":false}]}"#),
            read(
                r#"{"exposure":[{"item":"a","readable":true},{"item":"b","readable":true}],"cpu":null}"#,
            ),
            read(r#"{"exposure":[{"item":"c","readable":false}]}"#),
        ];
        let (findings, problems) = crate::analyse(&records);
        let value = |metric: &str, item: &str| {
            let is = |one: &&Finding| {
                one.metric == metric && one.setting.get("item").is_none_or(|found| found == item)
            };
            findings.iter().find(is).map(|finding| finding.value.clone())
        };
        assert_eq!(value("exposure.count", ""), Some(Value::Number(2.0)));
        assert_eq!(value("exposure.item", "b"), Some(Value::Bool(true)));
        assert_eq!(value("exposure.item", "c"), Some(Value::Bool(false)));
        assert!(problems.iter().any(|problem| problem.text.contains("b was readable on 1 of 2")));
    }

    // Answers that cannot be read give a null and a reason.
    #[test]
    fn unreadable_answers_are_null() {
        let (findings, problems) = crate::analyse(&[read("{"), read("")]);
        let count = findings.iter().find(|finding| finding.metric == "exposure.count").unwrap();
        assert_eq!(count.value, Value::Null);
        assert!(
            problems.iter().any(|problem| problem.text.starts_with("exposure.count: no instance"))
        );
    }
}
