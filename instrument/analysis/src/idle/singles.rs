//! How the survival of single instances falls with idle time.
//!
//! Each shape's likelihood is compared with that of the best curve that only falls (isotonic regression, Barlow et al.,
//! *Statistical Inference under Order Restrictions*, 1972), which no shape can exceed. Deliberately knows no platform.

/// Trials below which no shape is told.
const TRIALS_MIN: usize = 10;

/// How far below the best falling curve the log-likelihood of one limit may be.
///
/// By the simulations below: one limit is at most 5.7 below it, a constant risk at least 77, two limits at least 51.
const SHARP_MAX: f64 = 8.0;

/// How far below it that of a constant risk may be: it is so 95 times of 100 by at most 9.3, two limits by at least 12.5.
///
/// That is of [`TRIALS_USUAL`] trials. The best falling curve follows more trials at more delays more closely.
const MEMORYLESS_MAX: f64 = 11.0;
const TRIALS_USUAL: f64 = 160.0;

/// How much more likely than a constant risk two limits may be, since chance gives them two steps and a share to follow it with.
///
/// By simulations of a whole search, its refinement and confirmation, they are so by at most 8.1 in 99 of 100 constant risks, and
/// by 9.6 at least in 99 of 100 pairs of limits, which a constant risk may else resemble where few delays lie before the first.
const TWO_MAX: f64 = 8.0;

/// Shares of instances that other causes end, which are tried beside a constant risk.
const OTHERS: [f64; 4] = [0.0, 0.005, 0.01, 0.02];

/// Most that other causes may end before the limit, and outlive it.
const EARLY_MAX: f64 = 0.05;
const LATE_MAX: f64 = 0.005;

/// The shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Survival {
    /// Too few trials.
    TooFew,
    /// None outlived any delay.
    AllGone,
    /// None was lost, or no more than other causes end.
    AllThere,
    /// One limit for all.
    Sharp,
    /// The same risk at any time.
    Memoryless {
        /// Losses in a second, of what is there.
        rate: f64,
    },
    /// Anything else.
    Gradual,
}

/// The shape of `trials`: idle time in seconds, and whether the instance was still there.
pub(super) fn survival(trials: &[(f64, bool)]) -> Survival {
    let mut trials = trials.to_vec();
    trials.sort_by(|a, b| a.0.total_cmp(&b.0));
    let alive = trials.iter().filter(|(_, alive)| *alive).count();
    let lost = trials.len() - alive;
    if trials.len() < TRIALS_MIN {
        return Survival::TooFew;
    }
    if alive == 0 {
        return Survival::AllGone;
    }
    if lost as f64 <= EARLY_MAX * trials.len() as f64 && trials[trials.len() - 1].1 {
        return Survival::AllThere;
    }
    let best = falling(&trials);
    let more = (trials.len() as f64 / TRIALS_USUAL).max(1.0).sqrt();
    if best - sharp(&trials) < SHARP_MAX {
        Survival::Sharp
    } else {
        let (memoryless, rate) = memoryless(&trials);
        // About as likely as the best curve, and two limits are hardly more likely.
        let is_likely =
            best - memoryless < MEMORYLESS_MAX * more && two_limits(&trials) - memoryless < TWO_MAX;
        if is_likely { Survival::Memoryless { rate } } else { Survival::Gradual }
    }
}

/// `count` * ln(`share`), 0 where nothing is counted.
fn term(count: usize, share: f64) -> f64 {
    if count == 0 { 0.0 } else { count as f64 * share.ln() }
}

/// The largest log-likelihood of any curve that only falls: adjacent blocks are pooled while they rise.
fn falling(trials: &[(f64, bool)]) -> f64 {
    let mut blocks: Vec<(usize, usize)> = Vec::new();
    for (_, alive) in trials {
        let mut block = (usize::from(*alive), 1);
        // A share that is not below the one before it: a / n >= b / m.
        while let Some((before, all)) =
            blocks.pop_if(|(before, all)| block.0 * *all >= *before * block.1)
        {
            block = (block.0 + before, block.1 + all);
        }
        blocks.push(block);
    }
    blocks
        .iter()
        .map(|(alive, all)| {
            let share = *alive as f64 / *all as f64;
            term(*alive, share) + term(all - alive, 1.0 - share)
        })
        .sum()
}

/// The largest log-likelihood of one limit, with few losses before it and fewer survivors after.
fn sharp(trials: &[(f64, bool)]) -> f64 {
    let alive = alive_before(trials);
    let at = |limit: usize| kept(&alive, limit) + gone(&alive, limit);
    (0..=trials.len()).map(at).fold(f64::NEG_INFINITY, f64::max)
}

/// That of two limits, between which any share is there.
fn two_limits(trials: &[(f64, bool)]) -> f64 {
    let alive = alive_before(trials);
    let between = |first: usize, last: usize| {
        let (alive, all) = (alive[last] - alive[first], last - first);
        let share = alive as f64 / all.max(1) as f64;
        term(alive, share) + term(all - alive, 1.0 - share)
    };
    let of_first = |first: usize| {
        let rest = |last: usize| between(first, last) + gone(&alive, last);
        kept(&alive, first) + (first..=trials.len()).map(rest).fold(f64::NEG_INFINITY, f64::max)
    };
    (0..=trials.len()).map(of_first).fold(f64::NEG_INFINITY, f64::max)
}

/// By number of the first trials: how many of them were alive.
fn alive_before(trials: &[(f64, bool)]) -> Vec<usize> {
    let mut sums = vec![0];
    let mut sum = 0;
    sums.extend(trials.iter().map(|(_, alive)| {
        sum += usize::from(*alive);
        sum
    }));
    sums
}

