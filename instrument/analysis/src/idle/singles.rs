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

/// Shares of instances that other causes end, which are tried beside a constant risk.
const OTHERS: [f64; 4] = [0.0, 0.005, 0.01, 0.02];

/// Most that other causes may end before the limit, and outlive it.
const EARLY_MAX: f64 = 0.05;
const LATE_MAX: f64 = 0.005;

/// The shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    Memoryless,
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
    } else if best - memoryless(&trials) < MEMORYLESS_MAX * more {
        Survival::Memoryless
    } else {
        Survival::Gradual
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
    let total_alive = trials.iter().filter(|(_, alive)| *alive).count();
    let (mut alive_below, mut best) = (0, f64::NEG_INFINITY);
    for below in 0..=trials.len() {
        if below > 0 {
            alive_below += usize::from(trials[below - 1].1);
        }
        let (lost_below, above) = (below - alive_below, trials.len() - below);
        let alive_above = total_alive - alive_below;
        let early = (lost_below as f64 / below.max(1) as f64).min(EARLY_MAX);
        let late = (alive_above as f64 / above.max(1) as f64).min(LATE_MAX);
        let likelihood = term(alive_below, 1.0 - early)
            + term(lost_below, early)
            + term(alive_above, late)
            + term(above - alive_above, 1.0 - late);
        best = best.max(likelihood);
    }
    best
}

/// The largest log-likelihood of a constant risk, over rates from one in a thousand longest delays to a thousand in the
/// shortest, and over shares that other causes end.
fn memoryless(trials: &[(f64, bool)]) -> f64 {
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
            trials.iter().map(one).sum::<f64>()
        })
        .fold(f64::NEG_INFINITY, f64::max)
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
            known += u32::from(found == Survival::Memoryless);
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
            known += u32::from(found == Survival::Memoryless);
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
