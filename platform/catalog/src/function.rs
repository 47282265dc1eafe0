//! A function as the catalog keeps it.

use crate::layer::{LayerSet, UsedLayer};
use crate::logging::Logging;
use model::{FunctionId, MemoryMib, Span, TenantId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// One state of one function's code and settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// Its own number, of which every version has one; a function created again under the same name has new ones.
    pub id: FunctionId,
    /// Number of the function's `$LATEST`, which all of its versions have in common.
    pub group: FunctionId,
    /// Which version this is.
    pub version: Version,
    /// Grows with each update; the scheduler's epoch.
    pub epoch: u64,
    /// Owner.
    pub tenant: TenantId,
    /// Name, unique for the tenant.
    pub name: String,
    /// Region in its ARN.
    pub region: String,
    /// Runtime, as in `provided.al2023`.
    pub runtime: String,
    /// Handler.
    pub handler: String,
    /// ARN of the execution role.
    pub role: String,
    /// Free text.
    pub description: String,
    /// The user's environment variables.
    pub environment: BTreeMap<String, String>,
    /// Memory of an instance.
    pub memory: MemoryMib,
    /// Size of /tmp.
    pub ephemeral_storage: MemoryMib,
    /// Limit of one invocation.
    pub timeout: Span,
    /// Instruction set, as in `x86_64`.
    pub architecture: String,
    /// Whether the function asked for traces.
    pub tracing: Tracing,
    /// SHA-256 of the zip, lower-case hexadecimal.
    pub code_digest: String,
    /// Bytes of the zip.
    pub code_size: u64,
    /// Unpacked package, content-addressed, read-only.
    pub code_directory: PathBuf,
    /// How its log is written.
    #[serde(default)]
    pub logging: Logging,
    /// Its layers, in the order in which each lies over the one before.
    #[serde(default)]
    pub layers: Vec<UsedLayer>,
    /// The files of all layers, merged, read-only; None where there are no layers.
    #[serde(skip)]
    pub layers_directory: Option<PathBuf>,
    /// Changes with each update (UUID), for optimistic updates.
    pub revision_id: String,
    /// Milliseconds since 1970.
    pub last_modified_unix_ms: u64,
    /// Whether it can be invoked.
    pub state: State,
    /// How its last update went.
    pub last_update: State,
}

impl Function {
    /// The group of its log.
    pub fn log_group(&self) -> String {
        let own = || format!("/aws/lambda/{}", self.name);
        self.logging.group.clone().unwrap_or_else(own)
    }

    /// Its ARN, without a qualifier.
    pub fn arn(&self) -> String {
        format!("arn:aws:lambda:{}:{}:function:{}", self.region, self.tenant, self.name)
    }

    /// Its ARN with its version.
    pub fn qualified_arn(&self) -> String {
        format!("{}:{}", self.arn(), self.version)
    }

    /// True while it, or its last update, is being made ready.
    pub fn is_pending(&self) -> bool {
        self.state == State::Pending || self.last_update == State::Pending
    }
}

/// A version of a function: the state that updates change, or a published one that nothing changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Version {
    /// `$LATEST`.
    #[default]
    Latest,
    /// Published; 1 or more.
    Number(u64),
}

/// A text that names no version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is neither $LATEST nor the number of a version")]
pub struct VersionError {
    /// The text.
    pub text: String,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str(Self::LATEST),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

impl Version {
    /// The name of the state that updates change.
    pub const LATEST: &'static str = "$LATEST";
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        if text == Self::LATEST {
            return Ok(Self::Latest);
        }
        // Each version has one name: no sign, no leading zero.
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
        match text.parse() {
            Ok(number) if is_plain => Ok(Self::Number(number)),
            _ => Err(VersionError { text: text.to_owned() }),
        }
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

impl TryFrom<String> for Version {
    type Error = VersionError;

    fn try_from(text: String) -> Result<Self, VersionError> {
        text.parse()
    }
}

/// State of a function, or of its last update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Being made ready.
    Pending,
    /// Ready.
    Active,
    /// Could not be made ready.
    Failed {
        /// StateReasonCode, as in `InvalidRuntime`.
        code: String,
        /// In words.
        reason: String,
    },
}

/// Lambda's TracingConfig.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tracing {
    /// Only where the caller's trace header says so.
    #[default]
    PassThrough,
    /// Asked for.
    Active,
}

/// Code and settings of a function that is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFunction {
    /// Owner.
    pub tenant: TenantId,
    /// Name.
    pub name: String,
    /// Region in its ARN.
    pub region: String,
    /// Instruction set, as in `x86_64`.
    pub architecture: String,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// Settings that an update can change.
    pub settings: Settings,
}

/// The settings that UpdateFunctionConfiguration can change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Runtime, as in `provided.al2023`.
    pub runtime: String,
    /// Handler.
    pub handler: String,
    /// ARN of the execution role.
    pub role: String,
    /// Free text.
    pub description: String,
    /// The user's environment variables.
    pub environment: BTreeMap<String, String>,
    /// Memory of an instance.
    pub memory: MemoryMib,
    /// Size of /tmp.
    pub ephemeral_storage: MemoryMib,
    /// Limit of one invocation.
    pub timeout: Span,
    /// Whether the function asked for traces.
    pub tracing: Tracing,
    /// How its log is written.
    pub logging: Logging,
    /// Its layers.
    pub layers: LayerSet,
}

/// Changes of settings; None leaves a setting as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsChange {
    /// Runtime.
    pub runtime: Option<String>,
    /// Handler.
    pub handler: Option<String>,
    /// ARN of the execution role.
    pub role: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// All of the user's environment variables.
    pub environment: Option<BTreeMap<String, String>>,
    /// Memory of an instance.
    pub memory: Option<MemoryMib>,
    /// Size of /tmp.
    pub ephemeral_storage: Option<MemoryMib>,
    /// Limit of one invocation.
    pub timeout: Option<Span>,
    /// Whether the function asked for traces.
    pub tracing: Option<Tracing>,
    /// How its log is written, all of it.
    pub logging: Option<Logging>,
    /// All of its layers.
    pub layers: Option<LayerSet>,
}

impl SettingsChange {
    /// Puts the changes into `function`.
    pub(crate) fn apply(self, function: &mut Function) {
        fn set<T>(at: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *at = value;
            }
        }
        set(&mut function.runtime, self.runtime);
        set(&mut function.handler, self.handler);
        set(&mut function.role, self.role);
        set(&mut function.description, self.description);
        set(&mut function.environment, self.environment);
        set(&mut function.memory, self.memory);
        set(&mut function.ephemeral_storage, self.ephemeral_storage);
        set(&mut function.timeout, self.timeout);
        set(&mut function.tracing, self.tracing);
        set(&mut function.logging, self.logging);
        if let Some(set) = self.layers {
            (function.layers, function.layers_directory) = (set.layers, set.directory);
        }
    }
}
