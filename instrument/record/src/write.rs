//! Writing a unit's file: aside, synchronised, then renamed.

use crate::name::{NameError, UnitName};
use crate::row::Record;
use crate::{SCHEMA_KEY, SCHEMA_VERSION, column};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Ending of files of records.
pub(crate) const ENDING: &str = "parquet";

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
/// The file appears whole or not at all, also where the machine stops: it is written aside, synchronised and renamed.
/// What an interrupted write leaves aside is never read, and is overwritten by the next one.
///
/// # Errors
/// [`WriteError`] names the file, or the name that cannot be one.
pub fn write_unit(
    directory: &Path,
    experiment: &str,
    unit: &str,
    records: &[Record],
) -> Result<(), WriteError> {
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
    let encode = |source| WriteError::Encode { path: aside.clone(), source };
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_key_value_metadata(Some(vec![KeyValue::new(
            SCHEMA_KEY.to_owned(),
            SCHEMA_VERSION.to_string(),
        )]))
        .build();
    let mut writer =
        ArrowWriter::try_new(&file, column::schema(), Some(properties)).map_err(encode)?;
    let batch = column::batch(records).map_err(|error| encode(error.into()))?;
    writer.write(&batch).map_err(encode)?;
    writer.close().map_err(encode)?;
    file.sync_all().map_err(failed("synchronise", &aside))?;
    fs::rename(&aside, &path).map_err(failed("rename", &aside))?;
    for folder in [folder.as_path(), directory] {
        let opened = File::open(folder).map_err(failed("open", folder))?;
        opened.sync_all().map_err(failed("synchronise", folder))?;
    }
    Ok(())
}

/// Where a unit's file is.
pub(crate) fn path_of(directory: &Path, name: &UnitName) -> PathBuf {
    directory.join(name.experiment()).join(format!("{}.{ENDING}", name.unit()))
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> WriteError {
    let path = path.to_owned();
    move |source| WriteError::File { operation, path, source }
}
