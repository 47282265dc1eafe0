//! Exact binomial intervals for shares, and the binomial distribution they rest on.
//!
//! Deliberately knows nothing of what is counted.

use super::cluster::{Row, effective_size};
use super::{ALPHA, Interval, Method, NoInterval};
use statrs::function::beta::beta_reg;

/// The interval of Clopper and Pearson (*Biometrika* 26, 1934) for the share of true rows, 0.0 to 1.0.
///
/// Rows that share a cluster are first reduced to the number of independent rows they are worth, as Korn and Graubard
/// (*Survey Methodology* 24, 1998) do. Ends at 0 and 1 are closed: a share cannot be beyond them.
/// Errors: [`NoInterval::Undetermined`] without rows, [`NoInterval::TooFewClusters`].
pub fn interval(hits: &[Row<bool>]) -> Result<Interval, NoInterval> {
    if hits.is_empty() {
        return Err(NoInterval::Undetermined);
    }
    let size = effective_size(hits)?;
    let share = hits.iter().filter(|hit| hit.value).count() as f64 / hits.len() as f64;
    let (low, high) = clopper_pearson(share * size, size);
    Ok(Interval { low: Some(low), high: Some(high), method: Method::ExactBinomial })
}

/// Both ends for `hits` of `size` rows, either of which may be fractional; 0 ≤ `hits` ≤ `size`, `size` > 0.
///
/// The ends are the 2.5 % point of Beta(hits, size - hits + 1) and the 97.5 % point of Beta(hits + 1, size - hits).
pub fn clopper_pearson(hits: f64, size: f64) -> (f64, f64) {
    let low = if hits <= 0.0 { 0.0 } else { beta_point(hits, size - hits + 1.0, ALPHA / 2.0) };
    let high =
        if hits >= size { 1.0 } else { beta_point(hits + 1.0, size - hits, 1.0 - ALPHA / 2.0) };
    (low, high)
}

/// Probability of at most `hits` of `size` rows, each true with probability `share`.
pub fn cumulative(hits: u64, size: u64, share: f64) -> f64 {
    if hits >= size || share <= 0.0 {
        return 1.0;
    }
    if share >= 1.0 {
        return 0.0;
    }
    beta_reg((size - hits) as f64, hits as f64 + 1.0, 1.0 - share)
}

/// The point below which a Beta(a, b) variable lies with `probability`, by bisection to the last bit that matters.
///
/// The library's own inverse is an approximation that is refined a fixed number of times; this cannot miss.
fn beta_point(a: f64, b: f64, probability: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if beta_reg(a, b, middle) < probability { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    fn rows(hits: usize, size: usize) -> Vec<Row<bool>> {
        (0..size).map(|row| Row::new(row as u64, row < hits)).collect()
    }

    // Published tables: 0/10 (0, 0.3085), 5/10 (0.1871, 0.8129), 1/20 (0.0013, 0.2487), 10/10 (0.6915, 1).
    #[test]
    fn ends_are_the_tables() {
        for (hits, size, low, high) in [
            (0, 10, 0.0, 0.3085),
            (5, 10, 0.1871, 0.8129),
            (1, 20, 0.0013, 0.2487),
            (10, 10, 0.6915, 1.0),
            (8, 10, 0.4439, 0.9748),
        ] {
            let found = interval(&rows(hits, size)).unwrap();
            assert!((found.low.unwrap() - low).abs() < 6e-5, "{hits}/{size}: {found:?}");
            assert!((found.high.unwrap() - high).abs() < 6e-5, "{hits}/{size}: {found:?}");
        }
    }

    // The distribution against sums of its terms.
    #[test]
    fn cumulative_is_the_sum_of_terms() {
        for (size, share) in [(7_u64, 0.3), (21, 0.5), (60, 0.95)] {
            let mut term: f64 = (1.0_f64 - share).powi(size as i32);
            let mut sum = term;
            for hits in 0..size {
                assert!((cumulative(hits, size, share) - sum).abs() < 1e-12, "{hits}/{size}");
                term *= (size - hits) as f64 / (hits + 1) as f64 * share / (1.0 - share);
                sum += term;
            }
            assert_eq!(cumulative(size, size, share), 1.0);
        }
    }

    // A share of 0.5 % at n = 100, where the percentile bootstrap covers 40 %, is covered at least as often as said.
    #[test]
    fn rare_shares_are_covered() {
        let mut random = Pcg64::seed_from_u64(1);
        let covered = (0..400)
            .filter(|_| {
                let hits: Vec<_> =
                    (0..100).map(|row| Row::new(row, random.random_bool(0.005))).collect();
                interval(&hits).unwrap().contains(0.005)
            })
            .count();
        // 362 of 400 is the 0.1 % point of a binomial of 0.95.
        assert!(covered >= 362, "{covered}");
    }

    // Twenty rows of each of 30 clusters with the share of the cluster strongly varied: rows would cover a third.
    #[test]
    fn clustered_shares_are_covered() {
        let mut random = Pcg64::seed_from_u64(2);
        let covered = (0..400)
            .filter(|_| {
                let mut hits = Vec::new();
                for cluster in 0..30 {
                    let share = if random.random_bool(0.3) { 0.9 } else { 0.1 };
                    hits.extend((0..20).map(|_| Row::new(cluster, random.random_bool(share))));
                }
                interval(&hits).unwrap().contains(0.34)
            })
            .count();
        assert!(covered >= 362, "{covered}");
    }
}
