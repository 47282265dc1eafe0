//! How many instances N concurrent requests to one fresh function get.
//!
//! Only instances that run at one instant count. A request is *queued* where its instance had already served another
//! request of the burst. Deliberately knows nothing of hosts.

use crate::answers::Answers;
use crate::estimates::{add_median, add_share};
use crate::finding::Finding;
use crate::placed::together;
use crate::statistics::bracket;
use crate::statistics::cluster::Row;
use crate::statistics::set::{self, Extent};
use crate::study::{Study, between, group, setting};
use record::{Outcome, Record};
use std::collections::BTreeMap;

pub(crate) const EXPERIMENT: &str = "scaling";

/// Send lag above which a burst was no burst, nanoseconds (TRUTH: 1 ms).
const LAG_NS: u64 = 1_000_000;

/// Adds the findings of the experiment's records.
pub(crate) fn analyse(study: &Study, answers: &mut Answers) {
    let records = study.of(EXPERIMENT, answers);
    let mut bursts: BTreeMap<(u32, u32), Vec<Burst>> = BTreeMap::new();
    let key = |record: &Record| {
        (
            setting::<u32>(record, "concurrency"),
            record.memory_mib,
            record.round,
            record.function.clone(),
        )
    };
    for ((concurrency, memory_mib, round, _), records) in group(&records, key) {
        match concurrency {
            Some(concurrency) => bursts
                .entry((memory_mib, concurrency))
                .or_default()
                .push(Burst::of(study, u64::from(round), &records)),
            None => answers
                .note(EXPERIMENT, "requests without the setting concurrency are in no figure"),
        }
    }
    for ((memory_mib, concurrency), bursts) in &bursts {
        add_size(answers, *concurrency, *memory_mib, bursts);
    }
    if !bursts.is_empty() {
        add_ceiling(answers, &bursts);
    }
}

/// What one burst to one function showed.
struct Burst {
    round: u64,
    requests: usize,
    /// Distinct instances at the instant when most ran.
    instances: usize,
    /// Of each answered request, whether it was queued.
    queued: Vec<bool>,
    /// Instances per second, from the first sending to the last first start; None where nothing ran.
    instances_per_s: Option<f64>,
    /// The most requests that one instance served at one instant.
    requests_per_instance: usize,
    /// How late the latest request was sent, nanoseconds.
    lag_ns: u64,
}

impl Burst {
    fn of(study: &Study, round: u64, records: &[&Record]) -> Self {
        let answered: Vec<&Record> = records
            .iter()
            .copied()
            .filter(|record| record.outcome == Outcome::Ok && !record.instance.is_empty())
            .collect();
        let by_instance = group(&answered, |record| record.instance.clone());
        let queued = by_instance.values().flat_map(|records| {
            records.iter().map(|record| {
                records.iter().any(|other| {
                    other.finished_unix_ns <= record.started_unix_ns
                        && other.started_unix_ns < record.started_unix_ns
                })
            })
        });
        Self {
            round,
            requests: records.len(),
            instances: together(records).len(),
            queued: queued.collect(),
            instances_per_s: rate(study, records, by_instance.values()),
            requests_per_instance: by_instance
                .values()
                .map(|ran| most_at_once(ran))
                .max()
                .unwrap_or(0),
            lag_ns: records
                .iter()
                .map(|record| record.sent_ns.saturating_sub(record.intended_ns))
                .max()
                .unwrap_or(0),
        }
    }
}

/// Instances over the time from the burst's first sending to the last instance's first start.
fn rate<'a>(
    study: &Study,
    records: &[&Record],
    instances: impl ExactSizeIterator<Item = &'a Vec<&'a Record>>,
) -> Option<f64> {
    let count = instances.len();
    let first_sent = records.iter().map(|record| record.sent_ns).min()?;
    let started = |record: &Record| {
        between(record.epoch_unix_ns, record.started_unix_ns)
            - study.clock(&record.runtime).offset_ns
    };
    let last = instances
        .filter_map(|ran| ran.iter().map(|record| started(record)).reduce(f64::min))
        .reduce(f64::max)?;
    let seconds = (last - first_sent as f64) / 1e9;
    (seconds > 0.0).then(|| count as f64 / seconds)
}

