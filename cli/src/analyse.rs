//! `peek analyse`: the analyses on records that Peek did not make.

use crate::directory::{Directory, Study};
use crate::draw;
use crate::reading::Reading;
use analysis::Problem;
use anyhow::{Context, bail};
use foreign::{Intake, Mapping, Table};
use record::Record;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Options of `peek analyse`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Tables: CSV with a line of column names, or Parquet where the name ends so.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// What the columns are: a TOML file, see docs/FOREIGN_DATA.md.
    #[arg(long, value_name = "FILE")]
    map: PathBuf,
    /// Leave records, findings and a report in this directory.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the findings as JSON instead of the table.
    #[arg(long)]
    json: bool,
}

/// Analyses the tables together; fails where no row could be read.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let text = fs::read_to_string(&arguments.map)
        .with_context(|| format!("cannot read {}", arguments.map.display()))?;
    let mapping = Mapping::from_toml(&text)
        .with_context(|| format!("{} is no mapping", arguments.map.display()))?;
    let (mut records, mut problems, mut rows) = (Vec::new(), Vec::new(), 0);
    for (number, file) in arguments.files.iter().enumerate() {
        let intake = intake(file, &mapping)?;
        rows += intake.rows;
        for problem in &intake.problems {
            let text = format!("{}: {problem}", file.display());
            eprintln!("peek: {text}");
            problems.push(Problem { experiment: "foreign".to_owned(), text });
        }
        let rounds = records.iter().map(|record: &Record| record.round + 1).max().unwrap_or(0);
        records.extend(intake.records.into_iter().map(|record| Record {
            // Rounds and pools of different files have nothing to do with each other.
            unit: format!("{}-{number}", record.unit).into(),
            round: rounds.saturating_add(record.round),
            ..record
        }));
    }
    if records.is_empty() {
        bail!("none of {rows} rows could be read: does {} fit them?", arguments.map.display());
    }
    eprintln!("{} of {rows} rows read", rows - problems.len());
    let uri = format!("foreign:{}", names(&arguments.files));
    let mut study = Study::begin(&uri, &arguments.map.display().to_string(), 0);
    study.about = format!("Records of others: {}", names(&arguments.files));
    study.problems = problems;
    study.experiments = experiments(&records);
    let findings = match &arguments.out {
        None => draw::findings(&study, &Reading::of_records(records)),
        Some(out) => {
            let directory = Directory::create(out)?;
            keep(&directory, &records)?;
            directory.save(&study)?;
            let (findings, paths) = draw::draw(&directory, &study, &Reading::of(&directory)?)?;
            eprintln!("{}", paths.html.display());
            findings
        }
    };
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        print!("{}", report::terminal_table(&findings));
        for Problem { text, .. } in findings.problems.iter().skip(study.problems.len()) {
            println!("{text}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn intake(file: &Path, mapping: &Mapping) -> anyhow::Result<Intake> {
    let table = Table::read(file)?;
    foreign::records(&table, mapping).with_context(|| file.display().to_string())
}

fn names(files: &[PathBuf]) -> String {
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    names.join(",")
}

fn experiments(records: &[Record]) -> Vec<String> {
    let mut names: Vec<String> =
        records.iter().map(|record| record.experiment.to_string()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Writes the records as a study's, so that `peek report` draws them again.
fn keep(directory: &Directory, records: &[Record]) -> anyhow::Result<()> {
    let mut units: BTreeMap<(&str, &str), Vec<Record>> = BTreeMap::new();
    for record in records {
        units.entry((&record.experiment, &record.unit)).or_default().push(record.clone());
    }
    for ((experiment, unit), records) in units {
        record::write_unit(&directory.records(), experiment, unit, &records)?;
    }
    Ok(())
}
