//! Idle: how long does a platform keep an instance that nobody uses, and how does a pool of them shrink?
//!
//! The paper (section 5.3): binary search over delays of 1 to 120 min between two invocations of one function, then 100
//! repetitions around the limit found; AWS 27 min, and of an idle pool half goes every 300 s or so. Better here:
//! - five or more pairs per delay, each a fresh function, since single pairs err where other causes end instances;
//! - all delays of a stage are silent together, so a search takes as long as its longest delay, and a limit that varies
//!   gives a survival curve rather than a wrong answer of a binary search;
//! - a geometric grid (`search`), where a cloud leaves time begun at any moment, since all instances may be looked at now and
//!   then together; even steps in the bracket until it is at most 2 % wide (`refine`), then repetitions at its
//!   ends and middle (`confirm`);
//! - pools of instances held together and probed once, five or more per delay, at delays evenly up to the limit: where
//!   hosts have clocks that are out of step, pools shrink at any time, and every delay tells something. They start one
//!   after another, so that each stays together on its hosts;
//! - pools that are used again and again, so that each tick of a host's clock is seen between two looks (`watch`);
//! - at last, the same limit where another instance keeps the host busy (`busy`).

mod busy;
mod delays;
mod survival;
mod watch;

use self::delays::{geometric, in_gaps, inside, starts};
use self::survival::Survival;
use crate::bench::{Bench, Shot, lagging, late, mark, setting};
use crate::experiment::{About, Experiment, Need, Planned, Unit};
use crate::memory_time::MemoryTime;
use crate::scope::{IdleScope, Scope, SearchStarts};
use crate::vantage::{Function, Sent, Vantage};
use futures::future::{join, join_all};
use futures::lock::Mutex;
use model::{Span, Time};
use probe::Request;
use record::{Forced, Outcome, Record};
use std::collections::BTreeSet;

pub(crate) use self::busy::requests as busy_requests;
pub(crate) use self::survival::idle_limit;

/// Width of the bracket, as a fraction of the limit, at which refinement ends (TRUTH: at most 2 %).
const BRACKET_WIDTH: f64 = 0.02;

/// Tries to hold a pool together.
const LAUNCHES_MAX: u32 = 3;

/// Refinements at most, whatever the scope.
const REFINEMENTS_MAX: u32 = 4;

/// The idle experiment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Idle;

/// Part of the search for one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdleStage {
    /// A geometric grid over the whole range.
    Search,
    /// Even steps in the bracket found so far; numbered from 1.
    Refine(u32),
    /// Many pairs at the bracket's ends and middle.
    Confirm,
    /// Pools looked at again and again, where they shrink.
    Watch,
    /// Pairs on hosts that another instance keeps busy.
    Busy,
}

/// One stage for one runtime and memory size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdleStep {
    /// Which stage.
    pub stage: IdleStage,
    /// Runtime.
    pub runtime: String,
    /// Memory size, MiB.
    pub memory_mib: u32,
}

impl IdleStage {
    fn word(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Refine(_) => "refine",
            Self::Confirm => "confirm",
            Self::Watch => "watch",
            Self::Busy => "busy",
        }
    }

    fn has_pools(self) -> bool {
        matches!(self, Self::Refine(1) | Self::Confirm)
    }
}

impl Experiment for Idle {
    type Step = IdleStep;

    fn about(&self) -> About {
        About {
            name: "idle",
            question: "How long is an idle instance kept, and how does a pool of them shrink?",
            method: "Pairs of requests to fresh functions with a silence between them, all delays \
                silent at once: a geometric grid first, then even steps where the first \
                instance was lost, then repetitions at the ends of that bracket. Pools of \
                instances are held together once and probed once, each after its own silence.",
            paper_design: "Binary search over delays of 1 to 120 minutes, then 100 repetitions around the \
                limit.",
            needs: &[Need::QuietPlatform],
            leaves: "",
            adapts: true,
        }
    }

