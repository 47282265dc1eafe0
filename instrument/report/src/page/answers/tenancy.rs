//! Answers of what a tenant lives with: other tenants, neighbours, updates, short lives, and the bill.

use super::{all, one};
use crate::metric::{self, setting_number};
use crate::number::{self, Unit};
use crate::page::answer::{Answer, Figure};
use analysis::{Finding, Value};
use serde_json::Value as Json;

/// Metrics that an answer of this module takes up.
pub(super) const COMPOSED: [&str; 11] = [
    "isolation.cross_tenant_coresident",
    "isolation.attempts_to_coreside",
    "hosts.types",
    "disk.throughput_mib_s",
    "network.throughput_mbit_s",
    "contention.worst_slowdown",
    "consistency.outdated_fraction",
    "consistency.safe_wait_s",
    "lifetime.median_s",
    "accounting.background_s",
    "accounting.billed_over_used",
];

/// Its answers, in the order of the page.
pub(super) fn answers(chosen: &[&Finding]) -> impl Iterator<Item = Answer> {
    let parts = [isolation, hosts, lifetime, neighbours, updates, bill];
    parts.into_iter().filter_map(|part| part(chosen))
}

fn number_of(finding: &Finding) -> Option<f64> {
    match finding.value {
        Value::Number(number) => Some(number),
        _ => None,
    }
}

fn isolation(chosen: &[&Finding]) -> Option<Answer> {
    let beside = one(chosen, "isolation.cross_tenant_coresident");
    // Where no attempt succeeded, the other figure says all.
    let attempts = one(chosen, "isolation.attempts_to_coreside").filter(|f| number_of(f).is_some());
    let finding = beside.or(attempts)?;
    let words = match beside.and_then(number_of) {
        Some(0.0) => "No instance of one tenant was seen on a host of another.",
        Some(1.0) => "Tenants share all their hosts.",
        Some(_) => "Tenants share some of their hosts.",
        None => "How often one tenant's instance comes to a host of another.",
    };
    let mut figures: Vec<Figure> =
        beside.map(|f| Figure::of(f, "of instances beside another tenant’s")).into_iter().collect();
    figures.extend(attempts.map(|f| Figure::of(f, "tries to land beside a victim")));
    Some(Answer {
        topic: "Isolation".into(),
        experiment: finding.experiment.clone(),
        figures,
        words: words.into(),
    })
}

fn hosts(chosen: &[&Finding]) -> Option<Answer> {
    let types = one(chosen, "hosts.types")?;
    let caption = if number_of(types) == Some(1.0) { "kind of host" } else { "kinds of host" };
    Some(Answer {
        topic: "Hosts".into(),
        experiment: types.experiment.clone(),
        figures: vec![Figure::of(types, caption)],
        words: "By what instances can read: model of the CPU, number of CPUs, memory.".into(),
    })
}

fn lifetime(chosen: &[&Finding]) -> Option<Answer> {
    let median = one(chosen, "lifetime.median_s")?;
    let setting = metric::setting(&median.setting);
    let which = if setting.is_empty() { setting } else { format!(" ({setting})") };
    Some(Answer {
        topic: "Lifetime".into(),
        experiment: median.experiment.clone(),
        figures: vec![Figure::of(median, "lives half of the instances")],
        words: format!("From the first request to the last of an instance that is in use{which}."),
    })
}

fn neighbours(chosen: &[&Finding]) -> Option<Answer> {
    let (disk, network) =
        (all(chosen, "disk.throughput_mib_s"), all(chosen, "network.throughput_mbit_s"));
    let worst = all(chosen, "contention.worst_slowdown");
    let first = disk.iter().chain(&network).chain(&worst).next()?;
    let caption = |what: &str, f: &Finding| match setting_number(&f.setting, "colevel") {
        Some(level) if level > 1.0 => {
            format!("of {what} each, {} on one host", number::quantity(level, &Unit::Count).text())
        }
        _ => format!("of {what}, alone on its host"),
    };
    let mut figures: Vec<Figure> = Vec::new();
    figures.extend(disk.first().map(|f| Figure::of(f, caption("disk", f))));
    figures.extend(network.first().map(|f| Figure::of(f, caption("network", f))));
    figures.extend(worst.first().map(|f| Figure::of(f, "slower beside neighbours, at worst")));
    Some(Answer {
        topic: "Neighbours".into(),
        experiment: first.experiment.clone(),
        figures,
        words: "What is left of the host’s disk and network when others use them too; the worst loss is the largest of CPU, \
                disk and network."
            .into(),
    })
}

