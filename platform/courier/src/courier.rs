//! The driver of the queue: what it decides is carried out on the store and by the runner, in real time.
//!
//! Decides nothing itself. One lock holds the queue and what belongs to it; nothing slow happens under it.

use crate::settle::Settling;
use crate::{Ended, Letter, Ran, Runner, post};
use catalog::{Batch, Durable, Receipt, Store, StoreError};
use model::{Span, Time};
use queue::{Action, Event, EventId, Held, Limits, Offer, Outcome, Patience, Queue};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Notify;

/// Bytes of letters that are kept at hand between their acceptance and their run; those beyond are read from the store.
const AT_HAND_BYTES: u64 = 32 << 20;

/// Takes events in and sees each of them to its end. Cheap to clone.
pub struct Courier<R>(pub(crate) Arc<Shared<R>>);

impl<R> Clone for Courier<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Why an event was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// Its function is gone.
    #[error("the function does not exist")]
    NoFunction,
    /// Too much waits already.
    #[error("{events} events with {bytes} bytes wait to be run: try again later")]
    Full {
        /// Events of all functions.
        events: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// It could not be stored.
    #[error("the event cannot be stored")]
    Store(#[source] StoreError),
}

pub(crate) struct Shared<R> {
    pub store: Store,
    pub runner: Arc<R>,
    state: Mutex<State>,
    began: Instant,
    began_unix: Span,
    /// Woken when the queue wants to be woken earlier than the timer is set.
    timer: Notify,
    /// Set when nothing is to be begun any more: what fails from then on may fail because instances are ended.
    is_closing: AtomicBool,
    /// Counts ends that nobody is told of.
    pub ends: AtomicU64,
    /// Woken when an event has come to its end.
    settled: Notify,
}

pub(crate) struct State {
    queue: Queue,
    armed: Time,
    last_event: u64,
    /// Letters that wait for their run.
    at_hand: BTreeMap<EventId, Arc<Letter>>,
    at_hand_bytes: u64,
    /// What runs came to whose ends are not stored yet.
    ended: BTreeMap<EventId, (Arc<Letter>, Ended)>,
}

impl<R: Runner> Courier<R> {
    /// Takes over what an earlier life left in the store, and begins to run it. Blocks on the disk.
    ///
    /// Errors: the store cannot be read. Panics: outside of a tokio runtime.
    pub fn open(store: Store, limits: Limits, runner: Arc<R>) -> Result<Self, StoreError> {
        let began_unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let shared = Arc::new(Shared {
            store: store.clone(),
            runner,
            state: Mutex::new(State {
                queue: Queue::new(limits),
                armed: Time::ZERO,
                last_event: 0,
                at_hand: BTreeMap::new(),
                at_hand_bytes: 0,
                ended: BTreeMap::new(),
            }),
            began: Instant::now(),
            began_unix: began_unix.unwrap_or_default().into(),
            timer: Notify::new(),
            is_closing: AtomicBool::new(false),
            ends: AtomicU64::new(0),
            settled: Notify::new(),
        });
        let mut count = 0_u64;
        post::all(&store, |event, letter| {
            let mut state = shared.lock();
            state.last_event = state.last_event.max(event.0);
            let patience = shared.runner.standing(&letter.address).map(|it| it.patience);
            let held = letter.held(event, patience.unwrap_or(IMPATIENT));
            shared.turn(&mut state, Event::Recovered(held));
            count += 1;
        })?;
        if count > 0 {
            tracing::info!(count, "asynchronous events were waiting in the store");
        }
        tokio::spawn(Arc::clone(&shared).keep_time());
        Ok(Self(shared))
    }

    /// Takes an event in: on disk when this returns. Errors: [`AcceptError`].
    ///
    /// Dropping the future does not take the event back: it may be stored and run all the same.
    pub async fn accept(&self, letter: Letter) -> Result<(), AcceptError> {
        self.0.accept(letter).await
    }

    /// Begins nothing more, and waits, `limit` at most, until what runs has ended. What has not is run again in the next
    /// life.
    pub async fn close(&self, limit: Duration) {
        self.0.is_closing.store(true, Ordering::Relaxed);
        self.0.turn(&mut self.0.lock(), Event::Closed);
        let all_ended = async {
            loop {
                let settled = self.0.settled.notified();
                if self.0.lock().queue.running() == 0 {
                    return;
                }
                settled.await;
            }
        };
        if tokio::time::timeout(limit, all_ended).await.is_err() {
            let left = self.0.lock().queue.running();
            tracing::warn!(
                left,
                "asynchronous invocations still run at the limit: the next start runs them again"
            );
        }
        // What could be written at leisure is written now: it spares the next life from running it again.
        if let Err(error) = self.0.store.submit(Batch::new(), Durable::Now).await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "ends of asynchronous events are not flushed");
        }
    }

    /// What is held now.
    pub fn backlog(&self) -> Backlog {
        let state = self.0.lock();
        let queue = &state.queue;
        Backlog {
            events: queue.events(),
            bytes: queue.bytes(),
            running: queue.running(),
            age: queue.oldest().map_or(Span::ZERO, |accepted| self.0.now().since(accepted)),
        }
    }
}

