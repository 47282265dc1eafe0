//! Whether the I/O test of co-residency says what the hosts' names say, and what it tells where hosts have none.
//!
//! A *pair* is the instance that wrote in a slot and another one that watched. The test says that the two share a host
//! where the watcher's counters grew by more than half of what was written beyond what they grow by in slots in which nobody
//! wrote. Sensitivity is the part of the pairs with one host for which it says so, specificity that of the other pairs for
//! which it does not; of each slot as many of the one kind as of the other count, where there are both. Slots are the clusters.

use crate::answers::Answers;
use crate::estimates::add_share;
use crate::finding::Finding;
use crate::placed::HostSource;
use crate::statistics::cluster::Row;
use crate::study::{Study, group, is_sound, setting};
use record::{Outcome, Record};
use serde::Deserialize;
use std::collections::BTreeMap;

const EXPERIMENT: &str = "identity";

/// MiB of a sector as /proc/diskstats counts them.
const SECTOR_MIB: f64 = 512.0 / (1024.0 * 1024.0);

/// Part of what was written from which on a watcher is taken to have seen it.
const SEEN: f64 = 0.5;

/// Parts of it between which a watcher's counters say neither yes nor no.
const UNDECIDED: std::ops::Range<f64> = 0.25..0.75;

/// Slots that a round has at most.
const SLOTS_MOST: u64 = 100;

/// Pairs of each answer, and part of all that must be decided, before a test without names is relied on.
const RELIABLE: (usize, f64) = (5, 0.95);

/// The part of the probe's answer that is read here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail {
    disk_before: Option<Vec<Counter>>,
    disk: Option<Written>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Counter {
    device: String,
    sectors_written: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Written {
    write_mib_s: Vec<f64>,
}

/// One instance's look at the counters of its host.
struct Look {
    at_s: f64,
    /// MiB written since the host was started, by device.
    written_mib: BTreeMap<String, f64>,
}

impl Look {
    /// None where the answer holds no counters.
    fn of(record: &Record) -> Option<Self> {
        let disks = serde_json::from_str::<Detail>(&record.detail).ok()?.disk_before?;
        let written = |disk: Counter| (disk.device, disk.sectors_written as f64 * SECTOR_MIB);
        let written_mib: BTreeMap<_, _> = disks.into_iter().map(written).collect();
        let at_s = record.started_unix_ns as f64 / 1e9;
        (!written_mib.is_empty()).then_some(Self { at_s, written_mib })
    }

    /// MiB and seconds until a later look, on the device with most of it: a disk and its partition both count.
    fn until(&self, later: &Self) -> (f64, f64) {
        let grown = later.written_mib.iter().filter_map(|(device, after)| {
            self.written_mib.get(device).map(|before| after - before)
        });
        (grown.fold(0.0, f64::max), later.at_s - self.at_s)
    }
}

/// What one pair's watcher saw.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Pair {
    slot: u64,
    /// By the hosts' names; None where there are none.
    together: Option<bool>,
    /// Growth of the counters beyond what they grow by anyway, over what was written.
    seen: f64,
}

/// What a test by disk counters says of hosts that nothing names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    /// It tells those that share from those that do not.
    Works,
    /// Everybody sees every write.
    Everywhere,
    /// Nobody sees any, or nobody can look, or nothing was tried.
    Silent,
}

/// What the test says without names.
pub(super) fn channel(study: &Study) -> Channel {
    let pairs = pairs(study, &tried(study));
    let decided = pairs.iter().filter(|pair| !UNDECIDED.contains(&pair.seen)).count();
    let (least, part) = RELIABLE;
    let saw = pairs.iter().filter(|pair| pair.seen > SEEN).count();
    let reliable = decided as f64 >= part * pairs.len() as f64;
    match (saw >= least, pairs.len() - saw >= least) {
        (true, true) if reliable => Channel::Works,
        (true, _) => Channel::Everywhere,
        _ => Channel::Silent,
    }
}

