//! Idle instances: which is reused, when they rest and when they go.

use crate::*;

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
    let keep_alive = KeepAlive::Halving(Halving { interval, floor: 2, limit, clock: Clock::Host });
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
    let limit = Span::from_secs(40);
    let keep_alive = KeepAlive::Halving(Halving { interval, floor: 0, limit, clock: Clock::Host });
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
