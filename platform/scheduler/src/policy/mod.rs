//! The choices that a profile can make: one trait per kind of policy, one file per policy.
//!
//! Deliberately knows nothing of events, actions or the scheduler's state beyond what it is shown.

mod bin_pack;
mod fixed;
mod halving;
mod none;
mod spread;

pub use bin_pack::BinPack;
pub use fixed::Fixed;
pub use halving::Halving;
pub use none::NoKeeping;
pub use spread::Spread;

use crate::rooms::{Owner, Rooms};
use model::{HostId, MemoryMib, Span};

/// Where a new instance goes.
#[derive(Clone, Debug, PartialEq)]
pub enum Placement {
    /// See [`BinPack`].
    BinPack(BinPack),
    /// See [`Spread`].
    Spread(Spread),
}

/// How long idle instances are kept.
#[derive(Clone, Debug, PartialEq)]
pub enum KeepAlive {
    /// See [`NoKeeping`].
    None(NoKeeping),
    /// See [`Fixed`].
    Fixed(Fixed),
    /// See [`Halving`].
    Halving(Halving),
}

/// What is to be placed.
pub(crate) struct Want {
    /// Who may be on the host.
    pub(crate) owner: Owner,
    /// Memory of the instance.
    pub(crate) memory: MemoryMib,
    /// Whether the machine has room for another host.
    pub(crate) growth: Growth,
}

/// Whether another host can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Growth {
    /// Yes.
    Possible,
    /// No: the machine is full.
    Impossible,
}

/// What a placement policy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// This host.
    Host(HostId),
    /// Another host.
    NewHost,
    /// Nothing that is there, and there can be no other.
    Nowhere,
}

/// Chooses the host of a new instance. Hosts that are starting count like those that are ready.
pub(crate) trait Place {
    /// The choice, in time no worse than logarithmic in the number of hosts.
    fn choose(&self, rooms: &Rooms, want: &Want) -> Choice;
}

/// Decides when idle instances go.
pub(crate) trait Keep {
    /// The longest time that an instance stays idle.
    fn limit(&self) -> Span;

    /// How often each host's clock ticks, where the policy has such a clock.
    fn interval(&self) -> Option<Span>;

    /// At a tick: how many of a function's `idle` instances on one host stay. At most `idle`.
    fn kept(&self, idle: usize) -> usize;
}

impl Placement {
    pub(crate) fn policy(&self) -> &dyn Place {
        match self {
            Self::BinPack(policy) => policy,
            Self::Spread(policy) => policy,
        }
    }
}

impl KeepAlive {
    pub(crate) fn policy(&self) -> &dyn Keep {
        match self {
            Self::None(policy) => policy,
            Self::Fixed(policy) => policy,
            Self::Halving(policy) => policy,
        }
    }

    /// The longest time that an instance stays idle.
    pub fn limit(&self) -> Span {
        self.policy().limit()
    }
}