/// Adds sensitivity and specificity, where the test was tried.
pub(super) fn analyse(study: &Study, answers: &mut Answers) {
    let records = tried(study);
    if records.is_empty() {
        return;
    }
    let pairs = pairs(study, &records);
    let finding = |metric: &str, method: &str| {
        let mut finding = Finding::new(EXPERIMENT, metric, "fraction");
        finding.cluster = Some("slot".to_owned());
        finding.with_method(method, pairs.len())
    };
    let sensitivity = finding(
        "identity.coresidency_sensitivity",
        "pairs on one host, by its name, whose watcher saw the other's write in the host's disk counters",
    );
    let specificity = finding(
        "identity.coresidency_specificity",
        "pairs on two hosts, by their names, whose watcher did not see the other's write",
    );
    let why = if !records.iter().any(|record| Look::of(record).is_some()) {
        Some("no disk counters can be read from inside")
    } else if pairs.is_empty() {
        Some(
            "nobody watched before and after a write; each request may have an instance of its own",
        )
    } else if study.host == HostSource::None {
        Some("nothing names the host, so nobody knows whether the test is right")
    } else {
        None
    };
    if let Some(why) = why {
        answers.add_unknown(sensitivity, why);
        answers.add_unknown(specificity, why);
        return;
    }
    let balanced = balanced(&pairs);
    for (finding, together) in [(sensitivity, true), (specificity, false)] {
        let own = balanced.iter().filter(|pair| pair.together == Some(together));
        let rows: Vec<Row<bool>> =
            own.map(|pair| Row::new(pair.slot, (pair.seen > SEEN) == together)).collect();
        if rows.is_empty() {
            let why = match together {
                true => "no two instances shared a host; larger bursts might",
                false => "all instances shared one host; larger bursts would need another",
            };
            answers.add_unknown(finding, why);
        } else {
            add_share(answers, Finding { n: rows.len() as u64, ..finding }, &rows);
        }
    }
}

/// Sound requests of the test.
fn tried<'a>(study: &Study<'a>) -> Vec<&'a Record> {
    let of_it = |record: &&Record| {
        matches!(record.phase.as_str(), "watch" | "write")
            && record.outcome == Outcome::Ok
            && is_sound(record)
    };
    study.requests(EXPERIMENT).filter(of_it).collect()
}

fn pairs(study: &Study, records: &[&Record]) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for (round, records) in group(records, |record| record.round) {
        let slots = group(&records, |record| setting::<u64>(record, "slot"));
        let mut looks: BTreeMap<&str, BTreeMap<u64, Look>> = BTreeMap::new();
        for (slot, records) in slots.iter().filter_map(|(slot, records)| Some(((*slot)?, records)))
        {
            for record in records {
                if let Some(look) = Look::of(record) {
                    looks.entry(&record.instance).or_default().insert(slot, look);
                }
            }
        }
        let writes = writes(&slots);
        let quiet_mib_s = |looks: &BTreeMap<u64, Look>| {
            let quiet = looks.iter().filter(|(slot, _)| !writes.contains_key(slot));
            let rates = quiet.filter_map(|(slot, look)| {
                let (mib, seconds) = look.until(looks.get(&(slot + 1))?);
                Some(mib / seconds.max(f64::MIN_POSITIVE))
            });
            rates.reduce(f64::min)
        };
        for (slot, (writer, mib)) in &writes {
            for record in &slots[&Some(*slot)] {
                let Some(looks) = looks.get(record.instance.as_str()) else { continue };
                let (Some(before), Some(after)) = (looks.get(slot), looks.get(&(slot + 1))) else {
                    continue;
                };
                let Some(quiet_mib_s) = quiet_mib_s(looks) else { continue };
                if record.instance == writer.instance {
                    continue;
                }
                let (grown_mib, seconds) = before.until(after);
                pairs.push(Pair {
                    slot: u64::from(round) * SLOTS_MOST + slot,
                    together: study
                        .host
                        .of(writer)
                        .zip(study.host.of(record))
                        .map(|(one, other)| one == other),
                    seen: (grown_mib - quiet_mib_s * seconds) / mib,
                });
            }
        }
    }
    pairs
}

/// By slot, who wrote, and how many MiB.
fn writes<'a>(slots: &BTreeMap<Option<u64>, Vec<&'a Record>>) -> BTreeMap<u64, (&'a Record, f64)> {
    let wrote = |record: &&&Record| {
        let detail = serde_json::from_str::<Detail>(&record.detail).unwrap_or_default();
        record.phase == "write" && detail.disk.is_some_and(|disk| !disk.write_mib_s.is_empty())
    };
    let of = |(slot, records): (&Option<u64>, &Vec<&'a Record>)| {
        let writer = records.iter().find(wrote)?;
        let mib = setting::<f64>(writer, "written_mib").filter(|mib| *mib > 0.0)?;
        Some(((*slot)?, (*writer, mib)))
    };
    slots.iter().filter_map(of).collect()
}

