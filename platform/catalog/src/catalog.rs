//! The catalog: functions in memory for reading, in an embedded store for keeping, their packages beside it.
//!
//! Reads never touch the disk. Writes block on it: call them where blocking is allowed.

use crate::function::{Function, NewFunction, SettingsChange, State};
use crate::package::{PackageError, PackageLimits};
use crate::shelf::{Shelf, StoredPackage};
use crate::table::{Durable, FunctionTable, StoreError};
use model::{FunctionId, TenantId};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

/// All functions of all tenants, durable.
#[derive(Debug)]
pub struct Catalog {
    table: FunctionTable,
    shelf: Shelf,
    index: RwLock<Index>,
    /// Held by each writer. Older states of functions, which an invocation may still run.
    retired: Mutex<Vec<Weak<Function>>>,
}

type Index = BTreeMap<TenantId, BTreeMap<String, Arc<Function>>>;

/// Why a catalog cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be made or read.
    #[error("cannot use the data directory {path}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process has it open.
    #[error(
        "the data directory {path} is in use by another server: stop that one or name another directory"
    )]
    InUse {
        /// Which.
        path: PathBuf,
    },
    /// The store is damaged, or of another version.
    #[error("cannot open the catalog's store {path}")]
    Database {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<redb::Error>,
    },
    /// Its entries cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a function was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The tenant has one of this name.
    #[error("function {name} exists already")]
    Exists {
        /// Its name.
        name: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a function was not updated.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// The tenant has none of this name.
    #[error("function {name} does not exist")]
    NoFunction {
        /// Its name.
        name: String,
    },
    /// The caller's revision is not the latest.
    #[error("revision {given} is not the latest, which is {latest}")]
    Revision {
        /// The caller's.
        given: String,
        /// The latest.
        latest: String,
    },
    /// It is still being made ready.
    #[error("function {name} is being created or updated")]
    Pending {
        /// The function as it is.
        name: String,
        /// Its state.
        function: Arc<Function>,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
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
    pub functions: Vec<Arc<Function>>,
    /// Name of the last one, where there are more.
    pub next_after: Option<String>,
}

/// What a tenant has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Functions.
    pub functions: u64,
    /// Bytes of their zips.
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
        let path = data.join("catalog.redb");
        let table = FunctionTable::open(&path).map_err(|error| match error {
            redb::DatabaseError::DatabaseAlreadyOpen => OpenError::InUse { path: data.clone() },
            error => OpenError::Database { path: path.clone(), source: Box::new(error.into()) },
        })?;
        let shelf = Shelf::open(&data, limits).map_err(failed)?;
        let mut index = Index::new();
        for mut function in table.load()? {
            function.code_directory = shelf.tree(&function.code_digest);
            if !function.code_directory.is_dir() {
                function.state = State::Failed {
                    code: "InvalidZipFileException".to_owned(),
                    reason: "its code package is lost: update the function's code".to_owned(),
                };
            }
            let named = index.entry(function.tenant).or_default();
            named.insert(function.name.clone(), Arc::new(function));
        }
        let (index, retired) = (RwLock::new(index), Mutex::new(Vec::new()));
        let catalog = Self { table, shelf, index, retired };
        catalog.collect_packages().map_err(failed)?;
        Ok(catalog)
    }

    /// The function as it is now. Never waits for the disk.
    pub fn get(&self, tenant: TenantId, name: &str) -> Option<Arc<Function>> {
        self.read(|index| index.get(&tenant)?.get(name).cloned())
    }

    /// Up to `limit` of the tenant's functions by name, beginning after the name `after`.
    pub fn list(&self, tenant: TenantId, after: Option<&str>, limit: usize) -> Page {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.read(|index| {
            let Some(named) = index.get(&tenant) else { return Page::default() };
            let mut rest = named.range::<str, _>((start, Bound::Unbounded));
            let functions: Vec<_> = rest.by_ref().take(limit).map(|(_, f)| f.clone()).collect();
            let more = rest.next().is_some();
            let next_after = functions.last().filter(|_| more).map(|last| last.name.clone());
            Page { functions, next_after }
        })
    }

    /// Every function of every tenant, as for a restart.
    pub fn all(&self) -> Vec<Arc<Function>> {
        self.read(|index| index.values().flat_map(|named| named.values().cloned()).collect())
    }

    /// What the tenant has.
    pub fn holdings(&self, tenant: TenantId) -> Holdings {
        self.read(|index| {
            index.get(&tenant).into_iter().flatten().fold(Holdings::default(), |sum, (_, f)| {
                Holdings {
                    functions: sum.functions + 1,
                    code_bytes: sum.code_bytes.saturating_add(f.code_size),
                }
            })
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
        let mut retired = self.writer();
        if self.get(new.tenant, &new.name).is_some() {
            return Err(CreateError::Exists { name: new.name });
        }
        let function = self.table.insert_new(|id| first_state(id, new, &package))?;
        Ok(self.publish(&mut retired, function))
    }

    /// Replaces a function's code; durable, with its last update Pending. Errors: [`UpdateError`].
    pub fn update_code(
        &self,
        of: UpdateOf<'_>,
        package: StoredPackage,
    ) -> Result<Updated, UpdateError> {
        self.update(of, |function| {
            function.code_digest = package.digest.clone();
            function.code_size = package.size;
            function.code_directory = package.directory.clone();
        })
    }

    /// Changes a function's settings; durable, with its last update Pending. Errors: [`UpdateError`].
    pub fn update_settings(
        &self,
        of: UpdateOf<'_>,
        change: SettingsChange,
    ) -> Result<Updated, UpdateError> {
        self.update(of, |function| change.apply(function))
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
        let mut retired = self.writer();
        let current = self.current(function)?;
        let mut marked = Function::clone(&current);
        marked.state = state.clone();
        marked.last_update = state;
        if let Err(error) = self.table.replace(&marked, Durable::Later) {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, name = marked.name, "a function's state is not stored");
        }
        Some(self.publish(&mut retired, marked))
    }

    /// Takes an update back that could not be made ready: the previous code and settings under a new epoch, Pending.
    /// None where it is gone or was updated since.
    pub fn revert(&self, updated: &Updated) -> Result<Option<Arc<Function>>, StoreError> {
        let mut retired = self.writer();
        let Some(current) = self.current(&updated.current) else { return Ok(None) };
        let mut function = Function::clone(&updated.previous);
        function.epoch = current.epoch + 1;
        function.last_update = State::Pending;
        self.table.replace(&function, Durable::Now)?;
        Ok(Some(self.publish(&mut retired, function)))
    }

    /// Says that the last update failed and was taken back: the function runs, its last update is Failed.
    pub fn mark_reverted(
        &self,
        function: &Function,
        reason: State,
    ) -> Result<Option<Arc<Function>>, StoreError> {
        let mut retired = self.writer();
        let Some(current) = self.current(function) else { return Ok(None) };
        let mut marked = Function::clone(&current);
        marked.last_update = reason;
        self.table.replace(&marked, Durable::Now)?;
        Ok(Some(self.publish(&mut retired, marked)))
    }

    /// Deletes a function; durable when this returns. None where there is none.
    pub fn delete(
        &self,
        tenant: TenantId,
        name: &str,
    ) -> Result<Option<Arc<Function>>, StoreError> {
        let mut retired = self.writer();
        if self.get(tenant, name).is_none() {
            return Ok(None);
        }
        self.table.remove(tenant, name)?;
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let gone = index.get_mut(&tenant).and_then(|named| named.remove(name));
        retired.extend(gone.as_ref().map(Arc::downgrade));
        Ok(gone)
    }

    /// Removes packages that no function has, and of which no older state is held by anyone. Returns how many went.
    pub fn collect_packages(&self) -> io::Result<usize> {
        let mut retired = self.writer();
        retired.retain(|older| older.strong_count() > 0);
        let held: Vec<_> =
            self.all().into_iter().chain(retired.iter().filter_map(Weak::upgrade)).collect();
        let needed: BTreeSet<_> = held.iter().map(|f| f.code_digest.as_str()).collect();
        self.shelf.collect(&needed)
    }

    fn update(
        &self,
        of: UpdateOf<'_>,
        change: impl FnOnce(&mut Function),
    ) -> Result<Updated, UpdateError> {
        let mut retired = self.writer();
        let previous = self.check_update(of)?;
        let mut function = Function::clone(&previous);
        change(&mut function);
        function.epoch += 1;
        function.revision_id = uuid::Uuid::new_v4().to_string();
        function.last_modified_unix_ms = unix_ms();
        function.last_update = State::Pending;
        self.table.replace(&function, Durable::Now)?;
        Ok(Updated { previous, current: self.publish(&mut retired, function) })
    }

    /// The function in the index, if it is still the state that the caller means.
    fn current(&self, function: &Function) -> Option<Arc<Function>> {
        let current = self.get(function.tenant, &function.name)?;
        (current.id == function.id && current.epoch == function.epoch).then_some(current)
    }

    /// Puts a state into the index; the one before is remembered for as long as someone holds it.
    fn publish(&self, retired: &mut Vec<Weak<Function>>, function: Function) -> Arc<Function> {
        let function = Arc::new(function);
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let named = index.entry(function.tenant).or_default();
        let before = named.insert(function.name.clone(), function.clone());
        retired.retain(|older| older.strong_count() > 0);
        retired.extend(before.as_ref().map(Arc::downgrade));
        function
    }

    fn read<T>(&self, look: impl FnOnce(&Index) -> T) -> T {
        look(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn writer(&self) -> MutexGuard<'_, Vec<Weak<Function>>> {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn first_state(id: FunctionId, new: NewFunction, package: &StoredPackage) -> Function {
    Function {
        id,
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
        tags: new.tags,
        code_digest: package.digest.clone(),
        code_size: package.size,
        code_directory: package.directory.clone(),
        revision_id: uuid::Uuid::new_v4().to_string(),
        last_modified_unix_ms: unix_ms(),
        state: State::Pending,
        last_update: State::Pending,
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
