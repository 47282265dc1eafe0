//! Many schedules: which one is due.

use crate::Schedule;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// Schedules by key, and what comes next.
///
/// Ticks that were missed, as while the platform was down, are not made up for one by one: the last of them is due at
/// once, unless it is older than the schedule's patience.
#[derive(Debug)]
pub struct Timetable<K> {
    schedules: BTreeMap<K, Row>,
    agenda: BTreeSet<(Timestamp, K)>,
}

#[derive(Debug)]
struct Row {
    schedule: Schedule,
    patience: SignedDuration,
    /// The last tick that counts as done.
    done: Timestamp,
    next: Option<Timestamp>,
}

/// A schedule is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick<K> {
    /// Which.
    pub key: K,
    /// For when. It may be past.
    pub at: Timestamp,
    /// Whether it is never due again.
    pub is_last: bool,
}

impl<K> Default for Timetable<K> {
    fn default() -> Self {
        Self { schedules: BTreeMap::new(), agenda: BTreeSet::new() }
    }
}

impl<K: Ord + Clone> Timetable<K> {
    /// Adds a schedule, or replaces it: ticks up to `done` are done. A tick is given up when it is older than `patience`.
    pub fn set(&mut self, key: K, schedule: Schedule, patience: SignedDuration, done: Timestamp) {
        self.remove(&key);
        let next = schedule.next_after(done);
        if let Some(next) = next {
            self.agenda.insert((next, key.clone()));
        }
        self.schedules.insert(key, Row { schedule, patience, done, next });
    }

    /// Removes a schedule.
    pub fn remove(&mut self, key: &K) {
        if let Some(row) = self.schedules.remove(key)
            && let Some(next) = row.next
        {
            self.agenda.remove(&(next, key.clone()));
        }
    }

    /// When to come back.
    pub fn next_timeout(&self) -> Option<Timestamp> {
        self.agenda.first().map(|(at, _)| *at)
    }

    /// A schedule that is due now; each of them once, however many ticks were missed.
    pub fn pop(&mut self, now: Timestamp) -> Option<Tick<K>> {
        while let Some((at, key)) = self.agenda.first().cloned()
            && at <= now
        {
            self.agenda.pop_first();
            let Some(row) = self.schedules.get_mut(&key) else { continue };
            let oldest = now.checked_sub(row.patience).unwrap_or(Timestamp::MIN);
            let due = row.schedule.last_between(row.done.max(oldest), now);
            row.done = due.unwrap_or(now);
            row.next = row.schedule.next_after(now);
            if let Some(next) = row.next {
                self.agenda.insert((next, key.clone()));
            }
            if let Some(at) = due {
                return Some(Tick { key, at, is_last: row.next.is_none() });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Begin;
    use jiff::tz::TimeZone;

    fn time(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn schedule(expression: &str, begin: &str) -> Schedule {
        Schedule {
            expression: expression.parse().expect("an expression"),
            zone: TimeZone::UTC,
            begin: time(begin),
            first: Begin::Waits,
            end: None,
        }
    }

    fn pop_all(table: &mut Timetable<u8>, now: &str) -> Vec<(u8, String)> {
        let now = time(now);
        std::iter::from_fn(|| table.pop(now)).map(|tick| (tick.key, tick.at.to_string())).collect()
    }

    // After a gap each schedule is due once, for its last tick; what is too old is not; then the beat goes on.
    #[test]
    fn a_gap_makes_no_burst() {
        let mut table = Timetable::default();
        let begin = "2026-11-30T00:00:00Z";
        let hour = SignedDuration::from_hours(1);
        table.set(1, schedule("rate(1 minute)", begin), hour, time(begin));
        table.set(2, schedule("cron(0 6 * * ? *)", begin), hour, time(begin));
        table.set(3, schedule("at(2026-11-30T11:30:00)", begin), hour, time(begin));
        table.set(4, schedule("at(2026-11-30T05:00:00)", begin), hour, time(begin));
        assert_eq!(table.next_timeout(), Some(time("2026-11-30T00:01:00Z")));
        let mut due = pop_all(&mut table, "2026-11-30T12:00:30Z");
        due.sort();
        let expected =
            [(1, "2026-11-30T12:00:00Z".to_owned()), (3, "2026-11-30T11:30:00Z".to_owned())];
        assert_eq!(due, expected);
        assert_eq!(pop_all(&mut table, "2026-11-30T12:00:59Z"), []);
        assert_eq!(pop_all(&mut table, "2026-11-30T12:01:00Z").len(), 1);
        table.remove(&1);
        assert_eq!(table.next_timeout(), Some(time("2026-12-01T06:00:00Z")));
    }

    // A rate of Scheduler is due as it begins, one of a rule a period later; neither before its beginning or after its end.
    #[test]
    fn beginnings_and_ends_hold() {
        let mut rate = schedule("rate(1 hour)", "2026-11-30T12:00:00Z");
        rate.end = Some(time("2026-11-30T14:00:00Z"));
        let next = |rate: &Schedule, after| rate.next_after(time(after)).map(|at| at.to_string());
        assert_eq!(next(&rate, "2026-11-01T00:00:00Z").as_deref(), Some("2026-11-30T13:00:00Z"));
        rate.first = Begin::Due;
        assert_eq!(next(&rate, "2026-11-01T00:00:00Z").as_deref(), Some("2026-11-30T12:00:00Z"));
        assert_eq!(next(&rate, "2026-11-30T13:30:00Z").as_deref(), Some("2026-11-30T14:00:00Z"));
        assert_eq!(next(&rate, "2026-11-30T14:00:00Z"), None);
    }
}
