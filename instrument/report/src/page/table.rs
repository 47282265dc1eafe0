//! Findings as a table: found, interval, truth, the paper's figure.

use crate::metric;
use crate::row::Row;
use crate::verdict::Verdict;
use analysis::Finding;
use maud::{Markup, html};

/// Which columns a table has; those that would be empty are left out.
#[derive(Clone, Copy)]
struct Columns {
    interval: bool,
    truth: bool,
    paper: bool,
}

impl Columns {
    fn of(rows: &[(&Finding, Row)]) -> Self {
        let any = |filled: fn(&Row) -> bool| rows.iter().any(|(_, row)| filled(row));
        Self {
            interval: any(|row| !row.interval.is_empty()),
            truth: any(|row| !row.truth.is_empty()),
            paper: any(|row| !row.paper.is_empty()),
        }
    }

    fn count(self) -> usize {
        let optional = [self.interval, self.truth, self.paper];
        3 + optional.into_iter().filter(|filled| *filled).count()
    }
}

/// The table; nothing for no findings. Findings of one metric have to be neighbours.
pub(super) fn table(caption: &str, findings: &[&Finding]) -> Markup {
    let rows: Vec<(&Finding, Row)> = findings.iter().map(|f| (*f, Row::of(f))).collect();
    let columns = Columns::of(&rows);
    html! {
        @if !rows.is_empty() {
            div class="scroll" tabindex="0" role="region" aria-label=(caption) {
                table {
                    caption { (caption) }
                    thead {
                        tr {
                            th scope="col" { "" }
                            th scope="col" class="num" { "found" }
                            @if columns.interval { th scope="col" class="num interval" { "95 % interval" } }
                            @if columns.truth { th scope="col" { "true" } }
                            @if columns.paper { th scope="col" { "paper, 2018" } }
                            th scope="col" class="num n" { "n" }
                        }
                    }
                    @for group in rows.chunk_by(|a, b| a.0.metric == b.0.metric) { (body(group, columns)) }
                }
            }
        }
    }
}

/// The table behind a fold; nothing for no findings.
pub(super) fn folded(caption: &str, findings: &[&Finding]) -> Markup {
    html! {
        @if !findings.is_empty() {
            details class="further" {
                summary { (findings.len()) " further findings" }
                (table(caption, findings))
            }
        }
    }
}

/// Names, methods and ways of making intervals, one entry per metric.
pub(super) fn methods(findings: &[&Finding]) -> Markup {
    html! {
        details {
            summary { "Names and methods" }
            dl class="methods" {
                @for group in findings.chunk_by(|a, b| a.metric == b.metric) {
                    @let finding = group[0];
                    dt { code { (finding.metric) } }
                    dd {
                        (finding.method)
                        @if let Some(ci) = &finding.ci_method { " Interval: " (ci) "." }
                        @if let Some(forced) = &finding.forced_by { " Cold starts forced by " (forced.replace('_', " ")) "." }
                        @if let Some(kind) = &finding.truth_kind { " Truth: " (kind) "." }
                        @if let Some(paper) = &finding.paper { " Paper: " (paper.source) "." }
                    }
                }
            }
        }
    }
}

fn body(group: &[(&Finding, Row)], columns: Columns) -> Markup {
    let words =
        group.first().map(|(finding, _)| metric::words(&finding.metric)).unwrap_or_default();
    html! {
        tbody {
            @if let [(finding, row)] = group {
                tr {
                    th scope="row" {
                        (words)
                        @if !row.setting.is_empty() { " " span class="setting" { (row.setting) } }
                        (notes(finding))
                    }
                    (cells(row, columns))
                }
            } @else {
                tr class="group" { th scope="rowgroup" colspan=(columns.count()) { (words) } }
                @for (finding, row) in group {
                    tr {
                        th scope="row" class="inner" {
                            @if row.setting.is_empty() { "overall" } @else { (row.setting) }
                            (notes(finding))
                        }
                        (cells(row, columns))
                    }
                }
            }
        }
    }
}

fn cells(row: &Row, columns: Columns) -> Markup {
    html! {
        td class="num found" {
            (row.found)
            // Stands in for the next column on a phone.
            @if !row.interval.is_empty() { span class="under" { (row.interval) } }
        }
        @if columns.interval { td class="num interval" { (row.interval) } }
        @if columns.truth { td class="true" { (truth(row)) } }
        @if columns.paper { td { (row.paper) } }
        td class="num n" { (row.n) }
    }
}

fn truth(row: &Row) -> Markup {
    html! {
        @if let Some(verdict) = row.verdict {
            span class=(format!("sign {}", verdict.class())) aria-hidden="true" { (verdict.sign()) }
            " " (row.truth)
            @match verdict {
                Verdict::Agrees => { span class="sr" { ", agrees" } }
                other => { span class=(format!("verdict {}", other.class())) { " " (other.words()) } }
            }
        }
    }
}

fn notes(finding: &Finding) -> Markup {
    html! {
        @if let Some(disturbed) = &finding.disturbed { span class="note" { "disturbed: " (disturbed) } }
        @if let Some(stopped) = &finding.stopped_by { span class="note" { "stopped early by " (stopped) } }
    }
}
