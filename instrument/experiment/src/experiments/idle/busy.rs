//! The busy stage: is an instance kept for longer where another one keeps its host busy?
//!
//! The paper (section 5.3): 27 min on AWS became 1 to 3 h where another instance on the same VM was used every 10 s. Here
//! single instances and those of one *keeper* function start together, so that they come to share hosts; then the keeper's
//! are used all the time and the others only once more, each after its own silence. Which of them shared a host that was
//! kept busy is for the analysis to see, by the names of hosts.

use super::{IdleStep, Silence, numbered};
use crate::bench::{Bench, Shot, lagging, mark, setting};
use crate::memory_time::MemoryTime;
use crate::scope::BusyScope;
use crate::vantage::{Function, Sent, Vantage};
use futures::future::{join, join_all};
use model::{Span, Time};
use probe::Request;
use record::{Forced, Outcome, Record};

/// Part of the time between two uses for which a keeper's instance is busy, so that each request meets another one.
const BUSY_PART: u64 = 10;

/// Requests at most: one for each silence and one for each instance of the keeper.
pub fn requests(scope: &BusyScope) -> u32 {
    let silent = silent(scope);
    silent + keepers(silent)
}

/// Requests of the whole stage at most, where the longest silence takes so long.
pub fn invocations(scope: &BusyScope, longest: Span) -> u64 {
    let silent = silent(scope);
    let uses = 2 + longest.as_nanos() / scope.each.as_nanos().max(1);
    u64::from(silent) * 2 + u64::from(keepers(silent)) * uses
}

/// Memory and time of these requests: each instance is held once, keepers then run for a part of every interval.
pub fn used(scope: &BusyScope, longest: Span, (memory_mib, hold): (u32, Span)) -> MemoryTime {
    let (silent, keepers) = (u64::from(silent(scope)), u64::from(keepers(silent(scope))));
    let uses = 1 + longest.as_nanos() / scope.each.as_nanos().max(1);
    let each = Span::from_nanos(scope.each.as_nanos() / BUSY_PART);
    MemoryTime::of(silent + keepers, memory_mib, hold)
        + MemoryTime::of_answers(silent, memory_mib)
        + MemoryTime::of(keepers * uses, memory_mib, each)
}

fn silent(scope: &BusyScope) -> u32 {
    // The ends of the bracket, and what lies beyond.
    scope.pairs * (2 + scope.beyond.len() as u32)
}

fn keepers(silent: u32) -> u32 {
    silent.div_ceil(2)
}

/// Silences at the ends of the bracket and beyond it, on hosts that are kept busy.
pub async fn busy<V: Vantage>(
    bench: &Bench<'_, V>,
    step: &IdleStep,
    (kept, gone): (Span, Span),
) -> Vec<Record> {
    let idle = &bench.scope.idle;
    let longer = |factor: &f64| Span::from_millis((gone.as_secs_f64() * factor * 1e3) as u64);
    let beyond = idle.busy.beyond.iter().map(longer).filter(|delay| *delay <= idle.range.1);
    let delays: Vec<Span> =
        [kept, gone].into_iter().filter(|it| *it > Span::ZERO).chain(beyond).collect();
    let silences = bench.shuffled(numbered(&delays, idle.busy.pairs, 1));
    let specs = (0..=silences.len()).map(|_| bench.spec(&step.runtime, step.memory_mib)).collect();
    let (mut records, mut functions) = (Vec::new(), Vec::new());
    for deployed in bench.deploy_all(specs).await {
        match deployed {
            Ok(function) => functions.push(function),
            Err(record) => records.push(*record),
        }
    }
    if let Some((keeper, silent)) = functions.split_first() {
        let begin = bench.soon(requests(&idle.busy));
        let held = begin + bench.scope.hold.of(requests(&idle.busy));
        let longest = delays.iter().copied().max().unwrap_or(Span::ZERO);
        let pairs = silent
            .iter()
            .zip(&silences)
            .map(|(function, silence)| pair(bench, function, *silence, (begin, held)));
        let keep =
            keep(bench, keeper, keepers(silences.len() as u32), (begin, held, held + longest));
        let (pairs, kept) = join(join_all(pairs), keep).await;
        records.extend(pairs.into_iter().flatten());
        records.extend(kept);
    }
    bench.remove_all(functions).await;
    records
}

/// One instance, started with the others, silent and asked for again.
async fn pair<V: Vantage>(
    bench: &Bench<'_, V>,
    function: &Function,
    silence: Silence,
    (begin, held): (Time, Time),
) -> Vec<Record> {
    let mut shot = Shot {
        phase: "busy_first",
        round: silence.round,
        setting: setting([
            ("delay_s", format!("{:.3}", silence.delay.as_secs_f64())),
            ("part", "busy".to_owned()),
            ("stage", "busy".to_owned()),
        ]),
        request: bench.held(held),
        sent: Sent { intended: begin, forced_by: Forced::FreshFunction, ..Sent::default() },
    };
    let first = bench.send(function, &shot, silence.number).await;
    if first.outcome != Outcome::Ok {
        return vec![first];
    }
    shot.phase = "busy_second";
    let intended = Time::from_nanos(first.received_ns) + silence.delay;
    shot.sent = Sent { intended, ..Sent::default() };
    shot.request = Request { identity: true, ..Request::default() };
    let second = bench.send(function, &shot, silence.number).await;
    let late = lagging(std::iter::once(&second), silence.delay);
    let mut records = vec![first, second];
    if let Some(reason) = late {
        mark(&mut records, "void", &reason);
    }
    records
}

/// Uses all instances of the keeper again and again, from the common start until all silences are over.
async fn keep<V: Vantage>(
    bench: &Bench<'_, V>,
    keeper: &Function,
    instances: u32,
    (begin, held, end): (Time, Time, Time),
) -> Vec<Record> {
    let each = bench.scope.idle.busy.each;
    let mut shot = Shot {
        phase: "keep",
        round: 0,
        setting: setting([
            ("each_s", format!("{:.3}", each.as_secs_f64())),
            ("part", "keeper".to_owned()),
            ("stage", "busy".to_owned()),
        ]),
        request: bench.held(held),
        sent: Sent { intended: begin, forced_by: Forced::FreshFunction, ..Sent::default() },
    };
    let mut records = bench.burst(keeper, &shot, instances).await;
    let hold_ms = each.as_millis_f64() / BUSY_PART as f64;
    shot.request = Request { identity: true, hold_ms: Some(hold_ms), ..Request::default() };
    let mut next = held;
    while next < end {
        next += each;
        shot.sent = Sent { intended: next, ..Sent::default() };
        records.extend(bench.burst(keeper, &shot, instances).await);
    }
    records
}
