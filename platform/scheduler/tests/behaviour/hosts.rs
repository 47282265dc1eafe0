//! Hosts: placement, sharing, room and what happens when there is none.

use crate::*;

// Hosts that fail are tried three times, then the invocation is rejected.
#[test]
fn failed_hosts_are_tried_thrice() {
    let mut driver = driver(profile());
    driver.invoke(0);
    for number in 1..=3 {
        assert_eq!(driver.open, [Open::Host(HostId(number))]);
        driver.answer(Open::Host(HostId(number)), Answer::Fails);
    }
    assert_eq!(rejected(&driver), [Rejection::NoHost("as planned".to_owned())]);
    assert!(driver.open.is_empty());
}

// Bin-packing fills a host before the next one is started; the fullest that fits is used.
#[test]
fn bin_packing_fills_hosts() {
    let mut driver = driver(profile());
    for _ in 0..9 {
        driver.invoke(0);
    }
    let fill: Vec<usize> = driver.scheduler.hosts().map(|it| it.instances).collect();
    assert_eq!(fill, [4, 4, 1]);
}

// Spreading starts hosts up to its bound, then fills the emptiest.
#[test]
fn spreading_is_bounded() {
    let placement = Placement::Spread(Spread { max_hosts: 3 });
    let mut driver = driver(Profile { placement, ..profile() });
    for _ in 0..13 {
        driver.invoke(0);
    }
    let fill: Vec<usize> = driver.scheduler.hosts().map(|it| it.instances).collect();
    assert_eq!(fill, [4, 4, 4]);
    assert!(matches!(rejected(&driver)[..], [Rejection::NoHost(_)]));
}

// A function larger than a host gets one of its own size.
#[test]
fn large_functions_get_large_hosts() {
    let mut driver = driver(profile());
    driver.deploy(1, settings(1024));
    driver.invoke(1);
    let host = driver.scheduler.hosts().next().map(|it| (it.memory, it.milli_cpus));
    assert_eq!(host, Some((MemoryMib(1024), 4000)));
}

// Who shares a host is the profile's choice.
#[test]
fn sharing_follows_the_profile() {
    let hosts = |sharing| {
        let mut profile = profile();
        profile.hosts.sharing = sharing;
        let mut driver = Driver::new(profile, 1);
        for (function, (tenant, role)) in (0..).zip([(1, 0), (1, 1), (2, 0)]) {
            let tenant = TenantId::from_number(tenant);
            driver
                .deploy(function, FunctionSettings { tenant, role: RoleId(role), ..settings(128) });
            driver.invoke(function);
        }
        driver.hosts().len()
    };
    assert_eq!(hosts(Sharing::Shared), 1);
    assert_eq!(hosts(Sharing::PerTenant), 2);
    assert_eq!(hosts(Sharing::PerRole), 3);
}

// A function, or its account, can ask for more than the profile gives; then nobody shares its hosts, however lenient.
#[test]
fn functions_and_accounts_isolate_themselves() {
    let fill = |sharing, account: Option<Isolation>, function: Option<Isolation>| {
        let mut profile = profile();
        profile.hosts.sharing = sharing;
        profile.accounts = account.map(|it| (TenantId::from_number(1), it)).into_iter().collect();
        let mut driver = Driver::new(profile, 1);
        for (number, (tenant, role)) in (0..).zip([(1, 0), (1, 0), (1, 1), (2, 0)]) {
            let isolation = function.filter(|_| number == 0);
            let (tenant, role) = (TenantId::from_number(tenant), RoleId(role));
            driver.deploy(number, FunctionSettings { tenant, role, isolation, ..settings(128) });
            driver.invoke(number);
        }
        driver.scheduler.hosts().map(|it| it.instances).collect::<Vec<_>>()
    };
    assert_eq!(fill(Sharing::Shared, None, None), [4]);
    assert_eq!(fill(Sharing::Shared, None, Some(Isolation::Function)), [1, 3]);
    assert_eq!(fill(Sharing::Shared, Some(Isolation::Tenant), None), [3, 1]);
    assert_eq!(fill(Sharing::Shared, Some(Isolation::Role), None), [2, 1, 1]);
    assert_eq!(fill(Sharing::PerTenant, None, Some(Isolation::Role)), [1, 2, 1]);
    assert_eq!(fill(Sharing::PerFunction, None, None), [1; 4]);
    assert_eq!(fill(Sharing::PerFunction, Some(Isolation::Tenant), None), [3, 1]);
}

