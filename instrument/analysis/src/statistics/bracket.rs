//! Brackets: ends between which a search has caught a threshold.
//!
//! Deliberately makes no statement beyond the trials: a bracket holds the threshold for certain if there is one.

use super::{Interval, Method};

/// A bracket with its two ends, either of which may be open.
pub const fn interval(low: Option<f64>, high: Option<f64>) -> Interval {
    Interval { low, high, method: Method::Bracket }
}

/// The level at which trials begin to fail: above the highest level below which none failed, at most the lowest failure.
///
/// `trials`: level and whether it held, in any order. The lower end is open where the lowest level failed already,
/// the upper one where none failed.
pub fn first_failure(trials: &[(f64, bool)]) -> Interval {
    let failed = lowest(trials, false);
    let held = trials
        .iter()
        .filter(|(level, held)| *held && failed.is_none_or(|failed| *level < failed))
        .map(|(level, _)| *level)
        .max_by(f64::total_cmp);
    interval(held, failed)
}

/// The level up to which trials can hold: at least the highest that held, below the lowest failure above it.
pub fn last_success(trials: &[(f64, bool)]) -> Interval {
    let held =
        trials.iter().filter(|(_, held)| *held).map(|(level, _)| *level).max_by(f64::total_cmp);
    let failed = trials
        .iter()
        .filter(|(level, ok)| !ok && held.is_none_or(|held| *level > held))
        .map(|(level, _)| *level)
        .min_by(f64::total_cmp);
    interval(held, failed)
}

fn lowest(trials: &[(f64, bool)], wanted: bool) -> Option<f64> {
    trials
        .iter()
        .filter(|(_, held)| *held == wanted)
        .map(|(level, _)| *level)
        .min_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    // Whatever the threshold, the levels and their order: it lies within, and a search by halves ends as narrow as it was told.
    #[test]
    fn thresholds_are_always_covered() {
        let mut random = Pcg64::seed_from_u64(11);
        for _ in 0..2_000 {
            let threshold = random.random_range(1.0..7_200.0_f64);
            let mut trials: Vec<(f64, bool)> = (0..random.random_range(0..30))
                .map(|_| random.random_range(0.0..8_000.0))
                .map(|level| (level, level <= threshold))
                .collect();
            for found in [first_failure(&trials), last_success(&trials)] {
                assert!(found.contains(threshold), "{threshold} of {trials:?}");
            }
            let (mut low, mut high) = (0.0, 8_000.0);
            while high - low > 0.02 * low {
                let middle = f64::midpoint(low, high);
                trials.push((middle, middle <= threshold));
                if middle <= threshold { low = middle } else { high = middle }
            }
            for found in [first_failure(&trials), last_success(&trials)] {
                assert!(found.contains(threshold), "{threshold} of {trials:?}");
                let width = found.high.zip(found.low).map(|(high, low)| high - low);
                assert!(width.is_some_and(|width| width <= 0.02 * threshold), "{found:?}");
            }
        }
    }

    // A clean threshold is caught between its neighbours, by both questions alike.
    #[test]
    fn a_clean_threshold_is_caught() {
        let trials = [(10.0, true), (30.0, false), (20.0, true), (25.0, false)];
        for found in [first_failure(&trials), last_success(&trials)] {
            assert_eq!((found.low, found.high), (Some(20.0), Some(25.0)));
        }
    }

    // Where survivors lie above the first loss, the two questions have different answers.
    #[test]
    fn a_blurred_threshold_differs_by_question() {
        let trials = [(10.0, true), (20.0, false), (25.0, true), (30.0, false)];
        let first = first_failure(&trials);
        assert_eq!((first.low, first.high), (Some(10.0), Some(20.0)));
        let last = last_success(&trials);
        assert_eq!((last.low, last.high), (Some(25.0), Some(30.0)));
    }

    // What was not reached is open.
    #[test]
    fn unreached_ends_are_open() {
        let held = first_failure(&[(1.0, true), (2.0, true)]);
        assert_eq!((held.low, held.high), (Some(2.0), None));
        let failed = last_success(&[(1.0, false)]);
        assert_eq!((failed.low, failed.high), (None, Some(1.0)));
        assert_eq!(first_failure(&[]), interval(None, None));
    }
}
