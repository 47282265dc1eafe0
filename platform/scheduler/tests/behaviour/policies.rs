//! Policies that a profile can choose beside those of the built-in platforms.

use crate::*;
use scheduler::HostLoad;
use scheduler::policy::{
    Histogram, LeastContention, MemoryPressure, OnePerHost, Scaling, Updates, Weights,
};
use std::collections::BTreeSet;

fn pressure(pool: Option<u32>) -> KeepAlive {
    KeepAlive::MemoryPressure(MemoryPressure { pool: pool.map(MemoryMib) })
}

// Under memory pressure idle instances stay for days, and the least recently used one goes when a host is full.
#[test]
fn the_least_recently_used_makes_room() {
    let mut driver = driver(Profile { keep_alive: pressure(None), ..profile() });
    pool(&mut driver, 4);
    driver.wait(Span::from_secs(200_000));
    assert!(reclaimed(&driver).is_empty());
    let run = driver.invoke(0);
    let used = dispatches(&driver).last().map(|it| InstanceId(it.0)).expect("a warm one");
    driver.answer(Open::Run(used, run), Answer::Well);
    driver.answer(Open::Finish(used), Answer::Well);
    driver.deploy(1, settings(256));
    driver.invoke(1);
    driver.answer_all();
    let gone: Vec<InstanceId> = reclaimed(&driver).iter().map(|it| it.0).collect();
    assert_eq!(gone.len(), 2);
    assert!(!gone.contains(&used), "{used} was used last");
    assert!(reclaimed(&driver).iter().all(|it| it.1 == StopReason::Evicted));
    assert_eq!(driver.hosts().len(), 1, "no host was made for it");
}

// With a pool, what is idle goes as soon as all instances exceed it, wherever they are.
#[test]
fn the_pool_is_a_limit_of_idleness() {
    let mut driver = driver(Profile { keep_alive: pressure(Some(300)), ..profile() });
    for _ in 0..5 {
        driver.invoke(0);
    }
    driver.answer_all();
    assert_eq!(driver.instances().len(), 2, "two of 128 MiB fit into 300 MiB");
}

// One per host: instances that would fit together have a host each, and an empty host is used again.
#[test]
fn one_per_host_is_alone() {
    let placement = Placement::OnePerHost(OnePerHost);
    let mut driver = driver(Profile { placement, ..profile() });
    pool(&mut driver, 3);
    assert_eq!(driver.hosts().len(), 3);
    driver.wait(Span::from_secs(601));
    driver.answer_all();
    assert!(driver.instances().is_empty());
    pool(&mut driver, 2);
    assert_eq!(driver.hosts().len(), 3);
}

// Least contention: simultaneous starts go apart, hosts that are busy get none, and load that is gone counts no more.
#[test]
fn contention_is_shunned() {
    let weights = Weights { memory: 1.0, cpu: 1.0, disk: 1.0, network: 1.0 };
    let (disk_mib_s, network_mbit_s) = (100.0, 1000.0);
    let (max_hosts, load_limit) = (3, 0.5);
    let policy = LeastContention { max_hosts, load_limit, weights, disk_mib_s, network_mbit_s };
    let placement = Placement::LeastContention(policy);
    let mut driver = driver(Profile { placement, ..profile() });
    for _ in 0..6 {
        driver.invoke(0);
    }
    let fill = |driver: &Driver| -> Vec<usize> {
        driver.scheduler.hosts().map(|it| it.instances).collect()
    };
    assert_eq!(fill(&driver), [2, 2, 2]);
    driver.answer_all();
    let idle = HostLoad::default();
    let busy = HostLoad { disk_kib_s: 90 << 10, ..idle };
    let tell = |driver: &mut Driver, loads: [HostLoad; 3]| {
        for (host, load) in (1..).map(HostId).zip(loads) {
            driver.send(Event::HostLoad { host, load });
        }
    };
    tell(&mut driver, [idle; 3]);
    tell(&mut driver, [busy, idle, busy]);
    driver.deploy(1, settings(128));
    driver.invoke(1);
    assert_eq!(fill(&driver), [2, 3, 2]);
    tell(&mut driver, [idle, busy, busy]);
    driver.invoke(1);
    assert_eq!(fill(&driver), [3, 3, 2]);
    driver.answer_all();
    driver.wait(Span::from_secs(601));
    driver.answer_all();
    driver.send(Event::HostLoad { host: HostId(1), load: busy });
    driver.invoke(1);
    assert_eq!(fill(&driver), [1, 0, 0], "who is gone has left no load");
    let late = driver.scheduler.counters().late_events;
    driver.send(Event::HostLoad { host: HostId(9), load: idle });
    assert_eq!(driver.scheduler.counters().late_events, late + 1);
}

// At most so many instances of a function: further requests wait for these, and none is lost.
#[test]
fn instances_of_a_function_are_limited() {
    let scaling = Scaling { max_instances: Some(2), ..Scaling::default() };
    let mut driver = driver(Profile { scaling, ..profile() });
    for _ in 0..7 {
        driver.invoke(0);
    }
    for _ in 0..7 {
        driver.answer_all();
    }
    let instances: BTreeSet<u64> = dispatches(&driver).iter().map(|it| it.0).collect();
    assert_eq!((instances.len(), dispatches(&driver).len()), (2, 7));
    assert!(rejected(&driver).is_empty());
}

