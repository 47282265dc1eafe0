//! How much the idle experiment does.

use super::Basis;
use model::Span;

/// Scope of the idle experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct IdleScope {
    /// Runtimes and memory sizes (MiB) for which the limit is searched.
    pub settings: Vec<(String, u32)>,
    /// Shortest and longest delay of the search (the paper: 1 and 120 min).
    pub range: (Span, Span),
    /// When the search's pairs begin.
    pub search: SearchStarts,
    /// Delays of a stage: a geometric grid in the search, even steps in refinements.
    pub delays: u32,
    /// Pairs per delay in search and refinement.
    pub pairs: u32,
    /// Pairs per delay in the confirmation, which has three delays (the paper: 100 in all).
    pub confirm_pairs: u32,
    /// Instances of one pool.
    pub pool: u32,
    /// Pools per delay; 0 leaves the pool's decay out.
    pub pools: u32,
    /// Delays of pools in the refinement, and again in the confirmation.
    pub pool_delays: u32,
    /// How pools are watched that shrink.
    pub watch: WatchScope,
    /// Silences on hosts that are kept busy.
    pub busy: BusyScope,
}

/// When pairs of the search begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchStarts {
    /// All at once, as far as cold starts allow.
    Together,
    /// Spread over the time that the longest delay leaves: who looks for idle instances now and then meets them at any
    /// idle time, which looks like one limit where all begin together.
    Spread,
}

/// How pools that shrink are looked at again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchScope {
    /// Pools at the same time, as far as concurrency goes; 0 leaves it out.
    pub pools: u32,
    /// Looks at each, after the first one.
    pub looks: u32,
    /// Looks in the time in which pools are halved once, as far as the holds leave half of it idle.
    pub per_interval: u32,
}

/// How silences on busy hosts are measured, once the limit elsewhere is known.
#[derive(Clone, Debug, PartialEq)]
pub struct BusyScope {
    /// Pairs at each silence; 0 leaves it out.
    pub pairs: u32,
    /// Silences beyond the limit elsewhere, as multiples of it, as far as the search's range goes.
    pub beyond: Vec<f64>,
    /// Between two uses of a host (the paper: 10 s).
    pub each: Span,
}

impl WatchScope {
    /// Ten halvings or so, each known to a fifth of what lies between them: an interval to about a fiftieth.
    const fn of(pools: u32) -> Self {
        Self { pools, looks: 48, per_interval: 5 }
    }
}

impl IdleScope {
    /// On this machine, where limits are seconds.
    pub(super) fn local(basis: &Basis) -> Self {
        let by = |quick: u32, default, full| basis.scale.pick(quick, default, full);
        Self {
            settings: basis.idle_settings(),
            range: (Span::from_secs(1), Span::from_secs(13)),
            // Starts would disturb on few cores.
            search: SearchStarts::Together,
            delays: by(16, 16, 20),
            pairs: 5,
            confirm_pairs: by(5, 10, 34),
            pool: 20,
            pools: 5,
            pool_delays: by(4, 4, 8),
            watch: WatchScope::of(by(0, 0, 2)),
            // No longer than an instance lives.
            busy: BusyScope { pairs: 5, beyond: vec![1.15], each: Span::from_millis(400) },
        }
    }

    /// On a cloud, with the paper's range.
    pub(super) fn cloud(basis: &Basis) -> Self {
        let by = |quick: u32, default, full| basis.scale.pick(quick, default, full);
        Self {
            settings: basis.idle_settings(),
            range: (Span::from_secs(60), Span::from_secs(7_200)),
            search: SearchStarts::Spread,
            delays: 20,
            pairs: 5,
            confirm_pairs: by(5, 10, 34),
            pool: 20,
            pools: 5,
            pool_delays: by(4, 8, 10),
            watch: WatchScope::of(by(0, 0, 5)),
            busy: BusyScope {
                pairs: by(5, 5, 10),
                beyond: vec![1.5, 2.0, 4.0],
                each: Span::from_secs(10),
            },
        }
    }
}
