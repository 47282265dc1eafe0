//! What an infinitely long measurement would find: from a million draws of the profile's model, or in closed form.
//!
//! The oracle for findings, and so independent of the instrument: it knows the model, and nothing of how it is measured.

mod isolation;
mod sharing;
mod starts;

pub use isolation::{Meeting, Party, Shared, shared};

use crate::profile::Platform;
use model::{MemoryMib, Span};
use rand::{Rng, RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;
use scheduler::policy::{KeepAlive, Lifetime};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Draws of one distribution.
const DRAWS: usize = 1_000_000;
/// Seed of the draws: the same for every study, since they are no part of one.
const SEED: u64 = 2018;

/// Expected values of one platform; what was drawn is kept.
pub struct Expected<'a> {
    platform: &'a Platform,
    sorted: RefCell<BTreeMap<String, Vec<f64>>>,
}

impl<'a> Expected<'a> {
    /// The expectations for this platform.
    pub fn of(platform: &'a Platform) -> Self {
        Self { platform, sorted: RefCell::default() }
    }

    /// Quantile `p` of cold starts, from the sending to the handler's first statement, ms: on a host that is there with a
    /// chance of `old_hosts`, else on a new one.
    pub fn cold_ms(&self, runtime: &str, memory: MemoryMib, p: f64) -> f64 {
        let (path, model) = (&self.platform.model.path, &self.platform.model);
        let start = self.platform.cold(runtime, memory).less(path.out.median_ms());
        self.quantile(format!("cold {runtime} {memory}"), p, |random| {
            path.out.draw_ms(random) + start.draw_ms(random).max(model.starts.serial_ms.min(0.0))
        })
    }

    /// Mean of the same, ms.
    pub fn cold_mean_ms(&self, runtime: &str, memory: MemoryMib) -> f64 {
        self.cold_ms(runtime, memory, 0.5);
        self.mean(&format!("cold {runtime} {memory}"))
    }

    /// Quantile `p` of warm starts, ms.
    pub fn warm_ms(&self, p: f64) -> f64 {
        let (path, warm) = (&self.platform.model.path, &self.platform.model.warm);
        self.quantile("warm".to_owned(), p, |random| {
            path.out.draw_ms(random) + warm.latency.draw_ms(random)
        })
    }

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
        Some(self.quantile(name, p, |random| {
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
        }))
    }

    /// Share of instances that run the version before an update, and of these the newly started ones, both of all, where
    /// they are first asked for so long after its acknowledgement.
    ///
    /// An update takes a time up to the window, any of them as likely, in which each request goes to an idle instance of the
    /// version before with one chance, and else starts one of it with another.
    pub fn outdated(&self, wait: Span) -> (f64, f64) {
        let Some(updates) = self.platform.scheduler.updates else { return (0.0, 0.0) };
        let window_s = updates.window.as_secs_f64();
        let out = &self.platform.model.path.out;
        let mut random = Pcg64::seed_from_u64(SEED);
        let draws = DRAWS / 10;
        let under_way: f64 = (0..draws)
            .map(|_| wait.as_secs_f64() + out.draw_ms(&mut random) / 1e3)
            .map(|arrives_s| (1.0 - arrives_s / window_s).max(0.0))
            .sum();
        let under_way = under_way / draws as f64;
        let new = (1.0 - updates.reuse_chance) * updates.start_chance;
        (under_way * (updates.reuse_chance + new), under_way * new)
    }

    fn mean(&self, name: &str) -> f64 {
        let sorted = self.sorted.borrow();
        sorted.get(name).map_or(f64::NAN, |drawn| drawn.iter().sum::<f64>() / drawn.len() as f64)
    }

    fn quantile(&self, name: String, p: f64, mut draw: impl FnMut(&mut Pcg64) -> f64) -> f64 {
        let mut all = self.sorted.borrow_mut();
        let sorted = all.entry(name).or_insert_with(|| {
            let mut random = Pcg64::seed_from_u64(SEED);
            let mut drawn: Vec<f64> = (0..DRAWS).map(|_| draw(&mut random)).collect();
            drawn.sort_unstable_by(f64::total_cmp);
            drawn
        });
        sorted[((sorted.len() as f64 * p) as usize).min(sorted.len() - 1)]
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
    use crate::profile::built_in;
    use scheduler::policy::{Memoryless, Updates};

    fn aws() -> Platform {
        built_in("aws-2018").expect("it is there").expect("valid")
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

    // Atomic updates leave nothing behind; half of a window later half of the updates are under way; after it none is.
    #[test]
    fn updates_are_under_way_for_their_window() {
        let mut platform = aws();
        let outdated =
            |platform: &Platform, secs| Expected::of(platform).outdated(Span::from_secs(secs));
        assert_eq!(outdated(&platform, 0), (0.0, 0.0));
        platform.scheduler.updates =
            Some(Updates { window: Span::from_secs(6), reuse_chance: 0.5, start_chance: 0.2 });
        let (all, new) = outdated(&platform, 3);
        assert!((all - 0.3).abs() < 0.001 && (new - 0.05).abs() < 0.001, "{all} {new}");
        assert_eq!(outdated(&platform, 6), (0.0, 0.0));
    }
}
