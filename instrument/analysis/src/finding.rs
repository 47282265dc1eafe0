//! Findings: their schema. Names and units are a promise to whoever reads `findings.json`.

use crate::statistics::Interval;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What `findings.json` holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// Version of this schema: 1.
    pub schema: u32,
    /// What was measured.
    pub target: TargetName,
    /// What measured it.
    pub peek: PeekVersion,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// RFC 3339, UTC.
    pub finished_at: String,
    /// Distinct function instances seen.
    pub instances_launched: u64,
    /// Invocations recorded, failures included.
    pub invocations: u64,
    /// The numbers and words.
    pub findings: Vec<Finding>,
    /// What could not be measured, and why.
    pub problems: Vec<Problem>,
}

/// The target of a study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetName {
    /// As given on the command line: `local`, `emulated:aws-2018`, `aws:eu-west-1`.
    pub uri: String,
    /// The part before the colon.
    pub kind: String,
    /// Seed of the plan's random choices.
    pub seed: u64,
}

/// The program that measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeekVersion {
    /// Version of the package.
    pub version: String,
    /// Commit it was built from; empty where unknown.
    pub commit: String,
}

/// What was varied, by name. A setting that was not varied is left out.
pub type Setting = BTreeMap<String, serde_json::Value>;

/// A number, a word, a yes or no, or null with a problem that says why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// Could not be known; a [`Problem`] says why.
    Null,
    /// Yes or no.
    Bool(bool),
    /// In the finding's unit.
    Number(f64),
    /// From the metric's list of words.
    Word(String),
}

/// One number or word with its interval and sources.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Experiment, as in `idle`.
    pub experiment: String,
    /// Metric, as in `idle.max_idle_s`.
    pub metric: String,
    /// What was varied.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub setting: Setting,
    /// What was found.
    pub value: Value,
    /// s, ms, us, MiB, MiB/s, Mbit/s, fraction, ratio, count, instances, usd, word, bool.
    pub unit: String,
    /// 95 % interval; an end may be null: open. Absent for words and for facts of the sample.
    pub ci95: Option<(Option<f64>, Option<f64>)>,
    /// Rows it rests on.
    pub n: u64,
    /// How it was measured, in words.
    pub method: String,
    /// How the interval was made: order-statistic, exact binomial, cluster bootstrap, bracket, Kaplan-Meier, set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci_method: Option<String>,
    /// Unit of resampling: round, host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// How many of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_clusters: Option<u64>,
    /// Where its precondition could not be had: what disturbed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disturbed: Option<String>,
    /// Where a cap on n, money or time ended it: which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<String>,
    /// What forced the cold starts it rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forced_by: Option<String>,
    /// What the target's own configuration declares. Joined at the end; never seen by an analysis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truth: Option<Value>,
    /// parameter, expected or realised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truth_kind: Option<String>,
    /// The paper's figure. Joined at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paper: Option<Paper>,
}

impl Finding {
    /// A finding with nothing found yet: its value is null.
    pub fn new(experiment: &str, metric: &str, unit: &str) -> Self {
        Self {
            experiment: experiment.to_owned(),
            metric: metric.to_owned(),
            setting: Setting::new(),
            value: Value::Null,
            unit: unit.to_owned(),
            ci95: None,
            n: 0,
            method: String::new(),
            ci_method: None,
            cluster: None,
            n_clusters: None,
            disturbed: None,
            stopped_by: None,
            forced_by: None,
            truth: None,
            truth_kind: None,
            paper: None,
        }
    }

    /// With one more setting.
    #[must_use]
    pub fn with_setting(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.setting.insert(name.to_owned(), value.into());
        self
    }

    /// With its value; not-a-number and infinities are null, since JSON has neither.
    #[must_use]
    pub fn with_number(mut self, number: impl Into<Option<f64>>) -> Self {
        self.value =
            number.into().filter(|number| number.is_finite()).map_or(Value::Null, Value::Number);
        self
    }

    /// With a word as its value.
    #[must_use]
    pub fn with_word(mut self, word: &str) -> Self {
        self.value = Value::Word(word.to_owned());
        self
    }

    /// With how it was measured, in words, and the rows it rests on.
    #[must_use]
    pub fn with_method(mut self, method: &str, rows: usize) -> Self {
        self.method = method.to_owned();
        self.n = rows as u64;
        self
    }

    /// With its interval; ends that are not finite are open.
    #[must_use]
    pub fn with_interval(mut self, interval: Interval) -> Self {
        let finite = |end: Option<f64>| end.filter(|end| end.is_finite());
        self.ci95 = Some((finite(interval.low), finite(interval.high)));
        self.ci_method = Some(interval.method.name().to_owned());
        self
    }

    /// With the unit of resampling and how many of it there were.
    #[must_use]
    pub fn with_clusters(mut self, cluster: &str, count: usize) -> Self {
        self.cluster = Some(cluster.to_owned());
        self.n_clusters = Some(count as u64);
        self
    }
}

/// A figure of Wang et al. (ATC 2018) beside a finding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Paper {
    /// The figure, in the finding's unit where it is a number.
    pub value: Value,
    /// Platform it was found on: AWS, Azure, Google.
    pub platform: String,
    /// Row of the table of the paper's figures, with its confidence.
    pub source: String,
}

/// What could not be measured, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// Experiment it belongs to.
    pub experiment: String,
    /// What, why, and what would change it.
    pub text: String,
}
