//! What is to happen when, in an order that does not depend on who asks.

use model::{FunctionId, HostId, InstanceId, Time};
use std::collections::BTreeSet;

/// What an alarm is about. Alarms of the same moment fire in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Alarm {
    /// The next thing due on an instance: its deadline, its rest, its idle limit or its lifetime.
    Instance(InstanceId),
    /// The oldest queued invocation of a function has waited too long.
    Queue(FunctionId),
    /// Of the instances of a function that are coming, one no longer counts, and an invocation waits.
    Grace(FunctionId),
    /// A tick of a host's keep-alive clock.
    Tick(HostId),
    /// A host was empty for long enough.
    Empty(HostId),
    /// Hosts may be started ahead (again).
    Ahead,
}

/// Alarms by time.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeSet<(Time, Alarm)>,
}

impl Timers {
    /// Moves an alarm: `slot` says when it was due and is told when it will be.
    pub(crate) fn set(&mut self, alarm: Alarm, slot: &mut Option<Time>, due: Option<Time>) {
        if *slot == due {
            return;
        }
        if let Some(old) = slot.take() {
            self.due.remove(&(old, alarm));
        }
        if let Some(new) = due {
            self.due.insert((new, alarm));
        }
        *slot = due;
    }

    /// Takes out the first alarm due at or before `now`. Its slot still holds the time.
    pub(crate) fn pop(&mut self, now: Time) -> Option<(Time, Alarm)> {
        if self.due.first()?.0 > now {
            return None;
        }
        self.due.pop_first()
    }

    /// When the first alarm is due.
    pub(crate) fn first(&self) -> Option<Time> {
        self.due.first().map(|&(due, _)| due)
    }
}
