//! How much of a CPU an instance gets, alone and beside others.
//!
//! A share is CPU time over wall time, by the threads' own clocks, or by gaps between stamps where there are none. Beside
//! others it counts only while all windows of one host overlap, and the colevel is the number of windows on that
//! host as it really was, whatever was intended. Instances of one host are one cluster.

use crate::answers::Answers;
use crate::estimates::add_median;
use crate::finding::Finding;
use crate::sharing::Levels;
use crate::statistics::bootstrap;
use crate::statistics::cluster::Row;
use crate::study::{Study, group, setting};
use record::{Outcome, Record, Text};
use serde::Deserialize;
use std::collections::BTreeMap;

const EXPERIMENT: &str = "cpu";

/// Pairs after which the probe stops noting when a thread ran.
const RAN_MAX: usize = 4_096;

/// Part of a window that must overlap with all others of its host.
const OVERLAP_MIN: f64 = 0.5;

/// Part of a window for which the whole window stands where no periods are seen: a quota is spent at the beginning of each of
/// its periods, so cutting a little off the beginning of a window would cut off more of the share.
const WHOLE: f64 = 0.98;

/// Part of the longest pause of a thread from which on a pause ends a period of its quota: turns of neighbours are shorter
/// than what a thread that has spent its quota waits.
const THROTTLED: f64 = 0.5;

/// The part of the probe's answer that is read here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail {
    cpu: Option<Window>,
}

/// One window, as the probe tells of it.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Window {
    window_ns: u64,
    started_unix_ns: u64,
    cpu_ns: u64,
    running_ns: u64,
    ticks: u64,
    ran: Vec<(u64, u64)>,
}

impl Window {
    /// The answered record's window; None where it has none, or one without length.
    fn of(record: &Record) -> Option<Self> {
        if record.outcome != Outcome::Ok {
            return None;
        }
        let window = serde_json::from_str::<Detail>(&record.detail).ok()?.cpu?;
        (window.window_ns > 0).then_some(window)
    }

    /// CPUs' worth of time over the whole window.
    fn share(&self) -> f64 {
        let used = if self.cpu_ns > 0 { self.cpu_ns } else { self.running_ns };
        used as f64 / self.window_ns as f64
    }

    /// Milliseconds in which a stamp was taken over those of the window: the paper's statistic.
    fn tick_share(&self) -> f64 {
        self.ticks as f64 / (self.window_ns as f64 / 1e6)
    }

    fn end_unix_ns(&self) -> u64 {
        self.started_unix_ns.saturating_add(self.window_ns)
    }

    /// The part of a stretch of the window that begins and ends with a period of the quota, where the thread was seen to run
    /// up its quota twice at least: else what is left of a period at either end counts as if it were a whole one.
    fn whole_periods(&self, from: u64, to: u64) -> Option<(u64, u64)> {
        let pauses =
            || self.ran.windows(2).map(|pair| (pair[1].0, pair[1].0.saturating_sub(pair[0].1)));
        let longest = pauses().map(|(_, pause)| pause).max()? as f64;
        let begins = pauses().filter(|(_, pause)| *pause as f64 >= THROTTLED * longest);
        let mut begins = begins.map(|(begin, _)| begin).filter(|begin| (from..=to).contains(begin));
        let (first, last) = (begins.next()?, begins.next_back()?);
        (first < last).then_some((first, last))
    }

    /// The same between two moments within the window, cut to whole periods: CPUs' worth of time while the first thread ran,
    /// times how much of the time it did. None where that is not known.
    fn share_between(&self, from_unix_ns: u64, to_unix_ns: u64) -> Option<f64> {
        let from = from_unix_ns.checked_sub(self.started_unix_ns)?;
        let to = to_unix_ns.checked_sub(self.started_unix_ns)?;
        let periods = match self.ran.len() < RAN_MAX {
            true => self.whole_periods(from, to),
            false => None,
        };
        let length = to.checked_sub(from).filter(|length| *length > 0)? as f64;
        if periods.is_none() && length >= WHOLE * self.window_ns as f64 {
            return Some(self.share());
        }
        let (from, to) = periods.unwrap_or((from, to));
        let length = (to - from) as f64;
        let ran = |from: u64, to: u64| -> f64 {
            let part = |(a, b): &(u64, u64)| (*b).min(to).saturating_sub((*a).max(from));
            self.ran.iter().map(part).sum::<u64>() as f64
        };
        let all = ran(0, self.window_ns);
        if self.ran.len() >= RAN_MAX || all == 0.0 {
            return None;
        }
        Some(self.share() * (ran(from, to) / length) / (all / self.window_ns as f64))
    }
}

