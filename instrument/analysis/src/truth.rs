//! What a target's own configuration declares, put beside what was found. For the report; no analysis sees it.

use crate::finding::{Finding, Setting, Value};
use serde::{Deserialize, Serialize};

/// One declared value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// The metric it is the truth of.
    pub metric: String,
    /// Where it holds: findings with at least these settings. Empty: everywhere.
    pub setting: Setting,
    /// The value, in the metric's unit.
    pub value: Value,
    /// parameter, expected or realised.
    pub kind: String,
}

/// Puts each finding's truth beside it: of those that hold for it the one with most settings, of equals the first.
pub fn join_truth(findings: &mut Vec<Finding>, truths: &[Truth]) {
    for finding in findings {
        let mut best: Option<&Truth> = None;
        for truth in truths {
            let holds = truth.metric == finding.metric
                && truth.setting.iter().all(|(name, value)| {
                    finding.setting.get(name).is_some_and(|found| same(found, value))
                });
            if holds && best.is_none_or(|best| best.setting.len() < truth.setting.len()) {
                best = Some(truth);
            }
        }
        if let Some(truth) = best {
            finding.truth = Some(truth.value.clone());
            finding.truth_kind = Some(truth.kind.clone());
        }
    }
}

/// Whether two settings are the same: numbers by value, so that 128 is 128.0, everything else exactly.
fn same(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth(setting: &[(&str, f64)], value: f64) -> Truth {
        Truth {
            metric: "cpu.share".to_owned(),
            setting: setting.iter().map(|(name, at)| ((*name).to_owned(), (*at).into())).collect(),
            value: Value::Number(value),
            kind: "parameter".to_owned(),
        }
    }

    // The most particular truth that holds is joined, and none that does not hold.
    #[test]
    fn most_particular_truth_is_joined() {
        let mut findings = vec![
            Finding::new("cpu", "cpu.share", "fraction").with_setting("memory_mib", 128),
            Finding::new("cpu", "cpu.share", "fraction").with_setting("memory_mib", 512),
            Finding::new("cpu", "cpu.share_sd", "fraction").with_setting("memory_mib", 128),
        ];
        let truths = [truth(&[], 0.5), truth(&[("memory_mib", 128.0)], 0.077)];
        join_truth(&mut findings, &truths);
        assert_eq!(findings[0].truth, Some(Value::Number(0.077)));
        assert_eq!(findings[0].truth_kind.as_deref(), Some("parameter"));
        assert_eq!(findings[1].truth, Some(Value::Number(0.5)));
        assert_eq!(findings[2].truth, None);
    }
}
