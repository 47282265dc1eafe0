//! Memory times running time: what a plan expects to be billed for.
//!
//! Deliberately knows no prices: those are the target's, and whoever prints a plan has them.

use model::Span;
use std::iter::Sum;
use std::ops::Add;

/// How long a request that only answers is taken to run, for plans only: an assumption on the dear side, since a small
/// instance has a small share of a CPU (128 MB on AWS in 2018: 7.3 %, Wang et al., ATC 2018, figure 9).
pub(crate) const ANSWER: Span = Span::from_millis(50);

/// Memory times running time, in MiB times milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemoryTime(u64);

impl MemoryTime {
    /// Of so many requests to instances of this size, each of which runs so long; a part of a millisecond is a whole one
    /// (AWS Lambda pricing page).
    pub fn of(requests: u64, memory_mib: u32, each: Span) -> Self {
        Self(requests * u64::from(memory_mib) * each.as_nanos().div_ceil(1_000_000))
    }

    /// Of requests that only answer.
    pub(crate) fn of_answers(requests: u64, memory_mib: u32) -> Self {
        Self::of(requests, memory_mib, ANSWER)
    }

    /// In GiB-seconds.
    pub fn gib_s(self) -> f64 {
        self.0 as f64 / (1024.0 * 1e3)
    }
}

impl Add for MemoryTime {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sum for MemoryTime {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Two requests of 512 MiB that run for a second are one GiB-second, and what is begun of a millisecond counts whole.
    #[test]
    fn counts_gib_seconds() {
        assert_eq!(MemoryTime::of(2, 512, Span::from_secs(1)).gib_s(), 1.0);
        let begun = MemoryTime::of(1, 1024, Span::from_nanos(1));
        assert_eq!(begun, MemoryTime::of(1, 1024, Span::from_millis(1)));
        assert_eq!([begun, begun].into_iter().sum::<MemoryTime>().gib_s(), 0.002);
    }
}
