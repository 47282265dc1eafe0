//! How a function's log is written, and where to.
//!
//! Source: Lambda developer guide, "Configuring advanced logging controls", and the service model's LoggingConfig, 2026-11.
//! Deliberately knows nothing of lines.

use serde::{Deserialize, Serialize};

/// A function's LoggingConfig.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logging {
    /// The group, where it is not the function's own.
    pub group: Option<String>,
    /// Which lines are written, where they are JSON; None for text, of which all are.
    pub levels: Option<LogLevels>,
}

/// The least levels of lines that are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLevels {
    /// Of the function's own.
    pub application: ApplicationLevel,
    /// Of the platform's.
    pub system: SystemLevel,
}

macro_rules! levels {
    ($(#[$doc:meta])* $name:ident: $($(#[$level_doc:meta])* $level:ident $word:literal,)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$level_doc])* $level,)*
        }

        impl $name {
            /// All of them in the API's words, least first.
            pub const WORDS: &'static [&'static str] = &[$($word,)*];

            /// The level that the API's word means.
            pub fn from_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$level),)*
                    _ => None,
                }
            }

            /// In the API's word.
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$level => $word,)*
                }
            }
        }
    };
}

levels! {
    /// ApplicationLogLevel.
    ApplicationLevel:
    /// Everything.
    Trace "TRACE",
    /// What helps to find faults.
    Debug "DEBUG",
    /// What happens as it should.
    #[default]
    Info "INFO",
    /// What may lead to errors.
    Warn "WARN",
    /// What keeps the function from working as it should.
    Error "ERROR",
    /// What ends it.
    Fatal "FATAL",
}

levels! {
    /// SystemLogLevel.
    SystemLevel:
    /// Every phase.
    Debug "DEBUG",
    /// Begins, ends and reports.
    #[default]
    Info "INFO",
    /// Failures only.
    Warn "WARN",
}
