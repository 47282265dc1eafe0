//! What is to be changed in the store, as one whole.

use super::Table;

/// Changes that are made all together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    pub(super) changes: Vec<Change>,
    bytes: usize,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Put { table: Table, key: Vec<u8>, value: Vec<u8> },
    Remove { table: Table, key: Vec<u8> },
    Raise { table: Table, key: Vec<u8>, to: u64 },
}

impl Batch {
    /// No change yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stores `value` under `key`, in place of what was there.
    pub fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.add(Change::Put { table, key: key.into(), value: value.into() });
    }

    /// Removes what is under `key`, if anything is.
    pub fn remove(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.add(Change::Remove { table, key: key.into() });
    }

    /// Stores the number `to` under `key`, as eight bytes, the highest first, unless the one there is larger.
    ///
    /// For counters that several callers raise at once: whichever is written last, none goes back.
    pub fn raise(&mut self, table: Table, key: impl Into<Vec<u8>>, to: u64) {
        self.add(Change::Raise { table, key: key.into(), to });
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Bytes of all keys and values.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it needs no room, so that it may be carried out on a full disk.
    pub(super) fn only_removes(&self) -> bool {
        self.changes.iter().all(|change| matches!(change, Change::Remove { .. }))
    }

    fn add(&mut self, change: Change) {
        self.bytes += match &change {
            Change::Put { key, value, .. } => key.len() + value.len(),
            Change::Remove { key, .. } => key.len(),
            Change::Raise { key, .. } => key.len() + 8,
        };
        self.changes.push(change);
    }
}
