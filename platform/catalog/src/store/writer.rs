//! The thread that writes: all that has queued up goes to the disk with one flush.
//!
//! Deliberately knows nothing of what is written.

use super::batch::{Batch, Change};
use super::format;
use super::receipt::{Answer, Receipt, receipt};
use super::{Durable, StoreError, Table, failed};
use redb::{Database, Durability, ReadableTable, WriteTransaction};
use std::collections::VecDeque;
use std::collections::btree_map::{BTreeMap, Entry};
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock};

/// Batches that may wait.
const QUEUE_BATCHES: usize = 1 << 16;
/// Bytes of batches that may wait.
const QUEUE_BYTES: usize = 256 << 20;
/// Batches of one transaction.
const GROUP_BATCHES: usize = 4096;
/// Bytes of one transaction, unless a single batch has more.
const GROUP_BYTES: usize = 16 << 20;

/// What the writer and those who wait for it have in common.
#[derive(Debug)]
pub(super) struct Shared {
    path: PathBuf,
    /// None after an I/O error, since then the store refuses everything until it is opened again.
    database: RwLock<Option<Database>>,
    queue: Mutex<Queue>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    is_closed: bool,
}

#[derive(Debug)]
struct Waiting {
    batch: Batch,
    durable: Durable,
    answer: Answer,
}

/// Closes the queue when the writer ends, however it ends, so that nobody waits for it any more.
struct Ended<'a>(&'a Shared);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        queue.is_closed = true;
        // Their answers say that the store is closed.
        queue.waiting.clear();
    }
}

impl Shared {
    pub(super) fn new(path: PathBuf, database: Database) -> Self {
        Self {
            path,
            database: RwLock::new(Some(database)),
            queue: Mutex::default(),
            filled: Condvar::new(),
        }
    }

    /// Lets the writer end once it has written what waits.
    pub(super) fn close(&self) {
        self.queue().is_closed = true;
        self.filled.notify_all();
    }

    pub(super) fn submit(&self, batch: Batch, durable: Durable) -> Receipt {
        let (answer, receipt) = receipt();
        let bytes = batch.bytes();
        let mut queue = self.queue();
        let waiting = queue.waiting.len();
        if queue.is_closed {
            answer.send(Err(StoreError::Closed));
        } else if waiting >= QUEUE_BATCHES || (waiting > 0 && queue.bytes + bytes > QUEUE_BYTES) {
            answer.send(Err(StoreError::Busy { waiting }));
        } else {
            queue.bytes += bytes;
            queue.waiting.push_back(Waiting { batch, durable, answer });
            drop(queue);
            self.filled.notify_one();
        }
        receipt
    }

