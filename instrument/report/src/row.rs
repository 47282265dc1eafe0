//! One finding as a row of words: what a table shows, on the page and on the terminal.

use crate::metric::{self, Rank};
use crate::number;
use crate::verdict::Verdict;
use analysis::{Finding, Value};

/// A finding in words. Empty text where there is nothing to say.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// Metric in words.
    pub(crate) words: String,
    /// Setting in words.
    pub(crate) setting: String,
    /// Value with its unit.
    pub(crate) found: String,
    /// Interval with its unit.
    pub(crate) interval: String,
    /// Rows that it rests on, with clusters.
    pub(crate) n: String,
    /// Declared truth.
    pub(crate) truth: String,
    /// Found against true.
    pub(crate) verdict: Option<Verdict>,
    /// The paper's figure, with its platform.
    pub(crate) paper: String,
}

impl Row {
    /// Says one finding.
    pub(crate) fn of(finding: &Finding) -> Self {
        let (found, interval) = found_and_interval(finding);
        let truth = finding.truth.as_ref().filter(|truth| **truth != Value::Null);
        let paper = finding
            .paper
            .as_ref()
            .map(|paper| format!("{} ({})", value(finding, &paper.value), paper.platform));
        let clusters = match (&finding.cluster, finding.n_clusters) {
            (Some(cluster), Some(n)) if n != finding.n => {
                format!(" in {} {}", number::count(n), plural(cluster, n))
            }
            _ => String::new(),
        };
        Self {
            words: metric::words(&finding.metric),
            setting: metric::setting(&finding.setting),
            found,
            interval: interval.unwrap_or_default(),
            n: format!("{}{clusters}", number::count(finding.n)),
            truth: truth.map(|truth| value(finding, truth)).unwrap_or_default(),
            verdict: Verdict::of(finding),
            paper: paper.unwrap_or_default(),
        }
    }
}

/// A value in the finding's unit, as text.
pub(crate) fn value(finding: &Finding, value: &Value) -> String {
    match value {
        Value::Null => "not known".into(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::Number(x) => number::quantity(*x, &metric::unit(finding)).text(),
        Value::Word(word) => metric::word(&finding.metric, word),
    }
}

fn found_and_interval(finding: &Finding) -> (String, Option<String>) {
    match finding.value {
        Value::Number(x) => {
            let (found, interval) = number::shown(x, finding.ci95, &metric::unit(finding));
            (found.text(), interval)
        }
        // A null may still have a bound: "never, in at least 40 tries".
        Value::Null => {
            let ends = finding.ci95.unwrap_or((None, None));
            let end = ends.0.or(ends.1).filter(|_| ends != (None, None));
            let bound =
                end.and_then(|end| number::shown(end, finding.ci95, &metric::unit(finding)).1);
            (value(finding, &finding.value), bound)
        }
        _ => (value(finding, &finding.value), None),
    }
}

fn plural(word: &str, n: u64) -> String {
    if n == 1 { word.into() } else { format!("{word}s") }
}

/// The few findings that answer the study's questions, in the order of `findings`' experiments and of metrics.
///
/// Of a metric that was measured in many settings: per runtime the largest memory, of a CPU share the smallest and the
/// largest, of instances on a host the smallest, of a ladder the highest step.
pub(crate) fn answers(findings: &[Finding]) -> Vec<&Finding> {
    let mut experiments: Vec<&str> = Vec::new();
    for finding in findings {
        if !experiments.contains(&finding.experiment.as_str()) {
            experiments.push(&finding.experiment);
        }
    }
    let place = |name: &str| experiments.iter().position(|e| *e == name);
    let first = |f: &&Finding| metric::rank(&f.metric) == Rank::First;
    let mut chosen: Vec<&Finding> =
        findings.iter().filter(first).filter(|f| is_extreme(f, findings)).collect();
    chosen.sort_by(|a, b| {
        let key = |f: &Finding| (place(&f.experiment), metric::order(&f.metric));
        key(a).cmp(&key(b)).then_with(|| metric::setting_order(&a.setting, &b.setting))
    });
    chosen
}

/// Whether the finding stands for its metric: extreme in each numeric setting among those with equal other settings.
pub(crate) fn is_extreme(finding: &Finding, findings: &[Finding]) -> bool {
    let both_ends = finding.metric == "cpu.share";
    // The smallest size packs most densely.
    let least_only = finding.metric == "placement.max_colevel";
    ["memory_mib", "concurrency", "colevel", "interval_s", "duration_ms", "delay_s"].iter().all(
        |key| {
            let Some(own) = metric::setting_number(&finding.setting, key) else { return true };
            let runtime = finding.setting.get("runtime");
            let others = findings
                .iter()
                .filter(|f| f.metric == finding.metric && f.setting.get("runtime") == runtime)
                .filter_map(|f| metric::setting_number(&f.setting, key));
            let (least, most) =
                others.fold((own, own), |(least, most), x| (x.min(least), x.max(most)));
            (own == most && !least_only) || (own == least && (both_ends || least_only))
        },
    )
}
