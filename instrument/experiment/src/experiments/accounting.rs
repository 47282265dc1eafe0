//! Accounting: what is paid for that was not used, and what is used without being paid for?
//!
//! The paper (section 7.2): work that goes on after the response was returned is not billed; on Google it went on with as
//! much as a small virtual machine has. Better here: how long it goes on and how much CPU it gets, by the work's own
//! signs of life, with a bound where it outlives the silence; and what is billed beside what the function saw itself, by
//! memory size, duration and whether it was a cold start.

use crate::bench::{Bench, Setting, Shot, mark, setting};
use crate::experiment::{About, Experiment, Need, Planned, Unit};
use crate::memory_time::{ANSWER, MemoryTime};
use crate::scope::Scope;
use crate::vantage::{Function, Report, Sent, Vantage};
use futures::future::join_all;
use model::{Span, Time};
use probe::{Background, Request};
use record::{Forced, Outcome, Record};

/// The end of a silence in which no work is asked for: a pause of half a second is what the probe takes for an end.
const REST: Span = Span::from_millis(600);

/// The accounting experiment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accounting;

/// One unit of the accounting experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountingStep {
    /// Work after the response, all silences at the same time.
    Background,
    /// Billed invocations of each size and duration.
    Billing {
        /// Repetition.
        round: u32,
    },
}

impl Experiment for Accounting {
    type Step = AccountingStep;

    fn about(&self) -> About {
        About {
            name: "accounting",
            question: "What is paid for and not used, or used and not paid for?",
            method: "A request leaves work behind that goes on after its response; the next one, after a \
                silence, asks how far it came. Invocations that take a known time, cold and warm, are \
                billed, and the bill is set beside what the function saw itself.",
            paper_design: "A process that goes on after the response, posting 10 MB every 10 s.",
            needs: &[Need::QuietPlatform],
            leaves: "",
            adapts: false,
        }
    }

    fn plan(&self, scope: &Scope) -> Vec<Planned<AccountingStep>> {
        let accounting = &scope.accounting;
        let control = |functions: u64| Span::from_nanos((scope.control * functions).as_nanos() / 8);
        let functions =
            accounting.silences.len() as u64 * u64::from(accounting.background_functions);
        let longest = accounting.silences.iter().copied().max().unwrap_or(Span::ZERO);
        let background = Planned {
            unit: Unit {
                name: "background".to_owned(),
                functions,
                invocations: functions * 2,
                used: MemoryTime::of_answers(functions * 2, scope.memory_min_mib),
                expected: control(functions) + scope.start * (1 + functions / 2) + longest,
            },
            step: AccountingStep::Background,
        };
        let functions = (accounting.memory_mib.len() * accounting.durations.len()) as u64;
        let longest = accounting.durations.iter().copied().max().unwrap_or(Span::ZERO);
        let two = |size: u32| move |each: &Span| MemoryTime::of(2, size, (*each).max(ANSWER));
        let sizes = accounting.memory_mib.iter();
        let used: MemoryTime =
            sizes.flat_map(|size| accounting.durations.iter().map(two(*size))).sum();
        let billing = |round| Planned {
            unit: Unit {
                name: format!("billing-round-{round:04}"),
                functions,
                invocations: functions * 2,
                used,
                expected: control(functions) + scope.start * (1 + functions / 2) + longest * 2,
            },
            step: AccountingStep::Billing { round },
        };
        std::iter::once(background).chain((0..accounting.rounds).map(billing)).collect()
    }

    async fn run<V: Vantage>(&self, bench: &Bench<'_, V>, step: &AccountingStep) -> Vec<Record> {
        let scope = &bench.scope.accounting;
        let each = |of: &[Span], memory_mib: u32, rounds: &[u32]| -> Vec<Job> {
            let job = |span: Span, round: u32| Job { memory_mib, span, round };
            of.iter().flat_map(|span| rounds.iter().map(move |round| job(*span, *round))).collect()
        };
        let jobs = match *step {
            AccountingStep::Background => {
                let rounds: Vec<u32> = (0..scope.background_functions).collect();
                each(&scope.silences, bench.scope.memory_min_mib, &rounds)
            }
            AccountingStep::Billing { round } => {
                let sizes = scope.memory_mib.iter();
                sizes.flat_map(|size| each(&scope.durations, *size, &[round])).collect()
            }
        };
        all(bench, *step, bench.shuffled(jobs)).await
    }
}

