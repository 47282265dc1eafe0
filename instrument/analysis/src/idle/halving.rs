//! The halving rule, fitted to pools.
//!
//! The rule: every `interval` of the `n` instances of a function that are idle on a host max(ceil(n / 2), floor) stay, by a
//! clock of the host or by one that starts as the pool falls idle. What is observed: `launched` instances of a pool on a
//! host, and `alive` of them after an idle time; each may also have gone for another cause. Clocks of hosts are out of
//! step, so an idle time of d has seen floor(d / interval) ticks, or one more with the probability of the fraction that is
//! left; a pool's own clock has seen floor(d / interval). That gives the likelihood of interval, floor and kind of clock,
//! of which the most likely are taken; pools on their floor only say that enough ticks have passed. Where a host's clock
//! stands is not known, but it is the same for all pools on that host, so all phases are tried for those of them together
//! that follow each other within a few ticks: over more a small error of the interval would turn the phase ([`PASSES`]). Whole
//! hosts are resampled for the interval.

use super::OTHER_CAUSES;
use crate::statistics::{Interval, NoInterval, bootstrap};
use std::collections::BTreeMap;

/// Probability that an observation has another cause.
const ERROR: f64 = 0.02;

/// Floors that are tried.
const FLOORS: std::ops::RangeInclusive<u32> = 1..=6;

/// Ticks of one observation at most: 2^12 instances are on any floor by then.
const TICKS_MAX: usize = 12;

/// Intervals tried before hosts' clocks are followed are this factor apart.
const COARSE: f64 = 1.03;

/// How much less likely, in logarithms, than the best an interval may be to share the top.
const TOP: f64 = 1e-9;

/// How much less likely one in the 95 % interval may be: half of chi-square's 3.84 (Wilks, *Annals of Mathematical Statistics*
/// 9, 1938).
const LIKELY: f64 = 1.92;

/// Least probability of an observation that the rule allows: two of ten instances gone for other causes.
const ALLOWED_MIN: f64 = 0.005;

/// Share of telling observations that the rule must allow.
const ALLOWED: f64 = 0.9;

/// Instances of a pool on a host above which their number tells of halving: fewer may be on the floor.
const TELLING_SIZE: u32 = 3;

/// Telling observations that shrank, at least.
const TELLING_MIN: usize = 8;

/// How much more likely, in logarithms, halving must be than instances that go independently.
const ADVANTAGE: f64 = 5.0;

/// Part of a pool on one host.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Observation {
    /// Number of the host's clock; a pool's own where nothing names the host.
    pub(super) clock: usize,
    /// When it fell idle, s.
    pub(super) from_s: f64,
    /// When it was probed, s, by the same clock.
    pub(super) to_s: f64,
    pub(super) launched: u32,
    pub(super) alive: u32,
    pub(super) look: Look,
}

/// How it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Look {
    /// Once, after a delay.
    Probe {
        /// As planned, ms.
        delay_ms: u64,
    },
    /// Among many looks, each soon after the one before.
    Watch,
}

impl Look {
    fn is_watch(self) -> bool {
        self == Self::Watch
    }
}

/// The rule's interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fit {
    pub(super) interval_s: f64,
    pub(super) ci: Result<Interval, NoInterval>,
    pub(super) observations: usize,
    /// Hosts, or pools where nothing names the host.
    pub(super) clocks: usize,
}

