//! Bounds and delays of the queue.

use model::Span;

/// Bounds and delays. The delays are those of AWS Lambda by default (developer guide, "How Lambda handles errors and
/// retries with asynchronous invocation", 2026-11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Events held at once, those of all functions together.
    pub events: u64,
    /// Bytes of all events held at once.
    pub bytes: u64,
    /// Events that run at once. As many functions again may have one that runs where others left no room.
    pub running: u32,
    /// How long after a function's first, second, … error its event is run again; the last one counts for all further.
    pub retry_delays: Vec<Span>,
    /// How long after the first refusal (throttled, or the platform's own error) an event is tried again; doubles each
    /// time.
    pub backoff_min: Span,
    /// Longest wait between two such tries.
    pub backoff_max: Span,
    /// How long a lane rests whose event was refused while nothing else of it ran: no more tries than one in this time.
    pub probe: Span,
    /// How long after its last refusal a lane may run more at once than then.
    pub regrowth: Span,
    /// How long after a failure to store its end that is tried again.
    pub finish_again: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // About 120 bytes of memory each.
            events: 200_000,
            bytes: 2 << 30,
            running: 1000,
            retry_delays: vec![Span::from_secs(60), Span::from_secs(120)],
            backoff_min: Span::from_secs(1),
            backoff_max: Span::from_secs(300),
            probe: Span::from_secs(1),
            regrowth: Span::from_secs(1),
            finish_again: Span::from_secs(1),
        }
    }
}

impl Limits {
    /// Wait after this many errors of the function, at least one.
    pub(crate) fn retry_delay(&self, failures: u32) -> Span {
        let at = (failures.max(1) as usize - 1).min(self.retry_delays.len().saturating_sub(1));
        self.retry_delays.get(at).copied().unwrap_or(Span::ZERO)
    }

    /// Wait after this many refusals, at least one.
    pub(crate) fn backoff(&self, refusals: u32) -> Span {
        let doublings = refusals.max(1) - 1;
        let wait = self.backoff_min * 1_u64.checked_shl(doublings).unwrap_or(u64::MAX);
        wait.min(self.backoff_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The delays are those that AWS documents: one and two minutes for errors, one second to five minutes for refusals.
    #[test]
    fn delays_are_the_documented_ones() {
        let limits = Limits::default();
        let errors: Vec<_> = (1..=3).map(|n| limits.retry_delay(n).as_millis() / 1000).collect();
        assert_eq!(errors, [60, 120, 120]);
        let refusals: Vec<_> =
            [1, 2, 3, 8, 9, 10, 64, 65, 1000].map(|n| limits.backoff(n).as_millis() / 1000).into();
        assert_eq!(refusals, [1, 2, 4, 128, 256, 300, 300, 300, 300]);
    }
}
