//! No keep-alive.

use super::Keep;
use model::Span;

/// An instance goes as soon as it is idle and nothing waits for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoKeeping;

impl Keep for NoKeeping {
    fn limit(&self) -> Span {
        Span::ZERO
    }

    fn interval(&self) -> Option<Span> {
        None
    }

    fn kept(&self, idle: usize) -> usize {
        idle
    }
}
