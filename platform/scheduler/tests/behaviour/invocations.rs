//! Invocations: starts, outcomes, updates, limits and bills.

use crate::*;

// A cold start goes from host to instance to dispatch; the next invocation waits for it to become idle, for a moment.
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
    assert_eq!(driver.open, [Open::Finish(InstanceId(1))]);
    driver.answer(Open::Finish(InstanceId(1)), Answer::Well);
    assert_eq!(dispatches(&driver), [(1, first.0, true), (1, second.0, false)]);
    driver.wait(Span::from_secs(1));
    assert_eq!(driver.instances().len(), 1);
}

/// Instances of function 0, so many of which have answered a moment ago while nothing waits.
fn answered(n: usize) -> Driver {
    let mut driver = driver(profile());
    let invocations: Vec<InvocationId> = (0..n).map(|_| driver.invoke(0)).collect();
    driver.answer(Open::Host(HostId(1)), Answer::Well);
    for number in 1..=n as u64 {
        driver.answer(Open::Start(InstanceId(number)), Answer::Well);
    }
    for (number, invocation) in (1..).zip(invocations) {
        driver.answer(Open::Run(InstanceId(number), invocation), Answer::Well);
    }
    driver
}

fn starts(driver: &Driver) -> Vec<Open> {
    driver.open.iter().copied().filter(|open| matches!(open, Open::Start(_))).collect()
}

// Of a burst, only what exceeds the instances that will soon be idle is given new ones.
#[test]
fn instances_that_will_soon_be_idle_count() {
    let mut driver = answered(2);
    for _ in 0..3 {
        driver.invoke(0);
    }
    assert_eq!(starts(&driver), [Open::Start(InstanceId(3))]);
}

// An instance that is not idle within its grace counts no more: from then on another one starts.
#[test]
fn an_instance_that_lingers_is_not_waited_for() {
    let mut driver = answered(1);
    driver.wait(Span::from_millis(3));
    let invocation = driver.invoke(0);
    driver.wait(Span::from_millis(2) - Span::from_nanos(1));
    assert_eq!(starts(&driver), []);
    driver.wait(Span::from_nanos(1));
    assert_eq!(starts(&driver), [Open::Start(InstanceId(2))]);
    driver.answer(Open::Start(InstanceId(2)), Answer::Well);
    assert_eq!(dispatches(&driver).last(), Some(&(2, invocation.0, true)));
    driver.invoke(0);
    assert_eq!(starts(&driver), [Open::Start(InstanceId(3))], "its grace is over for good");
}

// Instances that answered one after the other stop counting one after the other.
#[test]
fn each_instance_has_its_own_grace() {
    let mut driver = answered(1);
    let second = driver.invoke(0);
    driver.answer(Open::Finish(InstanceId(1)), Answer::Well);
    driver.wait(Span::from_millis(2));
    let third = driver.invoke(0);
    driver.answer(Open::Start(InstanceId(2)), Answer::Well);
    driver.answer(Open::Run(InstanceId(1), second), Answer::Well);
    driver.wait(Span::from_millis(2));
    driver.answer(Open::Run(InstanceId(2), third), Answer::Well);
    driver.invoke(0);
    driver.invoke(0);
    assert_eq!(starts(&driver), []);
    driver.wait(Span::from_millis(3));
    assert_eq!(starts(&driver).len(), 1);
    driver.wait(Span::from_millis(2));
    assert_eq!(starts(&driver).len(), 2);
}

// What counted on an instance that dies, is lost, or is outdated by an update, has another one started at once.
#[test]
fn an_instance_that_will_not_be_idle_is_made_up_for() {
    let mut died = answered(1);
    died.invoke(0);
    died.answer(Open::Finish(InstanceId(1)), Answer::Dies);
    assert_eq!(starts(&died), [Open::Start(InstanceId(2))]);

    let mut lost = answered(1);
    lost.invoke(0);
    lost.send(Event::HostLost { host: HostId(1) });
    assert_eq!(lost.open, [Open::Host(HostId(2))]);

    let mut outdated = answered(1);
    outdated.invoke(0);
    outdated.deploy(0, settings(128));
    assert_eq!(starts(&outdated), [Open::Start(InstanceId(2))]);
}

