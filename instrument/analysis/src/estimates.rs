//! Shares and medians of rows, with their intervals by cluster.

use crate::answers::Answers;
use crate::finding::Finding;
use crate::statistics::cluster::{Row, group};
use crate::statistics::{binomial, order_statistic};

/// Adds the share of true rows. `finding` carries everything but value, interval and clusters.
pub(crate) fn add_share(answers: &mut Answers, finding: Finding, rows: &[Row<bool>]) {
    if rows.is_empty() {
        answers.add_unknown(finding, "no request was answered; see the failures for the reason");
        return;
    }
    let hits = rows.iter().filter(|row| row.value).count();
    let cluster = finding.cluster.clone().unwrap_or_else(|| "round".to_owned());
    let finding = finding
        .with_number(hits as f64 / rows.len() as f64)
        .with_clusters(&cluster, group(rows).len());
    answers.add_with(finding, binomial::interval(rows));
}

/// Adds the median of the rows. `finding` carries everything but value and interval.
pub(crate) fn add_median(answers: &mut Answers, finding: Finding, rows: &[Row<f64>]) {
    match order_statistic::quantile(&order_statistic::sorted(rows), 0.5) {
        Some(median) => {
            answers.add_with(finding.with_number(median), order_statistic::interval(rows, 0.5));
        }
        None => answers.add_unknown(
            finding,
            "no request was answered with it; see the failures for the reason",
        ),
    }
}
