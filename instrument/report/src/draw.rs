//! Writes the report's files: the page, each plot, each table.

use crate::facts::StudyFacts;
use crate::{page, table};
use analysis::Findings;
use record::Record;
use std::path::{Path, PathBuf};

/// Invocations up to which the raw CSV is written; beyond, it would be hundreds of MB and the Parquet files serve better.
const INVOCATIONS_CSV_MOST: usize = 200_000;

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
/// `records` are all invocations of the study, in any order; they are used for distributions, maps and raw tables only.
///
/// # Errors
/// [`DrawError`], naming the file.
pub fn draw(
    findings: &Findings,
    records: &[Record],
    facts: &StudyFacts,
    out_dir: &Path,
) -> Result<ReportPaths, DrawError> {
    let tables = write_tables(findings, records, &out_dir.join("csv"))?;
    let html = out_dir.join("report.html");
    write(&html, &page::page(findings, facts))?;
    Ok(ReportPaths { html, plots: Vec::new(), tables })
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

fn write_tables(
    findings: &Findings,
    records: &[Record],
    folder: &Path,
) -> Result<Vec<PathBuf>, DrawError> {
    make(folder)?;
    let mut paths = Vec::new();
    for experiment in page::experiments(findings) {
        let path = folder.join(format!("{}.csv", page::file_stem(experiment)));
        let own = findings.findings.iter().filter(|f| f.experiment == experiment);
        write(&path, &table::of_findings(own))?;
        paths.push(path);
    }
    if !records.is_empty() && records.len() <= INVOCATIONS_CSV_MOST {
        let path = folder.join("invocations.csv");
        let csv = table::of_records(records.iter())
            .map_err(|source| DrawError::Json { what: "records", source })?;
        write(&path, &csv)?;
        paths.push(path);
    }
    Ok(paths)
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
