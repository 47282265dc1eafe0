//! Keep-alive that halves idle pools by a clock of the host.

use super::Keep;
use model::Span;

/// Every `interval`, by a clock of each host, half of a function's idle instances on that host go; the last ones go at
/// `limit`. What Wang et al. (ATC'18, 5.3) found at AWS: every 300 s down to two or three, these after 27 minutes.
///
/// The exact rule. A host's clock ticks at `origin + k * interval`, where the origin is drawn once per host when it
/// becomes ready, uniformly over the interval before that moment; hosts are thus out of step. At a tick, for each
/// function with `n` instances idle on that host at that moment (however short; busy, starting and stopping instances
/// are neither counted nor touched), `max(ceil(n / 2), floor)` stay, the most recently idle ones; if `n` is at most
/// `floor`, all stay. Apart from ticks, an instance that has been idle for `limit` goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Halving {
    /// From tick to tick, more than zero.
    pub interval: Span,
    /// Idle instances of one function on one host that ticks leave alone.
    pub floor: u32,
    /// Longest idle time, more than zero.
    pub limit: Span,
}

impl Keep for Halving {
    fn limit(&self) -> Span {
        self.limit
    }

    fn interval(&self) -> Option<Span> {
        Some(self.interval)
    }

    fn kept(&self, idle: usize) -> usize {
        idle.div_ceil(2).max(self.floor as usize).min(idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A pool goes down by half, rounded up, to the floor and no further.
    #[test]
    fn halves_down_to_the_floor() {
        let halving = Halving { interval: Span::from_secs(3), floor: 2, limit: Span::from_secs(9) };
        let mut pool = 21;
        let mut sizes = Vec::new();
        while sizes.last() != Some(&pool) {
            sizes.push(pool);
            pool = halving.kept(pool);
        }
        assert_eq!(sizes, [21, 11, 6, 3, 2]);
        assert_eq!((halving.kept(1), halving.kept(0)), (1, 0));
    }
}
