//! One row of a table through a mapping: cells by key, as numbers and words, each error with its line.

use crate::mapping::{MappingError, Unit};
use crate::table::Table;

/// A row that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {text}")]
pub struct RowProblem {
    /// Line of the file, from 1, the names being the first; of a file without lines, the row's number plus 1.
    pub line: u64,
    /// What is wrong, with the value.
    pub text: String,
}

/// A mapped column: where it is in the table, and the key that named it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    index: usize,
    key: &'static str,
}

/// The column of a name.
pub(crate) fn column(table: &Table, key: &'static str, name: &str) -> Result<Column, MappingError> {
    let index = table.columns.iter().position(|column| column == name);
    index.map(|index| Column { index, key }).ok_or_else(|| MappingError::Column {
        key,
        name: name.to_owned(),
        found: table.columns.join(", "),
    })
}

/// The column of a name that may be absent.
pub(crate) fn optional(
    table: &Table,
    key: &'static str,
    name: &Option<String>,
) -> Result<Option<Column>, MappingError> {
    name.as_deref().map(|name| column(table, key, name)).transpose()
}

/// One row: its line and its cells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    pub(crate) line: u64,
    pub(crate) cells: &'a [String],
}

impl<'a> Row<'a> {
    pub(crate) fn text(&self, column: Column) -> &'a str {
        self.cells.get(column.index).map_or("", |cell| cell.trim())
    }

    /// A time of at least zero, nanoseconds.
    pub(crate) fn time_ns(&self, column: Column, unit: Unit) -> Result<u64, RowProblem> {
        let text = self.text(column);
        // Ten years; more is another unit.
        let longest = 315_360_000e9;
        let wanted = || format!("a number of {} from 0 to ten years", unit.name());
        let number: f64 = text.parse().map_err(|_| self.wrong(column, &wanted()))?;
        let nanoseconds = number * unit.nanoseconds();
        if !(0.0..=longest).contains(&nanoseconds) {
            return Err(self.wrong(column, &wanted()));
        }
        Ok(nanoseconds.round() as u64)
    }

    /// A whole number up to `most`; also written as 20.0.
    pub(crate) fn count(&self, column: Column, most: u32) -> Result<u32, RowProblem> {
        let number: Option<f64> = self.text(column).parse().ok();
        match number {
            Some(number) if number.fract() == 0.0 && (0.0..=f64::from(most)).contains(&number) => {
                Ok(number as u32)
            }
            _ => Err(self.wrong(column, &format!("a whole number from 0 to {most}"))),
        }
    }

    /// Yes or no.
    pub(crate) fn truth(&self, column: Column, word: &str) -> Result<bool, RowProblem> {
        let text = self.text(column).to_ascii_lowercase();
        match text.as_str() {
            "true" | "1" | "yes" => Ok(true),
            "false" | "0" | "no" | "" => Ok(false),
            other if other == word => Ok(true),
            "warm" | "ok" => Ok(false),
            _ => Err(self.wrong(column, &format!("true, 1, yes or {word}, or false, 0 or no"))),
        }
    }

    pub(crate) fn wrong(&self, column: Column, wanted: &str) -> RowProblem {
        let (key, text) = (column.key, self.text(column));
        RowProblem { line: self.line, text: format!("{key} is {text:?}, must be {wanted}") }
    }
}