/// Events that are held: those that wait, those that run, and those whose end is being stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many.
    pub events: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many of them run.
    pub running: u32,
    /// How long ago the oldest one was accepted; zero where there is none.
    pub age: Span,
}

/// For an event whose function is gone: it is found out when it is run.
const IMPATIENT: Patience = Patience { retries: 0, age: Span::MAX };

impl Letter {
    /// What the queue needs to know of it.
    fn held(&self, event: EventId, patience: Patience) -> Held {
        Held {
            offer: Offer { event, lane: self.address.lane(), bytes: self.bytes(), patience },
            accepted: Time::from_nanos(self.accepted_unix_ns),
            failures: self.failures,
            due: Time::from_nanos(self.due_unix_ns),
        }
    }
}

impl<R: Runner> Shared<R> {
    /// Nanoseconds since 1970, as the clock was set at the start: never goes back.
    pub fn now(&self) -> Time {
        Time::ZERO + self.began_unix + Span::from(self.began.elapsed())
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock has left the queue between two events at worst.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn accept(self: &Arc<Self>, mut letter: Letter) -> Result<(), AcceptError> {
        let standing = self.runner.standing(&letter.address).ok_or(AcceptError::NoFunction)?;
        let persisting = {
            let mut state = self.lock();
            let event = state.new_event();
            let patience = standing.patience;
            let lane = letter.address.lane();
            let offer = Offer { event, lane, bytes: letter.bytes(), patience };
            let Some(accepted) = self.turn(&mut state, Event::Offered(offer)) else {
                let (events, bytes) = (state.queue.events(), state.queue.bytes());
                return Err(AcceptError::Full { events, bytes });
            };
            letter.accepted_unix_ns = accepted.as_nanos();
            letter.due_unix_ns = accepted.as_nanos();
            let mut batch = Batch::new();
            post::put(&mut batch, event, &letter);
            state.keep_at_hand(event, Arc::new(letter));
            let receipt = self.store.submit(batch, Durable::Now);
            Persisting { shared: Arc::clone(self), event, receipt: Some(receipt) }
        };
        persisting.wait().await.map_err(AcceptError::Store)
    }

    /// Tells the queue how storing an event went.
    fn persisted(self: &Arc<Self>, event: EventId, result: &Result<(), StoreError>) {
        let mut state = self.lock();
        let happened = match result {
            Ok(()) => Event::Persisted { event },
            Err(_) => {
                state.take_at_hand(event);
                Event::PersistFailed { event }
            }
        };
        self.turn(&mut state, happened);
    }

    /// Stores these letters together with whatever else is in the batch, and takes them in whatever the limits say.
    pub async fn post(
        self: &Arc<Self>,
        mut batch: Batch,
        letters: Vec<Letter>,
    ) -> Result<(), StoreError> {
        let now = self.now();
        let mut posted = Vec::new();
        for mut letter in letters {
            let event = self.lock().new_event();
            letter.accepted_unix_ns = now.as_nanos();
            letter.due_unix_ns = now.as_nanos();
            post::put(&mut batch, event, &letter);
            posted.push((event, Arc::new(letter)));
        }
        self.store.submit(batch, Durable::Now).await?;
        for (event, letter) in posted {
            let patience = self.runner.standing(&letter.address).map(|it| it.patience);
            let held = letter.held(event, patience.unwrap_or(IMPATIENT));
            let mut state = self.lock();
            state.keep_at_hand(event, letter);
            self.turn(&mut state, Event::Recovered(held));
        }
        Ok(())
    }

    /// Tells the queue what happened and carries out what it answers. Returns, where an event is to be stored, when it was
    /// accepted.
    pub fn turn(self: &Arc<Self>, state: &mut State, event: Event) -> Option<Time> {
        state.queue.handle(self.now(), event);
        let mut to_store = None;
        while let Some(action) = state.queue.poll_action() {
            match action {
                Action::Persist { accepted, .. } => to_store = Some(accepted),
                // Who offered it waits for its receipt.
                Action::Accept { .. } | Action::Refuse { .. } => {}
                Action::Run { event, .. } => {
                    let letter = state.take_at_hand(event);
                    tokio::spawn(Arc::clone(self).run(event, letter));
                }
                Action::Note { event, failures, due } => self.note(state, event, failures, due),
                Action::Finish { event, condition, runs } => {
                    let ended = state.ended.remove(&event);
                    let letter = state.take_at_hand(event);
                    let settling = Settling { event, condition, runs, ended, letter };
                    tokio::spawn(Arc::clone(self).settle(settling));
                }
            }
        }
        if state.queue.next_timeout().is_some_and(|due| due < state.armed) {
            state.armed = Time::ZERO;
            self.timer.notify_one();
        }
        if state.queue.running() == 0 {
            self.settled.notify_waiters();
        }
        to_store
    }

    /// Wakes the queue when it asked for it.
    async fn keep_time(self: Arc<Self>) {
        loop {
            let wait = {
                let mut state = self.lock();
                let due = state.queue.next_timeout().unwrap_or(Time::MAX);
                state.armed = due;
                due.since(self.now())
            };
            // A second at most, so that a machine that slept is noticed.
            let sleep = tokio::time::sleep(Duration::from(wait).min(Duration::from_secs(1)));
            tokio::select! {
                () = sleep => {
                    self.turn(&mut self.lock(), Event::Timeout);
                }
                () = self.timer.notified() => {}
            }
        }
    }

    async fn run(self: Arc<Self>, event: EventId, letter: Option<Arc<Letter>>) {
        let running = Running { shared: &self, event, is_over: false };
        let letter = match letter {
            Some(letter) => Some(letter),
            None => match self.read(event).await {
                Ok(letter) => letter,
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(
                        error,
                        event = event.0,
                        "an event cannot be read, and is tried again"
                    );
                    return running.over(None, Ran::Refused("the store failed".to_owned()));
                }
            },
        };
        let Some(letter) = letter else {
            tracing::error!(event = event.0, "an event is not in the store any more");
            return running.over(None, Ran::NoFunction);
        };
        let ran = self.runner.run(&letter).await;
        if let Ran::Refused(why) = &ran {
            tracing::debug!(request_id = letter.request_id, why, "an event is tried again later");
        }
        running.over(Some(letter), ran);
    }

