//! How long instances live, as they are seen from outside.

use super::{Expected, quantile};
use model::Span;
use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;
use scheduler::policy::{KeepAlive, Lifetime};

/// Draws of lifetimes.
const DRAWS: usize = 1_000_000;

impl Expected<'_> {
    /// Quantile `p` of lifetimes as seen, s: of an instance that is asked for each `interval`, from its first answer to its last.
    ///
    /// It is asked again until it is given up for its age or for its idleness, or its runtime dies; the whole intervals before
    /// that are seen. None where nothing ends it, or where it depends on what else there is.
    pub fn lifetime_s(&self, interval: Span, p: f64) -> Option<f64> {
        let scheduler = &self.platform.scheduler;
        let crash = self.platform.model.faults.crash;
        let gap = Gap::of(&scheduler.keep_alive, interval)?;
        let cap_s = scheduler.lifetime_cap.map_or(f64::INFINITY, Span::as_secs_f64);
        let lifetime = scheduler.lifetime;
        if cap_s.is_infinite() && lifetime.is_none() && crash == 0.0 && gap == Gap::Survived {
            return None;
        }
        let interval_s = interval.as_secs_f64();
        let name = format!("lifetime {}", interval.as_nanos());
        let draw = |random: &mut Pcg64| {
            let age_s = lifetime.map_or(cap_s, |it| cap_s.min(age_s(it, random)));
            let by_age = (age_s / interval_s).ceil().max(1.0);
            let by_crash = answers_before(crash, random);
            let by_gap = match gap {
                Gap::Survived => f64::INFINITY,
                Gap::Fatal(chance) => answers_before(chance, random),
                Gap::FatalFor(share) if random.random::<f64>() < share => 1.0,
                Gap::FatalFor(_) => f64::INFINITY,
            };
            (by_age.min(by_crash).min(by_gap) - 1.0) * interval_s
        };
        Some(self.drawn_once(name, DRAWS, draw, |drawn| quantile(drawn, p)))
    }
}

/// What a time of idleness between two requests does to an instance.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Gap {
    /// Nothing.
    Survived,
    /// Each ends it with this chance.
    Fatal(f64),
    /// The first ends this share of instances, and none the others.
    FatalFor(f64),
}

impl Gap {
    /// None where it depends on more than the gap.
    fn of(keep_alive: &KeepAlive, gap: Span) -> Option<Self> {
        let sharp = |limit: Span| if limit <= gap { Self::FatalFor(1.0) } else { Self::Survived };
        match keep_alive {
            KeepAlive::None(_) => Some(Self::FatalFor(1.0)),
            KeepAlive::Fixed(it) => Some(sharp(it.limit)),
            KeepAlive::Halving(it) if it.floor > 0 => Some(sharp(it.limit)),
            KeepAlive::Memoryless(it) => {
                let chance = -(-gap.as_secs_f64() / it.mean.as_secs_f64()).exp_m1();
                Some(Self::Fatal(chance))
            }
            KeepAlive::Bimodal(it) if gap < it.short => Some(Self::Survived),
            KeepAlive::Bimodal(it) if gap < it.long => Some(Self::FatalFor(1.0 - it.long_share)),
            KeepAlive::Bimodal(_) => Some(Self::FatalFor(1.0)),
            KeepAlive::Sweep(it) if gap < it.limit => Some(Self::Survived),
            KeepAlive::Halving(_)
            | KeepAlive::Sweep(_)
            | KeepAlive::MemoryPressure(_)
            | KeepAlive::Histogram(_) => None,
        }
    }
}

/// The age at which an instance is given up, s.
fn age_s(lifetime: Lifetime, random: &mut impl Rng) -> f64 {
    match lifetime {
        Lifetime::Exponential { median } => {
            median.as_secs_f64() * -(1.0 - random.random::<f64>()).log2()
        }
        Lifetime::Lognormal { median, sigma } => {
            let normal: f64 = StandardNormal.sample(random);
            median.as_secs_f64() * (sigma * normal).exp()
        }
    }
}

/// How many invocations an instance answers before something that may happen between, or in, any two of them; at least
/// one: an instance that answers none is never seen.
fn answers_before(chance: f64, random: &mut impl Rng) -> f64 {
    if chance <= 0.0 {
        return f64::INFINITY;
    }
    1.0 + ((1.0 - random.random::<f64>()).ln() / (1.0 - chance).ln()).floor()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Platform;
    use crate::profile::built_in;
    use scheduler::policy::Memoryless;

    fn aws() -> Platform {
        let mut platform = built_in("aws-2018").expect("it is there").expect("valid");
        (platform.scheduler.updates, platform.scheduler.lifetime) = (None, None);
        platform
    }

    // Of a cap the whole intervals before it are seen; a crash in one of a hundred invocations, or a chance of a hundredth in
    // each gap, leaves half of the instances 69 answers; what is idle for too long between two requests is seen once.
    #[test]
    fn lifetimes_end_by_age_or_crash() {
        let mut platform = aws();
        platform.scheduler.lifetime_cap = Some(Span::from_secs(1_000));
        let seen = |platform: &Platform, secs| {
            Expected::of(platform).lifetime_s(Span::from_secs(secs), 0.5)
        };
        assert_eq!(seen(&platform, 30), Some(990.0));
        assert_eq!(seen(&platform, 7), Some(994.0));
        assert_eq!(seen(&platform, 3_000), Some(0.0));
        platform.model.faults.crash = 0.01;
        let answers = seen(&platform, 1).expect("an end") + 1.0;
        assert!((answers - 69.0).abs() <= 1.0, "{answers}");
        platform.scheduler.lifetime_cap = None;
        platform.model.faults.crash = 0.0;
        assert_eq!(seen(&platform, 30), None);
        let lifetime = Lifetime::Exponential { median: Span::from_secs(800) };
        platform.scheduler.lifetime = Some(lifetime);
        let half = seen(&platform, 1).expect("an end");
        assert!((half - 799.0).abs() <= 4.0, "{half}");
        platform.scheduler.lifetime = None;
        let mean = Span::from_millis(99_500);
        platform.scheduler.keep_alive = KeepAlive::Memoryless(Memoryless { mean });
        let answers = seen(&platform, 1).expect("an end") + 1.0;
        assert!((answers - 69.0).abs() <= 1.0, "{answers}");
    }
}
