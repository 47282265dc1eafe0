//! What the scheduler does in one situation each, seen through the driver of `driver`, which checks the rest.

mod driver;

use driver::{Answer, Driver, Open};
use model::{FunctionId, HostId, InstanceId, InvocationId, MemoryMib, RoleId, Span, TenantId};
use scheduler::policy::{Fixed, Halving, KeepAlive, NoKeeping, Placement, Spread};
use scheduler::{
    Action, Epoch, Event, FunctionSettings, HostPhase, InitBilling, InstancePhase, Profile,
    Rejection, Sharing, StopReason,
};

fn settings(memory: u32) -> FunctionSettings {
    FunctionSettings {
        tenant: TenantId::from_number(1),
        role: RoleId(0),
        memory: MemoryMib(memory),
        timeout: Span::from_secs(3),
        reserved_concurrency: None,
    }
}

/// Hosts of 512 MiB, so that four instances of 128 MiB fill one.
fn profile() -> Profile {
    let mut profile = Profile::default();
    profile.hosts.memory = MemoryMib(512);
    profile
}

/// A driver with one function of 128 MiB, number 0.
fn driver(profile: Profile) -> Driver {
    let mut driver = Driver::new(profile, 1);
    driver.deploy(0, settings(128));
    driver
}

/// Invokes function 0 until `n` instances are there, and lets them become idle.
fn pool(driver: &mut Driver, n: usize) {
    for _ in 0..n {
        driver.invoke(0);
    }
    driver.answer_all();
    assert_eq!(driver.instances().len(), n);
}

fn reclaimed(driver: &Driver) -> Vec<(InstanceId, StopReason)> {
    let reclaim = |action: &Action| match *action {
        Action::Reclaim { instance, reason } => Some((instance, reason)),
        _ => None,
    };
    driver.actions.iter().filter_map(reclaim).collect()
}

fn rejected(driver: &Driver) -> Vec<Rejection> {
    let reject = |action: &Action| match action {
        Action::Reject { reason, .. } => Some(reason.clone()),
        _ => None,
    };
    driver.actions.iter().filter_map(reject).collect()
}

fn dispatches(driver: &Driver) -> Vec<(u64, u64, bool)> {
    let dispatch = |action: &Action| match *action {
        Action::Dispatch { instance, invocation, cold, .. } => {
            Some((instance.0, invocation.0, cold))
        }
        _ => None,
    };
    driver.actions.iter().filter_map(dispatch).collect()
}

// A cold start goes from host to instance to dispatch; the next invocation reuses it only once it is idle.
#[test]
fn a_cold_start_and_a_warm_one() {
    let mut driver = driver(profile());
    let first = driver.invoke(0);
    assert_eq!(driver.open, [Open::Host(HostId(1))]);
    driver.answer(Open::Host(HostId(1)), Answer::Well);
    driver.answer(Open::Start(InstanceId(1)), Answer::Well);
    assert_eq!(dispatches(&driver), [(1, first.0, true)]);
    driver.answer(Open::Run(InstanceId(1), first), Answer::Well);
    let second = driver.invoke(0);
    assert_eq!(driver.open, [Open::Finish(InstanceId(1)), Open::Start(InstanceId(2))]);
    driver.answer(Open::Finish(InstanceId(1)), Answer::Well);
    assert_eq!(dispatches(&driver), [(1, first.0, true), (1, second.0, false)]);
}

// A start that became superfluous becomes an idle instance, and is reused before another start.
#[test]
fn a_superfluous_start_is_kept() {
    let mut driver = driver(profile());
    let first = driver.invoke(0);
    driver.answer(Open::Host(HostId(1)), Answer::Well);
    driver.answer(Open::Start(InstanceId(1)), Answer::Well);
    driver.invoke(0);
    driver.answer(Open::Run(InstanceId(1), first), Answer::Well);
    driver.answer(Open::Finish(InstanceId(1)), Answer::Well);
    driver.answer(Open::Start(InstanceId(2)), Answer::Well);
    let third = driver.invoke(0);
    assert_eq!(dispatches(&driver).last(), Some(&(2, third.0, false)));
    assert_eq!(driver.instances().len(), 2);
}

