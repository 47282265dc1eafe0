//! What an infinitely long measurement would find: from a million draws of the profile's model, or in closed form.
//!
//! The oracle for findings, and so independent of the instrument: it knows the model, and nothing of how it is measured.

mod isolation;

pub use isolation::{Meeting, Party, Shared, shared};

use crate::latency::varied;
use crate::profile::Platform;
use model::MemoryMib;
use rand::SeedableRng;
use rand_pcg::Pcg64;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Draws of one distribution.
const DRAWS: usize = 1_000_000;
/// Draws of starts at once, whose mean is known to 0.3 % by them where they vary as much as their mean.
const STARTS: usize = 100_000;
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

    /// Quantile `p` of what a cold round trip takes beyond the function's own duration, ms.
    pub fn cold_overhead_ms(&self, runtime: &str, memory: MemoryMib, p: f64) -> f64 {
        let path = &self.platform.model.path;
        let start = self.platform.cold(runtime, memory).less(path.out.median_ms());
        self.quantile(format!("cold overhead {runtime} {memory}"), p, |random| {
            path.out.draw_ms(random) + start.draw_ms(random) + path.back.draw_ms(random)
        })
    }

    /// Mean of the same, ms.
    pub fn cold_overhead_mean_ms(&self, runtime: &str, memory: MemoryMib) -> f64 {
        self.cold_overhead_ms(runtime, memory, 0.5);
        self.mean(&format!("cold overhead {runtime} {memory}"))
    }

    /// Quantile `p` of what a warm round trip takes beyond the function's own duration, ms.
    pub fn warm_overhead_ms(&self, p: f64) -> f64 {
        let (path, warm) = (&self.platform.model.path, &self.platform.model.warm);
        self.quantile("warm overhead".to_owned(), p, |random| {
            path.out.draw_ms(random) + warm.latency.draw_ms(random) + path.back.draw_ms(random)
        })
    }

    /// Mean of the same, ms.
    pub fn warm_overhead_mean_ms(&self) -> f64 {
        self.warm_overhead_ms(0.5);
        self.mean("warm overhead")
    }

    /// Mean of warm starts, ms.
    pub fn warm_mean_ms(&self) -> f64 {
        self.warm_ms(0.5);
        self.mean("warm")
    }

    /// How much so much more of a package adds to a median cold start, ms.
    pub fn package_extra_ms(&self, ballast_mib: u32) -> f64 {
        self.platform.model.starts.package_ms_per_mib * f64::from(ballast_mib)
    }

    /// How much later the median first start of some code is than the median later one, ms.
    pub fn first_code_extra_ms(&self, runtime: &str, memory: MemoryMib) -> f64 {
        let (path, starts) = (&self.platform.model.path, &self.platform.model.starts);
        let start = self.platform.cold(runtime, memory).less(path.out.median_ms());
        let known = self.quantile(format!("known {runtime} {memory}"), 0.5, |random| {
            let out = path.out.draw_ms(random);
            out + (start.draw_ms(random) - starts.known_code_saves_ms).max(0.0)
        });
        self.cold_ms(runtime, memory, 0.5) - known
    }

    /// How much later the median cold start on a host is that has to be made ready first, ms.
    pub fn new_host_extra_ms(&self, runtime: &str, memory: MemoryMib) -> f64 {
        let (path, hosts) = (&self.platform.model.path, &self.platform.model.hosts);
        let start = self.platform.cold(runtime, memory).less(path.out.median_ms());
        let new = self.quantile(format!("new host {runtime} {memory}"), 0.5, |random| {
            path.out.draw_ms(random) + hosts.ready.draw_ms(random) + start.draw_ms(random)
        });
        new - self.cold_ms(runtime, memory, 0.5)
    }

    /// Mean cold start of `colevel` requests that are sent at once and start on one host that is there, ms: their turns on
    /// its starter overlap, the rest of each is its own.
    pub fn at_once_ms(&self, runtime: &str, memory: MemoryMib, colevel: u32) -> f64 {
        let (path, starts) = (&self.platform.model.path, &self.platform.model.starts);
        let start = self.platform.cold(runtime, memory).less(path.out.median_ms());
        let mut random = Pcg64::seed_from_u64(SEED);
        let bursts = STARTS.div_ceil(colevel.max(1) as usize);
        let mut sum = 0.0;
        for _ in 0..bursts {
            let mut turns = Vec::with_capacity(colevel as usize);
            for _ in 0..colevel.max(1) {
                let (arrival, whole) = (path.out.draw_ms(&mut random), start.draw_ms(&mut random));
                let turn = starts.serial_ms.min(whole).max(0.0);
                turns.push((arrival, turn));
                sum += (whole - turn).max(0.0);
            }
            sum += in_slices(turns).iter().sum::<f64>();
        }
        sum / (bursts * colevel.max(1) as usize) as f64
    }

    fn mean(&self, name: &str) -> f64 {
        let sorted = self.sorted.borrow();
        sorted.get(name).map_or(f64::NAN, |drawn| drawn.iter().sum::<f64>() / drawn.len() as f64)
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

/// When each of some works is done that share one worker in equal slices, from when each arrives and what it takes alone.
fn in_slices(mut works: Vec<(f64, f64)>) -> Vec<f64> {
    works.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut left: Vec<f64> = works.iter().map(|(_, takes)| *takes).collect();
    let mut done: Vec<Option<f64>> = vec![None; works.len()];
    let mut now = 0.0;
    while done.contains(&None) {
        let open = |index: &usize| done[*index].is_none() && works[*index].0 <= now;
        let present: Vec<usize> = (0..works.len()).filter(open).collect();
        let next = works.iter().map(|(arrival, _)| *arrival).filter(|arrival| *arrival > now);
        let next = next.fold(f64::INFINITY, f64::min);
        let Some(least) = present.iter().map(|index| left[*index]).min_by(f64::total_cmp) else {
            now = next;
            continue;
        };
        let end = (now + least * present.len() as f64).min(next);
        let each = (end - now) / present.len() as f64;
        for index in present {
            left[index] -= each;
            // What rounding leaves of a work is none.
            if left[index] <= 1e-9 {
                done[index] = Some(end);
            }
        }
        now = end;
    }
    done.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Equal works that come together end together; one that comes alone takes its own time; a late one slows the first.
    #[test]
    fn slices_are_shared() {
        assert_eq!(in_slices(vec![(1.0, 2.0); 3]), [7.0; 3]);
        assert_eq!(in_slices(vec![(5.0, 2.0), (0.0, 1.0)]), [1.0, 7.0]);
        assert_eq!(in_slices(vec![(0.0, 1.0), (0.5, 1.0)]), [1.5, 2.0]);
        assert_eq!(in_slices(vec![(0.0, 0.0), (0.0, 3.0)]), [0.0, 3.0]);
    }
}
