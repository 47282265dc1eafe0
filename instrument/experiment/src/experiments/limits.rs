//! Limits: how long may a function run, how much memory and disk may it have, how large may a request be?
//!
//! The paper (table 1) has them from the vendors' documents. Here each is searched: timeouts and memory sizes by deploying
//! functions until one is refused, requests by sending larger and smaller ones, /tmp by taking room until there is none.
//! A search ends where neighbours differ, so what is found is exact. Only a refusal is one: what a rate stops, what is lost
//! on its way, and a function that fails tell nothing of a limit, and are asked again within bounds.

use crate::bench::{Bench, Setting, Shot, setting};
use crate::experiment::{About, Experiment, Planned, Unit};
use crate::memory_time::MemoryTime;
use crate::scope::{LimitsScope, Scope};
use crate::vantage::{Function, FunctionSpec, Sent, Vantage};
use model::Span;
use probe::{Fill, Request};
use record::{Forced, Outcome, Record};

/// Tries of one level that tell nothing, after which its search ends.
const TRIES: u32 = 3;

/// HTTP status of a request that is refused for what it is: `RequestTooLargeException` is 413,
/// `InvalidRequestContentException` 400 (AWS Lambda, API of Invoke, 2026-11).
const REFUSED: [u16; 2] = [400, 413];

/// Words in the errors of a control operation that a rate stopped.
const RATES: [&str; 3] = ["TooManyRequests", "Throttl", "RequestLimitExceeded"];

/// Words in the errors of one that was lost, or failed by the platform's own fault: `ServiceException` is Lambda's, the
/// last two are the SDK's.
const FAULTS: [&str; 5] =
    ["ServiceException", "ServiceUnavailable", "InternalFailure", "dispatch failure", "timed out"];

/// Bytes of a request beside its padding: `{"padding":""}`.
const REQUEST_BYTES: u64 = 14;

/// The limits experiment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits;

/// Which limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitsStep {
    /// Longest timeout.
    Timeout,
    /// Largest memory size.
    Memory,
    /// Largest request.
    Payload,
    /// What /tmp holds.
    Disk,
}

impl LimitsStep {
    const ALL: [Self; 4] = [Self::Timeout, Self::Memory, Self::Payload, Self::Disk];

    fn word(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Memory => "memory",
            Self::Payload => "payload",
            Self::Disk => "disk",
        }
    }

    /// What is searched, in steps from the first level that must hold: how many there are, and how large one is.
    fn levels(self, scope: &LimitsScope) -> (u64, u64, u64) {
        let ((from, to), step) = match self {
            Self::Timeout => (scope.timeout_s, 1),
            Self::Memory => (scope.memory_mib, scope.memory_step_mib),
            Self::Payload => (scope.payload_kib, 1),
            Self::Disk => ((0, 0), 1),
        };
        (from, to.saturating_sub(from) / step.max(1), step)
    }

    /// Tries that a search takes, both ends included.
    fn tries(self, scope: &LimitsScope) -> u64 {
        let (_, count, _) = self.levels(scope);
        match self {
            Self::Disk => u64::from(scope.disk_rounds),
            _ => 2 + u64::from(u64::BITS - count.leading_zeros()),
        }
    }
}

impl Experiment for Limits {
    type Step = LimitsStep;

    fn about(&self) -> About {
        About {
            name: "limits",
            question: "How long, how much and how large may it be?",
            method: "Each limit is searched by halving until neighbours differ: timeouts and memory sizes by \
                deploying, requests by sending them, /tmp by taking room until there is none left.",
            paper_design: "From the vendors' documents.",
            needs: &[],
            leaves: "",
            adapts: false,
        }
    }

