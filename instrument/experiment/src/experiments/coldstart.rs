//! Cold start: how long from sending a request to the function's first statement, with and without a new instance?
//!
//! The paper (section 5.2): 1,000 fresh functions per runtime and memory size, each invoked twice; the latency is the
//! function's start on its own clock minus the send at the vantage point. `--full` does the same number. Better here:
//! settings alternate in an order drawn anew in each round, so that slow hours fall on all of them; each function has
//! unique code bytes; several warm requests follow each cold one; the platform's own report is asked for; the
//! send is the first byte on an open connection; and a start counts as cold by the instance's own count of
//! invocations, never by its latency. What makes a cold start dearer has requests of its own ([`extras`]).

mod extras;

use crate::bench::{Bench, Setting, Shot, Try};
use crate::experiment::{About, Experiment, Need, Planned, Unit};
use crate::memory_time::MemoryTime;
use crate::scope::Scope;
use crate::vantage::{Report, Sent, Vantage};
use probe::Request;
use record::{Forced, Record};

/// The cold and warm start experiment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ColdStart;

/// One unit of the cold start experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColdStartStep {
    /// All runtimes and memory sizes, one after another.
    Round(u32),
    /// Packages of all sizes, each started twice.
    Package {
        /// Repetition.
        round: u32,
    },
    /// Several starts at once.
    AtOnce {
        /// Repetition.
        round: u32,
        /// How many.
        colevel: u32,
    },
    /// One start after another, all kept.
    Chain,
}

impl Experiment for ColdStart {
    type Step = ColdStartStep;

    fn about(&self) -> About {
        About {
            name: "coldstart",
            question: "How long does a request wait for a new instance, and for one that is there?",
            method: "Fresh functions, each with code bytes of its own, one after another: the first \
                request is the cold start, the ones right after it are warm. Latency is from \
                the first byte sent on an open connection to the handler's first statement; \
                the overhead is the round trip less the function's own duration, and needs no \
                second clock. Beside that: larger packages, known code, several starts at once on one \
                host, and hosts not seen before.",
            paper_design: "1,000 functions per memory size and language, each invoked twice; latency by \
                two clocks that nothing synchronised.",
            needs: &[Need::QuietPlatform],
            leaves: "",
            adapts: false,
        }
    }

    fn plan(&self, scope: &Scope) -> Vec<Planned<ColdStartStep>> {
        let settings = (scope.runtimes.len() * scope.coldstart.memory_mib.len()) as u64;
        let starts = scope.runtimes.len() as u64 * u64::from(1 + scope.coldstart.warm);
        let sizes = scope.coldstart.memory_mib.iter();
        let used: MemoryTime = sizes.map(|size| MemoryTime::of_answers(starts, *size)).sum();
        let each = scope.control + scope.start + scope.coldstart.spacing;
        let unit = |round: u32| Unit {
            name: format!("round-{round:04}"),
            functions: settings,
            invocations: settings * u64::from(1 + scope.coldstart.warm),
            used,
            expected: each * settings,
        };
        let step = |round| Planned { unit: unit(round), step: ColdStartStep::Round(round) };
        (0..scope.coldstart.rounds).map(step).chain(extras::plan(scope)).collect()
    }

    async fn run<V: Vantage>(&self, bench: &Bench<'_, V>, step: &ColdStartStep) -> Vec<Record> {
        let round = match *step {
            ColdStartStep::Round(round) => round,
            ColdStartStep::Package { round } => return extras::package(bench, round).await,
            ColdStartStep::AtOnce { round, colevel } => {
                return extras::at_once(bench, (round, colevel)).await;
            }
            ColdStartStep::Chain => return extras::chain(bench).await,
        };
        let scope = bench.scope;
        let sizes = &scope.coldstart.memory_mib;
        let settings = scope
            .runtimes
            .iter()
            .flat_map(|runtime| sizes.iter().map(move |size| (runtime.as_str(), *size)))
            .collect();
        let mut records = Vec::new();
        for (runtime, memory_mib) in bench.shuffled(settings) {
            let starts = bench
                .sound(async |_| cold_then_warm(bench, round, runtime, memory_mib).await)
                .await;
            records.extend(starts);
        }
        records
    }
}

async fn cold_then_warm<V: Vantage>(
    bench: &Bench<'_, V>,
    round: u32,
    runtime: &str,
    memory_mib: u32,
) -> Try {
    let function = match bench.deploy(bench.spec(runtime, memory_mib)).await {
        Ok(function) => function,
        Err(record) => return Try::failed(*record, round),
    };
    bench.rest(bench.scope.coldstart.spacing).await;
    let mut records = Vec::new();
    for request in 0..=bench.scope.coldstart.warm {
        let (phase, sequence, forced_by) = match request {
            0 => ("cold", 0, Forced::FreshFunction),
            warm => ("warm", warm - 1, Forced::Nothing),
        };
        let shot = Shot {
            phase,
            round,
            setting: Setting::default(),
            // Hosts that were seen here are not new later.
            request: Request { identity: true, ..Request::default() },
            sent: Sent { intended: bench.soon(1), report: Report::Ask, forced_by },
        };
        records.push(bench.send(&function, &shot, sequence).await);
    }
    bench.remove(function).await;
    extras::done(records)
}