// Whichever instance is ready first takes the invocation that has waited longest.
#[test]
fn the_oldest_invocation_goes_first() {
    let mut driver = driver(profile());
    let (first, second) = (driver.invoke(0), driver.invoke(0));
    driver.answer(Open::Host(HostId(1)), Answer::Well);
    driver.answer(Open::Start(InstanceId(2)), Answer::Well);
    driver.answer(Open::Start(InstanceId(1)), Answer::Well);
    assert_eq!(dispatches(&driver), [(2, first.0, true), (1, second.0, true)]);
}

// Of several idle instances the most recently idle one is reused.
#[test]
fn the_most_recently_idle_is_reused() {
    let mut driver = driver(profile());
    let runs: Vec<InvocationId> = (0..3).map(|_| driver.invoke(0)).collect();
    driver.answer(Open::Host(HostId(1)), Answer::Well);
    for number in 1..=3 {
        driver.answer(Open::Start(InstanceId(number)), Answer::Well);
    }
    for number in [2, 3, 1] {
        driver.answer(Open::Run(InstanceId(number), runs[number as usize - 1]), Answer::Well);
        driver.answer(Open::Finish(InstanceId(number)), Answer::Well);
    }
    let next = driver.invoke(0);
    assert_eq!(dispatches(&driver).last(), Some(&(1, next.0, false)));
}

// An idle instance rests after the profile's time, and an invocation wakes it.
#[test]
fn idle_instances_rest() {
    let mut driver = driver(profile());
    pool(&mut driver, 1);
    driver.wait(Span::from_micros(4_999));
    assert!(driver.open.is_empty());
    driver.wait(Span::from_micros(1));
    assert_eq!(driver.open, [Open::Rest(InstanceId(1))]);
    driver.answer_all();
    let phase = driver.scheduler.instances().next().map(|it| it.phase);
    assert_eq!(phase, Some(InstancePhase::Resting));
    let next = driver.invoke(0);
    assert_eq!(dispatches(&driver).last(), Some(&(1, next.0, false)));
}

// An invocation beyond its timeout is answered, billed and its instance reclaimed, each once.
#[test]
fn timeouts_expire() {
    let mut driver = driver(profile());
    let invocation = driver.invoke(0);
    driver.answer(Open::Host(HostId(1)), Answer::Well);
    driver.answer(Open::Start(InstanceId(1)), Answer::Well);
    let before = driver.actions.len();
    driver.wait(Span::from_secs(3));
    let instance = InstanceId(1);
    let timeout = Span::from_secs(3);
    assert_eq!(
        driver.actions[before..],
        [
            Action::Expire { invocation, instance, timeout },
            Action::Bill {
                invocation,
                function: FunctionId(0),
                duration: timeout,
                init: Some(Span::ZERO),
                billed: timeout,
                memory: MemoryMib(128),
            },
            Action::Reclaim { instance, reason: StopReason::Expired },
        ]
    );
    driver.send(Event::Finished { instance, invocation });
    assert_eq!(driver.scheduler.counters().late_events, 1);
}

// An instance that answers and never becomes idle is reclaimed at the invocation's deadline.
#[test]
fn instances_that_linger_are_reclaimed() {
    let mut driver = driver(profile());
    let invocation = driver.invoke(0);
    driver.answer(Open::Host(HostId(1)), Answer::Well);
    driver.answer(Open::Start(InstanceId(1)), Answer::Well);
    driver.answer(Open::Run(InstanceId(1), invocation), Answer::Well);
    driver.wait(Span::from_secs(3));
    assert_eq!(reclaimed(&driver), [(InstanceId(1), StopReason::Expired)]);
    assert_eq!(driver.scheduler.counters().expired, 0);
}

