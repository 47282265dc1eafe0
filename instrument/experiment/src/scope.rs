//! How much a study does: rounds, ladders and times for each experiment.
//!
//! Deliberately knows nothing of what the platform is like: limits are searched in a range, never assumed.

mod accounting;
mod consistency;
mod idle;
mod lifetime;
mod limits;
mod sharing;
mod starts;

use model::Span;

pub use accounting::AccountingScope;
pub use consistency::ConsistencyScope;
pub use idle::{BusyScope, IdleScope, SearchStarts, WatchScope};
pub use lifetime::LifetimeScope;
pub use limits::LimitsScope;
pub use sharing::{DiskScope, NetworkScope, SharingScope};
pub use starts::StartsScope;

/// What the user and the target say before a scope is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Basis {
    /// How much to do.
    pub scale: Scale,
    /// Seed of every random choice of the study.
    pub seed: u64,
    /// Runtimes to measure; the first is used where the runtime is not what is varied, so it should start fastest.
    pub runtimes: Vec<String>,
    /// Memory sizes that the target allows, smallest and largest, MiB.
    pub memory_range_mib: (u32, u32),
    /// CPUs of the machine of the vantage point.
    pub cores: u32,
    /// Most invocations that may run at once: half of the target's quota.
    pub max_concurrency: u32,
    /// Accounts that functions can be deployed to.
    pub tenants: u32,
    /// Roles that functions can have.
    pub roles: u32,
}

/// How much of each experiment is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// Enough to see that everything works, and for words; few intervals.
    Quick,
    /// Enough for the intervals of most findings.
    #[default]
    Default,
    /// At least the design of Wang et al. (ATC 2018): 1,000 functions per cold start setting, 5i concurrent requests up
    /// to 200 in 50 rounds, 100 confirmations around the idle limit.
    Full,
}

/// How much a study does. Made by [`Scope::local`] or [`Scope::cloud`]; any field may then be changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Scope {
    /// How much, as a word.
    pub scale: Scale,
    /// Seed of every random choice.
    pub seed: u64,
    /// Runtimes; the first is used where the runtime is not what is varied.
    pub runtimes: Vec<String>,
    /// Smallest memory size that the target allows, MiB: the size of instances that only have to exist.
    pub memory_min_mib: u32,
    /// Most invocations that may run at once.
    pub max_concurrency: u32,
    /// Most instances of ours, running or idle, that may exist at once.
    pub max_instances: u32,
    /// From the decision to send to the intended send, so that connections are open and requests signed by then.
    pub lead: BurstSpan,
    /// How long instances of one burst are held together: until a moment later than the slowest cold start.
    pub hold: BurstSpan,
    /// Between two bursts (the paper: 10 s).
    pub pause: Span,
    /// Between the removal of functions and the next look at whether they are gone.
    pub settle: Span,
    /// Limit of one invocation.
    pub timeout: Span,
    /// What creating and removing one function is expected to take together; for plans only.
    pub control: Span,
    /// What a cold start is expected to take at most; for plans only.
    pub start: Span,
    /// Which names identify a host.
    pub identity: IdentityScope,
    /// Who shares hosts.
    pub isolation: IsolationScope,
    /// Kinds of host.
    pub hosts: HostsScope,
    /// What of a host can be read.
    pub exposure: ExposureScope,
    /// Cold and warm starts.
    pub coldstart: ColdStartScope,
    /// What makes cold starts dearer.
    pub starts: StartsScope,
    /// Instances for concurrent requests.
    pub scaling: ScalingScope,
    /// Instances over hosts.
    pub placement: PlacementScope,
    /// Idle instances.
    pub idle: IdleScope,
    /// CPU shares.
    pub cpu: CpuScope,
    /// Updates.
    pub consistency: ConsistencyScope,
    /// Instances in use.
    pub lifetime: LifetimeScope,
    /// Disk throughput.
    pub disk: DiskScope,
    /// Network throughput.
    pub network: NetworkScope,
    /// Bills, and what is on none.
    pub accounting: AccountingScope,
    /// Largest and longest.
    pub limits: LimitsScope,
}

/// A span that grows with the number of requests of a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BurstSpan {
    /// For any burst.
    pub base: Span,
    /// And this for each request of the burst.
    pub per_request: Span,
}

impl BurstSpan {
    /// For a burst of `requests`.
    pub fn of(self, requests: u32) -> Span {
        self.base + self.per_request * u64::from(requests)
    }
}

