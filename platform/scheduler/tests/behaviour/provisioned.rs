//! Provisioned concurrency: instances that are there before anybody asks, and stay.

use crate::*;

fn provisioned(driver: &Driver) -> Provisioned {
    driver.scheduler.provisioned(FunctionId(0)).expect("instances are to be ready")
}

fn purposes(driver: &Driver) -> Vec<Purpose> {
    driver.scheduler.instances().map(|it| it.purpose).collect()
}

// They start without an invocation, outlive keep-alive and run first; what exceeds them is on demand, and is not kept.
#[test]
fn they_are_ready_ahead_and_stay() {
    let mut driver = driver(profile());
    driver.provision(0, 2);
    let before = Provisioned {
        requested: 2,
        allocated: 2,
        available: 0,
        status: ProvisionStatus::InProgress,
    };
    assert_eq!(provisioned(&driver), before);
    driver.answer_all();
    assert_eq!(purposes(&driver), [Purpose::Provisioned; 2]);
    let ready = Provisioned { available: 2, status: ProvisionStatus::Ready, ..before };
    assert_eq!(provisioned(&driver), ready);
    driver.wait(Span::from_secs(100_000));
    for _ in 0..3 {
        driver.invoke(0);
    }
    driver.answer_all();
    let cold: Vec<bool> = dispatches(&driver).iter().map(|it| it.2).collect();
    assert_eq!(cold, [false, false, true]);
    driver.invoke(0);
    let last = dispatches(&driver).last().map(|it| InstanceId(it.0));
    assert!(last.is_some_and(|it| it.0 <= 2), "{last:?} is on demand");
    driver.answer_all();
    driver.wait(Span::from_secs(100_000));
    driver.answer_all();
    assert_eq!(driver.instances(), [InstanceId(1), InstanceId(2)]);
    assert_eq!(provisioned(&driver), ready);
}

// One that dies or reaches the end of its life is replaced at once.
#[test]
fn lost_ones_are_replaced() {
    let cap = Some(Span::from_secs(50));
    let mut driver = driver(Profile { lifetime_cap: cap, ..profile() });
    driver.provision(0, 2);
    driver.answer_all();
    driver.wait(Span::from_secs(2));
    driver.send(Event::Died { instance: InstanceId(1) });
    assert!(driver.open.contains(&Open::Start(InstanceId(3))));
    driver.answer_all();
    driver.wait(Span::from_secs(48));
    assert!(reclaimed(&driver).contains(&(InstanceId(2), StopReason::Lifetime)));
    driver.answer_all();
    assert_eq!(driver.instances(), [InstanceId(3), InstanceId(4)]);
    let host = driver.hosts()[0];
    driver.send(Event::HostLost { host });
    driver.answer_all();
    assert_eq!(driver.instances(), [InstanceId(5), InstanceId(6)]);
}

// Starts that fail are tried again after a pause that doubles, and the status says why.
#[test]
fn failed_starts_are_tried_again() {
    let mut driver = driver(profile());
    driver.provision(0, 1);
    driver.answer(Open::Host(HostId(1)), Answer::Well);
    for (number, pause) in (1..).zip([1, 2, 4]) {
        driver.answer(Open::Start(InstanceId(number)), Answer::Fails);
        let failed = ProvisionStatus::Failed("as planned".to_owned());
        assert_eq!(provisioned(&driver).status, failed);
        driver.wait(Span::from_secs(pause) - Span::from_nanos(1));
        assert!(!driver.open.contains(&Open::Start(InstanceId(number + 1))));
        driver.wait(Span::from_nanos(1));
    }
    driver.answer(Open::Start(InstanceId(4)), Answer::Well);
    assert_eq!(provisioned(&driver).status, ProvisionStatus::Ready);
    driver.send(Event::Died { instance: InstanceId(4) });
    assert!(matches!(provisioned(&driver).status, ProvisionStatus::Failed(_)), "it died at once");
}

// When fewer are to be there, idle ones go at once and busy ones when they have finished; none is cut short.
#[test]
fn surplus_goes_when_idle() {
    let mut driver = driver(profile());
    driver.provision(0, 3);
    driver.answer_all();
    let run = driver.invoke(0);
    driver.provision(0, 0);
    assert_eq!(driver.scheduler.provisioned(FunctionId(0)), None);
    let gone = vec![StopReason::Unprovisioned; 2];
    assert_eq!(reclaimed(&driver).iter().map(|it| it.1).collect::<Vec<_>>(), gone);
    assert_eq!(driver.unfinished(), [run]);
    driver.answer_all();
    assert!(driver.unfinished().is_empty() && driver.instances().is_empty());
}

// An update replaces all of them by instances of the new state.
#[test]
fn updates_replace_them() {
    let mut driver = driver(profile());
    driver.provision(0, 2);
    driver.answer_all();
    driver.deploy(0, settings(256));
    assert_eq!(provisioned(&driver).available, 0);
    driver.answer_all();
    assert_eq!(provisioned(&driver).status, ProvisionStatus::Ready);
    let epochs: Vec<Epoch> = driver.scheduler.instances().map(|it| it.epoch).collect();
    assert_eq!(epochs, [Epoch(2); 2]);
}

// They stay when others need their room, and wait for room themselves.
#[test]
fn capacity_is_respected() {
    let mut full = profile();
    full.limits.memory = Some(MemoryMib(512));
    full.hosts.overcommit = 1.0;
    let mut driver = driver(full);
    driver.provision(0, 3);
    driver.answer_all();
    driver.deploy(1, settings(256));
    driver.invoke(1);
    assert!(matches!(rejected(&driver)[..], [Rejection::NoHost(_)]), "they do not make room");
    driver.provision(0, 5);
    driver.answer_all();
    let full = provisioned(&driver);
    assert_eq!((full.allocated, full.available), (4, 4));
    assert!(matches!(full.status, ProvisionStatus::Failed(reason) if reason.contains("512 MiB")));
}

// What is provisioned is taken from what all functions of the account share, and serves its function beyond that.
#[test]
fn the_account_gives_them_away() {
    let mut limited = profile();
    limited.limits.account_concurrency = 5;
    let mut driver = driver(limited);
    driver.deploy(1, settings(128));
    driver.provision(0, 2);
    driver.answer_all();
    for _ in 0..4 {
        driver.invoke(1);
    }
    assert_eq!(rejected(&driver), [Rejection::AccountConcurrency { limit: 3 }]);
    for _ in 0..3 {
        driver.invoke(0);
    }
    assert_eq!(rejected(&driver), vec![Rejection::AccountConcurrency { limit: 3 }; 2]);
    driver.limit(settings(128).tenant, 0, Some(2));
    driver.invoke(0);
    let last = Rejection::ReservedConcurrency { limit: 2 };
    assert_eq!(rejected(&driver)[2..], [last], "they are part of a reservation");
}
