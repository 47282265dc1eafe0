//! Over how many hosts instances are spread, and how much of ours one host takes.
//!
//! A *fill* is a burst of one size, and then instances of the smallest size, all held together. Only instances that run at
//! one instant count. A host's memory is at least the largest sum of ours on one host; it is less than that sum plus the
//! smallest size, where an instance of the smallest size went to an emptier host instead although the platform packs.
//! Both assume that what else a host runs is little: another tenant's instances would make hosts look smaller.

mod policy;

use crate::answers::Answers;
use crate::estimates::add_share;
use crate::finding::Finding;
use crate::placed::{HostSource, together};
use crate::statistics::bracket;
use crate::statistics::cluster::Row;
use crate::study::{Study, group, setting};
use policy::Burst;
use record::{Outcome, Record, Text};
use std::collections::BTreeMap;

pub(crate) const EXPERIMENT: &str = "placement";

/// Phase of the smallest instances that end a fill.
const FILL: &str = "fill";

/// Adds the findings of the experiment's records.
pub(crate) fn analyse(study: &Study, answers: &mut Answers) {
    let records = study.of(EXPERIMENT, answers);
    if records.is_empty() {
        return;
    }
    if study.host == HostSource::None {
        add_nothing(answers, &records);
        return;
    }
    let key = |record: &Record| {
        let burst_memory = setting::<u32>(record, "burst_memory_mib");
        (record.round, burst_memory, setting::<u32>(record, "concurrency"), record.unit.clone())
    };
    let fills: Vec<Fill> =
        group(&records, key).values().map(|records| Fill::of(study, records)).collect();
    let rows = fills.iter().map(|fill| fill.placed.len()).sum();
    let bursts: Vec<Burst> = fills.iter().flat_map(Fill::bursts).collect();
    let policy = policy::policy(&bursts);
    let finding = Finding::new(EXPERIMENT, "placement.policy", "word").with_method(
        "hosts used and instances on each, over a ladder of bursts at two memory sizes on fresh functions",
        rows,
    );
    match policy {
        Ok(word) => answers.add(finding.with_word(word.name())),
        Err(why) => answers.add_unknown(finding, why),
    }
    add_coresident(answers, &fills, rows);
    add_memory(answers, &fills, policy == Ok(policy::Word::BinPack), rows);
    add_colevels(answers, &fills);
}

/// What one fill showed at the instant when most of it ran.
struct Fill {
    number: u64,
    placed: Vec<Placed>,
    /// By function: requests that failed.
    failed: BTreeMap<Text, u32>,
}

/// One running instance.
struct Placed {
    host: String,
    function: Text,
    memory_mib: u32,
    is_fill: bool,
}

impl Fill {
    fn of(study: &Study, records: &[&Record]) -> Self {
        let number = records.first().map_or(0, |record| u64::from(record.round));
        let placed = together(records).into_values().filter_map(|record| {
            Some(Placed {
                host: study.host.of(record)?.to_owned(),
                function: record.function.clone(),
                memory_mib: record.memory_mib,
                is_fill: record.phase == FILL,
            })
        });
        let mut failed: BTreeMap<Text, u32> = BTreeMap::new();
        for record in records.iter().filter(|record| record.outcome != Outcome::Ok) {
            *failed.entry(record.function.clone()).or_default() += 1;
        }
        Self { number, placed: placed.collect(), failed }
    }

    /// Memory of ours by host, MiB.
    fn sums(&self) -> BTreeMap<&str, u64> {
        let mut sums = BTreeMap::new();
        for placed in &self.placed {
            *sums.entry(placed.host.as_str()).or_default() += u64::from(placed.memory_mib);
        }
        sums
    }

    /// Instances on each host, by function; the smallest that ended the fill are no burst.
    fn bursts(&self) -> Vec<Burst> {
        let mut functions: BTreeMap<&str, (u32, BTreeMap<&str, u32>)> = BTreeMap::new();
        for placed in self.placed.iter().filter(|placed| !placed.is_fill) {
            let (_, hosts) = functions
                .entry(&placed.function)
                .or_insert_with(|| (placed.memory_mib, BTreeMap::new()));
            *hosts.entry(placed.host.as_str()).or_default() += 1;
        }
        functions
            .into_iter()
            .map(|(function, (memory_mib, hosts))| Burst {
                memory_mib,
                hosts: hosts.into_iter().map(|(host, count)| (host.to_owned(), count)).collect(),
                missing: self.failed.get(function).copied().unwrap_or(0),
            })
            .collect()
    }
}

