//! Disk: how much does an instance write per second, alone and beside others?
//!
//! The paper (section 6.2) has `dd` write blocks of 512 KB, each synchronised, 1,000 in all, and finds on AWS that a host's
//! sum is about the same however many share it. Here the probe writes blocks of the same size past the page cache where
//! that is possible, synchronises and reads them back; instances beside each other begin at one moment, and the
//! colevel is as it really was, from host ids, not as intended.

use super::sharing::Load;
use crate::bench::Bench;
use crate::experiment::{About, Experiment, Need, Planned};
use crate::scope::Scope;
use crate::vantage::Vantage;
use probe::Request;
use record::Record;

/// Bytes of a block: the paper's.
const BLOCK_BYTES: u64 = 512 << 10;

/// CPUs that writers want at most where the platform shares a machine: one host of one vCPU.
const DEMAND_CPUS: f64 = 1.0;

/// The disk experiment. A step is a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disk;

impl Experiment for Disk {
    type Step = u32;

    fn about(&self) -> About {
        About {
            name: "disk",
            question: "How fast is the disk of an instance, alone and beside others?",
            method: "Blocks of 512 KiB written to /tmp past the page cache and synchronised; alone at each \
                memory size, then by several instances of one host that begin at one moment.",
            paper_design: "dd of 512 KB blocks, synchronised, alone and on up to 20 instances of one VM at \
                the same time.",
            needs: &[Need::EmptyHosts, Need::QuietPlatform],
            leaves: "",
            adapts: false,
        }
    }

    fn plan(&self, scope: &Scope) -> Vec<Planned<u32>> {
        load(scope).plan(scope)
    }

    async fn run<V: Vantage>(&self, bench: &Bench<'_, V>, round: &u32) -> Vec<Record> {
        load(bench.scope).run(bench, *round).await
    }
}

/// One round of the probe's, so that its window is known from its rate.
fn load(scope: &Scope) -> Load<'_> {
    let disk = probe::Disk { block_bytes: BLOCK_BYTES, blocks: scope.disk.blocks, rounds: 1 };
    Load {
        scope: &scope.disk.sharing,
        request: Request { identity: true, disk: Some(disk), ..Request::default() },
        alone: scope.disk.takes,
        beside: scope.disk.takes,
        demand_cpus: DEMAND_CPUS,
    }
}
