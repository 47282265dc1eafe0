//! The records of a study, read for its findings: each once, and of the dull ones of a large study only their number.
//!
//! Deliberately knows nothing of what is found in them.

use crate::directory::Directory;
use crate::spent::Spent;
use analysis::{Thinned, Thinning};
use record::Record;

/// What findings, truths and report need of a study's records.
#[derive(Debug, Default)]
pub struct Reading {
    /// All records, where they are few enough for a table of all; else without the dull ones.
    pub thinned: Thinned,
    /// What all of them took.
    pub spent: Spent,
}

impl Reading {
    /// Reads the records of finished units.
    pub fn of(directory: &Directory) -> anyhow::Result<Self> {
        let mut taking = Taking::default();
        record::each(&directory.records(), |record| taking.take(record))?;
        Ok(taking.finish())
    }

    /// Records that are in memory already.
    pub fn of_records(records: Vec<Record>) -> Self {
        let mut spent = Spent::default();
        records.iter().for_each(|record| spent.take(record));
        Self { thinned: Thinned { records, ..Thinned::default() }, spent }
    }

    /// How many invocations there were.
    pub fn invocations(&self) -> u64 {
        self.thinned.records.len() as u64 + self.thinned.left_out.all()
    }
}

/// A reading that is under way: all records until they are too many, then what is left of them.
#[derive(Debug, Default)]
pub struct Taking {
    spent: Spent,
    all: Vec<Record>,
    thinning: Option<Thinning>,
}

impl Taking {
    /// Takes one record.
    pub fn take(&mut self, record: Record) {
        self.spent.take(&record);
        if let Some(thinning) = &mut self.thinning {
            return thinning.take(record);
        }
        self.all.push(record);
        if self.all.len() > report::INVOCATIONS_CSV_MOST {
            let mut thinning = Thinning::default();
            std::mem::take(&mut self.all).into_iter().for_each(|record| thinning.take(record));
            self.thinning = Some(thinning);
        }
    }

    /// What was read, where records came in the order of their files.
    pub fn finish(self) -> Reading {
        let Self { spent, all, thinning } = self;
        let thinned = match thinning {
            Some(thinning) => thinning.finish(),
            None => Thinned { records: all, ..Thinned::default() },
        };
        Reading { thinned, spent }
    }

    /// The same where they came unit by unit, in any order of these: as from their files.
    pub fn finish_sorted(self) -> Reading {
        let mut reading = self.finish();
        sort_by_unit(&mut reading.thinned.records);
        reading
    }
}

/// Sorts records by experiment and unit, those of one unit in the order in which they are, and takes next to no memory
/// beside them for it.
fn sort_by_unit(records: &mut [Record]) {
    let unit = |at: usize| (&records[at].experiment, &records[at].unit);
    let mut order: Vec<usize> = (0..records.len()).collect();
    order.sort_by(|one, other| unit(*one).cmp(&unit(*other)));
    // Each circle of records that take each other's places is moved around once.
    for begin in 0..order.len() {
        let mut to = begin;
        loop {
            let from = std::mem::replace(&mut order[to], to);
            if from == begin || from == to {
                break;
            }
            records.swap(to, from);
            to = from;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::seq::SliceRandom;

    // Records that came in any order of units are sorted as a stable sort does it.
    #[test]
    fn units_are_sorted() {
        let mut random = rand_pcg::Pcg64::seed_from_u64(1);
        for count in 0..60_u32 {
            let record = |sequence: u32| Record {
                experiment: format!("{}", sequence % 3).into(),
                unit: format!("{}", sequence % 5).into(),
                sequence,
                ..Record::default()
            };
            let mut records: Vec<Record> = (0..count).map(record).collect();
            records.shuffle(&mut random);
            let mut sorted = records.clone();
            sorted.sort_by(|one, other| {
                (&one.experiment, &one.unit).cmp(&(&other.experiment, &other.unit))
            });
            sort_by_unit(&mut records);
            assert_eq!(records, sorted);
        }
    }
}
