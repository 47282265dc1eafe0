//! What holds over any history of the queue: nothing accepted is lost, nothing is run after its end, bounds hold.

use model::{Span, Time};
use proptest::prelude::*;
use queue::{
    Action, Condition, Event, EventId, Held, Lane, Limits, Offer, Outcome, Patience, Queue, Refusal,
};
use std::collections::{BTreeMap, BTreeSet};

/// What happens next; numbers choose among what is possible.
#[derive(Clone, Debug)]
enum Step {
    Offer { lane: u64, bytes: u64, retries: u32, age_s: u64 },
    Persist { which: usize, works: bool },
    Run { which: usize, outcome: Outcome },
    Finish { which: usize, works: bool },
    Wait { seconds: u64 },
    Crash,
}

/// One event as the store knows it.
#[derive(Clone, Copy, Debug)]
struct Stored {
    offer: Offer,
    accepted: Time,
    failures: u32,
    due: Time,
}

/// A driver whose disk and functions do what the steps say.
struct World {
    queue: Queue,
    limits: Limits,
    now: Time,
    last: u64,
    store: BTreeMap<EventId, Stored>,
    offered: BTreeMap<EventId, (Offer, Time)>,
    acknowledged: BTreeSet<EventId>,
    succeeded: BTreeSet<EventId>,
    given_up: BTreeSet<EventId>,
    persisting: Vec<EventId>,
    running: Vec<EventId>,
    finishing: Vec<EventId>,
    /// Waiting events of this life by lane: when each is due.
    dues: BTreeMap<EventId, Time>,
    refusals: BTreeMap<EventId, u32>,
    recovered: u64,
}

fn limits() -> Limits {
    Limits { events: 12, bytes: 1000, running: 4, ..Limits::default() }
}

impl World {
    fn new() -> Self {
        Self {
            queue: Queue::new(limits()),
            limits: limits(),
            now: Time::from_nanos(1),
            last: 0,
            store: BTreeMap::new(),
            offered: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
            succeeded: BTreeSet::new(),
            given_up: BTreeSet::new(),
            persisting: Vec::new(),
            running: Vec::new(),
            finishing: Vec::new(),
            dues: BTreeMap::new(),
            refusals: BTreeMap::new(),
            recovered: 0,
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Offer { lane, bytes, retries, age_s } => {
                self.last += 1;
                let patience = Patience { retries, age: Span::from_secs(age_s) };
                let (event, lane) = (EventId(self.last), Lane(lane));
                let offer = Offer { event, lane, bytes, patience };
                self.offered.insert(event, (offer, self.now));
                self.drive(Event::Offered(offer));
            }
            Step::Persist { which, works } => {
                let Some(event) = pick(&mut self.persisting, which) else { return };
                if works {
                    let (offer, accepted) = self.offered[&event];
                    let due = self.now;
                    self.store.insert(event, Stored { offer, accepted, failures: 0, due });
                    self.dues.insert(event, due);
                    self.drive(Event::Persisted { event });
                } else {
                    self.drive(Event::PersistFailed { event });
                }
            }
            Step::Run { which, outcome } => self.end_run(which, outcome),
            Step::Finish { which, works } => {
                let Some(event) = pick(&mut self.finishing, which) else { return };
                if works {
                    self.store.remove(&event);
                    self.drive(Event::Finished { event });
                } else {
                    self.drive(Event::FinishFailed { event });
                }
            }
            Step::Wait { seconds } => {
                let until = self.now + Span::from_secs(seconds);
                // As a punctual driver does: it comes when it is asked to.
                while let Some(at) = self.queue.next_timeout().filter(|at| *at <= until) {
                    assert!(at > self.now, "asked for at once, and again: a busy loop");
                    self.now = at;
                    self.drive(Event::Timeout);
                }
                self.now = until;
                self.drive(Event::Timeout);
            }
            Step::Crash => self.crash(),
        }
    }

    fn end_run(&mut self, which: usize, outcome: Outcome) {
        let Some(event) = pick(&mut self.running, which) else { return };
        let stored = self.store[&event];
        match outcome {
            Outcome::Succeeded => {
                self.succeeded.insert(event);
            }
            Outcome::Failed if stored.failures < stored.offer.patience.retries => {
                let delay = [60, 120][(stored.failures as usize).min(1)];
                self.dues.insert(event, self.now + Span::from_secs(delay));
            }
            Outcome::Refused => {
                let refusals = self.refusals.entry(event).or_default();
                let wait = Span::from_secs((1 << (*refusals).min(20)).min(300));
                *refusals += 1;
                self.dues.insert(event, self.now + wait);
            }
            _ => {}
        }
        self.drive(Event::Ran { event, outcome, patience: stored.offer.patience });
    }

    /// Everything but the store is gone.
    fn crash(&mut self) {
        self.queue = Queue::new(self.limits.clone());
        let lost = std::mem::take(&mut self.persisting);
        self.running.clear();
        self.finishing.clear();
        self.dues.clear();
        self.refusals.clear();
        self.recovered = self.store.len() as u64;
        assert!(lost.iter().all(|event| !self.acknowledged.contains(event)));
        for (event, stored) in self.store.clone() {
            let Stored { offer, accepted, failures, due } = stored;
            self.dues.insert(event, due);
            self.drive(Event::Recovered(Held { offer, accepted, failures, due }));
        }
    }

