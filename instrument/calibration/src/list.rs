//! Every judgement as a row of CSV, for whoever asks why a criterion is not met.

use crate::judge::{Answer, Judged};
use serde::Serialize;

#[derive(Serialize)]
struct Row<'a> {
    seed: u64,
    metric: &'a str,
    setting: &'a str,
    class: &'static str,
    knowable: &'static str,
    found: String,
    truth: String,
    low: Option<f64>,
    high: Option<f64>,
    ci_method: &'a str,
    error: Option<f64>,
    covered: Option<bool>,
    wrong: bool,
}

/// All judgements with a header. An empty `found` is "unknown"; an empty end of an interval is open.
///
/// # Errors
/// Never in practice: rows are flat.
pub fn list(judged: &[Judged]) -> Result<String, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for one in judged {
        writer.serialize(Row::of(one))?;
    }
    let bytes = writer.into_inner().map_err(|error| error.into_error())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

impl<'a> Row<'a> {
    fn of(one: &'a Judged) -> Self {
        let (found, truth, ci95) = match &one.answer {
            Answer::Unknown { truth } => (String::new(), truth.clone(), None),
            Answer::Word { found, truth } => (found.clone(), truth.clone(), None),
            Answer::Number { found, truth, ci95 } => (found.to_string(), truth.to_string(), *ci95),
        };
        let (low, high) = ci95.unwrap_or((None, None));
        Self {
            seed: one.seed,
            metric: &one.metric,
            setting: &one.setting,
            class: one.class.name(),
            knowable: one.knowable.name(),
            found,
            truth,
            low,
            high,
            ci_method: &one.ci_method,
            error: one.error(),
            covered: one.covered(),
            wrong: one.is_wrong(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{Knowable, judge};
    use analysis::Finding;

    // A judgement is one line, whatever its setting holds.
    #[test]
    fn judgements_are_lines() {
        let mut finding = Finding::new("x", "cpu.share", "fraction").with_number(2.0);
        finding = finding.with_setting("memory_mib", 128).with_setting("colevel", "a, \"b\"");
        finding.truth = Some(analysis::Value::Number(1.0));
        finding.ci95 = Some((Some(1.5), None));
        let text = list(&[judge(&finding, 7, Knowable::Yes).expect("a truth")]).expect("flat");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[1].starts_with("7,cpu.share,"), "{text}");
        assert!(lines[1].ends_with(",ratio,yes,2,1,1.5,,,1.0,false,false"), "{text}");
    }
}
