//! Cluster bootstrap: whole clusters are drawn with replacement, never rows.
//!
//! Means use the studentised bootstrap, which follows skew; other statistics the expanded percentile bootstrap. Both
//! after Hesterberg, *What Teachers Should Know About the Bootstrap* (*The American Statistician* 69, 2015). Wrong for
//! quantiles in the tails, which have [`super::order_statistic`]. Deliberately knows nothing of what a cluster is.

use super::cluster::student;
use super::order_statistic::quantile;
use super::{ALPHA, CLUSTERS_MIN, Interval, Method, NoInterval};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use statrs::distribution::{ContinuousCDF, Normal};

/// Resamples drawn for one interval.
const RESAMPLES: usize = 1_000;

/// Seed of every interval's draws, so that the same rows give the same interval.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// The mean of all rows of all clusters; None without rows.
pub fn mean(clusters: &[Vec<f64>]) -> Option<f64> {
    let rows: usize = clusters.iter().map(Vec::len).sum();
    (rows > 0).then(|| clusters.iter().flatten().sum::<f64>() / rows as f64)
}

/// The 95 % interval of the mean of all rows.
///
/// Each resample's mean is compared with the mean in units of its own standard error, that of a ratio over clusters.
/// Errors: [`NoInterval::TooFewClusters`]; [`NoInterval::Undetermined`] where clusters hold no row or infinite ones.
pub fn mean_interval(clusters: &[Vec<f64>]) -> Result<Interval, NoInterval> {
    let parts: Vec<Part> = clusters
        .iter()
        .filter(|rows| !rows.is_empty())
        .map(|rows| Part { sum: rows.iter().sum(), rows: rows.len() as f64 })
        .collect();
    check(parts.len())?;
    let (mean, error) = mean_and_error(&parts);
    if !mean.is_finite() || !error.is_finite() {
        return Err(NoInterval::Undetermined);
    }
    let mut draws = Draws::new();
    let mut drawn = Vec::with_capacity(parts.len());
    let mut ratios = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        drawn.clear();
        drawn.extend(draws.indices(parts.len()).map(|index| parts[index]));
        let (drawn_mean, drawn_error) = mean_and_error(&drawn);
        // A resample of equal clusters has no error of its own, and says nothing.
        if drawn_error > 0.0 {
            ratios.push((drawn_mean - mean) / drawn_error);
        }
    }
    ratios.sort_by(f64::total_cmp);
    let low = quantile(&ratios, 1.0 - ALPHA / 2.0).map_or(mean, |ratio| mean - ratio * error);
    let high = quantile(&ratios, ALPHA / 2.0).map_or(mean, |ratio| mean - ratio * error);
    Ok(Interval { low: Some(low), high: Some(high), method: Method::ClusterBootstrap })
}

/// The 95 % interval of any `statistic` of clusters.
///
/// Percentiles of the resampled statistic, moved outward as far as Student's t exceeds the normal distribution, because
/// a resample's spread is too small by the root of (n - 1) / n and itself uncertain. A statistic may be None for a
/// resample that does not determine it; where that is more than one in five, there is no interval.
/// Errors: [`NoInterval::TooFewClusters`], [`NoInterval::Undetermined`].
pub fn interval<T>(
    clusters: &[T],
    statistic: impl Fn(&[&T]) -> Option<f64>,
) -> Result<Interval, NoInterval> {
    check(clusters.len())?;
    let mut draws = Draws::new();
    let mut values = Vec::with_capacity(RESAMPLES);
    let mut drawn = Vec::with_capacity(clusters.len());
    for _ in 0..RESAMPLES {
        drawn.clear();
        drawn.extend(draws.indices(clusters.len()).map(|index| &clusters[index]));
        values.extend(statistic(&drawn).filter(|value| value.is_finite()));
    }
    if values.len() * 5 < RESAMPLES * 4 {
        return Err(NoInterval::Undetermined);
    }
    values.sort_by(f64::total_cmp);
    let tail = expanded_tail(clusters.len() as f64);
    Ok(Interval {
        low: quantile(&values, tail),
        high: quantile(&values, 1.0 - tail),
        method: Method::ClusterBootstrap,
    })
}

/// A cluster's contribution to the mean.
#[derive(Clone, Copy)]
struct Part {
    sum: f64,
    rows: f64,
}

/// The mean of all rows, and its standard error by the linearised variance of a ratio.
fn mean_and_error(parts: &[Part]) -> (f64, f64) {
    let count = parts.len() as f64;
    let rows: f64 = parts.iter().map(|part| part.rows).sum();
    let mean = parts.iter().map(|part| part.sum).sum::<f64>() / rows;
    let squares: f64 = parts.iter().map(|part| (part.sum - mean * part.rows).powi(2)).sum();
    (mean, (count / (count - 1.0) * squares).sqrt() / rows)
}