// The same where the instance has reached its lifetime, and where it runs on until the invocation's deadline.
#[test]
fn an_instance_at_its_end_is_made_up_for() {
    let lifetime_cap = Some(Span::from_millis(1));
    let mut aged = driver(Profile { lifetime_cap, ..profile() });
    let first = aged.invoke(0);
    aged.answer(Open::Host(HostId(1)), Answer::Well);
    aged.answer(Open::Start(InstanceId(1)), Answer::Well);
    aged.wait(Span::from_millis(1));
    aged.answer(Open::Run(InstanceId(1), first), Answer::Well);
    aged.invoke(0);
    aged.answer(Open::Finish(InstanceId(1)), Answer::Well);
    assert_eq!(starts(&aged), [Open::Start(InstanceId(2))]);

    let mut late = driver(profile());
    let first = late.invoke(0);
    late.answer(Open::Host(HostId(1)), Answer::Well);
    late.answer(Open::Start(InstanceId(1)), Answer::Well);
    late.wait(Span::from_secs(3) - Span::from_millis(1));
    late.answer(Open::Run(InstanceId(1), first), Answer::Well);
    late.invoke(0);
    late.wait(Span::from_millis(1));
    assert_eq!(reclaimed(&late), [(InstanceId(1), StopReason::Expired)]);
    assert_eq!(starts(&late), [Open::Start(InstanceId(2))]);
}

// A start that fails is no loss to what counts on an instance that has answered; when that lingers, another one starts.
#[test]
fn a_failed_start_leaves_what_is_coming() {
    let mut driver = answered(1);
    driver.invoke(0);
    let second = driver.invoke(0);
    driver.answer(Open::Start(InstanceId(2)), Answer::Fails);
    assert_eq!(rejected(&driver).len(), 1);
    assert_eq!(driver.unfinished(), [second]);
    driver.wait(Span::from_millis(5));
    assert_eq!(starts(&driver), [Open::Start(InstanceId(3))]);
}

// A start that became superfluous becomes an idle instance, and is reused before another start.
#[test]
fn a_superfluous_start_is_kept() {
    let mut driver = driver(profile());
    let first = driver.invoke(0);
    driver.answer(Open::Host(HostId(1)), Answer::Well);
    driver.answer(Open::Start(InstanceId(1)), Answer::Well);
    driver.invoke(0);
    assert_eq!(starts(&driver), [Open::Start(InstanceId(2))]);
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
    assert_eq!(rejected(&driver), [Rejection::ReservedConcurrency { limit: 0 }]);
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
    assert_eq!(rejected(&driver), [Rejection::AccountConcurrency { limit: 3 }]);
    for _ in 0..3 {
        driver.invoke(1);
    }
    assert_eq!(rejected(&driver).last(), Some(&Rejection::ReservedConcurrency { limit: 2 }));
    assert_eq!(rejected(&driver).len(), 2);
    driver.send(Event::Cancelled { invocation: invocations.remove(0) });
    driver.invoke(0);
    assert_eq!(rejected(&driver).len(), 2, "a cancelled invocation makes room");
    driver.deploy(2, FunctionSettings { tenant: TenantId::from_number(2), ..settings(128) });
    driver.invoke(2);
    assert_eq!(rejected(&driver).len(), 2, "another tenant has its own limit");
}

// The versions of a function share what is reserved for it; when that changes, no instance goes, and what is in flight counts.
#[test]
fn versions_share_a_reservation() {
    let mut limited = profile();
    limited.limits.account_concurrency = 6;
    let mut driver = driver(limited);
    driver.deploy_version(1, settings(128));
    driver.limit(settings(128).tenant, 0, Some(3));
    let running: Vec<InvocationId> = [0, 0, 1].map(|version| driver.invoke(version)).to_vec();
    for version in [0, 1] {
        driver.invoke(version);
    }
    assert_eq!(rejected(&driver), vec![Rejection::ReservedConcurrency { limit: 3 }; 2]);
    driver.deploy(2, settings(128));
    driver.limit(settings(128).tenant, 0, None);
    for function in [2, 2, 2, 2] {
        driver.invoke(function);
    }
    assert_eq!(rejected(&driver)[2..], [Rejection::AccountConcurrency { limit: 6 }]);
    driver.answer_all();
    driver.limit(settings(128).tenant, 0, Some(0));
    assert!(reclaimed(&driver).is_empty(), "{running:?} keep their instances");
    driver.invoke(1);
    assert_eq!(rejected(&driver)[3..], [Rejection::ReservedConcurrency { limit: 0 }]);
    driver.invoke(2);
    assert_eq!(rejected(&driver).len(), 4, "another function is not held to it");
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
