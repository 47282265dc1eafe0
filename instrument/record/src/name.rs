//! Names of units of work, which are also their files' names.

use std::fmt;

/// Longest name, so that it stays a file name with its ending and the mark of a temporary file.
const LENGTH_MAX: usize = 200;

/// The name of one unit of work of one experiment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitName {
    experiment: String,
    unit: String,
}

/// Why a name cannot be that of a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "name {name:?} is not 1 to {LENGTH_MAX} letters, digits, dots, hyphens and underscores, the first no dot"
)]
pub struct NameError {
    /// The name that was given.
    pub name: String,
}

impl UnitName {
    /// The unit of that name.
    ///
    /// # Errors
    /// [`NameError`] where the experiment's or the unit's name is no safe file name.
    pub fn new(experiment: &str, unit: &str) -> Result<Self, NameError> {
        Ok(Self { experiment: checked(experiment)?, unit: checked(unit)? })
    }

    /// Name of the experiment.
    pub fn experiment(&self) -> &str {
        &self.experiment
    }

    /// Name of the unit within it.
    pub fn unit(&self) -> &str {
        &self.unit
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.experiment, self.unit)
    }
}

fn checked(name: &str) -> Result<String, NameError> {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if (1..=LENGTH_MAX).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(safe) {
        Ok(name.to_owned())
    } else {
        Err(NameError { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Nothing that climbs, hides or splits becomes a file's name.
    #[test]
    fn names_are_safe() {
        assert!(UnitName::new("idle", "runtime-provided.al2023-memory-128-search").is_ok());
        let long = "x".repeat(LENGTH_MAX + 1);
        for name in ["", ".", "..", "../x", "a/b", "a\0b", ".hidden", "a b", "ü", &long] {
            assert!(UnitName::new("idle", name).is_err(), "{name}");
            assert!(UnitName::new(name, "search").is_err(), "{name}");
        }
    }
}
