//! A wheel of wheels: things by time, in memory that does not grow with how far ahead they are.
//!
//! A thing is put into a bucket by the highest digit in which its time differs from the moment that was reached, and moves down
//! as that time comes near. Nothing is compared or searched, so that thousands of things take no longer than a few, and what
//! comes next stands together. Deliberately knows nothing of the order within a moment: whoever has a wheel keeps what is due.

use crate::Time;

/// Bits of a digit.
const BITS: u32 = 6;

/// Buckets of one wheel.
const SLOTS: usize = 1 << BITS;

/// Wheels for 64 bits of time.
const WHEELS: usize = 64_usize.div_ceil(BITS as usize);

/// Things up to which an emptied bucket keeps its memory.
const KEPT: usize = 1024;

/// Things that are due later than the moment that was reached.
#[derive(Debug)]
pub struct Wheel<T> {
    /// The moment that was reached, in nanoseconds. Nothing is earlier.
    now: u64,
    buckets: Vec<Bucket<T>>,
    /// Which buckets of each wheel have things.
    filled: [u64; WHEELS],
}

#[derive(Debug)]
struct Bucket<T> {
    things: Vec<(u64, T)>,
    first: u64,
}

impl<T> Default for Wheel<T> {
    fn default() -> Self {
        let empty = || Bucket { things: Vec::new(), first: u64::MAX };
        Self {
            now: 0,
            buckets: std::iter::repeat_with(empty).take(WHEELS * SLOTS).collect(),
            filled: [0; WHEELS],
        }
    }
}

impl<T> Wheel<T> {
    /// The moment that was reached.
    #[inline]
    pub fn now(&self) -> Time {
        Time::from_nanos(self.now)
    }

    /// Puts a thing in. It comes back where it is due at the moment that was reached, or was before.
    #[inline]
    pub fn put(&mut self, at: Time, thing: T) -> Result<(), T> {
        let at = at.as_nanos();
        if at <= self.now {
            return Err(thing);
        }
        let wheel = (63 - (at ^ self.now).leading_zeros()) / BITS;
        let slot = (at >> (wheel * BITS)) as usize % SLOTS;
        self.filled[wheel as usize] |= 1 << slot;
        let bucket = &mut self.buckets[wheel as usize * SLOTS + slot];
        bucket.first = bucket.first.min(at);
        bucket.things.push((at, thing));
        Ok(())
    }

    /// When the first thing is due.
    #[inline]
    pub fn first(&self) -> Option<Time> {
        self.lowest().map(|index| Time::from_nanos(self.buckets[index].first))
    }

    /// Goes on to the moment at which the first thing is due, and hands over what is due then, in the order in which it was
    /// put in. Without anything it stays where it is.
    pub fn advance(&mut self, mut due: impl FnMut(T)) {
        let Some(index) = self.lowest() else { return };
        self.now = self.buckets[index].first;
        self.filled[index / SLOTS] &= !(1 << (index % SLOTS));
        self.buckets[index].first = u64::MAX;
        let mut things = std::mem::take(&mut self.buckets[index].things);
        for (at, thing) in things.drain(..) {
            if let Err(thing) = self.put(Time::from_nanos(at), thing) {
                due(thing);
            }
        }
        if things.capacity() <= KEPT {
            self.buckets[index].things = things;
        }
    }

    /// All things, nearly in the order in which they will be due: those of one bucket are in no order yet.
    pub fn soon(&self) -> impl Iterator<Item = &T> {
        let filled = self.buckets.chunks(SLOTS).zip(self.filled).filter(|(_, filled)| *filled != 0);
        let buckets =
            filled.flat_map(|(wheel, filled)| wheel.iter().skip(filled.trailing_zeros() as usize));
        buckets.flat_map(|bucket| &bucket.things).map(|(_, thing)| thing)
    }

    /// The bucket that holds the first thing: the first one of the finest wheel that has any.
    fn lowest(&self) -> Option<usize> {
        let wheel = self.filled.iter().position(|&filled| filled != 0)?;
        Some(wheel * SLOTS + self.filled[wheel].trailing_zeros() as usize)
    }
}