/// Adds the findings of the experiment's records; returns what each instance got, None where nothing was asked.
pub(crate) fn analyse(study: &Study, answers: &mut Answers) -> Option<Levels> {
    let records = study.of(EXPERIMENT, answers);
    let mut levels = Levels { experiment: EXPERIMENT, ..Levels::default() };
    let alone: Vec<_> = records.iter().copied().filter(|record| record.phase == "alone").collect();
    for (memory_mib, records) in group(&alone, |record| record.memory_mib) {
        add_alone(answers, memory_mib, &records);
        for record in &records {
            if let Some(window) = Window::of(record) {
                let rounds = levels.each.entry((memory_mib, 1)).or_default();
                rounds.entry(record.round).or_default().push(window.share());
            }
        }
    }
    let shared: Vec<_> =
        records.iter().copied().filter(|record| record.phase == "shared").collect();
    if !shared.is_empty() {
        add_shared(study, answers, &shared, &mut levels);
    }
    add_void(answers, study, &records);
    (!records.is_empty()).then_some(levels)
}

/// Says of settings all of whose requests are void that they are not known.
fn add_void(answers: &mut Answers, study: &Study, sound: &[&Record]) {
    let key = |record: &Record| {
        (record.phase.clone(), record.memory_mib, setting::<u32>(record, "colevel"))
    };
    let all: Vec<&Record> = study.requests(EXPERIMENT).collect();
    let sound = group(sound, key);
    for ((phase, memory_mib, colevel), records) in group(&all, key) {
        if sound.contains_key(&(phase, memory_mib, colevel)) {
            continue;
        }
        let finding = match colevel {
            Some(colevel) => of_level("cpu.share_shared", memory_mib, colevel),
            None => Finding::new(EXPERIMENT, "cpu.share", "fraction")
                .with_setting("memory_mib", memory_mib),
        };
        let reason = records.iter().find_map(|record| record.setting.get("void"));
        let reason = reason.map_or("nothing was sent", Text::as_str);
        let why = format!("each of its {} requests is void: {reason}", records.len());
        let finding = finding.with_method("CPU time of busy threads over wall time", 0);
        answers.add_unknown(finding, &why);
    }
}

fn add_alone(answers: &mut Answers, memory_mib: u32, records: &[&Record]) {
    let windows: Vec<(u64, Window)> = records
        .iter()
        .filter_map(|record| Some((u64::from(record.round), Window::of(record)?)))
        .collect();
    let finding = |metric: &str, method: &str| {
        Finding::new(EXPERIMENT, metric, "fraction")
            .with_setting("memory_mib", memory_mib)
            .with_method(method, windows.len())
            .with_clusters("round", windows.len())
    };
    let rows = |value: fn(&Window) -> f64| -> Vec<Row<f64>> {
        windows.iter().map(|(round, window)| Row::new(*round, value(window))).collect()
    };
    let share_method =
        "CPU time of all busy threads over wall time, one per vCPU, alone; median of instances";
    let tick_method =
        "milliseconds in which a stamp was taken, as the paper counts them; median of instances";
    add_median(answers, finding("cpu.share", share_method), &rows(Window::share));
    add_median(answers, finding("cpu.tick_share", tick_method), &rows(Window::tick_share));
    let shares: Vec<f64> = windows.iter().map(|(_, window)| window.share()).collect();
    let spread = finding("cpu.share_sd", "standard deviation of instances' CPU shares, alone");
    match deviation(&shares) {
        Some(sd) => answers.add(spread.with_number(sd)),
        None => answers.add_unknown(spread, "one instance has no spread; run more rounds"),
    }
}

/// Sample standard deviation; None for fewer than two values.
fn deviation(values: &[f64]) -> Option<f64> {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt())
}

/// Shares of the instances of one host while all of them measured.
type Shares = Vec<f64>;