/// What one function does.
#[derive(Clone, Copy, Debug)]
struct Job {
    memory_mib: u32,
    /// The silence, or the duration.
    span: Span,
    round: u32,
}

/// Deploys a function for each job and does all at the same time.
async fn all<V: Vantage>(
    bench: &Bench<'_, V>,
    step: AccountingStep,
    jobs: Vec<Job>,
) -> Vec<Record> {
    let spec = |job: &Job| bench.spec(bench.scope.runtime(), job.memory_mib);
    let deployed = bench.deploy_all(jobs.iter().map(spec).collect()).await;
    let (mut records, mut functions) = (Vec::new(), Vec::new());
    for (deployed, job) in deployed.into_iter().zip(jobs) {
        match deployed {
            Ok(function) => functions.push((function, job)),
            Err(record) => records.push(Record { round: job.round, ..*record }),
        }
    }
    let begin = bench.soon(functions.len() as u32);
    // One after another, so that work that is left behind does not meet the others' starts.
    let spacing = Span::from_nanos(bench.scope.start.as_nanos() / 2);
    let done = join_all((0..).zip(&functions).map(|(number, (function, job))| async move {
        let begin = begin + spacing * number;
        match step {
            AccountingStep::Background => background(bench, function, *job, begin).await,
            AccountingStep::Billing { .. } => billed(bench, function, *job, begin).await,
        }
    }));
    records.extend(done.await.into_iter().flatten());
    bench.remove_all(functions.into_iter().map(|(function, _)| function).collect()).await;
    records
}

/// A request that leaves work behind, silence, and one that asks for it.
async fn background<V: Vantage>(
    bench: &Bench<'_, V>,
    function: &Function,
    job: Job,
    begin: Time,
) -> Vec<Record> {
    let work = job.span - REST;
    let mut shot = Shot {
        phase: "leave",
        round: job.round,
        setting: setting([("silence_s", format!("{:.3}", job.span.as_secs_f64()))]),
        request: Request {
            background: Some(Background { for_ms: work.as_millis_f64() }),
            ..Request::default()
        },
        sent: Sent { intended: begin, forced_by: Forced::FreshFunction, ..Sent::default() },
    };
    let left = bench.send(function, &shot, 0).await;
    if left.outcome != Outcome::Ok {
        return vec![left];
    }
    shot.phase = "ask";
    shot.request = Request::default();
    let intended = Time::from_nanos(left.received_ns) + job.span;
    shot.sent = Sent { intended, ..Sent::default() };
    let asked = bench.send(function, &shot, 0).await;
    vec![left, asked]
}

/// One cold and one warm invocation of the duration, with what the platform reports of them.
async fn billed<V: Vantage>(
    bench: &Bench<'_, V>,
    function: &Function,
    job: Job,
    begin: Time,
) -> Vec<Record> {
    let mut records = Vec::new();
    for sequence in 0..2 {
        let (intended, forced_by) = match sequence {
            0 => (begin, Forced::FreshFunction),
            _ => (bench.soon(1), Forced::Nothing),
        };
        let shot = Shot {
            phase: "billed",
            round: job.round,
            setting: Setting::default(),
            request: Request { hold_ms: Some(job.span.as_millis_f64()), ..Request::default() },
            sent: Sent { intended, report: Report::Ask, forced_by },
        };
        records.push(bench.send(function, &shot, sequence).await);
    }
    mark(&mut records, "duration_ms", &format!("{}", job.span.as_millis_f64()));
    records
}
