//! What a function has beside its code and settings, whatever its version: numbers, aliases, tags.
//!
//! One document for each function, written whole with each change. Deliberately knows nothing of who may change it.

use crate::event_invoke::EventInvoke;
use crate::function::Version;
use crate::policy::Policy;
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
    /// How asynchronous events are treated, by qualifier; `$LATEST` where none is named.
    pub event_invokes: BTreeMap<String, EventInvoke>,
    /// Who else may do what, by qualifier; that of the function itself has none, which is the empty text.
    pub policies: BTreeMap<String, Policy>,
    /// Invocations at once that are set aside for the function, and that it is held to.
    pub reserved_concurrency: Option<u32>,
    /// Instances that are kept ready, by version or alias.
    pub provisioned: BTreeMap<String, Provisioned>,
}

/// Instances of one version that are kept ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provisioned {
    /// How many.
    pub count: u32,
    /// When that was last said; milliseconds since 1970.
    pub last_modified_unix_ms: u64,
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

    /// How many instances of each version are to be kept ready: what is asked for the version itself, and for the aliases
    /// that mean it. What is asked for an alias with weights is divided by them, the further versions rounded up.
    pub fn provisioned_versions(&self) -> BTreeMap<u64, u32> {
        let mut counts = BTreeMap::new();
        let mut add = |version: u64, count: u32| {
            let sum: &mut u32 = counts.entry(version).or_default();
            *sum = sum.saturating_add(count);
        };
        for (qualifier, provisioned) in &self.provisioned {
            for (version, count) in self.provisioned_shares(qualifier, provisioned.count) {
                add(version, count);
            }
        }
        counts
    }

    /// The versions on which so many instances of a qualifier are.
    pub fn provisioned_shares(&self, qualifier: &str, count: u32) -> Vec<(u64, u32)> {
        let (version, weights) = match (qualifier.parse(), self.aliases.get(qualifier)) {
            (Ok(version), _) => (version, None),
            (Err(_), Some(alias)) => (alias.version, Some(&alias.weights)),
            (Err(_), None) => return Vec::new(),
        };
        let (mut shares, mut rest) = (Vec::new(), count);
        for (further, weight) in weights.into_iter().flatten() {
            // A share of a u32 by a weight of at most 1.0 is a u32.
            let share = ((f64::from(count) * weight).ceil() as u32).min(rest);
            rest -= share;
            shares.push((*further, share));
        }
        if let Version::Number(number) = version {
            shares.push((number, rest));
        }
        shares
    }

    /// Removes what is attached to a version or an alias that is to go.
    pub fn forget(&mut self, qualifier: &str) {
        self.aliases.remove(qualifier);
        self.policies.remove(qualifier);
        self.provisioned.remove(qualifier);
        self.event_invokes.remove(qualifier);
    }
}
