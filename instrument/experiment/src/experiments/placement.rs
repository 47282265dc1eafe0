//! Placement: over how many hosts are instances spread, and how much of ours does one host take?
//!
//! The paper (section 5.1) finds on AWS that instances are packed greedily by memory, at most 3,328 MB of them on a host.
//! Here a ladder of bursts at two memory sizes on fresh functions tells packing from spreading (one burst fits both), and
//! each fill ends with instances of the smallest size sent while the burst is still held, so that what fits into the
//! gaps, and what no longer does, brackets a host's memory no wider than the smallest step.

use super::alternating;
use crate::bench::{Bench, Shot, Try, setting};
use crate::experiment::{About, Experiment, Need, Planned, Unit};
use crate::memory_time::MemoryTime;
use crate::scope::Scope;
use crate::vantage::{Function, Sent, Vantage};
use futures::future::join;
use model::{Span, Time};
use record::{Forced, Record};

/// The placement experiment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placement;

/// One fill: a burst and the smallest instances that end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacementStep {
    /// Repetition of the ladders.
    pub round: u32,
    /// Memory size of the burst, MiB.
    pub memory_mib: u32,
    /// Concurrent requests of the burst.
    pub concurrency: u32,
}

impl Experiment for Placement {
    type Step = PlacementStep;

    fn about(&self) -> About {
        About {
            name: "placement",
            question: "Over how many hosts are instances spread, and how much fits on one?",
            method: "The same ladder of bursts at two memory sizes, by host; every fill ends with \
                the smallest memory size. Count and memory per host over the ladder tell \
                packing from spreading; the largest sum of memory that ran on one host, and \
                the size that no longer fitted, bracket the host's memory.",
            paper_design: "Functions of random memory sizes in bursts; the largest sum of instance memory \
                seen on one VM was 3,328 MB.",
            needs: &[Need::EmptyHosts],
            leaves: "hosts that were started",
            adapts: false,
        }
    }

    fn plan(&self, scope: &Scope) -> Vec<Planned<PlacementStep>> {
        let fill = scope.placement.fill;
        // The second burst comes in the middle of the first one's hold.
        let used = |memory_mib, concurrency: u32| {
            let hold = scope.hold.of(concurrency + fill);
            let half = Span::from_nanos(hold.as_nanos() / 2);
            MemoryTime::of(u64::from(concurrency), memory_mib, hold)
                + MemoryTime::of(u64::from(fill), scope.memory_min_mib, half)
        };
        let step = |round, memory_mib, concurrency| Planned {
            unit: Unit {
                name: format!("round-{round:04}-memory-{memory_mib}-concurrency-{concurrency:04}"),
                functions: 2,
                invocations: u64::from(concurrency + fill),
                used: used(memory_mib, concurrency),
                expected: scope.control * 2 + scope.hold.of(concurrency + fill) + scope.pause,
            },
            step: PlacementStep { round, memory_mib, concurrency },
        };
        let mut steps = Vec::new();
        for round in 0..scope.placement.rounds {
            for memory_mib in alternating(&scope.placement.memory_mib, round) {
                let ladder = alternating(&scope.placement.concurrency, round);
                steps.extend(ladder.into_iter().map(|n| step(round, memory_mib, n)));
            }
        }
        steps
    }

    async fn run<V: Vantage>(&self, bench: &Bench<'_, V>, step: &PlacementStep) -> Vec<Record> {
        let records = bench.sound(async |attempt| fill_hosts(bench, *step, attempt).await).await;
        bench.rest(bench.scope.pause).await;
        records
    }
}

async fn fill_hosts<V: Vantage>(bench: &Bench<'_, V>, step: PlacementStep, attempt: u32) -> Try {
    let scope = bench.scope;
    let specs = [step.memory_mib, scope.memory_min_mib]
        .map(|memory_mib| bench.spec(scope.runtime(), memory_mib));
    let mut functions = Vec::new();
    for deployed in bench.deploy_all(specs.to_vec()).await {
        match deployed {
            Ok(function) => functions.push(function),
            Err(record) => return Try::failed(*record, step.round),
        }
    }
    let fill = scope.placement.fill;
    let hold = scope.hold.of(step.concurrency + fill) * u64::from(attempt + 1);
    let begin = bench.soon(step.concurrency + fill);
    let until = begin + hold;
    let records = match functions.as_slice() {
        [large, smallest] => {
            let middle = begin + Span::from_nanos(hold.as_nanos() / 2);
            let burst = Wave { phase: "burst", count: step.concurrency, intended: begin, until };
            let ends = Wave { phase: "fill", count: fill, intended: middle, until };
            let waves = join(send(bench, step, large, burst), send(bench, step, smallest, ends));
            let (mut records, ends) = waves.await;
            records.extend(ends);
            records
        }
        _ => Vec::new(),
    };
    bench.remove_all(functions).await;
    Try { records, statistic: hold, held_until: Some(until) }
}

/// Requests of one size.
struct Wave {
    phase: &'static str,
    count: u32,
    intended: Time,
    until: Time,
}

async fn send<V: Vantage>(
    bench: &Bench<'_, V>,
    step: PlacementStep,
    function: &Function,
    wave: Wave,
) -> Vec<Record> {
    let shot = Shot {
        phase: wave.phase,
        round: step.round,
        setting: setting([
            ("burst_memory_mib", step.memory_mib.to_string()),
            ("concurrency", step.concurrency.to_string()),
        ]),
        request: bench.held(wave.until),
        sent: Sent { intended: wave.intended, forced_by: Forced::FreshFunction, ..Sent::default() },
    };
    bench.burst(function, &shot, wave.count).await
}
