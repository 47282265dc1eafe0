//! Schedule expressions: reading them, and when they are due next.

use crate::Cron;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::str::FromStr;

/// When something is due, again and again or once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// `rate(5 minutes)`: each time so much later than the last.
    Rate(Rate),
    /// `cron(0 12 * * ? *)`: at times of the calendar.
    Cron(Box<Cron>),
    /// `at(2026-11-30T12:00:00)`: once.
    At(DateTime),
}

/// The time between two ticks of a `rate(…)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    seconds: i64,
}

/// Why a text is no schedule expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// None of the three kinds.
    #[error("{text:?} is none of rate(value unit), cron(fields), at(yyyy-mm-ddThh:mm:ss)")]
    Kind {
        /// The text.
        text: String,
    },
    /// A rate that cannot be read.
    #[error(
        "rate({text}) is no rate: give a whole number from 1 up and minute, hour or day (minutes, hours or days above 1), as \
         in rate(1 hour) or rate(5 minutes)"
    )]
    Rate {
        /// What is between the brackets.
        text: String,
    },
    /// A cron expression with other than six fields.
    #[error(
        "cron({text}) has {found} fields, and needs 6: minutes hours day-of-month month day-of-week year, as in \
         cron(0 12 * * ? *)"
    )]
    Fields {
        /// What is between the brackets.
        text: String,
        /// How many fields it has.
        found: usize,
    },
    /// A field of a cron expression that cannot be read.
    #[error(
        "{text:?} cannot be the field {field} of a cron expression, whose values are {least} to {most}"
    )]
    Field {
        /// Which field.
        field: &'static str,
        /// What was given.
        text: String,
        /// Its least value.
        least: u16,
        /// Its highest value.
        most: u16,
    },
    /// Both day fields, or none of them, are given.
    #[error(
        "one of day-of-month ({month:?}) and day-of-week ({week:?}) must be ?, and only one: cron expressions choose days by \
         either"
    )]
    Days {
        /// Day-of-month.
        month: String,
        /// Day-of-week.
        week: String,
    },
    /// A time that cannot be read.
    #[error("at({text}) is no time: write at(yyyy-mm-ddThh:mm:ss), as in at(2026-11-30T12:00:00)")]
    At {
        /// What is between the brackets.
        text: String,
    },
}

impl FromStr for Expression {
    type Err = ExpressionError;

    fn from_str(text: &str) -> Result<Self, ExpressionError> {
        let inside = |kind: &str| text.strip_prefix(kind)?.strip_prefix('(')?.strip_suffix(')');
        if let Some(inside) = inside("rate") {
            inside.parse().map(Self::Rate)
        } else if let Some(inside) = inside("cron") {
            inside.parse().map(|cron| Self::Cron(Box::new(cron)))
        } else if let Some(inside) = inside("at") {
            let time = (inside.len() == "yyyy-mm-ddThh:mm:ss".len())
                .then(|| DateTime::strptime("%Y-%m-%dT%H:%M:%S", inside).ok());
            let error = || ExpressionError::At { text: inside.to_owned() };
            time.flatten().map(Self::At).ok_or_else(error)
        } else {
            Err(ExpressionError::Kind { text: text.to_owned() })
        }
    }
}

impl Expression {
    /// The first time after `after` at which it is due; None where there is none. Of a rate: a multiple of its period
    /// since 1970; what a schedule does with its own beginning is [`crate::Schedule`]'s.
    pub fn next_after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::Rate(rate) => rate.next_after(after, Timestamp::UNIX_EPOCH),
            Self::Cron(cron) => cron.next_after(after, zone),
            Self::At(time) => {
                let at = zone.to_ambiguous_timestamp(*time).compatible().ok()?;
                (at > after).then_some(at)
            }
        }
    }
}

impl FromStr for Rate {
    type Err = ExpressionError;

