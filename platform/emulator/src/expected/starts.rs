//! What makes a cold start dearer: a larger package, code never seen, a new host, neighbours that start too.

use super::{Expected, SEED, quantile};
use model::MemoryMib;
use rand::SeedableRng;
use rand_pcg::Pcg64;

/// Draws of one latency.
const DRAWS: usize = 1_000_000;
/// Draws of starts at once, whose mean is known to 0.3 % by them where they vary as much as their mean.
const AT_ONCE: usize = 100_000;

impl Expected<'_> {
    /// How much so much more of a package adds to a median cold start, ms.
    pub fn package_extra_ms(&self, ballast_mib: u32) -> f64 {
        self.platform.model.starts.package_ms_per_mib * f64::from(ballast_mib)
    }

    /// How much later the median first start of some code is than the median later one, ms.
    pub fn first_code_extra_ms(&self, runtime: &str, memory: MemoryMib) -> f64 {
        let (path, starts) = (&self.platform.model.path, &self.platform.model.starts);
        let start = self.platform.cold(runtime, memory).less(path.out.median_ms());
        let known = |random: &mut Pcg64| {
            let out = path.out.draw_ms(random);
            out + (start.draw_ms(random) - starts.known_code_saves_ms).max(0.0)
        };
        let name = format!("known code {runtime} {memory}");
        self.median_ms(runtime, memory) - self.drawn_once(name, DRAWS, known, middle)
    }

    /// How much later the median cold start on a host is that has to be made ready first, ms.
    pub fn new_host_extra_ms(&self, runtime: &str, memory: MemoryMib) -> f64 {
        let (path, hosts) = (&self.platform.model.path, &self.platform.model.hosts);
        let start = self.platform.cold(runtime, memory).less(path.out.median_ms());
        let new = |random: &mut Pcg64| {
            path.out.draw_ms(random) + hosts.ready.draw_ms(random) + start.draw_ms(random)
        };
        let name = format!("new host {runtime} {memory}");
        self.drawn_once(name, DRAWS, new, middle) - self.median_ms(runtime, memory)
    }

    /// Median cold start on a host that is there, ms, of those that are answered.
    fn median_ms(&self, runtime: &str, memory: MemoryMib) -> f64 {
        let path = &self.platform.model.path;
        let start = self.platform.cold(runtime, memory).less(path.out.median_ms());
        let there = |random: &mut Pcg64| path.out.draw_ms(random) + start.draw_ms(random);
        self.drawn_once(format!("host there {runtime} {memory}"), DRAWS, there, middle)
    }

    /// Mean cold start of `colevel` requests that are sent at once and start on one host that is there, ms: their turns on
    /// its starter overlap, the rest of each is its own.
    pub fn at_once_ms(&self, runtime: &str, memory: MemoryMib, colevel: u32) -> f64 {
        let (path, starts) = (&self.platform.model.path, &self.platform.model.starts);
        let start = self.platform.cold(runtime, memory).less(path.out.median_ms());
        let mut random = Pcg64::seed_from_u64(SEED);
        let bursts = AT_ONCE.div_ceil(colevel.max(1) as usize);
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

fn middle(ascending: &[f64]) -> f64 {
    quantile(ascending, 0.5)
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
