//! What the settings of a function may be: ranges, patterns, names, sizes.
//!
//! Source of the limits: AWS Lambda quotas and service model, 2026-11. Deliberately knows nothing of the catalog's state.

use crate::error::ApiError;
use crate::gateway::Limits;
use crate::isolation;
use crate::layer;
use crate::shape::{AbsentSettings, LoggingRequest, SettingsRequest};
use crate::validation::{Constraint, Violations};
use catalog::{
    ApplicationLevel, LogLevels, Logging, Settings, SettingsChange, SystemLevel, Tracing,
};
use model::{MemoryMib, RESERVED_VARIABLES, Span};
use std::collections::BTreeMap;

const DESCRIPTION_MAX: usize = 256;
const HANDLER_MAX: usize = 128;
const EPHEMERAL_STORAGE_MIB: (i64, i64) = (512, 10_240);
const ENVIRONMENT_BYTES_MAX: usize = 4096;
const GROUP_MAX: usize = 512;
const GROUP_PATTERN: &str = r"[\.\-_/#A-Za-z0-9]+";
const TAGS_MAX: usize = 50;
const TAG_KEY_MAX: usize = 128;
const TAG_VALUE_MAX: usize = 256;
const ROLE_PATTERN: &str = r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+";
const HANDLER_PATTERN: &str = r"[^\s]+";
const VARIABLE_PATTERN: &str = r"[a-zA-Z]([a-zA-Z0-9_])+";

/// Notes everything in the request's settings that is out of its range or pattern.
pub(crate) fn check(request: &SettingsRequest, limits: &Limits, violations: &mut Violations) {
    if let Some(role) = request.role.as_deref().filter(|role| !is_role(role)) {
        violations.add(role, "role", Constraint::Pattern(ROLE_PATTERN));
    }
    if let Some(handler) = &request.handler {
        violations.check_length(handler, "handler", HANDLER_MAX);
        if handler.is_empty() || handler.contains(char::is_whitespace) {
            violations.add(handler, "handler", Constraint::Pattern(HANDLER_PATTERN));
        }
    }
    if let Some(description) = &request.description {
        check_description(description, violations);
    }
    if let Some(logging) = &request.logging_config {
        check_logging(logging, violations);
    }
    layer::check_arns(request.layers.as_deref().unwrap_or_default(), violations);
    if let Some(timeout) = request.timeout {
        violations.check_range(timeout, "timeout", (1, i64::from(limits.timeout_s_max)));
    }
    if let Some(memory) = request.memory_size {
        let range = (limits.memory_min.0.into(), limits.memory_max.0.into());
        violations.check_range(memory, "memorySize", range);
    }
    if let Some(storage) = &request.ephemeral_storage {
        violations.check_range(storage.size, "ephemeralStorage.size", EPHEMERAL_STORAGE_MIB);
    }
    let mode = request.tracing_config.as_ref().and_then(|tracing| tracing.mode.as_deref());
    if let Some(mode) = mode.filter(|mode| !matches!(*mode, "Active" | "PassThrough")) {
        violations.add(mode, "tracingConfig.mode", Constraint::OneOf("Active, PassThrough"));
    }
    let variables = request.environment.as_ref().and_then(|e| e.variables.as_ref());
    if let Some(variables) = variables
        && let Some(name) = variables.keys().find(|name| !is_variable(name))
    {
        let constraint = Constraint::KeysPattern(VARIABLE_PATTERN);
        violations.add(name, "environment.variables", constraint);
    }
}

fn check_logging(asked: &LoggingRequest, violations: &mut Violations) {
    for (given, at, known) in [
        (&asked.log_format, "logFormat", &["JSON", "Text"][..]),
        (&asked.application_log_level, "applicationLogLevel", ApplicationLevel::WORDS),
        (&asked.system_log_level, "systemLogLevel", SystemLevel::WORDS),
    ] {
        if let Some(given) = given.as_deref().filter(|given| !known.contains(given)) {
            let (at, known) = (format!("loggingConfig.{at}"), known.join(", "));
            violations.add(given, &at, Constraint::OneOf(&known));
        }
    }
    if let Some(group) = &asked.log_group {
        violations.check_length(group, "loggingConfig.logGroup", GROUP_MAX);
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b".-_/#".contains(&byte);
        if group.is_empty() || !group.bytes().all(is_part) {
            violations.add(group, "loggingConfig.logGroup", Constraint::Pattern(GROUP_PATTERN));
        }
    }
}

