//! No keep-alive.

use super::{Idling, Keep};
use model::{Span, Time};

/// An instance goes as soon as it is idle and nothing waits for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoKeeping;

impl Keep for NoKeeping {
    fn until(&self, it: &Idling) -> Time {
        it.now
    }

    fn longest(&self) -> Option<Span> {
        Some(Span::ZERO)
    }
}
