//! The URL of a function or of one of its aliases, as it was configured.
//!
//! Deliberately knows nothing of how a URL is reached.

use serde::{Deserialize, Serialize};

/// What a function URL is set to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UrlConfig {
    /// Who may use it.
    pub auth: UrlAuth,
    /// How answers go.
    pub mode: InvokeMode,
    /// What browsers are told; None where the function does so itself.
    pub cors: Option<Cors>,
    /// When it was created: RFC 3339, in milliseconds.
    pub created: String,
    /// When it was last changed.
    pub modified: String,
}

/// Who may use a function URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UrlAuth {
    /// Everyone.
    #[serde(rename = "NONE")]
    None,
    /// Who signs as the function's account, for the service `lambda`.
    #[serde(rename = "AWS_IAM")]
    AwsIam,
}

/// How answers of a function URL go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum InvokeMode {
    /// Whole, in the form that the function gives them.
    #[default]
    #[serde(rename = "BUFFERED")]
    Buffered,
    /// In pieces as they come.
    #[serde(rename = "RESPONSE_STREAM")]
    ResponseStream,
}

/// What browsers are told of other origins (service model, shape Cors); as JSON it is what the API takes and gives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Cors {
    /// Whether credentials may go along.
    pub allow_credentials: bool,
    /// Headers that requests may have; `*` for all.
    pub allow_headers: Vec<String>,
    /// Methods that requests may use; `*` for all.
    pub allow_methods: Vec<String>,
    /// Origins that may ask; `*` for all.
    pub allow_origins: Vec<String>,
    /// Headers of answers that scripts may read.
    pub expose_headers: Vec<String>,
    /// For how many seconds a preflight's answer may be kept.
    pub max_age: u32,
}
