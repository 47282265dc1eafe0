//! How much the consistency experiment does.

use super::Basis;
use model::Span;

/// Scope of the consistency experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsistencyScope {
    /// Rounds (the paper: 100 per setting). Each has one update of each kind at each concurrency.
    pub rounds: u32,
    /// Concurrent requests before and right after an update (the paper: 1 and 50).
    pub concurrency: Vec<u32>,
    /// How long each concurrent request keeps its instance, so that there are as many instances as requests.
    pub keep: Span,
    /// Bursts that follow the first one after the update, to see whether outdated instances serve on.
    pub again: u32,
    /// Further waits between an acknowledgement and the first request (the paper: 6 s), at the smallest concurrency.
    pub waits: Vec<Span>,
    /// The memory size to which functions of the smallest size are changed, MiB.
    pub memory_mib: u32,
    /// The role to which functions of the first one are changed; None where there is no other.
    pub role: Option<u32>,
}

impl ConsistencyScope {
    /// On this machine, where an update that is not atomic would take effect within milliseconds.
    pub(super) fn local(basis: &Basis) -> Self {
        let by = |quick: u32, default, full| basis.scale.pick(quick, default, full);
        Self {
            rounds: by(2, 10, 100),
            concurrency: concurrency(basis, by(5, 8, 50)),
            keep: Span::from_millis(60),
            again: 2,
            waits: [50, 100].map(Span::from_millis).to_vec(),
            memory_mib: basis.size(2 * basis.memory_range_mib.0),
            role: (basis.roles > 1).then_some(1),
        }
    }

    /// On a cloud, with the paper's concurrency.
    pub(super) fn cloud(basis: &Basis) -> Self {
        let by = |quick: u32, default, full| basis.scale.pick(quick, default, full);
        let waits = basis.scale.pick(vec![6], vec![2, 4, 6, 8], vec![1, 2, 3, 4, 5, 6, 8, 10]);
        Self {
            rounds: by(2, 15, 100),
            concurrency: concurrency(basis, 50),
            keep: Span::from_secs(2),
            again: 2,
            waits: waits.into_iter().map(Span::from_secs).collect(),
            memory_mib: basis.size(2 * basis.memory_range_mib.0),
            role: (basis.roles > 1).then_some(1),
        }
    }
}

/// One, and so many that four functions at once stay within the limit.
fn concurrency(basis: &Basis, most: u32) -> Vec<u32> {
    let most = most.min(basis.max_concurrency / 4).max(1);
    if most == 1 { vec![1] } else { vec![1, most] }
}