    fn from_str(text: &str) -> Result<Self, ExpressionError> {
        let error = || ExpressionError::Rate { text: text.to_owned() };
        let (number, unit) = text.trim().split_once(' ').ok_or_else(error)?;
        let number: i64 = number.parse().ok().filter(|number| *number >= 1).ok_or_else(error)?;
        let (singular, seconds) = match unit.trim() {
            unit @ ("minute" | "minutes") => (unit == "minute", 60),
            unit @ ("hour" | "hours") => (unit == "hour", 3600),
            unit @ ("day" | "days") => (unit == "day", 86_400),
            _ => return Err(error()),
        };
        if singular != (number == 1) {
            return Err(error());
        }
        number.checked_mul(seconds).map(|seconds| Self { seconds }).ok_or_else(error)
    }
}

impl Rate {
    /// The first multiple of the period since `begin` that is after `after`; `begin` itself is none.
    pub fn next_after(&self, after: Timestamp, begin: Timestamp) -> Option<Timestamp> {
        let passed = after.duration_since(begin).as_secs().max(0);
        let later = (passed / self.seconds).checked_add(1)?.checked_mul(self.seconds)?;
        begin.checked_add(SignedDuration::from_secs(later)).ok()
    }

    /// Seconds of the period.
    pub fn seconds(&self) -> i64 {
        self.seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    // What EventBridge refuses is refused, in words that name the remedy.
    #[test]
    fn bad_expressions_are_refused() {
        for text in [
            "",
            "rate(5 minutes",
            "rate(1 minutes)",
            "rate(5 minute)",
            "rate(0 minutes)",
            "rate(-1 hours)",
            "rate(5 seconds)",
            "rate(5)",
            "rate(9223372036854775807 days)",
            "cron(0 12 * * ?)",
            "cron(0 12 * * * *)",
            "cron(0 12 ? * ? *)",
            "cron(60 12 * * ? *)",
            "cron(0 24 * * ? *)",
            "cron(0 0 0 * ? *)",
            "cron(0 0 32 * ? *)",
            "cron(0 0 * 13 ? *)",
            "cron(0 0 ? * 8 *)",
            "cron(0 0 ? * MON#6 *)",
            "cron(0 0 ? * MON#0 *)",
            "cron(0 0 ? * MONDAY *)",
            "cron(0 0 ? * FRI-MON *)",
            "cron(0 0 * * ? 1969)",
            "cron(0/0 0 * * ? *)",
            "cron(0 0 32W * ? *)",
            "cron(+1 0 * * ? *)",
            "at(2026-11-30)",
            "at(2026-11-30T25:00:00)",
            "at(2026-02-30T00:00:00)",
            "AT(2026-11-30T12:00:00)",
        ] {
            let error = text.parse::<Expression>().expect_err(text);
            assert!(error.to_string().len() > 20, "{error}");
        }
    }

    // Rates count from where they began, and pass over what was missed.
    #[test]
    fn rates_keep_their_beat() {
        let rate: Rate = "5 minutes".parse().expect("a rate");
        let begin = time("2026-11-30T12:00:30Z");
        let next =
            |after: &str| rate.next_after(time(after), begin).expect("it goes on").to_string();
        assert_eq!(next("2026-11-30T12:00:30Z"), "2026-11-30T12:05:30Z");
        assert_eq!(next("2026-11-30T12:05:30Z"), "2026-11-30T12:10:30Z");
        assert_eq!(next("2026-11-30T13:01:00Z"), "2026-11-30T13:05:30Z");
    }

    // A time is due once, in its zone, and never again.
    #[test]
    fn times_are_due_once() {
        let at: Expression = "at(2026-11-30T12:00:00)".parse().expect("a time");
        let zone = TimeZone::get("Europe/Berlin").expect("a zone");
        let before = time("2026-11-01T00:00:00Z");
        let due = at.next_after(before, &zone).expect("it comes");
        assert_eq!(due.to_string(), "2026-11-30T11:00:00Z");
        assert_eq!(at.next_after(due, &zone), None);
    }
}