/// Log-likelihood of the first trials, where only other causes end instances.
fn kept(alive: &[usize], first: usize) -> f64 {
    let lost = first - alive[first];
    let early = (lost as f64 / first.max(1) as f64).min(EARLY_MAX);
    term(alive[first], 1.0 - early) + term(lost, early)
}

/// Log-likelihood of all trials after these, where hardly any outlives the limit.
fn gone(alive: &[usize], first: usize) -> f64 {
    let all = alive.len() - 1 - first;
    let alive = alive[alive.len() - 1] - alive[first];
    let late = (alive as f64 / all.max(1) as f64).min(LATE_MAX);
    term(alive, late) + term(all - alive, 1.0 - late)
}

/// The largest log-likelihood of a constant risk, and that risk, over rates from one in a thousand longest delays to a thousand in the
/// shortest, and over shares that other causes end.
fn memoryless(trials: &[(f64, bool)]) -> (f64, f64) {
    let least = trials[0].0.max(1e-6);
    let most = trials[trials.len() - 1].0.max(least);
    let (from, to) = ((1e-3 / most).ln(), (1e3 / least).ln());
    let rates = (0..=400).map(|step| (from + (to - from) * f64::from(step) / 400.0).exp());
    rates
        .flat_map(|rate| OTHERS.map(|others| (rate, others)))
        .map(|(rate, others)| {
            let stays = |idle: f64| (1.0 - others) * (-rate * idle).exp();
            let one = |(idle, alive): &(f64, bool)| {
                let chance = if *alive { stays(*idle) } else { 1.0 - stays(*idle) };
                chance.max(1e-300).ln()
            };
            (trials.iter().map(one).sum::<f64>(), rate)
        })
        .fold((f64::NEG_INFINITY, 0.0), |best, one| if one.0 > best.0 { one } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    /// Five pairs at each of 16 delays from 1 to 20, and 16 more around the limit.
    fn trials(limit: f64, mut alive: impl FnMut(f64) -> bool) -> Vec<(f64, bool)> {
        let grid = (0..16).map(|step| 20_f64.powf(f64::from(step) / 15.0));
        let around = (0..16).map(|step| limit * (0.85 + 0.02 * f64::from(step)));
        grid.chain(around).flat_map(|delay| [delay; 5]).map(|delay| (delay, alive(delay))).collect()
    }

    // One limit is sharp, also where 2 % of instances end for other causes.
    #[test]
    fn one_limit_is_sharp() {
        for seed in 0..100 {
            let mut random = Pcg64::seed_from_u64(seed);
            let limit = random.random_range(2.0..15.0);
            let found =
                survival(&trials(limit, |delay| delay < limit && !random.random_bool(0.02)));
            assert_eq!(found, Survival::Sharp, "limit {limit}, seed {seed}");
        }
    }

    // A constant risk is never sharp, and is mostly known as such.
    #[test]
    fn constant_risk_is_memoryless() {
        let mut known = 0;
        for seed in 0..100 {
            let mut random = Pcg64::seed_from_u64(seed);
            let mean = random.random_range(2.0..15.0);
            let found =
                survival(&trials(mean, |delay| random.random::<f64>() < (-delay / mean).exp()));
            assert_ne!(found, Survival::Sharp, "mean {mean}, seed {seed}");
            known += u32::from(matches!(found, Survival::Memoryless { .. }));
        }
        assert!(known >= 90, "{known}");
    }

    // Two limits, or limits over a range, are neither.
    #[test]
    fn other_shapes_are_gradual() {
        for seed in 0..100 {
            let mut random = Pcg64::seed_from_u64(seed);
            let two = trials(9.0, |delay| delay < if random.random_bool(0.5) { 6.0 } else { 14.0 });
            assert_eq!(survival(&two), Survival::Gradual, "seed {seed}");
        }
    }

    // Two limits that hardly any delay is below, so that a constant risk explains nearly all.
    #[test]
    fn two_early_limits_are_gradual() {
        let mut gradual = 0;
        for seed in 0..100 {
            let mut random = Pcg64::seed_from_u64(seed);
            let (first, last) = (3.0, random.random_range(5.0..9.0));
            let found = survival(&trials(last, |delay| {
                delay < if random.random_bool(0.5) { first } else { last }
            }));
            assert_ne!(found, Survival::Sharp, "seed {seed}");
            gradual += u32::from(found == Survival::Gradual);
        }
        assert!(gradual >= 98, "{gradual}");
    }

    // With twice as many trials at twice as many delays both are still told.
    #[test]
    fn more_trials_are_judged_alike() {
        let twice = |limit: f64, alive: &mut dyn FnMut(f64) -> bool| {
            let mut both = trials(limit, &mut *alive);
            both.extend(trials(limit * 1.01, alive));
            survival(&both)
        };
        let mut known = 0;
        for seed in 0..100 {
            let mut random = Pcg64::seed_from_u64(seed);
            let mean = random.random_range(2.0..15.0);
            let found = twice(mean, &mut |delay| random.random::<f64>() < (-delay / mean).exp());
            known += u32::from(matches!(found, Survival::Memoryless { .. }));
            let two =
                twice(9.0, &mut |delay| delay < if random.random_bool(0.5) { 6.0 } else { 14.0 });
            assert_eq!(two, Survival::Gradual, "seed {seed}");
        }
        assert!(known >= 95, "{known}");
    }

    // What was never lost, never there or hardly asked is said to be so.
    #[test]
    fn ends_are_told() {
        assert_eq!(survival(&trials(9.0, |_| true)), Survival::AllThere);
        assert_eq!(survival(&trials(9.0, |_| false)), Survival::AllGone);
        assert_eq!(survival(&[(1.0, true), (2.0, false)]), Survival::TooFew);
        assert_eq!(survival(&[]), Survival::TooFew);
    }
}
