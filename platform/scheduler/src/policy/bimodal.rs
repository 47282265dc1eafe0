//! Keep-alive of two lengths.

use super::{Idling, Keep};
use model::{Span, Time};

/// An instance has one of two limits, for as long as it lives: `long` with a chance of `long_share`, else `short`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bimodal {
    /// The shorter limit, more than zero.
    pub short: Span,
    /// The longer limit, at least the shorter.
    pub long: Span,
    /// Share of instances with the longer limit, 0 to 1.
    pub long_share: f64,
}

impl Keep for Bimodal {
    fn until(&self, it: &Idling) -> Time {
        let limit = if it.instance.happens(self.long_share) { self.long } else { self.short };
        it.now + limit
    }

    fn longest(&self) -> Option<Span> {
        Some(self.long)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::test::idling;

    // The share of long limits is what it is said to be, and there is nothing in between.
    #[test]
    fn limits_are_two() {
        let (short, long) = (Span::from_secs(1), Span::from_secs(9));
        let policy = Bimodal { short, long, long_share: 0.3 };
        let ends: Vec<Time> = (0..10_000).map(|n| policy.until(&idling(Time::ZERO, n))).collect();
        let many = ends.iter().filter(|&&end| end == Time::ZERO + long).count();
        assert!((2_750..3_250).contains(&many), "{many} of 10000");
        assert!(ends.iter().all(|&end| end == Time::ZERO + long || end == Time::ZERO + short));
    }
}
