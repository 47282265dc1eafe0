//! Keep-alive that forgets how long an instance has been idle.

use super::{Idling, Keep};
use model::{Span, Time};

/// Each time that an instance becomes idle, its limit is drawn anew from an exponential distribution of this mean: at any
/// moment an idle instance is as likely to go as at any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memoryless {
    /// Mean idle limit, more than zero.
    pub mean: Span,
}

impl Keep for Memoryless {
    fn until(&self, it: &Idling) -> Time {
        it.now + Span::from_secs_f64(self.mean.as_secs_f64() * it.period.exponential())
    }

    fn longest(&self) -> Option<Span> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::test::idling;

    // Of many instances the share exp(-t / mean) outlasts t, and the same share of those outlasts another t.
    #[test]
    fn limits_are_exponential() {
        let policy = Memoryless { mean: Span::from_secs(100) };
        let now = Time::from_nanos(5);
        let outlast = |secs| {
            let end = now + Span::from_secs(secs);
            (0..10_000).filter(|&number| policy.until(&idling(now, number)) > end).count() as f64
        };
        assert!((outlast(50) / 1e4 - (-0.5_f64).exp()).abs() < 0.02);
        assert!((outlast(100) / outlast(50) - (-0.5_f64).exp()).abs() < 0.03);
    }
}
