//! How much is done of what makes cold starts dearer: packages, code that was never seen, neighbours, new hosts.

use super::{Basis, BurstSpan};
use model::Span;

/// Scope of the extras of the cold start experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct StartsScope {
    /// Rounds: a fresh function without ballast and of each size, started, updated in its environment, started again.
    pub package_rounds: u32,
    /// Incompressible bytes beside the probe, MiB.
    pub ballast_mib: Vec<u32>,
    /// How many start at once on one host.
    pub colevels: Vec<u32>,
    /// Starts for each of these, at least.
    pub starts: u32,
    /// Bursts for each of these, at least.
    pub bursts: u32,
    /// How long instances of a burst are held together.
    pub hold: BurstSpan,
    /// What a cold start of the first runtime is expected to take; for plans only.
    pub start: Span,
    /// Functions that are started one after another and kept, so that they fill host after host; 0 for none.
    pub chain: u32,
    /// Their memory size, MiB.
    pub chain_memory_mib: u32,
}

impl StartsScope {
    pub(super) fn local(basis: &Basis) -> Self {
        let scale = basis.scale;
        Self {
            package_rounds: scale.pick(2, 10, 50),
            ballast_mib: vec![scale.pick(2, 4, 20)],
            colevels: scale.pick(vec![6], vec![1, 6], vec![1, 3, 6, 12]),
            starts: scale.pick(6, 10, 300),
            bursts: scale.pick(2, 10, 50),
            hold: BurstSpan { base: Span::from_millis(100), per_request: Span::from_millis(8) },
            start: Span::from_millis(15),
            // Three fit a host of the study's profile.
            chain: basis.at_most(scale.pick(9, 36, 90)),
            chain_memory_mib: basis.size(512),
        }
    }

    pub(super) fn cloud(basis: &Basis, hold: BurstSpan) -> Self {
        let scale = basis.scale;
        Self {
            package_rounds: scale.pick(5, 30, 200),
            ballast_mib: scale.pick(vec![20], vec![20], vec![5, 20, 45]),
            colevels: scale.pick(vec![1, 5], vec![1, 5, 20], vec![1, 2, 5, 10, 15, 20]),
            starts: scale.pick(10, 100, 1_000),
            bursts: scale.pick(5, 15, 50),
            hold,
            start: Span::from_millis(500),
            chain: scale.pick(20, 150, 200),
            chain_memory_mib: basis.size(2_048),
        }
    }

    /// Bursts of so many that give the starts wanted.
    pub fn bursts_of(&self, colevel: u32) -> u32 {
        self.starts.div_ceil(colevel.max(1)).max(self.bursts)
    }
}
