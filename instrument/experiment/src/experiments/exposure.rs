//! Exposure: what of its host can a function read?
//!
//! The paper reads procfs and environment variables to name hosts and to see their CPUs, memory and uptime; it lists
//! what it used, not what there is. Here the probe tries a fixed list of items in every runtime and reports each as
//! readable or not, with a digest, so that items which differ between instances of one host are told from those
//! which do not.

use crate::bench::{Bench, Setting, Shot};
use crate::experiment::{About, Experiment, Planned, Unit};
use crate::memory_time::MemoryTime;
use crate::scope::Scope;
use crate::vantage::{Sent, Vantage};
use probe::Request;
use record::{Forced, Record};

/// The exposure experiment. A step is a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exposure;

impl Experiment for Exposure {
    type Step = u32;

    fn about(&self) -> About {
        About {
            name: "exposure",
            question: "What of its host can a function read?",
            method: "One request per runtime and round reads a list of files of procfs and sysfs, \
                devices and environment variables that tell of the host, and says which of \
                them it could.",
            paper_design: "Read procfs and the environment by hand, platform by platform.",
            needs: &[],
            leaves: "",
            adapts: false,
        }
    }

    fn plan(&self, scope: &Scope) -> Vec<Planned<u32>> {
        let runtimes = scope.runtimes.len() as u64;
        let unit = |round: u32| Unit {
            name: format!("round-{round:04}"),
            functions: runtimes,
            invocations: runtimes,
            used: MemoryTime::of_answers(runtimes, scope.memory_min_mib),
            expected: (scope.control + scope.start) * runtimes,
        };
        (0..scope.exposure.rounds).map(|round| Planned { unit: unit(round), step: round }).collect()
    }

    async fn run<V: Vantage>(&self, bench: &Bench<'_, V>, round: &u32) -> Vec<Record> {
        let mut records = Vec::new();
        for runtime in bench.shuffled(bench.scope.runtimes.clone()) {
            let function =
                match bench.deploy(bench.spec(&runtime, bench.scope.memory_min_mib)).await {
                    Ok(function) => function,
                    Err(record) => {
                        records.push(Record { round: *round, ..*record });
                        continue;
                    }
                };
            let shot = Shot {
                phase: "read",
                round: *round,
                setting: Setting::default(),
                request: Request { identity: true, exposure: true, ..Request::default() },
                sent: Sent {
                    intended: bench.soon(1),
                    forced_by: Forced::FreshFunction,
                    ..Sent::default()
                },
            };
            records.push(bench.send(&function, &shot, 0).await);
            bench.remove(function).await;
        }
        records
    }
}
