//! Cold and warm latencies as records of the experiment `coldstart`.

use crate::Intake;
use crate::mapping::{Latencies, MappingError};
use crate::row::{Column, Row, RowProblem, optional};
use crate::table::Table;
use record::{Outcome, Record, Text};
use std::collections::BTreeMap;

/// Rows are this far apart on the records' clock, so that their order is kept; the tables say nothing of it.
const APART_NS: u64 = 1_000_000_000;

struct Columns {
    latency: Option<Column>,
    round_trip: Option<Column>,
    duration: Option<Column>,
    cold: Option<Column>,
    instance: Option<Column>,
    function: Option<Column>,
    round: Option<Column>,
    failed: Option<Column>,
    runtime: Option<Column>,
    memory_mib: Option<Column>,
}

/// What earlier rows said.
#[derive(Default)]
struct Seen {
    /// Invocations by function and instance.
    invocations: BTreeMap<(Text, Text), u64>,
    /// Numbers of rounds by name.
    rounds: BTreeMap<String, u32>,
}

impl Seen {
    fn round(&mut self, name: String) -> u32 {
        let next = u32::try_from(self.rounds.len()).unwrap_or(u32::MAX);
        *self.rounds.entry(name).or_insert(next)
    }
}

pub(crate) fn records(table: &Table, mapping: &Latencies) -> Result<Intake, MappingError> {
    let names = &mapping.columns;
    let columns = Columns {
        latency: optional(table, "latency", &names.latency)?,
        round_trip: optional(table, "round_trip", &names.round_trip)?,
        duration: optional(table, "duration", &names.duration)?,
        cold: optional(table, "cold", &names.cold)?,
        instance: optional(table, "instance", &names.instance)?,
        function: optional(table, "function", &names.function)?,
        round: optional(table, "round", &names.round)?,
        failed: optional(table, "failed", &names.failed)?,
        runtime: optional(table, "runtime", &names.runtime)?,
        memory_mib: optional(table, "memory_mib", &names.memory_mib)?,
    };
    let mut intake =
        Intake { rows: table.len(), problems: table.problems().to_vec(), ..Intake::default() };
    let mut seen = Seen::default();
    for (number, row) in (0..).zip(table.rows()) {
        match record(row, number, mapping, &columns) {
            Ok(record) => intake.records.push(placed(record, row, &columns, &mut seen)),
            Err(problem) => intake.problems.push(problem),
        }
    }
    intake.problems.sort_by_key(|problem| problem.line);
    Ok(intake)
}

/// The record of one row, but for what depends on the rows before it.
fn record(
    row: Row<'_>,
    number: u32,
    mapping: &Latencies,
    columns: &Columns,
) -> Result<Record, RowProblem> {
    let text = |column: Option<Column>| column.map(|column| row.text(column).to_owned());
    let failed = columns.failed.map_or(Ok(false), |column| row.truth(column, "failed"))?;
    let time = |column: Option<Column>| match column {
        Some(_) if failed => Ok(None),
        Some(column) => row.time_ns(column, mapping.units.latency).map(Some),
        None => Ok(None),
    };
    let (latency, round_trip, duration) =
        (time(columns.latency)?, time(columns.round_trip)?, time(columns.duration)?);
    if let (Some(column), Some(all), Some(own)) = (columns.duration, round_trip, duration)
        && own > all
    {
        return Err(row.wrong(column, "at most the round trip"));
    }
    let cold = columns.cold.map(|column| row.truth(column, "cold")).transpose()?;
    let memory_mib = match columns.memory_mib {
        Some(column) => row.count(column, u32::MAX)?,
        None => mapping.constants.memory_mib,
    };
    let sent_ns = (u64::from(number) + 1) * APART_NS;
    let known = if columns.latency.is_some() { "latency" } else { "overhead" };
    let started = sent_ns + latency.unwrap_or(0);
    Ok(Record {
        experiment: "coldstart".into(),
        unit: "foreign".into(),
        setting: BTreeMap::from([("known".to_owned(), known.to_owned())]).into(),
        phase: cold.map(phase).unwrap_or_default().into(),
        sequence: number,
        function: text(columns.function).unwrap_or_default().into(),
        instance: text(columns.instance).unwrap_or_default().into(),
        runtime: text(columns.runtime).unwrap_or_else(|| mapping.constants.runtime.clone()).into(),
        memory_mib,
        intended_ns: sent_ns,
        sent_ns,
        received_ns: sent_ns + round_trip.or(latency).unwrap_or(0),
        attempts: 1,
        outcome: if failed { Outcome::Failed } else { Outcome::Ok },
        error: if failed { "said to have failed".into() } else { String::new().into() },
        started_unix_ns: started,
        finished_unix_ns: started,
        function_ns: duration.unwrap_or(0),
        ..Record::default()
    })
}

const fn phase(cold: bool) -> &'static str {
    if cold { "cold" } else { "warm" }
}

/// The record with its round, and whether it was its instance's first.
fn placed(mut record: Record, row: Row<'_>, columns: &Columns, seen: &mut Seen) -> Record {
    let key = (record.function.clone(), record.instance.clone());
    let count = seen.invocations.entry(key.clone()).or_default();
    *count += 1;
    let count = *count;
    if record.phase.is_empty() {
        record.phase = phase(count == 1).into();
    }
    // What the table says of coldness holds; an instance's count is only its own where the table names instances.
    record.instance_invocations = match (record.phase.as_str(), columns.instance) {
        ("cold", _) => 1,
        (_, Some(_)) => count.max(2),
        (_, None) => 2,
    };
    let round = match (columns.round, columns.instance) {
        (Some(column), _) => row.text(column).to_owned(),
        (None, Some(_)) => format!("{}/{}", key.0, key.1),
        (None, None) => row.line.to_string(),
    };
    record.round = seen.round(round);
    record
}
