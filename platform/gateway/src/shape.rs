//! Requests and answers of the API as JSON, with the member names of the service model `lambda/2015-03-31`.
//!
//! Deliberately knows nothing of what a member may hold: see `settings`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use catalog::{Function, LayerVersion, State, Tracing, Version};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// CreateFunction, but for its settings.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateRequest {
    pub function_name: Option<String>,
    pub code: Option<CodeRequest>,
    pub publish: Option<bool>,
    pub package_type: Option<String>,
    pub architectures: Option<Vec<String>>,
    pub tags: Option<BTreeMap<String, String>>,
}

/// Where code comes from: a member of CreateFunction, and part of UpdateFunctionCode.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CodeRequest {
    pub zip_file: Option<String>,
    pub s3_bucket: Option<String>,
    pub s3_key: Option<String>,
    pub image_uri: Option<String>,
    #[serde(rename = "SourceKMSKeyArn")]
    pub source_kms_key_arn: Option<String>,
}

/// UpdateFunctionCode, but for where code comes from.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateCodeRequest {
    pub publish: Option<bool>,
    pub dry_run: Option<bool>,
    pub revision_id: Option<String>,
    pub architectures: Option<Vec<String>>,
}

/// The settings of CreateFunction and UpdateFunctionConfiguration.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SettingsRequest {
    pub runtime: Option<String>,
    pub role: Option<String>,
    pub handler: Option<String>,
    pub description: Option<String>,
    pub timeout: Option<i64>,
    pub memory_size: Option<i64>,
    pub environment: Option<EnvironmentRequest>,
    pub ephemeral_storage: Option<EphemeralStorage>,
    pub tracing_config: Option<TracingConfigRequest>,
    pub layers: Option<Vec<String>>,
    pub logging_config: Option<LoggingRequest>,
    pub revision_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct EnvironmentRequest {
    pub variables: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TracingConfigRequest {
    pub mode: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LoggingRequest {
    pub log_format: Option<String>,
    pub application_log_level: Option<String>,
    pub system_log_level: Option<String>,
    pub log_group: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct EphemeralStorage {
    pub size: i64,
}

/// Settings that this platform does not have; each is let through only where it asks for nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AbsentSettings {
    vpc_config: Option<Value>,
    dead_letter_config: Option<Value>,
    #[serde(rename = "KMSKeyArn")]
    kms_key_arn: Option<Value>,
    file_system_configs: Option<Value>,
    image_config: Option<Value>,
    code_signing_config_arn: Option<Value>,
    snap_start: Option<Value>,
    capacity_provider_config: Option<Value>,
    publish_to: Option<Value>,
    durable_config: Option<Value>,
    tenancy_config: Option<Value>,
    runtime_config: Option<Value>,
    accelerator_config: Option<Value>,
    #[serde(rename = "SourceKMSKeyArn")]
    source_kms_key_arn: Option<Value>,
}

impl AbsentSettings {
    /// Names of the settings that ask for something.
    pub fn asked_for(&self) -> Vec<&'static str> {
        [
            ("VpcConfig", &self.vpc_config),
            ("DeadLetterConfig", &self.dead_letter_config),
            ("KMSKeyArn", &self.kms_key_arn),
            ("FileSystemConfigs", &self.file_system_configs),
            ("ImageConfig", &self.image_config),
            ("CodeSigningConfigArn", &self.code_signing_config_arn),
            ("SnapStart", &self.snap_start),
            ("CapacityProviderConfig", &self.capacity_provider_config),
            ("PublishTo", &self.publish_to),
            ("DurableConfig", &self.durable_config),
            ("TenancyConfig", &self.tenancy_config),
            ("RuntimeConfig", &self.runtime_config),
            ("AcceleratorConfig", &self.accelerator_config),
            ("SourceKMSKeyArn", &self.source_kms_key_arn),
        ]
        .into_iter()
        .filter(|(_, value)| value.as_ref().is_some_and(|value| !asks_nothing(value)))
        .map(|(name, _)| name)
        .collect()
    }
}

/// Whether a setting is empty, or says what holds anyway: no SnapStart.
fn asks_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => matches!(text.as_str(), "" | "None"),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.values().all(asks_nothing),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

/// FunctionConfiguration.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Configuration<'a> {
    function_name: &'a str,
    function_arn: String,
    runtime: &'a str,
    role: &'a str,
    handler: &'a str,
    code_size: u64,
    description: &'a str,
    timeout: u64,
    memory_size: u32,
    last_modified: String,
    code_sha256: String,
    version: Version,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<Environment<'a>>,
    tracing_config: TracingConfig,
    revision_id: &'a str,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    layers: Vec<UsedLayer<'a>>,
    package_type: &'static str,
    architectures: [&'a str; 1],
    ephemeral_storage: EphemeralStorage,
    snap_start: SnapStart,
    logging_config: LoggingConfig,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Environment<'a> {
    variables: &'a BTreeMap<String, String>,
}

/// Layer, as a part of FunctionConfiguration.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct UsedLayer<'a> {
    arn: &'a str,
    code_size: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct TracingConfig {
    mode: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct SnapStart {
    apply_on: &'static str,
    optimization_status: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct LoggingConfig {
    log_format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    application_log_level: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_log_level: Option<&'static str>,
    log_group: String,
}

/// State and last update, which ListFunctions leaves out.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Status<'a> {
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_reason_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_update_status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_update_status_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_update_status_reason_code: Option<&'a str>,
}

impl<'a> Configuration<'a> {
    /// The same under an ARN with this qualifier.
    pub fn qualified(mut self, qualifier: Option<&str>) -> Self {
        if let Some(qualifier) = qualifier {
            self.function_arn = format!("{}:{qualifier}", self.function_arn);
        }
        self
    }

    /// As every operation but ListFunctions answers it.
    pub fn whole(function: &'a Function) -> Self {
        Self { status: Some(Status::of(function)), ..Self::listed(function) }
    }

    /// As ListFunctions answers it.
    pub fn listed(function: &'a Function) -> Self {
        let variables = &function.environment;
        Self {
            function_name: &function.name,
            function_arn: function.arn(),
            runtime: &function.runtime,
            role: &function.role,
            handler: &function.handler,
            code_size: function.code_size,
            description: &function.description,
            timeout: function.timeout.as_nanos() / 1_000_000_000,
            memory_size: function.memory.0,
            last_modified: last_modified(function.last_modified_unix_ms),
            code_sha256: code_sha256(&function.code_digest),
            version: function.version,
            environment: (!variables.is_empty()).then_some(Environment { variables }),
            tracing_config: TracingConfig {
                mode: match function.tracing {
                    Tracing::PassThrough => "PassThrough",
                    Tracing::Active => "Active",
                },
            },
            revision_id: &function.revision_id,
            status: None,
            layers: function
                .layers
                .iter()
                .map(|layer| UsedLayer { arn: &layer.arn, code_size: layer.size })
                .collect(),
            package_type: "Zip",
            architectures: [&function.architecture],
            ephemeral_storage: EphemeralStorage { size: i64::from(function.ephemeral_storage.0) },
            snap_start: SnapStart { apply_on: "None", optimization_status: "Off" },
            logging_config: LoggingConfig {
                log_format: if function.logging.levels.is_some() { "JSON" } else { "Text" },
                application_log_level: function.logging.levels.map(|it| it.application.word()),
                system_log_level: function.logging.levels.map(|it| it.system.word()),
                log_group: function.log_group(),
            },
        }
    }
}

impl<'a> Status<'a> {
    fn of(function: &'a Function) -> Self {
        let mut status = match &function.state {
            State::Pending => Self {
                state: "Pending",
                state_reason: Some("The function is being created."),
                state_reason_code: Some("Creating"),
                ..Self::default()
            },
            State::Active => Self { state: "Active", ..Self::default() },
            State::Failed { code, reason } => Self {
                state: "Failed",
                state_reason: Some(reason),
                state_reason_code: Some(code),
                ..Self::default()
            },
        };
        match &function.last_update {
            State::Pending if function.state == State::Pending => {}
            State::Pending => {
                status.last_update_status = Some("InProgress");
                status.last_update_status_reason = Some("The function is being created.");
                status.last_update_status_reason_code = Some("Creating");
            }
            State::Active => status.last_update_status = Some("Successful"),
            State::Failed { code, reason } => {
                status.last_update_status = Some("Failed");
                status.last_update_status_reason = Some(reason);
                status.last_update_status_reason_code = Some(code);
            }
        }
        status
    }
}

/// GetFunction.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetAnswer<'a> {
    pub configuration: Configuration<'a>,
    pub code: CodeLocation,
    #[serde(skip_serializing_if = "has_none")]
    pub tags: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
}

/// Concurrency, as a part of GetFunction.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Concurrency {
    pub reserved_concurrent_executions: u32,
}