fn add_shared(study: &Study, answers: &mut Answers, records: &[&Record], each: &mut Levels) {
    let intended = group(records, |record| (record.memory_mib, setting::<u32>(record, "colevel")));
    if study.host == crate::placed::HostSource::None {
        let why = "nothing names the host, so nobody knows which instances shared one; a platform that \
                   reveals its hosts, or a side channel, would tell";
        for (memory_mib, colevel) in intended.into_keys() {
            let found = of_level("cpu.share_shared", memory_mib, colevel.unwrap_or(0));
            answers.add_unknown(found, why);
        }
        let fairness = Finding::new(EXPERIMENT, "cpu.fairness", "fraction");
        answers.add_unknown(fairness, why);
        return;
    }
    let key = |record: &Record| {
        (
            record.memory_mib,
            record.round,
            setting::<u32>(record, "colevel"),
            study.host.of(record).map(str::to_owned),
        )
    };
    let mut levels: BTreeMap<(u32, u32), Vec<Shares>> = BTreeMap::new();
    let mut dropped = 0;
    for ((memory_mib, round, _, host), records) in group(records, key) {
        match host.and_then(|_| shares(&records)) {
            Some(shares) => {
                let rounds = each.each.entry((memory_mib, shares.len() as u32)).or_default();
                rounds.entry(round).or_default().extend(&shares);
                levels.entry((memory_mib, shares.len() as u32)).or_default().push(shares);
            }
            None => dropped += records.len(),
        }
    }
    if dropped > 0 {
        let text = format!(
            "{dropped} of {} instances beside others are in no figure: they failed, or their windows did \
             not overlap",
            records.len()
        );
        answers.note(EXPERIMENT, &text);
    }
    for ((memory_mib, colevel), hosts) in &levels {
        let method =
            "CPU time over wall time while all windows on the host overlap; mean of instances";
        let finding = of_level("cpu.share_shared", *memory_mib, *colevel)
            .with_method(method, hosts.iter().map(Vec::len).sum())
            .with_clusters("host", hosts.len())
            .with_number(bootstrap::mean(hosts));
        answers.add_with(finding, bootstrap::mean_interval(hosts));
    }
    add_fairness(answers, &levels);
}

fn of_level(metric: &str, memory_mib: u32, colevel: u32) -> Finding {
    Finding::new(EXPERIMENT, metric, "fraction")
        .with_setting("memory_mib", memory_mib)
        .with_setting("colevel", colevel)
}

/// Shares of the records of one host within the intersection of their windows; None where that is too short, or not
/// known for one of them.
fn shares(records: &[&Record]) -> Option<Shares> {
    let windows: Vec<Window> =
        records.iter().map(|record| Window::of(record)).collect::<Option<_>>()?;
    let from = windows.iter().map(|window| window.started_unix_ns).max()?;
    let to = windows.iter().map(Window::end_unix_ns).min()?;
    let longest = windows.iter().map(|window| window.window_ns).max()?;
    if (to.checked_sub(from)? as f64) < OVERLAP_MIN * longest as f64 {
        return None;
    }
    windows.iter().map(|window| window.share_between(from, to)).collect()
}

/// Adds Jain's index by colevel (Jain, Chiu and Hawe, DEC-TR-301, 1984), mean of hosts.
fn add_fairness(answers: &mut Answers, levels: &BTreeMap<(u32, u32), Vec<Shares>>) {
    let mut indices: BTreeMap<u32, Vec<Vec<f64>>> = BTreeMap::new();
    for ((_, colevel), hosts) in levels {
        if *colevel > 1 {
            let of_hosts = hosts.iter().filter_map(|shares| Some(vec![jain(shares)?]));
            indices.entry(*colevel).or_default().extend(of_hosts);
        }
    }
    if indices.is_empty() {
        let finding = Finding::new(EXPERIMENT, "cpu.fairness", "fraction");
        let why = "no two instances shared a host while they measured; larger bursts might";
        answers.add_unknown(finding, why);
    }
    for (colevel, hosts) in indices {
        let finding = Finding::new(EXPERIMENT, "cpu.fairness", "fraction")
            .with_setting("colevel", colevel)
            .with_method("Jain's index of the CPU shares on one host, mean of hosts", hosts.len())
            .with_clusters("host", hosts.len())
            .with_number(bootstrap::mean(&hosts));
        let interval = bootstrap::mean_interval(&hosts);
        answers.add_with(finding, interval.map(|interval| interval.within(0.0, 1.0)));
    }
}