/// The most windows of one instance that share an instant; windows that only touch share none.
fn most_at_once(records: &[&Record]) -> usize {
    let at = |instant: u64| {
        let runs = |record: &&&Record| {
            record.started_unix_ns <= instant && instant < record.finished_unix_ns
        };
        records.iter().filter(runs).count()
    };
    records.iter().map(|record| at(record.started_unix_ns).max(1)).max().unwrap_or(0)
}

/// Adds what is found per burst size.
fn add_size(answers: &mut Answers, concurrency: u32, memory_mib: u32, bursts: &[Burst]) {
    let rows: usize = bursts.iter().map(|burst| burst.requests).sum();
    let finding = |metric: &str, unit: &str, method: &str| {
        Finding::new(EXPERIMENT, metric, unit)
            .with_setting("concurrency", concurrency)
            .with_setting("memory_mib", memory_mib)
            .with_method(method, rows)
            .with_clusters("round", bursts.len())
    };
    let instances: Vec<_> =
        bursts.iter().map(|burst| Row::new(burst.round, burst.instances as f64)).collect();
    add_median(
        answers,
        finding(
            "scaling.instances",
            "instances",
            "requests held together until one moment; distinct instances running at one instant, median of \
             rounds",
        ),
        &instances,
    );
    let queued: Vec<_> = bursts
        .iter()
        .flat_map(|burst| burst.queued.iter().map(|queued| Row::new(burst.round, *queued)))
        .collect();
    let method = "answered requests whose instance had already served a request of the burst";
    add_share(answers, finding("scaling.queued_fraction", "fraction", method), &queued);
    let rates: Vec<_> = bursts
        .iter()
        .filter_map(|burst| Some(Row::new(burst.round, burst.instances_per_s?)))
        .collect();
    let mut rate = finding(
        "scaling.instances_per_s",
        "count",
        "instances over the time from the first sending to the last instance's start, median of rounds",
    );
    let lag_ns = bursts.iter().map(|burst| burst.lag_ns).max().unwrap_or(0);
    if lag_ns > LAG_NS {
        let lag_ms = lag_ns as f64 / 1e6;
        rate.disturbed = Some(format!("requests were sent up to {lag_ms:.1} ms late"));
    }
    add_median(answers, rate, &rates);
}

