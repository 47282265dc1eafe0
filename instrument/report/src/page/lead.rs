//! What stands before and after the results: what was measured, when, on what; and how to do it again.

use super::{Links, Shown, file_stem, heading};
use crate::facts::StudyFacts;
use crate::number;
use analysis::{Findings, Problem};
use maud::{Markup, html};

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Title, target and size of the study, and what limits it.
pub(super) fn lead(title: &str, findings: &Findings, facts: &StudyFacts) -> Markup {
    html! {
        header class="lead" {
            p class="eyebrow" { "Peek" span { " · a look behind the curtain of a serverless platform" } }
            h1 { (title) }
            @if !facts.target.is_empty() { p class="deck" { (facts.target) } }
            (size(findings, facts))
            @if !facts.limitations.is_empty() {
                aside class="limits" aria-label="Limitations" {
                    h2 { "What this run could not enforce or see" }
                    ul { @for limitation in &facts.limitations { li { (limitation) } } }
                }
            }
        }
    }
}

fn size(findings: &Findings, facts: &StudyFacts) -> Markup {
    let (date, time) = moment(&findings.started_at);
    html! {
        dl class="size" {
            div { dt { "target" } dd { (findings.target.uri) } }
            @if !date.is_empty() { div { dt { "measured" (time) } dd { (date) } } }
            div { dt { "invocations" } dd { (number::count(findings.invocations)) } }
            div { dt { "instances" } dd { (number::count(findings.instances_launched)) } }
            @if facts.duration != model::Span::ZERO {
                div { dt { "measuring took" } dd { (number::duration(facts.duration.as_secs_f64())) } }
            }
            @if !facts.scale.is_empty() { div { dt { "scale" } dd { (facts.scale) } } }
        }
    }
}

/// Links to the sections.
pub(super) fn contents(shown: &[Shown]) -> Markup {
    html! {
        @if !shown.is_empty() {
            nav class="contents" aria-label="Experiments" {
                h2 { "How we know" }
                ol {
                    @for shown in shown {
                        li { a href=(format!("#{}", file_stem(&shown.text.name))) { (heading(&shown.text.name)) } }
                    }
                }
            }
        }
    }
}

/// Problems of experiments that have no section.
pub(super) fn homeless_problems(findings: &Findings, shown: &[Shown]) -> Markup {
    let has_home = |p: &&Problem| shown.iter().any(|s| s.text.name == p.experiment);
    let homeless: Vec<&Problem> = findings.problems.iter().filter(|p| !has_home(p)).collect();
    html! {
        @if !homeless.is_empty() {
            section class="experiment" aria-labelledby="other-problems" {
                h2 id="other-problems" { "Other problems" }
                ul class="problems" { @for problem in homeless { li { (problem.text) } } }
            }
        }
    }
}

/// How to do it again, and where the files are.
pub(super) fn foot(findings: &Findings, facts: &StudyFacts, links: &Links) -> Markup {
    let commit = findings.peek.commit.as_str();
    html! {
        footer {
            h2 { "Do it again" }
            @if !facts.reproduce_command.is_empty() {
                pre tabindex="0" { code { (facts.reproduce_command) } }
            }
            p {
                "Measured by Peek " (findings.peek.version)
                @if !commit.is_empty() { " (" code { (commit.get(..12).unwrap_or(commit)) } ")" }
                " with seed " (findings.target.seed)
                @if !facts.machine.is_empty() { " from " (facts.machine) }
                "."
            }
            p {
                "Beside this page: " a href="findings.json" { "all findings as JSON" }
                @if let Some(invocations) = &links.invocations { ", " a href=(invocations) { "every invocation as CSV" } }
                ", tables in " code { "csv/" } ", plots in " code { "plots/" } "."
            }
            p class="fine" {
                "Intervals hold the true value in 95 of 100 studies. A mark compares a finding with what the target declares: "
                "✓ the same, or inside the interval; ≈ within 2 %, or within what a metric judged by absolute error may differ; ✗ neither; ? not found. The paper is Wang et al., "
                em { "Peeking Behind the Curtains of Serverless Platforms" } ", USENIX ATC 2018."
            }
        }
    }
}

/// Date and time of an RFC 3339 moment in words: `20 Nov 2026` and `, 15:00 UTC`; as it stands where it is none.
fn moment(text: &str) -> (String, String) {
    let date = text.get(..10).unwrap_or_default();
    let mut parts = date.split('-').map(str::parse::<usize>);
    let (Some(Ok(year)), Some(Ok(month)), Some(Ok(day))) =
        (parts.next(), parts.next(), parts.next())
    else {
        return (text.into(), String::new());
    };
    let Some(month) = month.checked_sub(1).and_then(|m| MONTHS.get(m)) else {
        return (text.into(), String::new());
    };
    let time = text.get(11..16).filter(|_| text.ends_with('Z'));
    (
        format!("{day}\u{a0}{month}\u{a0}{year}"),
        time.map(|t| format!(", {t} UTC")).unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A moment is said in words; anything else is left as it is.
    #[test]
    fn moments_are_words() {
        assert_eq!(
            moment("2026-11-20T15:00:00Z"),
            ("20\u{a0}Nov\u{a0}2026".into(), ", 15:00 UTC".into())
        );
        assert_eq!(moment("2026-13-20"), ("2026-13-20".into(), String::new()));
        assert_eq!(moment(""), (String::new(), String::new()));
        assert_eq!(moment("Größe unbekannt"), ("Größe unbekannt".into(), String::new()));
    }
}
