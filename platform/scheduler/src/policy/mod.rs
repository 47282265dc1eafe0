//! The choices that a profile can make: one trait per kind of policy, one file per policy.
//!
//! Deliberately knows nothing of events, actions or the scheduler's state beyond what it is shown.

mod bimodal;
mod bin_pack;
mod fixed;
mod halving;
mod histogram;
mod least_contention;
mod lifetime;
mod memory_pressure;
mod memoryless;
mod none;
mod one_per_host;
mod random;
mod scaling;
mod spread;
mod sweep;
mod updates;

pub use bimodal::Bimodal;
pub use bin_pack::BinPack;
pub use fixed::Fixed;
pub use halving::{Clock, Halving};
pub use histogram::Histogram;
pub(crate) use histogram::{Habit, Windows};
pub use least_contention::{LeastContention, Weights};
pub use lifetime::Lifetime;
pub use memory_pressure::MemoryPressure;
pub use memoryless::Memoryless;
pub use none::NoKeeping;
pub use one_per_host::OnePerHost;
pub use random::Random;
pub use scaling::Scaling;
pub use spread::Spread;
pub use sweep::Sweep;
pub use updates::Updates;

use crate::lots::Lot;
use crate::rooms::{Owners, Rooms};
use model::{HostId, MemoryMib, Span, Time};

/// Where a new instance goes.
#[derive(Clone, Debug, PartialEq)]
pub enum Placement {
    /// See [`BinPack`].
    BinPack(BinPack),
    /// See [`Spread`].
    Spread(Spread),
    /// See [`Random`].
    Random(Random),
    /// See [`OnePerHost`].
    OnePerHost(OnePerHost),
    /// See [`LeastContention`].
    LeastContention(LeastContention),
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
    /// See [`Memoryless`].
    Memoryless(Memoryless),
    /// See [`Bimodal`].
    Bimodal(Bimodal),
    /// See [`Sweep`].
    Sweep(Sweep),
    /// See [`MemoryPressure`].
    MemoryPressure(MemoryPressure),
    /// See [`Histogram`].
    Histogram(Histogram),
}

/// What is to be placed.
pub(crate) struct Want {
    /// Whose hosts it may be on.
    pub(crate) owners: Owners,
    /// Memory of the instance.
    pub(crate) memory: MemoryMib,
    /// Whether the machine has room for another host.
    pub(crate) growth: Growth,
    /// Its lot.
    pub(crate) lot: Lot,
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
    /// The choice, in time no worse than logarithmic in the number of hosts where the policy does not say otherwise.
    fn choose(&self, rooms: &Rooms, want: &Want) -> Choice;

    /// Whether it asks how busy hosts are, so that this is to be kept.
    fn weighs_load(&self) -> bool {
        false
    }

    /// Whether an instance takes a whole host.
    fn company(&self) -> Company {
        Company::Welcome
    }
}

/// Whether instances can be together on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Company {
    /// As many as there is memory for.
    Welcome,
    /// Never: one per host.
    Refused,
}

/// An instance that becomes idle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Idling {
    /// When.
    pub(crate) now: Time,
    /// The lot of this one time of idleness.
    pub(crate) period: Lot,
    /// The instance's lot.
    pub(crate) instance: Lot,
    /// The region's lot.
    pub(crate) region: Lot,
    /// What the policy has learnt of the function, if it has and learns.
    pub(crate) windows: Option<Windows>,
    /// In what moment of the function's life.
    pub(crate) moment: Moment,
}

/// When an instance becomes idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// After its start, for which nothing waited.
    Ahead,
    /// After the last invocation in flight of its function.
    Quiet,
    /// While other invocations of its function run.
    Busy,
}

/// Decides when idle instances go.
pub(crate) trait Keep {
    /// When the instance goes if it stays idle; [`Time::MAX`] where its idleness alone never ends it.
    fn until(&self, it: &Idling) -> Time;

    /// The longest time that an instance can stay idle; None where there is no such limit.
    fn longest(&self) -> Option<Span>;

    /// How often each host's clock ticks, where the policy has such a clock.
    fn interval(&self) -> Option<Span> {
        None
    }

    /// At a tick: how many of a function's `idle` instances on one host stay. At most `idle`.
    fn kept(&self, idle: usize) -> usize {
        idle
    }

    /// For an instance whose time is up since `since + limit` has not come but its own clock says so: until when it stays
    /// after all, `idle` instances of its function being idle on its host. None where it goes.
    fn spared(&self, _now: Time, _since: Time, _idle: usize) -> Option<Time> {
        None
    }

    /// Whether each instance has a clock of its own, so that [`Self::spared`] is to be asked.
    fn ticks_alone(&self) -> bool {
        false
    }
}

impl Placement {
    /// Whether it weighs the load of hosts, so that a driver is to tell it ([`crate::Event::HostLoad`]).
    pub fn weighs_load(&self) -> bool {
        self.policy().weighs_load()
    }

    pub(crate) fn policy(&self) -> &dyn Place {
        match self {
            Self::BinPack(policy) => policy,
            Self::Spread(policy) => policy,
            Self::Random(policy) => policy,
            Self::OnePerHost(policy) => policy,
            Self::LeastContention(policy) => policy,
        }
    }
}

impl KeepAlive {
    pub(crate) fn policy(&self) -> &dyn Keep {
        match self {
            Self::None(policy) => policy,
            Self::Fixed(policy) => policy,
            Self::Halving(policy) => policy,
            Self::Memoryless(policy) => policy,
            Self::Bimodal(policy) => policy,
            Self::Sweep(policy) => policy,
            Self::MemoryPressure(policy) => policy,
            Self::Histogram(policy) => policy,
        }
    }

    /// The policy that makes room when memory is short, where this is it.
    pub(crate) fn pressure(&self) -> Option<&MemoryPressure> {
        match self {
            Self::MemoryPressure(policy) => Some(policy),
            _ => None,
        }
    }

    /// The longest time that an instance can stay idle; None where there is no such limit.
    pub fn longest(&self) -> Option<Span> {
        self.policy().longest()
    }
}

#[cfg(test)]
pub(crate) mod test {
    use super::*;

    /// An instance that becomes idle at `now`, the `number`th thing.
    pub(crate) fn idling(now: Time, number: u64) -> Idling {
        let lot = Lot::of(3, number);
        let region = Lot::of(3, 0);
        let (windows, moment) = (None, Moment::Quiet);
        Idling { now, period: lot, instance: lot.next(), region, windows, moment }
    }
}