    fn plan(&self, scope: &Scope) -> Vec<Planned<IdleStep>> {
        let refinements = (1..=refinements(&scope.idle)).map(IdleStage::Refine);
        let stages: Vec<IdleStage> = std::iter::once(IdleStage::Search)
            .chain(refinements)
            .chain([IdleStage::Confirm])
            .collect();
        let mut steps = Vec::new();
        let watch = (watch::pools(scope) > 0).then_some(IdleStage::Watch);
        let busy = (scope.idle.busy.pairs > 0).then_some(IdleStage::Busy);
        let once: Vec<IdleStage> = watch.into_iter().chain(busy).collect();
        for (number, (runtime, memory_mib)) in scope.idle.settings.iter().enumerate() {
            // Pools are watched, and hosts kept busy, for the first setting only.
            for stage in stages.iter().chain(once.iter().filter(|_| number == 0)) {
                let step =
                    IdleStep { stage: *stage, runtime: runtime.clone(), memory_mib: *memory_mib };
                steps.push(Planned { unit: unit(scope, &step), step });
            }
        }
        steps
    }

    async fn run<V: Vantage>(&self, bench: &Bench<'_, V>, step: &IdleStep) -> Vec<Record> {
        let seen = Survival::of(bench.earlier, &step.runtime, step.memory_mib);
        if step.stage == IdleStage::Busy {
            return match seen.bracket() {
                Some(bracket) => busy::busy(bench, step, bracket).await,
                None => Vec::new(),
            };
        }
        if step.stage == IdleStage::Watch {
            return match seen.halving() {
                Some(interval) => watch::watch(bench, step, interval).await,
                None => Vec::new(),
            };
        }
        let pairs = pairs(bench, step.stage, &seen);
        let pools = pools(bench, step.stage, &seen, pairs.len());
        let specs = (0..pairs.len() + pools.len())
            .map(|_| bench.spec(&step.runtime, step.memory_mib))
            .collect();
        let deployed = bench.deploy_all(specs).await;

        let (mut records, mut functions, mut silent) = (Vec::new(), Vec::new(), Vec::new());
        for (deployed, silence) in deployed.into_iter().zip(pairs.into_iter().chain(pools)) {
            match deployed {
                Ok(function) => {
                    functions.push(function);
                    silent.push(silence);
                }
                Err(record) => records.push(Record { round: silence.round, ..*record }),
            }
        }
        records.extend(all_silent(bench, step.stage, &functions, &silent).await);
        bench.remove_all(functions).await;
        records
    }
}

/// What one function does: once together, silent for a while, and once more together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Silence {
    delay: Span,
    /// Repetition at this delay.
    round: u32,
    /// Number among the functions of its kind in this stage.
    number: u32,
    /// Instances: 1 is a pair of requests, more is a pool.
    instances: u32,
}

fn unit(scope: &Scope, step: &IdleStep) -> Unit {
    let idle = &scope.idle;
    let stage = match step.stage {
        IdleStage::Refine(number) => format!("refine-{number}"),
        stage => stage.word().to_owned(),
    };
    let runtime: String = step
        .runtime
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' { c } else { '-' })
        .collect();
    let name = format!("runtime-{runtime}-memory-{}-{stage}", step.memory_mib);
    match step.stage {
        IdleStage::Busy => return busy_unit(scope, name, step.memory_mib),
        IdleStage::Watch => return watch::unit(scope, name, step.memory_mib),
        _ => {}
    }
    let pairs = match step.stage {
        IdleStage::Confirm => 3 * idle.confirm_pairs,
        _ => idle.delays * idle.pairs,
    };
    let pools = if step.stage.has_pools() { idle.pools * idle.pool_delays } else { 0 };
    // Nobody knows the limit yet: half of the longest delay is as good a guess as any.
    let longest = match step.stage {
        IdleStage::Search => idle.range.1,
        _ => Span::from_nanos(idle.range.1.as_nanos() / 2),
    };
    let control = Span::from_nanos((scope.control * u64::from(pairs + pools)).as_nanos() / 8);
    Unit {
        name,
        functions: u64::from(pairs + pools),
        invocations: u64::from(pairs + pools * idle.pool) * 2,
        used: MemoryTime::of_answers(u64::from(pairs) * 2, step.memory_mib)
            + MemoryTime::of(
                u64::from(pools * idle.pool) * 2,
                step.memory_mib,
                scope.hold.of(idle.pool),
            ),
        expected: control + longest + scope.hold.of(idle.pool) * 2,
    }
}

