//! Keep-alive of one fixed length.

use super::Keep;
use model::Span;

/// An instance goes when it has been idle for `limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixed {
    /// Longest idle time, more than zero.
    pub limit: Span,
}

impl Keep for Fixed {
    fn limit(&self) -> Span {
        self.limit
    }

    fn interval(&self) -> Option<Span> {
        None
    }

    fn kept(&self, idle: usize) -> usize {
        idle
    }
}
