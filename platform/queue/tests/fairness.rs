//! No function stands in the way of another.

use model::{Span, Time};
use queue::{Action, Event, EventId, Held, Lane, Limits, Offer, Outcome, Patience, Queue};

const PATIENCE: Patience = Patience { retries: 2, age: Span::from_secs(21_600) };

fn second(seconds: u64) -> Time {
    Time::ZERO + Span::from_secs(seconds)
}

/// What the queue wants to have run after an event.
fn runs(queue: &mut Queue, now: Time, event: Event) -> Vec<EventId> {
    queue.handle(now, event);
    std::iter::from_fn(|| queue.poll_action())
        .filter_map(|action| match action {
            Action::Run { event, .. } => Some(event),
            _ => None,
        })
        .collect()
}

fn held(event: u64, lane: u64) -> Event {
    let offer = Offer { event: EventId(event), lane: Lane(lane), bytes: 1, patience: PATIENCE };
    Event::Recovered(Held { offer, accepted: Time::ZERO, failures: 0, due: Time::ZERO })
}

// Functions that never end take ever smaller shares of what may run: each further one finds room at once.
#[test]
fn slow_functions_leave_room() {
    let mut queue = Queue::new(Limits { running: 64, ..Limits::default() });
    for lane in 0..60 {
        let mut running = 0;
        for number in 0..100 {
            running += runs(&mut queue, second(0), held(lane * 1000 + number, lane)).len();
        }
        assert!(running >= 1, "lane {lane} found no room");
        assert!(running <= 32, "lane {lane} runs {running}");
    }
}

// Among functions with events to run, the one that runs least is served first.
#[test]
fn shares_are_even() {
    let mut queue = Queue::new(Limits { running: 1, ..Limits::default() });
    let mut last = runs(&mut queue, second(0), held(0, 0));
    assert_eq!(
        runs(&mut queue, second(0), held(9000, 9)).len(),
        1,
        "a first one, beyond the limit"
    );
    for number in 1..=20 {
        assert!(runs(&mut queue, second(0), held(number, 0)).is_empty());
    }
    for lane in 1..=3 {
        assert!(runs(&mut queue, second(0), held(lane * 1000, lane)).is_empty());
    }
    let mut order = Vec::new();
    for _ in 0..4 {
        let ran = Event::Ran { event: last[0], outcome: Outcome::Succeeded, patience: PATIENCE };
        assert!(runs(&mut queue, second(0), ran).is_empty());
        last = runs(&mut queue, second(0), Event::Finished { event: last[0] });
        order.push(last[0].0);
    }
    assert_eq!(order, [1000, 2000, 3000, 1], "the busy function's turn comes last");
}

// A throttled function is tried about once a second however many events it has, and another is not held up by it; when
// concurrency is there again, all of them run.
#[test]
fn a_throttled_function_is_not_hammered() {
    let mut queue = Queue::new(Limits::default());
    let (mut waiting, mut tried) = (Vec::new(), 0);
    for number in 0..1000 {
        waiting.extend(runs(&mut queue, second(0), held(number, 1)));
    }
    let mut now = second(0);
    while now < second(60) {
        while let Some(event) = waiting.pop() {
            tried += 1;
            let ran = Event::Ran { event, outcome: Outcome::Refused, patience: PATIENCE };
            waiting.extend(runs(&mut queue, now, ran));
        }
        assert_eq!(runs(&mut queue, now, held(1_000_000 + now.as_nanos(), 2)).len(), 1);
        now = queue.next_timeout().expect("events wait");
        waiting.extend(runs(&mut queue, now, Event::Timeout));
    }
    // Half of what may run, once, when nothing was known yet; then one a second.
    assert!((500..=600).contains(&tried), "{tried} tries");
    let mut succeeded = 0;
    while now < second(700) {
        while let Some(event) = waiting.pop() {
            succeeded += 1;
            let ran = Event::Ran { event, outcome: Outcome::Succeeded, patience: PATIENCE };
            waiting.extend(runs(&mut queue, now, ran));
            waiting.extend(runs(&mut queue, now, Event::Finished { event }));
        }
        match queue.next_timeout().filter(|at| *at < second(700)) {
            Some(at) => now = at,
            None => break,
        }
        waiting.extend(runs(&mut queue, now, Event::Timeout));
    }
    assert_eq!(succeeded, 1000);
}

// No function may fill the queue for the others: each holds at most as much as it leaves.
#[test]
fn a_full_lane_leaves_room() {
    let limits = Limits { events: 100, bytes: 1000, running: 0, ..Limits::default() };
    let mut queue = Queue::new(limits);
    let mut accepted = [0; 3];
    for (lane, count) in accepted.iter_mut().enumerate() {
        for number in 0..200 {
            let event = EventId(lane as u64 * 1000 + number);
            let lane = Lane(lane as u64);
            let offer = Offer { event, lane, bytes: 1, patience: PATIENCE };
            queue.handle(second(0), Event::Offered(offer));
            *count += u64::from(matches!(queue.poll_action(), Some(Action::Persist { .. })));
        }
    }
    assert_eq!(accepted, [50, 25, 13]);
}

// Once closed, nothing is begun; what runs can still end.
#[test]
fn a_closed_queue_begins_nothing() {
    let mut queue = Queue::new(Limits::default());
    let running = runs(&mut queue, second(0), held(1, 1));
    assert_eq!(running, [EventId(1)]);
    assert!(runs(&mut queue, second(0), Event::Closed).is_empty());
    assert!(runs(&mut queue, second(0), held(2, 2)).is_empty());
    assert_eq!(queue.next_timeout(), None);
    let ran = Event::Ran { event: EventId(1), outcome: Outcome::Succeeded, patience: PATIENCE };
    runs(&mut queue, second(1), ran);
    runs(&mut queue, second(1), Event::Finished { event: EventId(1) });
    assert_eq!((queue.running(), queue.events()), (0, 1));
}