fn busy_unit(scope: &Scope, name: String, memory_mib: u32) -> Unit {
    let idle = &scope.idle;
    let factor = idle.busy.beyond.iter().copied().fold(1.0, f64::max);
    // As elsewhere, half of the range is as good a guess of the limit as any.
    let guess = Span::from_secs_f64(idle.range.1.as_secs_f64() * factor / 2.0).min(idle.range.1);
    let requests = busy::requests(&idle.busy);
    Unit {
        name,
        functions: 1 + u64::from(requests),
        invocations: busy::invocations(&idle.busy, idle.range.1),
        used: busy::used(&idle.busy, idle.range.1, (memory_mib, scope.hold.of(requests))),
        expected: scope.control * u64::from(requests / 8) + scope.hold.of(requests) + guess,
    }
}

/// Refinements that bring the grid's steps to the width wanted.
fn refinements(idle: &IdleScope) -> u32 {
    let (from, to) = (idle.range.0.as_secs_f64(), idle.range.1.as_secs_f64());
    let steps = f64::from(idle.delays.max(2) - 1);
    let mut width = (to / from).powf(1.0 / steps) - 1.0;
    let mut refinements = 0;
    while width > BRACKET_WIDTH && refinements < REFINEMENTS_MAX {
        width /= f64::from(idle.delays + 1);
        refinements += 1;
    }
    refinements.max(1)
}

fn pairs<V: Vantage>(bench: &Bench<'_, V>, stage: IdleStage, seen: &Survival) -> Vec<Silence> {
    let idle = &bench.scope.idle;
    let bracket = seen.bracket();
    if stage != IdleStage::Search && bracket.is_none() {
        bench.problem(format!(
            "instances were still there after {}: the idle limit is beyond the delays searched",
            idle.range.1
        ));
    }
    let (delays, rounds) = match (stage, bracket) {
        (IdleStage::Search, _) => (geometric(idle.range, idle.delays), idle.pairs),
        (_, None) => (Vec::new(), 0),
        // On busy hosts, and of pools that are watched, silences are made apart.
        (IdleStage::Busy | IdleStage::Watch, _) => (Vec::new(), 0),
        (IdleStage::Refine(_), Some(bracket)) => (inside(bracket, idle.delays), idle.pairs),
        (IdleStage::Confirm, Some((kept, gone))) => {
            let mut delays = inside((kept, gone), 1);
            delays.extend([kept, gone].into_iter().filter(|delay| *delay > Span::ZERO));
            (delays, idle.confirm_pairs)
        }
    };
    bench.shuffled(numbered(&delays, rounds, 1))
}

fn pools<V: Vantage>(
    bench: &Bench<'_, V>,
    stage: IdleStage,
    seen: &Survival,
    pairs: usize,
) -> Vec<Silence> {
    let idle = &bench.scope.idle;
    let free = bench.scope.max_instances.saturating_sub(pairs as u32);
    let count = idle.pool_delays.min(free / (idle.pool * idle.pools).max(1));
    let limit = seen.bracket().map_or(idle.range.1, |(_, gone)| gone);
    let delays = match stage {
        IdleStage::Refine(1) => in_gaps(&[], limit, count),
        IdleStage::Confirm if seen.pools_shrank() => in_gaps(&seen.pool_delays(), limit, count),
        _ => return Vec::new(),
    };
    if count < idle.pool_delays {
        bench.problem(format!(
            "pools have {count} delays rather than {}: {} instances at once is the limit",
            idle.pool_delays, bench.scope.max_instances
        ));
    }
    let mut pools = numbered(&delays, idle.pools, idle.pool);
    // The longest wait starts first, so that all end at about the same time.
    pools.sort_by_key(|pool| std::cmp::Reverse(pool.delay));
    pools
}

