//! How far the functions' clocks are ahead of the vantage point's, with the bound that the exchanges give.
//!
//! Each answered exchange bounds the offset from both sides (`clock.rs`); all together leave an interval that holds it,
//! however the ways there and back differ. A clock that is read in whole milliseconds or microseconds is wrong by up to
//! that grain, which widens the interval. Where no one offset fits, each host may have its own, if hosts have names;
//! where that does not fit either, clocks drift or step, and no number would be true for the whole study: where the
//! exchanges before and after some moment fit one offset each, they stepped, and the reason says when and by how much.

use crate::answers::Answers;
use crate::clock::bounds_ns;
use crate::finding::Finding;
use crate::statistics::bracket;
use crate::study::{KNOWN, Study, is_sound};
use crate::thin::LeftOut;
use record::{Outcome, Record};
use std::collections::BTreeMap;

/// What such findings belong to, since every experiment adds to them.
const EXPERIMENT: &str = "study";

/// Hosts whose clocks are told one by one, those with most answers first.
const HOSTS_MOST: usize = 10;

/// Offsets, one after another, by which a clock counts as one that steps and does not drift.
const STEPS_MOST: usize = 4;

/// Grains in which clocks are read, ns: milliseconds as JavaScript has them, microseconds.
const GRAINS_NS: [u64; 2] = [COARSEST_GRAIN_NS, 1_000];

/// The coarsest grain, which the others divide.
pub(crate) const COARSEST_GRAIN_NS: u64 = 1_000_000;

/// Readings that must all be whole before a clock is taken to be read in that grain.
const READINGS_MIN: u64 = 10;

/// Adds the offset, where any answer tells of it.
pub(crate) fn analyse(study: &Study, answers: &mut Answers) {
    let tells = |record: &&Record| {
        record.outcome == Outcome::Ok
            && record.started_unix_ns > 0
            && record.finished_unix_ns > 0
            && is_sound(record)
            && !record.setting.contains_key(KNOWN)
    };
    let records: Vec<&Record> = study.records.iter().copied().filter(tells).collect();
    let grains = grains(&records, &study.left_out);
    let Some(all) = offset(&records, &grains) else { return };
    let rows = records.len() + study.left_out.all() as usize;
    if let Some(found) = finding(&all, rows) {
        answers.add(found);
        return;
    }
    let mut hosts: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for record in &records {
        if let Some(host) = study.host.of(record) {
            hosts.entry(host).or_default().push(record);
        }
    }
    let unknown = Finding::new(EXPERIMENT, "clock.offset_ms", "ms").with_method(METHOD, rows);
    if hosts.is_empty() {
        let why = stepped(&records, &grains).unwrap_or_else(|| {
            "no one offset fits all exchanges: clocks step, drift, or differ from host to host; names of hosts would \
             tell which"
                .to_owned()
        });
        return answers.add_unknown(unknown, &why);
    }
    let mut by_host: Vec<(&str, Option<Finding>, usize)> = hosts
        .into_iter()
        .filter_map(|(host, own)| {
            let found = finding(&offset(&own, &grains)?, own.len());
            Some((host, found, own.len()))
        })
        .collect();
    if by_host.iter().any(|(_, found, _)| found.is_none()) {
        let why = stepped(&records, &grains).unwrap_or_else(|| {
            "no one offset fits the exchanges of each host: clocks step or drift; a shorter study would tell more"
                .to_owned()
        });
        return answers.add_unknown(unknown, &why);
    }
    by_host.sort_by_key(|(host, _, count)| (usize::MAX - count, *host));
    if by_host.len() > HOSTS_MOST {
        let text = format!(
            "clock.offset_ms: clocks differ from host to host; of {} hosts, the {HOSTS_MOST} with most answers are told",
            by_host.len()
        );
        answers.note(EXPERIMENT, &text);
    }
    for (host, found, _) in by_host.into_iter().take(HOSTS_MOST) {
        if let Some(found) = found {
            answers.add(found.with_setting("host", host));
        }
    }
}

const METHOD: &str = "no request starts before it is sent, and no answer arrives before its function has finished: the middle of what \
                      all exchanges leave";

/// The interval that holds the offset, ns: its ends, the lower one above the other where none fits. None without exchanges.
type Bounds = (f64, f64);

fn offset(records: &[&Record], grains: &BTreeMap<&str, f64>) -> Option<Bounds> {
    records.iter().map(|record| of_exchange(record, grains)).reduce(narrower)
}

fn of_exchange(record: &Record, grains: &BTreeMap<&str, f64>) -> Bounds {
    let (low, high) = bounds_ns(record);
    let grain = grains.get(record.runtime.as_str()).copied().unwrap_or(0.0);
    (low - grain, high + grain)
}

fn narrower(all: Bounds, one: Bounds) -> Bounds {
    (all.0.max(one.0), all.1.min(one.1))
}

/// When clocks stepped and by how much, in words; None where that does not explain the exchanges.
fn stepped(records: &[&Record], grains: &BTreeMap<&str, f64>) -> Option<String> {
    let sent = |record: &Record| (record.epoch_unix_ns, record.sent_ns);
    let mut ordered: Vec<&Record> = records.to_vec();
    ordered.sort_by_key(|record| sent(record));
    // By exchange: the offset since the last step, and when the exchanges before and after that step were sent, s.
    let mut offsets: Vec<(Bounds, (f64, f64))> = Vec::new();
    let mut before_s = 0.0;
    for record in ordered {
        let own = of_exchange(record, grains);
        let sent_s = record.sent_ns as f64 / 1e9;
        match offsets.last_mut().map(|(all, _)| (narrower(*all, own), all)) {
            Some((both, all)) if both.0 <= both.1 => *all = both,
            _ => offsets.push((own, (before_s, sent_s))),
        }
        before_s = sent_s;
    }
    let middle = |(low, high): Bounds| f64::midpoint(low, high) / 1e6;
    let steps = offsets.windows(2).map(|pair| {
        let by_ms = middle(pair[1].0) - middle(pair[0].0);
        let (from_s, to_s) = pair[1].1;
        format!("by {by_ms:.1} ms between {from_s:.0} and {to_s:.0} s after the study began")
    });
    let steps: Vec<String> = steps.collect();
    (1..STEPS_MOST).contains(&steps.len()).then(|| {
        format!(
            "functions' clocks stepped {}: no one offset is true of the whole study",
            steps.join(", ")
        )
    })
}

