//! Lifetime: how long does an instance live that is never idle for long?
//!
//! The paper (section 5.2): one request per 5, 30 or 60 s to each function for 7 days or more, until there were 50 lifetimes per
//! setting, each from the first to the last time that an instance was seen; on AWS half lived 6.2 h, none longer than
//! 8.3 h. `--full` does the same. Better here: instances that are still there at the end are kept as such, rather
//! than left out, which would make lifetimes short; and all settings are watched at the same time, so that a bad hour
//! falls on all of them.

use crate::bench::{Bench, Setting, Shot, setting};
use crate::experiment::{About, Experiment, Need, Planned, Unit};
use crate::memory_time::MemoryTime;
use crate::scope::{LifetimeScope, Scope};
use crate::vantage::{Function, Sent, Vantage};
use futures::future::join_all;
use model::{Span, Time};
use probe::Request;
use record::{Forced, Record};

/// The lifetime experiment. Its one step is the watch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetime;

/// One function that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Watched {
    /// Number among the functions of its setting.
    round: u32,
    interval: Span,
    memory_mib: u32,
}

impl Experiment for Lifetime {
    type Step = ();

    fn about(&self) -> About {
        About {
            name: "lifetime",
            question: "How long does an instance live that is in use?",
            method: "One request to each function every so often, all settings at the same time. A lifetime is \
                from the first to the last time that an instance was seen; those that were still \
                there at the end count as longer than that.",
            paper_design: "One request per 5, 30 or 60 s for 7 days and more, until 50 lifetimes per setting \
                were seen.",
            needs: &[Need::QuietPlatform],
            leaves: "",
            adapts: false,
        }
    }

    fn plan(&self, scope: &Scope) -> Vec<Planned<()>> {
        let watched = watched(&scope.lifetime);
        let requests = |it: &Watched| requests(&scope.lifetime, it.interval);
        let used = |it: &Watched| MemoryTime::of_answers(requests(it), it.memory_mib);
        let control = Span::from_nanos((scope.control * watched.len() as u64).as_nanos() / 8);
        let unit = Unit {
            name: "watch".to_owned(),
            functions: watched.len() as u64,
            invocations: watched.iter().map(requests).sum(),
            used: watched.iter().map(used).sum(),
            expected: control + scope.lifetime.watch,
        };
        vec![Planned { unit, step: () }]
    }

    async fn run<V: Vantage>(&self, bench: &Bench<'_, V>, (): &()) -> Vec<Record> {
        let watched = bench.shuffled(watched(&bench.scope.lifetime));
        let spec = |it: &Watched| bench.spec(bench.scope.runtime(), it.memory_mib);
        let deployed = bench.deploy_all(watched.iter().map(spec).collect()).await;
        let mut functions = Vec::new();
        for (deployed, watched) in deployed.into_iter().zip(watched) {
            match deployed {
                Ok(function) => functions.push((function, watched)),
                Err(record) => bench.pass_on(Record { round: watched.round, ..*record }),
            }
        }
        let begin = bench.soon(1);
        let count = functions.len() as u64;
        let jobs = (0..).zip(&functions).map(|(number, (function, it))| {
            // Evenly over one interval, so that they do not queue for each other.
            let offset = Span::from_nanos(it.interval.as_nanos() / count.max(1) * number);
            watch(bench, function, *it, begin + offset)
        });
        join_all(jobs).await;
        bench.remove_all(functions.into_iter().map(|(function, _)| function).collect()).await;
        bench.not_passed()
    }
}

fn watched(scope: &LifetimeScope) -> Vec<Watched> {
    let of = |memory_mib: &u32| {
        let memory_mib = *memory_mib;
        scope.intervals.iter().flat_map(move |interval| {
            (0..scope.functions).map(move |round| Watched {
                round,
                interval: *interval,
                memory_mib,
            })
        })
    };
    scope.memory_mib.iter().flat_map(of).collect()
}

fn requests(scope: &LifetimeScope, interval: Span) -> u64 {
    // The first one is at the beginning.
    1 + scope.watch.as_nanos() / interval.as_nanos().max(1)
}

async fn watch<V: Vantage>(
    bench: &Bench<'_, V>,
    function: &Function,
    watched: Watched,
    begin: Time,
) {
    let mut shot = Shot {
        phase: "watch",
        round: watched.round,
        setting: labels(watched),
        request: Request::default(),
        sent: Sent::default(),
    };
    for number in 0..requests(&bench.scope.lifetime, watched.interval) {
        let forced_by = if number == 0 { Forced::FreshFunction } else { Forced::Nothing };
        let intended = begin + watched.interval * number;
        shot.sent = Sent { intended, forced_by, ..Sent::default() };
        bench.pass_on(bench.send(function, &shot, number as u32).await);
    }
}

fn labels(watched: Watched) -> Setting {
    setting([("interval_s", format!("{:.3}", watched.interval.as_secs_f64()))])
}