/// The most likely rule, where halving explains the observations; None where it does not.
pub(super) fn fit(observations: &[Observation]) -> Option<Fit> {
    let shortest = observations.iter().map(Observation::idle_s).reduce(f64::min)?;
    let longest = observations.iter().map(Observation::idle_s).reduce(f64::max)?;
    // Below, even the shortest idle time is past the last halving of thousands; above, hardly any tick is seen.
    let coarse = grid(shortest / 8.0, longest * 4.0, COARSE);
    let (mut seen, mut interval_s, mut best) = (Vec::new(), 0.0, f64::NEG_INFINITY);
    let rules = FLOORS.flat_map(|floor| [(floor, Clock::Host), (floor, Clock::Pool)]);
    for (floor, clock) in rules {
        let tried: Vec<Seen> = observations.iter().map(|one| Seen::of(one, floor, clock)).collect();
        let likelihood = |at: f64| -> f64 { tried.iter().map(|one| one.likelihood(at)).sum() };
        let mut better = false;
        for at in &coarse {
            let found = likelihood(*at);
            if found > best {
                (interval_s, best, better) = (*at, found, true);
            }
        }
        if better {
            seen = tried;
        }
    }
    if !explains(observations, &seen, interval_s, best) {
        return None;
    }
    let mut clocks: BTreeMap<usize, Vec<&Seen>> = BTreeMap::new();
    for (one, seen) in observations.iter().zip(&seen) {
        clocks.entry(one.clock).or_default().push(seen);
    }
    let clocks: Vec<Vec<&Seen>> = clocks.into_values().collect();
    let mut found = PASSES[0].find(&clocks, interval_s)?;
    for pass in &PASSES[1..] {
        if !pass.holds(&found) {
            break;
        }
        found = pass.find(&clocks, found.interval_s)?;
    }
    Some(Fit {
        interval_s: found.interval_s,
        ci: found.ci,
        observations: observations.len(),
        clocks: clocks.len(),
    })
}

/// One search for the interval, with the hosts' clocks followed.
struct Pass {
    /// It is searched up to this factor to either side.
    within: f64,
    /// Intervals tried are this factor apart.
    step: f64,
    /// Phases of a host's clock that are tried, evenly over one interval.
    phases: u32,
    /// Intervals over which a host's phase is taken to hold: half a step then turns it by a phase at most.
    steady_ticks: f64,
}

/// From coarse to fine.
const PASSES: [Pass; 2] = [
    Pass { within: 1.5, step: 1.0025, phases: 50, steady_ticks: 10.0 },
    Pass { within: 1.03, step: 1.0005, phases: 100, steady_ticks: 40.0 },
];

/// What a pass found.
struct Found {
    interval_s: f64,
    ci: Result<Interval, NoInterval>,
}

impl Pass {
    /// Whether all that an earlier pass leaves is within this one's reach.
    fn holds(&self, found: &Found) -> bool {
        let Ok(Interval { low: Some(low), high: Some(high), .. }) = found.ci else { return false };
        let reach = self.within.sqrt();
        found.interval_s / low < reach && high / found.interval_s < reach
    }

    fn find(&self, clocks: &[Vec<&Seen>], about_s: f64) -> Option<Found> {
        let tried = grid(about_s / self.within, about_s * self.within, self.step);
        let likelihoods: Vec<Vec<f64>> = clocks
            .iter()
            .map(|of_clock| {
                let steady = steady(of_clock.clone(), about_s * self.steady_ticks);
                let one = |seen: &Vec<&Seen>, at: f64| clock_likelihood(seen, at, self.phases);
                let all = |at: &f64| steady.iter().map(|seen| one(seen, *at)).sum();
                tried.iter().map(all).collect()
            })
            .collect();
        let all: Vec<&Vec<f64>> = likelihoods.iter().collect();
        let (low, high) = top(&tried, &all, TOP)?;
        let (likely_low, likely_high) = top(&tried, &all, LIKELY)?;
        let middle = |clocks: &[&Vec<f64>]| {
            top(&tried, clocks, TOP).map(|(low, high)| f64::midpoint(low, high))
        };
        // What is about as likely is in the interval, also where no resampling would tell.
        let ci = bootstrap::interval(&likelihoods, middle).map(|ci| Interval {
            low: ci.low.map(|end| end.min(likely_low / self.step)),
            high: ci.high.map(|end| end.max(likely_high * self.step)),
            ..ci
        });
        Some(Found { interval_s: f64::midpoint(low, high), ci })
    }
}

