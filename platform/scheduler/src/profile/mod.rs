//! A platform in numbers: what the scheduler and its drivers are told to be.
//!
//! Deliberately knows nothing of how a driver carries it out. [`Profile::from_toml`] documents the keys of the file.

mod error;
mod events;
mod file;
mod policies;
mod prices;
mod text;

use crate::FunctionSettings;
use crate::policy::{KeepAlive, Lifetime, Placement, Scaling, Updates};
use crate::rooms::{Owner, Owners};
use model::{Isolation, MemoryMib, Span, TenantId};
use serde::Deserialize;
use std::collections::BTreeMap;

pub use error::{Fault, ProfileError};
pub use events::Events;
pub use prices::Prices;
pub use text::{ProfileText, nearest};

/// Everything in which one platform differs from another.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// What it is called, as in `local`.
    pub name: String,
    /// Hosts.
    pub hosts: Hosts,
    /// Where new instances go.
    pub placement: Placement,
    /// How long idle instances are kept.
    pub keep_alive: KeepAlive,
    /// Age, from its start, from which an instance is no longer reused; None for any age.
    pub lifetime_cap: Option<Span>,
    /// The same, drawn for each instance; the smaller one counts. None where none is drawn.
    pub lifetime: Option<Lifetime>,
    /// How many instances a function can have.
    pub scaling: Scaling,
    /// How updates spread; None where no dispatch after an update uses the version before.
    pub updates: Option<Updates>,
    /// CPU of an instance.
    pub cpu: Cpu,
    /// Quotas.
    pub limits: Limits,
    /// Asynchronous invocation.
    pub events: Events,
    /// What is billed.
    pub billing: Billing,
    /// What is charged for it; no policy looks at it.
    pub prices: Prices,
    /// Idle time after which an instance rests; None for never.
    pub rest_after: Option<Span>,
    /// What instances may see of their host.
    pub reveal: Reveal,
    /// Isolation of single accounts, where it is not as [`Hosts::sharing`] says.
    pub accounts: BTreeMap<TenantId, Isolation>,
}

/// What hosts are and whose they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Hosts {
    /// Memory that the instances on one host may add up to.
    pub memory: MemoryMib,
    /// CPUs of one host, in thousandths.
    pub milli_cpus: u32,
    /// Whose instances may be together.
    pub sharing: Sharing,
    /// Hosts started ahead, which nobody has used yet.
    pub warm: u32,
    /// How long a host stays without instances before it is given back.
    pub idle: Span,
    /// By how much the memory of all hosts may exceed [`Limits::memory`]; at least 1.
    pub overcommit: f64,
}

/// Whose instances may be together on a host.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sharing {
    /// One tenant's.
    PerTenant,
    /// Everybody's.
    Shared,
    /// One role's of one tenant.
    PerRole,
    /// One function's, in all of its versions.
    PerFunction,
    /// Everybody's on some hosts, one tenant's on the others. A tenant's instances are placed on either.
    PartlyShared {
        /// Chance that a new host is everybody's, 0 to 1.
        shared_share: f64,
    },
}

/// CPU of an instance: a ceiling, and apart from it a weight under contention.
#[derive(Clone, Debug, PartialEq)]
pub struct Cpu {
    /// What it may use at most.
    pub ceiling: CpuCeiling,
    /// How CPUs are divided under contention.
    pub weight: CpuWeight,
}

/// What an instance may use at most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CpuCeiling {
    /// Whatever its host has.
    None,
    /// `memory / full` CPUs, at most the host's.
    Proportional {
        /// Memory size that gets one whole CPU.
        full: MemoryMib,
    },
}

/// How CPUs are divided under contention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CpuWeight {
    /// In proportion to memory.
    Memory,
    /// Equally.
    Equal,
}

/// Quotas.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Invocations of one tenant in flight, reserved concurrency included.
    pub account_concurrency: u32,
    /// Invocations of one function that wait for an instance.
    pub queue: u32,
    /// How long an invocation waits for an instance before it is rejected.
    pub queue_wait: Span,
    /// Smallest memory size of a function.
    pub memory_min: MemoryMib,
    /// Largest memory size of a function.
    pub memory_max: MemoryMib,
    /// Longest timeout of a function.
    pub timeout_max: Span,
    /// Memory of the machine; all hosts together have at most this times [`Hosts::overcommit`]. None for any. A live
    /// driver sets it to what the machine has, where the profile does not say.
    pub memory: Option<MemoryMib>,
    /// Really free memory of the machine below which nothing is started; see [`crate::Event::MemoryFree`].
    pub memory_reserve: MemoryMib,
}

