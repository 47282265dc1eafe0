//! Keep-alive of one fixed length.

use super::{Idling, Keep};
use model::{Span, Time};

/// An instance goes when it has been idle for `limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixed {
    /// Longest idle time, more than zero.
    pub limit: Span,
}

impl Keep for Fixed {
    fn until(&self, it: &Idling) -> Time {
        it.now + self.limit
    }

    fn longest(&self) -> Option<Span> {
        Some(self.limit)
    }
}
