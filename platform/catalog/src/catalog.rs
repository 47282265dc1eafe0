//! The catalog: functions in memory for reading, in an embedded store for keeping, their packages beside it.
//!
//! Reads never touch the disk. Writes block on it: call them where blocking is allowed. Writes to different functions wait
//! for the disk together.

mod error;
mod layers;
mod publish;

pub use error::{CreateError, EditError, EditLayerError, OpenError, SizeError, UpdateError};
pub use layers::LayerPage;
pub use publish::{DeleteVersionError, PublishError, PublishOf, Published};

use crate::attachments::Attachments;
use crate::entry::Entry;
use crate::function::{Function, NewFunction, SettingsChange, State, Version};
use crate::package::{PackageError, PackageLimits};
use crate::schedules::Schedules;
use crate::shelf::{Shelf, StoredPackage};
use crate::store::{Batch, Durable, OpenStoreError, Store, StoreError, Table, number};
use model::{FunctionId, TenantId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

/// States of functions as JSON, by `tenant/name/version`.
const FUNCTIONS: Table = Table::new("functions");
/// What all versions of a function share, as JSON, by `tenant/name`.
const NAMES: Table = Table::new("names");
/// Counters by name.
const COUNTERS: Table = Table::new("counters");
/// Counter: the last function number given out.
const LAST_FUNCTION: &str = "last_function";
/// Locks by which writers of one function follow each other; writers of two seldom meet on one.
const NAME_LOCKS: usize = 64;

/// All functions of all tenants, durable.
#[derive(Debug)]
pub struct Catalog {
    store: Store,
    schedules: Schedules,
    shelf: Shelf,
    memory: RwLock<Memory>,
    last_function: AtomicU64,
    name_locks: Vec<Mutex<()>>,
    /// Held for writing while packages are removed, and for reading while a package that a function now names is let go.
    sweeping: RwLock<()>,
}

#[derive(Debug, Default)]
struct Memory {
    index: BTreeMap<TenantId, BTreeMap<String, Arc<Entry>>>,
    layers: layers::Layers,
    /// Older states of functions, which an invocation may still run.
    retired: Vec<Weak<Function>>,
}

/// Which function to update, and what the caller believes its revision to be.
#[derive(Clone, Copy, Debug)]
pub struct UpdateOf<'a> {
    /// Owner.
    pub tenant: TenantId,
    /// Name.
    pub name: &'a str,
    /// The revision that must be the latest; None for any.
    pub revision_id: Option<&'a str>,
}

/// An update that is durable and not yet deployed.
#[derive(Clone, Debug)]
pub struct Updated {
    /// What was before.
    pub previous: Arc<Function>,
    /// What is now; its last update is Pending.
    pub current: Arc<Function>,
}

/// A page of a tenant's functions.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Functions by name.
    pub entries: Vec<Arc<Entry>>,
    /// Name of the last one, where there are more.
    pub next_after: Option<String>,
}

/// What a tenant has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Functions.
    pub functions: u64,
    /// Bytes of their zips, and of those of layers.
    pub code_bytes: u64,
}

impl Catalog {
    /// Opens or creates the catalog in `data`, with Lambda's limits for packages.
    ///
    /// What an earlier process left half written is removed; functions keep the state in which it left them, so a
    /// Pending one is for the caller to deploy again. Errors: [`OpenError`].
    pub fn open(data: &Path) -> Result<Self, OpenError> {
        Self::open_with(data, PackageLimits::default())
    }