fn numbered(delays: &[Span], rounds: u32, instances: u32) -> Vec<Silence> {
    let at = |delay: Span| (0..rounds).map(move |round| (delay, round));
    (0..)
        .zip(delays.iter().copied().flat_map(at))
        .map(|(number, (delay, round))| Silence { delay, round, number, instances })
        .collect()
}

/// Sends every first request, lets all be silent together, and sends every second one when it is due.
async fn all_silent<V: Vantage>(
    bench: &Bench<'_, V>,
    stage: IdleStage,
    functions: &[Function],
    silent: &[Silence],
) -> Vec<Record> {
    let scope = bench.scope;
    let hold = scope.lead.of(scope.idle.pool) + scope.hold.of(scope.idle.pool);
    // Single cold starts follow each other closely enough to be silent together, and do not queue for a CPU.
    let spacing = Span::from_nanos(scope.start.as_nanos() / 8);
    let begin = bench.soon(silent.len() as u32);
    let singles = silent.iter().filter(|silence| silence.instances == 1).count() as u64;
    let pool_delays: Vec<Span> = silent
        .iter()
        .filter(|silence| silence.instances > 1)
        .map(|silence| silence.delay)
        .collect();
    let at_once = scope.max_concurrency / scope.idle.pool.max(1);
    let turn = Mutex::new(());
    let mut pool_starts = starts(&pool_delays, hold, at_once as usize).into_iter();
    let mut single = 0;
    let jobs = functions.iter().zip(silent).map(|(function, silence)| {
        let at = if silence.instances == 1 {
            single += 1;
            let slack = match (stage, scope.idle.search) {
                (IdleStage::Search, SearchStarts::Spread) => scope.idle.range.1 - silence.delay,
                _ => Span::ZERO,
            };
            begin + spacing * (single - 1) + part_of(slack, silence.number)
        } else {
            begin + spacing * singles + pool_starts.next().unwrap_or(Span::ZERO)
        };
        (function, *silence, at)
    });
    let (singles, pools): (Vec<_>, Vec<_>) =
        jobs.partition(|(_, silence, _)| silence.instances == 1);
    let pairs = singles
        .into_iter()
        .map(|(function, silence, at)| pair(bench, stage, (function, silence, at)));
    let pools = pools
        .into_iter()
        .map(|(function, silence, at)| pool(bench, stage, (function, silence, at), &turn));
    let (pairs, pools) = join(join_all(pairs), join_all(pools)).await;
    pairs.into_iter().chain(pools).flatten().collect()
}

/// A part of the time, as even as can be over all numbers: multiples of the golden ratio (Weyl, *Mathematische Annalen* 77,
/// 1916).
fn part_of(span: Span, number: u32) -> Span {
    const GOLDEN: f64 = 0.618_033_988_749_895;
    Span::from_secs_f64(span.as_secs_f64() * (f64::from(number) * GOLDEN).fract())
}

/// One instance, used, silent and asked for again.
async fn pair<V: Vantage>(
    bench: &Bench<'_, V>,
    stage: IdleStage,
    (function, silence, at): (&Function, Silence, Time),
) -> Vec<Record> {
    let mut shot = shot(bench, stage, silence, "pair");
    shot.phase = "first";
    shot.sent = Sent { intended: at, forced_by: Forced::FreshFunction, ..Sent::default() };
    let first = bench.send(function, &shot, silence.number).await;
    if first.outcome != Outcome::Ok {
        return vec![first];
    }
    shot.phase = "second";
    shot.sent =
        Sent { intended: Time::from_nanos(first.received_ns) + silence.delay, ..Sent::default() };
    let second = bench.send(function, &shot, silence.number).await;
    voided(vec![first, second], silence)
}

