//! Scaling: how many instances does a platform make for N concurrent requests to one function?
//!
//! The paper (section 5.1): functions f1 to f40 get 5i requests at once, each sleeping 15 s, 10 s between batches, 50
//! rounds. `--full` does the same. Better here: all requests of a burst have one intended instant, and each is held until
//! one common moment later than the slowest cold start, so that instances are counted at one instant; the ladder
//! goes up in even rounds and down in odd ones; a burst whose requests left late is void and done again.

use super::alternating;
use crate::bench::{Bench, Shot, Try, setting};
use crate::experiment::{About, Experiment, Need, Planned, Unit};
use crate::memory_time::MemoryTime;
use crate::scope::Scope;
use crate::vantage::{Sent, Vantage};
use record::{Forced, Record};

/// The scaling experiment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scaling;

/// One burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScalingStep {
    /// Repetition of the ladder.
    pub round: u32,
    /// Concurrent requests.
    pub concurrency: u32,
}

impl Experiment for Scaling {
    type Step = ScalingStep;

    fn about(&self) -> About {
        About {
            name: "scaling",
            question: "How many instances are made for N concurrent requests?",
            method: "Bursts of concurrent requests to a fresh function, each held until one common \
                moment after the slowest start, so that instances are counted that really ran \
                at one instant. Burst sizes rise in one round and fall in the next.",
            paper_design: "5i concurrent requests to the i-th of 40 functions, each sleeping 15 s, pauses \
                of 10 s, 50 rounds.",
            needs: &[Need::EmptyHosts],
            leaves: "",
            adapts: false,
        }
    }

    fn plan(&self, scope: &Scope) -> Vec<Planned<ScalingStep>> {
        let step = |round, concurrency| Planned {
            unit: Unit {
                name: format!("round-{round:04}-concurrency-{concurrency:04}"),
                functions: 1,
                invocations: u64::from(concurrency),
                used: MemoryTime::of(
                    u64::from(concurrency),
                    scope.scaling.memory_mib,
                    scope.hold.of(concurrency),
                ),
                expected: scope.control + scope.hold.of(concurrency) + scope.pause,
            },
            step: ScalingStep { round, concurrency },
        };
        (0..scope.scaling.rounds)
            .flat_map(|round| {
                let ladder = alternating(&scope.scaling.concurrency, round);
                ladder.into_iter().map(move |concurrency| step(round, concurrency))
            })
            .collect()
    }

    async fn run<V: Vantage>(&self, bench: &Bench<'_, V>, step: &ScalingStep) -> Vec<Record> {
        let records = bench.sound(async |attempt| burst(bench, *step, attempt).await).await;
        bench.rest(bench.scope.pause).await;
        records
    }
}

async fn burst<V: Vantage>(bench: &Bench<'_, V>, step: ScalingStep, attempt: u32) -> Try {
    let ScalingStep { round, concurrency } = step;
    let scope = bench.scope;
    let spec = bench.spec(scope.runtime(), scope.scaling.memory_mib);
    let function = match bench.deploy(spec).await {
        Ok(function) => function,
        Err(record) => return Try::failed(*record, round),
    };
    let hold = scope.hold.of(concurrency) * u64::from(attempt + 1);
    let intended = bench.soon(concurrency);
    let until = intended + hold;
    let shot = Shot {
        phase: "burst",
        round,
        setting: setting([("concurrency", concurrency.to_string())]),
        request: bench.held(until),
        sent: Sent { intended, forced_by: Forced::FreshFunction, ..Sent::default() },
    };
    let records = bench.burst(&function, &shot, concurrency).await;
    bench.remove(function).await;
    Try { records, statistic: hold, held_until: Some(until) }
}
