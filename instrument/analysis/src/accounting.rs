//! What is used and not paid for, or paid for and not used.
//!
//! Work that a request leaves behind has *ended* where its last sign of life lies half a second or more before the next
//! request; work that reached its own end, or was still going on then, lasts at least so long (Kaplan and Meier put both
//! together). A request that met another instance tells nothing. What is *billed over used* is the platform's bill over
//! the time between the handler's first and last statement, as the function's own clock has it.

use crate::answers::Answers;
use crate::estimates::add_median;
use crate::finding::Finding;
use crate::statistics::bracket;
use crate::statistics::cluster::Row;
use crate::statistics::kaplan_meier::{Duration, End, curve, quantile, quantile_interval};
use crate::study::{Study, group, setting};
use record::{Outcome, Record};
use serde::Deserialize;

const EXPERIMENT: &str = "accounting";

/// A pause that ends work, ns: the probe has the same.
const PAUSE_NS: u64 = 500_000_000;

/// Work shorter than this says nothing of its share of a CPU: it may have been within what a quota's period has left. s.
const SHARE_MIN_S: f64 = 1.0;

/// The part of the probe's answer that is read here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail {
    background: Option<Work>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Work {
    started_unix_ns: u64,
    last_unix_ns: u64,
    cpu_ns: u64,
    finished: bool,
}

/// One function's work after its response.
struct Left {
    round: u64,
    life: Duration,
    /// CPUs' worth of time; None where it is not known.
    share: Option<f64>,
}

/// Adds the findings of the experiment's records.
pub(crate) fn analyse(study: &Study, answers: &mut Answers) {
    let records = study.of(EXPERIMENT, answers);
    let of = |phase: &str| -> Vec<&Record> {
        records.iter().copied().filter(|record| record.phase == phase).collect()
    };
    let asked = of("ask");
    if !of("leave").is_empty() {
        let left: Vec<Left> = asked.iter().filter_map(|record| Left::of(record)).collect();
        if left.len() < asked.len() {
            let text = format!(
                "{} of {} silences tell nothing: the instance was gone, or its work could not be watched",
                asked.len() - left.len(),
                asked.len()
            );
            answers.note(EXPERIMENT, &text);
        }
        add_background(answers, &left);
        add_share(answers, &left);
    }
    add_bills(answers, &of("billed"));
}

impl Left {
    fn of(record: &Record) -> Option<Self> {
        if record.outcome != Outcome::Ok {
            return None;
        }
        let work = serde_json::from_str::<Detail>(&record.detail).ok()?.background?;
        let length = work.last_unix_ns.checked_sub(work.started_unix_ns)? as f64 / 1e9;
        let paused = record.started_unix_ns.saturating_sub(work.last_unix_ns) >= PAUSE_NS;
        let end = if paused && !work.finished { End::Seen } else { End::Censored };
        let share =
            (length >= SHARE_MIN_S && work.cpu_ns > 0).then(|| work.cpu_ns as f64 / 1e9 / length);
        Some(Self { round: u64::from(record.round), life: Duration { length, end }, share })
    }
}

fn add_background(answers: &mut Answers, left: &[Left]) {
    let lives: Vec<Duration> = left.iter().map(|left| left.life).collect();
    let method = "from the response to the last sign of life of work that it left behind; median";
    let finding = Finding::new(EXPERIMENT, "accounting.background_s", "s")
        .with_method(method, lives.len())
        .with_clusters("function", lives.len());
    match quantile(&curve(&lives), 0.5) {
        Some(length) => {
            let interval = quantile_interval(&lives, 0.5);
            answers.add(finding.with_number(length).with_interval(interval));
        }
        None => {
            let longest = lives.iter().map(|life| life.length).reduce(f64::max);
            let why = match longest {
                Some(_) => "work after the response outlived every silence; longer ones would tell",
                None => "no work after a response could be watched",
            };
            answers.add_unknown(finding.with_interval(bracket::interval(longest, None)), why);
        }
    }
}

fn add_share(answers: &mut Answers, left: &[Left]) {
    let share = |left: &Left| Some(Row::new(left.round, left.share?));
    let rows: Vec<Row<f64>> = left.iter().filter_map(share).collect();
    let method = "CPU time of work after the response over the time for which it went on; median";
    let finding = Finding::new(EXPERIMENT, "accounting.background_cpu_share", "fraction")
        .with_method(method, rows.len())
        .with_clusters("function", rows.len());
    if rows.is_empty() {
        let why = "no work went on for long enough after its response to tell its share of a CPU";
        return answers.add_unknown(finding, why);
    }
    add_median(answers, finding, &rows);
}

