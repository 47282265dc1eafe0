//! Findings and records as CSV (RFC 4180, UTF-8, one header line).
//!
//! Deliberately writes numbers as they are in the findings: rounding is for people, not for files.

use analysis::{Finding, Value};
use record::Record;
use serde_json::Value as Json;

/// Column names of a findings table.
const HEAD: [&str; 17] = [
    "metric",
    "setting",
    "value",
    "unit",
    "ci95_low",
    "ci95_high",
    "n",
    "ci_method",
    "cluster",
    "n_clusters",
    "truth",
    "truth_kind",
    "paper",
    "paper_platform",
    "disturbed",
    "stopped_by",
    "method",
];

/// Findings of one experiment, one line each.
pub(crate) fn of_findings<'a>(findings: impl Iterator<Item = &'a Finding>) -> String {
    let mut out = String::new();
    line(HEAD.iter().map(|name| (*name).to_string()), &mut out);
    for finding in findings {
        let end = |end: Option<f64>| end.map(|x| x.to_string()).unwrap_or_default();
        let ends = finding.ci95.unwrap_or((None, None));
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let paper = finding.paper.as_ref();
        let setting: Vec<String> = finding
            .setting
            .iter()
            .map(|(key, value)| format!("{key}={}", crate::metric::setting_text(value)))
            .collect();
        line(
            [
                finding.metric.clone(),
                setting.join(" "),
                value(&finding.value),
                finding.unit.clone(),
                end(ends.0),
                end(ends.1),
                finding.n.to_string(),
                text(&finding.ci_method),
                text(&finding.cluster),
                finding.n_clusters.map(|n| n.to_string()).unwrap_or_default(),
                finding.truth.as_ref().map(value).unwrap_or_default(),
                text(&finding.truth_kind),
                paper.map(|p| value(&p.value)).unwrap_or_default(),
                paper.map(|p| p.platform.clone()).unwrap_or_default(),
                text(&finding.disturbed),
                text(&finding.stopped_by),
                finding.method.clone(),
            ]
            .into_iter(),
            &mut out,
        );
    }
    out
}

/// Records, one line each; maps as JSON, without the probe's `detail`, which only the Parquet files hold.
pub(crate) fn of_records<'a>(
    records: impl Iterator<Item = &'a Record>,
) -> Result<String, serde_json::Error> {
    let mut out = String::new();
    for record in records {
        let Json::Object(mut columns) = serde_json::to_value(record)? else { continue };
        columns.shift_remove("detail");
        if out.is_empty() {
            line(columns.keys().cloned(), &mut out);
        }
        line(columns.values().map(crate::metric::setting_text), &mut out);
    }
    Ok(out)
}

fn value(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(yes) => yes.to_string(),
        Value::Number(x) => x.to_string(),
        Value::Word(word) => word.clone(),
    }
}

fn line(cells: impl Iterator<Item = String>, out: &mut String) {
    for (i, cell) in cells.enumerate() {
        if i > 0 {
            out.push(',');
        }
        if cell.contains([',', '"', '\n', '\r']) {
            out.push_str(&format!("\"{}\"", cell.replace('"', "\"\"")));
        } else {
            out.push_str(&cell);
        }
    }
    out.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Commas, quotes and line breaks survive in one cell.
    #[test]
    fn cells_are_quoted() {
        let mut out = String::new();
        line(["a,b".into(), "say \"x\"".into(), "plain".into()].into_iter(), &mut out);
        assert_eq!(out, "\"a,b\",\"say \"\"x\"\"\",plain\r\n");
    }

    /// The raw table has one header and one line per invocation, without the probe's JSON.
    #[test]
    fn records_have_one_line_each() {
        let records = [Record { detail: "{}".into(), ..Record::default() }, Record::default()];
        let csv = of_records(records.iter()).expect("plain values");
        assert_eq!(csv.lines().count(), 3);
        assert!(csv.starts_with("experiment,unit,round,") && !csv.contains("detail"));
    }
}
