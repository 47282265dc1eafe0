//! Survival of durations that may be right-censored, by the product-limit estimate.
//!
//! Kaplan and Meier (*Journal of the American Statistical Association* 53, 1958), with Greenwood's variance on the
//! log-log scale (Kalbfleisch and Prentice, *The Statistical Analysis of Failure Time Data*, 1980), which keeps ends
//! within 0 and 1. Deliberately knows nothing of why a duration was cut off, except that it is independent of its length.

use super::{ALPHA, Interval, Method};

/// The normal distribution's two-sided 95 % point.
const POINT: f64 = 1.959_963_985;

/// Shares that differ by less are the same.
const ROUNDING: f64 = 1e-12;

/// One duration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Duration {
    /// Its length, in any unit.
    pub length: f64,
    /// Whether it ended then, or was still going on when last seen.
    pub end: End,
}

/// How a duration's observation stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It ended.
    Seen,
    /// It went on: the length is a lower bound.
    Censored,
}

/// The share that survives from one length on, until the next step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Length at which at least one duration ended.
    pub length: f64,
    /// Share that is longer.
    pub survival: f64,
    /// Lower end of the share's 95 % interval.
    pub low: f64,
    /// Upper end of it.
    pub high: f64,
}

/// The survival curve: one step per length at which durations ended, ascending.
pub fn curve(durations: &[Duration]) -> Vec<Step> {
    let mut sorted = durations.to_vec();
    sorted.sort_by(|a, b| a.length.total_cmp(&b.length));
    let (mut survival, mut greenwood) = (1.0_f64, 0.0);
    let mut steps = Vec::new();
    let mut at = 0;
    while at < sorted.len() {
        let length = sorted[at].length;
        let same = sorted[at..].iter().take_while(|duration| duration.length == length).count();
        let ended = sorted[at..at + same].iter().filter(|one| one.end == End::Seen).count() as f64;
        let at_risk = (sorted.len() - at) as f64;
        at += same;
        if ended == 0.0 {
            continue;
        }
        survival *= 1.0 - ended / at_risk;
        greenwood += ended / (at_risk * (at_risk - ended));
        let (low, high) = ends(survival, greenwood);
        steps.push(Step { length, survival, low, high });
    }
    steps
}

/// The length that the share `p` does not exceed: the first at which at most `1 - p` survive. None where more outlive the
/// watch.
pub fn quantile(steps: &[Step], p: f64) -> Option<f64> {
    steps.iter().find(|step| step.survival <= 1.0 - p + ROUNDING).map(|step| step.length)
}

/// The quantile's interval: all lengths at which `1 - p` lies within the curve's interval (Brookmeyer and Crowley,
/// *Biometrics* 38, 1982).
///
/// The curve says nothing before its first step and after its last: an end there is open where so few durations ended that
/// all of them may well lie on one side of the quantile, as for order statistics.
pub fn quantile_interval(durations: &[Duration], p: f64) -> Interval {
    let steps = curve(durations);
    let first = |below: fn(&Step) -> f64| {
        steps.iter().find(|step| below(step) <= 1.0 - p + ROUNDING).map(|step| step.length)
    };
    let ended = durations.iter().filter(|duration| duration.end == End::Seen).count() as i32;
    let all_on_one_side = |share: f64| share.powi(ended) > ALPHA / 2.0;
    let begins = steps.first().map(|step| step.length);
    let ends = steps.last().filter(|step| step.survival <= 0.0).map(|step| step.length);
    let low = first(|step| step.low).filter(|it| Some(*it) != begins || !all_on_one_side(1.0 - p));
    let high = first(|step| step.high).filter(|it| Some(*it) != ends || !all_on_one_side(p));
    Interval { low, high, method: Method::KaplanMeier }
}

/// The median length: the first at which at most half survive. None where more than half outlive the watch.
pub fn median(steps: &[Step]) -> Option<f64> {
    quantile(steps, 0.5)
}