/// Scope of the identity experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct IdentityScope {
    /// Rounds, a fresh function each.
    pub rounds: u32,
    /// Instances held together: enough to share a host, and for more than one host.
    pub instances: u32,
    /// Rounds of the I/O test of co-residency, a fresh function each.
    pub pair_rounds: u32,
    /// Instances of that test: one writes, the others watch.
    pub pair_instances: u32,
}

/// Scope of the isolation experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct IsolationScope {
    /// Rounds, a fresh function per party each.
    pub rounds: u32,
    /// Instances of each of at most three parties, held together.
    pub instances: u32,
    /// Accounts that there are; with two or more, two are used.
    pub tenants: u32,
    /// Roles that there are; with two or more, two of the first account's are used.
    pub roles: u32,
}

/// Scope of the hosts experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct HostsScope {
    /// Rounds, a fresh function each.
    pub rounds: u32,
    /// Instances held together.
    pub instances: u32,
    /// Memory size, MiB: large, so that few instances share a host.
    pub memory_mib: u32,
    /// Between two rounds: the longer, the more of the hosts are others.
    pub spacing: Span,
}

/// Parties whose bursts the isolation experiment holds together at most: two tenants, and a second role of the first.
const PARTIES: u32 = 3;

/// Scope of the exposure experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct ExposureScope {
    /// Rounds, a fresh function per runtime each.
    pub rounds: u32,
}

/// Scope of the cold and warm start experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct ColdStartScope {
    /// Rounds: fresh functions per runtime and memory size.
    pub rounds: u32,
    /// Memory sizes, MiB.
    pub memory_mib: Vec<u32>,
    /// Warm requests after each cold one.
    pub warm: u32,
    /// Between the end of one function's requests and the start of the next one's.
    pub spacing: Span,
}

/// Scope of the scaling experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct ScalingScope {
    /// Rounds of the whole ladder.
    pub rounds: u32,
    /// Concurrent requests, ascending: the paper's 5i.
    pub concurrency: Vec<u32>,
    /// Memory size, MiB.
    pub memory_mib: u32,
}

/// Scope of the placement experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct PlacementScope {
    /// Rounds of the whole ladder at each memory size.
    pub rounds: u32,
    /// Concurrent requests, ascending.
    pub concurrency: Vec<u32>,
    /// Memory sizes, MiB: two, so that counts and sums of memory can be told apart.
    pub memory_mib: Vec<u32>,
    /// Instances of the smallest size that end each fill.
    pub fill: u32,
}

/// Scope of the CPU experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct CpuScope {
    /// Window of one measurement (the paper: 1 s). Whole quota periods of 100 ms.
    pub window: Span,
    /// Rounds, alone and for each colevel.
    pub rounds: u32,
    /// Memory sizes of instances alone, MiB.
    pub memory_mib: Vec<u32>,
    /// Memory size of instances beside others, MiB.
    pub shared_memory_mib: u32,
    /// Intended colevels.
    pub colevels: Vec<u32>,
    /// CPUs that the platform shares with the vantage point; None where it runs on machines of its own.
    pub shared_cores: Option<u32>,
}

/// Why a scope makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// A list is empty, or a number 0, where something is needed.
    #[error("scope has no {what}")]
    Missing {
        /// What.
        what: &'static str,
    },
    /// More at once than the limit allows.
    #[error("{what} needs {needed} invocations at once, limit is {limit}")]
    Concurrency {
        /// Which experiment.
        what: &'static str,
        /// How many it needs.
        needed: u32,
        /// How many may run.
        limit: u32,
    },
    /// The delays to search are not a range.
    #[error("idle range from {from} to {to} is empty")]
    IdleRange {
        /// Shortest delay.
        from: Span,
        /// Longest delay.
        to: Span,
    },
}

