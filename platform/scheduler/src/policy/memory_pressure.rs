//! Keep-alive until the memory is needed.

use super::{Idling, Keep};
use model::{MemoryMib, Span, Time};

/// Idle instances stay until their memory is needed: when a new instance fits on none of the hosts that it may be on, the
/// least recently used idle ones of one of these go, before another host is made; and when all instances of the region
/// would exceed `pool`, the least recently used idle one of the region goes. As OpenWhisk's container pool does it
/// (`ContainerPool.scala`, "remove"), and caches do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryPressure {
    /// What all instances may add up to while one of them is idle; None for any sum.
    pub pool: Option<MemoryMib>,
}

impl Keep for MemoryPressure {
    fn until(&self, _: &Idling) -> Time {
        Time::MAX
    }

    fn longest(&self) -> Option<Span> {
        None
    }
}
