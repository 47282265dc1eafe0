//! Writes the records of units to their files, each unit once.

use record::{Durability, Record, UnitWriter, WriteError};
use std::path::PathBuf;

/// Files of records.
pub(super) struct Keeper {
    records: PathBuf,
    durability: Durability,
    /// The file of the unit that is under way, where its records come in parts.
    begun: Option<UnitWriter>,
}

impl Keeper {
    /// Files in this directory.
    pub(super) fn new(records: PathBuf, durability: Durability) -> Self {
        Self { records, durability, begun: None }
    }

    /// Some records of a unit that is under way.
    pub(super) fn part(
        &mut self,
        experiment: &str,
        unit: &str,
        records: &[Record],
    ) -> Result<(), WriteError> {
        if self.is_written(experiment, unit) {
            return Ok(());
        }
        let writer = match self.begun.take() {
            Some(writer) => writer,
            None => UnitWriter::create(&self.records, experiment, unit)?,
        };
        self.begun.insert(writer).write(records)
    }

    /// The last records of a unit, after which its file is there.
    pub(super) fn finished(
        &mut self,
        experiment: &str,
        unit: &str,
        records: &[Record],
    ) -> Result<(), WriteError> {
        let mut writer = match self.begun.take() {
            Some(writer) => writer,
            None if self.is_written(experiment, unit) => return Ok(()),
            None => UnitWriter::create(&self.records, experiment, unit)?,
        };
        writer.write(records)?;
        writer.finish(self.durability)
    }

    fn is_written(&self, experiment: &str, unit: &str) -> bool {
        record::is_finished(&self.records, experiment, unit)
    }
}
