//! Writes the report's files: the page, each plot, each table.

use crate::facts::StudyFacts;
use crate::page::{self, Links, Shown};
use crate::{plot, table};
use analysis::Findings;
use record::Record;
use std::path::{Path, PathBuf};

/// Invocations up to which the raw CSV is written; beyond, it would be hundreds of MB and the Parquet files serve better.
pub const INVOCATIONS_CSV_MOST: usize = 200_000;

/// Name of the raw table.
const INVOCATIONS_CSV: &str = "invocations.csv";

/// Files that [`draw`] has written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportPaths {
    /// The page, `report.html`.
    pub html: PathBuf,
    /// Plots, `plots/*.svg`.
    pub plots: Vec<PathBuf>,
    /// Tables, `csv/*.csv`: findings by experiment, then `invocations.csv` unless there are more than 200,000.
    pub tables: Vec<PathBuf>,
}

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum DrawError {
    /// The directory, or one in it, could not be made.
    #[error("cannot make directory {path}: choose another place with --out")]
    Directory {
        /// Directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {path}: choose another place with --out")]
    Write {
        /// File.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A finding or record has no JSON form.
    #[error("cannot put {what} into JSON")]
    Json {
        /// `findings` or `records`.
        what: &'static str,
        /// What the writer said.
        #[source]
        source: serde_json::Error,
    },
}

/// Draws the report of one study into `out_dir`, which is made where it is missing; older files of the same names are replaced.
///
/// `records` are all invocations of the study, in any order, or where they are more than [`INVOCATIONS_CSV_MOST`] what is
/// left of them (`analysis::Thinned`); they are used for distributions, maps and raw tables only.
///
/// # Errors
/// [`DrawError`], naming the file.
pub fn draw(
    findings: &Findings,
    records: &[Record],
    facts: &StudyFacts,
    out_dir: &Path,
) -> Result<ReportPaths, DrawError> {
    let texts = page::experiments(findings, records, facts);
    let shown: Vec<Shown> = texts
        .into_iter()
        .map(|text| Shown { plots: plot::of_experiment(&text.name, findings, records), text })
        .collect();
    let plots = write_plots(&shown, &out_dir.join("plots"))?;
    let mut tables = write_tables(findings, &shown, &out_dir.join("csv"))?;
    let is_short = findings.invocations <= INVOCATIONS_CSV_MOST as u64;
    let whole = if is_short { records } else { &[] };
    let invocations = write_invocations(whole, &out_dir.join("csv"))?;
    let links =
        Links { invocations: invocations.is_some().then(|| format!("csv/{INVOCATIONS_CSV}")) };
    tables.extend(invocations);
    let html = out_dir.join("report.html");
    write(&html, &page::page(findings, facts, &shown, &links))?;
    Ok(ReportPaths { html, plots, tables })
}

/// Writes `findings.json` into `out_dir`, indented, and returns its path.
///
/// # Errors
/// [`DrawError`], naming the file.
pub fn write_findings(findings: &Findings, out_dir: &Path) -> Result<PathBuf, DrawError> {
    let json = serde_json::to_string_pretty(findings)
        .map_err(|source| DrawError::Json { what: "findings", source })?;
    make(out_dir)?;
    let path = out_dir.join("findings.json");
    write(&path, &(json + "\n"))?;
    Ok(path)
}

fn write_plots(shown: &[Shown], folder: &Path) -> Result<Vec<PathBuf>, DrawError> {
    make(folder)?;
    let mut paths = Vec::new();
    for plot in shown.iter().flat_map(|shown| &shown.plots) {
        let path = folder.join(format!("{}.svg", plot.stem));
        write(&path, &plot.file())?;
        paths.push(path);
    }
    Ok(paths)
}

fn write_tables(
    findings: &Findings,
    shown: &[Shown],
    folder: &Path,
) -> Result<Vec<PathBuf>, DrawError> {
    make(folder)?;
    let mut paths = Vec::new();
    for Shown { text, .. } in shown {
        let path = folder.join(format!("{}.csv", page::file_stem(&text.name)));
        let own = findings.findings.iter().filter(|f| f.experiment == text.name);
        write(&path, &table::of_findings(own))?;
        paths.push(path);
    }
    Ok(paths)
}

fn write_invocations(records: &[Record], folder: &Path) -> Result<Option<PathBuf>, DrawError> {
    if records.is_empty() {
        return Ok(None);
    }
    let path = folder.join(INVOCATIONS_CSV);
    let csv = table::of_records(records.iter())
        .map_err(|source| DrawError::Json { what: "records", source })?;
    write(&path, &csv)?;
    Ok(Some(path))
}

fn make(folder: &Path) -> Result<(), DrawError> {
    std::fs::create_dir_all(folder)
        .map_err(|source| DrawError::Directory { path: folder.into(), source })
}

/// Writes aside and renames, so that a reader never sees half a file.
fn write(path: &Path, text: &str) -> Result<(), DrawError> {
    let error = |source| DrawError::Write { path: path.into(), source };
    let aside = path.with_extension("partial");
    std::fs::write(&aside, text).map_err(error)?;
    std::fs::rename(&aside, path).map_err(error)
}
