//! How an update spreads over a region.

use crate::lots::Lot;
use model::Span;

/// After an update, schedulers of the region learn of it one by one: for a time drawn uniformly up to `window`, some
/// invocations still go to the version before. An instance of that version serves one of them at most. What Wang et al.
/// (ATC'18, 5.5) found at AWS: 3.8 % of instances were outdated, 2 % of all had just been started so, and none was 6 s later.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Updates {
    /// Longest time for which the version before is used, more than zero.
    pub window: Span,
    /// Chance, 0 to 1, that an invocation in that time goes to an idle instance of the version before, where there is one.
    pub reuse_chance: f64,
    /// Chance, 0 to 1, that an instance that is started in that time is of the version before.
    pub start_chance: f64,
}

impl Updates {
    pub(crate) fn draw(&self, lot: Lot) -> Span {
        Span::from_secs_f64(self.window.as_secs_f64() * lot.unit())
    }
}
