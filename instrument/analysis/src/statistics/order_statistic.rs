//! Quantiles and their intervals by ranks of the sorted sample.
//!
//! A quantile is that of Hyndman and Fan's definition 7 (*The American Statistician* 50, 1996): linear between the two
//! neighbours of rank 1 + (n - 1) p, as most programs compute it. A right-censored value is infinite and so ranks above
//! every quantile. Deliberately knows nothing of what was measured, and assumes nothing of its distribution.

use super::binomial::cumulative;
use super::cluster::{Row, effective_size};
use super::{ALPHA, Interval, Method, NoInterval};

/// The quantile `p` (0.0 to 1.0) of `sorted`, ascending; None without values, or where it falls on a censored one.
pub fn quantile(sorted: &[f64], p: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = p.clamp(0.0, 1.0) * last as f64;
    let below = sorted[(place.floor() as usize).min(last)];
    let weight = place - place.floor();
    if weight == 0.0 {
        return Some(below).filter(|value| value.is_finite());
    }
    let above = sorted[(place.ceil() as usize).min(last)];
    Some(below + (above - below) * weight).filter(|value| value.is_finite())
}

/// Ranks (from 1) of the two values of a sample of `size` that hold the quantile `p` between them in 95 % of samples.
///
/// David and Nagaraja, *Order Statistics* (2003), 7.1, with 2.5 % on each side: the number of values below the quantile
/// is binomial, whatever the distribution. None where no value is far enough out, so the end is open: at p = 0.5 below
/// n = 6, at p = 0.99 above it below n = 368.
pub fn ranks(size: usize, p: f64) -> (Option<usize>, Option<usize>) {
    let size = size as u64;
    // The largest rank whose value exceeds the quantile with at most 2.5 %.
    let low = first(size, |rank| cumulative(rank, size, p) > ALPHA / 2.0);
    // The smallest rank whose value is below the quantile with at most 2.5 %.
    let high = first(size, |rank| 1.0 - cumulative(rank, size, p) <= ALPHA / 2.0) + 1;
    (Some(low as usize).filter(|rank| *rank > 0), Some(high as usize).filter(|_| high <= size))
}