/// The smallest and the largest interval of which the clocks' log-likelihoods have the largest sum, or one that is hardly less:
/// these are several where a likelihood of steps has a flat top.
fn top(intervals_s: &[f64], clocks: &[&Vec<f64>], less: f64) -> Option<(f64, f64)> {
    let mut sums = vec![0.0; intervals_s.len()];
    for clock in clocks {
        for (sum, one) in sums.iter_mut().zip(*clock) {
            *sum += one;
        }
    }
    let best = sums.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let first = sums.iter().position(|sum| *sum >= best - less)?;
    let last = sums.iter().rposition(|sum| *sum >= best - less)?;
    Some((intervals_s[first], intervals_s[last]))
}

/// What was seen on one host, in parts that take no longer than `span_s` each.
fn steady(mut seen: Vec<&Seen>, span_s: f64) -> Vec<Vec<&Seen>> {
    seen.sort_by(|a, b| a.from_s.total_cmp(&b.from_s));
    let mut parts: Vec<Vec<&Seen>> = Vec::new();
    for one in seen {
        match parts.last_mut().filter(|part| one.to_s - part[0].from_s <= span_s) {
            Some(part) => part.push(one),
            None => parts.push(vec![one]),
        }
    }
    parts
}

/// Logarithm of the probability of what was seen on one host, whose clock may stand anywhere.
fn clock_likelihood(seen: &[&Seen], interval_s: f64, phases: u32) -> f64 {
    if seen.len() == 1 || seen.iter().all(|one| one.kind == Clock::Pool) {
        return seen.iter().map(|one| one.likelihood(interval_s)).sum();
    }
    let of_phase = |phase: u32| -> f64 {
        let phase = (f64::from(phase) + 0.5) / f64::from(phases);
        let tick = |at_s: f64| (at_s / interval_s - phase).floor();
        let ticks = |one: &&Seen| (tick(one.to_s) - tick(one.from_s)) as usize;
        seen.iter().map(|one| one.logs[ticks(one).min(TICKS_MAX)]).sum()
    };
    let logs: Vec<f64> = (0..phases).map(of_phase).collect();
    // Sums of many looks are beyond what exponents hold.
    let best = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mean = logs.iter().map(|log| (log - best).exp()).sum::<f64>() / f64::from(phases);
    best + mean.ln()
}

impl Observation {
    fn idle_s(&self) -> f64 {
        self.to_s - self.from_s
    }
}

/// When ticks come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clock {
    /// Whenever the host's clock says, which nobody knows.
    Host,
    /// By a clock that starts as the pool falls idle.
    Pool,
}

/// An observation under one floor and kind of clock.
struct Seen {
    kind: Clock,
    from_s: f64,
    to_s: f64,
    /// Probability of what was seen by another cause.
    other: f64,
    /// By number of ticks: probability of what was seen, where each instance that they leave may have gone for another
    /// cause.
    alike: [f64; TICKS_MAX + 1],
    /// The logarithm of the same, with other causes of what was seen.
    logs: [f64; TICKS_MAX + 1],
}

impl Seen {
    fn of(one: &Observation, floor: u32, kind: Clock) -> Self {
        let alike = |ticks| {
            let left = left(one.launched, ticks, floor);
            let Some(lost) = left.checked_sub(one.alive) else { return 0.0 };
            let power = |share: f64, count: u32| share.powf(f64::from(count));
            choose(left, lost).exp()
                * power(OTHER_CAUSES, lost)
                * power(1.0 - OTHER_CAUSES, one.alive)
        };
        let other = ERROR / f64::from(one.launched + 1);
        let alike: [f64; TICKS_MAX + 1] = std::array::from_fn(alike);
        let logs = alike.map(|probability| with_error(probability, other).ln());
        Self { kind, from_s: one.from_s, to_s: one.to_s, other, alike, logs }
    }

    fn after(&self, ticks: usize) -> f64 {
        self.alike[ticks.min(TICKS_MAX)]
    }

    /// Logarithm of the probability of what was seen, wherever the clock stands.
    fn likelihood(&self, interval_s: f64) -> f64 {
        with_error(self.probability(interval_s), self.other).ln()
    }