fn has_none(tags: &Option<&BTreeMap<String, String>>) -> bool {
    tags.is_none_or(BTreeMap::is_empty)
}

/// FunctionCodeLocation.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CodeLocation {
    pub repository_type: &'static str,
    pub location: String,
}

/// ListFunctions.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListAnswer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
    pub functions: Vec<Configuration<'a>>,
}

/// ListVersionsByFunction.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct VersionsAnswer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
    pub versions: Vec<Configuration<'a>>,
}

/// PublishLayerVersion and GetLayerVersion.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LayerVersionAnswer<'a> {
    pub content: LayerContent,
    pub layer_arn: String,
    #[serde(flatten)]
    pub version: LayerVersionShown<'a>,
}

/// LayerVersionContentOutput.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LayerContent {
    location: String,
    code_sha256: String,
    code_size: u64,
}

impl LayerContent {
    /// The code of a version, which is to be had at `location`.
    pub fn of(version: &LayerVersion, location: String) -> Self {
        Self { location, code_sha256: code_sha256(&version.digest), code_size: version.size }
    }
}

/// LayerVersionsListItem.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LayerVersionShown<'a> {
    layer_version_arn: String,
    version: u64,
    description: &'a str,
    created_date: String,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    compatible_architectures: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    compatible_runtimes: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    license_info: Option<&'a str>,
}

