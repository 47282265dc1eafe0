//! What will happen, in the order of time and, at one moment, in the order in which it was decided.
//!
//! Deliberately knows nothing of what it holds. A wheel of wheels: a thing is put into a bucket by the highest digit in which
//! its time differs from the last one's that was taken out, and moves down as that time comes near. Nothing is compared or
//! searched, so that thousands of things take no longer than a few, and what comes next stands together.

use crate::Time;
use std::collections::VecDeque;

/// Bits of a digit.
const BITS: u32 = 6;

/// Buckets of one wheel.
const SLOTS: usize = 1 << BITS;

/// Wheels for 64 bits of time.
const WHEELS: usize = 64_usize.div_ceil(BITS as usize);

/// Things up to which an emptied bucket keeps its memory.
const KEPT: usize = 1024;

/// Things by time.
#[derive(Debug)]
pub struct Agenda<T> {
    /// The moment that was reached. Nothing is earlier.
    now: u64,
    /// What happens at that moment.
    due: VecDeque<T>,
    buckets: Vec<Bucket<T>>,
    /// Which buckets of each wheel have things.
    filled: [u64; WHEELS],
}

#[derive(Debug)]
struct Bucket<T> {
    things: Vec<(u64, T)>,
    first: u64,
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        let empty = || Bucket { things: Vec::new(), first: u64::MAX };
        Self {
            now: 0,
            due: VecDeque::new(),
            buckets: std::iter::repeat_with(empty).take(WHEELS * SLOTS).collect(),
            filled: [0; WHEELS],
        }
    }
}

impl<T> Agenda<T> {
    /// Notes a thing for that moment; one that is past is as good as the last one reached.
    pub fn put(&mut self, at: Time, thing: T) {
        let at = at.as_nanos().max(self.now);
        let differs = at ^ self.now;
        if differs == 0 {
            return self.due.push_back(thing);
        }
        let wheel = (63 - differs.leading_zeros()) / BITS;
        let slot = (at >> (wheel * BITS)) as usize % SLOTS;
        self.filled[wheel as usize] |= 1 << slot;
        let bucket = &mut self.buckets[wheel as usize * SLOTS + slot];
        bucket.first = bucket.first.min(at);
        bucket.things.push((at, thing));
    }

    /// When the first thing is due.
    pub fn first(&self) -> Option<Time> {
        if !self.due.is_empty() {
            return Some(Time::from_nanos(self.now));
        }
        self.lowest().map(|index| Time::from_nanos(self.buckets[index].first))
    }

    /// Takes the first thing out.
    pub fn pop(&mut self) -> Option<(Time, T)> {
        loop {
            if let Some(thing) = self.due.pop_front() {
                return Some((Time::from_nanos(self.now), thing));
            }
            let index = self.lowest()?;
            self.now = self.buckets[index].first;
            self.filled[index / SLOTS] &= !(1 << (index % SLOTS));
            self.buckets[index].first = u64::MAX;
            let mut things = std::mem::take(&mut self.buckets[index].things);
            for (at, thing) in things.drain(..) {
                self.put(Time::from_nanos(at), thing);
            }
            if things.capacity() <= KEPT {
                self.buckets[index].things = things;
            }
        }
    }

    /// All things, nearly in the order in which they will happen: those of one bucket are in no order yet.
    pub fn soon(&self) -> impl Iterator<Item = &T> {
        let filled = self.buckets.chunks(SLOTS).zip(self.filled).filter(|(_, filled)| *filled != 0);
        let buckets =
            filled.flat_map(|(wheel, filled)| wheel.iter().skip(filled.trailing_zeros() as usize));
        self.due.iter().chain(buckets.flat_map(|bucket| &bucket.things).map(|(_, thing)| thing))
    }

    /// The bucket that holds the first thing: the first one of the finest wheel that has any.
    fn lowest(&self) -> Option<usize> {
        let wheel = self.filled.iter().position(|&filled| filled != 0)?;
        Some(wheel * SLOTS + self.filled[wheel].trailing_zeros() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Time decides, and at one moment the order of decision; what is decided late for a moment comes last there.
    #[test]
    fn first_come_first_served() {
        let mut agenda = Agenda::default();
        for (at, thing) in [(5, 'c'), (1, 'a'), (5, 'd'), (1, 'b')] {
            agenda.put(Time::from_nanos(at), thing);
        }
        assert_eq!(agenda.first(), Some(Time::from_nanos(1)));
        assert_eq!(agenda.pop(), Some((Time::from_nanos(1), 'a')));
        agenda.put(Time::from_nanos(5), 'e');
        agenda.put(Time::from_nanos(0), 'B');
        let order: String = std::iter::from_fn(|| agenda.pop()).map(|(_, thing)| thing).collect();
        assert_eq!(order, "bBcde");
        assert_eq!(agenda.first(), None);
    }

    // Of any times, things come out as a stable sort has them, also those that are put in meanwhile; and the first ones are
    // among the first that are said to be soon.
    #[test]
    fn things_come_in_order() {
        let mut agenda = Agenda::default();
        let (mut state, mut waiting, mut now) = (1_u64, Vec::new(), 0);
        for number in 0..3_000_u64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let after = [state >> 62, state >> 54, state >> 40, state >> 20][(number % 4) as usize];
            agenda.put(Time::from_nanos(now + after), number);
            waiting.push((now + after, number));
            if number % 2 == 1 {
                waiting.sort_unstable();
                let (at, first) = waiting.remove(0);
                assert_eq!(agenda.first(), Some(Time::from_nanos(at)));
                assert!(agenda.soon().take(SLOTS).any(|thing| *thing == first), "{first}");
                assert_eq!(agenda.pop(), Some((Time::from_nanos(at), first)));
                now = at;
            }
            assert_eq!(agenda.soon().count(), waiting.len());
        }
    }
}
