//! Cron expressions with EventBridge's six fields, `L`, `W`, `#` and `?` among them.

use crate::ExpressionError;
use crate::field::{DAYS_OF_MONTH, DAYS_OF_WEEK, Field, FieldKind, HOURS, MINUTES, MONTHS, YEARS};
use jiff::civil::{Date, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};
use std::str::FromStr;

/// Times of the calendar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    minutes: Field,
    hours: Field,
    days: Days,
    months: Field,
    years: Field,
}

/// Which days of a month.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Days {
    /// By number, by the last one, or by the weekday nearest to one.
    Month(Vec<MonthDay>),
    /// By day of the week.
    Week(Vec<WeekDay>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum MonthDay {
    /// These.
    Each(Field),
    /// `L`: the last one.
    Last,
    /// `15W`: the weekday nearest to it, of the same month.
    Nearest(u16),
    /// `LW`: the last weekday.
    LastWeekday,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum WeekDay {
    /// These, 1 for Sunday.
    Each(Field),
    /// `6L`: the month's last one.
    Last(u16),
    /// `6#3`: the month's third one.
    Nth(u16, u16),
}

impl FromStr for Cron {
    type Err = ExpressionError;

    fn from_str(text: &str) -> Result<Self, ExpressionError> {
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let [minutes, hours, of_month, months, of_week, years] = fields[..] else {
            return Err(ExpressionError::Fields { text: text.to_owned(), found: fields.len() });
        };
        let days = match (of_month, of_week) {
            (of_month, "?") if of_month != "?" => Days::Month(each(of_month, MonthDay::parse)?),
            ("?", of_week) if of_week != "?" => Days::Week(each(of_week, WeekDay::parse)?),
            (month, week) => {
                let (month, week) = (month.to_owned(), week.to_owned());
                return Err(ExpressionError::Days { month, week });
            }
        };
        Ok(Self {
            minutes: Field::parse(minutes, &MINUTES)?,
            hours: Field::parse(hours, &HOURS)?,
            days,
            months: Field::parse(months, &MONTHS)?,
            years: Field::parse(years, &YEARS)?,
        })
    }
}

fn each<T>(
    list: &str,
    parse: impl Fn(&str) -> Result<T, ExpressionError>,
) -> Result<Vec<T>, ExpressionError> {
    list.split(',').map(parse).collect()
}

impl MonthDay {
    fn parse(text: &str) -> Result<Self, ExpressionError> {
        match text {
            "L" => return Ok(Self::Last),
            "LW" => return Ok(Self::LastWeekday),
            _ => {}
        }
        match text.strip_suffix('W') {
            Some(day) => {
                let day = DAYS_OF_MONTH.value(day);
                day.map(Self::Nearest).ok_or_else(|| DAYS_OF_MONTH.complain(text))
            }
            None => Field::parse(text, &DAYS_OF_MONTH).map(Self::Each),
        }
    }

    fn holds(&self, date: Date) -> bool {
        match self {
            Self::Each(days) => days.contains(day_of(date)),
            Self::Last => date.day() == date.days_in_month(),
            Self::Nearest(day) => nearest_weekday(date, *day) == Some(date),
            Self::LastWeekday => {
                nearest_weekday(date, DAYS_OF_MONTH.most.min(day_of(date.last_of_month())))
                    == Some(date)
            }
        }
    }
}

impl WeekDay {
    fn parse(text: &str) -> Result<Self, ExpressionError> {
        let kind: &FieldKind = &DAYS_OF_WEEK;
        let complain = || kind.complain(text);
        if text == "L" {
            // The last day of a week.
            return Field::parse("7", kind).map(Self::Each);
        }
        if let Some((day, nth)) = text.split_once('#') {
            let nth = nth.parse().ok().filter(|nth| (1..=5).contains(nth)).ok_or_else(complain)?;
            return Ok(Self::Nth(kind.value(day).ok_or_else(complain)?, nth));
        }
        match text.strip_suffix('L') {
            Some(day) => kind.value(day).map(Self::Last).ok_or_else(complain),
            None => Field::parse(text, kind).map(Self::Each),
        }
    }

    fn holds(&self, date: Date) -> bool {
        let weekday = date.weekday().to_sunday_one_offset().unsigned_abs().into();
        let day = day_of(date);
        match self {
            Self::Each(days) => days.contains(weekday),
            Self::Last(of) => weekday == *of && day + 7 > day_of(date.last_of_month()),
            Self::Nth(of, nth) => weekday == *of && day.div_ceil(7) == *nth,
        }
    }
}

fn day_of(date: Date) -> u16 {
    date.day().unsigned_abs().into()
}

/// The weekday of `date`'s month that is nearest to its day `day`; None where the month has no such day.
fn nearest_weekday(date: Date, day: u16) -> Option<Date> {
    let on = Date::new(date.year(), date.month(), i8::try_from(day).ok()?).ok()?;
    let is_last = on.day() == on.days_in_month();
    let days = match on.weekday() {
        Weekday::Saturday if on.day() == 1 => 2,
        Weekday::Saturday => -1,
        Weekday::Sunday if is_last => -2,
        Weekday::Sunday => 1,
        _ => 0,
    };
    on.checked_add(days.days()).ok()
}

impl Cron {
    /// The first of its times after `after`, on the clock of `zone`; None where none is left before the year 2200.
    ///
    /// A time that a clock change leaves out is left out; one that it repeats is due once, the first time (EventBridge
    /// Scheduler user guide, "Daylight savings time", 2026-11).
    pub fn next_after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let from = zone.to_datetime(after);
        let mut date = from.date();
        loop {
            date = self.date_from(date)?;
            let is_first = date == from.date();
            let hour = if is_first { from.hour() } else { 0 };
            for hour in
                (hour..24).filter(|hour| self.hours.contains(u16::from(hour.unsigned_abs())))
            {
                for minute in 0..60_i8 {
                    if !self.minutes.contains(u16::from(minute.unsigned_abs())) {
                        continue;
                    }
                    let at = zone.to_ambiguous_timestamp(date.at(hour, minute, 0, 0));
                    if let AmbiguousOffset::Gap { .. } = at.offset() {
                        continue;
                    }
                    if let Some(at) = at.earlier().ok().filter(|at| *at > after) {
                        return Some(at);
                    }
                }
            }
            date = date.tomorrow().ok()?;
        }
    }

    /// The first day from `date` on that is one of its days.
    fn date_from(&self, mut date: Date) -> Option<Date> {
        loop {
            let year = u16::try_from(date.year()).ok()?;
            if year > YEARS.most {
                return None;
            }
            if !self.years.contains(year) {
                date = Date::new(date.year() + 1, 1, 1).ok()?;
            } else if !self.months.contains(u16::from(date.month().unsigned_abs())) {
                date = date.last_of_month().tomorrow().ok()?;
            } else if self.days.holds(date) {
                return Some(date);
            } else {
                date = date.tomorrow().ok()?;
            }
        }
    }
}

impl Days {
    fn holds(&self, date: Date) -> bool {
        match self {
            Self::Month(days) => days.iter().any(|day| day.holds(date)),
            Self::Week(days) => days.iter().any(|day| day.holds(date)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(cron: &str, after: &str, zone: &str) -> String {
        let cron: Cron = cron.parse().expect("a cron expression");
        let zone = TimeZone::get(zone).expect("a zone");
        let next = cron.next_after(after.parse().expect("a time"), &zone);
        next.map_or("never".to_owned(), |next| next.to_string())
    }

    // The examples of the user guide, and each letter's meaning on a calendar that can be looked at.
    #[test]
    fn fields_mean_what_they_do_at_aws() {
        let from = "2026-11-30T11:59:30Z";
        for (cron, expected) in [
            ("0 10 * * ? *", "2026-12-01T10:00:00Z"),
            ("15 12 * * ? *", "2026-11-30T12:15:00Z"),
            ("0 18 ? * MON-FRI *", "2026-11-30T18:00:00Z"),
            ("0 8 1 * ? *", "2026-12-01T08:00:00Z"),
            ("0/15 * * * ? *", "2026-11-30T12:00:00Z"),
            ("0/10 * ? * MON-FRI *", "2026-11-30T12:00:00Z"),
            ("5 * ? * SAT,SUN *", "2026-12-05T00:05:00Z"),
            ("0 0 L * ? *", "2026-12-31T00:00:00Z"),
            ("0 0 ? * L *", "2026-12-05T00:00:00Z"),
            ("0 0 ? * 6L *", "2026-12-25T00:00:00Z"),
            ("0 0 ? * FRI#5 *", "2027-01-29T00:00:00Z"),
            ("0 0 ? * 3#1 *", "2026-12-01T00:00:00Z"),
            // The 5th of December 2026 is a Saturday, the 31st of January 2027 a Sunday, the 1st of May 2027 a Saturday.
            ("0 0 5W * ? *", "2026-12-04T00:00:00Z"),
            ("0 0 31W 1 ? *", "2027-01-29T00:00:00Z"),
            ("0 0 1W MAY ? *", "2027-05-03T00:00:00Z"),
            ("0 0 LW JAN ? *", "2027-01-29T00:00:00Z"),
            ("0 0 29 FEB ? *", "2028-02-29T00:00:00Z"),
            ("0 0 30 2 ? *", "never"),
            ("0 0 1 1 ? 2026", "never"),
            ("0 0 1,15,L 12 ? 2026/2", "2026-12-01T00:00:00Z"),
        ] {
            assert_eq!(next(cron, from, "UTC"), expected, "{cron}");
        }
    }

    // What summer time leaves out is left out, and what it repeats happens once.
    #[test]
    fn clock_changes_neither_double_nor_invent() {
        let daily = "30 2 * * ? *";
        // Berlin's clocks go from 2 to 3 on 2027-03-28, and from 3 back to 2 on 2026-10-25.
        assert_eq!(next(daily, "2027-03-27T12:00:00Z", "Europe/Berlin"), "2027-03-29T00:30:00Z");
        assert_eq!(next(daily, "2026-10-24T12:00:00Z", "Europe/Berlin"), "2026-10-25T00:30:00Z");
        assert_eq!(next(daily, "2026-10-25T00:30:00Z", "Europe/Berlin"), "2026-10-26T01:30:00Z");
    }
}
