//! Keep-alive of one length that is looked after from time to time only.

use super::{Idling, Keep};
use model::{Span, Time};

/// Every `every`, by one clock of the region, whatever has been idle for `limit` or longer goes. The clock's first tick is
/// drawn once, uniformly over one such interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// Idle time from which an instance is swept away, more than zero.
    pub limit: Span,
    /// From sweep to sweep, more than zero.
    pub every: Span,
}

impl Keep for Sweep {
    fn until(&self, it: &Idling) -> Time {
        let every = self.every.as_nanos().max(1);
        let first = it.region.below(every);
        let due = (it.now + self.limit).as_nanos();
        let ticks = due.saturating_sub(first).div_ceil(every);
        Time::from_nanos(first) + Span::from_nanos(every) * ticks
    }

    fn longest(&self) -> Option<Span> {
        Some(self.limit + self.every)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::test::idling;

    // Instances go at the first tick at or after their limit, and all ticks are one interval apart.
    #[test]
    fn sweeps_are_regular() {
        let (limit, every) = (Span::from_secs(10), Span::from_secs(4));
        let policy = Sweep { limit, every };
        let mut ends = Vec::new();
        for number in 0..100_u64 {
            let now = Time::ZERO + Span::from_millis(number * 777);
            let end = policy.until(&idling(now, number));
            assert!(end >= now + limit && end < now + limit + every);
            ends.push(end.as_nanos());
        }
        let phase = ends[0] % every.as_nanos();
        assert!(ends.iter().all(|end| end % every.as_nanos() == phase));
    }
}
