//! The records of one study as analyses see them: by experiment and group, with what holds for all of them.

use crate::clock::Clock;
use crate::placed::HostSource;
use record::Record;
use std::collections::BTreeMap;

/// What every analysis reads.
pub(crate) struct Study<'a> {
    pub(crate) records: Vec<&'a Record>,
    pub(crate) clock: Clock,
    pub(crate) host: HostSource,
}

impl<'a> Study<'a> {
    /// The records of one experiment, in the order they came.
    pub(crate) fn of(&self, experiment: &str) -> Vec<&'a Record> {
        self.records.iter().copied().filter(|record| record.experiment == experiment).collect()
    }
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
