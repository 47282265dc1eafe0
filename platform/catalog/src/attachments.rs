//! What a function has beside its code and settings, whatever its version: numbers, aliases, tags.
//!
//! One document for each function, written whole with each change. Deliberately knows nothing of who may change it.

use crate::event_invoke::EventInvoke;
use crate::function::Version;
use crate::url::UrlConfig;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What belongs to the name of a function.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Attachments {
    /// The last number given to a published version; never given out again.
    pub last_version: u64,
    /// Description of `$LATEST` when it was last published, which that version's own may differ from.
    pub published_description: String,
    /// Aliases by name.
    pub aliases: BTreeMap<String, Alias>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// URLs by alias, that of the function itself under `$LATEST`.
    pub urls: BTreeMap<String, UrlConfig>,
    /// How asynchronous events are treated, by qualifier; `$LATEST` where none is named.
    pub event_invokes: BTreeMap<String, EventInvoke>,
}

/// A name for a version, which can be moved to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alias {
    /// The version that it means.
    pub version: Version,
    /// Free text.
    pub description: String,
    /// Further versions, each with its share of the invocations, 0.0 to 1.0; the rest goes to `version`.
    #[serde(default)]
    pub weights: BTreeMap<u64, f64>,
    /// Changes with each update (UUID), for optimistic updates.
    pub revision_id: String,
}

impl Alias {
    /// The version that one invocation runs, by a random number from 0.0 up to, but not including, 1.0.
    pub fn pick(&self, random: f64) -> Version {
        let mut below = 0.0;
        for (version, weight) in &self.weights {
            below += weight;
            if random < below {
                return Version::Number(*version);
            }
        }
        self.version
    }
}

impl Attachments {
    /// Names of the aliases that send invocations to this version.
    pub fn aliases_of(&self, number: u64) -> Vec<String> {
        let means = |alias: &Alias| {
            alias.version == Version::Number(number) || alias.weights.contains_key(&number)
        };
        let found = self.aliases.iter().filter(|(_, alias)| means(alias));
        found.map(|(name, _)| name.clone()).collect()
    }

    /// Removes what is attached to a version or an alias that is to go.
    pub fn forget(&mut self, qualifier: &str) {
        self.aliases.remove(qualifier);
        self.urls.remove(qualifier);
        self.event_invokes.remove(qualifier);
    }
}
