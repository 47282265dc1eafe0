//! Shares of rows, with exact binomial intervals by cluster.

use crate::answers::Answers;
use crate::finding::Finding;
use crate::statistics::binomial;
use crate::statistics::cluster::{Row, group};

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
