//! What one instance gets of something that the instances of a host share, alone and beside others: what the disk and the
//! network experiment have in common.
//!
//! A round takes a fresh function per memory size, measures its first instance alone, and at one size sends bursts whose
//! instances begin at one moment. How many of them really shared a host the analysis takes from host ids.
//! Deliberately knows nothing of what is shared.

use super::{alternating, note_few_cores};
use crate::bench::{Bench, Setting, Shot, Try, setting};
use crate::experiment::{Planned, Unit};
use crate::memory_time::MemoryTime;
use crate::scope::{Scope, SharingScope};
use crate::vantage::{Function, FunctionSpec, Sent, Vantage};
use model::Span;
use probe::Request;
use record::{Forced, Record};

/// How many times the study's limit of one invocation a measurement may take: the barrier comes first, and what is shared
/// out takes as many times longer.
const TIMEOUTS: u64 = 4;

/// What is measured.
pub(super) struct Load<'a> {
    pub scope: &'a SharingScope,
    /// What the probe is asked.
    pub request: Request,
    /// What it takes alone.
    pub alone: Span,
    /// How much longer it takes with each instance beside.
    pub beside: Span,
    /// CPUs that the instances of the largest burst want, and whoever serves them on the same machine.
    pub demand_cpus: f64,
}

impl Load<'_> {
    fn takes(&self, colevel: u32) -> Span {
        self.alone + self.beside * u64::from(colevel.saturating_sub(1))
    }

    /// Memory sizes of the functions of a round.
    fn sizes(&self) -> Vec<u32> {
        let mut sizes = self.scope.memory_mib.clone();
        sizes.push(self.scope.shared_memory_mib);
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }

    /// The rounds, one unit each.
    pub(super) fn plan(&self, scope: &Scope) -> Vec<Planned<u32>> {
        let (functions, alone) = (self.sizes().len() as u64, self.scope.memory_mib.len() as u64);
        let colevels = &self.scope.colevels;
        let shared =
            |colevel: &u32| self.scope.barrier.of(*colevel) + self.takes(*colevel) + scope.pause;
        let expected = scope.control * functions + (scope.start + self.alone) * alone;
        let sizes = self.scope.memory_mib.iter();
        let used_alone: MemoryTime = sizes.map(|size| MemoryTime::of(1, *size, self.alone)).sum();
        let used_shared = |colevel: &u32| {
            let each = self.scope.barrier.of(*colevel) + self.takes(*colevel);
            MemoryTime::of(u64::from(*colevel), self.scope.shared_memory_mib, each)
        };
        let unit = |round: u32| Unit {
            name: format!("round-{round:04}"),
            functions,
            invocations: alone + colevels.iter().map(|colevel| u64::from(*colevel)).sum::<u64>(),
            used: used_alone + colevels.iter().map(used_shared).sum(),
            expected: colevels.iter().map(shared).fold(expected, |sum, span| sum + span),
        };
        (0..self.scope.rounds).map(|round| Planned { unit: unit(round), step: round }).collect()
    }

    /// One round.
    pub(super) async fn run<V: Vantage>(&self, bench: &Bench<'_, V>, round: u32) -> Vec<Record> {
        let mut records = Vec::new();
        for memory_mib in bench.shuffled(self.sizes()) {
            let spec = bench.spec(bench.scope.runtime(), memory_mib);
            let spec = FunctionSpec { timeout: bench.scope.timeout * TIMEOUTS, ..spec };
            let function = match bench.deploy(spec).await {
                Ok(function) => function,
                Err(record) => {
                    records.push(Record { round, ..*record });
                    continue;
                }
            };
            if self.scope.memory_mib.contains(&memory_mib) {
                let alone = async |_| self.alone(bench, &function, round).await;
                records.extend(bench.sound(alone).await);
            }
            if memory_mib == self.scope.shared_memory_mib {
                for colevel in alternating(&self.scope.colevels, round) {
                    let shared = async |attempt| {
                        self.shared(bench, &function, (round, colevel, attempt)).await
                    };
                    records.extend(bench.sound(shared).await);
                    bench.rest(bench.scope.pause).await;
                }
            }
            bench.remove(function).await;
        }
        note_few_cores(&mut records, self.scope.shared_cores, self.demand_cpus);
        records
    }

    async fn alone<V: Vantage>(
        &self,
        bench: &Bench<'_, V>,
        function: &Function,
        round: u32,
    ) -> Try {
        let intended = bench.soon(1);
        let shot = Shot {
            phase: "alone",
            round,
            setting: Setting::default(),
            request: self.request.clone(),
            sent: Sent { intended, forced_by: Forced::FreshFunction, ..Sent::default() },
        };
        let records = vec![bench.send(function, &shot, 0).await];
        Try { records, statistic: self.alone, held_until: None }
    }

    async fn shared<V: Vantage>(
        &self,
        bench: &Bench<'_, V>,
        function: &Function,
        (round, colevel, attempt): (u32, u32, u32),
    ) -> Try {
        let intended = bench.soon(colevel);
        let barrier = intended + self.scope.barrier.of(colevel) * u64::from(attempt + 1);
        let shot = Shot {
            phase: "shared",
            round,
            setting: setting([("colevel", colevel.to_string())]),
            request: Request {
                barrier_unix_ns: Some(bench.unix_ns(barrier)),
                ..self.request.clone()
            },
            sent: Sent { intended, forced_by: Forced::Concurrency, ..Sent::default() },
        };
        let records = bench.burst(function, &shot, colevel).await;
        Try { records, statistic: self.alone, held_until: Some(barrier) }
    }
}