/// What is billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Billing {
    /// Durations are rounded up to a multiple of this; more than zero.
    pub grain: Span,
    /// Whether the init that an invocation waited for counts.
    pub init: InitBilling,
}

/// Whether init time is billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InitBilling {
    /// It counts like the duration.
    Billed,
    /// It is free.
    Free,
}

/// Under which name an instance can know its host again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reveal {
    /// `/proc/sys/kernel/random/boot_id` is one per host.
    BootId,
    /// `/etc/machine-id` is one per host.
    MachineId,
    /// The root line of `/proc/self/cgroup` names the host, as at AWS in 2018 (Wang et al., 4.1).
    InstanceRootId,
    /// Nothing that differs between hosts.
    None,
}

impl Profile {
    /// Reads and checks a profile.
    ///
    /// Every key must be there unless marked optional, and no other key may be, so that a file says all that its
    /// platform is. `profiles/local.toml` and `profiles/study.toml` explain each key with its source.
    /// Errors: [`ProfileError`], naming the key, its value and the limit.
    pub fn from_toml(text: &str) -> Result<Self, ProfileError> {
        let text = ProfileText::parse(text)?;
        text.only(&[Self::SECTIONS])?;
        Self::from_text(&text)
    }

    /// The sections, and keys outside of them, that [`Self::from_text`] reads.
    pub const SECTIONS: &[&str] = file::SECTIONS;

    /// Reads and checks a profile whose text has other sections too, for other readers.
    ///
    /// Errors: as [`Self::from_toml`], except that sections of other names are not looked at.
    pub fn from_text(text: &ProfileText<'_>) -> Result<Self, ProfileError> {
        file::read(text)
    }

    /// The profile for measuring on a small machine, `profiles/study.toml`.
    pub fn study() -> Self {
        Self::from_toml(include_str!("../../../../profiles/study.toml"))
            .expect("profiles/study.toml is valid, a test says so")
    }

    /// Who may be on a host together with this function, on hosts that are not everybody's.
    pub fn owner(&self, settings: &FunctionSettings) -> Owner {
        let isolation = self.isolation(settings).or(match self.hosts.sharing {
            Sharing::PerTenant | Sharing::PartlyShared { .. } => Some(Isolation::Tenant),
            Sharing::Shared => None,
            Sharing::PerRole => Some(Isolation::Role),
            Sharing::PerFunction => Some(Isolation::Function),
        });
        match isolation {
            None => Owner::Everyone,
            Some(Isolation::Tenant) => Owner::Tenant(settings.tenant),
            Some(Isolation::Role) => Owner::Role(settings.tenant, settings.role),
            Some(Isolation::Function) => Owner::Function(settings.tenant, settings.group),
        }
    }

    /// What the function, or else its account, asks for.
    fn isolation(&self, settings: &FunctionSettings) -> Option<Isolation> {
        settings.isolation.or_else(|| self.accounts.get(&settings.tenant).copied())
    }

    /// Whose hosts this function's instances may be on.
    pub(crate) fn owners(&self, settings: &FunctionSettings) -> Owners {
        let own = self.owner(settings);
        match (self.hosts.sharing, self.isolation(settings)) {
            (Sharing::PartlyShared { .. }, None) => Owners { own, also: Some(Owner::Everyone) },
            _ => Owners::of(own),
        }
    }
}

/// The profile of `peek serve`, `profiles/local.toml`.
impl Default for Profile {
    fn default() -> Self {
        Self::from_toml(include_str!("../../../../profiles/local.toml"))
            .expect("profiles/local.toml is valid, a test says so")
    }
}

impl Hosts {
    /// Chance that a new host is everybody's, where hosts are partly shared.
    pub(crate) fn shared_share(&self) -> f64 {
        match self.sharing {
            Sharing::PartlyShared { shared_share } => shared_share,
            Sharing::Shared => 1.0,
            Sharing::PerTenant | Sharing::PerRole | Sharing::PerFunction => 0.0,
        }
    }

