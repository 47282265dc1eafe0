//! Rows that were sampled within clusters, and how many independent rows they are worth.
//!
//! Deliberately knows nothing of what a cluster is: a round, a host, a pool.

use super::{ALPHA, NoInterval};
use statrs::distribution::{ContinuousCDF, StudentsT};
use std::collections::BTreeMap;

/// One row's value and the number of the cluster it was sampled in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row<T> {
    /// The cluster: the round, host or pool.
    pub cluster: u64,
    /// The value.
    pub value: T,
}

impl<T> Row<T> {
    /// One row.
    pub const fn new(cluster: u64, value: T) -> Self {
        Self { cluster, value }
    }
}

/// The rows' values by cluster, clusters in ascending order.
pub fn group<T: Copy>(rows: &[Row<T>]) -> Vec<Vec<T>> {
    let mut groups: BTreeMap<u64, Vec<T>> = BTreeMap::new();
    for row in rows {
        groups.entry(row.cluster).or_default().push(row.value);
    }
    groups.into_values().collect()
}

/// How many independent rows the clustered rows `hits` are worth for the share of true ones.
///
/// Rows over the design effect (Kish, *Survey Sampling*, 1965), whose variance is that of a ratio over clusters, with the
/// correction of Korn and Graubard (*Survey Methodology* 24, 1998) for its being estimated from few clusters. It is
/// the number of rows where each is a cluster of its own, and the number of clusters where all rows say the same, since
/// the effect cannot be seen there and the worst is assumed.
/// Errors: [`NoInterval::TooFewClusters`] where rows share clusters and there are too few of these.
pub fn effective_size(hits: &[Row<bool>]) -> Result<f64, NoInterval> {
    let groups = group(hits);
    let (rows, clusters) = (hits.len() as f64, groups.len() as f64);
    if groups.len() == hits.len() {
        return Ok(rows);
    }
    if groups.len() < super::CLUSTERS_MIN {
        return Err(NoInterval::TooFewClusters { found: groups.len() });
    }
    let share = hits.iter().filter(|hit| hit.value).count() as f64 / rows;
    let worst = groups.iter().map(|group| (group.len() as f64).powi(2)).sum::<f64>() / rows;
    if share == 0.0 || share == 1.0 {
        return Ok(rows / worst);
    }
    let squares: f64 = groups
        .iter()
        .map(|group| {
            let hit = group.iter().filter(|hit| **hit).count() as f64;
            (hit - share * group.len() as f64).powi(2)
        })
        .sum();
    let variance = clusters / (clusters - 1.0) * squares / rows.powi(2);
    let effect = variance / (share * (1.0 - share) / rows);
    let correction = (student(rows - 1.0) / student(clusters - 1.0)).powi(2);
    Ok((rows / effect * correction).clamp((rows / worst).min(rows), rows))
}

/// The two-sided 95 % point of Student's t with `freedom` degrees of freedom, `freedom` ≥ 1.
pub(crate) fn student(freedom: f64) -> f64 {
    StudentsT::new(0.0, 1.0, freedom.max(1.0))
        .map_or(f64::INFINITY, |student| student.inverse_cdf(1.0 - ALPHA / 2.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Rows that are their own clusters are worth all of themselves.
    #[test]
    fn independent_rows_count_fully() {
        let rows: Vec<_> = (0..50).map(|row| Row::new(row, row % 3 == 0)).collect();
        assert_eq!(effective_size(&rows), Ok(50.0));
    }

    // Ten rows that always agree within their cluster are worth one.
    #[test]
    fn agreeing_rows_count_once() {
        let rows: Vec<_> = (0..400).map(|row| Row::new(row / 10, row / 10 % 2 == 0)).collect();
        let size = effective_size(&rows).unwrap();
        assert!((size - 40.0).abs() < 3.0, "{size}");
    }

    // Where nothing differs, the clusters alone count.
    #[test]
    fn unanimous_rows_count_by_cluster() {
        let rows: Vec<_> = (0..200).map(|row| Row::new(row / 10, false)).collect();
        assert_eq!(effective_size(&rows), Ok(20.0));
    }

    // Few clusters of several rows say nothing about how clusters differ.
    #[test]
    fn few_clusters_are_refused() {
        let rows: Vec<_> = (0..90).map(|row| Row::new(row / 10, row % 2 == 0)).collect();
        assert_eq!(effective_size(&rows), Err(NoInterval::TooFewClusters { found: 9 }));
    }

    // Student's t against the usual table: 2.262 at 9 degrees of freedom.
    #[test]
    fn student_is_the_tables() {
        assert!((student(9.0) - 2.262).abs() < 1e-3);
    }
}
