//! How far instances are kept apart.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Whose instances may share a host with those of a function, and no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// Those of its tenant.
    Tenant,
    /// Those of its tenant that run as the same role.
    Role,
    /// Its own, of all of its versions.
    Function,
}

/// A text that names no isolation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("isolation {text:?} is none of tenant, role, function")]
pub struct IsolationError {
    /// The text.
    pub text: String,
}

impl FromStr for Isolation {
    type Err = IsolationError;
    fn from_str(text: &str) -> Result<Self, IsolationError> {
        match text {
            "tenant" => Ok(Self::Tenant),
            "role" => Ok(Self::Role),
            "function" => Ok(Self::Function),
            _ => Err(IsolationError { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tenant => "tenant",
            Self::Role => "role",
            Self::Function => "function",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Each isolation is read as it is written, and what is refused names those that there are.
    #[test]
    fn isolations_have_names() {
        for isolation in [Isolation::Tenant, Isolation::Role, Isolation::Function] {
            assert_eq!(isolation.to_string().parse(), Ok(isolation));
        }
        let error = "Role".parse::<Isolation>().expect_err("a name in lower case");
        assert_eq!(error.to_string(), "isolation \"Role\" is none of tenant, role, function");
    }
}
