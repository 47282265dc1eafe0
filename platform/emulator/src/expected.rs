//! What an infinitely long measurement would find: from a million draws of the profile's model, or in closed form.
//!
//! The oracle for findings, and so independent of the instrument: it knows the model, and nothing of how it is measured.

mod isolation;

pub use isolation::{Meeting, Party, Shared, shared};

use crate::profile::Platform;
use model::MemoryMib;
use rand::SeedableRng;
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
