//! Instances that take more than one request at once.

use crate::*;

/// A driver of which each instance takes three requests at once, and rests after a second.
fn three_at_once() -> Driver {
    let mut profile = profile();
    profile.scaling.requests_per_instance = 3;
    profile.rest_after = Some(Span::from_secs(1));
    driver(profile)
}

/// So many invocations that run.
fn running(driver: &mut Driver, n: usize) -> Vec<InvocationId> {
    let invocations = (0..n).map(|_| driver.invoke(0)).collect();
    driver.answer(Open::Host(HostId(1)), Answer::Well);
    while let Some(start) = driver.open.iter().copied().find(|open| matches!(open, Open::Start(_)))
    {
        driver.answer(start, Answer::Well);
    }
    invocations
}

// Four requests need a second instance; the first of each instance waited for its start, and the fifth goes where room is.
#[test]
fn instances_fill_before_others_start() {
    let mut driver = three_at_once();
    running(&mut driver, 4);
    assert_eq!(driver.instances().len(), 2);
    driver.invoke(0);
    let on: Vec<(u64, bool)> = dispatches(&driver).iter().map(|it| (it.0, it.2)).collect();
    assert_eq!(on, [(1, true), (1, false), (1, false), (2, true), (2, false)]);
    let view = driver.scheduler.instances().map(|it| it.phase).collect::<Vec<_>>();
    assert_eq!(view, [InstancePhase::Serving(3), InstancePhase::Serving(2)]);
}

// A place is free when the runtime asks for more, not when it has answered; an instance rests only after its last request.
#[test]
fn places_are_used_again_and_rest_comes_last() {
    let mut driver = three_at_once();
    let runs = running(&mut driver, 3);
    let one = InstanceId(1);
    driver.answer(Open::Run(one, runs[0]), Answer::Well);
    let next = driver.invoke(0);
    assert_eq!(dispatches(&driver).len(), 3);
    driver.answer(Open::Finish(one), Answer::Well);
    assert_eq!(dispatches(&driver).last(), Some(&(1, next.0, false)));
    driver.answer(Open::Run(one, runs[1]), Answer::Well);
    driver.answer(Open::Finish(one), Answer::Well);
    driver.wait(Span::from_millis(1_500));
    assert!(!driver.open.contains(&Open::Rest(one)), "{:?}", driver.open);
    for run in [runs[2], next] {
        driver.answer(Open::Run(one, run), Answer::Well);
        driver.answer(Open::Finish(one), Answer::Well);
    }
    driver.wait(Span::from_millis(1_500));
    assert!(driver.open.contains(&Open::Rest(one)), "{:?}", driver.open);
}

// A request over its deadline takes nobody with it: the others end well, none is added, and then the instance goes.
#[test]
fn deadlines_are_each_requests_own() {
    let mut driver = three_at_once();
    let first = running(&mut driver, 1);
    driver.wait(Span::from_secs(2));
    let second = driver.invoke(0);
    driver.wait(Span::from_millis(1_500));
    let expired = driver.actions.iter().filter(|it| matches!(it, Action::Expire { .. })).count();
    assert_eq!((expired, reclaimed(&driver).len()), (1, 0), "{first:?}");
    let third = driver.invoke(0);
    assert_eq!(driver.unfinished(), [second, third]);
    driver.answer(Open::Run(InstanceId(1), second), Answer::Well);
    driver.answer(Open::Finish(InstanceId(1)), Answer::Well);
    assert_eq!(reclaimed(&driver), [(InstanceId(1), StopReason::Expired)]);
    driver.answer_all();
    assert_eq!(driver.unfinished(), []);
}
