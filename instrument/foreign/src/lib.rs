//! Other people's measurements as records: rows of CSV or Parquet, and a small file that says what each column is.
//!
//! Deliberately estimates nothing: what comes out is what the experiments would have written down, for the same analyses.
//! A row that cannot be read is a [`RowProblem`] with its line, never dropped silently.

mod latencies;
mod mapping;
mod pools;
mod row;
mod table;

pub use mapping::{Mapping, MappingError};
pub use row::RowProblem;
pub use table::{Table, TableError};

use record::Record;

/// What became of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Intake {
    /// Records, as an experiment would have written them.
    pub records: Vec<Record>,
    /// Rows of the table.
    pub rows: usize,
    /// Rows that could not be read, in the order of their lines.
    pub problems: Vec<RowProblem>,
}

/// Turns the rows of a table into records.
///
/// # Errors
/// [`MappingError::Column`] where the mapping names a column that the table does not have.
pub fn records(table: &Table, mapping: &Mapping) -> Result<Intake, MappingError> {
    match mapping {
        Mapping::Latencies(mapping) => latencies::records(table, mapping),
        Mapping::Pools(mapping) => pools::records(table, mapping),
    }
}
