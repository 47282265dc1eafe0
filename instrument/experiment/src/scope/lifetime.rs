//! How much the lifetime experiment does.

use super::Basis;
use model::Span;

/// Scope of the lifetime experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct LifetimeScope {
    /// Between two requests to one function (the paper: 5, 30 and 60 s).
    pub intervals: Vec<Span>,
    /// Memory sizes, MiB.
    pub memory_mib: Vec<u32>,
    /// Functions for each interval and size.
    pub functions: u32,
    /// How long they are watched (the paper: 7 days, and 50 lifetimes per setting).
    pub watch: Span,
}

impl LifetimeScope {
    /// On this machine: a little longer than the study profile lets an instance live.
    pub(super) fn local(basis: &Basis) -> Self {
        let by = |quick: u32, default, full| basis.scale.pick(quick, default, full);
        Self {
            intervals: [200, 500, 1_000].map(Span::from_millis).to_vec(),
            memory_mib: vec![basis.memory_range_mib.0],
            functions: by(2, 6, 10),
            watch: Span::from_millis(u64::from(by(8_100, 8_100, 42_000))),
        }
    }

    /// On a cloud, by the paper's design.
    pub(super) fn cloud(basis: &Basis) -> Self {
        const HOUR_S: u64 = 3_600;
        let by = |quick: u32, default, full| basis.scale.pick(quick, default, full);
        Self {
            intervals: basis
                .scale
                .pick(vec![60], vec![30, 60], vec![5, 30, 60])
                .into_iter()
                .map(Span::from_secs)
                .collect(),
            memory_mib: basis.sizes(basis.scale.pick(&[128][..], &[128], &[128, 1536])),
            functions: by(5, 10, 10),
            watch: Span::from_secs(HOUR_S * u64::from(by(2, 24, 168))),
        }
    }
}