/// Adds what holds for one function over all burst sizes.
fn add_ceiling(answers: &mut Answers, bursts: &BTreeMap<(u32, u32), Vec<Burst>>) {
    let all =
        || bursts.iter().flat_map(|((_, size), bursts)| bursts.iter().map(|one| (*size, one)));
    let rows: usize = all().map(|(_, burst)| burst.requests).sum();
    let rounds = all().count();
    let most = all().map(|(_, burst)| burst.instances).max().unwrap_or(0);
    let finding = Finding::new(EXPERIMENT, "scaling.max_concurrent_instances", "instances")
        .with_method(
            "the most instances of one function that ran at one instant, any burst size",
            rows,
        )
        .with_clusters("round", rounds)
        .with_number(most as f64);
    if most == 0 {
        answers.add_unknown(finding, "no request was answered; see the failures");
        return;
    }
    // A ceiling was met only where larger bursts got no more, each time.
    let larger: Vec<usize> =
        all().filter(|(size, _)| *size as usize > most).map(|(_, burst)| burst.instances).collect();
    let met = !larger.is_empty() && larger.iter().all(|instances| *instances == most);
    let high = met.then_some(most as f64);
    if larger.is_empty() {
        answers.note(
            EXPERIMENT,
            "scaling.max_concurrent_instances: every burst got an instance for each request, so the \
             ceiling is at least the largest burst; larger bursts would find it",
        );
    }
    answers.add(finding.with_interval(bracket::interval(Some(most as f64), high)));
    let serves = all().map(|(_, burst)| burst.requests_per_instance).max().unwrap_or(0);
    answers.add(
        Finding::new(EXPERIMENT, "scaling.requests_per_instance", "count")
            .with_method("the most requests that one instance served at one instant", rows)
            .with_clusters("round", rounds)
            .with_number(serves as f64)
            .with_interval(set::interval(serves as f64, Extent::AtLeast)),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Value;

    /// A burst of `requests` on a platform that runs at most `ceiling` instances, each for 100 ms, and queues the rest.
    fn burst(round: u32, requests: u32, ceiling: u32) -> Vec<Record> {
        let request = |number: u32| {
            let turn = u64::from(number / ceiling);
            let started = u64::from(round) * 10_000_000_000 + 5_000_000 + turn * 101_000_000;
            Record {
                experiment: EXPERIMENT.into(),
                round,
                function: format!("f-{round}-{requests}").into(),
                memory_mib: 128,
                setting: [("concurrency".to_owned(), requests.to_string())].into(),
                outcome: Outcome::Ok,
                instance: format!("{round}-{requests}-{}", number % ceiling).into(),
                sent_ns: u64::from(round) * 10_000_000_000,
                received_ns: started + 101_000_000,
                started_unix_ns: started,
                finished_unix_ns: started + 100_000_000,
                ..Record::default()
            }
        };
        (0..requests).map(request).collect()
    }

    fn found(records: &[Record], metric: &str, concurrency: Option<u32>) -> Finding {
        let (findings, _) = crate::analyse(records);
        let wanted = |one: &&Finding| {
            let size = one.setting.get("concurrency").and_then(|size| size.as_u64());
            one.metric == metric && size == concurrency.map(u64::from)
        };
        findings.iter().find(wanted).cloned().unwrap()
    }

    // A platform without a ceiling gives an instance to each request, and the ceiling stays open above.
    #[test]
    fn each_request_gets_an_instance() {
        let records: Vec<_> = (0..12)
            .flat_map(|round| [5, 20].map(|size| burst(round, size, 100)))
            .flatten()
            .collect();
        let instances = found(&records, "scaling.instances", Some(20));
        assert_eq!(instances.value, Value::Number(20.0));
        assert_eq!(instances.ci95, Some((Some(20.0), Some(20.0))));
        let queued = found(&records, "scaling.queued_fraction", Some(20));
        assert_eq!(queued.value, Value::Number(0.0));
        let ceiling = found(&records, "scaling.max_concurrent_instances", None);
        assert_eq!((ceiling.value, ceiling.ci95), (Value::Number(20.0), Some((Some(20.0), None))));
        // 20 instances in 5 ms.
        let rate = found(&records, "scaling.instances_per_s", Some(20));
        assert_eq!(rate.value, Value::Number(4000.0));
    }

    // One with a ceiling of 8 queues the rest, and a larger burst proves the ceiling.
    #[test]
    fn a_ceiling_is_found() {
        let records: Vec<_> =
            (0..12).flat_map(|round| [5, 20].map(|size| burst(round, size, 8))).flatten().collect();
        assert_eq!(found(&records, "scaling.instances", Some(20)).value, Value::Number(8.0));
        let queued = found(&records, "scaling.queued_fraction", Some(20));
        assert_eq!(queued.value, Value::Number(0.6));
        let ceiling = found(&records, "scaling.max_concurrent_instances", None);
        assert_eq!(ceiling.ci95, Some((Some(8.0), Some(8.0))));
        let serves = found(&records, "scaling.requests_per_instance", None);
        assert_eq!(serves.value, Value::Number(1.0));
    }

    // Instances that serve several requests at once are counted once.
    #[test]
    fn shared_instances_count_once() {
        let mut records: Vec<_> = (0..12).flat_map(|round| burst(round, 20, 100)).collect();
        for record in &mut records {
            record.instance = format!("{}-{}", record.round, record.instance.len() % 2).into();
        }
        assert_eq!(found(&records, "scaling.instances", Some(20)).value, Value::Number(2.0));
        let serves = found(&records, "scaling.requests_per_instance", None);
        assert_eq!(serves.value, Value::Number(10.0));
        assert_eq!(found(&records, "scaling.queued_fraction", Some(20)).value, Value::Number(0.0));
    }
}