impl Scope {
    /// A study of a platform on this machine, whose limits are seconds and whose hosts have one vCPU.
    ///
    /// Idle limits of 1 to 13 s are searched. On two cores the default scale takes less than three minutes.
    pub fn local(basis: &Basis) -> Self {
        let scale = basis.scale;
        let by = |quick: u32, default, full| scale.pick(quick, default, full);
        let ladder: Vec<u32> = scale.pick(vec![1, 4, 8], vec![1, 2, 4, 10, 20], (1..=40).collect());
        Self {
            scale: basis.scale,
            seed: basis.seed,
            runtimes: basis.runtimes.clone(),
            memory_min_mib: basis.memory_range_mib.0,
            max_concurrency: basis.max_concurrency,
            max_instances: basis.max_concurrency.saturating_mul(3),
            lead: BurstSpan { base: Span::from_millis(3), per_request: Span::from_micros(400) },
            hold: BurstSpan { base: Span::from_millis(300), per_request: Span::from_millis(8) },
            pause: Span::from_millis(50),
            settle: Span::from_millis(300),
            timeout: Span::from_secs(30),
            control: Span::from_millis(20),
            start: Span::from_millis(60),
            identity: basis.identity((by(2, 5, 50), 16), (by(1, 1, 6), 16)),
            isolation: basis.isolation(by(2, 10, 100), by(4, 4, 20)),
            hosts: basis.hosts((by(1, 2, 10), by(10, 20, 60)), 1024, Span::from_millis(50)),
            exposure: ExposureScope { rounds: by(1, 2, 5) },
            coldstart: ColdStartScope {
                rounds: by(5, 15, 1_000),
                memory_mib: basis.sizes(scale.pick(
                    &[128, 512][..],
                    &[128, 512, 1024],
                    &[128, 512, 1024],
                )),
                warm: by(3, 5, 5),
                spacing: Span::from_millis(10),
            },
            scaling: basis.scaling(by(2, 5, 50), &ladder),
            placement: PlacementScope {
                rounds: by(1, 2, 10),
                concurrency: basis
                    .ladder(&scale.pick(vec![1, 3], vec![1, 2, 3, 5], vec![1, 2, 3, 4, 5, 6]), 12),
                memory_mib: basis.sizes(&[128, 640]),
                fill: 12,
            },
            idle: IdleScope::local(basis),
            cpu: CpuScope::local(basis),
            consistency: ConsistencyScope::local(basis),
            lifetime: LifetimeScope::local(basis),
            starts: StartsScope::local(basis),
            disk: DiskScope::local(basis),
            network: NetworkScope::local(basis),
            accounting: AccountingScope::local(basis),
            limits: LimitsScope::of(basis),
        }
    }

