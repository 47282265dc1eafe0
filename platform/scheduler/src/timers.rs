//! What is to happen when, in an order that does not depend on who asks.
//!
//! Deliberately knows nothing of what an alarm does. Nothing is taken out early: an alarm that was moved to a later time rings
//! at its old one, finds that nothing is due, and is set again.

use model::{FunctionId, HostId, InstanceId, Time, Wheel};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

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
    /// A function is expected to be invoked soon.
    Expected(FunctionId),
    /// Instances that are to be ready may be started again, after a failure.
    Provision(FunctionId),
    /// Hosts may be started ahead (again).
    Ahead,
}

/// When an alarm rings: at the first of these, then at the second. [`Time::MAX`] is never.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    next: Time,
    /// The time before the alarm was moved forward: it rings then as well, which spares another one.
    later: Time,
}

impl Default for Slot {
    fn default() -> Self {
        Self { next: Time::MAX, later: Time::MAX }
    }
}

impl Slot {
    /// Takes note that the alarm rings at `time`, and says whether it was meant to.
    pub(crate) fn rings(&mut self, time: Time) -> bool {
        let meant = self.next == time;
        if meant {
            (self.next, self.later) = (self.later, Time::MAX);
        }
        meant
    }
}

/// Alarms by time.
#[derive(Debug)]
pub(crate) struct Timers {
    wheel: Wheel<Alarm>,
    /// Alarms of the moment that was reached.
    due: BinaryHeap<Reverse<Alarm>>,
    /// When the first alarm rings; [`Time::MAX`] where there is none. Asked with each event.
    first: Time,
}

impl Default for Timers {
    fn default() -> Self {
        Self { wheel: Wheel::default(), due: BinaryHeap::new(), first: Time::MAX }
    }
}

impl Timers {
    /// Sees to it that the alarm rings at `due`, or earlier, which then is nothing but a reason to look.
    pub(crate) fn set(&mut self, alarm: Alarm, slot: &mut Slot, due: Time) {
        if slot.next <= due {
            return;
        }
        let due = due.max(self.wheel.now());
        if slot.later == Time::MAX {
            slot.later = slot.next;
        }
        slot.next = due;
        self.first = self.first.min(due);
        if let Err(alarm) = self.wheel.put(due, alarm) {
            self.due.push(Reverse(alarm));
        }
    }

    /// Takes out the first alarm at or before `now`.
    #[inline]
    pub(crate) fn pop(&mut self, now: Time) -> Option<(Time, Alarm)> {
        if self.first > now {
            return None;
        }
        self.take()
    }

    /// When the first alarm rings.
    #[inline]
    pub(crate) fn first(&self) -> Option<Time> {
        (self.first < Time::MAX).then_some(self.first)
    }

    /// Takes out the first alarm.
    fn take(&mut self) -> Option<(Time, Alarm)> {
        if self.due.is_empty() {
            self.wheel.advance(|alarm| self.due.push(Reverse(alarm)));
        }
        let Reverse(alarm) = self.due.pop()?;
        let now = self.wheel.now();
        self.first = match self.due.is_empty() {
            true => self.wheel.first().unwrap_or(Time::MAX),
            false => now,
        };
        Some((now, alarm))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring_all(timers: &mut Timers, now: u64) -> Vec<(u64, u64)> {
        let pop = || match timers.pop(Time::from_nanos(now)) {
            Some((time, Alarm::Instance(instance))) => Some((time.as_nanos(), instance.0)),
            other => {
                assert!(other.is_none(), "{other:?}");
                None
            }
        };
        std::iter::from_fn(pop).collect()
    }

    // Alarms ring by time, those of one moment by what they are about, whatever the order in which they were set.
    #[test]
    fn rings_in_order() {
        let mut timers = Timers::default();
        let mut expected = Vec::new();
        let mut time = 1_u64;
        for number in 0..3000 {
            time = time.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let due = match number % 3 {
                0 => time >> 44,
                1 => time >> 24,
                _ => 1 << (number % 60),
            };
            let alarm = Alarm::Instance(InstanceId(number));
            timers.set(alarm, &mut Slot::default(), Time::from_nanos(due));
            expected.push((due, number));
        }
        expected.sort_unstable();
        let mut rung = Vec::new();
        for now in [0, 5, 1 << 10, 1 << 18, 1 << 30, 1 << 39, u64::MAX - 1] {
            let due: Vec<_> = ring_all(&mut timers, now);
            assert!(due.iter().all(|&(time, _)| time <= now));
            assert!(timers.first().is_none_or(|first| first.as_nanos() > now));
            rung.extend(due);
        }
        assert_eq!(rung, expected);
    }

    // An alarm that is moved forward rings at both times, one that is moved back at the first, and neither rings twice.
    #[test]
    fn slots_remember_two_times() {
        let mut timers = Timers::default();
        let mut slot = Slot::default();
        let alarm = Alarm::Instance(InstanceId(1));
        for due in [50, 90, 20, 70] {
            timers.set(alarm, &mut slot, Time::from_nanos(due));
        }
        assert_eq!(ring_all(&mut timers, 30), [(20, 1)]);
        assert!(slot.rings(Time::from_nanos(20)));
        timers.set(alarm, &mut slot, Time::from_nanos(60));
        assert_eq!(ring_all(&mut timers, 100), [(50, 1)]);
        assert!(slot.rings(Time::from_nanos(50)) && !slot.rings(Time::from_nanos(50)));
    }

    // An alarm for a moment that is past rings at once.
    #[test]
    fn the_past_rings_now() {
        let mut timers = Timers::default();
        timers.set(Alarm::Ahead, &mut Slot::default(), Time::from_nanos(100));
        assert_eq!(timers.pop(Time::from_nanos(200)), Some((Time::from_nanos(100), Alarm::Ahead)));
        let mut slot = Slot::default();
        timers.set(Alarm::Ahead, &mut slot, Time::from_nanos(3));
        assert_eq!(timers.first(), Some(Time::from_nanos(100)));
        assert!(slot.rings(Time::from_nanos(100)));
    }
}
