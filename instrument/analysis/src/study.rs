//! The records of one study as analyses see them: by experiment and group, with what holds for all of them.

use crate::answers::Answers;
use crate::clock::Clock;
use crate::placed::HostSource;
use crate::thin::LeftOut;
use record::Record;
use std::collections::BTreeMap;

/// Phase of a record that tells of a function that could not be created; no request was sent.
const DEPLOY: &str = "deploy";

/// Setting whose presence says why a record is in no figure: it was sent too late, or its round was not held together.
const VOID: &str = "void";

/// Setting of records that this program did not make: which of their times are known, `latency`, `overhead` or `idle`.
/// What is known is known exactly, on one clock.
pub(crate) const KNOWN: &str = "known";

/// What every analysis reads.
pub(crate) struct Study<'a> {
    pub(crate) records: Vec<&'a Record>,
    /// The same by experiment.
    experiments: BTreeMap<&'a str, Vec<&'a Record>>,
    /// By runtime: each has its own way to read the wall clock, some to a millisecond.
    pub(crate) clocks: BTreeMap<&'a str, Clock>,
    pub(crate) host: HostSource,
    /// What is not among the records, since it says no more than they do.
    pub(crate) left_out: LeftOut,
}

impl<'a> Study<'a> {
    /// The study of records whose host is named by `host`.
    pub(crate) fn of_records(records: Vec<&'a Record>, host: HostSource) -> Self {
        let mut clocks: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
        for record in records.iter().filter(|record| !record.setting.contains_key(KNOWN)) {
            clocks.entry(record.runtime.as_str()).or_default().push(record);
        }
        let clocks =
            clocks.into_iter().map(|(runtime, records)| (runtime, Clock::of(&records))).collect();
        let mut experiments: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
        for record in &records {
            experiments.entry(&record.experiment).or_default().push(record);
        }
        Self { records, experiments, clocks, host, left_out: LeftOut::default() }
    }

    /// The same where these records were left out.
    pub(crate) fn without(self, left_out: LeftOut) -> Self {
        Self { left_out, ..self }
    }

    /// The clock of the functions of a runtime; one that needs no correction where no exchange tells of it.
    pub(crate) fn clock(&self, runtime: &str) -> Clock {
        self.clocks.get(runtime).copied().unwrap_or_else(|| Clock::of(&[]))
    }

    /// The sound requests of one experiment, in the order they came; says how many were not.
    pub(crate) fn of(&self, experiment: &str, answers: &mut Answers) -> Vec<&'a Record> {
        let all: Vec<&Record> = self.requests(experiment).collect();
        let sound: Vec<&Record> = all.iter().copied().filter(|record| is_sound(record)).collect();
        if let Some(void) = all.iter().find_map(|record| record.setting.get(VOID)) {
            let count = all.len() - sound.len();
            let requests = all.len() as u64 + self.left_out.of(experiment);
            let text = format!("{count} of {requests} requests are void and in no figure: {void}");
            answers.note(experiment, &text);
        }
        let undeployed = self.all(experiment).filter(|record| record.phase == DEPLOY);
        if let Some(first) = undeployed.clone().next() {
            let text =
                format!("{} functions were not created: {}", undeployed.count(), first.error);
            answers.note(experiment, &text);
        }
        sound
    }

    /// Names of the experiments, ascending.
    pub(crate) fn experiments(&self) -> impl Iterator<Item = &'a str> {
        self.experiments.keys().copied()
    }

    /// All requests of one experiment, void ones included.
    pub(crate) fn requests(&self, experiment: &str) -> impl Iterator<Item = &'a Record> {
        self.all(experiment).filter(|record| record.phase != DEPLOY)
    }

    fn all(&self, experiment: &str) -> impl Iterator<Item = &'a Record> + Clone {
        self.experiments.get(experiment).into_iter().flatten().copied()
    }
}

/// Whether a request may be in a figure.
pub(crate) fn is_sound(record: &Record) -> bool {
    record.phase != DEPLOY && !record.setting.contains_key(VOID)
}

/// Records by key, keys ascending.
pub(crate) fn group<'a, K: Ord>(
    records: &[&'a Record],
    key: impl Fn(&Record) -> K,
) -> BTreeMap<K, Vec<&'a Record>> {
    let mut groups: BTreeMap<K, Vec<&'a Record>> = BTreeMap::new();
    for record in records {
        groups.entry(key(record)).or_default().push(record);
    }
    groups
}

/// A setting's number; None where it is absent or no number.
pub(crate) fn setting<T: std::str::FromStr>(record: &Record, name: &str) -> Option<T> {
    record.setting.get(name)?.trim().parse().ok()
}

/// Nanoseconds from `earlier` to `later`, negative where it is the other way round.
pub(crate) fn between(earlier: u64, later: u64) -> f64 {
    (i128::from(later) - i128::from(earlier)) as f64
}
