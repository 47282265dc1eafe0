//! A function as the catalog keeps it.

use model::{FunctionId, MemoryMib, Span, TenantId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One state of one function's code and settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// Its own number; a function created again under the same name has a new one.
    pub id: FunctionId,
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
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// SHA-256 of the zip, lower-case hexadecimal.
    pub code_digest: String,
    /// Bytes of the zip.
    pub code_size: u64,
    /// Unpacked package, content-addressed, read-only.
    pub code_directory: PathBuf,
    /// Changes with each update (UUID), for optimistic updates.
    pub revision_id: String,
    /// Milliseconds since 1970.
    pub last_modified_unix_ms: u64,
    /// Whether it can be invoked.
    pub state: State,
    /// How its last update went.
    pub last_update: State,
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
