//! Files of records: what is written is read, and what is damaged is named.

use arrow_array::{ArrayRef, RecordBatch, UInt32Array};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;
use record::{
    Forced, Outcome, Record, UnitName, WriteError, finished_units, is_finished, read_all,
    read_experiment, read_unit, write_unit,
};
use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

fn name(experiment: &str, unit: &str) -> UnitName {
    UnitName::new(experiment, unit).expect("a safe name")
}

fn sample() -> Vec<Record> {
    (0..5)
        .map(|sequence| Record {
            experiment: "scaling".into(),
            sequence,
            setting: BTreeMap::from([("concurrency".into(), "5".into())]),
            outcome: Outcome::Ok,
            detail: "{\"cpu\":null}".repeat(20),
            ..Record::default()
        })
        .collect()
}

/// Message and sources, as a chain reads.
fn chain(error: &dyn Error) -> String {
    let source = error.source().map(|source| format!(": {}", chain(source)));
    format!("{error}{}", source.unwrap_or_default())
}

fn any_record() -> impl Strategy<Value = Record> {
    let texts = proptest::collection::vec(any::<String>(), 18);
    let numbers = proptest::collection::vec(any::<u64>(), 10);
    let small = proptest::collection::vec(any::<u32>(), 8);
    let reals = proptest::collection::vec(proptest::num::f64::NORMAL, 5);
    let map = || proptest::collection::btree_map(any::<String>(), any::<String>(), 0..4);
    let outcomes = [
        Outcome::Ok,
        Outcome::FunctionError,
        Outcome::Throttled,
        Outcome::TimedOut,
        Outcome::Failed,
    ];
    let forced =
        [Forced::Nothing, Forced::FreshFunction, Forced::Update, Forced::Concurrency, Forced::Idle];
    let words = (0..5_usize, 0..5_usize, any::<u16>());
    (texts, numbers, small, reals, (map(), map()), words).prop_map(
        move |(mut t, n, s, r, (setting, host_ids), (outcome, forced_by, http_status))| {
            let mut text = || t.pop().unwrap_or_default();
            Record {
                experiment: text(),
                unit: text(),
                round: s[0],
                setting,
                phase: text(),
                sequence: s[1],
                sandbox: text(),
                function: text(),
                tenant: text(),
                role: text(),
                runtime: text(),
                memory_mib: s[2],
                package_mib: r[0],
                mark_acknowledged: text(),
                acknowledged_ns: n[0],
                epoch_unix_ns: n[1],
                intended_ns: n[2],
                sent_ns: n[3],
                received_ns: n[4],
                connect_ns: n[9],
                attempts: s[3],
                outcome: outcomes[outcome],
                http_status,
                error: text(),
                forced_by: forced[forced_by],
                request_id: text(),
                duration_ms: r[1],
                billed_ms: r[2],
                init_duration_ms: r[3],
                max_memory_mib: s[4],
                started_unix_ns: n[5],
                finished_unix_ns: n[6],
                function_ns: n[7],
                init_unix_ns: n[8],
                instance: text(),
                instance_invocations: u64::MAX,
                version: text(),
                mark: text(),
                memory_seen_mib: s[5],
                initialization: text(),
                host_ids,
                uptime_s: r[4],
                cpu_model: text(),
                cpu_count: s[6],
                host_memory_mib: s[7],
                detail: text(),
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    // Whatever a record holds comes back as it was.
    #[test]
    fn records_come_back(records in proptest::collection::vec(any_record(), 0..20)) {
        let directory = tempfile::tempdir().expect("a directory");
        let unit = name("any", "unit");
        write_unit(directory.path(), unit.experiment(), unit.unit(), &records).expect("written");
        prop_assert_eq!(read_unit(directory.path(), &unit).expect("read"), records);
    }
}

// Units are listed, read by experiment and read whole in the order of their names, however they were written.
#[test]
fn units_are_listed_and_read() {
    let directory = tempfile::tempdir().expect("a directory");
    assert!(finished_units(&directory.path().join("nowhere")).expect("no directory").is_empty());
    for (experiment, unit, round) in [("b", "2", 3), ("a", "9", 1), ("b", "1", 2)] {
        let records = [Record { round, ..Record::default() }];
        write_unit(directory.path(), experiment, unit, &records).expect("written");
    }
    let rounds =
        |records: Vec<Record>| -> Vec<u32> { records.iter().map(|record| record.round).collect() };
    assert_eq!(rounds(read_all(directory.path()).expect("read")), [1, 2, 3]);
    assert_eq!(rounds(read_experiment(directory.path(), "b").expect("read")), [2, 3]);
    assert_eq!(finished_units(directory.path()).expect("listed").len(), 3);
    assert!(is_finished(directory.path(), "b", "1"));
    assert!(!is_finished(directory.path(), "b", "3"));
    assert!(!is_finished(directory.path(), "b", "../a/9"));
    let climbing = write_unit(directory.path(), "b", "../1", &sample());
    assert!(matches!(climbing, Err(WriteError::Name { .. })), "{climbing:?}");
}

// The same records give the same bytes.
#[test]
fn bytes_are_determined() {
    let directory = tempfile::tempdir().expect("a directory");
    for unit in ["one", "two"] {
        write_unit(directory.path(), "a", unit, &sample()).expect("written");
    }
    let bytes = |unit: &str| fs::read(directory.path().join("a").join(unit)).expect("there");
    assert_eq!(bytes("one.parquet"), bytes("two.parquet"));
}

// What an interrupted write left aside, and foreign files, are not read; the next write replaces what was left.
#[test]
fn leftovers_are_ignored() {
    let directory = tempfile::tempdir().expect("a directory");
    let folder = directory.path().join("a");
    fs::create_dir(&folder).expect("made");
    for leftover in [".one.parquet.part", "notes.txt", ".parquet"] {
        fs::write(folder.join(leftover), "half").expect("written");
    }
    assert!(finished_units(directory.path()).expect("listed").is_empty());
    write_unit(directory.path(), "a", "one", &sample()).expect("written");
    assert_eq!(read_all(directory.path()).expect("read"), sample());
    assert!(!folder.join(".one.parquet.part").exists());
}

// A file cut short anywhere is an error that names it, and any damage is an error or harmless, never a panic.
#[test]
fn damage_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let unit = name("a", "one");
    write_unit(directory.path(), unit.experiment(), unit.unit(), &sample()).expect("written");
    let path = directory.path().join("a/one.parquet");
    let whole = fs::read(&path).expect("there");
    for length in (0..whole.len()).step_by(97) {
        fs::write(&path, &whole[..length]).expect("written");
        let error = read_unit(directory.path(), &unit).expect_err("cut short");
        assert!(error.to_string().contains("one.parquet"), "{error}");
    }
    for place in (0..whole.len()).step_by(11) {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x55;
        fs::write(&path, &damaged).expect("written");
        if let Err(error) = read_unit(directory.path(), &unit) {
            assert!(error.to_string().contains("one.parquet"), "{error}");
        }
    }
}

/// Writes a batch as it is, with or without the mark of records.
fn write_raw(path: &Path, batch: &RecordBatch, schema: Option<&str>) {
    let pairs = schema
        .map(|version| vec![KeyValue::new("peek.records.schema".to_owned(), version.to_owned())]);
    let properties = WriterProperties::builder().set_key_value_metadata(pairs).build();
    let file = File::create(path).expect("made");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).expect("begun");
    writer.write(batch).expect("written");
    writer.close().expect("closed");
}

// More columns are ignored, one that came later is its default; fewer, or another schema's, are an error that names
// file and column.
#[test]
fn other_schemas_are_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let unit = name("a", "one");
    write_unit(directory.path(), unit.experiment(), unit.unit(), &sample()).expect("written");
    let path = directory.path().join("a/one.parquet");
    let file = File::open(&path).expect("there");
    let mut batches =
        ParquetRecordBatchReaderBuilder::try_new(file).expect("a file").build().expect("rows");
    let batch = batches.next().expect("a batch").expect("whole");

    let mut fields: Vec<Field> =
        batch.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    fields.insert(0, Field::new("mood", DataType::UInt32, false));
    let mut arrays = batch.columns().to_vec();
    arrays.insert(0, Arc::new(UInt32Array::from(vec![7; 5])) as ArrayRef);
    let more = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("a batch");
    write_raw(&path, &more, Some("1"));
    assert_eq!(read_unit(directory.path(), &unit).expect("read"), sample());

    let failure = || chain(&read_unit(directory.path(), &unit).expect_err("refused"));
    let mut fewer = batch.clone();
    fewer.remove_column(batch.schema().index_of("detail").expect("a column"));
    write_raw(&path, &fewer, Some("1"));
    assert!(failure().ends_with("one.parquet is no file of records: has no column detail"));
    let mut earlier = batch.clone();
    earlier.remove_column(batch.schema().index_of("connect_ns").expect("a column"));
    write_raw(&path, &earlier, Some("1"));
    assert_eq!(read_unit(directory.path(), &unit).expect("read"), sample());
    write_raw(&path, &batch, Some("2"));
    assert!(failure().contains("one.parquet has schema \"2\""), "{}", failure());
    write_raw(&path, &batch, None);
    assert!(failure().contains("has schema \"\""), "{}", failure());
}
