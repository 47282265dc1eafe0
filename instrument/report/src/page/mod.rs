//! The page.

use crate::facts::StudyFacts;
use crate::row::Row;
use analysis::Findings;
use maud::{DOCTYPE, html};

/// Experiments in the order in which findings name them.
pub(crate) fn experiments(findings: &Findings) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for finding in &findings.findings {
        if !names.contains(&finding.experiment.as_str()) {
            names.push(&finding.experiment);
        }
    }
    names
}

/// A name that is safe as part of a path, whatever a findings file says.
pub(crate) fn file_stem(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// The whole page.
pub(crate) fn page(findings: &Findings, facts: &StudyFacts) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head { meta charset="utf-8"; title { (facts.title) } }
            body {
                h1 { (facts.title) }
                @for finding in &findings.findings {
                    @let row = Row::of(finding);
                    p { (row.words) " " (row.setting) ": " (row.found) " " (row.interval) " " (row.n) " " (row.paper) }
                }
            }
        }
    }
    .into_string()
}
