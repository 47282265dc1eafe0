//! Expected figures of starts: what a round trip takes beyond the function, and what makes a cold start dearer.

use super::{Expected, SEED};
use model::MemoryMib;
use rand::SeedableRng;
use rand_pcg::Pcg64;

/// Draws of starts at once, whose mean is known to 0.3 % by them where they vary as much as their mean.
const DRAWS: usize = 100_000;

impl Expected<'_> {
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
        let bursts = DRAWS.div_ceil(colevel.max(1) as usize);
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
