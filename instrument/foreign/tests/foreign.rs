//! Tables that other programs could have written, through the mapping and the analyses.

use analysis::{Finding, Value};
use foreign::{Intake, Mapping, Table};

fn intake(csv: &str, mapping: &str) -> Intake {
    let table = Table::read_csv(csv.as_bytes()).expect("a line of names");
    let mapping = Mapping::from_toml(mapping).expect("a mapping");
    foreign::records(&table, &mapping).expect("columns that are there")
}

fn found(findings: &[Finding], metric: &str) -> f64 {
    let finding = findings.iter().find(|finding| finding.metric == metric);
    match finding.map(|finding| &finding.value) {
        Some(Value::Number(number)) => *number,
        other => panic!("{metric} is {other:?}"),
    }
}

const COLD: &str = "kind = \"latencies\"
[columns]
latency = \"ms\"
cold = \"cold\"
function = \"name\"
[constants]
runtime = \"nodejs6.10\"
memory_mib = 128";

// Medians of cold and warm rows are those of the table, exactly, with intervals that no clock widens.
#[test]
fn latencies_are_analysed() {
    let mut csv = String::from("name,cold,ms\n");
    for number in 0..101 {
        csv.push_str(&format!("f{number},true,{}\nf{number},false,{}\n", 200 + number, 20.5));
    }
    let intake = intake(&csv, COLD);
    assert_eq!((intake.records.len(), intake.problems.len()), (202, 0));
    let (findings, problems) = analysis::analyse(&intake.records);
    assert_eq!(found(&findings, "coldstart.latency_ms.p50"), 250.0);
    assert_eq!(found(&findings, "warmstart.latency_ms.p50"), 20.5);
    let warm = findings.iter().find(|one| one.metric == "warmstart.latency_ms.p50").expect("above");
    assert_eq!(warm.ci95, Some((Some(20.5), Some(20.5))));
    assert_eq!(warm.setting["runtime"], "nodejs6.10");
    assert!(!findings.iter().any(|one| one.metric.contains("overhead")));
    assert!(problems.is_empty(), "{problems:?}");
}

// An instance's first row is its cold one, and a function's own time is no part of the overhead.
#[test]
fn instances_tell_cold_from_warm() {
    let mut csv = String::from("id,us,own\n");
    for number in 0..30 {
        csv.push_str(&format!("i{number},300000,1000\ni{number},21000,1000\n"));
    }
    let mapping = "kind = \"latencies\"\n[columns]\nround_trip = \"us\"\nduration = \"own\"
        instance = \"id\"\n[units]\nlatency = \"us\"";
    let (findings, _) = analysis::analyse(&intake(&csv, mapping).records);
    assert_eq!(found(&findings, "coldstart.overhead_ms.p50"), 299.0);
    assert_eq!(found(&findings, "warmstart.overhead_ms.p50"), 20.0);
    assert!(!findings.iter().any(|one| one.metric.contains("latency_ms")));
}

// A failed row is larger than every answered one, never dropped.
#[test]
fn failures_are_larger_than_answers() {
    let mapping =
        format!("{COLD}\n").replace("cold = \"cold\"", "cold = \"cold\"\nfailed = \"bad\"");
    let mut csv = String::from("name,cold,ms,bad\n");
    for number in 0..40 {
        csv.push_str(&format!("f,true,{number},{}\n", number >= 10));
    }
    let (findings, _) = analysis::analyse(&intake(&csv, &mapping).records);
    let median = findings.iter().find(|one| one.metric == "coldstart.latency_ms.p50");
    assert_eq!(median.expect("a finding").value, Value::Null);
    assert_eq!(found(&findings, "failures.fraction"), 0.75);
}

// Each row that cannot be read is told with its line and value; the others are there.
#[test]
fn unreadable_rows_are_told() {
    let csv = "name,cold,ms\nf,true,1\nf,perhaps,2\nf,true,fast\nf,true\nf,true,-1\nf,false,3\n";
    let intake = intake(csv, COLD);
    assert_eq!((intake.rows, intake.records.len()), (6, 2));
    let told: Vec<String> = intake.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "line 3: cold is \"perhaps\", must be true, 1, yes or cold, or false, 0 or no",
            "line 4: latency is \"fast\", must be a number of ms from 0 to ten years",
            "line 5: has 2 cells, the line of names has 3",
            "line 6: latency is \"-1\", must be a number of ms from 0 to ten years",
        ]
    );
}

