//! Consistency: after an update is acknowledged, does anything still run what was there before, and for how long?
//!
//! The paper (section 4.5): k = 1 or 50 requests before and right after an update of role, memory size, environment or code,
//! 100 rounds per setting; on AWS 3.8 % of instances ran an outdated function, none 6 s after the update. `--full` does
//! the same. Better here: an instance's own mark of code and settings says what it runs, not its output; each update has a
//! function of its own; bursts that follow show whether an outdated instance serves on; and each wait has functions that
//! nothing else was asked of since the update, so that a request cannot hurry what it measures.

use crate::bench::{Bench, Setting, Shot, Try, setting};
use crate::experiment::{About, Experiment, Need, Planned, Unit};
use crate::memory_time::{ANSWER, MemoryTime};
use crate::scope::{ConsistencyScope, Scope};
use crate::vantage::{Change, Function, Sent, Vantage};
use futures::future::join_all;
use model::Span;
use probe::Request;
use record::{Forced, Record};

/// Requests sent so long after an acknowledgement are right after it; a part of this is the send lag that voids nothing.
const RIGHT_AFTER: Span = Span::from_secs(1);

/// The consistency experiment. A step is a round of all kinds of update.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Consistency;

/// One update of one function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Update {
    kind: Kind,
    concurrency: u32,
    wait: Span,
}

/// What is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Code,
    Memory,
    Environment,
    Role(u32),
}

impl Kind {
    /// What can be changed.
    fn of(scope: &ConsistencyScope) -> Vec<Self> {
        let role = scope.role.map(Self::Role);
        [Self::Code, Self::Memory, Self::Environment].into_iter().chain(role).collect()
    }

    fn word(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Memory => "memory",
            Self::Environment => "env",
            Self::Role(_) => "role",
        }
    }

    fn change(self, scope: &ConsistencyScope) -> Change {
        match self {
            Self::Code => Change::Code,
            Self::Memory => Change::Memory(scope.memory_mib),
            Self::Environment => Change::Environment,
            Self::Role(role) => Change::Role(role),
        }
    }
}

impl Experiment for Consistency {
    type Step = u32;

    fn about(&self) -> About {
        About {
            name: "consistency",
            question: "After an update, does anything still run what was there before?",
            method: "A fresh function for each update of code, memory size, environment or role: concurrent \
                requests, the update, and the same requests right after its acknowledgement. Each \
                instance says by its mark what it runs. Further functions are asked for the first \
                time only after a wait.",
            paper_design: "1 or 50 requests before and right after an update of role, memory, environment or \
                code, 100 rounds per setting.",
            needs: &[Need::QuietPlatform],
            leaves: "",
            adapts: false,
        }
    }

    fn plan(&self, scope: &Scope) -> Vec<Planned<u32>> {
        let batches = batches(&scope.consistency, 0);
        let functions = batches.iter().map(|batch| batch.len() as u64).sum();
        let requests = |update: &Update| {
            u64::from(update.concurrency) * u64::from(2 + again(update, &scope.consistency))
        };
        let used = |update: &Update| {
            let answers = u64::from(update.concurrency);
            let again = answers * u64::from(again(update, &scope.consistency));
            let each = keep(scope, update.concurrency).max(ANSWER);
            MemoryTime::of(answers * 2, scope.memory_min_mib, each)
                + MemoryTime::of_answers(again, scope.memory_min_mib)
        };
        let took = batches.iter().map(|batch| expected(scope, batch));
        let unit = |round: u32| Unit {
            name: format!("round-{round:04}"),
            functions,
            invocations: batches.iter().flatten().map(requests).sum(),
            used: batches.iter().flatten().map(used).sum(),
            expected: took.clone().fold(Span::ZERO, |sum, span| sum + span),
        };
        (0..scope.consistency.rounds)
            .map(|round| Planned { unit: unit(round), step: round })
            .collect()
    }

    async fn run<V: Vantage>(&self, bench: &Bench<'_, V>, round: &u32) -> Vec<Record> {
        let mut records = Vec::new();
        for batch in batches(&bench.scope.consistency, *round) {
            let batch = bench.shuffled(batch);
            records.extend(bench.sound(async |_| together(bench, *round, &batch).await).await);
        }
        records
    }
}

