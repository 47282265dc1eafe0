//! What is to happen when, in an order that does not depend on who asks.
//!
//! Deliberately knows nothing of what an alarm does. A wheel of wheels: an alarm is put into a bucket by the highest digit
//! in which its time differs from now, and moves down as that time comes near. Nothing is searched and nothing is taken out
//! early: an alarm that was moved to a later time rings at its old one, finds that nothing is due, and is set again.

use model::{FunctionId, HostId, InstanceId, Time};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Bits of a digit.
const BITS: u32 = 5;

/// Buckets of one wheel.
const SLOTS: usize = 1 << BITS;

/// Wheels for 64 bits of time.
const WHEELS: usize = 64_usize.div_ceil(BITS as usize);

/// Alarms up to which an emptied bucket keeps its memory.
const KEPT: usize = 1024;

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
    /// The moment that was reached. No alarm is earlier.
    now: u64,
    /// When the first alarm rings; [`u64::MAX`] where there is none. Asked with each event.
    first: u64,
    /// Alarms of that moment.
    due: BinaryHeap<Reverse<Alarm>>,
    buckets: Vec<Bucket>,
    /// Which buckets of each wheel have alarms.
    filled: [u32; WHEELS],
}

#[derive(Clone, Debug)]
struct Bucket {
    alarms: Vec<(u64, Alarm)>,
    first: u64,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            now: 0,
            first: u64::MAX,
            due: BinaryHeap::new(),
            buckets: vec![Bucket { alarms: Vec::new(), first: u64::MAX }; WHEELS * SLOTS],
            filled: [0; WHEELS],
        }
    }
}

impl Timers {
    /// Sees to it that the alarm rings at `due`, or earlier, which then is nothing but a reason to look.
    pub(crate) fn set(&mut self, alarm: Alarm, slot: &mut Slot, due: Time) {
        if slot.next <= due {
            return;
        }
        let due = due.max(Time::from_nanos(self.now));
        if slot.later == Time::MAX {
            slot.later = slot.next;
        }
        slot.next = due;
        self.first = self.first.min(due.as_nanos());
        self.insert(due.as_nanos(), alarm);
    }

    /// Takes out the first alarm at or before `now`.
    #[inline]
    pub(crate) fn pop(&mut self, now: Time) -> Option<(Time, Alarm)> {
        if self.first > now.as_nanos() {
            return None;
        }
        let alarm = self.take();
        self.first = match self.due.is_empty() {
            true => self.lowest().map_or(u64::MAX, |index| self.buckets[index].first),
            false => self.now,
        };
        alarm
    }

    /// When the first alarm rings.
    #[inline]
    pub(crate) fn first(&self) -> Option<Time> {
        (self.first < u64::MAX).then(|| Time::from_nanos(self.first))
    }

    /// Takes out the first alarm.
    fn take(&mut self) -> Option<(Time, Alarm)> {
        loop {
            if let Some(Reverse(alarm)) = self.due.pop() {
                return Some((Time::from_nanos(self.now), alarm));
            }
            let index = self.lowest()?;
            self.now = self.buckets[index].first;
            self.filled[index / SLOTS] &= !(1 << (index % SLOTS));
            self.buckets[index].first = u64::MAX;
            let mut alarms = std::mem::take(&mut self.buckets[index].alarms);
            for (time, alarm) in alarms.drain(..) {
                self.insert(time, alarm);
            }
            if alarms.capacity() <= KEPT {
                self.buckets[index].alarms = alarms;
            }
        }
    }

    fn insert(&mut self, time: u64, alarm: Alarm) {
        let differs = time ^ self.now;
        if differs == 0 {
            return self.due.push(Reverse(alarm));
        }
        let wheel = (63 - differs.leading_zeros()) / BITS;
        let slot = (time >> (wheel * BITS)) as usize % SLOTS;
        self.filled[wheel as usize] |= 1 << slot;
        let bucket = &mut self.buckets[wheel as usize * SLOTS + slot];
        bucket.first = bucket.first.min(time);
        bucket.alarms.push((time, alarm));
    }

    /// The bucket that holds the first alarm: the first one of the finest wheel that has any.
    fn lowest(&self) -> Option<usize> {
        let wheel = self.filled.iter().position(|&filled| filled != 0)?;
        Some(wheel * SLOTS + self.filled[wheel].trailing_zeros() as usize)
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
