//! Cold and warm starts, by runtime and memory size.
//!
//! *Cold* is the first invocation of an instance whose runtime began to load after the request was sent; a request meant to
//! be cold that met an instance prepared ahead is in no figure. *Warm* is any later invocation. A latency runs from the
//! request's first byte to the handler's first statement on the vantage point's clock, so its interval is wider by what is
//! not known of the function's clock; the overhead (round trip minus the function's own duration) needs no second clock.
//! Timeouts and failures are larger than every answer; throttled requests were refused, so they are in no latency.
//! How late a request was sent is in no latency either, since each is counted from its actual sending. What makes cold
//! starts dearer has requests of its own ([`extras`]).

mod extras;

use crate::answers::Answers;
use crate::clock::Fit;
use crate::finding::Finding;
use crate::latency::Latencies;
use crate::statistics::cluster::Row;
use crate::study::{KNOWN, Study, between, group};
use record::{Forced, Outcome, Record, Text};

const EXPERIMENT: &str = "coldstart";

/// Adds the findings of the experiment's records.
pub(crate) fn analyse(study: &Study, answers: &mut Answers) {
    let records = study.of(EXPERIMENT, answers);
    let (starts, others): (Vec<&Record>, Vec<&Record>) =
        records.iter().partition(|record| matches!(record.phase.as_str(), "cold" | "warm"));
    let groups = group(&starts, |record| (record.runtime.clone(), record.memory_mib));
    for ((runtime, memory_mib), records) in groups {
        note_clock(study, answers, &runtime);
        for start in [Start::Cold, Start::Warm] {
            let finding = Finding {
                forced_by: start.forced_by(&records),
                ..Finding::new(EXPERIMENT, start.metric(), "ms")
                    .with_setting("runtime", runtime.as_str())
                    .with_setting("memory_mib", memory_mib)
            };
            let group = Group { records: &records, runtime: &runtime, start, finding };
            add(study, answers, group);
        }
    }
    extras::analyse(study, answers, &others);
}

/// The records of one runtime and memory size.
struct Group<'a> {
    records: &'a [&'a Record],
    runtime: &'a str,
    start: Start,
    finding: Finding,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    Cold,
    Warm,
}

impl Start {
    const fn metric(self) -> &'static str {
        match self {
            Self::Cold => "coldstart",
            Self::Warm => "warmstart",
        }
    }

    const fn phase(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Warm => "warm",
        }
    }

    /// Whether an answered request was what its phase meant it to be.
    fn is(self, study: &Study, record: &Record) -> bool {
        match self {
            Self::Cold => {
                let loading = between(record.epoch_unix_ns, record.init_unix_ns);
                let clock = study.clock(&record.runtime);
                let sent = record.sent_ns as f64 + clock.offset_ns - clock.below_ns;
                record.instance_invocations <= 1 && (record.init_unix_ns == 0 || loading >= sent)
            }
            Self::Warm => record.instance_invocations != 1,
        }
    }

    /// What forced the cold starts, where it was one thing for all.
    fn forced_by(self, records: &[&Record]) -> Option<String> {
        if self == Self::Warm {
            return None;
        }
        let mut forced: Vec<Forced> = records
            .iter()
            .filter(|record| record.phase == self.phase())
            .map(|record| record.forced_by)
            .collect();
        forced.dedup();
        match forced.as_slice() {
            [Forced::FreshFunction] => Some("fresh_function".to_owned()),
            [Forced::Update] => Some("update".to_owned()),
            [Forced::Concurrency] => Some("concurrency".to_owned()),
            [Forced::Idle] => Some("idle".to_owned()),
            _ => None,
        }
    }
}

/// Adds latency and overhead of one group.
fn add(study: &Study, answers: &mut Answers, group: Group) {
    let meant: Vec<&Record> = group
        .records
        .iter()
        .copied()
        .filter(|record| {
            record.phase == group.start.phase() && record.outcome != Outcome::Throttled
        })
        .collect();
    let (phase, metric) = (group.start.phase(), group.start.metric());
    let sample: Vec<&Record> = meant
        .iter()
        .copied()
        .filter(|record| record.outcome != Outcome::Ok || group.start.is(study, record))
        .collect();
    note_others(answers, &group, meant.len(), sample.len());
    if sample.is_empty() && meant.is_empty() && group.start == Start::Warm {
        return;
    }
    let rows = |value: &dyn Fn(&Record) -> f64| {
        sample
            .iter()
            .map(|record| Row::new(u64::from(record.round), value(record) / 1e6))
            .collect::<Vec<_>>()
    };
    let clock = study.clock(group.runtime);
    let known = meant.first().and_then(|record| record.setting.get(KNOWN)).map(Text::as_str);
    let latencies = Latencies {
        rows: rows(&|record| match record.outcome {
            Outcome::Ok if record.started_unix_ns > 0 => clock.latency_ns(record),
            _ => f64::INFINITY,
        }),
        below_ms: clock.above_ns / 1e6,
        above_ms: clock.below_ns / 1e6,
    };
    let template = Finding { metric: format!("{metric}.latency_ms"), ..group.finding.clone() }
        .with_method(
            &format!(
                "{phase} requests, from the first byte sent to the handler's first statement; the interval \
                 includes what is not known of the clock between the two"
            ),
            sample.len(),
        );
    if known.is_none_or(|known| known == "latency") {
        latencies.add_to(answers, &template);
    }
    let overheads = Latencies {
        rows: rows(&|record| match record.outcome {
            Outcome::Ok => between(record.sent_ns, record.received_ns) - record.function_ns as f64,
            _ => f64::INFINITY,
        }),
        below_ms: 0.0,
        above_ms: 0.0,
    };
    let template = Finding { metric: format!("{metric}.overhead_ms"), ..group.finding }
        .with_method(
            &format!(
                "{phase} requests, round trip minus the function's own duration: no second clock"
            ),
            sample.len(),
        );
    if known.is_none_or(|known| known == "overhead") {
        overheads.add_to(answers, &template);
    }
}

/// Says how many requests were not what they were meant to be.
fn note_others(answers: &mut Answers, group: &Group, meant: usize, sample: usize) {
    if sample == meant {
        return;
    }
    let text = format!(
        "{}: {} of {meant} requests meant to be {} ({} at {} MiB) were not, and are in no figure: the platform \
         prepares, keeps or replaces instances on its own",
        group.start.metric(),
        meant - sample,
        group.start.phase(),
        group.runtime,
        group.finding.setting["memory_mib"],
    );
    answers.note(EXPERIMENT, &text);
}

/// Says where the functions' clocks are not the vantage point's.
fn note_clock(study: &Study, answers: &mut Answers, runtime: &str) {
    let clock = study.clock(runtime);
    match clock.fit {
        Fit::Same | Fit::Unknown => {}
        Fit::Shifted => answers.note(
            EXPERIMENT,
            &format!(
                "the clocks of {runtime} functions are {:.1} ms from the vantage point's, give or take \
                 {:.1} ms; latencies are corrected by it",
                clock.offset_ns / 1e6,
                clock.above_ns / 1e6
            ),
        ),
        Fit::Unsteady => answers.note(
            EXPERIMENT,
            &format!(
                "no one offset of the clocks of {runtime} functions fits all exchanges: they are coarse, \
                 step, drift or differ by host, by up to {:.1} ms; latencies are that uncertain, the \
                 clock-free overheads are not",
                (clock.above_ns + clock.below_ns) / 1e6
            ),
        ),
    }
}
