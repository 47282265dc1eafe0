//! A table from a file: CSV with a line of names, or Parquet. Cells are text.
//!
//! Deliberately knows nothing of what a column means.

use crate::row::{Row, RowProblem};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Rows of text under names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    pub(crate) columns: Vec<String>,
    rows: Vec<(u64, Vec<String>)>,
    problems: Vec<RowProblem>,
}

/// Why a file is no table.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The file system refuses.
    #[error("cannot open {}", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It has no line of names.
    #[error("{} has no line of column names", path.display())]
    Names {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: csv::Error,
    },
    /// It ends in .parquet and is none, or is damaged.
    #[error("{} is damaged or no Parquet file: {reason}", path.display())]
    Parquet {
        /// Which file.
        path: PathBuf,
        /// Where it fails.
        reason: String,
    },
    /// A column holds nested or binary values.
    #[error("{}: column {column} holds {found}, must be texts, numbers or truths", path.display())]
    Type {
        /// Which file.
        path: PathBuf,
        /// Which column.
        column: String,
        /// What it holds.
        found: DataType,
    },
}

impl Table {
    /// Reads a file: Parquet where its name ends so, else CSV.
    ///
    /// A line of CSV that is no row (another number of cells, no UTF-8) becomes a problem of the table, not an error.
    ///
    /// # Errors
    /// [`TableError`] names the file.
    pub fn read(path: &Path) -> Result<Self, TableError> {
        let file = File::open(path)
            .map_err(|source| TableError::Open { path: path.to_owned(), source })?;
        if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("parquet")) {
            return Self::read_parquet(path, file);
        }
        Self::read_csv(file).map_err(|source| TableError::Names { path: path.to_owned(), source })
    }

    /// Reads CSV (RFC 4180) with a line of names.
    ///
    /// # Errors
    /// Where the line of names cannot be read.
    pub fn read_csv(from: impl io::Read) -> Result<Self, csv::Error> {
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::Headers).from_reader(from);
        let columns = reader.headers()?.iter().map(str::to_owned).collect();
        let mut table = Self { columns, ..Self::default() };
        let mut record = csv::StringRecord::new();
        loop {
            let line = reader.position().line();
            match reader.read_record(&mut record) {
                Ok(false) => return Ok(table),
                Ok(true) => {
                    let line = record.position().map_or(line, csv::Position::line);
                    table.rows.push((line, record.iter().map(str::to_owned).collect()));
                }
                Err(error) => {
                    let at = error.position().map_or(line, csv::Position::line);
                    table.problems.push(RowProblem { line: at, text: reason(&error) });
                    if error.is_io_error() {
                        return Ok(table);
                    }
                }
            }
        }
    }

    fn read_parquet(path: &Path, file: File) -> Result<Self, TableError> {
        let damaged = |reason: String| TableError::Parquet { path: path.to_owned(), reason };
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)
            .map_err(|error| damaged(error.to_string()))?;
        let columns: Vec<String> =
            builder.schema().fields().iter().map(|field| field.name().clone()).collect();
        let reader = builder.build().map_err(|error| damaged(error.to_string()))?;
        let mut table = Self { columns, ..Self::default() };
        for batch in reader {
            let batch = batch.map_err(|error| damaged(error.to_string()))?;
            let mut texts = Vec::with_capacity(batch.num_columns());
            for (array, column) in batch.columns().iter().zip(&table.columns) {
                texts.push(cells(array).ok_or_else(|| TableError::Type {
                    path: path.to_owned(),
                    column: column.clone(),
                    found: array.data_type().clone(),
                })?);
            }
            for row in 0..batch.num_rows() {
                let line = table.rows.len() as u64 + 2;
                let cells = texts.iter_mut().map(|column| std::mem::take(&mut column[row]));
                table.rows.push((line, cells.collect()));
            }
        }
        Ok(table)
    }

    /// Rows, unreadable ones included.
    pub(crate) fn len(&self) -> usize {
        self.rows.len() + self.problems.len()
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|(line, cells)| Row { line: *line, cells })
    }

    /// Lines that are no rows.
    pub(crate) fn problems(&self) -> &[RowProblem] {
        &self.problems
    }
}

fn reason(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("has {len} cells, the line of names has {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "is not UTF-8".to_owned(),
        _ => error.to_string(),
    }
}

/// Each value as text, empty where there is none; None where the type has no text.
fn cells(array: &ArrayRef) -> Option<Vec<String>> {
    macro_rules! numbers {
        ($($variant:ident $type:ty),+ $(,)?) => {
            match array.data_type() {
                DataType::Utf8 => texts(array.as_string::<i32>().iter()),
                DataType::LargeUtf8 => texts(array.as_string::<i64>().iter()),
                DataType::Utf8View => texts(array.as_string_view().iter()),
                DataType::Boolean => texts(array.as_boolean().iter()),
                $(DataType::$variant => texts(array.as_primitive::<$type>().iter()),)+
                _ => return None,
            }
        };
    }
    Some(numbers!(
        Int8 Int8Type, Int16 Int16Type, Int32 Int32Type, Int64 Int64Type,
        UInt8 UInt8Type, UInt16 UInt16Type, UInt32 UInt32Type, UInt64 UInt64Type,
        Float32 Float32Type, Float64 Float64Type,
    ))
}

fn texts<T: ToString>(values: impl Iterator<Item = Option<T>>) -> Vec<String> {
    values.map(|value| value.map(|value| value.to_string()).unwrap_or_default()).collect()
}