    /// As [`Self::open`], with other limits for packages.
    pub fn open_with(data: &Path, limits: PackageLimits) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Directory { path: data.to_owned(), source };
        std::fs::create_dir_all(data).map_err(failed)?;
        let data = data.canonicalize().map_err(failed)?;
        let store = Store::open(&data.join("catalog.redb")).map_err(|error| match error {
            OpenStoreError::InUse { .. } => OpenError::InUse { path: data.clone() },
            error => OpenError::Open(error),
        })?;
        let shelf = Shelf::open(&data, limits).map_err(failed)?;
        let memory = load(&store, &shelf)?;
        let last = store.get(COUNTERS, LAST_FUNCTION.as_bytes())?;
        let schedules = Schedules::open(&store)?;
        let catalog = Self {
            store,
            schedules,
            shelf,
            memory: RwLock::new(memory),
            last_function: AtomicU64::new(last.map_or(0, |last| number(&last))),
            name_locks: (0..NAME_LOCKS).map(|_| Mutex::default()).collect(),
            sweeping: RwLock::default(),
        };
        catalog.collect_packages().map_err(failed)?;
        Ok(catalog)
    }

    /// The store in which the catalog keeps what it has, for whatever else must be as durable.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What is started by the clock.
    pub fn schedules(&self) -> &Schedules {
        &self.schedules
    }

    /// The function's latest state. Never waits for the disk.
    pub fn get(&self, tenant: TenantId, name: &str) -> Option<Arc<Function>> {
        self.read(|memory| memory.entry(tenant, name).map(|entry| entry.latest.clone()))
    }

    /// The function with its versions and what is attached to it. Never waits for the disk.
    pub fn entry(&self, tenant: TenantId, name: &str) -> Option<Arc<Entry>> {
        self.read(|memory| memory.entry(tenant, name).cloned())
    }

    /// Up to `limit` of the tenant's functions by name, beginning after the name `after`.
    pub fn list(&self, tenant: TenantId, after: Option<&str>, limit: usize) -> Page {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.read(|memory| {
            let Some(named) = memory.index.get(&tenant) else { return Page::default() };
            let mut rest = named.range::<str, _>((start, Bound::Unbounded));
            let entries: Vec<_> =
                rest.by_ref().take(limit).map(|(_, entry)| entry.clone()).collect();
            let more = rest.next().is_some();
            let next_after = entries.last().filter(|_| more).map(|last| last.latest.name.clone());
            Page { entries, next_after }
        })
    }

    /// Every state of every function of every tenant, as for a restart.
    pub fn all(&self) -> Vec<Arc<Function>> {
        self.read(|memory| memory.states().cloned().collect())
    }

    /// What the tenant has. The code of each version counts, of functions and of layers.
    pub fn holdings(&self, tenant: TenantId) -> Holdings {
        self.read(|memory| {
            memory.index.get(&tenant).into_iter().flatten().fold(
                Holdings { functions: 0, code_bytes: memory.layers.code_bytes(tenant) },
                |sum, (_, entry)| Holdings {
                    functions: sum.functions + 1,
                    code_bytes: entry
                        .states()
                        .fold(sum.code_bytes, |sum, state| sum.saturating_add(state.code_size)),
                },
            )
        })
    }

    /// Takes a zip in: checked, unpacked and durable when this returns. Errors: [`PackageError`].
    pub fn store_package(&self, zip: &[u8]) -> Result<StoredPackage, PackageError> {
        self.shelf.put(zip)
    }

    /// The zip of a function's code, as it was uploaded.
    pub fn zip_path(&self, function: &Function) -> PathBuf {
        self.shelf.zip(&function.code_digest)
    }

    /// Creates a function, Pending; durable when this returns. Errors: [`CreateError`].
    pub fn create(
        &self,
        new: NewFunction,
        package: StoredPackage,
    ) -> Result<Arc<Function>, CreateError> {
        let _lock = self.lock(new.tenant, &new.name);
        if self.get(new.tenant, &new.name).is_some() {
            return Err(CreateError::Exists { name: new.name });
        }
        self.check_size(&package.digest, &new.settings.layers.layers)?;
        let attachments = Attachments { tags: new.tags.clone(), ..Attachments::default() };
        let layers = new.settings.layers.packages.clone();
        let function = Arc::new(first_state(self.new_id(), new, &package));
        let mut batch = Batch::new();
        put_state(&mut batch, &function);
        put_attachments(&mut batch, function.tenant, &function.name, &attachments);
        batch.raise(COUNTERS, LAST_FUNCTION, function.id.0);
        self.store.write(batch, Durable::Now)?;
        let entry = Entry { attachments: attachments.into(), ..Entry::new(function.clone()) };
        self.memory_mut().set(entry);
        self.let_go(layers.into_iter().chain([package]));
        Ok(function)
    }

    /// Replaces a function's code; durable, with its last update Pending. Errors: [`UpdateError`].
    pub fn update_code(
        &self,
        of: UpdateOf<'_>,
        package: StoredPackage,
    ) -> Result<Updated, UpdateError> {
        let updated = self.update(of, |function| {
            function.code_digest = package.digest.clone();
            function.code_size = package.size;
            function.code_directory = package.directory.clone();
        });
        self.let_go([package]);
        updated
    }

    /// Changes a function's settings; durable, with its last update Pending. Errors: [`UpdateError`].
    pub fn update_settings(
        &self,
        of: UpdateOf<'_>,
        change: SettingsChange,
    ) -> Result<Updated, UpdateError> {
        let layers = change.layers.as_ref().map(|set| set.packages.clone()).unwrap_or_default();
        let updated = self.update(of, |function| change.apply(function));
        self.let_go(layers);
        updated
    }

    /// Finds out whether an update would be let in now; changes nothing. Errors: [`UpdateError`].
    pub fn check_update(&self, of: UpdateOf<'_>) -> Result<Arc<Function>, UpdateError> {
        let Some(function) = self.get(of.tenant, of.name) else {
            return Err(UpdateError::NoFunction { name: of.name.to_owned() });
        };
        if let Some(given) = of.revision_id.filter(|given| *given != function.revision_id) {
            let (given, latest) = (given.to_owned(), function.revision_id.clone());
            return Err(UpdateError::Revision { given, latest });
        }
        if function.is_pending() {
            return Err(UpdateError::Pending { name: of.name.to_owned(), function });
        }
        Ok(function)
    }

    /// Says how making this state of the function ready went. None where it is gone or was updated since.
    ///
    /// Not flushed by itself: after a crash it is Pending again, and deployed again. So it is no error either where it
    /// cannot be stored, as on a full disk.
    pub fn mark(&self, function: &Function, state: State) -> Option<Arc<Function>> {
        let _lock = self.lock(function.tenant, &function.name);
        let current = self.current(function)?;
        let mut marked = Function::clone(&current);
        marked.state = state.clone();
        marked.last_update = state;
        if let Err(error) = self.write_state(&marked, Durable::Later) {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, name = marked.name, "a function's state is not stored");
        }
        Some(self.show(marked))
    }

    /// Takes an update back that could not be made ready: the previous code and settings under a new epoch, Pending.
    /// None where it is gone or was updated since.
    pub fn revert(&self, updated: &Updated) -> Result<Option<Arc<Function>>, StoreError> {
        let _lock = self.lock(updated.current.tenant, &updated.current.name);
        let Some(current) = self.current(&updated.current) else { return Ok(None) };
        let mut function = Function::clone(&updated.previous);
        function.epoch = current.epoch + 1;
        function.last_update = State::Pending;
        self.write_state(&function, Durable::Now)?;
        Ok(Some(self.show(function)))
    }

    /// Says that the last update failed and was taken back: the function runs, its last update is Failed.
    pub fn mark_reverted(
        &self,
        function: &Function,
        reason: State,
    ) -> Result<Option<Arc<Function>>, StoreError> {
        let _lock = self.lock(function.tenant, &function.name);
        let Some(current) = self.current(function) else { return Ok(None) };
        let mut marked = Function::clone(&current);
        marked.last_update = reason;
        self.write_state(&marked, Durable::Now)?;
        Ok(Some(self.show(marked)))
    }

    /// Deletes a function with its versions and all that is attached to it; durable when this returns. Answers what is
    /// gone, the latest state first; None where there is none.
    pub fn delete(&self, tenant: TenantId, name: &str) -> Result<Option<Arc<Entry>>, StoreError> {
        let _lock = self.lock(tenant, name);
        let Some(entry) = self.entry(tenant, name) else { return Ok(None) };
        let mut batch = Batch::new();
        for state in entry.states() {
            batch.remove(FUNCTIONS, state_key(state));
        }
        batch.remove(NAMES, format!("{tenant}/{name}"));
        self.store.write(batch, Durable::Now)?;
        let mut memory = self.memory_mut();
        if let Some(named) = memory.index.get_mut(&tenant) {
            named.remove(name);
        }
        memory.retire(entry.states());
        Ok(Some(entry))
    }

    /// Changes what is attached to a function; durable when this returns.
    ///
    /// `change` sees the function as it is and may refuse; then nothing is changed. What it leaves as it was is not written.
    pub fn edit<T, E: From<EditError>>(
        &self,
        tenant: TenantId,
        name: &str,
        change: impl FnOnce(&Entry, &mut Attachments) -> Result<T, E>,
    ) -> Result<T, E> {
        let _lock = self.lock(tenant, name);
        let Some(entry) = self.entry(tenant, name) else {
            return Err(EditError::NoFunction { name: name.to_owned() }.into());
        };
        let mut attachments = Attachments::clone(&entry.attachments);
        let made = change(&entry, &mut attachments)?;
        if attachments != *entry.attachments {
            let mut batch = Batch::new();
            put_attachments(&mut batch, tenant, name, &attachments);
            let written = self.store.write(batch, Durable::Now);
            written.map_err(|error| E::from(EditError::Store(error)))?;
            // The states are marked under the same lock, so the entry is still the one that was read.
            let attachments = attachments.into();
            self.memory_mut().set(Entry { attachments, ..Entry::clone(&entry) });
        }
        Ok(made)
    }

    /// Removes packages that no function has, and of which no older state is held by anyone. Returns how many went.
    pub fn collect_packages(&self) -> io::Result<usize> {
        let _sweeping = self.sweeping.write().unwrap_or_else(PoisonError::into_inner);
        let (held, mut needed): (Vec<_>, BTreeSet<_>) = self.read(|memory| {
            let retired = memory.retired.iter().filter_map(Weak::upgrade);
            let held = memory.states().cloned().chain(retired).collect();
            (held, memory.layers.versions().map(|version| version.digest.clone()).collect())
        });
        for function in held {
            needed.extend(Shelf::merged_digest(&function.layers));
            needed.extend(function.layers.iter().map(|layer| layer.digest.clone()));
            needed.insert(function.code_digest.clone());
        }
        self.shelf.collect(&needed)
    }

    fn update(
        &self,
        of: UpdateOf<'_>,
        change: impl FnOnce(&mut Function),
    ) -> Result<Updated, UpdateError> {
        let _lock = self.lock(of.tenant, of.name);
        let previous = self.check_update(of)?;
        let mut function = Function::clone(&previous);
        change(&mut function);
        self.check_size(&function.code_digest, &function.layers)?;
        function.epoch += 1;
        function.revision_id = new_revision();
        function.last_modified_unix_ms = unix_ms();
        function.last_update = State::Pending;
        self.write_state(&function, Durable::Now)?;
        Ok(Updated { previous, current: self.show(function) })
    }

    /// The function in memory, if it is still the state that the caller means.
    fn current(&self, function: &Function) -> Option<Arc<Function>> {
        let entry = self.entry(function.tenant, &function.name)?;
        let current = entry.version(function.version)?;
        let is_same = current.id == function.id && current.epoch == function.epoch;
        is_same.then(|| current.clone())
    }

    fn write_state(&self, function: &Function, durable: Durable) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        put_state(&mut batch, function);
        self.store.write(batch, durable)
    }

    /// Lets everyone see a state that is stored. The one before is remembered for as long as someone holds it.
    fn show(&self, function: Function) -> Arc<Function> {
        let function = Arc::new(function);
        let mut memory = self.memory_mut();
        let Some(entry) = memory.entry(function.tenant, &function.name) else {
            return function;
        };
        let mut entry = Entry::clone(entry);
        let before = entry.version(function.version).cloned();
        entry.set(function.clone());
        memory.set(entry);
        memory.retire(before.iter());
        function
    }

    /// Lets packages go that a function or layer now names, at no moment at which they might be taken for ones that nobody
    /// needs.
    fn let_go(&self, packages: impl IntoIterator<Item = StoredPackage>) {
        let _sweeping = self.sweeping.read().unwrap_or_else(PoisonError::into_inner);
        packages.into_iter().for_each(drop);
    }

    fn new_id(&self) -> FunctionId {
        FunctionId(self.last_function.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn lock(&self, tenant: TenantId, name: &str) -> MutexGuard<'_, ()> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one((tenant, name));
        let at = usize::try_from(hash % NAME_LOCKS as u64).unwrap_or(0);
        self.name_locks[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, look: impl FnOnce(&Memory) -> T) -> T {
        look(&self.memory.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn memory_mut(&self) -> RwLockWriteGuard<'_, Memory> {
        self.memory.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn entry(&self, tenant: TenantId, name: &str) -> Option<&Arc<Entry>> {
        self.index.get(&tenant)?.get(name)
    }

    fn set(&mut self, entry: Entry) {
        let named = self.index.entry(entry.latest.tenant).or_default();
        named.insert(entry.latest.name.clone(), Arc::new(entry));
    }

    fn states(&self) -> impl Iterator<Item = &Arc<Function>> {
        self.index.values().flat_map(BTreeMap::values).flat_map(|entry| entry.states())
    }

    fn retire<'a>(&mut self, states: impl Iterator<Item = &'a Arc<Function>>) {
        self.retired.retain(|older| older.strong_count() > 0);
        self.retired.extend(states.map(Arc::downgrade));
    }
}

/// Reads everything that the store has.
fn load(store: &Store, shelf: &Shelf) -> Result<Memory, StoreError> {
    let mut memory = Memory { layers: layers::Layers::load(store)?, ..Memory::default() };
    let mut published = Vec::new();
    for (key, value) in store.scan(FUNCTIONS, Bound::Unbounded, usize::MAX)? {
        let mut function: Function = decode(&key, &value)?;
        function.code_directory = shelf.tree(&function.code_digest);
        function.layers_directory = shelf.layers_tree(&function.layers);
        let layers = function.layers_directory.iter();
        if !layers.chain([&function.code_directory]).all(|directory| directory.is_dir()) {
            function.state = State::Failed {
                code: "InvalidZipFileException".to_owned(),
                reason: "its code package is lost: update the function's code".to_owned(),
            };
        }
        match function.version {
            Version::Latest => memory.set(Entry::new(function.into())),
            Version::Number(_) => published.push(function),
        }
    }
    for function in published {
        let named = memory.index.get_mut(&function.tenant);
        match named.and_then(|named| named.get_mut(&function.name)) {
            Some(entry) => Arc::make_mut(entry).set(function.into()),
            None => tracing::error!(
                name = function.name,
                version = %function.version,
                "a version without its function is left out"
            ),
        }
    }
    for named in memory.index.values_mut() {
        for entry in named.values_mut() {
            let key = format!("{}/{}", entry.latest.tenant, entry.latest.name);
            if let Some(value) = store.get(NAMES, key.as_bytes())? {
                Arc::make_mut(entry).attachments = Arc::new(decode(key.as_bytes(), &value)?);
            }
        }
    }
    Ok(memory)
}

fn put_state(batch: &mut Batch, function: &Function) {
    batch.put(FUNCTIONS, state_key(function), encode(function));
}

fn put_attachments(batch: &mut Batch, tenant: TenantId, name: &str, attachments: &Attachments) {
    batch.put(NAMES, format!("{tenant}/{name}"), encode(attachments));
}

fn state_key(function: &Function) -> String {
    format!("{}/{}/{}", function.tenant, function.name, function.version)
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("strings, numbers and maps with string keys are JSON")
}

fn decode<T: DeserializeOwned>(key: &[u8], value: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(value).map_err(|source| StoreError::Entry {
        key: String::from_utf8_lossy(key).into_owned(),
        source: Arc::new(source),
    })
}

fn first_state(id: FunctionId, new: NewFunction, package: &StoredPackage) -> Function {
    Function {
        id,
        group: id,
        version: Version::Latest,
        epoch: 1,
        tenant: new.tenant,
        name: new.name,
        region: new.region,
        runtime: new.settings.runtime,
        handler: new.settings.handler,
        role: new.settings.role,
        description: new.settings.description,
        environment: new.settings.environment,
        memory: new.settings.memory,
        ephemeral_storage: new.settings.ephemeral_storage,
        timeout: new.settings.timeout,
        architecture: new.architecture,
        tracing: new.settings.tracing,
        logging: new.settings.logging,
        layers: new.settings.layers.layers,
        layers_directory: new.settings.layers.directory,
        code_digest: package.digest.clone(),
        code_size: package.size,
        code_directory: package.directory.clone(),
        revision_id: new_revision(),
        last_modified_unix_ms: unix_ms(),
        state: State::Pending,
        last_update: State::Pending,
    }
}

fn new_revision() -> String {
    uuid::Uuid::new_v4().to_string()
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
