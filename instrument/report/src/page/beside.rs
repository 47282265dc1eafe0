//! The paper's figures beside what was found: one table over all experiments, for targets that the paper measured.

use crate::metric;
use crate::row::Row;
use analysis::{Finding, Findings, Value};
use maud::{Markup, html};

/// Targets that are no platform of the paper: this machine's own, and records of others.
const OTHERS: [&str; 2] = ["local", "foreign"];

/// Whether the page has the section.
pub(super) fn is_there(findings: &Findings) -> bool {
    !OTHERS.contains(&findings.target.kind.as_str())
        && findings.findings.iter().any(|finding| finding.paper.is_some())
}

/// The section.
pub(super) fn section(findings: &Findings) -> Markup {
    let mut own: Vec<&Finding> =
        findings.findings.iter().filter(|finding| finding.paper.is_some()).collect();
    own.sort_by(|a, b| {
        let order = |f: &Finding| metric::order(&f.metric);
        order(a).cmp(&order(b)).then_with(|| metric::setting_order(&a.setting, &b.setting))
    });
    html! {
        section class="experiment" id="beside-the-paper" aria-labelledby="beside-the-paper-head" {
            header {
                p class="eyebrow" { "2018" span { " · The paper" } }
                h2 id="beside-the-paper-head" { "What did Wang et al. find?" }
                p class="method" {
                    "Each figure of the paper that this study measures too, with how sure its source is. "
                    @if findings.target.kind == "emulated" {
                        "The emulated platform was made from these same figures: to find them again shows that the loop "
                        "of model, experiment and analysis closes, not that the paper is reproduced."
                    } @else {
                        "They are of 2017 and 2018: history, not an expectation."
                    }
                }
            }
            div class="scroll" tabindex="0" role="region" aria-label="The paper's figures beside what was found" {
                table {
                    thead {
                        tr {
                            th scope="col" { "" }
                            th scope="col" class="num" { "paper" }
                            th scope="col" class="num" { "found" }
                            th scope="col" class="num interval" { "95 % interval" }
                            th scope="col" class="num" { "ratio" }
                            th scope="col" { "source" }
                        }
                    }
                    tbody { @for finding in own { (row(finding)) } }
                }
            }
        }
    }
}

fn row(finding: &Finding) -> Markup {
    let row = Row::of(finding);
    let source = finding.paper.as_ref().map(|paper| paper.source.as_str()).unwrap_or_default();
    html! {
        tr {
            th scope="row" {
                (row.words)
                @if !row.setting.is_empty() { " " span class="setting" { (row.setting) } }
            }
            td class="num" { (row.paper) }
            td class="num found" {
                (row.found)
                // Stands in for the next column on a phone.
                @if !row.interval.is_empty() { span class="under" { (row.interval) } }
            }
            td class="num interval" { (row.interval) }
            td class="num" { (ratio(finding)) }
            td { (source) }
        }
    }
}

/// Found over the paper's, where both are numbers and neither is zero.
fn ratio(finding: &Finding) -> String {
    let paper = finding.paper.as_ref().map(|paper| &paper.value);
    match (&finding.value, paper) {
        (Value::Number(found), Some(Value::Number(paper))) if *paper != 0.0 => {
            format!("{:.2}", found / paper)
        }
        (Value::Number(found), Some(Value::Number(_))) if *found == 0.0 => "same".to_owned(),
        (Value::Word(found), Some(Value::Word(paper))) if found == paper => "same".to_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use analysis::Paper;

    fn beside(found: Value, paper: Value) -> Finding {
        let mut finding = Finding::new("idle", "idle.max_idle_s", "s");
        finding.value = found;
        finding.paper = Some(Paper {
            value: paper,
            platform: "AWS".to_owned(),
            source: "atc18.csv:107, high: no other activity".to_owned(),
        });
        finding
    }

    // Numbers have a ratio, equal words are the same, and nothing is divided by zero.
    #[test]
    fn ratios_are_told() {
        let number = |found, paper| ratio(&beside(Value::Number(found), Value::Number(paper)));
        assert_eq!(number(1590.0, 1620.0), "0.98");
        assert_eq!(number(0.0, 0.0), "same");
        assert_eq!(number(0.1, 0.0), "");
        let word = |text: &str| Value::Word(text.to_owned());
        assert_eq!(ratio(&beside(word("halving"), word("halving"))), "same");
        assert_eq!(ratio(&beside(Value::Null, word("halving"))), "");
    }

    // The row names its source with its confidence.
    #[test]
    fn sources_are_named() {
        let html = row(&beside(Value::Number(1620.0), Value::Number(1620.0))).into_string();
        assert!(html.contains("atc18.csv:107, high"), "{html}");
        assert!(html.contains("1.00"), "{html}");
    }
}