/// A pool of instances held together, silent, and probed once.
async fn pool<V: Vantage>(
    bench: &Bench<'_, V>,
    stage: IdleStage,
    (function, silence, at): (&Function, Silence, Time),
    turn: &Mutex<()>,
) -> Vec<Record> {
    let mut shot = shot(bench, stage, silence, "pool");
    shot.phase = "launch";
    let mut records = launch(bench, function, (shot.clone(), silence, at), turn).await;
    let last = records.iter().map(|record| record.received_ns).max().unwrap_or(0);
    let due = Time::from_nanos(last) + silence.delay;
    shot.phase = "probe";
    shot.sent = Sent { intended: due, ..Sent::default() };
    shot.request = bench.held(due + bench.scope.hold.of(silence.instances));
    records.extend(bench.burst(function, &shot, silence.instances).await);
    voided(records, silence)
}

/// Holds a pool together, for longer and longer where starts are slow: the same requests again meet the instances that
/// are there already and make the rest. Tries but the last are void. Pools take turns, or one that is late would make all
/// later ones late.
async fn launch<V: Vantage>(
    bench: &Bench<'_, V>,
    function: &Function,
    (mut shot, silence, at): (Shot, Silence, Time),
    turn: &Mutex<()>,
) -> Vec<Record> {
    bench.vantage.sleep_until(at).await;
    let _turn = turn.lock().await;
    let mut records = Vec::new();
    let mut hold = bench.scope.hold.of(silence.instances);
    for tries_left in (0..LAUNCHES_MAX).rev() {
        let intended = bench.soon(silence.instances);
        let until = intended + hold;
        shot.sent = Sent { intended, forced_by: Forced::FreshFunction, ..Sent::default() };
        shot.request = bench.held(until);
        let mut launched = bench.burst(function, &shot, silence.instances).await;
        let reason = apart(bench, &launched, until).filter(|_| tries_left > 0);
        if let Some(reason) = &reason {
            mark(&mut launched, "void", reason);
        }
        records.append(&mut launched);
        if reason.is_none() {
            break;
        }
        hold = hold * 2;
    }
    records
}

/// Why the instances of a launch were not all held together, where a longer hold may help.
fn apart<V: Vantage>(bench: &Bench<'_, V>, launched: &[Record], until: Time) -> Option<String> {
    if launched.iter().any(|record| record.outcome != Outcome::Ok) {
        return None;
    }
    let instances: BTreeSet<&str> =
        launched.iter().map(|record| record.instance.as_str()).collect();
    let fewer = instances.len() < launched.len();
    let count = || format!("{} instances for {} requests", instances.len(), launched.len());
    late(launched, until, bench.unix_ns(until)).or_else(|| fewer.then(count))
}

fn shot<V: Vantage>(bench: &Bench<'_, V>, stage: IdleStage, silence: Silence, part: &str) -> Shot {
    Shot {
        phase: "",
        round: silence.round,
        setting: setting([
            ("delay_s", format!("{:.3}", silence.delay.as_secs_f64())),
            ("part", part.to_owned()),
            ("stage", stage.word().to_owned()),
        ]),
        request: Request { identity: true, ..Request::default() },
        sent: Sent { intended: bench.vantage.now(), ..Sent::default() },
    }
}

/// Marks what was asked for again too late; there is no second try, since other functions have the same delay.
fn voided(mut records: Vec<Record>, silence: Silence) -> Vec<Record> {
    let again = |record: &&Record| matches!(record.phase.as_str(), "second" | "probe");
    if let Some(reason) = lagging(records.iter().filter(again), silence.delay) {
        mark(&mut records, "void", &reason);
    }
    records
}
