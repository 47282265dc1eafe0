//! How much is done where instances share something of their host: its disk, its network.

use super::{Basis, BurstSpan, Scale};
use model::Span;

/// Scope of what disk and network experiments have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct SharingScope {
    /// Rounds: a fresh function per memory size, alone and then beside others.
    pub rounds: u32,
    /// Memory sizes of instances alone, MiB.
    pub memory_mib: Vec<u32>,
    /// Memory size of instances beside others, MiB.
    pub shared_memory_mib: u32,
    /// Intended colevels.
    pub colevels: Vec<u32>,
    /// From the sending of a burst to the moment at which all its instances begin.
    pub barrier: BurstSpan,
    /// CPUs that the platform shares with the vantage point; None where it runs on machines of its own.
    pub shared_cores: Option<u32>,
}

/// Scope of the disk experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct DiskScope {
    /// Who and how often.
    pub sharing: SharingScope,
    /// Blocks of 512 KiB that each instance writes, synchronises and reads back (the paper: 1,000 in all).
    pub blocks: u64,
    /// What that is expected to take alone; for plans only.
    pub takes: Span,
}

/// Scope of the network experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkScope {
    /// Who and how often.
    pub sharing: SharingScope,
    /// How long each instance sends (the paper: 1 s).
    pub window: Span,
}

impl SharingScope {
    fn local(basis: &Basis) -> Self {
        let smallest = basis.memory_range_mib.0;
        let scale = basis.scale;
        Self {
            rounds: scale.pick(3, 10, 50),
            memory_mib: vec![smallest],
            shared_memory_mib: smallest,
            colevels: scale.pick(vec![6], vec![6], vec![1, 2, 3, 4, 5, 6]),
            barrier: BurstSpan { base: Span::from_millis(120), per_request: Span::from_millis(8) },
            shared_cores: Some(basis.cores),
        }
    }

    fn cloud(basis: &Basis, hold: BurstSpan) -> Self {
        let scale = basis.scale;
        let sizes = scale.pick(&[128][..], &[128, 512, 1536], &[128, 256, 512, 1024, 1536]);
        Self {
            rounds: scale.pick(5, 15, 50),
            memory_mib: basis.sizes(sizes),
            shared_memory_mib: basis.memory_range_mib.0,
            colevels: scale.pick(vec![2, 6], vec![2, 8, 20], vec![1, 2, 5, 10, 15, 20]),
            barrier: hold,
            shared_cores: None,
        }
    }
}

impl DiskScope {
    pub(super) fn local(basis: &Basis) -> Self {
        let full = basis.scale == Scale::Full;
        let mut sharing = SharingScope::local(basis);
        if full {
            sharing.memory_mib = basis.sizes(&[128, 256, 512, 1024]);
        }
        Self {
            sharing,
            blocks: basis.scale.pick(8, 16, 100),
            takes: Span::from_millis(if full { 300 } else { 40 }),
        }
    }

    pub(super) fn cloud(basis: &Basis, hold: BurstSpan) -> Self {
        Self {
            sharing: SharingScope::cloud(basis, hold),
            blocks: basis.scale.pick(40, 40, 100),
            takes: Span::from_secs(1),
        }
    }
}

impl NetworkScope {
    /// On few cores with fewer beside each other: what instances send, the sink has to read on the same CPUs.
    pub(super) fn local(basis: &Basis) -> Self {
        let mut sharing = SharingScope::local(basis);
        if basis.cores < 3 {
            sharing.colevels = basis.scale.pick(vec![3], vec![3], vec![1, 2, 3]);
        }
        if basis.scale == Scale::Full {
            sharing.memory_mib = basis.sizes(&[128, 256]);
        }
        let window =
            basis.scale.pick(Span::from_millis(100), Span::from_millis(100), Span::from_secs(1));
        Self { sharing, window }
    }

    pub(super) fn cloud(basis: &Basis, hold: BurstSpan) -> Self {
        Self { sharing: SharingScope::cloud(basis, hold), window: Span::from_secs(1) }
    }
}
