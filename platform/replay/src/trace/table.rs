//! A table with one row for each invocation, in the order of time.
//!
//! Columns, by their names in the first line and in any order: `time_s` (from the beginning), `function`, `tenant`,
//! `duration_ms`, `memory_mib`; `cold_extra_ms`, by how much longer it runs on a fresh instance, may be left away.

use super::{Arrival, Facts, Functions, Problems, Source, TraceError, key};
use csv::ByteRecord;
use model::{MemoryMib, Span, Time};
use scheduler::nearest;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Columns that must be there.
const COLUMNS: [&str; 5] = ["time_s", "function", "tenant", "duration_ms", "memory_mib"];

/// The column that may be.
const EXTRA: &str = "cold_extra_ms";

/// Largest number of seconds that a row may say: ten years.
const LONGEST_S: f64 = 315_360_000.0;

/// Bytes read at once.
const BUFFER: usize = 1 << 18;

/// A table.
pub struct Table {
    path: PathBuf,
    reader: csv::Reader<File>,
    record: ByteRecord,
    columns: [usize; 5],
    extra: Option<usize>,
    last: Time,
}

/// What a row says.
struct Row<'r> {
    at: Time,
    function: &'r [u8],
    tenant: &'r [u8],
    duration: Span,
    memory: MemoryMib,
    cold_extra: Span,
}

impl Table {
    /// Opens a table and reads its first line.
    ///
    /// # Errors
    /// [`TraceError`], also where a column is missing or not known.
    pub fn open(path: &Path) -> Result<Self, TraceError> {
        let file = File::open(path)
            .map_err(|source| TraceError::Read { path: path.to_owned(), source })?;
        let mut builder = csv::ReaderBuilder::new();
        let mut reader = builder.flexible(true).buffer_capacity(BUFFER).from_reader(file);
        let names =
            reader.headers().map_err(|source| TraceError::Csv { path: path.to_owned(), source })?;
        let names: Vec<String> = names.iter().map(|name| name.trim().to_owned()).collect();
        let fault = |what| TraceError::Columns { path: path.to_owned(), what };
        let known: Vec<&str> = COLUMNS.iter().copied().chain([EXTRA]).collect();
        if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
            let near =
                nearest(name, &known).map_or(String::new(), |it| format!(", {it:?} is near"));
            let known = known.join(", ");
            return Err(fault(format!("column {name:?} is not known{near}; known are {known}")));
        }
        let mut columns = [0; 5];
        for (column, wanted) in columns.iter_mut().zip(COLUMNS) {
            let place = names.iter().position(|name| name == wanted);
            *column = place.ok_or_else(|| fault(format!("column {wanted:?} is missing")))?;
        }
        let extra = names.iter().position(|name| name == EXTRA);
        let record = ByteRecord::new();
        Ok(Self { path: path.to_owned(), reader, record, columns, extra, last: Time::ZERO })
    }

    fn row(&self) -> Result<Row<'_>, String> {
        let field = |column: usize| self.record.get(column).unwrap_or_default();
        let [time, function, tenant, duration, memory] = self.columns;
        let seconds = |column, name, unit: f64| {
            number(field(column), name, LONGEST_S / unit).map(|it| Span::from_secs_f64(it * unit))
        };
        let at = Time::ZERO + seconds(time, "time_s", 1.0)?;
        if at < self.last {
            return Err(format!(
                "time_s is {}, after {}: rows must be in the order of time",
                at.as_secs_f64(),
                self.last.as_secs_f64()
            ));
        }
        let memory = number(field(memory), "memory_mib", f64::from(u32::MAX))?.ceil().max(1.0);
        let cold_extra = match self.extra {
            Some(extra) => seconds(extra, EXTRA, 1e-3)?,
            None => Span::ZERO,
        };
        if field(function).is_empty() {
            return Err("function is empty".to_owned());
        }
        Ok(Row {
            at,
            function: field(function),
            tenant: field(tenant),
            duration: seconds(duration, "duration_ms", 1e-3)?,
            memory: MemoryMib(memory as u32),
            cold_extra,
        })
    }
}

fn number(field: &[u8], name: &str, most: f64) -> Result<f64, String> {
    let text = std::str::from_utf8(field).unwrap_or("no text").trim();
    match text.parse::<f64>() {
        Ok(number) if (0.0..=most).contains(&number) => Ok(number),
        _ => Err(format!("{name} is {text:?}, must be a number from 0 to {most}")),
    }
}

impl Source for Table {
    fn next(
        &mut self,
        functions: &mut Functions,
        problems: &mut Problems,
    ) -> Result<Option<Arrival>, TraceError> {
        loop {
            match self.reader.read_byte_record(&mut self.record) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(source) => return Err(TraceError::Csv { path: self.path.clone(), source }),
            }
            let line = self.record.position().map_or(0, csv::Position::line);
            let row = match self.row() {
                Ok(row) => row,
                Err(what) => {
                    problems.row(&self.path, line, &what);
                    continue;
                }
            };
            let Row { at, function, tenant, duration, memory, cold_extra } = row;
            let number = functions.number(key(&[tenant, function]), |functions| Facts {
                tenant: functions.tenant(tenant),
                memory,
            });
            let known = functions.facts(number as usize).memory;
            if known != memory {
                let what = format!("memory_mib is {}, was {}: that stays", memory.0, known.0);
                problems.change(&self.path, line, &what);
            }
            self.last = at;
            return Ok(Some(Arrival { at, function: number, duration, cold_extra }));
        }
    }
}
