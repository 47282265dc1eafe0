//! What the analyses need of a study's records, taken one by one.
//!
//! A function that is watched for a week is asked more than a hundred thousand times, and nearly all of its answers say
//! only that an instance still lives. Such answers are *dull* between the first and the last one of their instance: the
//! findings depend on them by their number, by the closest bounds that they set to a clock, and by the grain in which it
//! was read. So they are counted and left out, but for those that set a bound or show a grain. What the analyses find in
//! what is left is what they would find in all records, to the last bit. Deliberately knows nothing of files.

use crate::clock::bounds_ns;
use crate::offset::COARSEST_GRAIN_NS;
use crate::study::{KNOWN, is_sound};
use crate::{consistency, lifetime};
use record::{Outcome, Record};
use std::collections::BTreeMap;

/// Records without the dull ones, and how many these were.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thinned {
    /// What is left: in the order taken, then what was kept of dull ones. Request ids, roles, versions and, but for the
    /// experiment on consistency, marks are empty.
    pub records: Vec<Record>,
    /// What is not.
    pub left_out: LeftOut,
}

/// How many records were left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut(Vec<Count>);

/// Records left out that are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Count {
    round: u32,
    sandbox: String,
    experiment: String,
    runtime: String,
    records: u64,
}

impl LeftOut {
    /// All of them.
    pub fn all(&self) -> u64 {
        self.0.iter().map(|count| count.records).sum()
    }

    /// Those of one experiment.
    pub fn of(&self, experiment: &str) -> u64 {
        self.rounds(experiment).map(|(_, records)| records).sum()
    }

    /// Those of one experiment, by round; a round may come several times.
    pub(crate) fn rounds(&self, experiment: &str) -> impl Iterator<Item = (u32, u64)> {
        let own = self.0.iter().filter(move |count| count.experiment == experiment);
        own.map(|count| (count.round, count.records))
    }

    /// Those of functions of one runtime.
    pub(crate) fn of_runtime(&self, runtime: &str) -> u64 {
        let own = self.0.iter().filter(|count| count.runtime == runtime);
        own.map(|count| count.records).sum()
    }

    /// Those in one kind of sandbox.
    pub(crate) fn in_sandbox(&self, sandbox: &str) -> Self {
        Self(self.0.iter().filter(|count| count.sandbox == sandbox).cloned().collect())
    }

    fn add(&mut self, record: &Record) {
        let is_alike = |count: &&mut Count| {
            count.round == record.round
                && count.experiment == record.experiment
                && count.runtime == record.runtime
                && count.sandbox == record.sandbox
        };
        match self.0.iter_mut().find(is_alike) {
            Some(count) => count.records += 1,
            None => self.0.push(Count {
                round: record.round,
                sandbox: record.sandbox.clone(),
                experiment: record.experiment.clone(),
                runtime: record.runtime.clone(),
                records: 1,
            }),
        }
    }
}

/// Takes records, in any order, and holds what is left of them.
#[derive(Debug, Default)]
pub struct Thinning {
    kept: Vec<Record>,
    /// By function and instance.
    lives: BTreeMap<String, BTreeMap<String, Life>>,
    clocks: Vec<Clock>,
    left_out: LeftOut,
}

/// One instance's first and last dull record.
#[derive(Debug)]
struct Life {
    first: Record,
    last: Option<Record>,
}

impl Life {
    /// Takes one more; what is left over is neither the first nor the last.
    fn take(&mut self, mut record: Record) -> Option<Record> {
        if record.sent_ns < self.first.sent_ns {
            std::mem::swap(&mut self.first, &mut record);
        }
        match &mut self.last {
            Some(last) if record.sent_ns < last.sent_ns => Some(record),
            last => last.replace(record),
        }
    }

    fn is_alike(&self, record: &Record) -> bool {
        let first = &self.first;
        first.round == record.round
            && first.memory_mib == record.memory_mib
            && first.unit == record.unit
            && first.sandbox == record.sandbox
            && first.runtime == record.runtime
            && first.setting == record.setting
    }
}