fn finding(&(low_ns, high_ns): &Bounds, rows: usize) -> Option<Finding> {
    let interval = bracket::interval(Some(low_ns / 1e6), Some(high_ns / 1e6));
    (low_ns <= high_ns).then(|| {
        Finding::new(EXPERIMENT, "clock.offset_ms", "ms")
            .with_method(METHOD, rows)
            .with_number(f64::midpoint(low_ns, high_ns) / 1e6)
            .with_interval(interval)
    })
}

/// By runtime, the grain in which it reads the clock, ns.
fn grains<'a>(records: &[&'a Record], left_out: &LeftOut) -> BTreeMap<&'a str, f64> {
    let mut stamps: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for record in records {
        let own = stamps.entry(&record.runtime).or_default();
        own.extend([record.started_unix_ns, record.finished_unix_ns]);
    }
    let grain = |runtime: &str, stamps: &[u64]| {
        let whole = |grain: &u64| stamps.iter().all(|stamp| stamp.is_multiple_of(*grain));
        let readings = stamps.len() as u64 + 2 * left_out.of_runtime(runtime);
        GRAINS_NS.into_iter().find(whole).filter(|_| readings >= READINGS_MIN)
    };
    stamps
        .into_iter()
        .filter_map(|(runtime, stamps)| Some((runtime, grain(runtime, &stamps)? as f64)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Value;

    const EPOCH_NS: u64 = 1_700_000_000_000_000_000;

    /// Twenty-four exchanges with two hosts; `ahead_ns` gives a host's clock at a second, `grain_ns` how it is read.
    fn records(ahead_ns: impl Fn(u64, u64) -> i64, grain_ns: u64) -> Vec<Record> {
        let exchange = |number: u64| {
            let host = number % 2;
            let sent = number * 1_000_000_000 + 137;
            let (out, ran, back) =
                (300_000 + number % 7 * 90_000, 1_000_001, 200_000 + number % 5 * 70_000);
            let read = |at: u64| {
                let wall = (EPOCH_NS + at).saturating_add_signed(ahead_ns(host, number));
                wall / grain_ns * grain_ns
            };
            Record {
                experiment: "scaling".into(),
                outcome: Outcome::Ok,
                instance: number.to_string().into(),
                function: "one".into(),
                epoch_unix_ns: EPOCH_NS,
                sent_ns: sent,
                started_unix_ns: read(sent + out),
                finished_unix_ns: read(sent + out + ran),
                received_ns: sent + out + ran + back,
                host_ids: [("boot_id".to_owned(), host.to_string())].into(),
                ..Record::default()
            }
        };
        (0..24).map(exchange).collect()
    }

    fn found(records: &[Record]) -> Vec<Finding> {
        let (findings, _) = crate::analyse(records);
        findings.into_iter().filter(|finding| finding.metric == "clock.offset_ms").collect()
    }

    fn holds(finding: &Finding, truth_ms: f64) -> bool {
        let (Some(low), Some(high)) = finding.ci95.expect("a bound") else { panic!("{finding:?}") };
        assert!(high - low < 3.0, "{finding:?}");
        low <= truth_ms && truth_ms <= high
    }

    // One offset, ahead or behind, is within its bound, also where clocks are read in whole milliseconds.
    #[test]
    fn one_offset_is_bounded() {
        for ahead_ms in [-2_500_i64, 0, 3, 70_000] {
            for grain_ns in [1, 1_000, 1_000_000] {
                let found = found(&records(|_, _| ahead_ms * 1_000_000, grain_ns));
                assert_eq!(found.len(), 1);
                assert!(holds(&found[0], ahead_ms as f64), "{ahead_ms} {grain_ns}: {:?}", found[0]);
            }
        }
    }

    // Hosts whose clocks differ have an offset each.
    #[test]
    fn hosts_have_their_own() {
        let found = found(&records(|host, _| host as i64 * 40_000_000 - 5_000_000, 1));
        assert_eq!(found.len(), 2);
        for (finding, truth_ms) in found.iter().zip([-5.0, 35.0]) {
            assert!(holds(finding, truth_ms), "{finding:?}");
        }
    }

    // A clock that steps in mid-study has no offset, and the reason is told.
    #[test]
    fn steps_are_told() {
        let records = records(|_, second| if second < 12 { 0 } else { 90_000_000 }, 1);
        let found = found(&records);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].value, Value::Null);
        let (_, problems) = crate::analyse(&records);
        let told = "clocks stepped by 90.0 ms between 11 and 12 s after";
        assert!(problems.iter().any(|problem| problem.text.contains(told)), "{problems:?}");
    }

    // A clock that drifts is none that steps.
    #[test]
    fn drift_is_no_step() {
        let records = records(|_, second| second as i64 * 7_000_000, 1);
        let found = found(&records);
        assert_eq!((found.len(), &found[0].value), (1, &Value::Null));
        let (_, problems) = crate::analyse(&records);
        assert!(problems.iter().any(|problem| problem.text.contains("step or drift")));
    }
}
