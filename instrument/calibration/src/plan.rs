//! What is done on each random platform: every experiment, at the sample sizes of `--full`, with only as many settings as
//! the score needs.

use experiment::{Basis, Kind, Scale, Scope, Study};
use model::Span;

/// The study of one platform.
///
/// `runtimes` and `memory_range_mib` are what the platform offers, `max_concurrency` half of its quota.
pub fn plan(
    seed: u64,
    runtimes: Vec<String>,
    memory_range_mib: (u32, u32),
    max_concurrency: u32,
) -> Study {
    let basis = Basis {
        scale: Scale::Full,
        seed,
        runtimes: runtimes.into_iter().take(1).collect(),
        memory_range_mib,
        cores: 2,
        max_concurrency,
        // As many as every drawn platform has.
        tenants: 2,
        roles: 4,
    };
    let mut scope = Scope::cloud(&basis);
    let (smallest, largest) = memory_range_mib;
    scope.coldstart.memory_mib = vec![smallest];
    scope.coldstart.warm = 2;
    let steps = [5, 20, 50, 100, 200];
    scope.scaling.concurrency = steps.into_iter().filter(|n| *n <= max_concurrency).collect();
    scope.scaling.rounds = 12;
    scope.placement.rounds = 10;
    scope.placement.concurrency =
        [5, 15, 40, 80, 150].into_iter().filter(|n| n + 26 <= max_concurrency).collect();
    scope.placement.memory_mib = vec![smallest, (smallest * 5).min(largest)];
    scope.identity.rounds = 20;
    scope.identity.pair_rounds = 10;
    // As many tries to land beside a victim as the criterion of attempts is stated for.
    scope.isolation.rounds = 100;
    scope.isolation.instances = 20;
    // Rounds further apart than hosts stay, so that each meets hosts of its own: a thousand of them or more bound a share to
    // three points.
    scope.hosts.rounds = 6;
    scope.hosts.instances = max_concurrency.min(400);
    scope.hosts.memory_mib = largest.min(3_008);
    scope.hosts.spacing = Span::from_secs(5 * 3_600);
    scope.cpu.memory_mib = vec![smallest, (smallest * 4).min(largest)];
    scope.cpu.rounds = 30;
    scope.cpu.colevels = vec![2, 6];
    scope.consistency.rounds = 20;
    scope.consistency.concurrency = vec![1, 20];
    scope.lifetime.intervals = [60, 120].map(Span::from_secs).to_vec();
    scope.lifetime.memory_mib = vec![smallest];
    scope.lifetime.functions = 12;
    scope.lifetime.watch = Span::from_secs(40 * 3_600);
    // Means of latencies that vary as much as their mean are known to 7 % by 260 of them.
    scope.starts.starts = 400;
    scope.starts.bursts = 40;
    scope.starts.colevels = vec![1, 5];
    scope.starts.ballast_mib = vec![20];
    for (sharing, most) in [(&mut scope.disk.sharing, 6), (&mut scope.network.sharing, 8)] {
        sharing.memory_mib = vec![smallest, (smallest * 4).min(largest)];
        sharing.colevels = vec![2, most];
        sharing.rounds = 40;
    }
    scope.accounting.rounds = 10;
    scope.accounting.memory_mib = vec![smallest];
    scope.limits.disk_rounds = 1;
    Study { scope, experiments: Kind::ALL.to_vec() }
}

/// The largest burst of a plan: spread over more hosts than that is one host each.
pub fn largest_burst(study: &Study) -> u32 {
    study.scope.placement.concurrency.iter().copied().max().unwrap_or(0)
}