    /// Probability of what was seen under the rule alone.
    fn probability(&self, interval_s: f64) -> f64 {
        let ticks = (self.to_s - self.from_s) / interval_s;
        let (whole, part) = (ticks.floor() as usize, ticks.fract());
        if self.kind == Clock::Pool {
            return self.after(whole);
        }
        (1.0 - part) * self.after(whole) + part * self.after(whole + 1)
    }
}

/// Probability of what was seen, where it may have had another cause.
fn with_error(probability: f64, other: f64) -> f64 {
    (1.0 - ERROR) * probability + other
}

/// Instances left of `launched` after so many ticks.
fn left(launched: u32, ticks: usize, floor: u32) -> u32 {
    (0..ticks).fold(launched, |idle, _| idle.div_ceil(2).max(floor).min(idle))
}

/// Whether the rule allows nearly all that it speaks of, and does so better than independent losses at each delay.
fn explains(observations: &[Observation], seen: &[Seen], interval_s: f64, likelihood: f64) -> bool {
    let telling = || observations.iter().zip(seen).filter(|(one, _)| one.launched > TELLING_SIZE);
    let shrunk = telling().filter(|(one, _)| one.alive < one.launched).count();
    // Apart, since most of what is watched stays whole from look to look, whatever the rule.
    let is_allowed = |watch: bool| {
        let of = || telling().filter(|(one, _)| one.look.is_watch() == watch);
        let allowed = of().filter(|(_, seen)| seen.probability(interval_s) > ALLOWED_MIN).count();
        allowed as f64 >= ALLOWED * of().count() as f64
    };
    shrunk >= TELLING_MIN
        && is_allowed(false)
        && is_allowed(true)
        && likelihood - independent(observations) > ADVANTAGE
}

/// Log-likelihood where each instance goes for itself, with the same probability at the same delay.
fn independent(observations: &[Observation]) -> f64 {
    let mut delays: BTreeMap<Look, (u32, u32)> = BTreeMap::new();
    for one in observations {
        let (alive, all) = delays.entry(one.look).or_default();
        *alive += one.alive;
        *all += one.launched;
    }
    let likelihood = |one: &Observation| {
        let (alive, all) = delays[&one.look];
        let share = f64::from(alive) / f64::from(all.max(1));
        let power = |count: u32, share: f64| {
            if count == 0 { 0.0 } else { f64::from(count) * share.ln() }
        };
        choose(one.launched, one.alive)
            + power(one.alive, share)
            + power(one.launched - one.alive, 1.0 - share)
    };
    observations.iter().map(likelihood).sum()
}

/// Logarithm of the binomial coefficient.
fn choose(of: u32, taken: u32) -> f64 {
    use statrs::function::gamma::ln_gamma;
    let factorial = |count: u32| ln_gamma(f64::from(count) + 1.0);
    factorial(of) - factorial(taken) - factorial(of - taken)
}

