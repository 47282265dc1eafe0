//! One function as it is now: its latest state, its published versions, and what is attached to its name.

use crate::attachments::{Alias, Attachments};
use crate::function::{Function, Version};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A function with all that belongs to it, at one moment.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The state that updates change.
    pub latest: Arc<Function>,
    /// Published versions by number.
    pub versions: BTreeMap<u64, Arc<Function>>,
    /// What its versions share.
    pub attachments: Arc<Attachments>,
}

/// What a qualifier stands for.
#[derive(Clone, Debug)]
pub enum Target<'a> {
    /// A version, as no qualifier stands for `$LATEST`.
    Version(Arc<Function>),
    /// An alias.
    Alias(&'a Alias),
}

impl Entry {
    /// A function of which nothing was published.
    pub(crate) fn new(latest: Arc<Function>) -> Self {
        Self { latest, versions: BTreeMap::new(), attachments: Arc::default() }
    }

    /// The state of this version.
    pub fn version(&self, version: Version) -> Option<&Arc<Function>> {
        match version {
            Version::Latest => Some(&self.latest),
            Version::Number(number) => self.versions.get(&number),
        }
    }

    /// What the qualifier stands for; None where nothing has this name.
    pub fn target(&self, qualifier: Option<&str>) -> Option<Target<'_>> {
        let Some(qualifier) = qualifier else { return Some(Target::Version(self.latest.clone())) };
        match qualifier.parse() {
            Ok(version) => self.version(version).cloned().map(Target::Version),
            Err(_) => self.attachments.aliases.get(qualifier).map(Target::Alias),
        }
    }

    /// The state that the qualifier stands for without regard to weights, as for reading.
    pub fn resolve(&self, qualifier: Option<&str>) -> Option<Arc<Function>> {
        match self.target(qualifier)? {
            Target::Version(function) => Some(function),
            Target::Alias(alias) => self.version(alias.version).cloned(),
        }
    }

    /// The state that one invocation of the qualifier runs. `random` is asked once, and only for an alias with weights:
    /// a number from 0.0 up to, but not including, 1.0.
    pub fn pick(
        &self,
        qualifier: Option<&str>,
        random: impl FnOnce() -> f64,
    ) -> Option<Arc<Function>> {
        match self.target(qualifier)? {
            Target::Version(function) => Some(function),
            Target::Alias(alias) if alias.weights.is_empty() => {
                self.version(alias.version).cloned()
            }
            Target::Alias(alias) => self.version(alias.pick(random())).cloned(),
        }
    }

    /// Every state: the latest, then the published ones by number.
    pub fn states(&self) -> impl Iterator<Item = &Arc<Function>> {
        std::iter::once(&self.latest).chain(self.versions.values())
    }

    /// Puts a state in the place of the one of its version.
    pub(crate) fn set(&mut self, function: Arc<Function>) {
        match function.version {
            Version::Latest => self.latest = function,
            Version::Number(number) => {
                self.versions.insert(number, function);
            }
        }
    }
}
