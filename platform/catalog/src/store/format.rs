//! The store's format: its version, and how an older one becomes today's.
//!
//! Version 0 is what was written before there was a version: functions by `tenant/name`, each with its tags, and one counter.
//! Version 1 has keys of bytes in every table, a state per function and version, and what all versions share on its own.
//! Version 2 may have layers, whose packages a program of version 1 would take for ones that nobody needs.
//!
//! A step from one version to the next is one transaction: after a crash in its midst, the store is as it was. The table
//! `functions` changes the type of its keys with version 1, so that a program of version 0 refuses the store and takes no
//! package for one that nobody needs.

use super::backing::Backing;
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable};
use redb::{TableDefinition, WriteTransaction};
use serde_json::{Map, Value};
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The version that this program writes.
const VERSION: u64 = 2;
/// Where the version is.
const FORMAT: TableDefinition<&str, u64> = TableDefinition::new("format");
const FORMAT_VERSION: &str = "version";
/// Page cache in bytes, which holds a transaction's pages too.
const CACHE_BYTES: usize = 8 << 20;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenStoreError {
    /// Another process has it open.
    #[error("the store {path} is open in another process")]
    InUse {
        /// Which.
        path: PathBuf,
    },
    /// It is damaged, or cannot be read.
    #[error("cannot open the catalog's store {path}")]
    Database {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<redb::Error>,
    },
    /// A newer program wrote it.
    #[error(
        "the store {path} has format {found}, and this program knows formats up to {known}: run the peek that wrote it, or a \
         newer one, or name another data directory; nothing was changed"
    )]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The newest that is known here.
        known: u64,
    },
    /// It is older, and an entry in it cannot be read.
    #[error(
        "the store {path} has format {found}, and its entry {key} cannot be brought to format {known}: {reason}; nothing was \
         changed: run the peek that wrote it, or name another data directory"
    )]
    Older {
        /// Which.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// What it should become.
        known: u64,
        /// The entry.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The writer's thread cannot be started.
    #[error("cannot start the store's writer")]
    Thread {
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Opens or creates the store, in today's format when this returns.
pub(super) fn open(path: &Path) -> Result<Database, OpenStoreError> {
    let database = open_file(path).map_err(|error| match error {
        redb::DatabaseError::DatabaseAlreadyOpen => OpenStoreError::InUse { path: path.to_owned() },
        error => damaged(path, error),
    })?;
    let found = database
        .begin_read()
        .map_err(redb::Error::from)
        .and_then(|read| version(&read))
        .map_err(|error| damaged(path, error))?;
    match found {
        Some(VERSION) => return Ok(database),
        Some(found) if found > VERSION => {
            return Err(OpenStoreError::Newer { path: path.to_owned(), found, known: VERSION });
        }
        _ => {}
    }
    bring_up_to_date(&database, found).map_err(|error| match error {
        MigrateError::Store(source) => OpenStoreError::Database { path: path.to_owned(), source },
        MigrateError::Entry { key, reason } => {
            let (path, found) = (path.to_owned(), found.unwrap_or(0));
            OpenStoreError::Older { path, found, known: VERSION, key, reason }
        }
    })?;
    Ok(database)
}

/// Opens or creates the file, for nobody else to read: environment variables may be secret.
pub(super) fn open_file(path: &Path) -> Result<Database, redb::DatabaseError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let backing = Backing::new(options.open(path)?)?;
    Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(backing)
}

/// The version of the format; None for a store that is new, 0 for one from before there were versions.
fn version(read: &ReadTransaction) -> Result<Option<u64>, redb::Error> {
    match read.open_table(FORMAT) {
        Ok(table) => Ok(Some(table.get(FORMAT_VERSION)?.map_or(0, |version| version.value()))),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(read.list_tables()?.next().map(|_| 0)),
        Err(error) => Err(error.into()),
    }
}

enum MigrateError {
    Store(Box<redb::Error>),
    Entry { key: String, reason: String },
}

impl<E: Into<redb::Error>> From<E> for MigrateError {
    fn from(error: E) -> Self {
        Self::Store(Box::new(error.into()))
    }
}

fn bring_up_to_date(database: &Database, found: Option<u64>) -> Result<(), MigrateError> {
    let write = database.begin_write()?;
    if found == Some(0) {
        from_0_to_1(&write)?;
    }
    write.open_table(FORMAT)?.insert(FORMAT_VERSION, VERSION)?;
    write.commit()?;
    if let Some(found) = found {
        tracing::info!(found, now = VERSION, "the catalog's store was brought up to date");
    }
    Ok(())
}

/// See the module.
fn from_0_to_1(write: &WriteTransaction) -> Result<(), MigrateError> {
    const FUNCTIONS: TableDefinition<&str, &[u8]> = TableDefinition::new("functions");
    const COUNTERS: TableDefinition<&str, u64> = TableDefinition::new("counters");
    const STATES: TableDefinition<&[u8], &[u8]> = TableDefinition::new("functions");
    const NAMES: TableDefinition<&[u8], &[u8]> = TableDefinition::new("names");
    const NUMBERS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("counters");

    let last = write.open_table(COUNTERS)?.get("last_function")?.map_or(0, |last| last.value());
    let mut old = Vec::new();
    for entry in write.open_table(FUNCTIONS)?.iter()? {
        let (key, value) = entry?;
        old.push((key.value().to_owned(), value.value().to_vec()));
    }
    write.delete_table(FUNCTIONS)?;
    write.delete_table(COUNTERS)?;
    let mut states = write.open_table(STATES)?;
    let mut names = write.open_table(NAMES)?;
    for (key, value) in old {
        let wrong = |reason: String| MigrateError::Entry { key: key.clone(), reason };
        let mut state: Map<String, Value> =
            serde_json::from_slice(&value).map_err(|error| wrong(error.to_string()))?;
        let tags = state.remove("tags").unwrap_or_else(|| Value::Object(Map::new()));
        let id = state.get("id").cloned().ok_or_else(|| wrong("it has no id".to_owned()))?;
        state.insert("group".to_owned(), id);
        state.insert("version".to_owned(), "$LATEST".into());
        let state = serde_json::to_vec(&state).map_err(|error| wrong(error.to_string()))?;
        let name = serde_json::json!({ "tags": tags }).to_string();
        states.insert(format!("{key}/$LATEST").as_bytes(), state.as_slice())?;
        names.insert(key.as_bytes(), name.as_bytes())?;
    }
    let last = last.to_be_bytes();
    write.open_table(NUMBERS)?.insert(b"last_function".as_slice(), last.as_slice())?;
    Ok(())
}

fn damaged(path: &Path, error: impl Into<redb::Error>) -> OpenStoreError {
    OpenStoreError::Database { path: path.to_owned(), source: Box::new(error.into()) }
}
