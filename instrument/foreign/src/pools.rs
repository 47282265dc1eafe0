//! Idle pools as records of the experiment `idle`.

use crate::Intake;
use crate::mapping::{MappingError, Pools};
use crate::row::{Column, Row, RowProblem, column, optional};
use crate::table::Table;
use record::{Outcome, Record};
use std::collections::BTreeMap;

/// The largest pool that is believed; more is a mistake of columns, and would fill the memory.
const STARTED_MAX: u32 = 100_000;

/// Between the end of one pool and the begin of the next, where the table says nothing of it.
const APART_NS: u64 = 3_600_000_000_000;

struct Columns {
    started: Column,
    idle: Column,
    warm: Column,
    at: Option<Column>,
    runtime: Option<Column>,
    memory_mib: Option<Column>,
}

struct Pool {
    started: u32,
    warm: u32,
    idle_ns: u64,
    at_ns: Option<u64>,
    runtime: String,
    memory_mib: u32,
}

pub(crate) fn records(table: &Table, mapping: &Pools) -> Result<Intake, MappingError> {
    let names = &mapping.columns;
    let columns = Columns {
        started: column(table, "started", &names.started)?,
        idle: column(table, "idle", &names.idle)?,
        warm: column(table, "warm", &names.warm)?,
        at: optional(table, "at", &names.at)?,
        runtime: optional(table, "runtime", &names.runtime)?,
        memory_mib: optional(table, "memory_mib", &names.memory_mib)?,
    };
    let mut intake =
        Intake { rows: table.len(), problems: table.problems().to_vec(), ..Intake::default() };
    let mut free_ns = APART_NS;
    for (number, row) in (0..).zip(table.rows()) {
        match pool(row, mapping, &columns) {
            Ok(pool) => {
                let from_ns = pool.at_ns.unwrap_or(free_ns);
                free_ns = from_ns.saturating_add(pool.idle_ns).saturating_add(APART_NS);
                add(&mut intake.records, &pool, number, from_ns);
            }
            Err(problem) => intake.problems.push(problem),
        }
    }
    intake.problems.sort_by_key(|problem| problem.line);
    Ok(intake)
}

fn pool(row: Row<'_>, mapping: &Pools, columns: &Columns) -> Result<Pool, RowProblem> {
    let unit = mapping.units.idle;
    let started = row.count(columns.started, STARTED_MAX)?;
    if started == 0 {
        return Err(row.wrong(columns.started, &format!("from 1 to {STARTED_MAX}")));
    }
    Ok(Pool {
        started,
        warm: row.count(columns.warm, started)?,
        idle_ns: row.time_ns(columns.idle, unit)?,
        at_ns: columns.at.map(|column| row.time_ns(column, unit)).transpose()?,
        runtime: match columns.runtime {
            Some(column) => row.text(column).to_owned(),
            None => mapping.constants.runtime.clone(),
        },
        memory_mib: match columns.memory_mib {
            Some(column) => row.count(column, u32::MAX)?,
            None => mapping.constants.memory_mib,
        },
    })
}

/// A launch of every instance, and a probe that meets those that were still there and as many new ones as were not.
fn add(records: &mut Vec<Record>, pool: &Pool, number: u32, from_ns: u64) {
    let setting = BTreeMap::from([
        ("delay_s".to_owned(), format!("{:.3}", pool.idle_ns as f64 / 1e9)),
        ("part".to_owned(), "pool".to_owned()),
        ("known".to_owned(), "idle".to_owned()),
    ]);
    let to_ns = from_ns.saturating_add(pool.idle_ns);
    for (phase, at_ns) in [("launch", from_ns), ("probe", to_ns)] {
        for sequence in 0..pool.started {
            let is_new = phase == "probe" && sequence >= pool.warm;
            let mark = if is_new { "new-" } else { "" };
            records.push(Record {
                experiment: "idle".into(),
                unit: "foreign".into(),
                round: number,
                setting: setting.clone().into(),
                phase: phase.into(),
                sequence,
                function: format!("pool-{number}").into(),
                instance: format!("{number}-{mark}{sequence}").into(),
                instance_invocations: if phase == "probe" && !is_new { 2 } else { 1 },
                runtime: pool.runtime.clone().into(),
                memory_mib: pool.memory_mib,
                intended_ns: at_ns,
                sent_ns: at_ns,
                received_ns: at_ns,
                attempts: 1,
                outcome: Outcome::Ok,
                ..Record::default()
            });
        }
    }
}
