//! The variables that the Lambda documentation promises to functions.
//!
//! Source: AWS Lambda developer guide, "Defined runtime environment variables", 2026-11.

use super::install::RUNTIME_DIRECTORY;
use model::{MemoryMib, RESERVED_VARIABLES};
use std::collections::BTreeMap;

/// Where instances see their package (`LAMBDA_TASK_ROOT`).
pub const TASK_ROOT: &str = "/var/task";
/// The Runtime API's address within an instance.
const RUNTIME_API: &str = "127.0.0.1:9001";

/// What a function version's environment is made of.
#[derive(Clone, Copy, Debug)]
pub struct FunctionVariables<'a> {
    /// Function name.
    pub name: &'a str,
    /// Version, as in `$LATEST`.
    pub version: &'a str,
    /// Runtime, as in `python3.11`.
    pub runtime: &'a str,
    /// Handler.
    pub handler: &'a str,
    /// Memory limit.
    pub memory: MemoryMib,
    /// Region.
    pub region: &'a str,
    /// Group of its log.
    pub log_group: &'a str,
    /// Least level of the function's own lines, where the log is JSON; None for text.
    pub log_level: Option<&'a str>,
    /// Of the function's role, where it has one.
    pub credentials: Option<Credentials<'a>>,
    /// The function's own variables.
    pub own: &'a BTreeMap<String, String>,
}

/// Temporary credentials of a function's role.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: &'a str,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_access_key: &'a str,
    /// `AWS_SESSION_TOKEN`.
    pub session_token: &'a str,
}

/// A function asked for variables with reserved names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "reserved keys used in this request: {}; rename them", names.join(", ")
)]
pub struct ReservedError {
    /// Those names, sorted.
    pub names: Vec<String>,
}

/// The environment of a function version: all variables but those of [`instance_environment`].
///
/// `PATH`, `LANG`, `TZ`, `LD_LIBRARY_PATH` and `NODE_PATH` may be the function's own. Errors: [`ReservedError`].
pub fn function_environment(
    function: &FunctionVariables<'_>,
) -> Result<BTreeMap<String, String>, ReservedError> {
    let reserved = |name: &&String| RESERVED_VARIABLES.contains(&name.as_str());
    let names: Vec<String> = function.own.keys().filter(reserved).cloned().collect();
    if !names.is_empty() {
        return Err(ReservedError { names });
    }
    let mut environment: BTreeMap<String, String> = [
        ("LANG", "en_US.UTF-8".to_owned()),
        ("TZ", ":UTC".to_owned()),
        ("PATH", "/usr/local/bin:/usr/bin:/bin:/opt/bin".to_owned()),
        ("LD_LIBRARY_PATH", format!("{TASK_ROOT}:{TASK_ROOT}/lib:/opt/lib")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    if let Some(version) = function.runtime.strip_prefix("nodejs") {
        let version = version.strip_suffix(".x").unwrap_or(version);
        let path = format!(
            "/opt/nodejs/node{version}/node_modules:/opt/nodejs/node_modules:{RUNTIME_DIRECTORY}/node_modules"
        );
        environment.insert("NODE_PATH".to_owned(), path);
    }
    environment.extend(function.own.clone());
    let mut set = |name: &str, value: &str| environment.insert(name.to_owned(), value.to_owned());
    set("AWS_REGION", function.region);
    set("AWS_DEFAULT_REGION", function.region);
    set("AWS_LAMBDA_FUNCTION_NAME", function.name);
    set("AWS_LAMBDA_FUNCTION_VERSION", function.version);
    set("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &function.memory.0.to_string());
    set("AWS_LAMBDA_LOG_GROUP_NAME", function.log_group);
    // What Lambda's own runtimes go by, and those of others.
    if let Some(level) = function.log_level {
        set("AWS_LAMBDA_LOG_FORMAT", "JSON");
        set("AWS_LAMBDA_LOG_LEVEL", level);
    }
    set("AWS_LAMBDA_RUNTIME_API", RUNTIME_API);
    set("LAMBDA_TASK_ROOT", TASK_ROOT);
    set("LAMBDA_RUNTIME_DIR", RUNTIME_DIRECTORY);
    set("_HANDLER", function.handler);
    // Not defined for OS-only runtimes, says the documentation.
    if !function.runtime.starts_with("provided") {
        set("AWS_EXECUTION_ENV", &format!("AWS_Lambda_{}", function.runtime));
    }
    if let Some(credentials) = function.credentials {
        set("AWS_ACCESS_KEY_ID", credentials.access_key_id);
        set("AWS_SECRET_ACCESS_KEY", credentials.secret_access_key);
        set("AWS_SESSION_TOKEN", credentials.session_token);
    }
    Ok(environment)
}

/// Why an instance is initialized (`AWS_LAMBDA_INITIALIZATION_TYPE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initialization {
    /// For invocations that come.
    OnDemand,
    /// As provisioned concurrency.
    Provisioned,
}

/// The variables that differ between the instances of a version. `log_stream`: `2026/11/20/[$LATEST]0123abcd…`.
pub fn instance_environment(
    log_stream: &str,
    initialization: Initialization,
) -> BTreeMap<String, String> {
    let initialization = match initialization {
        Initialization::OnDemand => "on-demand",
        Initialization::Provisioned => "provisioned-concurrency",
    };
    [("AWS_LAMBDA_LOG_STREAM_NAME", log_stream), ("AWS_LAMBDA_INITIALIZATION_TYPE", initialization)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compose(own: &[(&str, &str)]) -> Result<BTreeMap<String, String>, ReservedError> {
        let own = own.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        function_environment(&FunctionVariables {
            name: "f",
            version: "$LATEST",
            runtime: "python3.11",
            handler: "app.handler",
            memory: MemoryMib(128),
            region: "eu-west-1",
            log_group: "/aws/lambda/f",
            log_level: None,
            credentials: None,
            own: &own.collect(),
        })
    }

    // Every reserved name is refused, by name, and defaults may be overridden.
    #[test]
    fn reserved_names() {
        for name in RESERVED_VARIABLES {
            assert_eq!(
                compose(&[(name, "x")]),
                Err(ReservedError { names: vec![name.to_owned()] })
            );
        }
        let environment = compose(&[("TZ", ":CET"), ("MINE", "1")]).expect("nothing reserved");
        assert_eq!(environment["TZ"], ":CET");
        assert_eq!(environment["MINE"], "1");
        assert_eq!(environment["AWS_EXECUTION_ENV"], "AWS_Lambda_python3.11");
        assert_eq!(environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"], "128");
    }
}
