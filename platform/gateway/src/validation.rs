//! Ranges and patterns of parameters, and Lambda's words for what breaks them.
//!
//! Source of the words: answers of AWS Lambda (2026-11). Deliberately knows nothing of operations.

use crate::error::{ApiError, ErrorKind};
use std::fmt;

/// What a value must satisfy.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Constraint<'a> {
    LengthMax(usize),
    Least(i64),
    Most(i64),
    Pattern(&'a str),
    OneOf(&'a str),
    EachOneOf(&'a str),
    EachPattern(&'a str),
    KeysPattern(&'a str),
    ValuesIn(&'a str, &'a str),
    NotNull,
}

impl fmt::Display for Constraint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LengthMax(max) => {
                write!(f, "Member must have length less than or equal to {max}")
            }
            Self::Least(least) => {
                write!(f, "Member must have value greater than or equal to {least}")
            }
            Self::Most(most) => write!(f, "Member must have value less than or equal to {most}"),
            Self::Pattern(pattern) => {
                write!(f, "Member must satisfy regular expression pattern: {pattern}")
            }
            Self::OneOf(set) => write!(f, "Member must satisfy enum value set: [{set}]"),
            Self::EachOneOf(set) => write!(
                f,
                "Member must satisfy constraint: [Member must satisfy enum value set: [{set}], \
                 Member must not be null]"
            ),
            Self::EachPattern(pattern) => write!(
                f,
                "Member must satisfy constraint: [Member must satisfy regular expression pattern: \
                 {pattern}, Member must not be null]"
            ),
            Self::KeysPattern(pattern) => write!(
                f,
                "Map keys must satisfy constraint: [Member must satisfy regular expression \
                 pattern: {pattern}]"
            ),
            Self::ValuesIn(least, most) => write!(
                f,
                "Map value must satisfy constraint: [Member must have value less than or equal to \
                 {most}, Member must have value greater than or equal to {least}, Member must not be \
                 null]"
            ),
            Self::NotNull => f.write_str("Member must not be null"),
        }
    }
}

/// Everything that is wrong with a request, told at once.
#[derive(Debug, Default)]
pub(crate) struct Violations(Vec<String>);

/// Longest part of a value that is repeated to the caller.
const SHOWN_CHARS: usize = 1024;

impl Violations {
    /// Notes that `value`, the member `at`, breaks `constraint`.
    pub fn add(&mut self, value: &str, at: &str, constraint: Constraint<'_>) {
        let shown: String = value.chars().take(SHOWN_CHARS).collect();
        self.0
            .push(format!("Value '{shown}' at '{at}' failed to satisfy constraint: {constraint}"));
    }

    /// Notes that the member `at` is missing.
    pub fn add_missing(&mut self, at: &str) {
        let constraint = Constraint::NotNull;
        self.0.push(format!("Value null at '{at}' failed to satisfy constraint: {constraint}"));
    }

    /// Notes a number outside of `least..=most`.
    pub fn check_range(&mut self, value: i64, at: &str, (least, most): (i64, i64)) {
        if value < least {
            self.add(&value.to_string(), at, Constraint::Least(least));
        } else if value > most {
            self.add(&value.to_string(), at, Constraint::Most(most));
        }
    }

    /// Notes a text of more than `max` characters.
    pub fn check_length(&mut self, value: &str, at: &str, max: usize) {
        if value.chars().count() > max {
            self.add(value, at, Constraint::LengthMax(max));
        }
    }

    /// ValidationException, if anything was noted.
    pub fn finish(self) -> Result<(), ApiError> {
        if self.0.is_empty() { Ok(()) } else { Err(self.error()) }
    }

    /// ValidationException, of what was noted.
    pub fn error(self) -> ApiError {
        let (count, plural) = (self.0.len(), if self.0.len() == 1 { "" } else { "s" });
        let message = format!("{count} validation error{plural} detected: {}", self.0.join("; "));
        ApiError::new(ErrorKind::Validation, message)
    }
}
