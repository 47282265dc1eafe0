//! What the report is told about a study beside its findings and records.

use model::Span;

/// What only the program that ran the study knows: words for the lead, and each experiment's text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StudyFacts {
    /// Headline of the page, as in `Behind the curtain of this machine`.
    pub title: String,
    /// What kind of target it is, one or two sentences: `Peek's own platform, containers in cells of 2 vCPUs ...`.
    pub target: String,
    /// How large the study was: `quick`, `default`, `full`.
    pub scale: String,
    /// How long measuring took, without pauses between a stop and its resumption.
    pub duration: Span,
    /// The machine of the vantage point: `2 cores, Linux 6.18, Debian 12`.
    pub machine: String,
    /// What the sandbox could not enforce, or the study not see, one sentence each.
    pub limitations: Vec<String>,
    /// Experiments in the order in which they are shown.
    pub experiments: Vec<ExperimentText>,
    /// The command that does this study again.
    pub reproduce_command: String,
}

/// One experiment in words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExperimentText {
    /// Name as in findings and records: `idle`.
    pub name: String,
    /// The question that it answers, as a user would ask it.
    pub question: String,
    /// How it was measured here.
    pub method: String,
    /// How the paper did it; empty where the paper has no such experiment.
    pub paper_design: String,
}
