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
        let (mut taking, mut spent) = (Taking::All(Vec::new()), Spent::default());
        record::each(&directory.records(), |record| {
            spent.take(&record);
            taking.take(record);
        })?;
        Ok(Self { thinned: taking.finish(), spent })
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

/// All records until they are too many, then what is left of them.
enum Taking {
    All(Vec<Record>),
    Thin(Thinning),
}

impl Taking {
    fn take(&mut self, record: Record) {
        match self {
            Self::Thin(thinning) => thinning.take(record),
            Self::All(records) => {
                records.push(record);
                if records.len() > report::INVOCATIONS_CSV_MOST {
                    let mut thinning = Thinning::default();
                    std::mem::take(records).into_iter().for_each(|record| thinning.take(record));
                    *self = Self::Thin(thinning);
                }
            }
        }
    }

    fn finish(self) -> Thinned {
        match self {
            Self::All(records) => Thinned { records, ..Thinned::default() },
            Self::Thin(thinning) => thinning.finish(),
        }
    }
}