/// The tail probability to cut off on each side, for this many clusters.
fn expanded_tail(clusters: f64) -> f64 {
    let point = (clusters / (clusters - 1.0)).sqrt() * student(clusters - 1.0);
    Normal::standard().cdf(-point)
}

fn check(found: usize) -> Result<(), NoInterval> {
    if found < CLUSTERS_MIN { Err(NoInterval::TooFewClusters { found }) } else { Ok(()) }
}

/// Seeded draws of indices with replacement.
struct Draws(Pcg64Mcg);

impl Draws {
    fn new() -> Self {
        Self(Pcg64Mcg::seed_from_u64(SEED))
    }

    fn indices(&mut self, count: usize) -> impl Iterator<Item = usize> + '_ {
        (0..count).map(move |_| self.0.random_range(0..count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_distr::{Distribution, LogNormal, StandardNormal};
    use rand_pcg::Pcg64;

    /// 30 clusters of 10 rows around 1, with an intraclass correlation of about 0.94.
    fn correlated(random: &mut Pcg64) -> Vec<Vec<f64>> {
        (0..30)
            .map(|_| {
                let shared: f64 = StandardNormal.sample(random);
                (0..10)
                    .map(|_| {
                        let own: f64 = StandardNormal.sample(random);
                        1.0 + shared + own / 4.0
                    })
                    .collect()
            })
            .collect()
    }

    // The mean of strongly correlated rows is covered by resampling clusters, and by rows would not be.
    #[test]
    fn clustered_means_are_covered() {
        let mut random = Pcg64::seed_from_u64(4);
        let (mut by_cluster, mut by_row) = (0, 0);
        for _ in 0..200 {
            let clusters = correlated(&mut random);
            by_cluster += u32::from(mean_interval(&clusters).unwrap().contains(1.0));
            let rows: Vec<_> = clusters.iter().flatten().map(|row| vec![*row]).collect();
            by_row += u32::from(mean_interval(&rows).unwrap().contains(1.0));
        }
        // 179 of 200 is the 0.1 % point of a binomial of 0.95.
        assert!(by_cluster >= 179, "{by_cluster}");
        assert!(by_row < 120, "{by_row}");
    }

    // So is any other statistic of them, here the median of the clusters' means, also with 12 clusters.
    #[test]
    fn clustered_statistics_are_covered() {
        let mut random = Pcg64::seed_from_u64(5);
        for count in [12, 30] {
            let covered = (0..200)
                .filter(|_| {
                    let clusters = correlated(&mut random);
                    interval(&clusters[..count], |drawn| {
                        let means: f64 = drawn.iter().map(|rows| rows.iter().sum::<f64>()).sum();
                        Some(means / 10.0 / drawn.len() as f64)
                    })
                    .unwrap()
                    .contains(1.0)
                })
                .count();
            assert!(covered >= 179, "{count} clusters: {covered}");
        }
    }

    // The mean of a shifted lognormal as skewed as AWS 2018's cold starts is covered to within a few points.
    #[test]
    fn skewed_means_are_nearly_covered() {
        let model = LogNormal::new(75.3_f64.ln(), 1.29).unwrap();
        let truth = 75.3 * (1.29_f64 * 1.29 / 2.0).exp();
        let mut random = Pcg64::seed_from_u64(6);
        let covered = (0..200)
            .filter(|_| {
                let rows: Vec<_> = (0..200).map(|_| vec![model.sample(&mut random)]).collect();
                mean_interval(&rows).unwrap().contains(truth)
            })
            .count();
        eprintln!("skewed {covered}");
        // 170 of 200 is the 0.1 % point of a binomial of 0.92: no method without a model reaches 0.95 here.
        assert!(covered >= 170, "{covered}");
    }

    // Nine clusters are refused, whatever they hold; equal ones have an interval of no width.
    #[test]
    fn few_clusters_are_refused() {
        let found = mean_interval(&vec![vec![1.0]; 9]);
        assert_eq!(found, Err(NoInterval::TooFewClusters { found: 9 }));
        let found = mean_interval(&vec![vec![1.0]; 10]).unwrap();
        assert_eq!((found.low, found.high), (Some(1.0), Some(1.0)));
        assert_eq!(mean_interval(&vec![vec![f64::INFINITY]; 10]), Err(NoInterval::Undetermined));
    }

    // The same clusters give the same interval.
    #[test]
    fn intervals_are_repeatable() {
        let clusters = correlated(&mut Pcg64::seed_from_u64(7));
        assert_eq!(mean_interval(&clusters), mean_interval(&clusters));
    }
}
