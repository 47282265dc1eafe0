//! Expected throughputs of instances that share the disk or the network of their host.

use super::{Expected, SEED};
use crate::latency::varied;
use model::MemoryMib;
use rand::SeedableRng;
use rand_pcg::Pcg64;

/// Draws of what there is.
const DRAWS: usize = 200_000;

impl Expected<'_> {
    /// What each of `colevel` instances that write at once on one host gets in the mean, MiB/s.
    pub fn disk_write_mib_s(&self, colevel: u32) -> f64 {
        let disk = &self.platform.model.disk;
        let ceiling = self.platform.disk_ceiling_mib_s();
        self.each(disk.write_mib_s, disk.variation_sd, (ceiling, colevel))
    }

    /// What each of `colevel` instances of one size that send at once on one host gets in the mean, Mbit/s.
    pub fn network_mbit_s(&self, memory: MemoryMib, colevel: u32) -> f64 {
        let network = &self.platform.model.network;
        let ceiling = self.platform.network_ceiling_mbit_s(memory);
        self.each(network.mbit_s, network.variation_sd, (ceiling, colevel))
    }

    /// Mean of what there is divided by so many, none getting more than the ceiling.
    fn each(&self, there_is: f64, variation_sd: f64, (ceiling, colevel): (f64, u32)) -> f64 {
        let each = there_is / f64::from(colevel.max(1));
        if ceiling.is_infinite() || variation_sd == 0.0 {
            return each.min(ceiling);
        }
        let mut random = Pcg64::seed_from_u64(SEED);
        let draws = (0..DRAWS).map(|_| (each * varied(&mut random, variation_sd)).min(ceiling));
        draws.sum::<f64>() / DRAWS as f64
    }
}