fn updates(chosen: &[&Finding]) -> Option<Answer> {
    let outdated = all(chosen, "consistency.outdated_fraction");
    let wait = one(chosen, "consistency.safe_wait_s");
    let worst = outdated.iter().copied().max_by(|a, b| {
        let key = |f: &Finding| {
            (number_of(f).unwrap_or(-1.0), f.ci95.and_then(|ends| ends.1).unwrap_or(1.0))
        };
        key(a).partial_cmp(&key(b)).unwrap_or(std::cmp::Ordering::Equal)
    });
    let finding = worst.or(wait)?;
    let mut kinds: Vec<String> =
        outdated.iter().filter_map(|f| f.setting.get("kind").map(kind_words)).collect();
    kinds.dedup();
    let whatever = match kinds.as_slice() {
        [] => "an update".to_owned(),
        [kind] => format!("an update of {kind}"),
        [kinds @ .., last] => format!("an update of {} or {last}", kinds.join(", ")),
    };
    let worst_kind = worst.filter(|f| number_of(f).is_some_and(|it| it > 0.0));
    let words = match worst_kind.and_then(|f| f.setting.get("kind")) {
        Some(kind) => format!(
            "Requests sent after {whatever} was acknowledged still met the old version; {} is the worst.",
            kind_words(kind)
        ),
        None if worst.is_some() => {
            format!("No request sent after {whatever} was acknowledged met the old version.")
        }
        None => "How long an update takes to be everywhere.".to_owned(),
    };
    let mut figures: Vec<Figure> =
        worst.map(|f| Figure::of(f, "of instances ran an old version")).into_iter().collect();
    figures.extend(wait.map(|f| Figure::of(f, "wait until an update is safe")));
    Some(Answer { topic: "Updates".into(), experiment: finding.experiment.clone(), figures, words })
}

fn kind_words(kind: &Json) -> String {
    match metric::setting_text(kind) {
        env if env == "env" => "environment".to_owned(),
        other => other,
    }
}

fn bill(chosen: &[&Finding]) -> Option<Answer> {
    let unpaid = one(chosen, "accounting.background_s");
    let billed = all(chosen, "accounting.billed_over_used");
    let finding = unpaid.or(billed.first().copied())?;
    let mut figures: Vec<Figure> = Vec::new();
    figures.extend(billed.iter().map(|f| {
        let first = f.setting.get("init").is_some_and(|init| metric::setting_text(init) == "true");
        let length = setting_number(&f.setting, "duration_ms")
            .map(|ms| format!(", {}", number::quantity(ms / 1e3, &Unit::Time(1.0)).text()))
            .unwrap_or_default();
        let which = if first { "first invocation" } else { "later invocation" };
        Figure::of(f, format!("billed over used, {which}{length}"))
    }));
    figures.extend(unpaid.map(|f| Figure::of(f, "of unpaid work after the response")));
    Some(Answer {
        topic: "The bill".into(),
        experiment: finding.experiment.clone(),
        figures,
        words: "The platform’s bill over the handler’s own time, and for how long work that was left behind went on.".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn outdated(kind: &str, fraction: f64) -> Finding {
        let text = json!({
            "experiment": "consistency", "metric": "consistency.outdated_fraction", "unit": "fraction", "n": 20,
            "setting": {"kind": kind, "concurrency": 8}, "value": fraction, "ci95": [0.0, 0.3], "method": "counted",
        });
        serde_json::from_value(text).expect("a finding")
    }

    // Several kinds of update make one answer: the worst, or that none was found.
    #[test]
    fn updates_are_one_answer() {
        let words = |of: [f64; 3]| {
            let findings: Vec<Finding> = ["code", "env", "role"]
                .iter()
                .zip(of)
                .map(|(kind, it)| outdated(kind, it))
                .collect();
            let chosen: Vec<&Finding> = findings.iter().collect();
            let answer = updates(&chosen).expect("an answer");
            assert_eq!(answer.figures.len(), 1);
            answer.words
        };
        assert_eq!(
            words([0.0; 3]),
            "No request sent after an update of code, environment or role was acknowledged met the old version."
        );
        assert!(words([0.1, 0.2, 0.0]).ends_with("environment is the worst."));
    }
}
