//! CPU: how much of a CPU does an instance get, alone and beside others?
//!
//! The paper (section 6.1) takes clock readings for 1 s and counts the milliseconds in which one was taken, per memory size
//! and per number of co-resident instances, and finds on AWS a share of 2 x memory / 3,328. That count overstates
//! by one tick per burst; the probe gives it too, but also CPU time by thread clocks and the gaps between readings. Better
//! here: windows of whole quota periods, one busy thread per vCPU, a common barrier for instances that share, and
//! the colevel as it really was, from host ids, not as intended.
//!
//! Where platform and vantage point share a machine, the study's profile gives a host one vCPU and the colevels fit on one
//! host, so that one CPU is what all instances want together, and half of one is left for everything else. With
//! fewer cores than that the records say that they are disturbed. Where other programs leave no CPU idle while a window is
//! open, what instances get is not the platform's doing, and the round is void.

use super::{alternating, note_few_cores, void_if_crowded};
use crate::bench::{Bench, Setting, Shot, Try, setting};
use crate::experiment::{About, Experiment, Need, Planned, Unit};
use crate::memory_time::MemoryTime;
use crate::scope::Scope;
use crate::vantage::{Sent, Vantage};
use probe::Request;
use record::{Forced, Record};

/// CPUs that instances want at most where the platform shares a machine: one host of one vCPU.
const DEMAND_CPUS: f64 = 1.0;

/// The CPU experiment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpu;

/// One unit of the CPU experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuStep {
    /// One instance after another, of each memory size.
    Alone {
        /// Repetition.
        round: u32,
    },
    /// Several instances at once.
    Shared {
        /// Repetition.
        round: u32,
        /// How many.
        colevel: u32,
    },
}

impl Experiment for Cpu {
    type Step = CpuStep;

    fn about(&self) -> About {
        About {
            name: "cpu",
            question: "How much of a CPU does an instance get, alone and beside others?",
            method: "One busy thread per CPU that the function sees, for a second, with gaps in its \
                own clock readings as time without a CPU; alone at each memory size, then \
                beside others of one host in a common window.",
            paper_design: "Calls of the clock for 1,000 ms; the share of milliseconds in which one was \
                recorded, alone and beside up to 20 instances on one VM.",
            needs: &[Need::EmptyHosts, Need::QuietPlatform],
            leaves: "",
            adapts: false,
        }
    }

    fn plan(&self, scope: &Scope) -> Vec<Planned<CpuStep>> {
        let sizes = scope.cpu.memory_mib.len() as u64;
        let each = scope.cpu.memory_mib.iter();
        let used_alone: MemoryTime =
            each.map(|size| MemoryTime::of(1, *size, scope.cpu.window)).sum();
        let alone = |round| Planned {
            unit: Unit {
                name: format!("alone-round-{round:04}"),
                functions: sizes,
                invocations: sizes,
                used: used_alone,
                expected: (scope.control + scope.start + scope.cpu.window) * sizes,
            },
            step: CpuStep::Alone { round },
        };
        let shared = |round, colevel| Planned {
            unit: Unit {
                name: format!("shared-round-{round:04}-colevel-{colevel:03}"),
                functions: 1,
                invocations: u64::from(colevel),
                used: MemoryTime::of(
                    u64::from(colevel),
                    scope.cpu.shared_memory_mib,
                    scope.hold.of(colevel) + scope.cpu.window,
                ),
                expected: scope.control + scope.hold.of(colevel) + scope.cpu.window + scope.pause,
            },
            step: CpuStep::Shared { round, colevel },
        };
        let mut steps = Vec::new();
        for round in 0..scope.cpu.rounds {
            steps.push(alone(round));
            let ladder = alternating(&scope.cpu.colevels, round);
            steps.extend(ladder.into_iter().map(|colevel| shared(round, colevel)));
        }
        steps
    }

    async fn run<V: Vantage>(&self, bench: &Bench<'_, V>, step: &CpuStep) -> Vec<Record> {
        let mut records = match *step {
            CpuStep::Alone { round } => {
                let mut records = Vec::new();
                for memory_mib in bench.shuffled(bench.scope.cpu.memory_mib.clone()) {
                    let sound = bench.sound(async |_| alone(bench, round, memory_mib).await).await;
                    records.extend(sound);
                }
                records
            }
            CpuStep::Shared { round, colevel } => {
                let round = async |attempt| shared(bench, (round, colevel), attempt).await;
                let records = bench.sound(round).await;
                bench.rest(bench.scope.pause).await;
                records
            }
        };
        note_few_cores(&mut records, bench.scope.cpu.shared_cores, DEMAND_CPUS);
        records
    }
}

async fn alone<V: Vantage>(bench: &Bench<'_, V>, round: u32, memory_mib: u32) -> Try {
    let scope = bench.scope;
    let function = match bench.deploy(bench.spec(scope.runtime(), memory_mib)).await {
        Ok(function) => function,
        Err(record) => return Try::failed(*record, round),
    };
    let shot = Shot {
        phase: "alone",
        round,
        setting: Setting::default(),
        request: window(scope),
        sent: Sent { intended: bench.soon(1), forced_by: Forced::FreshFunction, ..Sent::default() },
    };
    let sending = bench.send(&function, &shot, 0);
    let (record, idle_cpus) = bench.with_idle_cpus(shot.sent.intended, sending).await;
    let mut records = vec![record];
    void_if_crowded(&mut records, scope.cpu.shared_cores, (DEMAND_CPUS, idle_cpus));
    bench.remove(function).await;
    Try { records, statistic: scope.cpu.window, held_until: None }
}

async fn shared<V: Vantage>(
    bench: &Bench<'_, V>,
    (round, colevel): (u32, u32),
    attempt: u32,
) -> Try {
    let scope = bench.scope;
    let spec = bench.spec(scope.runtime(), scope.cpu.shared_memory_mib);
    let function = match bench.deploy(spec).await {
        Ok(function) => function,
        Err(record) => return Try::failed(*record, round),
    };
    let intended = bench.soon(colevel);
    let barrier = intended + scope.hold.of(colevel) * u64::from(attempt + 1);
    let shot = Shot {
        phase: "shared",
        round,
        setting: setting([("colevel", colevel.to_string())]),
        request: Request { barrier_unix_ns: Some(bench.unix_ns(barrier)), ..window(scope) },
        sent: Sent { intended, forced_by: Forced::FreshFunction, ..Sent::default() },
    };
    let sending = bench.burst(&function, &shot, colevel);
    let (mut records, idle_cpus) = bench.with_idle_cpus(barrier, sending).await;
    void_if_crowded(&mut records, scope.cpu.shared_cores, (DEMAND_CPUS, idle_cpus));
    bench.remove(function).await;
    Try { records, statistic: scope.cpu.window, held_until: Some(barrier) }
}

/// Identity and one window on one busy thread per vCPU.
fn window(scope: &Scope) -> Request {
    let cpu = probe::Cpu { window_ms: scope.cpu.window.as_millis_f64(), threads: 0 };
    Request { identity: true, cpu: Some(cpu), ..Request::default() }
}
