//! One schedule: an expression with its zone, its beginning and its end.

use crate::Expression;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// When a schedule is due.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// How often.
    pub expression: Expression,
    /// The clock that it is read on.
    pub zone: TimeZone,
    /// When it begins.
    pub begin: Timestamp,
    /// What a rate does at its beginning.
    pub first: Begin,
    /// The last moment at which it may be due.
    pub end: Option<Timestamp>,
}

/// What a rate does at its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// It is due then (EventBridge Scheduler).
    Due,
    /// It is due one period later (a rule of EventBridge).
    Waits,
}

impl Schedule {
    /// When it is due first after `after`; None where it never is.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let from = after.max(self.begin.checked_sub(SignedDuration::from_nanos(1)).ok()?);
        let next = match &self.expression {
            Expression::Rate(_) if from < self.begin && self.first == Begin::Due => {
                Some(self.begin)
            }
            Expression::Rate(rate) => rate.next_after(from, self.begin),
            // A time before the beginning is due all the same: it was given for that very time.
            Expression::At(_) => self.expression.next_after(after, &self.zone),
            Expression::Cron(cron) => cron.next_after(from, &self.zone),
        };
        next.filter(|next| self.end.is_none_or(|end| *next <= end))
    }

    /// The last time after `after` and not after `now` at which it is due; None where there is none.
    pub fn last_between(&self, after: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let mut last = None;
        let mut from = after;
        if let Expression::Rate(rate) = &self.expression {
            // Its ticks can be counted: no need to go through them.
            let before = now.checked_sub(SignedDuration::from_secs(rate.seconds())).ok()?;
            from = from.max(before);
        }
        while let Some(next) = self.next_after(from).filter(|next| *next <= now) {
            last = Some(next);
            from = next;
        }
        last
    }
}