    fn plan(&self, scope: &Scope) -> Vec<Planned<LimitsStep>> {
        let unit = |step: LimitsStep| {
            let tries = step.tries(&scope.limits);
            let deploys = matches!(step, LimitsStep::Timeout | LimitsStep::Memory);
            let functions = match step {
                LimitsStep::Payload => 1,
                _ => tries,
            };
            Unit {
                name: step.word().to_owned(),
                functions,
                // A configuration that is tried is a record, too.
                invocations: tries,
                used: match step {
                    LimitsStep::Timeout | LimitsStep::Memory => MemoryTime::default(),
                    LimitsStep::Payload => MemoryTime::of_answers(tries, scope.memory_min_mib),
                    // Until it is full, or time is up.
                    LimitsStep::Disk => MemoryTime::of(tries, scope.memory_min_mib, scope.timeout),
                },
                expected: match deploys {
                    true => scope.control * tries,
                    false => scope.control * functions + scope.start * tries,
                },
            }
        };
        LimitsStep::ALL.map(|step| Planned { unit: unit(step), step }).into()
    }

    async fn run<V: Vantage>(&self, bench: &Bench<'_, V>, step: &LimitsStep) -> Vec<Record> {
        let spec = bench.spec(bench.scope.runtime(), bench.scope.memory_min_mib);
        match step {
            LimitsStep::Disk => disk(bench, spec).await,
            LimitsStep::Payload => {
                let function = match bench.deploy(spec).await {
                    Ok(function) => function,
                    Err(record) => return vec![*record],
                };
                let records = search(bench, *step, async |kib| send(bench, &function, kib).await);
                let records = records.await;
                bench.remove(function).await;
                records
            }
            LimitsStep::Timeout => {
                let with =
                    |secs: u64| FunctionSpec { timeout: Span::from_secs(secs), ..spec.clone() };
                search(bench, *step, async |secs| declare(bench, with(secs)).await).await
            }
            LimitsStep::Memory => {
                let with = |mib: u64| FunctionSpec { memory_mib: mib as u32, ..spec.clone() };
                search(bench, *step, async |mib| declare(bench, with(mib)).await).await
            }
        }
    }
}

/// Halves the range between a level that holds and one that does not, the ends first.
async fn search<V: Vantage>(
    bench: &Bench<'_, V>,
    step: LimitsStep,
    attempt: impl AsyncFn(u64) -> Tried,
) -> Vec<Record> {
    let (from, count, size) = step.levels(&bench.scope.limits);
    let (mut holds, mut fails) = (0, count);
    let mut records = Vec::new();
    let mut next = Some(count);
    while let Some(index) = next {
        let level = from + index * size;
        let Some(held) = told(bench, step, level, &attempt, &mut records).await else { break };
        match held {
            true if index == count => break,
            true => holds = index,
            false => fails = index,
        }
        // The first level is taken to hold until everything above it is refused.
        next = match fails - holds {
            1 if holds > 0 || index == 0 => None,
            1 => Some(0),
            width => Some(holds + width / 2),
        };
        if index == 0 {
            break;
        }
    }
    records
}

/// One try of a level.
struct Tried {
    record: Record,
    /// Whether it was accepted or refused; None where this tells neither.
    held: Option<bool>,
}

/// Whether a level holds; None where no try tells.
async fn told<V: Vantage>(
    bench: &Bench<'_, V>,
    step: LimitsStep,
    level: u64,
    attempt: impl AsyncFn(u64) -> Tried,
    records: &mut Vec<Record>,
) -> Option<bool> {
    let mut reason = String::new();
    for sequence in 0..TRIES {
        let Tried { record, held } = attempt(level).await;
        reason = record.error.to_string();
        let mut labels = labels(step);
        labels.insert("level".to_owned(), level.to_string());
        if held.is_none() {
            labels.insert("void".to_owned(), "neither accepted nor refused".to_owned());
        }
        records.push(Record { phase: "try".into(), sequence, setting: labels, ..record });
        if held.is_some() {
            return held;
        }
    }
    bench.problem(format!("{} of {level} was neither accepted nor refused: {reason}", step.word()));
    None
}