// A failed start rejects the oldest invocation that lacks one, with its reason, and is not tried again.
#[test]
fn failed_starts_reject() {
    let mut driver = driver(profile());
    driver.invoke(0);
    driver.answer(Open::Host(HostId(1)), Answer::Well);
    driver.answer(Open::Start(InstanceId(1)), Answer::Fails);
    assert_eq!(rejected(&driver), [Rejection::StartFailed("as planned".to_owned())]);
    assert_eq!(reclaimed(&driver), [(InstanceId(1), StopReason::StartFailed)]);
    driver.answer_all();
    assert!(driver.open.is_empty() && driver.instances().is_empty());
}

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

// An update reclaims idle instances at once and busy ones when they finish; what waits gets a new instance.
#[test]
fn updates_are_atomic() {
    let mut driver = driver(profile());
    pool(&mut driver, 2);
    let running = driver.invoke(0);
    driver.deploy(0, settings(128));
    assert_eq!(reclaimed(&driver), [(InstanceId(1), StopReason::Outdated)]);
    let waiting = driver.invoke(0);
    driver.answer(Open::Run(InstanceId(2), running), Answer::Well);
    driver.answer(Open::Finish(InstanceId(2)), Answer::Well);
    assert_eq!(reclaimed(&driver).last(), Some(&(InstanceId(2), StopReason::Outdated)));
    driver.answer_all();
    assert_eq!(dispatches(&driver).last(), Some(&(3, waiting.0, true)));
}

// An instance that starts with old code is not used: the invocation that waits for it gets another.
#[test]
fn outdated_starts_are_not_used() {
    let mut driver = driver(profile());
    let waiting = driver.invoke(0);
    driver.answer(Open::Host(HostId(1)), Answer::Well);
    driver.deploy(0, settings(128));
    assert_eq!(driver.open, [Open::Start(InstanceId(1)), Open::Start(InstanceId(2))]);
    driver.answer(Open::Start(InstanceId(1)), Answer::Well);
    assert_eq!(reclaimed(&driver), [(InstanceId(1), StopReason::Outdated)]);
    driver.answer_all();
    assert_eq!(dispatches(&driver), [(2, waiting.0, true)]);
}

// A change of limits alone keeps instances.
#[test]
fn limits_change_without_restarts() {
    let mut driver = driver(profile());
    pool(&mut driver, 1);
    driver.reserve(0, Some(0));
    driver.invoke(0);
    assert_eq!(rejected(&driver), [Rejection::ReservedConcurrency]);
    driver.reserve(0, None);
    driver.invoke(0);
    assert_eq!(dispatches(&driver).len(), 2);
    assert!(reclaimed(&driver).is_empty());
}

// A removed function rejects what waits and what comes, and its instances go.
#[test]
fn removal_ends_everything() {
    let mut driver = driver(profile());
    pool(&mut driver, 2);
    let running = driver.invoke(0);
    driver.invoke(0);
    driver.invoke(0);
    driver.remove(0);
    assert_eq!(rejected(&driver), [Rejection::NoFunction]);
    driver.invoke(0);
    assert_eq!(rejected(&driver).len(), 2);
    driver.answer(Open::Run(InstanceId(2), running), Answer::Well);
    driver.answer_all();
    assert!(driver.instances().is_empty());
    assert!(reclaimed(&driver).iter().all(|(_, reason)| *reason == StopReason::Removed));
}

// The account's limit counts what waits and what runs, less what other functions reserve; a reservation is apart.
#[test]
fn concurrency_is_limited() {
    let mut limited = profile();
    limited.limits.account_concurrency = 5;
    let mut driver = driver(limited);
    driver.deploy(1, FunctionSettings { reserved_concurrency: Some(2), ..settings(128) });
    let mut invocations: Vec<InvocationId> = (0..4).map(|_| driver.invoke(0)).collect();
    assert_eq!(rejected(&driver), [Rejection::AccountConcurrency]);
    for _ in 0..3 {
        driver.invoke(1);
    }
    assert_eq!(rejected(&driver).last(), Some(&Rejection::ReservedConcurrency));
    assert_eq!(rejected(&driver).len(), 2);
    driver.send(Event::Cancelled { invocation: invocations.remove(0) });
    driver.invoke(0);
    assert_eq!(rejected(&driver).len(), 2, "a cancelled invocation makes room");
    driver.deploy(2, FunctionSettings { tenant: TenantId::from_number(2), ..settings(128) });
    driver.invoke(2);
    assert_eq!(rejected(&driver).len(), 2, "another tenant has its own limit");
}