    /// The letter as it is stored.
    pub async fn read(&self, event: EventId) -> Result<Option<Arc<Letter>>, StoreError> {
        let store = self.store.clone();
        let read = tokio::task::spawn_blocking(move || post::read(&store, event)).await;
        Ok(read.map_err(|_| StoreError::Closed)??.map(Arc::new))
    }

    fn ran(self: &Arc<Self>, event: EventId, letter: Option<Arc<Letter>>, ran: Ran) {
        let standing = letter.as_ref().and_then(|it| self.runner.standing(&it.address));
        let patience = standing.map_or(IMPATIENT, |standing| standing.patience);
        let outcome = match &ran {
            Ran::Ended(ended) if ended.is_error && self.is_closing.load(Ordering::Relaxed) => {
                Outcome::Refused
            }
            Ran::Ended(ended) if ended.is_error => Outcome::Failed,
            Ran::Ended(_) => Outcome::Succeeded,
            Ran::Refused(_) => Outcome::Refused,
            Ran::Barred => Outcome::Barred,
            Ran::NoFunction => Outcome::NoFunction,
        };
        let mut state = self.lock();
        match (ran, letter) {
            (Ran::Ended(ended), Some(letter)) if outcome != Outcome::Refused => {
                state.ended.insert(event, (letter, ended));
            }
            (_, Some(letter)) => state.keep_at_hand(event, letter),
            _ => {}
        }
        self.turn(&mut state, Event::Ran { event, outcome, patience });
    }