fn labels(step: LimitsStep) -> Setting {
    setting([("limit", step.word().to_owned())])
}

/// A function with this configuration, removed at once: whether it can be.
async fn declare<V: Vantage>(bench: &Bench<'_, V>, spec: FunctionSpec) -> Tried {
    let sent = bench.vantage.now().as_nanos();
    let (runtime, memory_mib) = (spec.runtime.clone(), spec.memory_mib);
    let deployed = bench.vantage.deploy(spec).await;
    let received_ns = bench.vantage.now().as_nanos();
    let (outcome, held, function, error) = match deployed {
        Ok(function) => {
            let name = function.name.clone();
            bench.remove(function).await;
            (Outcome::Ok, Some(true), name, String::new())
        }
        Err(error) => {
            let (outcome, held) = undeclared(&error.reason);
            (outcome, held, error.function.clone(), error.to_string())
        }
    };
    let record = Record {
        function: function.into(),
        runtime: runtime.into(),
        memory_mib,
        epoch_unix_ns: bench.vantage.epoch_unix_ns(),
        intended_ns: sent,
        sent_ns: sent,
        received_ns,
        attempts: 1,
        outcome,
        error: error.into(),
        ..Record::default()
    };
    Tried { record, held }
}

/// What became of a configuration that was not taken, and whether that is a refusal.
fn undeclared(reason: &str) -> (Outcome, Option<bool>) {
    let any = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    match (any(&RATES), any(&FAULTS)) {
        (true, _) => (Outcome::Throttled, None),
        (false, true) => (Outcome::Failed, None),
        (false, false) => (Outcome::Failed, Some(false)),
    }
}

/// A request of exactly so many KiB.
async fn send<V: Vantage>(bench: &Bench<'_, V>, function: &Function, kib: u64) -> Tried {
    let padding = "x".repeat((kib * 1024).saturating_sub(REQUEST_BYTES) as usize);
    let request = Request { padding, ..Request::default() };
    let sent = Sent { intended: bench.soon(1), ..Sent::default() };
    let record = bench.vantage.invoke(function, &request, sent).await;
    let held = match record.outcome {
        Outcome::Ok => Some(true),
        Outcome::Failed if REFUSED.contains(&record.http_status) => Some(false),
        Outcome::Failed | Outcome::FunctionError | Outcome::Throttled | Outcome::TimedOut => None,
    };
    Tried { record, held }
}

/// Takes all of /tmp on fresh instances.
async fn disk<V: Vantage>(bench: &Bench<'_, V>, spec: FunctionSpec) -> Vec<Record> {
    let mut records = Vec::new();
    for round in 0..bench.scope.limits.disk_rounds {
        let function = match bench.deploy(spec.clone()).await {
            Ok(function) => function,
            Err(record) => {
                records.push(Record { round, ..*record });
                continue;
            }
        };
        let fill = Fill { most_bytes: bench.scope.limits.disk_mib << 20 };
        let shot = Shot {
            phase: "fill",
            round,
            setting: labels(LimitsStep::Disk),
            request: Request { fill: Some(fill), ..Request::default() },
            sent: Sent {
                intended: bench.soon(1),
                forced_by: Forced::FreshFunction,
                ..Sent::default()
            },
        };
        records.push(bench.send(&function, &shot, 0).await);
        bench.remove(function).await;
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    // A rate and a fault of the platform are no refusal of a configuration; a size that it does not take is.
    #[test]
    fn only_refusals_are_refusals() {
        let held = |reason: &str| undeclared(reason).1;
        assert_eq!(
            held("InvalidParameterValueException: memorySize is at most 10240"),
            Some(false)
        );
        assert_eq!(held("Value '901' at 'timeout' failed to satisfy constraint"), Some(false));
        assert_eq!(held("TooManyRequestsException: Rate exceeded"), None);
        assert_eq!(held("ServiceException: an internal error occurred"), None);
        assert_eq!(held("dispatch failure: connection reset"), None);
    }
}
