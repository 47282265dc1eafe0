//! What an infinitely long measurement would find: from a million draws of the profile's model, or in closed form.
//!
//! The oracle for findings, and so independent of the instrument: it knows the model, and nothing of how it is measured.

use crate::latency::varied;
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

    /// What each of `colevel` instances that write at once on one host gets in the mean, MiB/s.
    pub fn disk_write_mib_s(&self, colevel: u32) -> f64 {
        let disk = &self.platform.model.disk;
        let ceiling = self.platform.disk_ceiling_mib_s();
        self.shared(disk.write_mib_s, disk.variation_sd, (ceiling, colevel))
    }

    /// What each of `colevel` instances of one size that send at once on one host gets in the mean, Mbit/s.
    pub fn network_mbit_s(&self, memory: MemoryMib, colevel: u32) -> f64 {
        let network = &self.platform.model.network;
        let ceiling = self.platform.network_ceiling_mbit_s(memory);
        self.shared(network.mbit_s, network.variation_sd, (ceiling, colevel))
    }

    /// Mean of what there is divided by so many, none getting more than the ceiling.
    fn shared(&self, there_is: f64, variation_sd: f64, (ceiling, colevel): (f64, u32)) -> f64 {
        let each = there_is / f64::from(colevel.max(1));
        if ceiling.is_infinite() || variation_sd == 0.0 {
            return each.min(ceiling);
        }
        let mut random = Pcg64::seed_from_u64(SEED);
        let draws = (0..DRAWS).map(|_| (each * varied(&mut random, variation_sd)).min(ceiling));
        draws.sum::<f64>() / DRAWS as f64
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
