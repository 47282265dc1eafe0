//! Why a text is no profile.

use std::fmt;

/// Why a text is no profile, and on which line.
#[derive(Debug)]
pub struct ProfileError {
    /// Line, from 1, where there is one.
    pub line: Option<usize>,
    /// What is wrong there.
    pub fault: Fault,
}

/// What is wrong with a profile.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It is no TOML, or has a key too many or too few, or a value of the wrong type.
    #[error("{0}")]
    Text(String),
    /// A value is out of its limits.
    #[error("{key} is {value}, must be {limit}")]
    Value {
        /// Section and key.
        key: String,
        /// What the file says.
        value: String,
        /// What it may be.
        limit: String,
    },
    /// A key is missing that the chosen policy needs.
    #[error("{key} is missing, {policy} needs it")]
    Missing {
        /// Section and key.
        key: &'static str,
        /// Section and choice.
        policy: &'static str,
    },
    /// A key is there that the chosen policy does not have.
    #[error("{key} has no meaning with {policy}: remove it")]
    Foreign {
        /// Section and key.
        key: &'static str,
        /// Section and choice.
        policy: &'static str,
    },
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.fault),
            None => write!(f, "{}", self.fault),
        }
    }
}

impl std::error::Error for ProfileError {}
