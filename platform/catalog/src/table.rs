//! The durable table of functions and the counter of their numbers, in an embedded store.
//!
//! Deliberately knows nothing of packages, nor of what an update means.

use crate::backing::Backing;
use crate::function::Function;
use model::{FunctionId, TenantId};
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Functions as JSON, by `tenant/name`.
const FUNCTIONS: TableDefinition<&str, &[u8]> = TableDefinition::new("functions");
/// Counters by name.
const COUNTERS: TableDefinition<&str, u64> = TableDefinition::new("counters");
/// Counter: the last function number given out.
const LAST_FUNCTION: &str = "last_function";
/// Page cache in bytes: functions are kept in memory by the catalog, so the store needs little.
const CACHE_BYTES: usize = 1 << 20;

/// Why the store could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The embedded store failed.
    #[error("the catalog's store failed")]
    Store(#[from] Box<redb::Error>),
    /// A stored function is not one.
    #[error("the catalog's entry {key} is not a function")]
    Entry {
        /// Its key.
        key: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl StoreError {
    /// Whether the disk has no room for what was to be stored.
    pub fn is_full(&self) -> bool {
        let Self::Store(error) = self else { return false };
        let redb::Error::Io(error) = &**error else { return false };
        matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// The table.
#[derive(Debug)]
pub(crate) struct FunctionTable {
    path: PathBuf,
    /// None after an I/O error, since then the store refuses everything until it is opened again.
    database: Mutex<Option<Database>>,
}

/// When a write must be on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durable {
    /// When the call returns.
    Now,
    /// With the next write that is durable at once.
    Later,
}

impl FunctionTable {
    /// Opens or creates the table at `path`.
    pub(crate) fn open(path: &Path) -> Result<Self, redb::DatabaseError> {
        let database = Mutex::new(Some(open(path)?));
        Ok(Self { path: path.to_owned(), database })
    }

    /// Runs `work` on the store, which is opened again where an earlier I/O error closed it.
    fn with<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut slot = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let database = match slot.take() {
            Some(database) => database,
            None => open(&self.path).map_err(store)?,
        };
        let result = work(&database);
        let is_broken = matches!(&result, Err(StoreError::Store(error))
            if matches!(**error, redb::Error::Io(_) | redb::Error::PreviousIo));
        if !is_broken {
            *slot = Some(database);
        }
        result
    }

    /// Everything there is.
    pub(crate) fn load(&self) -> Result<Vec<Function>, StoreError> {
        self.with(load)
    }

    /// Gives out a number that was never given out before, and stores the function that `make` makes with it.
    pub(crate) fn insert_new(
        &self,
        make: impl FnOnce(FunctionId) -> Function,
    ) -> Result<Function, StoreError> {
        self.with(|database| {
            let write = database.begin_write().map_err(store)?;
            let function = {
                let mut counters = write.open_table(COUNTERS).map_err(store)?;
                let last =
                    counters.get(LAST_FUNCTION).map_err(store)?.map_or(0, |last| last.value());
                counters.insert(LAST_FUNCTION, last + 1).map_err(store)?;
                let function = make(FunctionId(last + 1));
                let mut functions = write.open_table(FUNCTIONS).map_err(store)?;
                let key = key(function.tenant, &function.name);
                functions.insert(key.as_str(), encode(&function).as_slice()).map_err(store)?;
                function
            };
            write.commit().map_err(store)?;
            Ok(function)
        })
    }

    /// Replaces a function.
    pub(crate) fn replace(&self, function: &Function, durable: Durable) -> Result<(), StoreError> {
        self.with(|database| {
            let mut write = database.begin_write().map_err(store)?;
            if durable == Durable::Later {
                write.set_durability(Durability::None).map_err(store)?;
            }
            {
                let mut functions = write.open_table(FUNCTIONS).map_err(store)?;
                let key = key(function.tenant, &function.name);
                functions.insert(key.as_str(), encode(function).as_slice()).map_err(store)?;
            }
            write.commit().map_err(store)
        })
    }

    /// Removes a function.
    pub(crate) fn remove(&self, tenant: TenantId, name: &str) -> Result<(), StoreError> {
        self.with(|database| {
            let write = database.begin_write().map_err(store)?;
            {
                let mut functions = write.open_table(FUNCTIONS).map_err(store)?;
                functions.remove(key(tenant, name).as_str()).map_err(store)?;
            }
            write.commit().map_err(store)
        })
    }
}

/// Opens or creates the store, for nobody else to read: environment variables may be secret.
fn open(path: &Path) -> Result<Database, redb::DatabaseError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let backing = Backing::new(options.open(path)?)?;
    Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(backing)
}

fn load(database: &Database) -> Result<Vec<Function>, StoreError> {
    let read = database.begin_read().map_err(store)?;
    let table = match read.open_table(FUNCTIONS) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(store(error)),
    };
    let mut functions = Vec::new();
    for entry in table.iter().map_err(store)? {
        let (key, value) = entry.map_err(store)?;
        functions.push(
            serde_json::from_slice(value.value())
                .map_err(|source| StoreError::Entry { key: key.value().to_owned(), source })?,
        );
    }
    Ok(functions)
}

fn key(tenant: TenantId, name: &str) -> String {
    format!("{tenant}/{name}")
}

fn encode(function: &Function) -> Vec<u8> {
    serde_json::to_vec(function).expect("a function is strings, numbers and maps with string keys")
}

fn store(error: impl Into<redb::Error>) -> StoreError {
    StoreError::Store(Box::new(error.into()))
}
