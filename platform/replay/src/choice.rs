//! Policies by short names, to be set side by side: `fixed:600`, `histogram`, `memory_pressure:65536`.
//!
//! Deliberately knows nothing of how they decide.

use model::{MemoryMib, Span};
use scheduler::policy::{
    Bimodal, Clock, Fixed, Halving, Histogram, KeepAlive, MemoryPressure, Memoryless, NoKeeping,
    Sweep,
};
use scheduler::{Profile, nearest};

/// A policy with its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// As it was given.
    pub name: String,
    keep_alive: Option<KeepAlive>,
}

/// Why a text names no policy.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    /// There is none of that name.
    #[error("there is no policy {name:?}{near}: known are {known}")]
    Unknown {
        /// As given.
        name: String,
        /// Which was probably meant, in words; empty where none is near.
        near: String,
        /// Those that are known.
        known: String,
    },
    /// What follows its name is no number that it can have.
    #[error("policy {name:?}: {number:?} must be {limit}")]
    Number {
        /// Its name.
        name: String,
        /// What follows.
        number: String,
        /// What it may be.
        limit: &'static str,
    },
}

/// Names, with what may follow them.
const KNOWN: [&str; 9] = [
    "profile",
    "none",
    "fixed",
    "halving",
    "memoryless",
    "bimodal",
    "sweep",
    "memory_pressure",
    "histogram",
];

/// Idle limit where a name has no number, s: OpenWhisk's default.
const LIMIT_S: f64 = 600.0;

/// The longest that a number of seconds may be: ten years, as in profiles.
const LONGEST_S: f64 = 315_360_000.0;

impl Choice {
    /// The policy that a text names: `profile` (the profile's own), or one of the others with a number after a colon, which
    /// is an idle limit in seconds, or the pool in MiB for `memory_pressure`.
    ///
    /// # Errors
    /// [`ChoiceError`].
    pub fn parse(text: &str) -> Result<Self, ChoiceError> {
        let (name, number) = match text.split_once(':') {
            Some((name, number)) => (name, Some(number)),
            None => (text, None),
        };
        let error = |limit| ChoiceError::Number {
            name: name.to_owned(),
            number: number.unwrap_or_default().to_owned(),
            limit,
        };
        let seconds = |default: f64| match number.map(str::parse) {
            None => Ok(Span::from_secs_f64(default)),
            Some(Ok(s)) if s > 1e-9 && s <= LONGEST_S => Ok(Span::from_secs_f64(s)),
            Some(_) => Err(error("a number of seconds above 0, at most ten years")),
        };
        let keep_alive = match name {
            "profile" | "none" if number.is_some() => return Err(error("left away")),
            "profile" => None,
            "none" => Some(KeepAlive::None(NoKeeping)),
            "fixed" => Some(KeepAlive::Fixed(Fixed { limit: seconds(LIMIT_S)? })),
            // The paper's figures for AWS (Wang et al., ATC'18, 5.3), in proportion to the limit.
            "halving" => {
                let limit = seconds(1620.0)?;
                let interval = Span::from_secs_f64(limit.as_secs_f64() * 300.0 / 1620.0);
                let clock = Clock::Host;
                Some(KeepAlive::Halving(Halving { interval, floor: 2, limit, clock }))
            }
            "memoryless" => Some(KeepAlive::Memoryless(Memoryless { mean: seconds(LIMIT_S)? })),
            // Google kept 18 % of instances for more than 120 minutes (the same, 5.3).
            "bimodal" => {
                let short = seconds(LIMIT_S)?;
                let long = Span::from_secs(7_200).max(short);
                Some(KeepAlive::Bimodal(Bimodal { short, long, long_share: 0.18 }))
            }
            "sweep" => {
                let every = Span::from_secs(60);
                Some(KeepAlive::Sweep(Sweep { limit: seconds(LIMIT_S)?, every }))
            }
            "memory_pressure" => {
                let pool = match number.map(str::parse) {
                    None => None,
                    Some(Ok(mib)) if mib >= 1 => Some(MemoryMib(mib)),
                    Some(_) => return Err(error("a number of MiB, at least 1")),
                };
                Some(KeepAlive::MemoryPressure(MemoryPressure { pool }))
            }
            // Bins of a minute, four hours where they do not tell (Shahrad et al., ATC'20, 4.2).
            "histogram" => {
                let bin = Span::from_secs(60);
                Some(KeepAlive::Histogram(Histogram { bin, limit: seconds(14_400.0)? }))
            }
            _ => return Err(unknown(name)),
        };
        Ok(Self { name: text.to_owned(), keep_alive })
    }

    /// A profile with this policy.
    pub fn apply(&self, profile: &Profile) -> Profile {
        let mut profile = profile.clone();
        if let Some(keep_alive) = &self.keep_alive {
            profile.keep_alive = keep_alive.clone();
        }
        profile
    }
}

fn unknown(name: &str) -> ChoiceError {
    let near = nearest(name, &KNOWN).map_or(String::new(), |near| format!(", {near:?} is near"));
    ChoiceError::Unknown { name: name.to_owned(), near, known: KNOWN.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Every name that is said to be known is, alone and, where it takes one, with a number.
    #[test]
    fn known_names_are_known() {
        for name in KNOWN {
            assert_eq!(Choice::parse(name).expect(name).name, name);
        }
        let fixed = Choice::parse("fixed:90").expect("fixed").apply(&Profile::default());
        assert_eq!(fixed.keep_alive.longest(), Some(Span::from_secs(90)));
        let own = Choice::parse("profile").expect("profile").apply(&Profile::default());
        assert_eq!(own, Profile::default());
    }

    // What is no policy is refused with the nearest name or the limit.
    #[test]
    fn wrong_choices_are_errors() {
        let error = |text| Choice::parse(text).expect_err(text).to_string();
        assert!(error("fixd").starts_with("there is no policy \"fixd\", \"fixed\" is near: "));
        assert_eq!(
            error("fixed:-3"),
            "policy \"fixed\": \"-3\" must be a number of seconds above 0, at most ten years"
        );
        assert_eq!(error("none:3"), "policy \"none\": \"3\" must be left away");
        assert!(error("memory_pressure:0").ends_with("a number of MiB, at least 1"));
    }
}
