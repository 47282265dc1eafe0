//! Reading files of records.

use crate::column::{self, ColumnError};
use crate::name::UnitName;
use crate::row::Record;
use crate::write::{ENDING, path_of};
use crate::{SCHEMA_KEY, SCHEMA_VERSION};
use arrow_schema::ArrowError;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Why records could not be read. Each names the file.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file system refuses.
    #[error("cannot open {}", path.display())]
    Open {
        /// Which file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is cut short, damaged, or no Parquet file.
    #[error("{} is damaged or no Parquet file", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where it fails.
        source: ParquetError,
    },
    /// Its rows cannot be decoded.
    #[error("{} is damaged", path.display())]
    Rows {
        /// Which file.
        path: PathBuf,
        /// Where it fails.
        source: ArrowError,
    },
    /// It does not say that it holds records, or was written by a program with another schema.
    #[error("{} has schema {found:?} of records, this program reads {SCHEMA_VERSION}", path.display())]
    Schema {
        /// Which file.
        path: PathBuf,
        /// The version that it states; empty where it states none.
        found: String,
    },
    /// A column is missing or not as it should be.
    #[error("{} is no file of records", path.display())]
    Column {
        /// Which file.
        path: PathBuf,
        /// Which column, and what is wrong.
        source: ColumnError,
    },
}

/// Reads the records of one unit.
///
/// # Errors
/// [`ReadError`] names the file, and the column where one is missing or wrong.
pub fn read_unit(directory: &Path, name: &UnitName) -> Result<Vec<Record>, ReadError> {
    let mut records = Vec::new();
    read_file(&path_of(directory, name), &mut |record| records.push(record))?;
    Ok(records)
}

/// Reads the records of one experiment's finished units, ordered by the names of the units.
///
/// # Errors
/// As [`read_unit`].
pub fn read_experiment(directory: &Path, experiment: &str) -> Result<Vec<Record>, ReadError> {
    let mut records = Vec::new();
    for name in finished_units(directory)?.iter().filter(|name| name.experiment() == experiment) {
        read_file(&path_of(directory, name), &mut |record| records.push(record))?;
    }
    Ok(records)
}

/// Reads the records of all finished units, ordered by the names of experiments and units.
///
/// # Errors
/// As [`read_unit`].
pub fn read_all(directory: &Path) -> Result<Vec<Record>, ReadError> {
    let mut records = Vec::new();
    each(directory, |record| records.push(record))?;
    Ok(records)
}

/// Passes on the records of all finished units one by one, in the order of [`read_all`]; none is kept.
///
/// # Errors
/// As [`read_unit`]; records of that file may have been passed on before.
pub fn each(directory: &Path, mut take: impl FnMut(Record)) -> Result<(), ReadError> {
    for name in &finished_units(directory)? {
        read_file(&path_of(directory, name), &mut take)?;
    }
    Ok(())
}

/// Names of the units whose files are there. None where the directory is not there; files of other names are left
/// alone, as are those that an interrupted write left aside.
///
/// # Errors
/// [`ReadError::Open`] where a directory cannot be listed.
pub fn finished_units(directory: &Path) -> Result<BTreeSet<UnitName>, ReadError> {
    let mut units = BTreeSet::new();
    for experiment in names_in(directory)? {
        let folder = directory.join(&experiment);
        if !folder.is_dir() {
            continue;
        }
        for file in names_in(&folder)? {
            let unit = file.strip_suffix(ENDING).and_then(|name| name.strip_suffix('.'));
            if let Some(Ok(name)) = unit.map(|unit| UnitName::new(&experiment, unit)) {
                units.insert(name);
            }
        }
    }
    Ok(units)
}

/// Whether a unit's file is there. False for a name that cannot be a file's.
pub fn is_finished(directory: &Path, experiment: &str, unit: &str) -> bool {
    UnitName::new(experiment, unit).is_ok_and(|name| path_of(directory, &name).is_file())
}

fn names_in(folder: &Path) -> Result<Vec<String>, ReadError> {
    let open = |source| ReadError::Open { path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(open)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(open)?.file_name().into_string().ok());
    }
    Ok(names)
}

/// The Parquet decoder checks most of what it reads but asserts some of it, so its panics are damage too.
fn read_file(path: &Path, take: &mut impl FnMut(Record)) -> Result<(), ReadError> {
    catch_unwind(AssertUnwindSafe(|| decode(path, take))).unwrap_or_else(|_| {
        let source = ParquetError::General("its metadata contradict each other".to_owned());
        Err(ReadError::Damaged { path: path.to_owned(), source })
    })
}

fn decode(path: &Path, take: &mut impl FnMut(Record)) -> Result<(), ReadError> {
    let path = || path.to_owned();
    let file = File::open(path()).map_err(|source| ReadError::Open { path: path(), source })?;
    let damaged = |source| ReadError::Damaged { path: path(), source };
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(damaged)?;
    let metadata = reader.metadata().file_metadata().key_value_metadata();
    let found = metadata
        .and_then(|pairs| pairs.iter().find(|pair| pair.key == SCHEMA_KEY))
        .and_then(|pair| pair.value.clone())
        .unwrap_or_default();
    if found != SCHEMA_VERSION.to_string() {
        return Err(ReadError::Schema { path: path(), found });
    }
    // An empty file has no batch in which a column could be missed.
    let wrong = |source| ReadError::Column { path: path(), source };
    column::check(reader.schema()).map_err(wrong)?;
    for batch in reader.build().map_err(damaged)? {
        let batch = batch.map_err(|source| ReadError::Rows { path: path(), source })?;
        column::records(&batch).map_err(wrong)?.into_iter().for_each(&mut *take);
    }
    Ok(())
}