// A column that is not there is named together with those that are.
#[test]
fn missing_columns_are_named() {
    let table = Table::read_csv("a,b\n1,2\n".as_bytes()).expect("a line of names");
    let mapping = Mapping::from_toml(COLD).expect("a mapping");
    let error = foreign::records(&table, &mapping).expect_err("no such column");
    assert_eq!(error.to_string(), "table has no column \"ms\" (columns.latency), it has a, b");
}

/// Instances left of `started` after `idle_s` where half go every `interval_s`, the clock being `phase` of it ahead, and
/// all at `limit_s`.
fn halved(started: u32, idle_s: f64, (interval_s, phase, limit_s): (f64, f64, f64)) -> u32 {
    let ticks = (idle_s / interval_s + phase).floor() as u32;
    let left = (0..ticks).fold(started, |left, _| left.div_ceil(2));
    if idle_s >= limit_s { 0 } else { left }
}

const POOLS: &str = "kind = \"pools\"
[columns]
started = \"n\"
idle = \"idle\"
warm = \"warm\"
memory_mib = \"mib\"";

// Pools that halve are found to, with their interval, though no single instance was watched and the longest delays
// ended them all.
#[test]
fn pools_that_halve_are_found() {
    let mut csv = String::from("n,idle,warm,mib\n");
    let mut phase = 0.0;
    for mib in [128, 1536] {
        for started in [20, 24, 32] {
            for step in 1..60 {
                phase = (phase + 0.618_034) % 1.0;
                let idle_s = f64::from(step) * 30.0;
                let left = halved(started, idle_s, (380.0, phase, 1620.0));
                csv.push_str(&format!("{started},{idle_s},{left},{mib}\n"));
            }
        }
    }
    let intake = intake(&csv, POOLS);
    assert!(intake.problems.is_empty());
    let (findings, problems) = analysis::analyse(&intake.records);
    let policy = findings.iter().find(|one| one.metric == "idle.policy").expect("a finding");
    assert_eq!(policy.value, Value::Word("halving".to_owned()), "{problems:?}");
    let interval = found(&findings, "idle.halving_interval_s");
    assert!((interval / 380.0 - 1.0).abs() < 0.05, "{interval}");
}

// Pools that stay whole until one limit are fixed, and have no interval.
#[test]
fn pools_of_a_fixed_limit_are_found() {
    let mut csv = String::from("n,idle,warm,mib\n");
    for step in 1..40 {
        let warm = if step < 20 { 20 } else { 0 };
        csv.push_str(&format!("20,{},{warm},128\n", step * 60));
    }
    let (findings, _) = analysis::analyse(&intake(&csv, POOLS).records);
    let policy = findings.iter().find(|one| one.metric == "idle.policy").expect("a finding");
    assert_eq!(policy.value, Value::Word("fixed".to_owned()));
    assert!(!findings.iter().any(|one| one.metric == "idle.halving_interval_s"));
}

// More survivors than there were instances is a mistake of the table.
#[test]
fn impossible_pools_are_told() {
    let intake = intake("n,idle,warm,mib\n20,10,21,128\n0,10,0,128\n2.5,1,1,128\n", POOLS);
    let told: Vec<String> = intake.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "line 2: warm is \"21\", must be a whole number from 0 to 20",
            "line 3: started is \"0\", must be from 1 to 100000",
            "line 4: started is \"2.5\", must be a whole number from 0 to 100000",
        ]
    );
}

// A Parquet file of the same rows gives the same records as CSV.
#[test]
fn parquet_is_read_as_csv_is() {
    use arrow_array::{BooleanArray, Float64Array, RecordBatch, StringArray};
    use std::sync::Arc;
    let batch = RecordBatch::try_from_iter([
        ("name", Arc::new(StringArray::from(vec!["f", "f"])) as _),
        ("cold", Arc::new(BooleanArray::from(vec![true, false])) as _),
        ("ms", Arc::new(Float64Array::from(vec![265.25, 25.0])) as _),
    ])
    .expect("columns of one length");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("rows.parquet");
    let file = std::fs::File::create(&path).expect("a file");
    let mut writer =
        parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("rows");
    writer.close().expect("a footer");
    let table = Table::read(&path).expect("a table");
    let mapping = Mapping::from_toml(COLD).expect("a mapping");
    let parquet = foreign::records(&table, &mapping).expect("columns that are there");
    assert_eq!(parquet, intake("name,cold,ms\nf,true,265.25\nf,false,25\n", COLD));
}