/// (sum x)^2 / (n sum x^2): 1 where all get the same, 1 / n where one gets everything. None where nobody gets anything.
fn jain(shares: &[f64]) -> Option<f64> {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    (squares > 0.0).then(|| sum * sum / (shares.len() as f64 * squares))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(started: u64, length: u64, cpu: u64, ran: &[(u64, u64)]) -> Window {
        Window {
            started_unix_ns: started,
            window_ns: length,
            cpu_ns: cpu,
            ran: ran.to_vec(),
            ..Window::default()
        }
    }

    // Only what ran within the intersection counts there, in the unit of the threads' own clocks.
    #[test]
    fn shares_follow_the_intersection() {
        // Ran all of the first half and half of the second, 60 of its 75 ns on a CPU.
        let window = window(1000, 100, 60, &[(0, 50), (60, 85)]);
        assert!((window.share() - 0.6).abs() < 1e-12);
        assert!((window.share_between(1000, 1050).unwrap() - 0.8).abs() < 1e-12);
        assert!((window.share_between(1050, 1100).unwrap() - 0.4).abs() < 1e-12);
        assert_eq!(window.share_between(900, 1100), None);
    }

    // Without knowing when it ran, a window stands for nearly all of itself and for nothing less.
    #[test]
    fn unknown_runs_stand_for_the_whole() {
        let window = window(0, 100, 60, &[]);
        assert_eq!(window.share_between(1, 100), Some(0.6));
        assert_eq!(window.share_between(50, 100), None);
    }

    // A stretch that begins or ends within a period of the quota is cut to whole periods: else the share would be above what
    // the quota allows, or below.
    #[test]
    fn shares_are_of_whole_periods() {
        // A quota of 20 of each 100 ns, and a turn of a neighbour within the second period.
        let ran = [(0, 20), (100, 105), (110, 125), (200, 220), (300, 320), (400, 420)];
        let window = window(1_000, 425, 100, &ran);
        assert!(window.share() > 0.23);
        for (from, to) in [(1_000, 1_425), (1_010, 1_420), (1_090, 1_330), (1_050, 1_310)] {
            let share = window.share_between(from, to).unwrap();
            assert!((share - 0.2).abs() < 1e-12, "{from} to {to}: {share}");
        }
    }

    // Where there is no thread clock, gaps between stamps count.
    #[test]
    fn gaps_stand_in_for_clocks() {
        let window = Window { running_ns: 25, ..window(0, 100, 0, &[]) };
        assert_eq!(window.share(), 0.25);
    }

    // A setting of which every request is void is not known, and the reason says so; one with a sound request is.
    #[test]
    fn void_settings_are_unknown() {
        let record = |memory_mib: u32, void: bool| {
            let detail = r#"{"cpu": {"window_ns": 100, "cpu_ns": 20}}"#.to_owned();
            let mut record = Record {
                phase: "alone".into(),
                memory_mib,
                detail: detail.into(),
                ..Record::default()
            };
            record.experiment = EXPERIMENT.into();
            record.outcome = Outcome::Ok;
            if void {
                record.setting.insert("void".to_owned(), "the machine is busy".to_owned());
            }
            record
        };
        let records = [record(128, true), record(128, false), record(512, true)];
        let (findings, problems) = crate::analyse(&records);
        let share = |memory_mib: u32| {
            let is_it = |it: &&Finding| {
                it.metric == "cpu.share"
                    && it.setting["memory_mib"] == serde_json::json!(memory_mib)
            };
            let found: Vec<_> = findings.iter().filter(is_it).map(|it| it.value.clone()).collect();
            found
        };
        assert_eq!(share(128), [crate::Value::Number(0.2)]);
        assert_eq!(share(512), [crate::Value::Null]);
        assert!(problems.iter().any(|it| it.text.contains("the machine is busy")), "{problems:?}");
    }

    // Jain's index at its ends and in between.
    #[test]
    fn fairness_is_jains() {
        assert_eq!(jain(&[0.2, 0.2, 0.2]), Some(1.0));
        assert_eq!(jain(&[1.0, 0.0, 0.0, 0.0]), Some(0.25));
        assert_eq!(jain(&[2.0, 1.0]), Some(0.9));
        assert_eq!(jain(&[0.0]), None);
    }
}
