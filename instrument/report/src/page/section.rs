//! One experiment on the page: question, method, plots, problems, table.

use super::{Shown, file_stem, heading, table};
use crate::metric::{self, Rank};
use crate::plot::Plot;
use analysis::{Finding, Findings};
use maud::{Markup, html};

/// The section of the experiment with this number, from 1.
pub(super) fn section(number: usize, shown: &Shown, findings: &Findings) -> Markup {
    let text = &shown.text;
    let id = file_stem(&text.name);
    let mut own: Vec<&Finding> =
        findings.findings.iter().filter(|f| f.experiment == text.name).collect();
    own.sort_by(|a, b| {
        let order = |f: &Finding| metric::order(&f.metric);
        order(a).cmp(&order(b)).then_with(|| metric::setting_order(&a.setting, &b.setting))
    });
    let (open, folded): (Vec<&Finding>, Vec<&Finding>) =
        own.iter().partition(|f| metric::rank(&f.metric) != Rank::Rest);
    let problems: Vec<&str> = findings
        .problems
        .iter()
        .filter(|p| p.experiment == text.name)
        .map(|p| p.text.as_str())
        .collect();
    html! {
        section class="experiment" id=(id) aria-labelledby=(format!("{id}-head")) {
            header {
                p class="eyebrow" { (format!("{number:02}")) span { " · " (heading(&text.name)) } }
                h2 id=(format!("{id}-head")) {
                    @if text.question.is_empty() { (heading(&text.name)) } @else { (text.question) }
                }
                @if !text.method.is_empty() { p class="method" { (text.method) } }
                @if !text.paper_design.is_empty() {
                    p class="paper-design" { strong { "In the paper: " } (text.paper_design) }
                }
            }
            @if !problems.is_empty() {
                aside class="problem-box" aria-label="Problems" {
                    h3 { "What could not be measured, and why" }
                    ul class="problems" { @for problem in &problems { li { (problem) } } }
                }
            }
            @for plot in &shown.plots { (figure(plot)) }
            @if own.is_empty() {
                p class="nothing" { "This experiment has no findings." }
            } @else {
                (table::table(&format!("{}: findings", heading(&text.name)), &open))
                (table::folded(&format!("{}: further findings", heading(&text.name)), &folded))
                (table::methods(&own))
                p class="files" { a href=(format!("csv/{id}.csv")) { "These findings as CSV" } }
            }
        }
    }
}

fn figure(plot: &Plot) -> Markup {
    html! {
        figure {
            h3 { (plot.title) }
            (plot.inline())
            figcaption {
                (plot.caption) " "
                a href=(format!("plots/{}.svg", plot.stem)) { "SVG" }
            }
        }
    }
}
