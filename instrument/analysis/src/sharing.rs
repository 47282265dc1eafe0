//! What instances get of something that a host's instances share, alone and beside others: what disk and network have in
//! common.
//!
//! The colevel is the number of instances of one host whose windows overlap by at least half, whatever was intended; one
//! alone has colevel 1. The host's sum is all that they moved, from the first one's beginning to the last one's end.
//! Instances of one round are one cluster. Deliberately knows nothing of what is shared.

use crate::answers::Answers;
use crate::finding::Finding;
use crate::placed::HostSource;
use crate::statistics::bootstrap;
use crate::study::{Study, group, setting};
use record::{Outcome, Record, Text};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Part of the longest window of a host that must overlap with all others there.
const OVERLAP_MIN: f64 = 0.5;

/// What is shared.
pub(crate) struct Shared {
    pub(crate) experiment: &'static str,
    /// Metric of one instance's, and of the host's sum.
    pub(crate) metrics: [&'static str; 2],
    pub(crate) unit: &'static str,
    /// How one window was measured, in words.
    pub(crate) method: &'static str,
    /// One answered record's window; None where it has none.
    pub(crate) window: fn(&Record) -> Option<Window>,
}

/// What one instance moved, and when: the unit's amount, and nanoseconds since 1970 on its host's clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Window {
    pub(crate) amount: f64,
    pub(crate) from_unix_ns: u64,
    pub(crate) length_ns: f64,
}

impl Window {
    fn rate(&self) -> f64 {
        self.amount * 1e9 / self.length_ns
    }

    fn end_unix_ns(&self) -> f64 {
        self.from_unix_ns as f64 + self.length_ns
    }
}

/// What each instance got, by memory size, colevel and round, for whoever compares them.
#[derive(Debug, Default)]
pub(crate) struct Levels {
    pub(crate) experiment: &'static str,
    pub(crate) each: BTreeMap<(u32, u32), BTreeMap<u32, Vec<f64>>>,
}

/// Sums of hosts at one memory size, by colevel and round.
type Sums = BTreeMap<u32, BTreeMap<u32, Vec<f64>>>;

/// Why a probe measured nothing, as it says itself.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problems {
    problems: BTreeMap<String, String>,
}

/// Adds the findings of one experiment; returns what each instance got, None where nothing was asked.
pub(crate) fn analyse(study: &Study, answers: &mut Answers, shared: &Shared) -> Option<Levels> {
    let records = study.of(shared.experiment, answers);
    let (beside, alone): (Vec<&Record>, Vec<&Record>) =
        records.iter().partition(|record| record.phase == "shared");
    if records.is_empty() {
        return None;
    }
    let mut levels = Levels { experiment: shared.experiment, ..Levels::default() };
    let mut sums = Sums::new();
    let mut add = |memory_mib: u32, round: u32, windows: &[Window], is_beside: bool| {
        let colevel = windows.len() as u32;
        let each = levels.each.entry((memory_mib, colevel)).or_default().entry(round).or_default();
        each.extend(windows.iter().map(Window::rate));
        if is_beside {
            sums.entry(colevel).or_default().entry(round).or_default().extend(sum(windows));
        }
    };
    let size = beside.first().map(|record| record.memory_mib);
    for record in &alone {
        if let Some(window) = window(shared, record) {
            let is_beside = Some(record.memory_mib) == size;
            add(record.memory_mib, record.round, &[window], is_beside);
        }
    }
    if study.host != HostSource::None {
        let mut dropped = 0;
        for ((memory_mib, round, ..), records) in group(&beside, |record| key(study, record)) {
            match together(study, shared, &records) {
                Some(windows) => add(memory_mib, round, &windows, true),
                None => dropped += records.len(),
            }
        }
        note_dropped(answers, shared, dropped, beside.len());
    }
    keep_usual(&mut levels.each);
    keep_usual(&mut sums);
    add_unknown(study, answers, (shared, &levels), &records);
    add_known(answers, shared, &levels, &sums);
    Some(levels)
}

/// Leaves out what was seen in less than a quarter of the rounds of what was seen most: colevels that came about by
/// failures, of which a few rounds say little.
pub(crate) fn keep_usual<K: Ord, R>(levels: &mut BTreeMap<K, BTreeMap<u32, R>>) {
    let most = levels.values().map(BTreeMap::len).max().unwrap_or(0);
    levels.retain(|_, rounds| rounds.len() * 4 >= most);
}

fn window(shared: &Shared, record: &Record) -> Option<Window> {
    let window = (shared.window)(record).filter(|_| record.outcome == Outcome::Ok)?;
    (window.amount > 0.0 && window.length_ns > 0.0).then_some(window)
}

/// Who measured at one time on one host.
fn key(study: &Study, record: &Record) -> (u32, u32, Option<u32>, Option<String>) {
    let host = study.host.of(record).map(str::to_owned);
    (record.memory_mib, record.round, setting::<u32>(record, "colevel"), host)
}

/// The windows of the records of one host; None where they did not overlap, or one is missing.
fn together(study: &Study, shared: &Shared, records: &[&Record]) -> Option<Vec<Window>> {
    study.host.of(records.first()?)?;
    let windows: Vec<Window> =
        records.iter().map(|record| window(shared, record)).collect::<Option<_>>()?;
    let from = windows.iter().map(|window| window.from_unix_ns).max()? as f64;
    let to = windows.iter().map(Window::end_unix_ns).min_by(f64::total_cmp)?;
    let longest = windows.iter().map(|window| window.length_ns).max_by(f64::total_cmp)?;
    (to - from >= OVERLAP_MIN * longest).then_some(windows)
}