/// The updates of a round that are made at the same time: by concurrency, and the waits with the first of them. What is
/// changed before a wait is another kind in each round.
fn batches(scope: &ConsistencyScope, round: u32) -> Vec<Vec<Update>> {
    let kinds = Kind::of(scope);
    let at = |concurrency: &u32| -> Vec<Update> {
        let update =
            |kind: &Kind| Update { kind: *kind, concurrency: *concurrency, wait: Span::ZERO };
        kinds.iter().map(update).collect()
    };
    let mut batches: Vec<Vec<Update>> = scope.concurrency.iter().map(at).collect();
    let kind = kinds[round as usize % kinds.len()];
    if let (Some(first), Some(concurrency)) = (batches.first_mut(), scope.concurrency.first()) {
        let update = |wait: &Span| Update { kind, concurrency: *concurrency, wait: *wait };
        first.extend(scope.waits.iter().map(update));
    }
    batches
}

fn again(update: &Update, scope: &ConsistencyScope) -> u32 {
    if update.wait == Span::ZERO { scope.again } else { 0 }
}

fn expected(scope: &Scope, batch: &[Update]) -> Span {
    let longest = batch.iter().map(|update| update.wait).max().unwrap_or(Span::ZERO);
    let requests: u32 = batch.iter().map(|update| update.concurrency).sum();
    let control = Span::from_nanos((scope.control * batch.len() as u64).as_nanos() / 4);
    let burst = scope.lead.of(requests) + scope.start;
    control + (keep(scope, requests) + burst) * 2 + longest
}

/// How long requests keep their instances, so that each has one of its own; a single one need not.
fn keep(scope: &Scope, concurrency: u32) -> Span {
    if concurrency > 1 { scope.consistency.keep } else { Span::ZERO }
}

async fn together<V: Vantage>(bench: &Bench<'_, V>, round: u32, batch: &[Update]) -> Try {
    let scope = bench.scope;
    let spec = || bench.spec(scope.runtime(), scope.memory_min_mib);
    let deployed = bench.deploy_all(batch.iter().map(|_| spec()).collect()).await;
    let (mut records, mut functions, mut updates) = (Vec::new(), Vec::new(), Vec::new());
    for (deployed, update) in deployed.into_iter().zip(batch) {
        match deployed {
            Ok(function) => {
                functions.push(function);
                updates.push(*update);
            }
            Err(record) => records.push(Record { round, ..*record }),
        }
    }
    let jobs = functions.iter_mut().zip(&updates);
    let seen = jobs.map(|(function, update)| updated(bench, round, function, *update));
    records.extend(join_all(seen).await.into_iter().flatten());
    bench.remove_all(functions).await;
    Try { records, statistic: RIGHT_AFTER, held_until: None }
}

/// Requests, an update, and requests again.
async fn updated<V: Vantage>(
    bench: &Bench<'_, V>,
    round: u32,
    function: &mut Function,
    update: Update,
) -> Vec<Record> {
    let scope = bench.scope;
    let concurrency = update.concurrency;
    let keep = keep(scope, concurrency);
    let mut shot = Shot {
        phase: "before",
        round,
        setting: labels(update),
        request: Request {
            hold_ms: (keep > Span::ZERO).then(|| keep.as_millis_f64()),
            ..Request::default()
        },
        sent: Sent {
            intended: bench.soon(concurrency),
            forced_by: Forced::FreshFunction,
            ..Sent::default()
        },
    };
    let mut records = bench.burst(function, &shot, concurrency).await;
    if let Err(error) = bench.vantage.update(function, update.kind.change(&scope.consistency)).await
    {
        bench.problem(error.to_string());
        return records;
    }
    shot.phase = "after";
    // Nothing of ours lies between acknowledgement and requests: connections are open since the first burst.
    shot.sent = Sent {
        intended: function.acknowledged + update.wait,
        forced_by: Forced::Update,
        ..Sent::default()
    };
    records.extend(bench.burst(function, &shot, concurrency).await);
    shot.phase = "again";
    shot.request = Request::default();
    for _ in 0..again(&update, &scope.consistency) {
        shot.sent = Sent { intended: bench.vantage.now(), ..Sent::default() };
        records.extend(bench.burst(function, &shot, concurrency).await);
    }
    records
}

fn labels(update: Update) -> Setting {
    setting([
        ("concurrency", update.concurrency.to_string()),
        ("kind", update.kind.word().to_owned()),
        ("wait_s", format!("{:.3}", update.wait.as_secs_f64())),
    ])
}