    fn drive(&mut self, event: Event) {
        self.queue.handle(self.now, event);
        while let Some(action) = self.queue.poll_action() {
            self.carry_out(action);
        }
        assert!(self.queue.running() <= self.limits.running * 3);
        assert!(self.running.len() <= 2 * self.limits.running as usize);
        assert!(self.queue.events() <= self.limits.events.max(self.recovered));
        for event in &self.acknowledged {
            let is_held = self.store.contains_key(event);
            let has_ended = self.succeeded.contains(event) || self.given_up.contains(event);
            assert!(is_held || has_ended, "{event:?} was accepted and is lost");
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Persist { event, .. } => self.persisting.push(event),
            Action::Accept { event } => {
                assert!(
                    self.store.contains_key(&event),
                    "{event:?} is accepted before it is stored"
                );
                self.acknowledged.insert(event);
            }
            Action::Refuse { event, reason } => {
                assert!(!self.acknowledged.contains(&event));
                let bytes = self.offered[&event].0.bytes;
                match reason {
                    Refusal::Events => assert!(2 * self.queue.events() >= self.limits.events),
                    Refusal::Bytes => assert!(2 * (self.queue.bytes() + bytes) > self.limits.bytes),
                    Refusal::Store => {}
                }
            }
            Action::Run { event, age } => self.run(event, age),
            Action::Note { event, failures, due } => {
                let stored = self.store.get_mut(&event).expect("noted while it is stored");
                (stored.failures, stored.due) = (failures, due);
            }
            Action::Finish { event, condition, runs } => {
                let stored = self.store[&event];
                let patience = stored.offer.patience;
                match condition {
                    Condition::Success => assert!(self.succeeded.contains(&event) && runs >= 1),
                    Condition::RetriesExhausted => assert_eq!(runs, patience.retries + 1),
                    Condition::EventAgeExceeded => {
                        assert!(self.now.since(stored.accepted) >= patience.age);
                    }
                    Condition::Barred | Condition::NoFunction => {}
                }
                self.dues.remove(&event);
                self.given_up.insert(event);
                self.finishing.push(event);
            }
        }
    }

    fn run(&mut self, event: EventId, age: Span) {
        let stored = self.store.get(&event).expect("what is run is stored");
        assert!(!self.running.contains(&event), "{event:?} is run twice at once");
        assert!(!self.finishing.contains(&event), "{event:?} is run after its end");
        assert!(age < stored.offer.patience.age, "{event:?} is run though it is too old");
        assert!(stored.failures <= stored.offer.patience.retries);
        let due = self.dues.remove(&event).expect("what is run waits");
        assert!(due <= self.now, "{event:?} is run before it is due");
        let lane = stored.offer.lane;
        let of_lane = |event: &EventId| self.store[event].offer.lane == lane;
        for (other, &when) in self.dues.iter().filter(|(other, _)| of_lane(other)) {
            assert!((when, *other) > (due, event), "{event:?} is run before {other:?}");
        }
        self.running.push(event);
    }

    /// From now on everything works: all that is held must come to its end.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            if self.queue.events() == 0 {
                break;
            }
            self.take(Step::Persist { which: 0, works: true });
            self.take(Step::Run { which: 0, outcome: Outcome::Succeeded });
            self.take(Step::Finish { which: 0, works: true });
            if self.running.is_empty() && self.finishing.is_empty() && self.persisting.is_empty() {
                self.take(Step::Wait { seconds: 1 });
            }
        }
        assert_eq!((self.queue.events(), self.queue.bytes(), self.queue.running()), (0, 0, 0));
        assert!(self.store.is_empty());
        assert_eq!(self.queue.next_timeout(), None);
    }
}

fn pick(from: &mut Vec<EventId>, which: usize) -> Option<EventId> {
    (!from.is_empty()).then(|| from.remove(which % from.len()))
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        4 => Just(Outcome::Succeeded),
        3 => Just(Outcome::Failed),
        3 => Just(Outcome::Refused),
        1 => Just(Outcome::Barred),
        1 => Just(Outcome::NoFunction),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let works = prop::bool::weighted(0.8);
    prop_oneof![
        6 => (0..4_u64, 1..300_u64, 0..3_u32, 60..600_u64)
            .prop_map(|(lane, bytes, retries, age_s)| Step::Offer { lane, bytes, retries, age_s }),
        6 => (any::<usize>(), works).prop_map(|(which, works)| Step::Persist { which, works }),
        6 => (any::<usize>(), outcome()).prop_map(|(which, outcome)| Step::Run { which, outcome }),
        6 => (any::<usize>(), works).prop_map(|(which, works)| Step::Finish { which, works }),
        3 => (0..100_u64).prop_map(|seconds| Step::Wait { seconds }),
        1 => Just(Step::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    // Over any history, crashes included: what was accepted is run or given up for a reason, in the order in which it is
    // due, within all bounds, and comes to an end once everything works.
    #[test]
    fn nothing_accepted_is_lost(steps in prop::collection::vec(step(), 0..200)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
        }
        world.settle();
    }
}
