//! Cron expressions against an oracle that asks each minute of the calendar by itself.

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan};
use proptest::prelude::*;
use timetable::Cron;

/// One field, as text and as what it says of a value.
#[derive(Clone, Debug)]
struct Piece {
    text: String,
    values: Vec<u16>,
}

fn number(least: u16, most: u16) -> impl Strategy<Value = Piece> {
    let all: Vec<u16> = (least..=most).collect();
    prop_oneof![
        2 => Just(Piece { text: "*".to_owned(), values: all }),
        3 => (least..=most).prop_map(|it| Piece { text: it.to_string(), values: vec![it] }),
        2 => (least..=most, least..=most).prop_map(|(a, b)| {
            let (from, to) = (a.min(b), a.max(b));
            Piece { text: format!("{from}-{to}"), values: (from..=to).collect() }
        }),
        2 => (least..=most, 1..10_u16).prop_map(move |(from, step)| Piece {
            text: format!("{from}/{step}"),
            values: (from..=most).step_by(usize::from(step)).collect(),
        }),
        1 => (least..=most, least..=most)
            .prop_map(|(a, b)| Piece { text: format!("{a},{b}"), values: vec![a, b] }),
    ]
}

#[derive(Clone, Debug)]
enum Days {
    OfMonth(Piece),
    Last,
    Nearest(u16),
    OfWeek(Piece),
    LastOf(u16),
    Nth(u16, u16),
}

fn days() -> impl Strategy<Value = Days> {
    prop_oneof![
        3 => number(1, 31).prop_map(Days::OfMonth),
        1 => Just(Days::Last),
        1 => (1..=31_u16).prop_map(Days::Nearest),
        3 => number(1, 7).prop_map(Days::OfWeek),
        1 => (1..=7_u16).prop_map(Days::LastOf),
        1 => (1..=7_u16, 1..=5_u16).prop_map(|(day, nth)| Days::Nth(day, nth)),
    ]
}

impl Days {
    fn texts(&self) -> (String, String) {
        let any = || "?".to_owned();
        match self {
            Self::OfMonth(piece) => (piece.text.clone(), any()),
            Self::Last => ("L".to_owned(), any()),
            Self::Nearest(day) => (format!("{day}W"), any()),
            Self::OfWeek(piece) => (any(), piece.text.clone()),
            Self::LastOf(day) => (any(), format!("{day}L")),
            Self::Nth(day, nth) => (any(), format!("{day}#{nth}")),
        }
    }

    fn hold(&self, date: Date) -> bool {
        let day = date.day() as u16;
        let weekday = |date: Date| date.weekday().to_sunday_one_offset() as u16;
        let in_month = |date: &Date, other: Date| date.month() == other.month();
        match self {
            Self::OfMonth(piece) => piece.values.contains(&day),
            Self::Last => !in_month(&date.tomorrow().expect("within the calendar"), date),
            Self::Nearest(wanted) => {
                // All weekdays of the month by how far they are from the wanted one, which must exist.
                let first = date.first_of_month();
                let all = (0..date.days_in_month()).map(|n| first + i64::from(n).days());
                let is_weekday =
                    |it: &Date| !matches!(it.weekday(), Weekday::Saturday | Weekday::Sunday);
                let nearest = all
                    .filter(is_weekday)
                    .min_by_key(|it| (i32::from(it.day()) - i32::from(*wanted)).abs());
                *wanted <= date.days_in_month() as u16 && nearest == Some(date)
            }
            Self::OfWeek(piece) => piece.values.contains(&weekday(date)),
            Self::LastOf(wanted) => weekday(date) == *wanted && !in_month(&(date + 7.days()), date),
            Self::Nth(wanted, nth) => {
                let earlier =
                    (0..5).map(|n| date - (7 * n).days()).take_while(|it| in_month(it, date));
                weekday(date) == *wanted && earlier.count() == usize::from(*nth)
            }
        }
    }
}

/// The first minute after `after` that holds, looked for minute by minute over so many days.
fn oracle(
    holds: impl Fn(DateTime) -> bool,
    after: Timestamp,
    zone: &TimeZone,
    days: i64,
) -> Option<Timestamp> {
    let first = (after.as_second().div_euclid(60) + 1) * 60;
    (0..days * 1440).find_map(|minute| {
        let at = Timestamp::from_second(first).ok()? + SignedDuration::from_mins(minute);
        let local = zone.to_datetime(at);
        let meant = zone.to_ambiguous_timestamp(local);
        // The second of two equal times on the clock does not count.
        let is_repeated =
            matches!(meant.offset(), AmbiguousOffset::Fold { .. }) && meant.earlier().ok()? != at;
        (holds(local) && !is_repeated).then_some(at)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    // The next time of a cron expression is the one that a look at each single minute finds, clock changes included.
    #[test]
    fn the_next_time_is_the_next(
        minutes in number(0, 59),
        hours in number(0, 23),
        days in days(),
        months in number(1, 12),
        year in prop_oneof![Just(None), (2026..2029_u16).prop_map(Some)],
        second in 1_793_000_000..1_830_000_000_i64,
        zone in prop_oneof![Just("UTC"), Just("Europe/Berlin"), Just("America/New_York"), Just("Australia/Lord_Howe")],
    ) {
        let zone = TimeZone::get(zone).expect("a zone");
        let (of_month, of_week) = days.texts();
        let years = year.map_or("*".to_owned(), |year| year.to_string());
        let text = format!(
            "{} {} {of_month} {} {of_week} {years}", minutes.text, hours.text, months.text
        );
        let cron: Cron = text.parse().expect("a cron expression");
        let after = Timestamp::from_second(second).expect("a time");
        let holds = |at: DateTime| {
            months.values.contains(&(at.month() as u16))
                && days.hold(at.date())
                && year.is_none_or(|year| year == at.year() as u16)
                && hours.values.contains(&(at.hour() as u16))
                && minutes.values.contains(&(at.minute() as u16))
        };
        const DAYS: i64 = 100;
        let found = cron.next_after(after, &zone);
        let horizon = after + SignedDuration::from_hours(24 * DAYS - 1);
        let expected = oracle(holds, after, &zone, DAYS);
        prop_assert_eq!(found.filter(|at| *at < horizon), expected.filter(|at| *at < horizon), "{}", text);
    }
}
