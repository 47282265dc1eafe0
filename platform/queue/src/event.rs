//! What can happen.

use model::{Span, Time};

/// One event for one function, for as long as it is held; the driver never uses one twice in one life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(pub u64);

/// Events that share a function: they wait behind each other, and never behind those of another lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(pub u64);

/// How long and how often an event may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How often it is run again after errors of the function.
    pub retries: u32,
    /// How old it may get before it is given up.
    pub age: Span,
}

/// An event that wants to be taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its number.
    pub event: EventId,
    /// Whose.
    pub lane: Lane,
    /// Bytes that it takes in the store.
    pub bytes: u64,
    /// Its function's settings.
    pub patience: Patience,
}

/// An event that is in the store, as after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// What it was taken in as.
    pub offer: Offer,
    /// When it was accepted.
    pub accepted: Time,
    /// How often the function has failed on it.
    pub failures: u32,
    /// When it is to be run, at the earliest.
    pub due: Time,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The function answered.
    Succeeded,
    /// The function failed.
    Failed,
    /// It was not run: no concurrency was left, or the platform failed.
    Refused,
    /// It will never be run: its function may have no instances at all.
    Barred,
    /// Its function is gone.
    NoFunction,
}

/// What can happen. What concerns an event that is not in the state for it is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody wants an event to be taken in.
    Offered(Offer),
    /// An event is on disk, as [`crate::Action::Persist`] asked.
    Persisted {
        /// Which.
        event: EventId,
    },
    /// It could not be stored.
    PersistFailed {
        /// Which.
        event: EventId,
    },
    /// An event was found in the store, or was put there together with the end of another: it is held whatever the
    /// limits say.
    Recovered(Held),
    /// A run that [`crate::Action::Run`] asked for has ended.
    Ran {
        /// Which.
        event: EventId,
        /// How.
        outcome: Outcome,
        /// Its function's settings as they are now.
        patience: Patience,
    },
    /// The event's end is stored (or will be): it is held no more.
    Finished {
        /// Which.
        event: EventId,
    },
    /// The event's end could not be stored.
    FinishFailed {
        /// Which.
        event: EventId,
    },
    /// Nothing is to be run any more; what runs may end.
    Closed,
    /// Nothing but the passing of time.
    Timeout,
}
