//! The columns of a file: one per field of a record, listed once.
//!
//! Deliberately knows nothing of files.

use crate::row::{Forced, Outcome, Record};
use arrow_array::{
    Array, ArrayRef, Float64Array, RecordBatch, StringArray, UInt16Array, UInt32Array, UInt64Array,
};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why a column of a file is no column of records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ColumnError {
    /// It is not there.
    #[error("has no column {column}")]
    Missing {
        /// Name of the column.
        column: &'static str,
    },
    /// It holds something else.
    #[error("column {column} holds {found}, not {wanted}")]
    Type {
        /// Name of the column.
        column: &'static str,
        /// What it holds.
        found: DataType,
        /// What it should hold.
        wanted: DataType,
    },
    /// A value is not what its column promises.
    #[error("column {column} has {problem} in row {row} of a batch")]
    Value {
        /// Name of the column.
        column: &'static str,
        /// Row within the batch, from 0.
        row: usize,
        /// What is wrong with it.
        problem: String,
    },
}

/// Columns that records have not always had: a file without them has their default in each row.
const LATER: [&str; 2] = ["connect_ns", "initialization"];

/// A type of values that a column can hold.
trait Cell: Sized + Clone + Default {
    const TYPE: DataType;
    fn array<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef
    where
        Self: 'a;
    /// All cells of an array of [`Self::TYPE`]; an error has the row and what is wrong with it.
    fn cells(array: &ArrayRef) -> Result<Vec<Self>, (usize, String)>;
    /// As text, for CSV.
    fn text(&self) -> String;
}

macro_rules! number_cell {
    ($number:ty, $array:ty, $type:expr) => {
        impl Cell for $number {
            const TYPE: DataType = $type;
            fn array<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef {
                Arc::new(<$array>::from_iter_values(cells.copied()))
            }
            fn cells(array: &ArrayRef) -> Result<Vec<Self>, (usize, String)> {
                let array: Option<&$array> = array.as_any().downcast_ref();
                Ok(array.map(|array| array.values().to_vec()).unwrap_or_default())
            }
            fn text(&self) -> String {
                self.to_string()
            }
        }
    };
}

number_cell!(u16, UInt16Array, DataType::UInt16);
number_cell!(u32, UInt32Array, DataType::UInt32);
number_cell!(u64, UInt64Array, DataType::UInt64);
number_cell!(f64, Float64Array, DataType::Float64);

impl Cell for String {
    const TYPE: DataType = DataType::Utf8;
    fn array<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef {
        Arc::new(StringArray::from_iter_values(cells))
    }
    fn cells(array: &ArrayRef) -> Result<Vec<Self>, (usize, String)> {
        Ok(texts(array).map(str::to_owned).collect())
    }
    fn text(&self) -> String {
        self.clone()
    }
}

/// Text columns of values that serde knows: maps as JSON, enums as their word.
macro_rules! text_cell {
    ($type:ty, $write:path, $read:path) => {
        impl Cell for $type {
            const TYPE: DataType = DataType::Utf8;
            fn array<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef {
                Arc::new(StringArray::from_iter_values(cells.map($write)))
            }
            fn cells(array: &ArrayRef) -> Result<Vec<Self>, (usize, String)> {
                let cell = |(row, text)| $read(text).map_err(|error| (row, error.to_string()));
                texts(array).enumerate().map(cell).collect()
            }
            fn text(&self) -> String {
                $write(self)
            }
        }
    };
}

text_cell!(BTreeMap<String, String>, json, serde_json::from_str);
text_cell!(Outcome, word, from_word);
text_cell!(Forced, word, from_word);

fn texts(array: &ArrayRef) -> impl Iterator<Item = &str> {
    let array: Option<&StringArray> = array.as_any().downcast_ref();
    array.into_iter().flat_map(|array| (0..array.len()).map(|row| array.value(row)))
}

fn json(map: &BTreeMap<String, String>) -> String {
    serde_json::to_string(map).expect("a map of texts is always JSON")
}

/// The word that serde gives a variant.
fn word<T: Serialize>(variant: &T) -> String {
    let json = serde_json::to_string(variant).expect("a variant is always JSON");
    json.trim_matches('"').to_owned()
}

fn from_word<T: DeserializeOwned>(word: &str) -> Result<T, serde_json::Error> {
    serde_json::from_value(serde_json::Value::from(word))
}

