//! The queue itself: what it holds, and its doors.

use crate::lane::{Agenda, Traffic};
use crate::{Action, Condition, Event, EventId, Held, Lane, Limits, Offer, Outcome, Refusal};
use model::Time;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Events that were accepted and not finished. Holds no clock, no socket, no thread.
#[derive(Debug)]
pub struct Queue {
    limits: Limits,
    now: Time,
    entries: BTreeMap<EventId, Entry>,
    lanes: BTreeMap<Lane, Traffic>,
    agenda: Agenda,
    /// When waiting events get too old.
    expiries: BTreeSet<(Time, EventId)>,
    /// Ends that could not be stored, by when that is tried again.
    unfinished: BTreeSet<(Time, EventId)>,
    bytes: u64,
    running: u32,
    turns: u64,
    is_closed: bool,
    actions: VecDeque<Action>,
}

/// One event.
#[derive(Clone, Copy, Debug)]
struct Entry {
    offer: Offer,
    accepted: Time,
    failures: u32,
    refusals: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// On its way to the disk.
    Persisting,
    /// To be run then.
    Waiting(Time),
    /// Being run.
    Running,
    /// Its end is on its way to the disk.
    Finishing(Condition, u32),
}

impl Queue {
    /// A queue that holds nothing.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            now: Time::ZERO,
            entries: BTreeMap::new(),
            lanes: BTreeMap::new(),
            agenda: Agenda::default(),
            expiries: BTreeSet::new(),
            unfinished: BTreeSet::new(),
            bytes: 0,
            running: 0,
            turns: 0,
            is_closed: false,
            actions: VecDeque::new(),
        }
    }

    /// Takes in what happened. Drain [`Self::poll_action`] before the next one. A `now` before that of the event before
    /// counts as that one.
    ///
    /// Panics: if actions are left, which is a broken driver.
    pub fn handle(&mut self, now: Time, event: Event) {
        assert!(self.actions.is_empty(), "drain poll_action before the next event");
        self.now = now.max(self.now);
        self.expire();
        match event {
            Event::Offered(offer) => self.offered(offer),
            Event::Persisted { event } => self.persisted(event),
            Event::PersistFailed { event } => self.persist_failed(event),
            Event::Recovered(held) => self.recovered(held),
            Event::Ran { event, outcome, patience } => {
                let running = self.entries.get_mut(&event);
                if let Some(entry) = running.filter(|entry| entry.state == State::Running) {
                    entry.offer.patience = patience;
                    self.ran(event, outcome);
                }
            }
            Event::Finished { event } => self.finished(event),
            Event::FinishFailed { event } => self.finish_failed(event),
            Event::Closed => self.is_closed = true,
            Event::Timeout => {}
        }
        // What was recovered may be too old by now.
        self.expire();
        self.serve();
    }

    /// What to do next, oldest first.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to come back, if nothing happens before.
    pub fn next_timeout(&self) -> Option<Time> {
        let later = self.agenda.later.first().map(|(at, _)| *at).filter(|_| !self.is_closed);
        let expiry = self.expiries.first().map(|(at, _)| *at).filter(|_| self.may_expire());
        let unfinished = self.unfinished.first().map(|(at, _)| *at);
        [later, expiry, unfinished].into_iter().flatten().min()
    }

    /// Events that are held.
    pub fn events(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Bytes of the events that are held.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// When the oldest event that is held was accepted.
    pub fn oldest(&self) -> Option<Time> {
        // Events are numbered as they come.
        self.entries.values().next().map(|entry| entry.accepted)
    }

    /// Events that run, or whose end is being stored.
    pub fn running(&self) -> u32 {
        self.running
    }

    fn offered(&mut self, offer: Offer) {
        let (mut events, mut bytes) = (0, 0);
        if let Some(lane) = self.lanes.get(&offer.lane) {
            (events, bytes) = (lane.events, lane.bytes);
        }
        // A lane takes no more than is left, so that there is something left for every other one.
        let events_left = self.limits.events.saturating_sub(self.events());
        let bytes_left = self.limits.bytes.saturating_sub(self.bytes);
        let reason = if events >= events_left {
            Refusal::Events
        } else if bytes + offer.bytes > bytes_left {
            Refusal::Bytes
        } else {
            self.insert(Held { offer, accepted: self.now, failures: 0, due: self.now });
            self.set_state(offer.event, State::Persisting);
            let accepted = self.now;
            return self.actions.push_back(Action::Persist { event: offer.event, accepted });
        };
        self.actions.push_back(Action::Refuse { event: offer.event, reason });
    }

    fn persisted(&mut self, event: EventId) {
        if self.state(event) == Some(State::Persisting) {
            self.actions.push_back(Action::Accept { event });
            self.wait(event, self.now);
        }
    }

    fn persist_failed(&mut self, event: EventId) {
        if self.state(event) == Some(State::Persisting) {
            self.forget(event);
            self.actions.push_back(Action::Refuse { event, reason: Refusal::Store });
        }
    }

    fn recovered(&mut self, held: Held) {
        if !self.entries.contains_key(&held.offer.event) {
            self.insert(held);
            self.wait(held.offer.event, held.due);
        }
    }

    /// A run has ended; the event is Running.
    fn ran(&mut self, event: EventId, outcome: Outcome) {
        let Some(entry) = self.entries.get_mut(&event) else { return };
        let patience = entry.offer.patience;
        let condition = match outcome {
            Outcome::Refused => return self.refused(event),
            Outcome::Succeeded => Condition::Success,
            Outcome::Failed => {
                entry.failures += 1;
                if entry.failures <= patience.retries {
                    return self.retry(event);
                }
                Condition::RetriesExhausted
            }
            Outcome::Barred => Condition::Barred,
            Outcome::NoFunction => Condition::NoFunction,
        };
        let runs = entry.failures + u32::from(condition == Condition::Success);
        let lane = entry.offer.lane;
        if let Some(lane) = self.lanes.get_mut(&lane) {
            lane.ran(self.now, &self.limits);
        }
        self.finish(event, condition, runs);
    }

    fn retry(&mut self, event: EventId) {
        let Some(entry) = self.entries.get(&event) else { return };
        let (failures, lane) = (entry.failures, entry.offer.lane);
        let due = self.now + self.limits.retry_delay(failures);
        self.actions.push_back(Action::Note { event, failures, due });
        self.release(event);
        if let Some(lane) = self.lanes.get_mut(&lane) {
            lane.ran(self.now, &self.limits);
        }
        self.wait(event, due);
    }

    fn refused(&mut self, event: EventId) {
        let Some(entry) = self.entries.get_mut(&event) else { return };
        entry.refusals = entry.refusals.saturating_add(1);
        let due = self.now + self.limits.backoff(entry.refusals);
        let lane = entry.offer.lane;
        self.release(event);
        if let Some(lane) = self.lanes.get_mut(&lane) {
            lane.refused(self.now, &self.limits);
        }
        self.wait(event, due);
    }

    /// Has the end of an event stored. One that waited takes a place among the running ones for that.
    fn finish(&mut self, event: EventId, condition: Condition, runs: u32) {
        self.set_state(event, State::Finishing(condition, runs));
        self.actions.push_back(Action::Finish { event, condition, runs });
    }

    fn finished(&mut self, event: EventId) {
        if matches!(self.state(event), Some(State::Finishing(..))) {
            self.release(event);
            self.forget(event);
        }
    }

    fn finish_failed(&mut self, event: EventId) {
        if matches!(self.state(event), Some(State::Finishing(..))) {
            self.unfinished.insert((self.now + self.limits.finish_again, event));
        }
    }

    /// Gives up what has become too old, and tries again to store ends.
    fn expire(&mut self) {
        while let Some(&(at, event)) = self.unfinished.first()
            && at <= self.now
        {
            self.unfinished.pop_first();
            if let Some(State::Finishing(condition, runs)) = self.state(event) {
                self.actions.push_back(Action::Finish { event, condition, runs });
            }
        }
        while let Some(&(at, event)) = self.expiries.first()
            && at <= self.now
            && self.may_expire()
        {
            let Some(entry) = self.entries.get(&event) else { return };
            let runs = entry.failures;
            self.unwait(event);
            self.occupy(event);
            self.finish(event, Condition::EventAgeExceeded, runs);
        }
    }

    /// Runs what is due, as far as there is room: the lane that runs least first.
    fn serve(&mut self) {
        while let Some(&(at, lane)) = self.agenda.later.first()
            && at <= self.now
        {
            self.place(lane);
        }
        while let Some(&(of_lane, _, lane)) = self.agenda.ready.first()
            && self.may_run(of_lane)
        {
            let due = self.lanes.get(&lane).and_then(|it| it.waiting.first());
            let Some(&(_, event)) = due else { return };
            let Some(entry) = self.entries.get(&event) else { return };
            let age = self.now.since(entry.accepted);
            let (is_too_old, runs) = (age >= entry.offer.patience.age, entry.failures);
            self.unwait(event);
            self.occupy(event);
            if is_too_old {
                self.finish(event, Condition::EventAgeExceeded, runs);
            } else {
                self.set_state(event, State::Running);
                self.actions.push_back(Action::Run { event, age });
            }
        }
    }

    /// Whether a lane of which so many run may run one more: as many as it leaves to others, and a first one also where
    /// others have left nothing.
    fn may_run(&self, of_lane: u32) -> bool {
        let limit = self.limits.running;
        let is_first = of_lane == 0 && self.running < limit.saturating_mul(2);
        !self.is_closed && (is_first || of_lane < limit.saturating_sub(self.running))
    }

    /// Whether one more event may be given up. Those have room of their own, as much as those that run: many that end at
    /// once come bit by bit, and not behind slow functions.
    fn may_expire(&self) -> bool {
        !self.is_closed && self.running < self.limits.running.saturating_mul(3)
    }

    fn state(&self, event: EventId) -> Option<State> {
        self.entries.get(&event).map(|entry| entry.state)
    }

    fn set_state(&mut self, event: EventId, state: State) {
        if let Some(entry) = self.entries.get_mut(&event) {
            entry.state = state;
        }
    }

    fn insert(&mut self, held: Held) {
        let Held { offer, accepted, failures, due } = held;
        let lane = self.lanes.entry(offer.lane).or_insert_with(Traffic::new);
        lane.events += 1;
        lane.bytes += offer.bytes;
        self.bytes += offer.bytes;
        let state = State::Waiting(due);
        self.entries.insert(offer.event, Entry { offer, accepted, failures, refusals: 0, state });
    }

    fn forget(&mut self, event: EventId) {
        let Some(entry) = self.entries.remove(&event) else { return };
        self.bytes -= entry.offer.bytes;
        let Some(lane) = self.lanes.get_mut(&entry.offer.lane) else { return };
        lane.events -= 1;
        lane.bytes -= entry.offer.bytes;
        if lane.is_empty() {
            self.lanes.remove(&entry.offer.lane);
        }
    }

    fn wait(&mut self, event: EventId, due: Time) {
        let Some(entry) = self.entries.get_mut(&event) else { return };
        entry.state = State::Waiting(due);
        let (lane, expiry) = (entry.offer.lane, entry.accepted + entry.offer.patience.age);
        self.expiries.insert((expiry, event));
        if let Some(traffic) = self.lanes.get_mut(&lane) {
            traffic.waiting.insert((due, event));
        }
        self.place(lane);
    }

    fn unwait(&mut self, event: EventId) {
        let Some(entry) = self.entries.get(&event) else { return };
        let (lane, expiry) = (entry.offer.lane, entry.accepted + entry.offer.patience.age);
        self.expiries.remove(&(expiry, event));
        if let State::Waiting(due) = entry.state
            && let Some(traffic) = self.lanes.get_mut(&lane)
        {
            traffic.waiting.remove(&(due, event));
        }
        self.place(lane);
    }

    /// The event takes a place among those that run.
    fn occupy(&mut self, event: EventId) {
        let Some(entry) = self.entries.get(&event) else { return };
        let lane = entry.offer.lane;
        self.running += 1;
        self.turns += 1;
        if let Some(traffic) = self.lanes.get_mut(&lane) {
            traffic.running += 1;
            traffic.turn = self.turns;
        }
        self.place(lane);
    }

    /// The event gives its place back.
    fn release(&mut self, event: EventId) {
        let Some(entry) = self.entries.get(&event) else { return };
        let lane = entry.offer.lane;
        self.running -= 1;
        if let Some(traffic) = self.lanes.get_mut(&lane) {
            traffic.running -= 1;
        }
        self.place(lane);
    }

    fn place(&mut self, lane: Lane) {
        if let Some(traffic) = self.lanes.get_mut(&lane) {
            self.agenda.place(lane, traffic, self.now);
        }
    }
}
