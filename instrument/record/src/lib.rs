//! One invocation's row, and the files that hold them.
//!
//! A directory of records has one directory per experiment, and in it one Parquet file per finished unit of work:
//! `records/idle/search.parquet`. A file is there whole or not at all. Deliberately knows nothing of experiments'
//! meaning: analyses read rows, they are not called from here.

mod column;
mod csv;
mod labels;
mod name;
mod read;
mod repeated;
mod row;
mod text;
mod write;

pub use csv::write_csv;
pub use labels::Labels;
pub use name::{NameError, UnitName};
pub use read::{
    ReadError, each, finished_units, is_finished, read_all, read_experiment, read_unit,
};
pub use repeated::Repeated;
pub use row::{Forced, Outcome, Record};
pub use text::{Text, Texts};
pub use write::{Durability, UnitWriter, WriteError, write_unit};

/// Version of the files' schema. A column more does not change it; a column less, or another meaning, does.
pub const SCHEMA_VERSION: u32 = 1;

/// Key of the files' metadata under which the version stands.
const SCHEMA_KEY: &str = "peek.records.schema";
