//! The page: one HTML file that needs nothing from outside.
//!
//! Order on the page: lead, answers, each experiment, the paper's figures, the instrument's score, and how to do it again. Deliberately holds no script.

mod answer;
mod answers;
mod beside;
mod lead;
mod section;
mod table;
mod trust;

use crate::facts::{ExperimentText, StudyFacts};
use crate::plot::{self, DARK, LIGHT, Palette, Plot};
use analysis::Findings;
use maud::{DOCTYPE, PreEscaped, html};

/// Everything that is neither colour nor plot.
const STYLE: &str = include_str!("style.css");

/// One experiment with all that the page shows of it.
pub(crate) struct Shown {
    /// Its text; made up from the name where the caller gave none.
    pub(crate) text: ExperimentText,
    /// Its plots.
    pub(crate) plots: Vec<Plot>,
}

/// Names of files beside the page, relative to it, for its links.
pub(crate) struct Links {
    /// Raw records, where they were written.
    pub(crate) invocations: Option<String>,
}

/// Experiments: those of the facts first, then others that findings, problems or records name.
pub(crate) fn experiments(
    findings: &Findings,
    records: &[record::Record],
    facts: &StudyFacts,
) -> Vec<ExperimentText> {
    let mut texts = facts.experiments.clone();
    let found = findings.findings.iter().map(|f| f.experiment.as_str());
    let problems = findings.problems.iter().map(|p| p.experiment.as_str());
    for name in found.chain(problems).chain(records.iter().map(|r| r.experiment.as_str())) {
        if !name.is_empty() && !texts.iter().any(|text| text.name == name) {
            texts.push(ExperimentText { name: name.into(), ..ExperimentText::default() });
        }
    }
    let told = |text: &ExperimentText| {
        let name = &text.name;
        findings.findings.iter().any(|f| f.experiment == *name)
            || findings.problems.iter().any(|p| p.experiment == *name)
            || records.iter().any(|r| r.experiment == *name)
    };
    texts.retain(told);
    texts
}

/// A name that is safe as part of a path or an id, whatever a findings file says.
pub(crate) fn file_stem(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// What an experiment is called on the page.
fn heading(name: &str) -> String {
    match name {
        "coldstart" => "Cold and warm start".into(),
        "idle" => "Idle instances".into(),
        "cpu" => "CPU".into(),
        "identity" => "Names of hosts".into(),
        "exposure" => "What the host shows".into(),
        _ => {
            let mut letters = name.chars();
            let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
            first + &letters.as_str().replace('_', " ")
        }
    }
}

/// The whole page.
pub(crate) fn page(
    findings: &Findings,
    facts: &StudyFacts,
    shown: &[Shown],
    links: &Links,
) -> String {
    let title = if facts.title.is_empty() { "A study with Peek" } else { &facts.title };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="description" content=(facts.target);
                title { (title) }
                style { (PreEscaped(sheet())) }
            }
            body {
                a class="skip" href="#answers" { "To the answers" }
                (lead::lead(title, findings, facts))
                main {
                    (answers::section(findings))
                    (lead::contents(shown))
                    @for (i, shown) in shown.iter().enumerate() { (section::section(i + 1, shown, findings)) }
                    @if beside::is_there(findings) { (beside::section(findings)) }
                    (trust::section(&findings.findings))
                    (lead::homeless_problems(findings, shown))
                }
                (lead::foot(findings, facts, links))
            }
        }
    }
    .into_string()
}

fn sheet() -> String {
    format!(
        ":root{{{}}}@media (prefers-color-scheme:dark){{:root{{{}}}}}@media print{{:root{{{}}}}}{STYLE}{}",
        variables(&LIGHT),
        variables(&DARK),
        variables(&LIGHT),
        plot::sheet()
    )
}

fn variables(palette: &Palette) -> String {
    let Palette { paper, ink, muted, rule, wash, accent, good, bad, .. } = palette;
    format!(
        "--paper:{paper};--ink:{ink};--muted:{muted};--rule:{rule};--wash:{wash};--accent:{accent};--good:{good};--bad:{bad}"
    )
}