/// Lists every field of [`Record`] once; a field that is missing here does not compile.
macro_rules! columns {
    ($($field:ident),+ $(,)?) => {
        /// The schema of a file.
        pub(crate) fn schema() -> SchemaRef {
            Arc::new(Schema::new(vec![$(field(stringify!($field), |record| &record.$field)),+]))
        }

        /// Whether a file has every column with its type.
        pub(crate) fn check(found: &Schema) -> Result<(), ColumnError> {
            $(checked(found, stringify!($field), |record| &record.$field)?;)+
            Ok(())
        }

        /// Rows as columns.
        pub(crate) fn batch(records: &[Record]) -> Result<RecordBatch, ArrowError> {
            RecordBatch::try_new(
                schema(),
                vec![$(Cell::array(records.iter().map(|record| &record.$field))),+],
            )
        }

        /// Columns as rows. Columns that are not a record's are ignored.
        pub(crate) fn records(batch: &RecordBatch) -> Result<Vec<Record>, ColumnError> {
            $(let mut $field = cells(batch, stringify!($field))?.into_iter();)+
            let mut records = Vec::with_capacity(batch.num_rows());
            while let ($(Some($field)),+) = ($($field.next()),+) {
                records.push(Record { $($field),+ });
            }
            Ok(records)
        }

        /// Each value of a record as text, in the order of the columns.
        pub(crate) fn values(record: &Record) -> Vec<String> {
            vec![$(Cell::text(&record.$field)),+]
        }
    };
}

columns! {
    experiment, unit, round, setting, phase, sequence, sandbox,
    function, tenant, role, runtime, memory_mib, package_mib, mark_acknowledged, acknowledged_ns,
    epoch_unix_ns, intended_ns, sent_ns, received_ns, connect_ns, attempts,
    outcome, http_status, error, forced_by, request_id,
    duration_ms, billed_ms, init_duration_ms, max_memory_mib,
    started_unix_ns, finished_unix_ns, function_ns, init_unix_ns, instance, instance_invocations,
    version, mark, memory_seen_mib, initialization, host_ids, uptime_s, cpu_model, cpu_count, host_memory_mib, detail,
}

fn field<C: Cell>(name: &str, _: fn(&Record) -> &C) -> Field {
    Field::new(name, C::TYPE, false)
}

fn checked<C: Cell>(
    found: &Schema,
    column: &'static str,
    _: fn(&Record) -> &C,
) -> Result<(), ColumnError> {
    match found.field_with_name(column).map(Field::data_type) {
        Err(_) if LATER.contains(&column) => Ok(()),
        Err(_) => Err(ColumnError::Missing { column }),
        Ok(found) if *found == C::TYPE => Ok(()),
        Ok(found) => Err(ColumnError::Type { column, found: found.clone(), wanted: C::TYPE }),
    }
}

/// All values of a column whose type was [`checked`].
fn cells<C: Cell>(batch: &RecordBatch, column: &'static str) -> Result<Vec<C>, ColumnError> {
    let array = match batch.column_by_name(column) {
        Some(array) => array,
        None if LATER.contains(&column) => return Ok(vec![C::default(); batch.num_rows()]),
        None => return Err(ColumnError::Missing { column }),
    };
    let value = |row, problem| ColumnError::Value { column, row, problem };
    if let Some(row) = (0..array.len()).find(|row| array.is_null(*row)) {
        return Err(value(row, "no value".to_owned()));
    }
    C::cells(array).map_err(|(row, problem)| value(row, problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    // The schema is a promise to whoever reads the files: names, types and order.
    #[test]
    fn schema_is_as_promised() {
        let columns: Vec<String> = schema()
            .fields()
            .iter()
            .map(|field| format!("{} {}", field.name(), field.data_type()))
            .collect();
        insta::assert_snapshot!(columns.join("\n"), @"
        experiment Utf8
        unit Utf8
        round UInt32
        setting Utf8
        phase Utf8
        sequence UInt32
        sandbox Utf8
        function Utf8
        tenant Utf8
        role Utf8
        runtime Utf8
        memory_mib UInt32
        package_mib Float64
        mark_acknowledged Utf8
        acknowledged_ns UInt64
        epoch_unix_ns UInt64
        intended_ns UInt64
        sent_ns UInt64
        received_ns UInt64
        connect_ns UInt64
        attempts UInt32
        outcome Utf8
        http_status UInt16
        error Utf8
        forced_by Utf8
        request_id Utf8
        duration_ms Float64
        billed_ms Float64
        init_duration_ms Float64
        max_memory_mib UInt32
        started_unix_ns UInt64
        finished_unix_ns UInt64
        function_ns UInt64
        init_unix_ns UInt64
        instance Utf8
        instance_invocations UInt64
        version Utf8
        mark Utf8
        memory_seen_mib UInt32
        initialization Utf8
        host_ids Utf8
        uptime_s Float64
        cpu_model Utf8
        cpu_count UInt32
        host_memory_mib UInt32
        detail Utf8
        ");
    }

    // A column that is missing or holds something else is named.
    #[test]
    fn wrong_columns_are_named() {
        let batch = batch(&[Record::default()]).expect("a batch");
        let round = schema().index_of("round").expect("a column");
        let mut without = batch.clone();
        without.remove_column(round);
        let error = check(&without.schema()).expect_err("a column is missing");
        assert_eq!(error.to_string(), "has no column round");

        let mut fields: Vec<Field> =
            schema().fields().iter().map(|field| field.as_ref().clone()).collect();
        fields[round] = Field::new("round", DataType::Utf8, false);
        let text = Schema::new(fields);
        let error = check(&text).expect_err("a column holds text");
        assert_eq!(error.to_string(), "column round holds Utf8, not UInt32");
    }
}
