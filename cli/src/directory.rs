//! A study's directory: what was planned and said (`study.json`), records, findings, report.

use analysis::{Problem, Truth};
use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// Version of `study.json`.
const SCHEMA: u32 = 1;

/// What a study was told to do, and what it knows that no record says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Study {
    /// Version of this file.
    pub schema: u32,
    /// Target as given.
    pub target: String,
    /// Profile of a local target.
    pub profile: String,
    /// Seed of the plan.
    pub seed: u64,
    /// quick, default or full.
    pub scale: String,
    /// Experiments chosen, in the order of the report.
    pub experiments: Vec<String>,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// RFC 3339, UTC; of the last unit of work that finished.
    pub finished_at: String,
    /// What the plan expects it to take, milliseconds; 0 where there was none.
    #[serde(default)]
    pub planned_ms: u64,
    /// Requests that the plan expects to send.
    #[serde(default)]
    pub planned_requests: u64,
    /// Memory times running time that the plan expects of them, GiB-seconds.
    #[serde(default)]
    pub planned_gib_s: f64,
    /// Time spent measuring, over all sittings, milliseconds.
    pub measured_ms: u64,
    /// Virtual time that passed on an emulated platform, milliseconds; 0 on any other.
    #[serde(default)]
    pub virtual_ms: u64,
    /// The machine of the vantage point in words.
    pub machine: String,
    /// What the target is, in words.
    pub about: String,
    /// What the sandbox could not enforce or the study not see.
    pub limitations: Vec<String>,
    /// What went wrong while measuring.
    pub problems: Vec<Problem>,
    /// What the target's own configuration and journal say; empty for targets that say nothing.
    pub truths: Vec<Truth>,
}

/// The directory of one study.
#[derive(Clone, Debug)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Makes the directory of a new study.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        if path.join("study.json").exists() {
            bail!(
                "{} holds a study already: finish it with --resume {0}, or choose another place with --out",
                path.display()
            );
        }
        fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self { path: path.to_owned() })
    }

    /// Opens the directory of a study that was begun.
    pub fn open(path: &Path) -> anyhow::Result<(Self, Study)> {
        let file = path.join("study.json");
        let text = fs::read_to_string(&file).with_context(|| {
            format!("cannot read {}: name a directory that `peek study` made", file.display())
        })?;
        let study: Study = serde_json::from_str(&text)
            .with_context(|| format!("{} is not a study's file", file.display()))?;
        if study.schema != SCHEMA {
            bail!("{} has schema {}, this program reads {SCHEMA}", file.display(), study.schema);
        }
        Ok((Self { path: path.to_owned() }, study))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where records are.
    pub fn records(&self) -> PathBuf {
        self.path.join("records")
    }

    /// Where the local platform writes its journal in the sitting that starts now: one file each.
    pub fn journal(&self) -> PathBuf {
        let free = (0..).map(|number| self.path.join(format!("journal-{number}.jsonl")));
        free.into_iter()
            .find(|path| !path.exists())
            .unwrap_or_else(|| self.path.join("journal.jsonl"))
    }

    /// Writes `study.json`, whole or not at all.
    pub fn save(&self, study: &Study) -> anyhow::Result<()> {
        let file = self.path.join("study.json");
        let aside = self.path.join("study.json.new");
        let text = serde_json::to_string_pretty(study).context("a study has a JSON form")?;
        fs::write(&aside, text + "\n")
            .and_then(|()| fs::rename(&aside, &file))
            .with_context(|| format!("cannot write {}", file.display()))
    }
}

impl Study {
    /// A study that begins now.
    pub fn begin(target: &str, profile: &str, seed: u64) -> Self {
        let now = now();
        Self {
            schema: SCHEMA,
            target: target.to_owned(),
            profile: profile.to_owned(),
            seed,
            scale: String::new(),
            experiments: Vec::new(),
            started_at: now.clone(),
            finished_at: now,
            planned_ms: 0,
            planned_requests: 0,
            planned_gib_s: 0.0,
            measured_ms: 0,
            virtual_ms: 0,
            machine: machine(),
            about: String::new(),
            limitations: Vec::new(),
            problems: Vec::new(),
            truths: Vec::new(),
        }
    }
}

/// Now, RFC 3339, UTC, whole seconds.
pub fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `2 cores, Linux 6.18.44, Debian GNU/Linux 12 (bookworm)`.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let kernel = read("/proc/sys/kernel/osrelease");
    let release = read("/etc/os-release");
    let system = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .map_or("Linux", |name| name.trim_matches('"'));
    format!("{cores} cores, Linux {}, {system}", kernel.trim())
}
