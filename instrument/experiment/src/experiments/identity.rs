//! Identity: which of the names that an instance can read are its own, and which are its host's?
//!
//! The paper (section 4.1) names AWS hosts by the instance root id of `/proc/self/cgroup`, Azure hosts by an environment
//! variable, and finds no name on Google. Here each round holds N instances of one fresh function together, so
//! that they surely are different instances, and asks the same N once more, so that names which change between
//! invocations are told from those which stay. Every candidate is recorded under its source; choosing is the
//! analysis's.

mod coresidency;

use crate::bench::{Bench, Shot, Try, setting};
use crate::experiment::{About, Experiment, Need, Planned, Unit};
use crate::memory_time::MemoryTime;
use crate::scope::Scope;
use crate::vantage::{Sent, Vantage};
use record::{Forced, Record};

/// The identity experiment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity;

/// One unit of the identity experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityStep {
    /// Names, read twice.
    Names {
        /// Repetition.
        round: u32,
    },
    /// The I/O test of co-residency.
    Pairs {
        /// Repetition.
        round: u32,
    },
}

impl Experiment for Identity {
    type Step = IdentityStep;

    fn about(&self) -> About {
        About {
            name: "identity",
            question: "Which name tells that two instances share a host?",
            method: "Rounds of concurrent requests to a fresh function, held together until all \
                run, then the same again. Every name that might be the host's is read by each \
                instance; the one that groups instances the same way in every round, and is \
                neither one per instance nor one for all, names the host. Then one instance \
                writes to disk, and the others watch whether their host's counters grow.",
            paper_design: "The instance root id in /proc/self/cgroup named the VM on AWS, an environment \
                variable on Azure, nothing on Google; checked by an I/O side channel.",
            needs: &[Need::EmptyHosts],
            leaves: "",
            adapts: false,
        }
    }

    fn plan(&self, scope: &Scope) -> Vec<Planned<IdentityStep>> {
        let instances = scope.identity.instances;
        let held = |requests: u32, each: u32| {
            MemoryTime::of(u64::from(requests), scope.memory_min_mib, scope.hold.of(each))
        };
        let unit = |round: u32| Unit {
            name: format!("round-{round:04}"),
            functions: 1,
            invocations: u64::from(instances) * 2,
            used: held(instances * 2, instances),
            expected: scope.control + scope.hold.of(instances) * 2,
        };
        let watchers = scope.identity.pair_instances;
        let pairs = |round: u32| Unit {
            name: format!("pairs-round-{round:04}"),
            functions: 1,
            invocations: u64::from(watchers * coresidency::WAVES),
            used: held(watchers * coresidency::WAVES, watchers),
            expected: scope.control
                + scope.hold.of(watchers) * u64::from(coresidency::WAVES)
                + scope.pause,
        };
        let names = (0..scope.identity.rounds)
            .map(|round| Planned { unit: unit(round), step: IdentityStep::Names { round } });
        let pairs = (0..scope.identity.pair_rounds)
            .map(|round| Planned { unit: pairs(round), step: IdentityStep::Pairs { round } });
        names.chain(pairs).collect()
    }

    async fn run<V: Vantage>(&self, bench: &Bench<'_, V>, step: &IdentityStep) -> Vec<Record> {
        match *step {
            IdentityStep::Names { round } => {
                bench.sound(async |attempt| launch_and_again(bench, round, attempt).await).await
            }
            IdentityStep::Pairs { round } => {
                let records = coresidency::round(bench, round).await;
                bench.rest(bench.scope.pause).await;
                records
            }
        }
    }
}

async fn launch_and_again<V: Vantage>(bench: &Bench<'_, V>, round: u32, attempt: u32) -> Try {
    let scope = bench.scope;
    let instances = scope.identity.instances;
    let hold = scope.hold.of(instances) * u64::from(attempt + 1);
    let spec = bench.spec(scope.runtime(), scope.memory_min_mib);
    let function = match bench.deploy(spec).await {
        Ok(function) => function,
        Err(record) => return Try::failed(*record, round),
    };
    let mut records = Vec::new();
    let mut held_until = None;
    for (phase, forced_by) in [("launch", Forced::FreshFunction), ("again", Forced::Nothing)] {
        let intended = bench.soon(instances);
        let until = intended + hold;
        held_until = held_until.or(Some(until));
        let shot = Shot {
            phase,
            round,
            setting: setting([("concurrency", instances.to_string())]),
            request: bench.held(until),
            sent: Sent { intended, forced_by, ..Sent::default() },
        };
        records.extend(bench.burst(&function, &shot, instances).await);
    }
    bench.remove(function).await;
    Try { records, statistic: hold, held_until }
}