fn add_bills(answers: &mut Answers, records: &[&Record]) {
    let key = |record: &Record| {
        let duration_us = setting::<f64>(record, "duration_ms").map(|ms| (ms * 1e3).round() as u64);
        (record.memory_mib, duration_us, record.instance_invocations == 1)
    };
    let answered: Vec<&Record> =
        records.iter().copied().filter(|record| record.outcome == Outcome::Ok).collect();
    for ((memory_mib, duration_us, init), records) in group(&answered, key) {
        let Some(duration_us) = duration_us else { continue };
        let rows: Vec<Row<f64>> = records
            .iter()
            .filter(|record| record.billed_ms > 0.0 && record.function_ns > 0)
            .map(|record| {
                let used_ms = record.function_ns as f64 / 1e6;
                Row::new(u64::from(record.round), record.billed_ms / used_ms)
            })
            .collect();
        let method = "the platform's bill over the handler's own time, median";
        let finding = Finding::new(EXPERIMENT, "accounting.billed_over_used", "fraction")
            .with_setting("memory_mib", memory_mib)
            .with_setting("duration_ms", duration_us as f64 / 1e3)
            .with_setting("init", init)
            .with_method(method, rows.len())
            .with_clusters("round", rows.len());
        match rows.is_empty() {
            false => add_median(answers, finding, &rows),
            true => answers.add_unknown(finding, "the platform reports no billed duration"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Value;
    use crate::placed::HostSource;

    const EPOCH_NS: u64 = 1_700_000_000_000_000_000;

    /// A silence of `silence_s` after which work is found to have gone on for `went_s`.
    fn silence(
        round: u32,
        silence_s: f64,
        (went_s, cpus): (f64, f64),
        finished: bool,
    ) -> [Record; 2] {
        let ns = |s: f64| (s * 1e9) as u64;
        let leave = Record {
            experiment: EXPERIMENT.into(),
            phase: "leave".into(),
            round,
            outcome: Outcome::Ok,
            ..Record::default()
        };
        let work = serde_json::json!({"background": {
            "started_unix_ns": EPOCH_NS,
            "last_unix_ns": EPOCH_NS + ns(went_s),
            "cpu_ns": ns(went_s * cpus),
            "finished": finished,
        }});
        let ask = Record {
            phase: "ask".into(),
            started_unix_ns: EPOCH_NS + ns(silence_s),
            detail: work.to_string().into(),
            ..leave.clone()
        };
        [leave, ask]
    }

    fn found(records: &[Record], metric: &str) -> Finding {
        crate::found::found(analyse, records, metric)
    }

    // Work that stops within some silences and outlives others has the length of where it stops, and its share.
    #[test]
    fn work_ends_where_it_ends() {
        let mut records = Vec::new();
        for round in 0..10 {
            records.extend(silence(round, 3.0, (2.4, 0.25), true));
            records.extend(silence(round, 60.0, (20.0, 0.25), false));
        }
        let length = found(&records, "accounting.background_s");
        assert_eq!(
            (length.value, length.ci95),
            (Value::Number(20.0), Some((Some(20.0), Some(20.0))))
        );
        assert_eq!(found(&records, "accounting.background_cpu_share").value, Value::Number(0.25));
    }

    // Work that outlives every silence has a bound and no length; work that stops at once has no share.
    #[test]
    fn bounds_are_told() {
        let endless: Vec<Record> =
            (0..10).flat_map(|round| silence(round, 3.0, (2.4, 0.5), true)).collect();
        let length = found(&endless, "accounting.background_s");
        assert_eq!((length.value, length.ci95), (Value::Null, Some((Some(2.4), None))));
        let brief: Vec<Record> =
            (0..10).flat_map(|round| silence(round, 3.0, (0.005, 1.0), false)).collect();
        assert_eq!(found(&brief, "accounting.background_s").value, Value::Number(0.005));
        assert_eq!(found(&brief, "accounting.background_cpu_share").value, Value::Null);
    }

    // Bills are set beside the function's own time, cold and warm apart; a platform that says nothing gives no figure.
    #[test]
    fn bills_are_set_beside_use() {
        let record = |served, billed_ms| Record {
            experiment: EXPERIMENT.into(),
            phase: "billed".into(),
            memory_mib: 128,
            setting: [("duration_ms".to_owned(), "10".to_owned())].into(),
            outcome: Outcome::Ok,
            instance_invocations: served,
            function_ns: 10_000_000,
            billed_ms,
            ..Record::default()
        };
        let records = [record(1, 200.0), record(2, 100.0)];
        let study = Study::of_records(records.iter().collect(), HostSource::None);
        let mut answers = Answers::default();
        analyse(&study, &mut answers);
        let (findings, _) = answers.into_parts();
        let of = |init: bool| findings.iter().find(|it| it.setting["init"] == init).unwrap();
        assert_eq!(of(true).value, Value::Number(20.0));
        assert_eq!(of(false).value, Value::Number(10.0));
        assert_eq!(found(&[record(1, 0.0)], "accounting.billed_over_used").value, Value::Null);
    }
}
