//! `peek calibrate --study`: the findings of studies that were made, each against the truth of its platform's profile, by
//! the criteria of the score.
//!
//! Deliberately measures nothing: whatever `peek study` left is judged, of real sandboxes as of emulated ones.

use crate::directory::Directory;
use crate::draw;
use analysis::{Finding, Problem, Value};
use anyhow::bail;
use calibration::{Knowable, Verdict, judge};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A study, judged.
#[derive(Serialize)]
struct JudgedStudy {
    study: PathBuf,
    profile: String,
    seed: u64,
    findings: Vec<Row>,
    problems: Vec<Problem>,
}

/// A finding, judged.
#[derive(Serialize)]
struct Row {
    verdict: Verdict,
    metric: String,
    /// In words.
    setting: String,
    class: &'static str,
    found: Value,
    truth: Value,
    ci95: Option<(Option<f64>, Option<f64>)>,
    /// Relative, or absolute where the class is.
    error: Option<f64>,
    /// The largest error that is right.
    limit: Option<f64>,
}

/// Judges; the status is 1 where a finding is wrong.
pub(super) fn run(directories: &[PathBuf], json: bool) -> anyhow::Result<ExitCode> {
    let studies: Vec<JudgedStudy> =
        directories.iter().map(|path| judged(path)).collect::<anyhow::Result<_>>()?;
    if json {
        println!("{}", serde_json::to_string_pretty(&studies)?);
    } else {
        studies.iter().for_each(|study| print!("{}", study.table()));
    }
    let is_wrong = |row: &Row| row.verdict == Verdict::Wrong;
    Ok(match studies.iter().flat_map(|study| &study.findings).any(is_wrong) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

fn judged(path: &Path) -> anyhow::Result<JudgedStudy> {
    let (directory, study) = Directory::open(path)?;
    if study.truths.is_empty() {
        bail!(
            "the study in {} has no truth to be judged by: its target {} declares none (local and emulated \
             ones do), or it was stopped; then finish it with peek study --resume",
            path.display(),
            study.target
        );
    }
    let records = record::read_all(&directory.records())?;
    let found = draw::findings(&study, &records);
    let rows = found.findings.iter().filter_map(|finding| Row::of(finding, study.seed));
    Ok(JudgedStudy {
        study: path.to_owned(),
        profile: study.profile.clone(),
        seed: study.seed,
        findings: rows.collect(),
        problems: found.problems,
    })
}

impl Row {
    /// None where there is no truth, or the metric is only printed.
    fn of(finding: &Finding, seed: u64) -> Option<Self> {
        let judged = judge(finding, seed, Knowable::Perhaps)?;
        let (verdict, error, limit) = (judged.verdict()?, judged.error(), judged.limit());
        Some(Self {
            verdict,
            class: judged.class.name(),
            metric: judged.metric,
            setting: judged.setting,
            found: finding.value.clone(),
            truth: finding.truth.clone()?,
            ci95: finding.ci95,
            limit: error.map(|_| limit),
            error,
        })
    }

    fn line(&self) -> String {
        let metric = match self.setting.as_str() {
            "" => self.metric.clone(),
            setting => format!("{} ({setting})", self.metric),
        };
        let end = |end: Option<f64>| end.map_or_else(|| "open".to_owned(), short);
        let interval = self.ci95.map(|(low, high)| format!("{} to {}", end(low), end(high)));
        // No part of nothing.
        let error = match (self.error.filter(|error| error.is_finite()), self.class) {
            (None, _) => String::new(),
            (Some(error), "abs") => short(error),
            (Some(error), _) => format!("{:.1} %", error * 100.0),
        };
        let cells = (self.verdict.name(), metric, words(&self.found), interval, words(&self.truth));
        line((cells.0, &cells.1, &cells.2, &cells.3.unwrap_or_default(), &cells.4, &error))
    }
}

impl JudgedStudy {
    fn table(&self) -> String {
        let mut text = line(("", "", "found", "95 % interval", "true", "error"));
        self.findings.iter().for_each(|row| text.push_str(&row.line()));
        let all = [Verdict::Right, Verdict::Wide, Verdict::Unknown, Verdict::Wrong];
        let counts = all.map(|verdict| {
            let count = self.findings.iter().filter(|row| row.verdict == verdict).count();
            format!("{count} {}", verdict.name())
        });
        text.push_str(&format!(
            "{}: profile {}, seed {}: {}, of {} findings whose truth is known\n",
            self.study.display(),
            self.profile,
            self.seed,
            counts.join(", "),
            self.findings.len()
        ));
        text
    }
}

/// Verdict, metric, found, interval, truth and error in columns.
fn line(cells: (&str, &str, &str, &str, &str, &str)) -> String {
    let (verdict, metric, found, interval, truth, error) = cells;
    let text =
        format!("{verdict:<7} {metric:<62} {found:>11}  {interval:<18} {truth:>11} {error:>8}");
    text.trim_end().to_owned() + "\n"
}

fn words(value: &Value) -> String {
    match value {
        Value::Null => "unknown".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => short(*number),
        Value::Word(word) => word.clone(),
    }
}

/// Four digits that count, without zeros at the end.
fn short(number: f64) -> String {
    let digits =
        if number == 0.0 { 0.0 } else { (3.0 - number.abs().log10().floor()).clamp(0.0, 9.0) };
    let text = format!("{number:.*}", digits as usize);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A finding is one line with what was found, the truth and the error; one without a truth is none.
    #[test]
    fn findings_are_lines() {
        let mut finding = Finding::new("cpu", "cpu.share", "fraction").with_number(0.21);
        finding = finding.with_setting("memory_mib", 128);
        assert!(Row::of(&finding, 1).is_none());
        finding.truth = Some(Value::Number(0.2));
        finding.ci95 = Some((Some(0.2), None));
        let row = Row::of(&finding, 1).expect("a truth");
        let line = row.line();
        let cells: Vec<&str> = line.split_whitespace().collect();
        let expected = [
            "right",
            "cpu.share",
            "(memory_mib",
            "128)",
            "0.21",
            "0.2",
            "to",
            "open",
            "0.2",
            "5.0",
            "%",
        ];
        assert_eq!(cells, expected);
    }

    // Numbers keep four digits that count, and large ones all of theirs.
    #[test]
    fn numbers_are_short() {
        let texts = [0.0, 1_152.0, 10_240.0, 4.296_696, 0.006_578_291, 1.4, -0.068_317].map(short);
        assert_eq!(texts, ["0", "1152", "10240", "4.297", "0.006578", "1.4", "-0.06832"]);
    }
}