/// What all moved per second, from the first one's beginning to the last one's end; None where that is no time.
fn sum(windows: &[Window]) -> Option<f64> {
    let from = windows.iter().map(|window| window.from_unix_ns).min()?;
    // Differences of whole nanoseconds: as a float, a moment since 1970 is known to a quarter of a microsecond only.
    let end = |window: &Window| (window.from_unix_ns - from) as f64 + window.length_ns;
    let length_ns = windows.iter().map(end).max_by(f64::total_cmp)?;
    let amount: f64 = windows.iter().map(|window| window.amount).sum();
    (length_ns > 0.0).then(|| amount * 1e9 / length_ns)
}

fn note_dropped(answers: &mut Answers, shared: &Shared, dropped: usize, all: usize) {
    if dropped > 0 {
        let text = format!(
            "{dropped} of {all} instances beside others are in no figure: one of their host failed, or their \
             windows did not overlap"
        );
        answers.note(shared.experiment, &text);
    }
}

/// Adds nulls for what was asked and is not known, with the reason.
fn add_unknown(
    study: &Study,
    answers: &mut Answers,
    (shared, levels): (&Shared, &Levels),
    records: &[&Record],
) {
    let asked = group(records, |record| {
        (record.memory_mib, setting::<u32>(record, "colevel").unwrap_or(1))
    });
    for ((memory_mib, colevel), records) in asked {
        let hostless = study.host == HostSource::None && colevel > 1;
        let measured = levels
            .each
            .keys()
            .any(|(size, level)| *size == memory_mib && (*level == 1) == (colevel == 1));
        if measured && !hostless {
            continue;
        }
        let why = match hostless {
            true => {
                "nothing names the host, so nobody knows which instances shared one; a platform that reveals \
                 its hosts, or a side channel, would tell"
                    .to_owned()
            }
            false if levels.each.keys().any(|(size, _)| *size == memory_mib) => {
                "no two instances shared a host while they measured; larger bursts might".to_owned()
            }
            false => reason(shared, &records),
        };
        let [each, sum] = shared.metrics;
        let finding = of_level(shared, each, colevel).with_setting("memory_mib", memory_mib);
        answers.add_unknown(finding, &why);
        if colevel > 1 {
            answers.add_unknown(of_level(shared, sum, colevel), &why);
        }
    }
}

/// Why none of these records has a window.
fn reason(shared: &Shared, records: &[&Record]) -> String {
    let said = records.iter().find_map(|record| {
        let probe = || {
            let problems = serde_json::from_str::<Problems>(&record.detail).ok()?.problems;
            problems.get(shared.experiment).cloned()
        };
        record.setting.get("unmeasured").map(Text::to_string).or_else(probe)
    });
    said.unwrap_or_else(|| {
        "no request was answered with it; see the failures for the reason".to_owned()
    })
}

fn of_level(shared: &Shared, metric: &str, colevel: u32) -> Finding {
    Finding::new(shared.experiment, metric, shared.unit).with_setting("colevel", colevel)
}

fn add_known(answers: &mut Answers, shared: &Shared, levels: &Levels, sums: &Sums) {
    let [each, sum] = shared.metrics;
    for ((memory_mib, colevel), rounds) in &levels.each {
        let beside = match colevel {
            1 => "alone",
            _ => "while the windows of all instances on the host overlap",
        };
        let method = format!("{}, {beside}; mean of instances", shared.method);
        let finding = of_level(shared, each, *colevel).with_setting("memory_mib", *memory_mib);
        add_mean(answers, finding, &method, rounds);
    }
    for (colevel, rounds) in sums {
        let method = format!(
            "{}; what all instances on the host moved, from the first one's beginning to the last one's end; mean \
             of hosts",
            shared.method
        );
        add_mean(answers, of_level(shared, sum, *colevel), &method, rounds);
    }
}

fn add_mean(
    answers: &mut Answers,
    finding: Finding,
    method: &str,
    rounds: &BTreeMap<u32, Vec<f64>>,
) {
    let clusters: Vec<Vec<f64>> = rounds.values().cloned().collect();
    let finding = finding
        .with_method(method, clusters.iter().map(Vec::len).sum())
        .with_clusters("round", clusters.len())
        .with_number(bootstrap::mean(&clusters));
    answers.add_with(finding, bootstrap::mean_interval(&clusters));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(from: u64, length: f64, amount: f64) -> Window {
        Window { amount, from_unix_ns: 1_700_000_000_000_000_000 + from, length_ns: length }
    }

    // A host's sum counts the time in which only some moved anything, and is not a sum of rates.
    #[test]
    fn sums_span_all_windows() {
        let second = 1e9;
        let equal = [window(0, second, 50.0), window(0, second, 50.0)];
        assert_eq!(sum(&equal), Some(100.0));
        let one_ends_first = [window(0, second, 50.0), window(0, 2.0 * second, 50.0)];
        assert_eq!(sum(&one_ends_first), Some(50.0));
        assert_eq!(sum(&[]), None);
    }
}