// Of requests at once the given share have an instance started; the rest wait.
#[test]
fn half_of_the_requests_start_instances() {
    let scaling = Scaling { start_share: 0.5, ..Scaling::default() };
    let mut driver = driver(Profile { scaling, ..profile() });
    for _ in 0..10 {
        driver.invoke(0);
    }
    assert_eq!(driver.scheduler.instances().count(), 5);
    for _ in 0..10 {
        driver.answer_all();
    }
    assert_eq!(dispatches(&driver).len(), 10);
    assert_eq!(dispatches(&driver).iter().filter(|it| it.2).count(), 5, "half are cold");
}

// Partly shared: of many hosts the given share takes instances of two tenants, and the others only their own.
#[test]
fn some_hosts_are_everybodys() {
    let mut profile = profile();
    profile.hosts.sharing = Sharing::PartlyShared { shared_share: 0.3 };
    let mut driver = Driver::new(profile, 1);
    for tenant in 0..40 {
        let tenant_id = TenantId::from_number(tenant);
        driver.deploy(tenant, FunctionSettings { tenant: tenant_id, ..settings(512) });
        for _ in 0..4 {
            driver.invoke(tenant);
        }
        driver.answer_all();
    }
    let everyone = |it: &scheduler::HostView| it.owner == Some(scheduler::Owner::Everyone);
    let shared = driver.scheduler.hosts().filter(everyone).count();
    let all = driver.scheduler.hosts().count();
    assert_eq!(all, 160);
    assert!((30..68).contains(&shared), "{shared} of {all} hosts are shared");
}

fn spreading(reuse_chance: f64, start_chance: f64) -> Profile {
    let window = Span::from_secs(6);
    Profile { updates: Some(Updates { window, reuse_chance, start_chance }), ..profile() }
}

/// How many of the dispatches so far ran epoch 1.
fn old_runs(driver: &Driver) -> usize {
    let old = |it: &&Action| matches!(it, Action::Dispatch { epoch: Epoch(1), .. });
    driver.actions.iter().filter(old).count()
}

// While an update spreads, idle instances of the version before take one invocation each; after its window none does.
#[test]
fn updates_spread() {
    let mut driver = driver(spreading(1.0, 0.0));
    pool(&mut driver, 3);
    let before = old_runs(&driver);
    driver.deploy(0, settings(128));
    for _ in 0..5 {
        driver.invoke(0);
    }
    driver.answer_all();
    assert_eq!(old_runs(&driver) - before, 3);
    driver.wait(Span::from_secs(6));
    pool(&mut driver, 2);
    assert_eq!(old_runs(&driver) - before, 3);
    let outdated = reclaimed(&driver).iter().filter(|it| it.1 == StopReason::Outdated).count();
    assert_eq!(outdated, 3);
}

// While an update spreads, some new instances are of the version before; each of them serves one invocation at most.
#[test]
fn updates_start_old_instances() {
    let mut driver = driver(spreading(0.0, 1.0));
    driver.deploy(0, settings(256));
    for _ in 0..3 {
        driver.invoke(0);
    }
    driver.answer_all();
    assert_eq!((old_runs(&driver), driver.instances().len()), (3, 0));
    driver.wait(Span::from_secs(6));
    pool(&mut driver, 3);
    assert_eq!(old_runs(&driver), 3);
}

// Histogram: a function that returns every half hour has its instance taken away and another one started ahead in time.
#[test]
fn habits_are_learnt() {
    let (bin, limit) = (Span::from_secs(60), Span::from_secs(14_400));
    let mut driver =
        driver(Profile { keep_alive: KeepAlive::Histogram(Histogram { bin, limit }), ..profile() });
    let every = Span::from_secs(1_830);
    for _ in 0..10 {
        driver.invoke(0);
        driver.answer_all();
        assert_eq!(driver.scheduler.counters().cold_starts, 1, "kept for the fallback at first");
        driver.wait(every);
    }
    driver.invoke(0);
    driver.answer_all();
    assert!(driver.instances().is_empty(), "not needed for 27 minutes");
    driver.wait(Span::from_secs(1_619));
    assert!(driver.instances().is_empty());
    driver.wait(Span::from_secs(1));
    driver.answer_all();
    assert_eq!(driver.instances().len(), 1, "started ahead at 0.9 x 30 min");
    driver.wait(Span::from_secs(200));
    driver.invoke(0);
    let last = dispatches(&driver).last().copied().expect("one more");
    assert!(!last.2, "what was started ahead is warm");
    driver.answer_all();
    driver.wait(Span::from_secs(1_620));
    driver.answer_all();
    driver.wait(Span::from_secs(31 * 66 - 1_620));
    driver.answer_all();
    assert!(driver.instances().is_empty(), "nothing came until 1.1 x 31 min");
}