/// What the records left out say about the clock of one runtime's functions.
#[derive(Debug)]
struct Clock {
    sandbox: String,
    runtime: String,
    /// The record with the largest lower bound of the offset, and the one with the smallest upper bound.
    low: Option<Record>,
    high: Option<Record>,
    /// Greatest common divisor of all stamps and of the coarsest grain.
    grain_ns: u64,
}

impl Clock {
    fn of(record: &Record) -> Self {
        let (sandbox, runtime) = (record.sandbox.clone(), record.runtime.clone());
        Self { sandbox, runtime, low: None, high: None, grain_ns: COARSEST_GRAIN_NS }
    }

    /// Whether the record shows a finer grain than those before.
    fn is_finer(&mut self, record: &Record) -> bool {
        let stamps = [record.started_unix_ns, record.finished_unix_ns];
        if stamps.iter().all(|stamp| stamp.is_multiple_of(self.grain_ns)) {
            return false;
        }
        self.grain_ns = stamps.into_iter().fold(self.grain_ns, divisor);
        true
    }

    /// Keeps the record in place of one that bounds less; returns the one that is not needed.
    fn bound(&mut self, record: Record) -> Option<Record> {
        let record =
            better(&mut self.low, record, |one, other| bounds_ns(one).0 > bounds_ns(other).0)?;
        better(&mut self.high, record, |one, other| bounds_ns(one).1 < bounds_ns(other).1)
    }
}

/// Puts the record in the place of a worse one; returns the worse one, if there are two.
fn better(
    place: &mut Option<Record>,
    record: Record,
    is_better: impl Fn(&Record, &Record) -> bool,
) -> Option<Record> {
    match place {
        Some(held) if !is_better(&record, held) => Some(record),
        _ => place.replace(record),
    }
}

fn divisor(one: u64, other: u64) -> u64 {
    if other == 0 { one } else { divisor(other, one % other) }
}

impl Thinning {
    /// Takes one record.
    pub fn take(&mut self, mut record: Record) {
        drop_unread(&mut record);
        if !is_dull(&record) {
            return self.kept.push(record);
        }
        let life = match self.lives.get_mut(&record.function) {
            Some(lives) => lives.get_mut(&record.instance),
            None => None,
        };
        match life {
            Some(life) if life.is_alike(&record) => {
                if let Some(over) = life.take(record) {
                    self.leave_out(over);
                }
            }
            Some(_) => self.kept.push(record),
            None => {
                let lives = self.lives.entry(record.function.clone()).or_default();
                lives.insert(record.instance.clone(), Life { first: record, last: None });
            }
        }
    }

    /// What is left.
    pub fn finish(self) -> Thinned {
        let mut records = self.kept;
        for life in self.lives.into_values().flat_map(BTreeMap::into_values) {
            records.push(life.first);
            records.extend(life.last);
        }
        for clock in self.clocks {
            records.extend(clock.low);
            records.extend(clock.high);
        }
        Thinned { records, left_out: self.left_out }
    }

    fn leave_out(&mut self, record: Record) {
        let is_own =
            |clock: &Clock| clock.runtime == record.runtime && clock.sandbox == record.sandbox;
        let own = self.clocks.iter().position(is_own).unwrap_or_else(|| {
            self.clocks.push(Clock::of(&record));
            self.clocks.len() - 1
        });
        let clock = &mut self.clocks[own];
        if clock.is_finer(&record) {
            return self.kept.push(record);
        }
        if let Some(over) = clock.bound(record) {
            self.left_out.add(&over);
        }
    }
}

/// Empties what no finding, truth or plot of a large study reads.
fn drop_unread(record: &mut Record) {
    record.request_id = String::new();
    record.role = String::new();
    record.version = String::new();
    record.initialization = String::new();
    if record.experiment != consistency::EXPERIMENT {
        record.mark = String::new();
        record.mark_acknowledged = String::new();
    }
}