/// The share's interval on the log-log scale; 0 to 1 where nothing survives, so that no variance can be told.
fn ends(survival: f64, greenwood: f64) -> (f64, f64) {
    if survival <= 0.0 || survival >= 1.0 {
        return (0.0, survival.max(0.0));
    }
    let spread = (POINT * greenwood.sqrt() / survival.ln().abs()).exp();
    (survival.powf(spread), survival.powf(1.0 / spread))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    fn durations(lengths: &[(f64, End)]) -> Vec<Duration> {
        lengths.iter().map(|(length, end)| Duration { length: *length, end: *end }).collect()
    }

    // Remission times of Freireich et al. (1963), 6-MP arm, the textbooks' example: S(6) = 0.857, S(10) = 0.753,
    // S(23) = 0.448, median 23.
    #[test]
    fn curve_is_the_textbooks() {
        let lengths: Vec<_> = [
            (6, 1),
            (6, 1),
            (6, 1),
            (6, 0),
            (7, 1),
            (9, 0),
            (10, 1),
            (10, 0),
            (11, 0),
            (13, 1),
            (16, 1),
            (17, 0),
            (19, 0),
            (20, 0),
            (22, 1),
            (23, 1),
            (25, 0),
            (32, 0),
            (32, 0),
            (34, 0),
            (35, 0),
        ]
        .into_iter()
        .map(|(length, seen)| {
            (f64::from(length), if seen == 1 { End::Seen } else { End::Censored })
        })
        .collect();
        let steps = curve(&durations(&lengths));
        let at = |length: f64| steps.iter().find(|step| step.length == length).unwrap();
        assert!((at(6.0).survival - 0.857).abs() < 1e-3);
        assert!((at(10.0).survival - 0.753).abs() < 1e-3);
        assert!((at(23.0).survival - 0.448).abs() < 1e-3);
        // Log-log limits at 6, as the usual programs print them: 0.620 and 0.952.
        assert!((at(6.0).low - 0.620).abs() < 1e-3, "{:?}", at(6.0));
        assert!((at(6.0).high - 0.952).abs() < 1e-3, "{:?}", at(6.0));
        assert_eq!(median(&steps), Some(23.0));
        assert_eq!(quantile_interval(&durations(&lengths), 0.5).high, None);
    }

    // The median of exponential durations, a third of them cut off, is covered.
    #[test]
    fn censored_medians_are_covered() {
        let mut random = Pcg64::seed_from_u64(8);
        let covered = (0..300)
            .filter(|_| {
                let lengths: Vec<_> = (0..80)
                    .map(|_| {
                        let length = -(1.0 - random.random::<f64>()).ln();
                        let cut = -2.0 * (1.0 - random.random::<f64>()).ln();
                        if length <= cut { (length, End::Seen) } else { (cut, End::Censored) }
                    })
                    .collect();
                quantile_interval(&durations(&lengths), 0.5).contains(2.0_f64.ln())
            })
            .count();
        // 271 of 300 is the 0.1 % point of a binomial of 0.95.
        assert!(covered >= 271, "{covered}");
    }

    // Six durations that are alike settle the median and none of the tails; five settle nothing.
    #[test]
    fn few_durations_leave_ends_open() {
        let ends = |count, p| {
            let found = quantile_interval(&durations(&vec![(7.0, End::Seen); count]), p);
            (found.low, found.high)
        };
        assert_eq!(ends(6, 0.5), (Some(7.0), Some(7.0)));
        assert_eq!(ends(5, 0.5), (None, None));
        assert_eq!(ends(20, 0.05), (None, Some(7.0)));
        assert_eq!(ends(20, 0.95), (Some(7.0), None));
    }

    // Where more than half outlive the watch there is no median.
    #[test]
    fn long_durations_have_no_median() {
        let steps =
            curve(&durations(&[(1.0, End::Seen), (5.0, End::Censored), (5.0, End::Censored)]));
        assert_eq!(median(&steps), None);
        assert!(curve(&[]).is_empty());
    }
}
