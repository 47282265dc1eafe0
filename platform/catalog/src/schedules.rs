//! Schedules: rules of EventBridge and schedules of EventBridge Scheduler, in memory for reading, in the store for keeping.
//!
//! Deliberately knows nothing of when they are due: it keeps, beside each, the last tick that counts as done.

use crate::store::{Batch, Durable, Store, StoreError, Table};
use model::TenantId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

/// Schedules by `tenant/kind/name`.
const SCHEDULES: Table = Table::new("schedules");
/// When each was last due and dealt with, by the same key: milliseconds since 1970, eight bytes.
const TICKS: Table = Table::new("schedule_ticks");

/// Which API a schedule belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ScheduleKind {
    /// A rule of EventBridge's default event bus.
    Rule,
    /// A schedule of EventBridge Scheduler's default group.
    Schedule,
}

/// The name of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ScheduleKey {
    /// Whose it is.
    pub tenant: TenantId,
    /// Which API it belongs to.
    pub kind: ScheduleKind,
    /// Its name, unique for tenant and kind.
    pub name: String,
}

/// A schedule as its owner has made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleEntry {
    /// Its name.
    pub key: ScheduleKey,
    /// When it is due, as in `rate(5 minutes)`.
    pub expression: String,
    /// Time zone of the expression, as in `Europe/Berlin`.
    pub zone: String,
    /// When it begins, where that was said: milliseconds since 1970.
    pub start_unix_ms: Option<i64>,
    /// When it ends, where that was said: milliseconds since 1970.
    pub end_unix_ms: Option<i64>,
    /// Whether it is due at all.
    pub is_enabled: bool,
    /// Free text.
    pub description: Option<String>,
    /// Role, where one was named.
    pub role: Option<String>,
    /// What it starts, by the ids that the owner chose.
    pub targets: BTreeMap<String, ScheduleTarget>,
    /// Whether it goes when it is never due again.
    pub is_removed_at_end: bool,
    /// When it was made: milliseconds since 1970.
    pub created_unix_ms: i64,
    /// When it was changed last: milliseconds since 1970.
    pub modified_unix_ms: i64,
    /// From when a rate counts that has no start: milliseconds since 1970.
    pub anchor_unix_ms: i64,
}

/// What a schedule starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleTarget {
    /// ARN of a function.
    pub arn: String,
    /// Role, where one was named.
    pub role: Option<String>,
    /// The event, where it is not to be the one that tells of the tick: JSON.
    pub input: Option<String>,
    /// How often starting it is tried again.
    pub retries: Option<u32>,
    /// How late it may be started, in seconds.
    pub age_s: Option<u32>,
}

type Listener = Box<dyn Fn(&ScheduleKey) + Send + Sync>;

/// All schedules of all tenants, durable.
pub struct Schedules {
    store: Store,
    index: RwLock<BTreeMap<ScheduleKey, Kept>>,
    /// Held by each writer.
    writing: Mutex<()>,
    listener: OnceLock<Listener>,
}

#[derive(Clone, Debug)]
struct Kept {
    entry: Arc<ScheduleEntry>,
    done_unix_ms: i64,
}

impl fmt::Debug for Schedules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedules").finish_non_exhaustive()
    }
}

/// Why a schedule was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// There is one of this name.
    #[error("schedule {name} exists already")]
    Exists {
        /// Its name.
        name: String,
    },
    /// There is none of this name.
    #[error("schedule {name} does not exist")]
    NoSchedule {
        /// Its name.
        name: String,
    },
    /// The tenant has as many as it may have.
    #[error("there are {limit} schedules already, which is the most that an account may have")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Schedules of one tenant, rules and schedules each (AWS: 300 rules per bus, 1,000,000 schedules; 2026-11).
pub const SCHEDULES_MAX: usize = 10_000;

impl ScheduleKey {
    fn bytes(&self) -> Vec<u8> {
        let kind = match self.kind {
            ScheduleKind::Rule => "rule",
            ScheduleKind::Schedule => "schedule",
        };
        format!("{}/{kind}/{}", self.tenant, self.name).into_bytes()
    }
}

impl Schedules {
    /// Reads all schedules of the store. Blocks. Errors: the store fails, or has an entry that is none.
    pub(crate) fn open(store: &Store) -> Result<Self, StoreError> {
        let mut index = BTreeMap::new();
        for (key, value) in store.scan(SCHEDULES, Bound::Unbounded, usize::MAX)? {
            let entry: ScheduleEntry = serde_json::from_slice(&value).map_err(|source| {
                let key = String::from_utf8_lossy(&key).into_owned();
                StoreError::Entry { key, source: Arc::new(source) }
            })?;
            let done = store.get(TICKS, &key)?.and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
            let begin = entry.anchor_unix_ms - 1;
            let done_unix_ms = done.map_or(begin, i64::from_be_bytes).max(begin);
            index.insert(entry.key.clone(), Kept { entry: Arc::new(entry), done_unix_ms });
        }
        let (index, writing) = (RwLock::new(index), Mutex::new(()));
        Ok(Self { store: store.clone(), index, writing, listener: OnceLock::new() })
    }

