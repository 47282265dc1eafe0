//! Traces: invocations in the order of time, from files of several layouts, one at a time.
//!
//! Deliberately knows nothing of what is done with them. A row that says nothing sensible is never dropped in silence: it is
//! counted, and the first of them are kept in words.

mod azure;
mod table;

pub use azure::AzureDays;
pub use table::Table;

use model::{MemoryMib, Span, TenantId, Time};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

/// Problems that are kept in words; all are counted.
const KEPT: usize = 20;

/// One invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When it came, from the beginning of the trace.
    pub at: Time,
    /// Which function, by its place in [`Functions`].
    pub function: u32,
    /// How long it ran.
    pub duration: Span,
    /// How much longer it runs on an instance that has run nothing before.
    pub cold_extra: Span,
}

/// What a trace says of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whose it is.
    pub tenant: TenantId,
    /// Memory of an instance.
    pub memory: MemoryMib,
}

/// The functions of a trace, numbered as they come.
#[derive(Debug, Default)]
pub struct Functions {
    numbers: HashMap<u128, u32>,
    facts: Vec<Facts>,
    tenants: HashMap<u128, u64>,
}

/// What could not be read, or not be taken as it stands.
#[derive(Debug, Default)]
pub struct Problems {
    /// Rows that say nothing sensible, and were left out.
    pub rows: u64,
    /// Rows that were used otherwise than they say.
    pub changed: u64,
    /// The first of both, in words: file, line and what is wrong.
    pub first: Vec<String>,
}

/// Why a trace cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// A file or directory cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is no CSV.
    #[error("cannot read {path}")]
    Csv {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: csv::Error,
    },
    /// A file's columns are not those of a trace.
    #[error("{path}: {what}")]
    Columns {
        /// Which.
        path: PathBuf,
        /// What is wrong, and what there should be.
        what: String,
    },
    /// A directory has no files of a layout that is known.
    #[error(
        "{path} has no file invocations_per_function_md.anon.dNN.csv, as the Azure Functions data set of 2019 has"
    )]
    Nothing {
        /// Which.
        path: PathBuf,
    },
}

/// What stands for what a trace leaves out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Defaults {
    /// Duration of functions whose durations are not there.
    pub duration: Span,
    /// Memory of functions whose memory is not there.
    pub memory: MemoryMib,
    /// Seed of what a trace only counts: moments within a minute, durations within their distribution.
    pub seed: u64,
}

impl Default for Defaults {
    /// Half of Azure's functions took less than a second on average, half of its applications at most 170 MiB (Shahrad et
    /// al., ATC'20, 3.5 and 3.6).
    fn default() -> Self {
        Self { duration: Span::from_secs(1), memory: MemoryMib(170), seed: 1 }
    }
}

/// Where invocations come from, in the order of time.
pub trait Source {
    /// The next one; None at the end. Functions that come for the first time are added.
    ///
    /// # Errors
    /// [`TraceError`], where a file cannot be read.
    fn next(
        &mut self,
        functions: &mut Functions,
        problems: &mut Problems,
    ) -> Result<Option<Arrival>, TraceError>;
}

/// Opens a trace: a table with one row for each invocation, or the Azure Functions data set of 2019 (its directory, or one of
/// its files of invocations for one day).
///
/// # Errors
/// [`TraceError`].
pub fn open(path: &Path, defaults: Defaults) -> Result<Box<dyn Source>, TraceError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if path.is_dir() || azure::day_of(&name).is_some() {
        return Ok(Box::new(AzureDays::open(path, defaults)?));
    }
    Ok(Box::new(Table::open(path)?))
}

impl Functions {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.facts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }

    /// What is known of one.
    pub fn facts(&self, number: usize) -> Facts {
        self.facts[number]
    }

    /// Adds a function without a name, and says its number.
    pub fn add(&mut self, facts: Facts) -> u32 {
        self.facts.push(facts);
        self.facts.len() as u32 - 1
    }

    /// The number of the function of this name, which is added where it is new.
    pub(crate) fn number(&mut self, key: u128, facts: impl FnOnce(&mut Self) -> Facts) -> u32 {
        if let Some(&number) = self.numbers.get(&key) {
            return number;
        }
        let facts = facts(self);
        let number = self.add(facts);
        self.numbers.insert(key, number);
        number
    }

    /// The tenant of this name.
    pub(crate) fn tenant(&mut self, name: &[u8]) -> TenantId {
        let next = self.tenants.len() as u64;
        TenantId::from_number(*self.tenants.entry(key(&[name])).or_insert(next))
    }
}

impl Problems {
    /// Notes a row that is left out.
    pub(crate) fn row(&mut self, path: &Path, line: u64, what: &str) {
        self.rows += 1;
        self.keep(path, line, what);
    }

    /// Notes a row that is used otherwise than it says.
    pub(crate) fn change(&mut self, path: &Path, line: u64, what: &str) {
        self.changed += 1;
        self.keep(path, line, what);
    }

    fn keep(&mut self, path: &Path, line: u64, what: &str) {
        if self.first.len() < KEPT {
            self.first.push(format!("{}:{line}: {what}", path.display()));
        }
    }
}

/// Names in 16 bytes. That two of a million names get the same has a chance of 1e-27.
pub(crate) fn key(names: &[&[u8]]) -> u128 {
    let half = |salt: u64| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        names.hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}