    /// Runs `work` on the store, which is opened again where an earlier I/O error closed it.
    pub(super) fn with<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let slot = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let (slot, result) = match &*slot {
            Some(database) => {
                let result = work(database);
                (slot, result)
            }
            None => {
                drop(slot);
                self.reopen()?;
                let slot = self.database.read().unwrap_or_else(PoisonError::into_inner);
                let result = match &*slot {
                    Some(database) => work(database),
                    // Another one has broken it again meanwhile.
                    None => Err(failed(redb::Error::PreviousIo)),
                };
                (slot, result)
            }
        };
        drop(slot);
        if result.as_ref().is_err_and(StoreError::is_broken) {
            self.database.write().unwrap_or_else(PoisonError::into_inner).take();
        }
        result
    }

    fn reopen(&self) -> Result<(), StoreError> {
        let mut slot = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if slot.is_none() {
            *slot = Some(format::open_file(&self.path).map_err(failed)?);
        }
        Ok(())
    }

    /// The writer's life.
    pub(super) fn run(&self) {
        let _ended = Ended(self);
        let mut is_flushed = true;
        while let Some(group) = self.next_group() {
            let durable = match group.iter().any(|waiting| waiting.durable == Durable::Now) {
                true => Durable::Now,
                false => Durable::Later,
            };
            is_flushed = durable == Durable::Now;
            self.write_group(group, durable);
        }
        if !is_flushed && let Err(error) = self.commit(&[], Durable::Now) {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "the store's last writes are not flushed");
        }
    }

    /// What has queued up, as much of it as one transaction takes. None once the store is closed.
    fn next_group(&self) -> Option<Vec<Waiting>> {
        let mut queue = self.queue();
        while queue.waiting.is_empty() {
            if queue.is_closed {
                return None;
            }
            queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let (mut group, mut bytes) = (Vec::new(), 0);
        while let Some(next) = queue.waiting.front() {
            let size = next.batch.bytes();
            let fits = group.len() < GROUP_BATCHES && bytes + size <= GROUP_BYTES;
            if !group.is_empty() && !fits {
                break;
            }
            bytes += size;
            group.extend(queue.waiting.pop_front());
        }
        queue.bytes = queue.bytes.saturating_sub(bytes);
        Some(group)
    }

    /// Commits a group and answers all of it. On a full disk those that need no room go alone, so that what is deleted
    /// together with what is stored makes room.
    fn write_group(&self, group: Vec<Waiting>, durable: Durable) {
        let error = match self.commit_waiting(&group, durable) {
            Ok(()) => return answer_all(group, &Ok(())),
            Err(error) => error,
        };
        let (removing, storing): (Vec<_>, Vec<_>) =
            group.into_iter().partition(|waiting| waiting.batch.only_removes());
        let is_mixed = !removing.is_empty() && !storing.is_empty();
        let removed = match error.is_full() && is_mixed {
            true => self.commit_waiting(&removing, durable),
            false => Err(error.clone()),
        };
        answer_all(removing, &removed);
        answer_all(storing, &Err(error));
    }

    fn commit_waiting(&self, group: &[Waiting], durable: Durable) -> Result<(), StoreError> {
        let batches: Vec<&Batch> = group.iter().map(|waiting| &waiting.batch).collect();
        self.commit(&batches, durable)
    }

    fn commit(&self, batches: &[&Batch], durable: Durable) -> Result<(), StoreError> {
        self.with(|database| {
            let mut write = database.begin_write().map_err(failed)?;
            if durable == Durable::Later {
                write.set_durability(Durability::None).map_err(failed)?;
            }
            let changes = batches.iter().flat_map(|batch| &batch.changes);
            apply(&write, changes)?;
            write.commit().map_err(failed)
        })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn apply<'a>(
    write: &WriteTransaction,
    changes: impl Iterator<Item = &'a Change>,
) -> Result<(), StoreError> {
    let mut open = BTreeMap::new();
    for change in changes {
        let (Change::Put { table, .. }
        | Change::Remove { table, .. }
        | Change::Raise { table, .. }) = change;
        let table: &mut redb::Table<'_, &[u8], &[u8]> = match open.entry(*table) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                entry.insert(write.open_table(Table::definition(*table)).map_err(failed)?)
            }
        };
        match change {
            Change::Put { key, value, .. } => {
                table.insert(key.as_slice(), value.as_slice()).map_err(failed)?;
            }
            Change::Remove { key, .. } => {
                table.remove(key.as_slice()).map_err(failed)?;
            }
            Change::Raise { key, to, .. } => {
                let now = table.get(key.as_slice()).map_err(failed)?;
                let now = now.map_or(0, |value| super::number(value.value()));
                if *to > now {
                    table.insert(key.as_slice(), to.to_be_bytes().as_slice()).map_err(failed)?;
                }
            }
        }
    }
    Ok(())
}

fn answer_all(group: Vec<Waiting>, result: &Result<(), StoreError>) {
    for waiting in group {
        waiting.answer.send(result.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle(directory: &std::path::Path) -> Shared {
        let path = directory.join("catalog.redb");
        let database = format::open(&path).expect("a store");
        Shared::new(path, database)
    }

    fn batch(bytes: usize) -> Batch {
        let mut batch = Batch::new();
        batch.put(Table::new("t"), "", vec![0; bytes]);
        batch
    }

    // A writer that does not come along is told to those who find the queue full, by number and by size.
    #[test]
    fn a_full_queue_refuses() {
        let data = tempfile::tempdir().expect("a directory");
        let shared = idle(data.path());
        for _ in 0..QUEUE_BATCHES {
            drop(shared.submit(batch(0), Durable::Now));
        }
        let refused = shared.submit(batch(0), Durable::Now).wait();
        assert!(matches!(refused, Err(StoreError::Busy { waiting: QUEUE_BATCHES })), "{refused:?}");
        let other = tempfile::tempdir().expect("a directory");
        let shared = idle(other.path());
        drop(shared.submit(batch(QUEUE_BYTES), Durable::Now));
        let refused = shared.submit(batch(1), Durable::Now).wait();
        assert!(matches!(refused, Err(StoreError::Busy { waiting: 1 })), "{refused:?}");
    }

    // Those who wait when the writer ends are told, and so is who comes later.
    #[test]
    fn an_ended_writer_leaves_nobody_waiting() {
        let data = tempfile::tempdir().expect("a directory");
        let shared = idle(data.path());
        let waiting = shared.submit(batch(1), Durable::Now);
        drop(Ended(&shared));
        assert!(matches!(waiting.wait(), Err(StoreError::Closed)));
        let late = shared.submit(batch(1), Durable::Now).wait();
        assert!(matches!(late, Err(StoreError::Closed)));
    }

    // A group has what waits, in order, up to its bound in bytes; a batch beyond the bound is a group of its own.
    #[test]
    fn groups_are_bounded() {
        let data = tempfile::tempdir().expect("a directory");
        let shared = idle(data.path());
        for bytes in [GROUP_BYTES / 2, GROUP_BYTES / 2, 1, GROUP_BYTES + 1, 1] {
            drop(shared.submit(batch(bytes), Durable::Now));
        }
        let mut sizes = Vec::new();
        for _ in 0..4 {
            sizes.push(shared.next_group().map_or(0, |group| group.len()));
        }
        assert_eq!(sizes, [2, 1, 1, 1]);
    }
}
