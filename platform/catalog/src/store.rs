//! The one embedded store of a data directory, and its one writer.
//!
//! Whoever changes something durable hands the writer a [`Batch`]; the writer takes all that has queued up, makes it
//! durable with one flush of the disk, and answers each caller. Deliberately knows nothing of what is stored.

mod backing;
mod batch;
#[cfg(test)]
mod faults;
mod format;
mod receipt;
mod writer;

pub use batch::Batch;
pub use format::OpenStoreError;
pub use receipt::Receipt;

use redb::{Database, ReadableDatabase, TableDefinition};
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use writer::Shared;

/// A table of the store: values by key, both of them bytes, keys in the order of their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Table(&'static str);

impl Table {
    /// The table of this name; it is made when something is first put into it.
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    const fn definition(self) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
        TableDefinition::new(self.0)
    }
}

/// When a write must be on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durable {
    /// When its receipt says so.
    Now,
    /// With the next write that is durable at once.
    Later,
}

/// Why the store could not be read or written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The embedded store failed.
    #[error("the catalog's store failed")]
    Store(#[source] Arc<redb::Error>),
    /// A stored entry cannot be read.
    #[error("the catalog's entry {key} is not what it should be")]
    Entry {
        /// Its key.
        key: String,
        /// Why.
        #[source]
        source: Arc<serde_json::Error>,
    },
    /// More writes wait than the store takes.
    #[error("{waiting} writes wait for the disk, which is too slow for them: try again later")]
    Busy {
        /// How many.
        waiting: usize,
    },
    /// The store is closed, or its writer has ended.
    #[error("the catalog's store is closed")]
    Closed,
}

impl StoreError {
    /// Whether the disk has no room for what was to be stored.
    pub fn is_full(&self) -> bool {
        let Self::Store(error) = self else { return false };
        let redb::Error::Io(error) = &**error else { return false };
        matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }

    /// Whether the store refuses everything from now on until it is opened again.
    fn is_broken(&self) -> bool {
        matches!(self, Self::Store(error)
            if matches!(**error, redb::Error::Io(_) | redb::Error::PreviousIo))
    }
}

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// The store. Cheap to clone; the last clone that goes ends the writer, once everything handed in is written.
#[derive(Clone, Debug)]
pub struct Store(Arc<Owner>);

#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.close();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the store's writer has panicked");
        }
    }
}

impl Store {
    /// Opens or creates the store at `path`; one of an older format is brought up to date first, in one step that is
    /// either made whole or not at all. Errors: [`OpenStoreError`].
    pub fn open(path: &Path) -> Result<Self, OpenStoreError> {
        let database = format::open(path)?;
        Self::over(path, database)
    }

    /// A store over a database, which is opened again at `path` after an I/O error.
    fn over(path: &Path, database: Database) -> Result<Self, OpenStoreError> {
        let shared = Arc::new(Shared::new(path.to_owned(), database));
        let writing = Arc::clone(&shared);
        let writer = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writing.run())
            .map_err(|source| OpenStoreError::Thread { source })?;
        Ok(Self(Arc::new(Owner { shared, writer: Some(writer) })))
    }

    /// Hands the writer a batch. Never blocks; the receipt says when it is durable.
    ///
    /// Batches of one caller are made in the order in which they were handed in. Where more than 65,536 batches or 256 MiB
    /// wait, the receipt says [`StoreError::Busy`].
    pub fn submit(&self, batch: Batch, durable: Durable) -> Receipt {
        self.0.shared.submit(batch, durable)
    }

    /// Writes a batch and blocks until it is durable.
    pub fn write(&self, batch: Batch, durable: Durable) -> Result<(), StoreError> {
        self.submit(batch, durable).wait()
    }

    /// The value under `key`. Blocks on the disk. What a receipt has answered for is seen.
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.shared.with(|database| {
            let Some(table) = open_table(database, table)? else { return Ok(None) };
            Ok(table.get(key).map_err(failed)?.map(|value| value.value().to_vec()))
        })
    }

    /// Up to `limit` entries in the order of their keys, beginning at `from`. Blocks on the disk.
    pub fn scan(
        &self,
        table: Table,
        from: Bound<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.0.shared.with(|database| {
            let Some(table) = open_table(database, table)? else { return Ok(Vec::new()) };
            let range = (from, Bound::Unbounded);
            let mut entries = Vec::new();
            for entry in table.range::<&[u8]>(range).map_err(failed)?.take(limit) {
                let (key, value) = entry.map_err(failed)?;
                entries.push((key.value().to_vec(), value.value().to_vec()));
            }
            Ok(entries)
        })
    }
}

type ReadTable = redb::ReadOnlyTable<&'static [u8], &'static [u8]>;

fn open_table(database: &Database, table: Table) -> Result<Option<ReadTable>, StoreError> {
    let read = database.begin_read().map_err(failed)?;
    match read.open_table(table.definition()) {
        Ok(table) => Ok(Some(table)),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

fn failed(error: impl Into<redb::Error>) -> StoreError {
    StoreError::Store(Arc::new(error.into()))
}

/// A number as [`Batch::raise`] stores it; 0 for anything else.
pub fn number(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_be_bytes)
}