/// Whether a record says only that an instance lives, and what time it was there.
fn is_dull(record: &Record) -> bool {
    record.experiment == lifetime::EXPERIMENT
        && record.outcome == Outcome::Ok
        && !record.instance.is_empty()
        && record.host_ids.is_empty()
        && record.cpu_count == 0
        && record.started_unix_ns > 0
        && record.finished_unix_ns > 0
        && is_sound(record)
        && !record.setting.contains_key(KNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{analyse, analyse_thinned};
    use rand::seq::SliceRandom;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    /// Requests of a watch with failures, replaced instances, clocks apart and read in several grains; of some kinds of
    /// sandbox, in any order.
    fn watched(seed: u64) -> Vec<Record> {
        let random = &mut Pcg64::seed_from_u64(seed);
        let grain_ns = [1, 1_000, 1_000_000][random.random_range(0..3)];
        let (sandboxes, offset_ns) =
            (random.random_range(1..3), random.random_range(0..40_000_000));
        let mut records = Vec::new();
        for function in 0..6_u32 {
            let mut instance = 0;
            for number in 0..40 {
                let sent = u64::from(number) * 5_000_000_000 + random.random_range(0..1_000_000);
                let ways: [u64; 3] = std::array::from_fn(|_| random.random_range(1..9_000_000));
                let started = 1_700_000_000_000_000_000 + offset_ns + sent + ways[0];
                instance += u32::from(random.random_bool(0.1));
                let outcome = match random.random_range(0..20) {
                    0 => Outcome::Failed,
                    1 => Outcome::Throttled,
                    _ => Outcome::Ok,
                };
                records.push(Record {
                    experiment: if function == 5 { "idle" } else { lifetime::EXPERIMENT }
                        .to_owned(),
                    unit: "watch".to_owned(),
                    phase: "watch".to_owned(),
                    round: function % 3,
                    sequence: number,
                    setting: [("interval_s".to_owned(), "5.000".to_owned())].into(),
                    sandbox: format!("kind-{}", function % sandboxes),
                    function: format!("function-{function}"),
                    runtime: format!("runtime-{}", function % 2),
                    memory_mib: 128,
                    epoch_unix_ns: 1_700_000_000_000_000_000,
                    sent_ns: sent,
                    received_ns: sent + ways.iter().sum::<u64>(),
                    started_unix_ns: started / grain_ns * grain_ns,
                    finished_unix_ns: (started + ways[1]) / grain_ns * grain_ns,
                    instance: format!("{function}-{instance}"),
                    instance_invocations: 2,
                    outcome,
                    ..Record::default()
                });
            }
        }
        records.shuffle(random);
        records
    }

    fn thinned(records: Vec<Record>) -> Thinned {
        let mut thinning = Thinning::default();
        records.into_iter().for_each(|record| thinning.take(record));
        thinning.finish()
    }

    // Of any watch, what is left tells what all of it tells, to the last bit, and no record is lost.
    #[test]
    fn findings_stay_the_same() {
        for seed in 0..60 {
            let records = watched(seed);
            let all = analyse(&records);
            let count = records.len();
            let thinned = thinned(records);
            assert_eq!(thinned.records.len() as u64 + thinned.left_out.all(), count as u64);
            assert!(thinned.left_out.all() > 60, "{seed}: {:?}", thinned.left_out);
            assert_eq!(analyse_thinned(&thinned), all, "{seed}");
            assert!(all.0.iter().any(|finding| finding.metric == "lifetime.max_s"));
            assert!(all.0.iter().any(|finding| finding.metric == "clock.offset_ms"));
        }
    }

    // What tells of hosts, failed, is void or came from elsewhere is never left out.
    #[test]
    fn what_tells_more_is_kept() {
        let dull = watched(1).into_iter().find(is_dull).expect("most are");
        let setting = |name: &str| [(name.to_owned(), "why".to_owned())].into();
        for record in [
            Record { outcome: Outcome::FunctionError, ..dull.clone() },
            Record { host_ids: setting("boot_id"), ..dull.clone() },
            Record { setting: setting("void"), ..dull.clone() },
            Record { setting: setting(KNOWN), ..dull.clone() },
            Record { cpu_count: 2, ..dull.clone() },
            Record { started_unix_ns: 0, ..dull.clone() },
            Record { experiment: "idle".to_owned(), ..dull.clone() },
        ] {
            let thinned = thinned(vec![record; 9]);
            assert_eq!((thinned.records.len(), thinned.left_out.all()), (9, 0));
        }
    }
}
