//! The environment of a function, as Lambda's documentation promises it.

use catalog::Function;
use sandbox::runtime::{Credentials, FunctionVariables, ReservedError, function_environment};
use std::collections::BTreeMap;

/// The whole environment of one function, but for what differs between its instances.
///
/// The credentials have the form of a role's and open nothing: the platform knows no such key. Functions that call AWS
/// SDKs start as they would at AWS, and get a clean refusal from this platform's API.
/// Errors: a variable of the user's has a reserved name.
pub fn of(function: &Function) -> Result<BTreeMap<String, String>, ReservedError> {
    let nothing = format!("peek-{}", function.revision_id);
    let digits: String = function.revision_id.chars().filter(|it| *it != '-').take(16).collect();
    let key = format!("ASIA{}", digits.to_uppercase());
    function_environment(&FunctionVariables {
        name: &function.name,
        version: &function.version.to_string(),
        runtime: &function.runtime,
        handler: &function.handler,
        memory: function.memory,
        region: &function.region,
        log_group: &function.log_group(),
        log_level: function.logging.levels.map(|levels| levels.application.word()),
        credentials: Some(Credentials {
            access_key_id: &key,
            secret_access_key: &nothing,
            session_token: &nothing,
        }),
        own: &function.environment,
    })
}