// With another role a function runs on that role's hosts from the next dispatch on.
#[test]
fn a_changed_role_moves_instances() {
    let mut apart = profile();
    apart.hosts.sharing = Sharing::PerRole;
    let mut driver = driver(apart);
    pool(&mut driver, 1);
    driver.change(0, |it| FunctionSettings { role: RoleId(7), ..it });
    driver.invoke(0);
    driver.answer_all();
    let hosts: Vec<HostId> = driver.scheduler.instances().map(|it| it.host).collect();
    assert_eq!(hosts, [HostId(2)]);
}

// A function that changes its isolation leaves the hosts that it shared at once; what runs there ends there.
#[test]
fn changed_isolation_moves_instances() {
    let mut driver = driver(profile());
    pool(&mut driver, 2);
    driver.deploy(1, settings(128));
    driver.invoke(1);
    driver.answer_all();
    let run = driver.invoke(0);
    driver.isolate(0, Some(Isolation::Function));
    assert_eq!(reclaimed(&driver).len(), 1, "the idle one goes");
    driver.invoke(0);
    driver.answer_all();
    let hosts: Vec<(u64, HostId)> =
        driver.scheduler.instances().map(|it| (it.function.0, it.host)).collect();
    assert_eq!(hosts, [(1, HostId(1)), (0, HostId(2))]);
    assert!(!driver.unfinished().contains(&run));
}

// Hosts are started ahead, used by whoever comes first, and made up for.
#[test]
fn hosts_are_started_ahead() {
    let mut warm = profile();
    warm.hosts.warm = 2;
    let mut driver = Driver::new(warm, 1);
    assert!(driver.scheduler.next_timeout().is_some(), "the driver is told to come");
    driver.wait(Span::ZERO);
    driver.answer_all();
    driver.deploy(0, settings(128));
    driver.invoke(0);
    assert_eq!(driver.open, [Open::Start(InstanceId(1)), Open::Host(HostId(3))]);
    driver.answer(Open::Host(HostId(3)), Answer::Fails);
    assert_eq!(driver.hosts().len(), 2, "after a failure there is a pause");
    driver.wait(Span::from_secs(10));
    assert_eq!(driver.hosts().len(), 3);
}

// An empty host is given back after its time, unless an instance comes.
#[test]
fn empty_hosts_go() {
    let mut profile = Profile { keep_alive: KeepAlive::None(NoKeeping), ..profile() };
    profile.hosts.idle = Span::from_secs(5);
    let mut driver = driver(profile);
    driver.invoke(0);
    driver.answer_all();
    assert!(driver.instances().is_empty(), "nothing is kept");
    driver.wait(Span::from_secs(4));
    driver.invoke(0);
    driver.answer_all();
    driver.wait(Span::from_secs(4));
    assert_eq!(driver.hosts(), [HostId(1)]);
    driver.wait(Span::from_secs(1));
    assert!(driver.hosts().is_empty());
}

// Memory is free when an instance is gone, not when it is asked to go.
#[test]
fn room_is_free_at_reclaimed() {
    let mut full = profile();
    full.limits.memory = Some(MemoryMib(512));
    full.hosts.overcommit = 1.0;
    let mut driver = driver(full);
    driver.deploy(1, settings(512));
    pool(&mut driver, 4);
    let waiting = driver.invoke(1);
    let evicted: Vec<StopReason> = reclaimed(&driver).iter().map(|it| it.1).collect();
    assert_eq!(evicted, [StopReason::Evicted; 4]);
    for number in 1..4 {
        driver.answer(Open::Reclaim(InstanceId(number)), Answer::Well);
        assert!(!driver.open.iter().any(|open| matches!(open, Open::Start(_))));
    }
    driver.answer(Open::Reclaim(InstanceId(4)), Answer::Well);
    driver.answer_all();
    assert_eq!(dispatches(&driver).last(), Some(&(5, waiting.0, true)));
}

// A full machine evicts no more than it needs, the least recently idle first.
#[test]
fn eviction_takes_the_least_recently_idle() {
    let mut full = profile();
    full.limits.memory = Some(MemoryMib(512));
    full.hosts.overcommit = 1.0;
    let mut driver = driver(full);
    driver.deploy(1, settings(200));
    pool(&mut driver, 4);
    driver.invoke(1);
    let evicted: Vec<u64> = reclaimed(&driver).iter().map(|it| it.0.0).collect();
    assert_eq!(evicted, [1, 2]);
}