/// All of a function's LoggingConfig: what is not said is as Lambda has it for a new function.
fn read_logging(asked: LoggingRequest) -> Result<Logging, ApiError> {
    let application = asked.application_log_level.as_deref().and_then(ApplicationLevel::from_word);
    let system = asked.system_log_level.as_deref().and_then(SystemLevel::from_word);
    let is_json = asked.log_format.as_deref() == Some("JSON");
    if !is_json && (application.is_some() || system.is_some()) {
        return Err(ApiError::parameter(
            "LogLevel is not supported when LogFormat is set to \"Text\". Remove LogLevel from your \
             request or change the LogFormat to \"JSON\" and try again.",
        ));
    }
    let levels = is_json.then(|| LogLevels {
        application: application.unwrap_or_default(),
        system: system.unwrap_or_default(),
    });
    Ok(Logging { group: asked.log_group, levels })
}

/// Notes a description that is too long.
pub(crate) fn check_description(description: &str, violations: &mut Violations) {
    violations.check_length(description, "description", DESCRIPTION_MAX);
}

/// The request's settings as changes, but for its layers, which are for the catalog to gather. Call [`check`] first: numbers
/// out of range are cut to it here.
pub(crate) fn change(
    request: SettingsRequest,
    runtimes: &[String],
) -> Result<SettingsChange, ApiError> {
    if let Some(runtime) = &request.runtime
        && !runtimes.contains(runtime)
    {
        return Err(ApiError::parameter(format!(
            "Value {runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum \
             value set: [{}]. These are the runtimes installed here.",
            runtimes.join(", ")
        )));
    }
    let environment = request.environment.map(|e| e.variables.unwrap_or_default());
    if let Some(variables) = &environment {
        check_environment(variables)?;
    }
    let mib = |size: i64| MemoryMib(u32::try_from(size).unwrap_or(u32::MAX));
    let mode = request.tracing_config.and_then(|tracing| tracing.mode);
    Ok(SettingsChange {
        runtime: request.runtime,
        handler: request.handler,
        role: request.role,
        description: request.description,
        environment,
        memory: request.memory_size.map(mib),
        ephemeral_storage: request.ephemeral_storage.map(|storage| mib(storage.size)),
        timeout: request.timeout.map(|s| Span::from_secs(u64::try_from(s).unwrap_or(1))),
        tracing: mode.map(|mode| match mode.as_str() {
            "Active" => Tracing::Active,
            _ => Tracing::PassThrough,
        }),
        logging: request.logging_config.map(read_logging).transpose()?,
        layers: None,
    })
}

/// All settings of a new function: Lambda's defaults where the request says nothing.
pub(crate) fn complete(change: SettingsChange) -> Result<Settings, ApiError> {
    let (Some(runtime), Some(handler)) = (change.runtime, change.handler) else {
        return Err(ApiError::parameter(
            "Runtime and Handler are mandatory parameters for functions created with deployment \
             packages.",
        ));
    };
    Ok(Settings {
        runtime,
        handler,
        role: change.role.unwrap_or_default(),
        description: change.description.unwrap_or_default(),
        environment: change.environment.unwrap_or_default(),
        memory: change.memory.unwrap_or(MemoryMib(128)),
        ephemeral_storage: change.ephemeral_storage.unwrap_or(MemoryMib(512)),
        timeout: change.timeout.unwrap_or(Span::from_secs(3)),
        tracing: change.tracing.unwrap_or_default(),
        logging: change.logging.unwrap_or_default(),
        layers: change.layers.unwrap_or_default(),
    })
}

