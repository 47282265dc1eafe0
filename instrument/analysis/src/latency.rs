//! The seven figures of a sample of latencies: median, two tails, mean, spread and ends.

use crate::answers::Answers;
use crate::finding::Finding;
use crate::statistics::cluster::{Row, group};
use crate::statistics::{Interval, bootstrap, order_statistic};

/// A sample of latencies in milliseconds; infinite ones are right-censored.
pub(crate) struct Latencies {
    /// Rows within rounds.
    pub(crate) rows: Vec<Row<f64>>,
    /// How much lower the truth may be because the clocks differ, ms.
    pub(crate) below_ms: f64,
    /// How much higher it may be, ms.
    pub(crate) above_ms: f64,
}

impl Latencies {
    /// Adds `METRIC.p50`, `.p95`, `.p99`, `.mean`, `.sd`, `.min` and `.max`, with the clock's bound in the intervals.
    ///
    /// `template` names the metric and carries setting and method. Ends and spread are facts of the sample and have no
    /// interval. The mean of a sample with failures is at least that of the answers, which it then is, open above.
    pub(crate) fn add_to(&self, answers: &mut Answers, template: &Finding) {
        let sorted = order_statistic::sorted(&self.rows);
        let clusters = group(&self.rows);
        let template = template.clone().with_clusters("round", clusters.len());
        let named = |suffix: &str| Finding {
            metric: format!("{}.{suffix}", template.metric),
            ..template.clone()
        };
        if sorted.first().is_none_or(|value| !value.is_finite()) {
            let why = "no request was answered; see the failures for the reason";
            for suffix in ["p50", "p95", "p99", "mean", "sd", "min", "max"] {
                answers.add_unknown(named(suffix), why);
            }
            return;
        }
        for (suffix, p) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)] {
            let interval = order_statistic::interval(&self.rows, p).map(|found| self.widen(found));
            match order_statistic::quantile(&sorted, p) {
                Some(value) => answers.add_with(named(suffix).with_number(value), interval),
                None => {
                    let mut finding = named(suffix);
                    if let Ok(interval) = interval {
                        finding = finding.with_interval(interval);
                    }
                    let why = "a quantile falls among the requests that failed, whose latency is only known \
                               to be larger; fewer failures would change that";
                    answers.add_unknown(finding, why);
                }
            }
        }
        self.add_moments(answers, named, &clusters);
    }

    /// Mean, spread and ends of the answers.
    fn add_moments(
        &self,
        answers: &mut Answers,
        named: impl Fn(&str) -> Finding,
        clusters: &[Vec<f64>],
    ) {
        let finite: Vec<Vec<f64>> = clusters
            .iter()
            .map(|rows| rows.iter().copied().filter(|value| value.is_finite()).collect())
            .collect();
        let values: Vec<f64> = finite.iter().flatten().copied().collect();
        let mut interval = bootstrap::mean_interval(&finite).map(|found| self.widen(found));
        if values.len() < self.rows.len() {
            interval = interval.map(|found| Interval { high: None, ..found });
            let experiment = named("mean").experiment;
            answers.note(
                &experiment,
                "means, spreads and largest values are those of the answered requests; the failed \
                 ones would make them larger",
            );
        }
        let mean = bootstrap::mean(&finite);
        answers.add_with(named("mean").with_number(mean), interval);
        let squares = |mean: f64| values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        let sd = mean
            .filter(|_| values.len() > 1)
            .map(|mean| (squares(mean) / (values.len() - 1) as f64).sqrt());
        match sd {
            Some(sd) => answers.add(named("sd").with_number(sd)),
            None => answers.add_unknown(named("sd"), "one row has no spread; run more rounds"),
        }
        answers.add(named("min").with_number(values.iter().copied().reduce(f64::min)));
        answers.add(named("max").with_number(values.iter().copied().reduce(f64::max)));
    }

    fn widen(&self, interval: Interval) -> Interval {
        Interval {
            low: interval.low.map(|low| low - self.below_ms),
            high: interval.high.map(|high| high + self.above_ms),
            ..interval
        }
    }
}