// On a full machine another tenant's quiet host is emptied and given back; a busy one is not.
#[test]
fn quiet_hosts_of_others_make_room() {
    let mut full = profile();
    full.limits.memory = Some(MemoryMib(1024));
    full.hosts.overcommit = 1.0;
    let mut driver = driver(full);
    let other =
        |tenant| FunctionSettings { tenant: TenantId::from_number(tenant), ..settings(128) };
    driver.deploy(1, other(2));
    driver.deploy(2, other(3));
    pool(&mut driver, 2);
    driver.invoke(1);
    driver.answer(Open::Host(HostId(2)), Answer::Well);
    driver.answer(Open::Start(InstanceId(3)), Answer::Well);
    driver.invoke(2);
    let phases: Vec<HostPhase> = driver.scheduler.hosts().map(|it| it.phase).collect();
    assert_eq!(phases, [HostPhase::Leaving, HostPhase::Ready]);
    driver.answer(Open::Reclaim(InstanceId(1)), Answer::Well);
    driver.answer(Open::Reclaim(InstanceId(2)), Answer::Well);
    assert_eq!(driver.hosts(), [HostId(2), HostId(3)]);
    driver.invoke(0);
    assert!(matches!(rejected(&driver)[..], [Rejection::NoHost(_)]), "now nothing is quiet");
}

// On a full machine no more empty hosts are given back than are needed, the oldest first.
#[test]
fn empty_hosts_make_room_at_once() {
    let mut full = Profile { keep_alive: KeepAlive::None(NoKeeping), ..profile() };
    full.limits.memory = Some(MemoryMib(1024));
    full.hosts.overcommit = 1.0;
    let mut driver = driver(full);
    for tenant in 2..4 {
        let tenant_id = TenantId::from_number(tenant);
        driver.deploy(tenant, FunctionSettings { tenant: tenant_id, ..settings(128) });
        driver.invoke(tenant);
        driver.answer_all();
    }
    assert_eq!(driver.hosts(), [HostId(1), HostId(2)]);
    driver.invoke(0);
    assert_eq!(driver.hosts(), [HostId(2), HostId(3)]);
}

// What waits for room on a host that is lost is started elsewhere at once.
#[test]
fn a_lost_host_makes_room() {
    let mut full = profile();
    full.limits.memory = Some(MemoryMib(512));
    full.hosts.overcommit = 1.0;
    let mut driver = driver(full);
    driver.deploy(1, settings(512));
    pool(&mut driver, 4);
    driver.invoke(1);
    driver.send(Event::HostLost { host: HostId(1) });
    assert_eq!(driver.hosts(), [HostId(2)]);
}

// A machine that is really short of memory starts nothing: an idle instance goes first, then it refuses.
#[test]
fn really_free_memory_counts() {
    let mut driver = driver(profile());
    pool(&mut driver, 1);
    driver.deploy(1, settings(128));
    driver.send(Event::MemoryFree { free: MemoryMib(255) });
    let first = driver.invoke(1);
    assert_eq!(reclaimed(&driver), [(InstanceId(1), StopReason::Evicted)]);
    driver.send(Event::MemoryFree { free: MemoryMib(256) });
    driver.answer_all();
    assert_eq!(dispatches(&driver).last(), Some(&(2, first.0, true)));
    driver.send(Event::MemoryFree { free: MemoryMib(100) });
    driver.invoke(0);
    driver.answer_all();
    let reason = format!("{:?}", rejected(&driver));
    assert!(reason.contains("100 MiB of memory free"), "{reason}");
}

// A lost host takes its instances with it; what was to start there starts elsewhere.
#[test]
fn lost_hosts_are_made_up_for() {
    let mut driver = driver(profile());
    let first = driver.invoke(0);
    driver.answer(Open::Host(HostId(1)), Answer::Well);
    driver.answer(Open::Start(InstanceId(1)), Answer::Well);
    let second = driver.invoke(0);
    driver.send(Event::HostLost { host: HostId(1) });
    assert_eq!(driver.unfinished(), [second], "{first} ended with its host");
    driver.answer_all();
    assert_eq!(dispatches(&driver).last(), Some(&(3, second.0, true)));
}