/// Refuses settings that this platform does not have.
pub(crate) fn refuse_absent(asked: &AbsentSettings) -> Result<(), ApiError> {
    let names = asked.asked_for();
    if names.is_empty() {
        return Ok(());
    }
    if names.contains(&"DeadLetterConfig") {
        return Err(ApiError::parameter(
            "Not supported by this platform, which has no queues and topics: DeadLetterConfig. Name a function as OnFailure \
             destination by PutFunctionEventInvokeConfig instead.",
        ));
    }
    Err(absent(&names.join(", ")))
}

/// The error for a parameter that this platform does not have.
pub(crate) fn absent(names: &str) -> ApiError {
    ApiError::parameter(format!("Not supported by this platform, leave it out: {names}."))
}

/// Notes what is wrong with the instruction sets asked for; refuses one that is not this machine's.
pub(crate) fn check_architectures(
    asked: Option<&[String]>,
    own: &str,
    violations: &mut Violations,
) -> Result<(), ApiError> {
    let Some(asked) = asked else { return Ok(()) };
    let is_known = |name: &String| matches!(name.as_str(), "x86_64" | "arm64");
    if asked.len() != 1 || !asked.iter().all(is_known) {
        let shown = format!("[{}]", asked.join(", "));
        violations.add(&shown, "architectures", Constraint::EachOneOf("x86_64, arm64"));
    } else if asked[0] != own {
        return Err(ApiError::parameter(format!(
            "Architecture {} cannot run on this platform, which is {own}.",
            asked[0]
        )));
    }
    Ok(())
}

/// Refuses tags beyond Lambda's limits.
pub(crate) fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), ApiError> {
    if tags.len() > TAGS_MAX {
        return Err(ApiError::parameter("Number of tags exceeds resource tag limit."));
    }
    for (key, value) in tags {
        if key.is_empty() || key.chars().count() > TAG_KEY_MAX {
            return Err(ApiError::parameter(format!(
                "The TagKey {key:?} must have 1 to {TAG_KEY_MAX} characters."
            )));
        }
        if value.chars().count() > TAG_VALUE_MAX {
            return Err(ApiError::parameter(format!(
                "The value of tag {key:?} must have at most {TAG_VALUE_MAX} characters."
            )));
        }
    }
    isolation::of(tags).map(|_| ())
}

fn check_environment(variables: &BTreeMap<String, String>) -> Result<(), ApiError> {
    const UNABLE: &str = "Lambda was unable to configure your environment variables because the \
                          environment variables you have provided";
    let reserved: Vec<_> = variables
        .keys()
        .map(String::as_str)
        .filter(|name| RESERVED_VARIABLES.contains(name))
        .collect();
    if !reserved.is_empty() {
        return Err(ApiError::parameter(format!(
            "{UNABLE} contains reserved keys that are currently not supported for modification. \
             Reserved keys used in this request: {}",
            reserved.join(", ")
        )));
    }
    let measured = serde_json::to_string(variables).unwrap_or_default();
    if measured.len() > ENVIRONMENT_BYTES_MAX {
        return Err(ApiError::parameter(format!(
            "{UNABLE} exceeded the 4KB limit. String measured: {measured}"
        )));
    }
    Ok(())
}

fn is_role(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("arn:") else { return false };
    let Some((partition, rest)) = rest.split_once(':') else { return false };
    let is_partition = partition.is_empty()
        || partition
            .strip_prefix("aws")
            .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-'));
    let Some((account, role)) = rest.strip_prefix("iam::").and_then(|r| r.split_once(':')) else {
        return false;
    };
    let is_path = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@-_/".contains(&byte);
    is_partition
        && account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && role.strip_prefix("role").is_some_and(|name| {
            !name.strip_prefix('/').unwrap_or(name).is_empty() && name.bytes().all(is_path)
        })
}

fn is_variable(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
        && name.len() >= 2
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        || RESERVED_VARIABLES.contains(&name)
}