/// Everything is unknown where nothing names the host.
fn add_nothing(answers: &mut Answers, records: &[&Record]) {
    let why = "nothing names the host, so nobody knows which instances share one; a platform that reveals \
               its hosts, or a side channel, would tell";
    for (metric, unit) in [
        ("placement.policy", "word"),
        ("placement.same_function_coresident", "fraction"),
        ("placement.host_memory_mib", "MiB"),
    ] {
        answers.add_unknown(Finding::new(EXPERIMENT, metric, unit), why);
    }
    for memory_mib in group(records, |record| record.memory_mib).into_keys() {
        let finding = Finding::new(EXPERIMENT, "placement.max_colevel", "instances")
            .with_setting("memory_mib", memory_mib);
        answers.add_unknown(finding, why);
    }
}

/// Adds the share of burst instances that have another one of their function on their host.
fn add_coresident(answers: &mut Answers, fills: &[Fill], rows: usize) {
    let mut cluster = 0;
    let mut shared = Vec::new();
    for burst in fills.iter().flat_map(Fill::bursts) {
        for count in burst.hosts.into_values() {
            shared.extend((0..count).map(|_| Row::new(cluster, count > 1)));
            cluster += 1;
        }
    }
    let mut finding = Finding::new(EXPERIMENT, "placement.same_function_coresident", "fraction")
        .with_method(
            "instances with another one of their function on their host at one instant",
            rows,
        );
    finding.cluster = Some("host".to_owned());
    add_share(answers, finding, &shared);
}

/// Adds the bracket of a host's memory.
fn add_memory(answers: &mut Answers, fills: &[Fill], packs: bool, rows: usize) {
    let finding = Finding::new(EXPERIMENT, "placement.host_memory_mib", "MiB").with_method(
        "largest sum of memory of our instances running on one host; it and the smallest size that was \
         refused there bracket the host's memory",
        rows,
    );
    let rounds: std::collections::BTreeSet<u64> = fills.iter().map(|fill| fill.number).collect();
    let finding = finding.with_clusters("round", rounds.len());
    let Some(largest) = fills.iter().flat_map(|fill| fill.sums().into_values()).max() else {
        answers.add_unknown(finding, "no instance ran; see the failures for the reason");
        return;
    };
    let refused = fills.iter().filter_map(|fill| refused_mib(fill, largest)).min();
    let high = refused.filter(|_| packs).map(|step| (largest + u64::from(step)) as f64);
    if high.is_none() {
        let text = "placement.host_memory_mib: no host was seen to be full, so the sum is only a lower bound; a \
                    platform that packs, and larger fills, would close it";
        answers.note(EXPERIMENT, text);
    }
    let interval = bracket::interval(Some(largest as f64), high);
    answers.add(finding.with_number(largest as f64).with_interval(interval));
}

/// The size of an instance that ran on an emptier host while another held the largest sum.
fn refused_mib(fill: &Fill, largest: u64) -> Option<u32> {
    let sums = fill.sums();
    if !sums.values().any(|sum| *sum == largest) {
        return None;
    }
    let elsewhere = |placed: &&Placed| placed.is_fill && sums[placed.host.as_str()] < largest;
    fill.placed.iter().filter(elsewhere).map(|placed| placed.memory_mib).min()
}

/// Adds the most instances of each size on one host.
fn add_colevels(answers: &mut Answers, fills: &[Fill]) {
    let mut most: BTreeMap<u32, (u32, usize)> = BTreeMap::new();
    for fill in fills {
        let mut counts: BTreeMap<(u32, &str), u32> = BTreeMap::new();
        for placed in &fill.placed {
            *counts.entry((placed.memory_mib, &placed.host)).or_default() += 1;
            most.entry(placed.memory_mib).or_default().1 += 1;
        }
        for ((memory_mib, _), count) in counts {
            let entry = most.entry(memory_mib).or_default();
            entry.0 = entry.0.max(count);
        }
    }
    for (memory_mib, (count, rows)) in most {
        answers.add(
            Finding::new(EXPERIMENT, "placement.max_colevel", "instances")
                .with_setting("memory_mib", memory_mib)
                .with_method("the most instances of this size on one host at one instant", rows)
                .with_number(f64::from(count)),
        );
    }
}