    /// Memory and thousandths of CPUs of a host for an instance of this size: the usual size, or as much memory as the
    /// instance needs with CPUs in proportion.
    pub fn size_for(&self, memory: MemoryMib) -> (MemoryMib, u32) {
        if memory <= self.memory {
            return (self.memory, self.milli_cpus);
        }
        let milli_cpus =
            u64::from(self.milli_cpus) * u64::from(memory.0) / u64::from(self.memory.0);
        (memory, u32::try_from(milli_cpus).unwrap_or(u32::MAX))
    }
}

impl Cpu {
    /// Ceiling of an instance in thousandths of a CPU, at least 1, at most the host's; None for no ceiling.
    pub fn ceiling_milli(&self, memory: MemoryMib, host_milli_cpus: u32) -> Option<u32> {
        match self.ceiling {
            CpuCeiling::None => None,
            CpuCeiling::Proportional { full } => {
                let milli = u64::from(memory.0) * 1000 / u64::from(full.0.max(1));
                Some(u32::try_from(milli).unwrap_or(u32::MAX).min(host_milli_cpus).max(1))
            }
        }
    }

    /// Weight of an instance under contention, 1 to 10,000 as cgroup v2's `cpu.weight` takes it: one per MiB, or 100
    /// (the kernel's default) for all.
    pub fn weight(&self, memory: MemoryMib) -> u32 {
        match self.weight {
            CpuWeight::Memory => memory.0.clamp(1, 10_000),
            CpuWeight::Equal => 100,
        }
    }
}

impl Billing {
    /// What is billed for an invocation that ran for `duration` on an instance whose `init` it waited for.
    pub fn billed(&self, duration: Span, init: Option<Span>) -> Span {
        let used = match (self.init, init) {
            (InitBilling::Billed, Some(init)) => duration + init,
            _ => duration,
        };
        let grain = self.grain.as_nanos().max(1);
        Span::from_nanos(used.as_nanos().div_ceil(grain).saturating_mul(grain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The profiles that are built in are valid and are what their drivers count on.
    #[test]
    fn built_in_profiles_are_valid() {
        let local = Profile::default();
        assert_eq!((local.hosts.memory, local.hosts.milli_cpus), (MemoryMib(3328), 2000));
        assert_eq!(local.keep_alive.longest(), Some(Span::from_secs(600)));
        assert_eq!(local.reveal, Reveal::None);
        let study = Profile::study();
        assert_eq!(study.reveal, Reveal::BootId);
        assert_eq!(study.cpu.ceiling_milli(MemoryMib(128), study.hosts.milli_cpus), Some(250));
    }

    // A function larger than a host gets one of its own size, with CPUs in proportion.
    #[test]
    fn hosts_grow_with_their_function() {
        let hosts = Profile::default().hosts;
        assert_eq!(hosts.size_for(MemoryMib(128)), (MemoryMib(3328), 2000));
        assert_eq!(hosts.size_for(MemoryMib(6656)), (MemoryMib(6656), 4000));
    }

    // A ceiling is never above its host's CPUs and never zero.
    #[test]
    fn ceilings_stay_within_the_host() {
        let cpu = Cpu {
            ceiling: CpuCeiling::Proportional { full: MemoryMib(512) },
            weight: CpuWeight::Memory,
        };
        assert_eq!(cpu.ceiling_milli(MemoryMib(1024), 1000), Some(1000));
        assert_eq!(cpu.ceiling_milli(MemoryMib(0), 1000), Some(1));
        assert_eq!((cpu.weight(MemoryMib(0)), cpu.weight(MemoryMib(10_240))), (1, 10_000));
    }

    // Billing rounds up to the grain, with init only where the profile says so.
    #[test]
    fn billing_rounds_up() {
        let billing = Billing { grain: Span::from_millis(100), init: InitBilling::Billed };
        let bill = |ms, init| billing.billed(Span::from_millis(ms), init).as_millis();
        assert_eq!((bill(0, None), bill(1, None), bill(100, None)), (0, 100, 100));
        assert_eq!(bill(100, Some(Span::from_nanos(1))), 200);
        let free = Billing { init: InitBilling::Free, ..billing };
        assert_eq!(free.billed(Span::from_millis(7), Some(Span::from_secs(1))).as_millis(), 100);
    }
}
