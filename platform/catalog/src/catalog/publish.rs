//! Published versions: states of a function that nothing changes any more.

use super::{
    COUNTERS, Catalog, FUNCTIONS, LAST_FUNCTION, Memory, new_revision, put_attachments, put_state,
    state_key,
};
use crate::attachments::Attachments;
use crate::entry::Entry;
use crate::function::{Function, State, Version};
use crate::store::{Batch, Durable, StoreError};
use model::TenantId;
use std::sync::Arc;

/// What to publish.
#[derive(Clone, Copy, Debug)]
pub struct PublishOf<'a> {
    /// Owner.
    pub tenant: TenantId,
    /// Name of the function.
    pub name: &'a str,
    /// The revision that must be the latest; None for any.
    pub revision_id: Option<&'a str>,
    /// SHA-256 of the code that must be the latest, lower-case hexadecimal; None for any.
    pub code_digest: Option<&'a str>,
    /// Description of the version; None for the function's own.
    pub description: Option<&'a str>,
}

/// A version that is there.
#[derive(Clone, Debug)]
pub enum Published {
    /// It is new, and Pending.
    New(Arc<Function>),
    /// Code and settings have not changed since it was published.
    Unchanged(Arc<Function>),
}

/// Why nothing was published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
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
    /// The caller's code is not the latest.
    #[error("code {given} is not the latest, which is {latest}")]
    Code {
        /// The caller's.
        given: String,
        /// The latest.
        latest: String,
    },
    /// An update is still being made ready.
    #[error("function {name} is being updated")]
    Pending {
        /// Its name.
        name: String,
        /// Its latest state.
        function: Arc<Function>,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a version was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteVersionError {
    /// There is none.
    #[error("function {name} has no version {number}")]
    NoVersion {
        /// Name of the function.
        name: String,
        /// Number of the version.
        number: u64,
    },
    /// Aliases mean it.
    #[error("aliases mean version {number}: {}", aliases.join(", "))]
    InUse {
        /// Number of the version.
        number: u64,
        /// Names of the aliases.
        aliases: Vec<String>,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Catalog {
    /// Publishes the function's latest state as a version, Pending; durable when this returns. Where code and settings
    /// are those of the version that was published last, that one is the answer. Errors: [`PublishError`].
    ///
    /// A function that is being created may be published, one that is being updated may not: the update may fail and be
    /// taken back.
    pub fn publish(&self, of: PublishOf<'_>) -> Result<Published, PublishError> {
        let _lock = self.lock(of.tenant, of.name);
        let Some(entry) = self.entry(of.tenant, of.name) else {
            return Err(PublishError::NoFunction { name: of.name.to_owned() });
        };
        let latest = &entry.latest;
        check(latest, of)?;
        let attachments = &entry.attachments;
        let last = entry.versions.get(&attachments.last_version);
        if let Some(last) = last.filter(|last| is_unchanged(last, latest, attachments)) {
            return Ok(Published::Unchanged(last.clone()));
        }
        let number = attachments.last_version + 1;
        let description = of.description.unwrap_or(&latest.description).to_owned();
        let version = Arc::new(Function {
            id: self.new_id(),
            version: Version::Number(number),
            epoch: 1,
            description,
            revision_id: new_revision(),
            state: State::Pending,
            last_update: State::Pending,
            ..Function::clone(latest)
        });
        let attachments = Attachments {
            last_version: number,
            published_description: latest.description.clone(),
            ..Attachments::clone(attachments)
        };
        let mut batch = Batch::new();
        put_state(&mut batch, &version);
        put_attachments(&mut batch, of.tenant, of.name, &attachments);
        batch.raise(COUNTERS, LAST_FUNCTION, version.id.0);
        self.store.write(batch, Durable::Now)?;
        let mut entry = Entry { attachments: attachments.into(), ..Entry::clone(&entry) };
        entry.set(version.clone());
        self.memory_mut().set(entry);
        Ok(Published::New(version))
    }

    /// Deletes a published version; durable when this returns. Errors: [`DeleteVersionError`].
    pub fn delete_version(
        &self,
        tenant: TenantId,
        name: &str,
        number: u64,
    ) -> Result<Arc<Function>, DeleteVersionError> {
        let _lock = self.lock(tenant, name);
        let none = || DeleteVersionError::NoVersion { name: name.to_owned(), number };
        let entry = self.entry(tenant, name).ok_or_else(none)?;
        let version = entry.versions.get(&number).ok_or_else(none)?.clone();
        let aliases = entry.attachments.aliases_of(number);
        if !aliases.is_empty() {
            return Err(DeleteVersionError::InUse { number, aliases });
        }
        let mut attachments = Attachments::clone(&entry.attachments);
        attachments.forget(&number.to_string());
        let mut batch = Batch::new();
        batch.remove(FUNCTIONS, state_key(&version));
        if attachments != *entry.attachments {
            put_attachments(&mut batch, tenant, name, &attachments);
        }
        self.store.write(batch, Durable::Now)?;
        let mut entry = Entry { attachments: attachments.into(), ..Entry::clone(&entry) };
        entry.versions.remove(&number);
        let memory: &mut Memory = &mut self.memory_mut();
        memory.set(entry);
        memory.retire(std::iter::once(&version));
        Ok(version)
    }
}

fn check(latest: &Arc<Function>, of: PublishOf<'_>) -> Result<(), PublishError> {
    if let Some(given) = of.revision_id.filter(|given| *given != latest.revision_id) {
        let (given, latest) = (given.to_owned(), latest.revision_id.clone());
        return Err(PublishError::Revision { given, latest });
    }
    if let Some(given) = of.code_digest.filter(|given| *given != latest.code_digest) {
        let (given, latest) = (given.to_owned(), latest.code_digest.clone());
        return Err(PublishError::Code { given, latest });
    }
    if latest.state != State::Pending && latest.is_pending() {
        let (name, function) = (of.name.to_owned(), latest.clone());
        return Err(PublishError::Pending { name, function });
    }
    Ok(())
}

/// Whether `last` has the code and the settings of `latest`. What a version has of its own does not count.
fn is_unchanged(last: &Function, latest: &Function, attachments: &Attachments) -> bool {
    let latest_as_last = Function {
        id: last.id,
        version: last.version,
        epoch: last.epoch,
        description: last.description.clone(),
        revision_id: last.revision_id.clone(),
        last_modified_unix_ms: last.last_modified_unix_ms,
        state: last.state.clone(),
        last_update: last.last_update.clone(),
        ..latest.clone()
    };
    latest_as_last == *last && attachments.published_description == latest.description
}