    fn note(&self, state: &mut State, event: EventId, failures: u32, due: Time) {
        let Some((letter, _)) = state.ended.remove(&event) else { return };
        let mut letter = Letter::clone(&letter);
        letter.failures = failures;
        letter.due_unix_ns = due.as_nanos();
        let mut batch = Batch::new();
        post::put_head(&mut batch, event, &letter);
        // Lost, it means one more run after a crash.
        drop(self.store.submit(batch, Durable::Later));
    }

    /// The end of an event is stored, or could not be.
    pub fn settled(self: &Arc<Self>, settling: Settling, result: &Result<(), StoreError>) {
        let event = settling.event;
        let mut state = self.lock();
        let happened = match result {
            Ok(()) => Event::Finished { event },
            Err(_) => {
                if let Some(ended) = settling.ended {
                    state.ended.insert(event, ended);
                }
                Event::FinishFailed { event }
            }
        };
        self.turn(&mut state, happened);
    }
}

impl State {
    fn new_event(&mut self) -> EventId {
        self.last_event += 1;
        EventId(self.last_event)
    }

    fn keep_at_hand(&mut self, event: EventId, letter: Arc<Letter>) {
        if self.at_hand_bytes + letter.bytes() <= AT_HAND_BYTES {
            self.at_hand_bytes += letter.bytes();
            self.at_hand.insert(event, letter);
        }
    }

    fn take_at_hand(&mut self, event: EventId) -> Option<Arc<Letter>> {
        let letter = self.at_hand.remove(&event)?;
        self.at_hand_bytes -= letter.bytes();
        Some(letter)
    }
}

/// An event on its way to the disk. Dropped, as when the client is gone, it goes on in a task of its own.
struct Persisting<R: Runner> {
    shared: Arc<Shared<R>>,
    event: EventId,
    receipt: Option<Receipt>,
}

impl<R: Runner> Persisting<R> {
    async fn wait(mut self) -> Result<(), StoreError> {
        let Some(receipt) = &mut self.receipt else { return Err(StoreError::Closed) };
        let result = receipt.await;
        self.receipt = None;
        self.shared.persisted(self.event, &result);
        result
    }
}

impl<R: Runner> Drop for Persisting<R> {
    fn drop(&mut self) {
        if let Some(receipt) = self.receipt.take() {
            let (shared, event) = (Arc::clone(&self.shared), self.event);
            tokio::spawn(async move { shared.persisted(event, &receipt.await) });
        }
    }
}

/// A run. Broken off, as by a panic, it counts as refused.
struct Running<'a, R: Runner> {
    shared: &'a Arc<Shared<R>>,
    event: EventId,
    is_over: bool,
}

impl<R: Runner> Running<'_, R> {
    fn over(mut self, letter: Option<Arc<Letter>>, ran: Ran) {
        self.is_over = true;
        self.shared.ran(self.event, letter, ran);
    }
}

impl<R: Runner> Drop for Running<'_, R> {
    fn drop(&mut self) {
        if !self.is_over {
            self.shared.ran(self.event, None, Ran::Refused("the run broke off".to_owned()));
        }
    }
}
