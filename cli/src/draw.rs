//! `peek report`: findings and report from the records alone. Also the last step of a study.

use crate::directory::{Directory, Study};
use crate::spent;
use analysis::{Findings, PaperPlatform, PeekVersion, TargetName};
use anyhow::Context;
use record::Record;
use report::{ExperimentText, ReportPaths, StudyFacts};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

/// Options of `peek report`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Directory that `peek study` made.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Draws the report again.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let (directory, study) = Directory::open(&arguments.directory)?;
    let (_, paths) = draw(&directory, &study)?;
    println!("{}", paths.html.display());
    Ok(ExitCode::SUCCESS)
}

/// Reads the records of a study, computes its findings, and writes `findings.json` and the report.
pub fn draw(directory: &Directory, study: &Study) -> anyhow::Result<(Findings, ReportPaths)> {
    let records = record::read_all(&directory.records())?;
    let findings = findings(study, &records);
    report::write_findings(&findings, directory.path())?;
    let paths = report::draw(&findings, &records, &facts(directory, study), directory.path())
        .with_context(|| format!("cannot draw the report of {}", directory.path().display()))?;
    Ok((findings, paths))
}

/// What the records say, with what the study knows beside them.
pub fn findings(study: &Study, records: &[Record]) -> Findings {
    let (mut findings, mut problems) = analysis::analyse(records);
    findings.extend(spent::findings(study, records));
    problems.extend(study.problems.iter().cloned());
    analysis::join_truth(&mut findings, &study.truths);
    analysis::join_paper(&mut findings, PaperPlatform::of_target(&study.target));
    let instances: BTreeSet<_> =
        records.iter().map(|record| &record.instance).filter(|it| !it.is_empty()).collect();
    Findings {
        schema: 1,
        target: TargetName {
            uri: study.target.clone(),
            kind: study.target.split(':').next().unwrap_or_default().to_owned(),
            seed: study.seed,
        },
        peek: PeekVersion {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: option_env!("PEEK_COMMIT").unwrap_or_default().to_owned(),
        },
        started_at: study.started_at.clone(),
        finished_at: study.finished_at.clone(),
        instances_launched: instances.len() as u64,
        invocations: records.len() as u64,
        findings,
        problems,
    }
}

fn facts(directory: &Directory, study: &Study) -> StudyFacts {
    let chosen = |name: &str| study.experiments.iter().any(|it| it == name);
    StudyFacts {
        title: title(&study.target),
        target: study.about.clone(),
        scale: study.scale.clone(),
        duration: model::Span::from_millis(study.measured_ms),
        machine: study.machine.clone(),
        limitations: study.limitations.clone(),
        experiments: experiment::Kind::ALL
            .map(experiment::Kind::about)
            .into_iter()
            .filter(|about| chosen(about.name))
            .map(|about| ExperimentText {
                name: about.name.to_owned(),
                question: about.question.to_owned(),
                method: about.method.to_owned(),
                paper_design: about.paper_design.to_owned(),
            })
            .collect(),
        reproduce_command: reproduce(directory, study),
    }
}

/// The command that does the same again.
fn reproduce(directory: &Directory, study: &Study) -> String {
    let out = directory.path().display();
    if let Some(files) = study.target.strip_prefix("foreign:") {
        let files = files.replace(',', " ");
        return format!("peek analyse --map {} {files} --out {out}", study.profile);
    }
    let scale = match study.scale.as_str() {
        "default" => String::new(),
        scale => format!(" --{scale}"),
    };
    let profile = match study.target.as_str() {
        "local" if study.profile != "study" => format!(" --profile {}", study.profile),
        _ => String::new(),
    };
    let all = experiment::Kind::ALL.len();
    let some = match study.experiments.len() == all {
        true => String::new(),
        false => format!(" --experiments {}", study.experiments.join(",")),
    };
    let (target, seed) = (&study.target, study.seed);
    format!("peek study --target {target}{profile} --seed {seed}{some}{scale} --out {out}")
}

/// Headline of the report.
fn title(target: &str) -> String {
    match target.split_once(':') {
        None => "Behind the curtain of this machine".to_owned(),
        Some(("aws", region)) => format!("Behind the curtain of AWS Lambda, {region}"),
        Some(("foreign", what)) => format!("What {what} says"),
        Some((_, what)) => format!("Behind the curtain of {what}"),
    }
}