impl<'a> LayerVersionShown<'a> {
    /// All of a version but its code.
    pub fn of(version: &'a LayerVersion) -> Self {
        Self {
            layer_version_arn: version.arn(),
            version: version.number,
            description: &version.description,
            created_date: last_modified(version.created_unix_ms),
            compatible_architectures: &version.architectures,
            compatible_runtimes: &version.runtimes,
            license_info: version.license.as_deref(),
        }
    }
}

/// ListLayerVersions.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LayerVersionsAnswer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
    pub layer_versions: Vec<LayerVersionShown<'a>>,
}

/// LayersListItem.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LayerShown<'a> {
    layer_name: &'a str,
    layer_arn: String,
    latest_matching_version: LayerVersionShown<'a>,
}

impl<'a> LayerShown<'a> {
    /// A layer by its latest version of those that were asked for.
    pub fn of(version: &'a LayerVersion) -> Self {
        Self {
            layer_name: &version.name,
            layer_arn: version.layer_arn(),
            latest_matching_version: LayerVersionShown::of(version),
        }
    }
}

/// ListLayers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LayersAnswer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
    pub layers: Vec<LayerShown<'a>>,
}

/// GetAccountSettings.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AccountSettings {
    pub account_limit: AccountLimit,
    pub account_usage: AccountUsage,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AccountLimit {
    pub total_code_size: u64,
    pub code_size_unzipped: u64,
    pub code_size_zipped: u64,
    pub concurrent_executions: u32,
    pub unreserved_concurrent_executions: u32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AccountUsage {
    pub total_code_size: u64,
    pub function_count: u64,
}

/// As in `2026-11-20T19:49:58+0000`.
pub(crate) fn last_modified_seconds(unix_ms: u64) -> String {
    let ms = i64::try_from(unix_ms).unwrap_or(0);
    let stamp = Timestamp::from_millisecond(ms).unwrap_or_default();
    stamp.strftime("%Y-%m-%dT%H:%M:%S+0000").to_string()
}

/// CodeSha256: the digest of a package, lower-case hexadecimal, in Base64.
pub(crate) fn code_sha256(digest: &str) -> String {
    BASE64_STANDARD.encode(hex::decode(digest).unwrap_or_default())
}

/// As in `2026-11-20T19:49:58.123+0000`.
fn last_modified(unix_ms: u64) -> String {
    let ms = i64::try_from(unix_ms).unwrap_or(0);
    let stamp = Timestamp::from_millisecond(ms).unwrap_or_default();
    stamp.strftime("%Y-%m-%dT%H:%M:%S%.3f+0000").to_string()
}
