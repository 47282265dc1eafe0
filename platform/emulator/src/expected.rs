//! What an infinitely long measurement would find: from a million draws of the profile's model, or in closed form.
//!
//! The oracle for findings, and so independent of the instrument: it knows the model, and nothing of how it is measured.

use crate::profile::Platform;
use model::{MemoryMib, Span};
use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64;
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
        let sorted = self.sorted.borrow();
        let drawn = &sorted[&format!("cold {runtime} {memory}")];
        drawn.iter().sum::<f64>() / drawn.len() as f64
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
    /// It is asked again until it is given up for its age, or its runtime dies; the whole intervals before that are seen. None
    /// where nothing ends it.
    pub fn lifetime_s(&self, interval: Span, p: f64) -> Option<f64> {
        let scheduler = &self.platform.scheduler;
        let crash = self.platform.model.faults.crash;
        if scheduler.keep_alive.limit() <= interval {
            return Some(0.0);
        }
        let cap_s = scheduler.lifetime_cap.map_or(f64::INFINITY, Span::as_secs_f64);
        if cap_s.is_infinite() && crash == 0.0 {
            return None;
        }
        let interval_s = interval.as_secs_f64();
        let name = format!("lifetime {}", interval.as_nanos());
        Some(self.quantile(name, p, |random| {
            let by_age = (cap_s / interval_s).ceil() - 1.0;
            by_age.min(answers_before_a_crash(crash, random) - 1.0) * interval_s
        }))
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

/// How many invocations an instance answers before one in which its runtime dies, at least one: an instance that answers none
/// is never seen.
fn answers_before_a_crash(crash: f64, random: &mut impl Rng) -> f64 {
    if crash <= 0.0 {
        return f64::INFINITY;
    }
    1.0 + ((1.0 - random.random::<f64>()).ln() / (1.0 - crash).ln()).floor()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::built_in;

    // Of a cap the whole intervals before it are seen; a crash in one of a hundred invocations leaves half of the instances
    // 69 answers; what is idle for too long between two requests is seen once.
    #[test]
    fn lifetimes_end_by_age_or_crash() {
        let mut platform = built_in("aws-2018").expect("it is there").expect("valid");
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
    }
}
