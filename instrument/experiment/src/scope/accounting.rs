//! How much the accounting experiment does.

use super::Basis;
use model::Span;

/// Scope of the accounting experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountingScope {
    /// Silences after a response in which work goes on, all at the same time: what idles for too long is gone, and tells
    /// nothing.
    pub silences: Vec<Span>,
    /// Functions for each silence.
    pub background_functions: u32,
    /// Rounds of billed invocations, a fresh function for each size and duration.
    pub rounds: u32,
    /// Memory sizes, MiB.
    pub memory_mib: Vec<u32>,
    /// How long billed invocations keep their function.
    pub durations: Vec<Span>,
}

impl AccountingScope {
    /// On this machine.
    pub(super) fn local(basis: &Basis) -> Self {
        let by = |quick: u32, default, full| basis.scale.pick(quick, default, full);
        Self {
            silences: vec![Span::from_millis(1_100)],
            background_functions: by(4, 10, 30),
            rounds: by(2, 5, 50),
            memory_mib: vec![basis.memory_range_mib.0],
            durations: [10, 125].map(Span::from_millis).to_vec(),
        }
    }

    /// On a cloud. The paper let work go on for hours on one platform; what it cost was next to nothing.
    pub(super) fn cloud(basis: &Basis) -> Self {
        let by = |quick: u32, default, full| basis.scale.pick(quick, default, full);
        let silences: &[u64] = basis.scale.pick(&[10], &[10, 120], &[5, 30, 180, 1_080]);
        Self {
            silences: silences.iter().map(|secs| Span::from_secs(*secs)).collect(),
            background_functions: by(3, 10, 10),
            rounds: by(3, 10, 50),
            memory_mib: basis.sizes(basis.scale.pick(&[128][..], &[128, 1024], &[128, 512, 1536])),
            durations: [10, 125, 1_050].map(Span::from_millis).to_vec(),
        }
    }
}
