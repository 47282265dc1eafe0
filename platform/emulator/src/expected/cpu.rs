//! CPU shares, alone and beside others.

use super::{Expected, deviation, quantile};
use crate::profile::HostType;
use model::MemoryMib;
use rand::{Rng, RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;

/// Draws of instances, or of hosts with instances.
const DRAWS: usize = 40_000;
/// Lowest part of an instance's ceiling that its own variation leaves, as the profile's key has it.
const FACTOR_MIN: f64 = 0.1;

impl Expected<'_> {
    /// CPUs' worth of time of an instance alone: median and standard deviation over instances.
    pub fn cpu_share(&self, memory: MemoryMib) -> (f64, f64) {
        self.drawn_once(
            format!("cpu {memory}"),
            DRAWS,
            |random| {
                let kind = self.kind(random);
                self.alone(memory, kind, random)
            },
            |drawn| (quantile(drawn, 0.5), deviation(drawn)),
        )
    }

    /// The paper's statistic: milliseconds in which a thread ran at all, of all; median over instances.
    ///
    /// One thread for each CPU of the host; a quota is spent at the beginning of its period.
    pub fn cpu_tick_share(&self, memory: MemoryMib) -> f64 {
        let period_ms = self.platform.model.cpu.period_ms;
        self.drawn_once(
            format!("tick {memory}"),
            DRAWS,
            |random| {
                let kind = self.kind(random);
                let of_thread = self.alone(memory, kind, random) / f64::from(kind.vcpus);
                // A nanosecond's worth less, so that a whole millisecond is not taken for more.
                ((of_thread * period_ms - 1e-6).ceil() / period_ms).clamp(0.0, 1.0)
            },
            |drawn| quantile(drawn, 0.5),
        )
    }

    /// Beside `colevel - 1` others of the same size that are all busy: mean share over instances and hosts, and Jain's
    /// index, mean over hosts.
    pub fn cpu_shared(&self, memory: MemoryMib, colevel: u32) -> (f64, f64) {
        let mut random = Pcg64::seed_from_u64(super::SEED);
        let (mut sum, mut fairness) = (0.0, 0.0);
        let mut shares = Vec::new();
        let hosts = DRAWS / colevel.max(1) as usize;
        for _ in 0..hosts {
            let kind = self.kind(&mut random);
            shares.clear();
            shares.extend((0..colevel).map(|_| self.alone(memory, kind, &mut random)));
            fill(&mut shares, f64::from(kind.vcpus));
            let total: f64 = shares.iter().sum();
            let squares: f64 = shares.iter().map(|share| share * share).sum();
            sum += total / f64::from(colevel);
            fairness += total * total / (f64::from(colevel) * squares);
        }
        (sum / hosts as f64, fairness / hosts as f64)
    }

    fn kind(&self, random: &mut impl Rng) -> &HostType {
        let kinds = &self.platform.model.host;
        let all: f64 = kinds.iter().map(|kind| kind.share).sum();
        let at = random.random::<f64>() * all;
        let mut below = 0.0;
        let holds = |kind: &&HostType| {
            below += kind.share;
            at < below
        };
        kinds.iter().find(holds).unwrap_or(&kinds[kinds.len() - 1])
    }

    fn alone(&self, memory: MemoryMib, kind: &HostType, random: &mut impl Rng) -> f64 {
        let normal: f64 = StandardNormal.sample(random);
        let factor = (1.0 + self.platform.model.cpu.ceiling_sd * normal).max(FACTOR_MIN);
        (self.platform.cpu_ceiling(memory, kind) * factor).min(f64::from(kind.vcpus))
    }
}

/// Cuts what is wanted to what there is: everybody gets the same at most, whoever wants less gets it all. The level is
/// found by halving.
fn fill(wanted: &mut [f64], capacity: f64) {
    if wanted.iter().sum::<f64>() <= capacity {
        return;
    }
    let (mut low, mut high) = (0.0, capacity);
    for _ in 0..60 {
        let level = f64::midpoint(low, high);
        let used: f64 = wanted.iter().map(|share| share.min(level)).sum();
        if used < capacity { low = level } else { high = level }
    }
    for share in wanted {
        *share = share.min(low);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Platform, built_in};

    fn aws(sd: f64) -> Platform {
        let mut platform = built_in("aws-2018").expect("built in").expect("valid");
        platform.model.cpu.ceiling_sd = sd;
        platform.model.host.truncate(1);
        platform
    }

    // Without variation, shares are the ceiling, or an equal part of the host's CPUs, and wholly fair.
    #[test]
    fn closed_forms_come_out() {
        let platform = aws(0.0);
        let expected = Expected::of(&platform);
        let (share, sd) = expected.cpu_share(MemoryMib(1536));
        assert!(share == 0.923 && sd < 1e-9, "{share} {sd}");
        assert_eq!(expected.cpu_tick_share(MemoryMib(128)), 0.04);
        let (share, _) = expected.cpu_shared(MemoryMib(1536), 2);
        assert!((share - 0.923).abs() < 1e-9, "{share}");
        let (share, fairness) = expected.cpu_shared(MemoryMib(1536), 4);
        assert!((share - 0.5).abs() < 1e-9 && (fairness - 1.0).abs() < 1e-9, "{share} {fairness}");
    }

    // With a spread of 10 %, unsaturated hosts have a Jain's index of 1 / 1.01, and full ones are fairer.
    #[test]
    fn variation_is_unfair() {
        let platform = aws(0.1);
        let expected = Expected::of(&platform);
        let (share, fairness) = expected.cpu_shared(MemoryMib(128), 6);
        assert!((share / 0.076 - 1.0).abs() < 0.003, "{share}");
        let finite = 1.0 - 0.01 * 5.0 / 6.0;
        assert!((fairness - finite).abs() < 0.001, "{fairness} {finite}");
        assert!(expected.cpu_shared(MemoryMib(1536), 6).1 > 0.999);
    }

    // What one leaves, the others get.
    #[test]
    fn vessels_fill() {
        let mut shares = [0.2, 9.0, 9.0];
        fill(&mut shares, 2.0);
        assert!(shares.iter().zip([0.2, 0.9, 0.9]).all(|(a, b)| (a - b).abs() < 1e-9));
    }
}
