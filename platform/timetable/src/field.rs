//! One field of a cron expression that is a set of numbers.

use crate::ExpressionError;
use std::ops::RangeInclusive;

/// What a field may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FieldKind {
    pub name: &'static str,
    pub least: u16,
    pub most: u16,
    /// Names of values, the first one for `least`.
    pub names: &'static [&'static str],
}

pub(crate) const MINUTES: FieldKind = FieldKind { name: "minutes", least: 0, most: 59, names: &[] };
pub(crate) const HOURS: FieldKind = FieldKind { name: "hours", least: 0, most: 23, names: &[] };
pub(crate) const DAYS_OF_MONTH: FieldKind =
    FieldKind { name: "day-of-month", least: 1, most: 31, names: &[] };
pub(crate) const MONTHS: FieldKind = FieldKind {
    name: "month",
    least: 1,
    most: 12,
    names: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
};
pub(crate) const DAYS_OF_WEEK: FieldKind = FieldKind {
    name: "day-of-week",
    least: 1,
    most: 7,
    names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
};
pub(crate) const YEARS: FieldKind = FieldKind { name: "year", least: 1970, most: 2199, names: &[] };

/// A set of the values of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    least: u16,
    values: [u64; 4],
}

impl Field {
    /// Reads `*`, values, ranges, steps and lists of them.
    pub fn parse(text: &str, kind: &FieldKind) -> Result<Self, ExpressionError> {
        let mut field = Self { least: kind.least, values: [0; 4] };
        for part in text.split(',') {
            let (range, step) = match part.split_once('/') {
                None => (part, None),
                Some((range, step)) => {
                    let step = step.parse::<u16>().ok().filter(|step| *step > 0);
                    (range, Some(step.ok_or_else(|| kind.complain(text))?))
                }
            };
            let whole = kind.range(range, step.is_some()).ok_or_else(|| kind.complain(text))?;
            for value in whole.step_by(usize::from(step.unwrap_or(1))) {
                let at = usize::from(value - kind.least);
                field.values[at / 64] |= 1 << (at % 64);
            }
        }
        Ok(field)
    }

    pub fn contains(&self, value: u16) -> bool {
        let Some(at) = value.checked_sub(self.least).map(usize::from) else { return false };
        self.values.get(at / 64).is_some_and(|word| word & (1 << (at % 64)) != 0)
    }
}

impl FieldKind {
    pub fn value(&self, text: &str) -> Option<u16> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let value = match named {
            Some(at) => self.least + u16::try_from(at).ok()?,
            // `+5` parses as a number too.
            None => text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))?,
        };
        (self.least..=self.most).contains(&value).then_some(value)
    }

    pub fn complain(&self, text: &str) -> ExpressionError {
        ExpressionError::Field {
            field: self.name,
            text: text.to_owned(),
            least: self.least,
            most: self.most,
        }
    }

    /// `*`, `5`, `MON-FRI`; with a step `5` means from 5 on. A range that ends before it begins, as FRI-MON, is refused.
    fn range(&self, text: &str, has_step: bool) -> Option<RangeInclusive<u16>> {
        if text == "*" {
            return Some(self.least..=self.most);
        }
        match text.split_once('-') {
            Some((from, to)) => {
                let (from, to) = (self.value(from)?, self.value(to)?);
                (from <= to).then_some(from..=to)
            }
            None => {
                let from = self.value(text)?;
                Some(from..=if has_step { self.most } else { from })
            }
        }
    }
}