    /// A study of a cloud, with the times of Wang et al. (ATC 2018): 15 s holds, 10 s pauses, idle for 1 to 120 min.
    pub fn cloud(basis: &Basis) -> Self {
        let scale = basis.scale;
        let by = |quick: u32, default, full| scale.pick(quick, default, full);
        // 15 s is the paper's.
        let hold = BurstSpan { base: Span::from_secs(15), per_request: Span::from_millis(20) };
        let ladder: Vec<u32> =
            scale.pick(vec![1, 2, 4, 8], vec![1, 2, 4, 8, 16, 24, 32, 40], (1..=40).collect());
        Self {
            scale: basis.scale,
            seed: basis.seed,
            runtimes: basis.runtimes.clone(),
            memory_min_mib: basis.memory_range_mib.0,
            max_concurrency: basis.max_concurrency,
            max_instances: basis.max_concurrency.saturating_mul(3),
            lead: BurstSpan { base: Span::from_millis(300), per_request: Span::from_millis(5) },
            hold,
            pause: Span::from_secs(10),
            settle: Span::from_secs(30),
            timeout: Span::from_secs(60),
            control: Span::from_secs(3),
            start: Span::from_millis(500),
            identity: basis.identity((by(2, 10, 50), 40), (by(1, 6, 25), 40)),
            isolation: basis.isolation(by(2, 20, 100), by(10, 20, 40)),
            hosts: basis.hosts(
                (by(1, 5, 50), by(50, 100, 200)),
                1536,
                Span::from_secs(10) * u64::from(by(1, 1, 60)),
            ),
            exposure: ExposureScope { rounds: by(1, 5, 20) },
            coldstart: ColdStartScope {
                rounds: by(10, 100, 1_000),
                memory_mib: basis.sizes(scale.pick(
                    &[128][..],
                    &[128, 1536],
                    &[128, 256, 512, 1024, 1536],
                )),
                warm: 5,
                spacing: Span::from_millis(500),
            },
            scaling: basis.scaling(by(2, 10, 50), &ladder),
            placement: PlacementScope {
                rounds: by(1, 5, 50),
                concurrency: basis.ladder(&ladder, 26),
                memory_mib: basis.sizes(&[128, 1024]),
                fill: 26,
            },
            idle: IdleScope::cloud(basis),
            cpu: CpuScope {
                window: Span::from_secs(1),
                rounds: by(5, 15, 50),
                memory_mib: basis.sizes(&[128, 256, 512, 1024, 1536]),
                shared_memory_mib: basis.size(256),
                shared_cores: None,
                colevels: scale.pick(vec![2, 6], vec![2, 4, 8, 12], vec![1, 2, 4, 6, 8, 10, 12]),
            },
            consistency: ConsistencyScope::cloud(basis),
            lifetime: LifetimeScope::cloud(basis),
            starts: StartsScope::cloud(basis, hold),
            disk: DiskScope::cloud(basis, hold),
            network: NetworkScope::cloud(basis, hold),
            accounting: AccountingScope::cloud(basis),
            limits: LimitsScope::of(basis),
        }
    }
    /// Whether every experiment has what it needs.
    ///
    /// # Errors
    /// [`ScopeError`] names the first list that is empty, number that is 0, or burst that is above the limit.
    pub fn check(&self) -> Result<(), ScopeError> {
        let missing = [
            (self.runtimes.is_empty(), "runtimes"),
            (self.coldstart.memory_mib.is_empty(), "memory sizes for cold starts"),
            (self.scaling.concurrency.is_empty(), "concurrency ladder for scaling"),
            (self.placement.concurrency.is_empty(), "concurrency ladder for placement"),
            (self.placement.memory_mib.is_empty(), "memory sizes for placement"),
            (self.idle.settings.is_empty(), "runtime and memory size for idle"),
            (self.idle.delays == 0, "idle delays"),
            (self.idle.pairs == 0, "idle pairs"),
            (self.cpu.memory_mib.is_empty(), "memory sizes for cpu"),
            (self.consistency.concurrency.is_empty(), "concurrency for consistency"),
            (self.lifetime.intervals.is_empty(), "intervals for lifetime"),
            (self.lifetime.memory_mib.is_empty(), "memory sizes for lifetime"),
            (self.accounting.memory_mib.is_empty(), "memory sizes for accounting"),
            (self.accounting.durations.is_empty(), "durations for accounting"),
            (self.max_concurrency == 0, "concurrency"),
        ];
        if let Some((_, what)) = missing.into_iter().find(|(missing, _)| *missing) {
            return Err(ScopeError::Missing { what });
        }
        let (from, to) = self.idle.range;
        if from >= to || from == Span::ZERO {
            return Err(ScopeError::IdleRange { from, to });
        }
        let largest = |ladder: &[u32]| ladder.iter().copied().max().unwrap_or(0);
        let pool = if self.idle.pools == 0 { 0 } else { self.idle.pool };
        let bursts = [
            ("identity", self.identity.instances.max(self.identity.pair_instances)),
            ("isolation", self.isolation.instances.saturating_mul(PARTIES)),
            ("hosts", self.hosts.instances),
            ("scaling", largest(&self.scaling.concurrency)),
            ("placement", largest(&self.placement.concurrency).saturating_add(self.placement.fill)),
            ("idle", pool),
            ("idle on busy hosts", crate::experiments::busy_requests(&self.idle.busy)),
            ("cpu", largest(&self.cpu.colevels)),
            ("consistency", largest(&self.consistency.concurrency).saturating_mul(4)),
            ("coldstart", largest(&self.starts.colevels)),
            ("disk", largest(&self.disk.sharing.colevels)),
            ("network", largest(&self.network.sharing.colevels)),
        ];
        let limit = self.max_concurrency;
        match bursts.into_iter().find(|(_, needed)| *needed > limit) {
            Some((what, needed)) => Err(ScopeError::Concurrency { what, needed, limit }),
            None => Ok(()),
        }
    }

    /// The runtime that is used where the runtime is not what is varied; empty where there is none.
    pub fn runtime(&self) -> &str {
        self.runtimes.first().map_or("", String::as_str)
    }
}

impl CpuScope {
    fn local(basis: &Basis) -> Self {
        let scale = basis.scale;
        Self {
            window: scale.pick(Span::from_millis(300), Span::from_millis(400), Span::from_secs(1)),
            rounds: scale.pick(3, 10, 50),
            memory_mib: basis.sizes(scale.pick(
                &[128, 1024][..],
                &[128, 1024],
                &[128, 256, 512, 1024],
            )),
            shared_memory_mib: basis.size(256),
            shared_cores: Some(basis.cores),
            colevels: scale.pick(vec![2, 6], vec![2, 6], vec![1, 2, 3, 4, 5, 6]),
        }
    }
}

impl Scale {
    fn pick<T>(self, quick: T, default: T, full: T) -> T {
        match self {
            Self::Quick => quick,
            Self::Default => default,
            Self::Full => full,
        }
    }
}

impl Basis {
    /// The wanted size, or the nearest one that the target allows.
    fn size(&self, mib: u32) -> u32 {
        let (smallest, largest) = self.memory_range_mib;
        mib.min(largest).max(smallest)
    }

    fn sizes(&self, wanted: &[u32]) -> Vec<u32> {
        let mut sizes: Vec<u32> = wanted.iter().map(|mib| self.size(*mib)).collect();
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }

