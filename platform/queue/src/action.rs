//! What to do.

use crate::EventId;
use model::{Span, Time};

/// What the driver is to carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Put the event on disk; answer with `Persisted` or `PersistFailed`.
    Persist {
        /// Which.
        event: EventId,
        /// When it was accepted, if it will be.
        accepted: Time,
    },
    /// Tell who offered it that it is taken in.
    Accept {
        /// Which.
        event: EventId,
    },
    /// Tell who offered it that it is not.
    Refuse {
        /// Which.
        event: EventId,
        /// Why.
        reason: Refusal,
    },
    /// Run it; answer with `Ran`.
    Run {
        /// Which.
        event: EventId,
        /// How long ago it was accepted.
        age: Span,
    },
    /// Note in the store how often it failed and when it is due, at leisure: a restart that does not know runs it once
    /// more.
    Note {
        /// Which.
        event: EventId,
        /// Errors of the function so far.
        failures: u32,
        /// When it is run again.
        due: Time,
    },
    /// It will not be run any more: tell whoever wants to know and take it out of the store; answer with `Finished` or
    /// `FinishFailed`.
    Finish {
        /// Which.
        event: EventId,
        /// How it ended.
        condition: Condition,
        /// How often the function ran on it.
        runs: u32,
    },
}

/// How an event ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The function answered.
    Success,
    /// The function failed too often.
    RetriesExhausted,
    /// It got too old.
    EventAgeExceeded,
    /// Its function may have no instances.
    Barred,
    /// Its function is gone.
    NoFunction,
}

/// Why an event was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Too many events are held, or too many of this lane.
    Events,
    /// The events that are held have too many bytes, or those of this lane.
    Bytes,
    /// It could not be stored.
    Store,
}