// A queue has a length and a time, and what exceeds either is rejected.
#[test]
fn queues_are_bounded() {
    let mut short = profile();
    short.limits.queue = 2;
    let mut driver = driver(short);
    for _ in 0..3 {
        driver.invoke(0);
    }
    assert_eq!(rejected(&driver), [Rejection::Queue]);
    driver.wait(Span::from_secs(60));
    assert_eq!(rejected(&driver), vec![Rejection::Queue; 3]);
}

// Each waiting invocation has a time of its own: a younger one goes on waiting.
#[test]
fn queues_time_out_one_by_one() {
    let mut driver = driver(profile());
    driver.invoke(0);
    driver.wait(Span::from_secs(1));
    let young = driver.invoke(0);
    driver.wait(Span::from_secs(59));
    assert_eq!(rejected(&driver), [Rejection::Queue]);
    assert_eq!(driver.unfinished(), [young]);
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

// Fixed keep-alive ends an instance when it has been idle for its limit, not before.
#[test]
fn fixed_keep_alive_is_exact() {
    let limit = Span::from_secs(10);
    let mut driver = driver(Profile { keep_alive: KeepAlive::Fixed(Fixed { limit }), ..profile() });
    pool(&mut driver, 1);
    driver.wait(limit - Span::from_nanos(1));
    assert!(reclaimed(&driver).is_empty());
    driver.wait(Span::from_nanos(1));
    assert_eq!(reclaimed(&driver), [(InstanceId(1), StopReason::IdleLimit)]);
}

// Halving: a host's clock ticks once per interval and halves the pool on it down to the floor; the limit ends the rest.
#[test]
fn halving_follows_the_clock() {
    let interval = Span::from_secs(3);
    let limit = Span::from_secs(40);
    let keep_alive = KeepAlive::Halving(Halving { interval, floor: 2, limit });
    let mut profile = Profile { keep_alive, ..profile() };
    profile.hosts.memory = MemoryMib(128 * 21);
    let mut driver = driver(profile);
    pool(&mut driver, 21);
    let mut sizes = Vec::new();
    for _ in 0..5 {
        driver.wait(interval);
        driver.answer_all();
        sizes.push(driver.instances().len());
    }
    assert_eq!(sizes, [11, 6, 3, 2, 2]);
    let gone: Vec<u64> = reclaimed(&driver).iter().map(|it| it.0.0).take(10).collect();
    assert_eq!(gone, (1..=10).collect::<Vec<u64>>(), "the least recently idle go");
    driver.wait(limit);
    let reasons: Vec<StopReason> = reclaimed(&driver).iter().map(|it| it.1).skip(19).collect();
    assert_eq!(reasons, [StopReason::IdleLimit; 2]);
}

// Busy instances are not counted and not touched by a tick.
#[test]
fn halving_leaves_busy_instances() {
    let interval = Span::from_secs(2);
    let keep_alive = KeepAlive::Halving(Halving { interval, floor: 0, limit: Span::from_secs(40) });
    let mut driver = driver(Profile { keep_alive, ..profile() });
    pool(&mut driver, 4);
    driver.invoke(0);
    driver.invoke(0);
    driver.wait(interval);
    let gone: Vec<u64> = reclaimed(&driver).iter().map(|it| it.0.0).collect();
    assert_eq!(gone, [1], "of two idle instances one goes");
}

// Beyond its lifetime an idle instance goes, and a busy one when it has finished.
#[test]
fn lifetimes_end() {
    let lifetime_cap = Some(Span::from_secs(2));
    let mut driver = driver(Profile { lifetime_cap, ..profile() });
    pool(&mut driver, 2);
    driver.wait(Span::from_secs(1));
    let running = driver.invoke(0);
    driver.wait(Span::from_secs(1));
    assert_eq!(reclaimed(&driver), [(InstanceId(1), StopReason::Lifetime)]);
    driver.answer(Open::Run(InstanceId(2), running), Answer::Well);
    driver.answer(Open::Finish(InstanceId(2)), Answer::Well);
    assert_eq!(reclaimed(&driver).last(), Some(&(InstanceId(2), StopReason::Lifetime)));
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

// An instance that dies ends its invocation, which is billed, and is reclaimed.
#[test]
fn deaths_are_billed_and_reclaimed() {
    let mut driver = driver(profile());
    let run = driver.invoke(0);
    driver.answer(Open::Host(HostId(1)), Answer::Well);
    driver.answer(Open::Start(InstanceId(1)), Answer::Well);
    driver.answer(Open::Run(InstanceId(1), run), Answer::Dies);
    assert_eq!(reclaimed(&driver), [(InstanceId(1), StopReason::Died)]);
    assert!(driver.actions.iter().any(|action| matches!(action, Action::Bill { .. })));
    assert!(driver.unfinished().is_empty());
}

// What is billed is the duration, with the init that the invocation waited for where the profile says so.
#[test]
fn bills_follow_the_profile() {
    let billed = |init| {
        let mut profile = profile();
        profile.billing.init = init;
        let mut driver = driver(profile);
        let invocation = driver.invoke(0);
        driver.answer(Open::Host(HostId(1)), Answer::Well);
        driver.now += Span::from_micros(1_500);
        driver.answer(Open::Start(InstanceId(1)), Answer::Well);
        driver.now += Span::from_micros(2_500);
        driver.answer(Open::Run(InstanceId(1), invocation), Answer::Well);
        driver.actions.iter().find_map(|action| match *action {
            Action::Bill { init, duration, billed, .. } => Some((init, duration, billed)),
            _ => None,
        })
    };
    let (init, duration) = (Some(Span::from_micros(1_500)), Span::from_micros(2_500));
    assert_eq!(billed(InitBilling::Free), Some((init, duration, Span::from_millis(3))));
    assert_eq!(billed(InitBilling::Billed), Some((init, duration, Span::from_millis(4))));
}

// Events about what is gone, or was never there, change nothing and are counted.
#[test]
fn late_events_are_counted() {
    let mut driver = driver(profile());
    let (instance, host) = (InstanceId(9), HostId(9));
    let function = FunctionId(9);
    let events = [
        Event::Started { instance },
        Event::Idle { instance },
        Event::Rested { instance },
        Event::Died { instance },
        Event::Reclaimed { instance },
        Event::Finished { instance, invocation: InvocationId(1) },
        Event::StartFailed { instance, reason: String::new() },
        Event::HostReady { host },
        Event::HostFailed { host, reason: String::new() },
        Event::HostLost { host },
        Event::Removed { function },
        Event::Cancelled { invocation: InvocationId(1) },
        Event::ConfigChanged { function, epoch: Epoch(1), settings: settings(128) },
        Event::ConfigChanged { function: FunctionId(0), epoch: Epoch(0), settings: settings(128) },
    ];
    let number = events.len() as u64;
    for event in events {
        assert_eq!(driver.send(event), []);
    }
    assert_eq!(driver.scheduler.counters().late_events, number);
}

// A driver that leaves actions behind is stopped at once.
#[test]
#[should_panic(expected = "drain poll_action")]
fn undrained_actions_are_refused() {
    let mut scheduler = scheduler::Scheduler::new(Profile::default(), 1);
    let invoked = Event::Invoked { invocation: InvocationId(1), function: FunctionId(1) };
    scheduler.handle(model::Time::ZERO, invoked);
    scheduler.handle(model::Time::ZERO, Event::Timeout);
}
