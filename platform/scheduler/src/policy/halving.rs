//! Keep-alive that halves idle pools by a clock of the host.

use super::{Idling, Keep};
use model::{Span, Time};
use serde::Deserialize;

/// Every `interval`, by a clock of each host, half of a function's idle instances on that host go; the last ones go at
/// `limit`. What Wang et al. (ATC'18, 5.3) found at AWS: every 300 s down to two or three, these after 27 minutes.
///
/// The exact rule. A host's clock ticks at `origin + k * interval`, where the origin is drawn once per host when it
/// becomes ready, uniformly over the interval before that moment; hosts are thus out of step. At a tick, for each
/// function with `n` instances idle on that host at that moment (however short; busy, starting and stopping instances
/// are neither counted nor touched), `max(ceil(n / 2), floor)` stay, the most recently idle ones; if `n` is at most
/// `floor`, all stay. Apart from ticks, an instance that has been idle for `limit` goes.
///
/// With [`Clock::Instance`] no host has a clock: each instance ticks alone, every `interval` since it became idle, and goes at
/// each of its ticks with a chance of one half, unless no more than `floor` of its function are idle on its host. Pools are
/// then halved on average, and instances go one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Halving {
    /// From tick to tick, more than zero.
    pub interval: Span,
    /// Idle instances of one function on one host that ticks leave alone.
    pub floor: u32,
    /// Longest idle time, more than zero.
    pub limit: Span,
    /// Whose clock it is.
    pub clock: Clock,
}

/// Whose clock halves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// Each host's.
    #[default]
    Host,
    /// Each instance's.
    Instance,
}

impl Keep for Halving {
    fn until(&self, it: &Idling) -> Time {
        let ticks = match self.clock {
            Clock::Host => u64::MAX,
            // The first of a row of tosses that is lost: n with a chance of 2^-n.
            Clock::Instance => 1 + u64::from(it.period.below(u64::MAX).leading_zeros()),
        };
        it.now + (self.interval * ticks).min(self.limit)
    }

    fn longest(&self) -> Option<Span> {
        Some(self.limit)
    }

    fn interval(&self) -> Option<Span> {
        (self.clock == Clock::Host).then_some(self.interval)
    }

    fn spared(&self, now: Time, since: Time, idle: usize) -> Option<Time> {
        let last = since + self.limit;
        let spared = self.ticks_alone() && now < last && idle <= self.floor as usize;
        spared.then(|| (now + self.interval).min(last))
    }

    fn ticks_alone(&self) -> bool {
        self.clock == Clock::Instance
    }

    fn kept(&self, idle: usize) -> usize {
        idle.div_ceil(2).max(self.floor as usize).min(idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::test::idling;

    fn halving(clock: Clock) -> Halving {
        Halving { interval: Span::from_secs(3), floor: 2, limit: Span::from_secs(9), clock }
    }

    // A pool goes down by half, rounded up, to the floor and no further.
    #[test]
    fn halves_down_to_the_floor() {
        let halving = halving(Clock::Host);
        let mut pool = 21;
        let mut sizes = Vec::new();
        while sizes.last() != Some(&pool) {
            sizes.push(pool);
            pool = halving.kept(pool);
        }
        assert_eq!(sizes, [21, 11, 6, 3, 2]);
        assert_eq!((halving.kept(1), halving.kept(0)), (1, 0));
    }

    // By clocks of their own, half of the instances go at each tick, all at the limit, and none below the floor.
    #[test]
    fn clocks_of_their_own_halve_on_average() {
        let halving = halving(Clock::Instance);
        let at = |secs| Time::ZERO + Span::from_secs(secs);
        let ends: Vec<Time> = (0..4_000).map(|n| halving.until(&idling(at(0), n))).collect();
        let count = |secs| ends.iter().filter(|&&end| end == at(secs)).count();
        assert_eq!(count(3) + count(6) + count(9), 4_000);
        assert!(count(3).abs_diff(2_000) < 160 && count(6).abs_diff(1_000) < 140);
        assert_eq!(halving.spared(at(3), at(0), 3), None);
        assert_eq!(halving.spared(at(3), at(0), 2), Some(at(6)));
        assert_eq!(halving.spared(at(9), at(0), 1), None);
    }
}
