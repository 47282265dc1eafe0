//! Network: how much does an instance send per second, alone and beside others?
//!
//! The paper (section 6.2) runs `iperf3` for 1 s to a server at the vantage point, and finds on AWS 538 Mbit/s alone and
//! 28.7 Mbit/s for each of 20 instances of one VM. Here the probe sends to a sink that reads and discards, and counts what
//! the sink has read; instances beside each other begin at one moment, and the colevel is as it really was. Where
//! no sink can be reached one plain request says so, and the finding is null.
//!
//! Where platform and vantage point share a machine, what instances send is read on the same CPUs, so with few cores fewer
//! share a host.

use super::sharing::Load;
use crate::bench::{Bench, Shot, setting};
use crate::experiment::{About, Experiment, Need, Planned};
use crate::scope::Scope;
use crate::vantage::{Sent, Vantage};
use probe::Request;
use record::{Forced, Record};

/// CPUs that one instance wants at most where the platform shares a machine: a quarter in the study's profile at 128 MiB,
/// and the sink as much to read it.
const DEMAND_EACH_CPUS: f64 = 0.5;

/// CPUs that all of them want at most: one host of one vCPU, and the sink.
const DEMAND_MOST_CPUS: f64 = 2.0;

/// Why nothing is measured where there is no sink.
const NO_SINK: &str = "no sink at the vantage point that instances can reach: the platform gives them no \
    network, which its limitations then say, or the target offers none (--sink ADDRESS:PORT)";

/// The network experiment. A step is a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Network;

impl Experiment for Network {
    type Step = u32;

    fn about(&self) -> About {
        About {
            name: "network",
            question: "How fast is the network of an instance, alone and beside others?",
            method: "Bytes sent for a window to a sink at the vantage point, counted when the sink has read \
                them; alone at each memory size, then by several instances of one host that begin at one moment.",
            paper_design: "iperf3 for 1 s to a server in the same region, alone and on up to 20 instances of \
                one VM at the same time.",
            needs: &[Need::EmptyHosts, Need::QuietPlatform],
            leaves: "",
            adapts: false,
        }
    }

    fn plan(&self, scope: &Scope) -> Vec<Planned<u32>> {
        load(scope, String::new()).plan(scope)
    }

    async fn run<V: Vantage>(&self, bench: &Bench<'_, V>, round: &u32) -> Vec<Record> {
        match bench.vantage.sink() {
            Some(sink) => load(bench.scope, sink).run(bench, *round).await,
            None => unmeasured(bench, *round).await,
        }
    }
}

fn load(scope: &Scope, sink: String) -> Load<'_> {
    let window = scope.network.window;
    let network = probe::Network { sink, window_ms: window.as_millis_f64() };
    let most = scope.network.sharing.colevels.iter().copied().max().unwrap_or(1);
    Load {
        scope: &scope.network.sharing,
        request: Request { identity: true, network: Some(network), ..Request::default() },
        alone: window,
        beside: model::Span::ZERO,
        demand_cpus: (DEMAND_EACH_CPUS * f64::from(most)).min(DEMAND_MOST_CPUS),
    }
}

/// A request that measures nothing and says why.
async fn unmeasured<V: Vantage>(bench: &Bench<'_, V>, round: u32) -> Vec<Record> {
    let spec = bench.spec(bench.scope.runtime(), bench.scope.network.sharing.shared_memory_mib);
    let function = match bench.deploy(spec).await {
        Ok(function) => function,
        Err(record) => return vec![Record { round, ..*record }],
    };
    let shot = Shot {
        phase: "alone",
        round,
        setting: setting([("unmeasured", NO_SINK.to_owned())]),
        request: Request { identity: true, ..Request::default() },
        sent: Sent { intended: bench.soon(1), forced_by: Forced::FreshFunction, ..Sent::default() },
    };
    let records = vec![bench.send(&function, &shot, 0).await];
    bench.remove(function).await;
    records
}