/// The 95 % interval of the quantile `p` of rows sampled within clusters; infinite values are right-censored.
///
/// Where rows share clusters, ranks are those of the number of independent rows they are worth, for the share of rows
/// below the quantile (Woodruff, *Journal of the American Statistical Association* 47, 1952), stretched to all rows.
/// Errors: [`NoInterval::Undetermined`] without rows, [`NoInterval::TooFewClusters`].
pub fn interval(rows: &[Row<f64>], p: f64) -> Result<Interval, NoInterval> {
    let sorted = sorted(rows);
    let middle = ((sorted.len() as f64 * p).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
    let Some(at) = sorted.get(middle) else { return Err(NoInterval::Undetermined) };
    let hits: Vec<_> = rows.iter().map(|row| Row::new(row.cluster, row.value <= *at)).collect();
    let worth = (effective_size(&hits)?.floor() as usize).max(1);
    let (low, high) = ranks(worth, p);
    let stretch = (sorted.len() + 1) as f64 / (worth + 1) as f64;
    let low = low.map(|rank| ((rank as f64 * stretch).floor() as usize).max(1));
    let high = high.map(|rank| ((rank as f64 * stretch).ceil() as usize).min(sorted.len()));
    let value = |rank: usize| Some(sorted[rank - 1]).filter(|value| value.is_finite());
    Ok(Interval {
        low: low.and_then(value),
        high: high.and_then(value),
        method: Method::OrderStatistic,
    })
}

/// The rows' values, ascending, censored ones last.
pub fn sorted(rows: &[Row<f64>]) -> Vec<f64> {
    let mut values: Vec<f64> = rows.iter().map(|row| row.value).collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The smallest number up to `size` for which `holds`, which never turns false again; `size` where none does.
fn first(size: u64, holds: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (0, size);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) { high = middle } else { low = middle + 1 }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_distr::{Distribution, LogNormal};
    use rand_pcg::Pcg64;

    // Known ranks of the median (6, 16 of 21; 40, 61 of 100), and where ends begin to be closed.
    #[test]
    fn ranks_are_the_known_ones() {
        assert_eq!(ranks(21, 0.5), (Some(6), Some(16)));
        assert_eq!(ranks(100, 0.5), (Some(40), Some(61)));
        assert_eq!(ranks(6, 0.5), (Some(1), Some(6)));
        assert_eq!(ranks(5, 0.5), (None, None));
        assert_eq!(ranks(0, 0.5), (None, None));
        assert_eq!(ranks(367, 0.99).1, None);
        assert_eq!(ranks(368, 0.99).1, Some(368));
    }

    // Definition 7 on a sample whose quantiles can be computed by hand.
    #[test]
    fn quantiles_are_definition_seven() {
        let sorted = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(quantile(&sorted, 0.5), Some(2.5));
        assert_eq!(quantile(&sorted, 0.25), Some(1.75));
        assert_eq!(quantile(&sorted, 1.0), Some(4.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    // The same as NumPy 2.4's `quantile` of the same samples, small and large.
    #[test]
    fn quantiles_are_those_of_a_reference() {
        let probabilities = [0.01, 0.25, 0.5, 0.9, 0.95, 0.99];
        let known = [
            (
                2,
                [
                    192.66370867300586,
                    194.89013712903227,
                    197.20933343739316,
                    200.92004753077055,
                    201.38388679244272,
                    201.75495820178045,
                ],
            ),
            (
                7,
                [
                    191.50250229130384,
                    193.12922587398555,
                    196.60973670339462,
                    212.37986616065092,
                    216.41983435265357,
                    219.65180890625572,
                ],
            ),
            (
                1_000,
                [
                    191.0440456939978,
                    192.71582180484273,
                    197.38238388888504,
                    226.51719810666395,
                    234.58219066664725,
                    242.3543566758048,
                ],
            ),
        ];
        for (size, quantiles) in known {
            let value =
                |k: u32| 190.0 + (4.0 * (f64::from(k) * 0.618_033_988_749_894_9).fract()).exp();
            let mut sample: Vec<f64> = (1..=size).map(value).collect();
            sample.sort_by(f64::total_cmp);
            for (p, expected) in probabilities.into_iter().zip(quantiles) {
                let found = quantile(&sample, p).unwrap();
                assert!((found - expected).abs() < 1e-9, "{found} of {size} at {p}: {expected}");
            }
        }
    }

    // Failures rank above every quantile: they move it up, and one that falls on them is unknown.
    #[test]
    fn censored_values_rank_highest() {
        let sorted = [1.0, 2.0, 3.0, f64::INFINITY, f64::INFINITY];
        assert_eq!(quantile(&sorted, 0.5), Some(3.0));
        assert_eq!(quantile(&sorted, 0.75), None);
        let rows: Vec<_> = (0..40)
            .map(|row| Row::new(row, if row < 35 { row as f64 } else { f64::INFINITY }))
            .collect();
        let found = interval(&rows, 0.95).unwrap();
        assert_eq!((found.low, found.high), (Some(34.0), None));
    }

    // The median of a shifted lognormal (AWS 2018's cold starts) and its tails are covered at every size.
    #[test]
    fn quantiles_of_a_shifted_lognormal_are_covered() {
        let model = LogNormal::new(75.3_f64.ln(), 1.29).unwrap();
        // Standard normal points of 50, 95 and 99 %.
        for (p, z) in [(0.5, 0.0), (0.95, 1.644_853_6), (0.99, 2.326_347_9)] {
            let truth = 189.9 + 75.3 * (1.29_f64 * z).exp();
            for size in [50, 100, 200, 1000_u64] {
                let mut random = Pcg64::seed_from_u64(size);
                let covered = (0..200)
                    .filter(|_| {
                        let rows: Vec<_> = (0..size)
                            .map(|row| Row::new(row, 189.9 + model.sample(&mut random)))
                            .collect();
                        interval(&rows, p).unwrap().contains(truth)
                    })
                    .count();
                // 179 of 200 is the 0.1 % point of a binomial of 0.95.
                assert!(covered >= 179, "p {p}, n {size}: {covered}");
            }
        }
    }

    // The median of rows that share most of their deviation with their cluster is covered.
    #[test]
    fn clustered_medians_are_covered() {
        let mut random = Pcg64::seed_from_u64(3);
        let mut draw = || random.random::<f64>() - 0.5;
        let covered = (0..300)
            .filter(|_| {
                let mut rows = Vec::new();
                for cluster in 0..30 {
                    let shared = 10.0 * draw();
                    rows.extend((0..10).map(|_| Row::new(cluster, shared + draw())));
                }
                interval(&rows, 0.5).unwrap().contains(0.0)
            })
            .count();
        // 271 of 300 is the 0.1 % point of a binomial of 0.95.
        assert!(covered >= 271, "{covered}");
    }
}
