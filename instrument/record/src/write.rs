//! Writing a unit's file: aside, synchronised, then renamed.

use crate::name::{NameError, UnitName};
use crate::row::Record;
use crate::{SCHEMA_KEY, SCHEMA_VERSION, column};
use arrow_array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Ending of files of records.
pub(crate) const ENDING: &str = "parquet";

/// Rows of one group of a file: what the writer holds in memory until it is full.
const GROUP_ROWS: usize = 128 * 1024;

/// Rows of the first batch from which on a file has dictionaries of its texts: of fewer, they are as large as the texts,
/// and compression finds repetitions as well.
const DICTIONARY_ROWS: usize = 1_024;

/// Rows that are turned into columns at a time.
const BATCH_ROWS: usize = 8 * 1024;

/// Why a unit's records could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The experiment's or the unit's name cannot be that of a file.
    #[error("cannot keep records of {experiment:?}/{unit:?}")]
    Name {
        /// Name of the experiment.
        experiment: String,
        /// Name of the unit.
        unit: String,
        /// Which of them, and why.
        source: NameError,
    },
    /// The file system refuses.
    #[error("cannot {operation} {}", path.display())]
    File {
        /// create, synchronise or rename.
        operation: &'static str,
        /// Which file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The rows cannot be encoded, or the file not written to its end.
    #[error("cannot write {}", path.display())]
    Encode {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: ParquetError,
    },
}

/// Writes the records of a finished unit to `directory/<experiment>/<unit>.parquet`, replacing an earlier file.
///
/// As [`UnitWriter`], in one step.
///
/// # Errors
/// [`WriteError`] names the file, or the name that cannot be one.
pub fn write_unit(
    directory: &Path,
    experiment: &str,
    unit: &str,
    records: &[Record],
) -> Result<(), WriteError> {
    let mut writer = UnitWriter::create(directory, experiment, unit)?;
    writer.write(records)?;
    writer.finish(Durability::Synchronised)
}

/// Whether a file that is finished also outlives the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It is on the disk before anything else happens.
    Synchronised,
    /// The system writes it when it sees fit: for what can be made again.
    Left,
}

/// The file of a unit whose records come in parts.
///
/// The file appears whole or not at all, also where the machine stops: it is written aside, synchronised and renamed.
/// What an interrupted write leaves aside is never read, and is overwritten by the next one.
pub struct UnitWriter {
    to: To,
    directory: PathBuf,
    folder: PathBuf,
    aside: PathBuf,
    path: PathBuf,
}

impl UnitWriter {
    /// Begins the file aside.
    ///
    /// # Errors
    /// [`WriteError`] names the file, or the name that cannot be one.
    pub fn create(directory: &Path, experiment: &str, unit: &str) -> Result<Self, WriteError> {
        let name = &UnitName::new(experiment, unit).map_err(|source| WriteError::Name {
            experiment: experiment.to_owned(),
            unit: unit.to_owned(),
            source,
        })?;
        let folder = directory.join(name.experiment());
        fs::create_dir_all(&folder).map_err(failed("create", &folder))?;
        let path = path_of(directory, name);
        let aside = folder.join(format!(".{}.{ENDING}.part", name.unit()));
        let file = File::create(&aside).map_err(failed("create", &aside))?;
        Ok(Self { to: To::File(file), directory: directory.to_owned(), folder, aside, path })
    }

    /// Adds records.
    ///
    /// # Errors
    /// [`WriteError::Encode`] names the file.
    pub fn write(&mut self, records: &[Record]) -> Result<(), WriteError> {
        let path = self.aside.clone();
        let encode = |source| WriteError::Encode { path: path.clone(), source };
        // A batch is a copy of its records: of many, only some at a time.
        for records in records.chunks(BATCH_ROWS) {
            let batch = column::batch(records).map_err(|error| encode(error.into()))?;
            self.to.write(&batch).map_err(encode)?;
        }
        Ok(())
    }

    /// Makes the file the unit's, replacing an earlier one.
    ///
    /// # Errors
    /// [`WriteError`] names the file.
    pub fn finish(self, durability: Durability) -> Result<(), WriteError> {
        let Self { mut to, directory, folder, aside, path } = self;
        let encode = |source| WriteError::Encode { path: aside.clone(), source };
        if let To::File(_) = to {
            to.write(&column::batch(&[]).map_err(|error| encode(error.into()))?).map_err(encode)?;
        }
        let file = to.into_inner().map_err(encode)?;
        if durability == Durability::Left {
            drop(file);
            return fs::rename(&aside, &path).map_err(failed("rename", &aside));
        }
        file.sync_all().map_err(failed("synchronise", &aside))?;
        fs::rename(&aside, &path).map_err(failed("rename", &aside))?;
        for folder in [&folder, &directory] {
            let opened = File::open(folder).map_err(failed("open", folder))?;
            opened.sync_all().map_err(failed("synchronise", folder))?;
        }
        Ok(())
    }
}

/// A file, and once the first rows are known what encodes them.
enum To {
    File(File),
    Writer(Box<ArrowWriter<File>>),
}

impl To {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), ParquetError> {
        if let Self::File(file) = self {
            *self = Self::Writer(Box::new(writer(file.try_clone()?, batch.num_rows())?));
        }
        match self {
            Self::Writer(writer) => writer.write(batch),
            Self::File(_) => Ok(()),
        }
    }

    fn into_inner(self) -> Result<File, ParquetError> {
        match self {
            Self::File(file) => Ok(file),
            Self::Writer(writer) => writer.into_inner(),
        }
    }
}

/// What encodes a file whose first batch has so many rows.
fn writer(file: File, rows: usize) -> Result<ArrowWriter<File>, ParquetError> {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_dictionary_enabled(rows >= DICTIONARY_ROWS)
        .set_key_value_metadata(Some(vec![KeyValue::new(
            SCHEMA_KEY.to_owned(),
            SCHEMA_VERSION.to_string(),
        )]));
    for column in column::without_repetition() {
        properties = properties.set_column_dictionary_enabled(column.into(), false);
    }
    // The file's own types say all that the language's would.
    let options = ArrowWriterOptions::new()
        .with_properties(properties.build())
        .with_skip_arrow_metadata(true);
    ArrowWriter::try_new_with_options(file, column::schema(), options)
}

/// Where a unit's file is.
pub(crate) fn path_of(directory: &Path, name: &UnitName) -> PathBuf {
    directory.join(name.experiment()).join(format!("{}.{ENDING}", name.unit()))
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> WriteError {
    let path = path.to_owned();
    move |source| WriteError::File { operation, path, source }
}
