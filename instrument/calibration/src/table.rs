//! The score as a table of plain text.

use crate::score::{MetricScore, Score};
use std::fmt::Write;

impl Score {
    /// One line per metric, then words that were confused, coverage by method, and what is not met.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{:<36} {:<8} {:>5} {:>7} {:>6} {:>8} {:>8} {:>11} {:>8}\n",
            "", "class", "n", "unknown", "wrong", "error", "p95", "coverage", "half"
        );
        for metric in &self.metrics {
            line(metric, &mut text);
        }
        // Writing to a text cannot fail.
        for method in &self.methods {
            let share = method.held as f64 / method.of_all.max(1) as f64;
            let _ = writeln!(
                text,
                "intervals by {}: {:.1} % of {}",
                method.of,
                share * 100.0,
                method.of_all
            );
        }
        for one in &self.confusion {
            let _ = writeln!(
                text,
                "{}: {} found as {}: {}",
                one.metric, one.truth, one.found, one.count
            );
        }
        let unmet: Vec<&MetricScore> = self.unmet().collect();
        for metric in &unmet {
            let worst = metric.worst.as_ref().map(|worst| format!("; worst: seed {}", worst.seed));
            let _ = writeln!(
                text,
                "not met: {}: {}{}",
                metric.metric,
                metric.unmet.join("; "),
                worst.unwrap_or_default()
            );
        }
        let _ = writeln!(
            text,
            "{} of {} metrics meet their criterion over {} platforms from seed {}",
            self.metrics.len() - unmet.len(),
            self.metrics.len(),
            self.profiles,
            self.seed
        );
        text
    }
}

fn line(metric: &MetricScore, text: &mut String) {
    let number = |value: Option<f64>| value.map(|value| format!("{value:.4}")).unwrap_or_default();
    let coverage = metric.coverage.as_ref();
    let coverage = coverage.map(|it| format!("{}/{}", it.held, it.of_all)).unwrap_or_default();
    let _ = writeln!(
        text,
        "{:<36} {:<8} {:>5} {:>6.1}% {:>6} {:>8} {:>8} {:>11} {:>8}{}",
        metric.metric,
        metric.class,
        metric.profiles,
        metric.unknown * 100.0,
        metric.wrong,
        number(metric.error_median),
        number(metric.error_p95),
        coverage,
        number(metric.half_width),
        if metric.met { "" } else { "  ✗" }
    );
}