    /// Has this told of each schedule that was made, changed or removed; only the first to ask is heard.
    pub fn listen(&self, listener: impl Fn(&ScheduleKey) + Send + Sync + 'static) {
        if self.listener.set(Box::new(listener)).is_err() {
            tracing::warn!("schedules have a listener already");
        }
    }

    /// The schedule, and its last tick that counts as done: milliseconds since 1970.
    pub fn get(&self, key: &ScheduleKey) -> Option<(Arc<ScheduleEntry>, i64)> {
        self.read(|index| index.get(key).map(|kept| (kept.entry.clone(), kept.done_unix_ms)))
    }

    /// Names of all schedules of all tenants, as for a restart.
    pub fn all(&self) -> Vec<ScheduleKey> {
        self.read(|index| index.keys().cloned().collect())
    }

    /// The tenant's schedules of this kind by name.
    pub fn list(&self, tenant: TenantId, kind: ScheduleKind) -> Vec<Arc<ScheduleEntry>> {
        let first = ScheduleKey { tenant, kind, name: String::new() };
        self.read(|index| {
            let ours = index
                .range(first..)
                .take_while(|(key, _)| key.tenant == tenant && key.kind == kind);
            ours.map(|(_, kept)| kept.entry.clone()).collect()
        })
    }

    /// Makes or changes a schedule: `edit` is given what is there and says what is to be. Where the expression, its zone
    /// or bounds change, or it is enabled, ticks count as done up to now. Durable when this returns; blocks.
    pub fn edit<E: From<ScheduleError>>(
        &self,
        key: &ScheduleKey,
        now_unix_ms: i64,
        edit: impl FnOnce(Option<&ScheduleEntry>) -> Result<ScheduleEntry, E>,
    ) -> Result<Arc<ScheduleEntry>, E> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.get(key);
        let mut entry = edit(before.as_ref().map(|(entry, _)| &**entry))?;
        if before.is_none() && self.list(key.tenant, key.kind).len() >= SCHEDULES_MAX {
            return Err(ScheduleError::TooMany { limit: SCHEDULES_MAX }.into());
        }
        let same = before.filter(|(before, _)| before.is_due_as(&entry));
        let done_unix_ms = match &same {
            Some((before, done)) => {
                entry.anchor_unix_ms = before.anchor_unix_ms;
                *done
            }
            None => {
                entry.anchor_unix_ms = now_unix_ms;
                // So that a rate which is due as it begins is.
                now_unix_ms - 1
            }
        };
        let bytes = serde_json::to_vec(&entry).expect("a schedule is strings, numbers and maps");
        let mut batch = Batch::new();
        batch.put(SCHEDULES, key.bytes(), bytes);
        batch.put(TICKS, key.bytes(), done_unix_ms.to_be_bytes());
        self.store.write(batch, Durable::Now).map_err(ScheduleError::from)?;
        let entry = Arc::new(entry);
        let kept = Kept { entry: entry.clone(), done_unix_ms };
        self.write(|index| index.insert(key.clone(), kept));
        self.tell(key);
        Ok(entry)
    }

    /// Removes a schedule; false where there is none. Durable when this returns; blocks.
    pub fn remove(&self, key: &ScheduleKey) -> Result<bool, StoreError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.get(key).is_none() {
            return Ok(false);
        }
        let mut batch = Batch::new();
        batch.remove(SCHEDULES, key.bytes());
        batch.remove(TICKS, key.bytes());
        self.store.write(batch, Durable::Now)?;
        self.write(|index| index.remove(key));
        self.tell(key);
        Ok(true)
    }

    /// Adds to a batch that ticks up to this one are done. Call [`Self::is_done`] once it is durable.
    pub fn mark_done(&self, batch: &mut Batch, key: &ScheduleKey, tick_unix_ms: i64) {
        batch.put(TICKS, key.bytes(), tick_unix_ms.to_be_bytes());
    }

    /// Ticks of this state of a schedule up to this one are done, as the store knows already.
    pub fn is_done(&self, entry: &ScheduleEntry, tick_unix_ms: i64) {
        self.write(|index| {
            if let Some(kept) = index.get_mut(&entry.key)
                && kept.entry.is_due_as(entry)
            {
                kept.done_unix_ms = tick_unix_ms;
            }
        });
    }

    fn tell(&self, key: &ScheduleKey) {
        if let Some(listener) = self.listener.get() {
            listener(key);
        }
    }

    fn read<T>(&self, look: impl FnOnce(&BTreeMap<ScheduleKey, Kept>) -> T) -> T {
        look(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut BTreeMap<ScheduleKey, Kept>) -> T) -> T {
        change(&mut self.index.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ScheduleEntry {
    /// Whether both are due at the same times.
    fn is_due_as(&self, other: &Self) -> bool {
        let when = |entry: &Self| {
            (entry.start_unix_ms, entry.end_unix_ms, entry.is_enabled, entry.created_unix_ms)
        };
        when(self) == when(other) && self.expression == other.expression && self.zone == other.zone
    }
}
