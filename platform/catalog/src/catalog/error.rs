//! Why the catalog refuses.

use crate::function::Function;
use crate::package::PackageError;
use crate::store::{OpenStoreError, StoreError};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

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
    /// The store is damaged, or of a version that is not known here.
    #[error(transparent)]
    Open(OpenStoreError),
    /// Its entries cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why what is attached to a function was not changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The tenant has none of this name.
    #[error("function {name} does not exist")]
    NoFunction {
        /// Its name.
        name: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a version of a layer was not changed.
#[derive(Debug, thiserror::Error)]
pub enum EditLayerError {
    /// There is no such version.
    #[error("layer {name} has no version {number}")]
    NoVersion {
        /// Name of the layer.
        name: String,
        /// Number of the version.
        number: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a function may not have its code together with its layers.
#[derive(Debug, thiserror::Error)]
pub enum SizeError {
    /// Code and layers are too large together.
    #[error("code and layers are {bytes} bytes unpacked, limit is {limit} bytes")]
    TooLarge {
        /// Bytes of all files.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The package cannot be measured.
    #[error(transparent)]
    Package(#[from] PackageError),
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
    /// Its code and layers are too large together, or cannot be measured.
    #[error(transparent)]
    Size(#[from] SizeError),
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
    /// Its code and layers are too large together, or cannot be measured.
    #[error(transparent)]
    Size(#[from] SizeError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
