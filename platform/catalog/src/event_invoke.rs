//! How a function, or a version or alias of it, wants its asynchronous events to be treated.

use serde::{Deserialize, Serialize};

/// Lambda's EventInvokeConfig. What is not said is as the platform has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventInvoke {
    /// How often an event is run again after errors of the function.
    pub retries: Option<u32>,
    /// How old an event may get, in seconds.
    pub age_s: Option<u32>,
    /// ARN of what is told of successes.
    pub on_success: Option<String>,
    /// ARN of what is told of events that were given up.
    pub on_failure: Option<String>,
    /// When this was changed last: milliseconds since 1970.
    pub modified_unix_ms: u64,
}
