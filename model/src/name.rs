//! Names of the things that a platform manages.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

numbered!(
    /// One function of one tenant, for as long as it exists. A function that is deleted and created again has a new one.
    FunctionId, "function-"
);
numbered!(
    /// One function instance: a sandbox with one function loaded. Never used twice.
    InstanceId, "instance-"
);
numbered!(
    /// One host: what instances share and contend for. Never used twice.
    HostId, "host-"
);
numbered!(
    /// One request to run a function; has one outcome.
    InvocationId, "invocation-"
);
numbered!(
    /// One execution role of a tenant, by the order in which it was first seen.
    RoleId, "role-"
);

/// Who owns functions and pays: an account id of twelve digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantId(u64);

/// Why a text is no account id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("account id {text:?} is not twelve digits, as in 123456789012")]
pub struct TenantIdError {
    /// The text that was given.
    pub text: String,
}

impl TenantId {
    /// The tenant with this number, of which the last twelve decimal digits count.
    pub const fn from_number(number: u64) -> Self {
        Self(number % 1_000_000_000_000)
    }

    /// Its number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl std::str::FromStr for TenantId {
    type Err = TenantIdError;
    fn from_str(text: &str) -> Result<Self, TenantIdError> {
        if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
            Ok(Self(text.bytes().fold(0, |sum, byte| sum * 10 + u64::from(byte - b'0'))))
        } else {
            Err(TenantIdError { text: text.to_owned() })
        }
    }
}

impl TryFrom<String> for TenantId {
    type Error = TenantIdError;
    fn try_from(text: String) -> Result<Self, TenantIdError> {
        text.parse()
    }
}

impl From<TenantId> for String {
    fn from(tenant: TenantId) -> Self {
        tenant.to_string()
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // An account id keeps its leading zeros and refuses anything else.
    #[test]
    fn account_ids_are_twelve_digits() {
        let tenant: TenantId = "000000000042".parse().expect("twelve digits");
        assert_eq!(tenant.to_string(), "000000000042");
        for text in ["", "42", "0000000000421", "00000000004x", "０００００００００００４"]
        {
            assert!(text.parse::<TenantId>().is_err(), "{text}");
        }
    }
}