    fn identity(&self, names: (u32, u32), pairs: (u32, u32)) -> IdentityScope {
        IdentityScope {
            rounds: names.0,
            instances: self.at_most(names.1),
            pair_rounds: pairs.0,
            pair_instances: self.at_most(pairs.1),
        }
    }

    fn isolation(&self, rounds: u32, instances: u32) -> IsolationScope {
        let instances = instances.min(self.max_concurrency / PARTIES);
        IsolationScope { rounds, instances, tenants: self.tenants, roles: self.roles }
    }

    fn scaling(&self, rounds: u32, steps: &[u32]) -> ScalingScope {
        let (concurrency, memory_mib) = (self.ladder(steps, 0), self.memory_range_mib.0);
        ScalingScope { rounds, concurrency, memory_mib }
    }

    fn hosts(&self, (rounds, instances): (u32, u32), memory_mib: u32, spacing: Span) -> HostsScope {
        let (instances, memory_mib) = (self.at_most(instances), self.size(memory_mib));
        HostsScope { rounds, instances, memory_mib, spacing }
    }

    fn at_most(&self, instances: u32) -> u32 {
        instances.min(self.max_concurrency)
    }

    /// 5i for each step, up to what the limit of concurrency leaves beside other requests.
    fn ladder(&self, steps: &[u32], beside: u32) -> Vec<u32> {
        let limit = self.max_concurrency.saturating_sub(beside);
        steps.iter().map(|i| 5 * i).filter(|n| *n <= limit).collect()
    }

    /// The first runtime at the smallest size; at full scale every runtime.
    fn idle_settings(&self) -> Vec<(String, u32)> {
        let runtimes = self.scale.pick(1, 1, self.runtimes.len());
        let smallest = self.memory_range_mib.0;
        self.runtimes.iter().take(runtimes).map(|runtime| (runtime.clone(), smallest)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basis() -> Basis {
        Basis {
            scale: Scale::Default,
            seed: 1,
            runtimes: vec!["provided.al2023".into()],
            memory_range_mib: (128, 10_240),
            cores: 2,
            max_concurrency: 200,
            tenants: 2,
            roles: 4,
        }
    }

    // Every constructor at every scale gives a scope that passes its own check.
    #[test]
    fn constructors_make_sense() {
        for scale in [Scale::Quick, Scale::Default, Scale::Full] {
            let basis = Basis { scale, ..basis() };
            assert_eq!(Scope::local(&basis).check(), Ok(()));
            assert_eq!(Scope::cloud(&basis).check(), Ok(()));
        }
    }

    // The full scale is nowhere below the paper's design.
    #[test]
    fn full_is_at_least_the_paper() {
        let scope = Scope::cloud(&Basis { scale: Scale::Full, ..basis() });
        assert!(scope.coldstart.rounds >= 1_000);
        assert!(scope.scaling.rounds >= 50);
        assert_eq!(scope.scaling.concurrency.first(), Some(&5));
        assert_eq!(scope.scaling.concurrency.last(), Some(&200));
        assert!(scope.hold.of(5) >= Span::from_secs(15));
        assert!(scope.idle.confirm_pairs * 3 >= 100);
        assert!(scope.idle.range.1 >= Span::from_secs(120 * 60));
        assert_eq!(scope.lifetime.intervals, [5, 30, 60].map(Span::from_secs));
        assert!(scope.lifetime.watch >= Span::from_secs(7 * 24 * 3_600));
        // Half of the paper's instances lived 6.2 h: fifty of them per setting.
        let lives = scope.lifetime.watch.as_secs_f64() / (6.2 * 3_600.0);
        assert!(lives * f64::from(scope.lifetime.functions) >= 50.0);
        assert!(scope.consistency.rounds >= 100);
        assert_eq!(scope.consistency.concurrency, [1, 50]);
        assert!(scope.disk.blocks * u64::from(scope.disk.sharing.rounds) >= 5 * 1_000);
        assert!(scope.disk.sharing.colevels.contains(&20));
        assert!(scope.network.window >= Span::from_secs(1));
    }

    // A limit of concurrency shortens the ladders, and what still does not fit is named.
    #[test]
    fn limits_are_named() {
        let few = |max_concurrency| Scope::local(&Basis { max_concurrency, ..basis() });
        assert_eq!(few(30).scaling.concurrency, [5, 10, 20]);
        assert_eq!(few(30).placement.concurrency, [5, 10, 15]);
        assert_eq!(few(30).check(), Ok(()));
        let error = few(18).check().expect_err("a pool has 20");
        assert_eq!(error.to_string(), "idle needs 20 invocations at once, limit is 18");
    }
}
