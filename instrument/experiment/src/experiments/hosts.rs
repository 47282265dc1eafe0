//! Hosts: what kinds of machine are there, and were they there before us?
//!
//! The paper (section 4.3) reads CPU model, vCPUs, memory and uptime of the hosts that its functions happen to meet, and
//! finds five kinds on AWS and at least nine on Azure. Every experiment that asks who runs where adds to the sample
//! here as well; this one only meets many hosts at once: bursts to fresh functions of a memory size that leaves little
//! room for neighbours, held together, round by round and apart in time, so that hosts may be others.

use crate::bench::{Bench, Shot, Try, setting};
use crate::experiment::{About, Experiment, Need, Planned, Unit};
use crate::memory_time::MemoryTime;
use crate::scope::Scope;
use crate::vantage::{Sent, Vantage};
use record::{Forced, Record};

/// The hosts experiment. A step is a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hosts;

impl Experiment for Hosts {
    type Step = u32;

    fn about(&self) -> About {
        About {
            name: "hosts",
            question: "What kinds of host are there, and were they there before us?",
            method: "Bursts to fresh functions that meet many hosts at once; each host counts once, \
                however many instances it has, with its CPU model, vCPUs and memory, and its uptime \
                when it was first met. Hosts that other experiments met count too.",
            paper_design: "CPU model, vCPUs, memory and uptime from procfs (on Azure from the environment), \
                of 20,447 hosts on AWS.",
            needs: &[Need::EmptyHosts],
            leaves: "hosts that were started",
            adapts: false,
        }
    }

    fn plan(&self, scope: &Scope) -> Vec<Planned<u32>> {
        let instances = scope.hosts.instances;
        let unit = |round: u32| Unit {
            name: format!("round-{round:04}"),
            functions: 1,
            invocations: u64::from(instances),
            used: MemoryTime::of(
                u64::from(instances),
                scope.hosts.memory_mib,
                scope.hold.of(instances),
            ),
            expected: scope.control + scope.hold.of(instances) + scope.hosts.spacing,
        };
        (0..scope.hosts.rounds).map(|round| Planned { unit: unit(round), step: round }).collect()
    }

    async fn run<V: Vantage>(&self, bench: &Bench<'_, V>, round: &u32) -> Vec<Record> {
        let records = bench.sound(async |attempt| meet(bench, *round, attempt).await).await;
        bench.rest(bench.scope.hosts.spacing).await;
        records
    }
}

async fn meet<V: Vantage>(bench: &Bench<'_, V>, round: u32, attempt: u32) -> Try {
    let scope = bench.scope;
    let instances = scope.hosts.instances;
    let function = match bench.deploy(bench.spec(scope.runtime(), scope.hosts.memory_mib)).await {
        Ok(function) => function,
        Err(record) => return Try::failed(*record, round),
    };
    let hold = scope.hold.of(instances) * u64::from(attempt + 1);
    let intended = bench.soon(instances);
    let until = intended + hold;
    let shot = Shot {
        phase: "burst",
        round,
        setting: setting([("concurrency", instances.to_string())]),
        request: bench.held(until),
        sent: Sent { intended, forced_by: Forced::FreshFunction, ..Sent::default() },
    };
    let records = bench.burst(&function, &shot, instances).await;
    bench.remove(function).await;
    Try { records, statistic: hold, held_until: Some(until) }
}