/// Of each slot as many pairs of one kind as of the other, where there are both.
fn balanced(pairs: &[Pair]) -> Vec<Pair> {
    let mut slots: BTreeMap<u64, [Vec<Pair>; 2]> = BTreeMap::new();
    for pair in pairs {
        if let Some(together) = pair.together {
            slots.entry(pair.slot).or_default()[usize::from(together)].push(*pair);
        }
    }
    let even = |[apart, together]: [Vec<Pair>; 2]| {
        let fewer = apart.len().min(together.len());
        let most = if fewer == 0 { usize::MAX } else { fewer };
        apart.into_iter().take(most).chain(together.into_iter().take(most))
    };
    slots.into_values().flat_map(even).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Value;

    /// Twelve rounds of eight instances, four to a host; in slots 1 and 2 the first one writes. `counter` gives MiB by
    /// host, slot and whether its writes are there.
    fn records(name: Option<&str>, counter: impl Fn(u32, u64) -> f64) -> Vec<Record> {
        let mut records = Vec::new();
        for round in 0..12_u32 {
            for slot in 0..5_u64 {
                records.extend((0..8_u32).map(|number| {
                    let host = round * 2 + number / 4;
                    let writes = number == 0 && (slot == 1 || slot == 2);
                    let mib = counter(number / 4, slot);
                    let detail = match writes {
                        true => serde_json::json!({ "disk": { "write_mib_s": [80.0] } }),
                        false => serde_json::json!({ "disk_before": [
                            { "device": "xvda", "sectors_written": (mib / SECTOR_MIB) as u64 } ] }),
                    };
                    let at_ns = (u64::from(round) * 1_000 + slot * 15 + 1) * 1_000_000_000;
                    Record {
                        experiment: EXPERIMENT.into(),
                        round,
                        phase: if writes { "write" } else { "watch" }.into(),
                        setting: [("slot", slot), ("written_mib", if writes { 16 } else { 0 })]
                            .map(|(name, value)| (name.to_owned(), value.to_string()))
                            .into(),
                        function: round.to_string().into(),
                        outcome: Outcome::Ok,
                        instance: format!("{round}-{number}").into(),
                        started_unix_ns: at_ns,
                        finished_unix_ns: at_ns + 14_000_000_000,
                        host_ids: name
                            .map(|name| (name.to_owned(), host.to_string()))
                            .into_iter()
                            .collect(),
                        detail: detail.to_string().into(),
                        ..Record::default()
                    }
                }));
            }
        }
        records
    }

    /// What the counters of a host grow by anyway, and the writes of those before `slot` on the first host.
    fn honest(host: u32, slot: u64) -> f64 {
        let written = if host == 0 { slot.saturating_sub(1).min(2) * 16 } else { 0 };
        100.0 + 3.0 * slot as f64 + written as f64
    }

    fn found(records: &[Record], metric: &str) -> Finding {
        let (findings, _) = crate::analyse(records);
        findings.into_iter().find(|one| one.metric == metric).expect("the metric")
    }

    // Counters of one's own host: the test is always right, over balanced pairs, whatever else moves on the disks.
    #[test]
    fn counters_of_the_host_are_believed() {
        let records = records(Some("boot_id"), honest);
        for metric in ["identity.coresidency_sensitivity", "identity.coresidency_specificity"] {
            let found = found(&records, metric);
            assert_eq!(found.value, Value::Number(1.0), "{metric}");
            // Three watchers beside the writer, in two slots of each round, and as many of the four elsewhere.
            assert_eq!((found.n, found.n_clusters), (72, Some(24)), "{metric}");
        }
    }

    // Counters of the whole machine: every pair seems to share a host, so that specificity is none.
    #[test]
    fn counters_of_everything_are_not_specific() {
        let records = records(Some("boot_id"), |_, slot| honest(0, slot));
        let value = |metric: &str| found(&records, metric).value;
        assert_eq!(value("identity.coresidency_sensitivity"), Value::Number(1.0));
        assert_eq!(value("identity.coresidency_specificity"), Value::Number(0.0));
    }

    // Without names, counters that tell hosts apart are the source; those that everybody sees alike, or nobody, are not.
    #[test]
    fn counters_stand_in_for_names() {
        let word = |records: &[Record]| found(records, "identity.host_id_source").value;
        let is = |word: &str| Value::Word(word.to_owned());
        assert_eq!(word(&records(None, honest)), is("io_side_channel"));
        assert_eq!(word(&records(None, |_, slot| honest(0, slot))), is("unknown"));
        assert_eq!(word(&records(None, |_, _| 5.0)), is("none"));
        let nameless = found(&records(None, honest), "identity.coresidency_sensitivity");
        assert_eq!(nameless.value, Value::Null);
    }
}
