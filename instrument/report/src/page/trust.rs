//! How far findings can be trusted: the published score of the instrument on random platforms of known truth.
//!
//! The score is a file of the project (`instrument/report/score.json`), made by `peek calibrate`; it is the same in every
//! report. Deliberately says nothing of the study at hand but which metrics it has.

use crate::metric;
use analysis::Finding;
use maud::{Markup, html};
use serde::Deserialize;

const SCORE: &str = include_str!("../../score.json");

/// Width and height of a bar of coverage, and what its left end stands for.
const BAR: (f64, f64) = (96.0, 10.0);
const FROM: f64 = 0.8;
/// What intervals promise.
const NOMINAL: f64 = 0.95;

#[derive(Deserialize)]
struct Score {
    profiles: u64,
    seed: u64,
    metrics: Vec<Metric>,
}

#[derive(Deserialize)]
struct Metric {
    metric: String,
    class: String,
    rule: String,
    profiles: u64,
    unknown: f64,
    wrong: u64,
    error_median: Option<f64>,
    error_p95: Option<f64>,
    coverage: Option<Coverage>,
    met: bool,
}

#[derive(Deserialize)]
struct Coverage {
    held: u64,
    of_all: u64,
}

/// The section: metrics of the study that are judged, with their scores. Empty where none is.
pub(super) fn section(findings: &[Finding]) -> Markup {
    let Ok(score) = serde_json::from_str::<Score>(SCORE) else { return html! {} };
    let found = |metric: &&Metric| {
        metric.class != "none" && findings.iter().any(|it| it.metric == metric.metric)
    };
    let mut metrics: Vec<&Metric> = score.metrics.iter().filter(found).collect();
    metrics.sort_by_key(|metric| metric::order(&metric.metric));
    if metrics.is_empty() {
        return html! {};
    }
    html! {
        section class="experiment" id="trust" aria-labelledby="trust-head" {
            header {
                p class="eyebrow" { "The instrument" span { " · Its own score" } }
                h2 id="trust-head" { "How far can these findings be trusted?" }
                p class="method" {
                    "The same experiments, blind, on " (score.profiles) " random platforms whose truth is known, a quarter of them "
                    "unlike what the analyses assume (" code {
                        "peek calibrate --profiles " (score.profiles) " --seed " (score.seed)
                    } "). Bars show how many 95 % intervals held the truth, from 80 to 100 %; the line is at 95 %."
                }
            }
            div class="scroll" tabindex="0" role="region" aria-label="Scores of the metrics of this study" {
                table {
                    thead {
                        tr {
                            th scope="col" { "" }
                            th scope="col" class="num" { "platforms" }
                            th scope="col" class="num" { "wrong" }
                            th scope="col" class="num" { "unknown" }
                            th scope="col" class="num" { "error, median" }
                            th scope="col" class="num" { "95th percentile" }
                            th scope="col" { "intervals that held" }
                            th scope="col" { "known where" }
                        }
                    }
                    tbody { @for metric in metrics { (row(metric)) } }
                }
            }
        }
    }
}

fn row(metric: &Metric) -> Markup {
    let percent = |share: Option<f64>| share.map(|share| format!("{:.1} %", share * 100.0));
    // An absolute error is in the metric's unit, no part of anything.
    let error = |error: Option<f64>| match metric.class.as_str() {
        "abs" => error.map(|error| format!("{error:.4}")),
        _ => percent(error),
    };
    html! {
        tr {
            th scope="row" { (metric.metric) @if !metric.met { " " span class="setting" { "criterion not met" } } }
            td class="num" { (metric.profiles) }
            td class="num" { (metric.wrong) }
            td class="num" { (percent(Some(metric.unknown)).unwrap_or_default()) }
            td class="num" { (error(metric.error_median).unwrap_or_default()) }
            td class="num" { (error(metric.error_p95).unwrap_or_default()) }
            td { @if let Some(coverage) = &metric.coverage { (bar(coverage)) } }
            td { (metric.rule) }
        }
    }
}

/// How many intervals held, as a bar beside the nominal share.
fn bar(coverage: &Coverage) -> Markup {
    let share = coverage.held as f64 / coverage.of_all.max(1) as f64;
    let (width, height) = BAR;
    let at = |share: f64| ((share - FROM) / (1.0 - FROM)).clamp(0.0, 1.0) * width;
    let (end, line) = (at(share), at(NOMINAL));
    let words = format!("{} of {}", coverage.held, coverage.of_all);
    let view = format!("0 0 {width} {height}");
    let mark = format!("M{line:.1} 0V{height}");
    html! {
        svg width=(width) height=(height) viewBox=(view) role="img" aria-label=(words) {
            rect width=(width) height=(height) style="fill:var(--wash)" {}
            rect width=(format!("{end:.1}")) height=(height) style="fill:var(--accent)" {}
            path d=(mark) style="stroke:var(--ink)" {}
        }
        " " span class="setting" { (words) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(metrics: &[&str]) -> Vec<Finding> {
        metrics.iter().map(|metric| Finding::new("x", metric, "s")).collect()
    }

    // The published score can be read, is of many platforms, and meets nearly all of its criteria.
    #[test]
    fn the_published_score_is_good() {
        let score: Score = serde_json::from_str(SCORE).expect("a score");
        assert!(score.profiles >= 100, "{}", score.profiles);
        let met = score.metrics.iter().filter(|metric| metric.met).count();
        assert!(met * 20 >= score.metrics.len() * 18, "{met} of {}", score.metrics.len());
    }

    // Metrics of the study have a row, others none; without any there is no section.
    #[test]
    fn metrics_of_the_study_have_rows() {
        let page = section(&findings(&["cpu.share", "made.up"])).into_string();
        assert!(
            page.contains("cpu.share")
                && !page.contains("idle.policy")
                && !page.contains("made.up")
        );
        assert_eq!(section(&findings(&["made.up"])).into_string(), "");
    }
}
