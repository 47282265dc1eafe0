//! Layers: files that several functions share, published in versions that nothing changes.
//!
//! Deliberately knows nothing of functions, nor of where layers are kept.

use crate::policy::Policy;
use crate::shelf::StoredPackage;
use model::TenantId;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One version of a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerVersion {
    /// Owner.
    pub tenant: TenantId,
    /// Name of the layer, unique for the tenant.
    pub name: String,
    /// Number of the version, 1 or more; never given out again.
    pub number: u64,
    /// Region in its ARN.
    pub region: String,
    /// Free text.
    pub description: String,
    /// License, by its SPDX identifier, its address or its text.
    pub license: Option<String>,
    /// Runtimes that it is meant for, as in `python3.11`; a hint for people, as at AWS.
    pub runtimes: Vec<String>,
    /// Instruction sets that it is meant for.
    pub architectures: Vec<String>,
    /// SHA-256 of the zip, lower-case hexadecimal.
    pub digest: String,
    /// Bytes of the zip.
    pub size: u64,
    /// Bytes of its files.
    pub unpacked_bytes: u64,
    /// When it was published: milliseconds since 1970.
    pub created_unix_ms: u64,
    /// Who else may use it.
    #[serde(default)]
    pub policy: Policy,
}

impl LayerVersion {
    /// ARN of the layer, without the version.
    pub fn layer_arn(&self) -> String {
        format!("arn:aws:lambda:{}:{}:layer:{}", self.region, self.tenant, self.name)
    }

    /// Its ARN.
    pub fn arn(&self) -> String {
        format!("{}:{}", self.layer_arn(), self.number)
    }
}

/// What a new version of a layer says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLayerVersion {
    /// Owner.
    pub tenant: TenantId,
    /// Name of the layer.
    pub name: String,
    /// Region in its ARN.
    pub region: String,
    /// Free text.
    pub description: String,
    /// License.
    pub license: Option<String>,
    /// Runtimes that it is meant for.
    pub runtimes: Vec<String>,
    /// Instruction sets that it is meant for.
    pub architectures: Vec<String>,
}

/// A version of a layer as a function uses it: enough to go on when that version is deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedLayer {
    /// ARN of the version.
    pub arn: String,
    /// SHA-256 of the zip, lower-case hexadecimal.
    pub digest: String,
    /// Bytes of the zip.
    pub size: u64,
    /// Bytes of its files.
    pub unpacked_bytes: u64,
}

/// The layers of a function that is to be, in their order. Their files stay on disk while this value lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayerSet {
    pub(crate) layers: Vec<UsedLayer>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) packages: Vec<StoredPackage>,
}

impl LayerSet {
    /// The layers.
    pub fn layers(&self) -> &[UsedLayer] {
        &self.layers
    }

    /// Bytes of all files of all layers.
    pub(crate) fn unpacked_bytes(layers: &[UsedLayer]) -> u64 {
        layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.unpacked_bytes))
    }
}