/// Values from `from` to `to`, each `factor` times the one before.
fn grid(from: f64, to: f64, factor: f64) -> Vec<f64> {
    let steps = ((to / from).ln() / factor.ln()).ceil().max(0.0) as i32;
    (0..=steps).map(|step| from * factor.powi(step)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    /// A study's pools: five each at five delays up to 0.9 of the limit and, later, at five around the first loss; twelve
    /// instances fit on a host, pools are packed one after another, and each host has a clock of its own.
    fn pools(
        random: &mut Pcg64,
        limit_s: f64,
        mut alive: impl FnMut(&mut Pcg64, (f64, f64), f64, u32) -> u32,
    ) -> Vec<Observation> {
        let mut observations = Vec::new();
        let (mut clock, mut free, mut phase) = (0, 12, random.random::<f64>());
        let spread = [0.9, 0.7, 0.5, 0.3, 0.1].map(|part| part * limit_s);
        let early = [0.25, 0.21, 0.18, 0.15, 0.12].map(|part| part * limit_s);
        let mut from_s = 0.0;
        for idle_s in spread.into_iter().chain(early) {
            for _ in 0..5 {
                from_s += limit_s / 40.0;
                let mut wanted = 20;
                while wanted > 0 {
                    if free == 0 {
                        (clock, free, phase) = (clock + 1, 12, random.random::<f64>());
                    }
                    let launched = wanted.min(free);
                    (wanted, free) = (wanted - launched, free - launched);
                    let delay_ms = (idle_s * 1e3) as u64;
                    let to_s = from_s + idle_s;
                    let alive = alive(random, (from_s, to_s), phase, launched);
                    observations.push(Observation {
                        clock,
                        from_s,
                        to_s,
                        look: Look::Probe { delay_ms },
                        launched,
                        alive,
                    });
                }
            }
        }
        observations
    }

    fn halved(interval_s: f64, floor: u32, (from_s, to_s): (f64, f64), phase: f64, of: u32) -> u32 {
        let tick = |at_s: f64| (at_s / interval_s + phase).floor();
        left(of, (tick(to_s) - tick(from_s)) as usize, floor)
    }

    // The interval is found within 10 %, and its interval holds the truth, for several rules.
    #[test]
    fn interval_is_found() {
        let (mut close, mut covered) = (0, 0);
        for (interval_s, floor, limit_s) in [(3.0, 2, 9.0), (300.0, 2, 1620.0), (5.0, 3, 20.0)] {
            for seed in 0..12 {
                let mut random = Pcg64::seed_from_u64(seed);
                let seen = pools(&mut random, limit_s, |_, window, phase, launched| {
                    halved(interval_s, floor, window, phase, launched)
                });
                let fit = fit(&seen).expect("halving is told");
                close += u32::from((fit.interval_s / interval_s - 1.0).abs() <= 0.1);
                covered += u32::from(fit.ci.unwrap().contains(interval_s));
            }
        }
        // 31 of 36 is the 1 % point of a binomial of 0.95.
        assert!(close >= 31, "{close} of 36");
        assert!(covered >= 31, "{covered} of 36");
    }

    /// A study's pools, and five more of 20 that are watched on hosts of their own: 48 looks, each held for a while.
    fn watched(random: &mut Pcg64, interval_s: f64, floor: u32, each_s: f64) -> Vec<Observation> {
        let mut observations = pools(random, interval_s * 5.4, |_, window, phase, launched| {
            halved(interval_s, floor, window, phase, launched)
        });
        for clock in 1_000..1_005 {
            let phase = random.random::<f64>();
            for look in 0..48 {
                let from_s = 1e5 + f64::from(look) * each_s;
                let window = (from_s, from_s + 0.8 * each_s);
                // Now and then one goes for another cause.
                let other = u32::from(random.random_bool(0.01));
                let alive = halved(interval_s, floor, window, phase, 20) - other;
                let (launched, look) = (20, Look::Watch);
                let (from_s, to_s) = window;
                observations.push(Observation { clock, from_s, to_s, launched, alive, look });
            }
        }
        observations
    }

    // Where pools were watched as well the interval is known to 2 %, whatever the guess of it was by which they were looked
    // at, and its own interval is as narrow.
    #[test]
    fn watched_pools_tell_more() {
        let (mut tried, mut covered) = (0, 0);
        for per_interval in [2.6, 5.0, 9.0] {
            for seed in 0..4 {
                let mut random = Pcg64::seed_from_u64(seed);
                let interval_s = random.random_range(60.0..900.0);
                let seen = watched(&mut random, interval_s, 2, interval_s / per_interval);
                let fit = fit(&seen).expect("halving is told");
                let error = (fit.interval_s / interval_s - 1.0).abs();
                assert!(error <= 0.03, "{} for {interval_s}, seed {seed}", fit.interval_s);
                let ci = fit.ci.unwrap();
                let width = ci.high.zip(ci.low).map(|(high, low)| (high - low) / interval_s);
                assert!(width.is_some_and(|width| width <= 0.12), "{ci:?} for {interval_s}");
                covered += u32::from(ci.contains(interval_s));
                tried += 1;
            }
        }
        // 10 of 12 is the 1 % point of a binomial of 0.95.
        assert!(tried == 12 && covered >= 10, "{covered} of {tried}");
    }

    // Instances that toss for themselves go as often, but not together; that most looks at watched pools find all of them
    // does not hide it.
    #[test]
    fn watched_pools_that_stay_are_not_halving() {
        for seed in 0..6 {
            let mut random = Pcg64::seed_from_u64(seed);
            let mut seen = pools(&mut random, 9.0, |random, (from_s, to_s), _, launched| {
                let survives = 0.5_f64.powf(((to_s - from_s) / 3.0).floor());
                (0..launched).filter(|_| random.random_bool(survives)).count() as u32
            });
            for look in 0..500 {
                let from_s = 1e5 + f64::from(look);
                let (clock, to_s, look) = (1_000, from_s + 0.6, Look::Watch);
                let (launched, alive) = (20, 20);
                seen.push(Observation { clock, from_s, to_s, launched, alive, look });
            }
            assert_eq!(fit(&seen), None, "seed {seed}");
        }
    }

    // A clock that starts as the pool falls idle bounds the interval between two delays, though one instance of fifty
    // also goes for another cause.
    #[test]
    fn clocks_of_pools_are_told() {
        for seed in 0..6 {
            let mut random = Pcg64::seed_from_u64(seed);
            let mut observations = Vec::new();
            for clock in 0..24 * 5 {
                let idle_s = f64::from(clock / 5 + 1) * 60.0;
                let left = left(20, (idle_s / 370.0) as usize, 2);
                let alive = (0..left).filter(|_| random.random_bool(0.98)).count() as u32;
                let clock = clock as usize;
                let (from_s, to_s, delay_ms) = (0.0, idle_s, (idle_s * 1e3) as u64);
                observations.push(Observation {
                    clock,
                    from_s,
                    to_s,
                    look: Look::Probe { delay_ms },
                    launched: 20,
                    alive,
                });
            }
            let fit = fit(&observations).expect("halving is told");
            // 370 s is three ticks in (1080, 1140].
            assert!((360.0..=380.0).contains(&fit.interval_s), "{}", fit.interval_s);
        }
    }

    // Instances that also end for other causes do not hide the rule.
    #[test]
    fn other_causes_are_borne() {
        let mut found = 0;
        for seed in 0..10 {
            let mut random = Pcg64::seed_from_u64(seed);
            let seen = pools(&mut random, 9.0, |random, window, phase, launched| {
                let alive = halved(3.0, 2, window, phase, launched);
                if random.random_bool(0.03) { alive.saturating_sub(1) } else { alive }
            });
            found +=
                u32::from(fit(&seen).is_some_and(|fit| (fit.interval_s / 3.0 - 1.0).abs() < 0.1));
        }
        assert!(found >= 8, "{found} of 10");
    }

    // Independent losses, also such that leave half on average, are not halving.
    #[test]
    fn independent_losses_are_not_halving() {
        for seed in 0..20 {
            let mut random = Pcg64::seed_from_u64(seed);
            let seen = pools(&mut random, 9.0, |random, (from_s, to_s), _, launched| {
                let survives = 0.5_f64.powf((to_s - from_s) / 3.0);
                (0..launched).filter(|_| random.random_bool(survives)).count() as u32
            });
            assert_eq!(fit(&seen), None, "seed {seed}");
        }
    }

    // Whole pools, empty pools and no pools at all have no interval.
    #[test]
    fn nothing_halved_has_no_interval() {
        let mut random = Pcg64::seed_from_u64(1);
        assert_eq!(fit(&pools(&mut random, 9.0, |_, _, _, launched| launched)), None);
        assert_eq!(fit(&pools(&mut random, 9.0, |_, _, _, _| 0)), None);
        assert_eq!(fit(&[]), None);
    }

    // The platform's own example: 21, 11, 6, 3, 2.
    #[test]
    fn halves_round_up_to_the_floor() {
        let sizes: Vec<u32> = (0..6).map(|ticks| left(21, ticks, 2)).collect();
        assert_eq!(sizes, [21, 11, 6, 3, 2, 2]);
        assert_eq!(left(1, 5, 2), 1);
    }
}
