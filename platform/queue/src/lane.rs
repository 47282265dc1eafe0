//! The events of one function: who is due, how many may run.

use crate::{EventId, Lane, Limits};
use model::Time;
use std::collections::BTreeSet;

/// Where a lane stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// Nowhere: nothing of it waits, or as much runs as may.
    Out,
    /// Something is due then.
    Later(Time),
    /// Something is due; the order among lanes.
    Ready(u32, u64),
}

/// One lane.
#[derive(Debug)]
pub(crate) struct Traffic {
    pub waiting: BTreeSet<(Time, EventId)>,
    pub running: u32,
    /// Events held, whatever their state.
    pub events: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// When it was served last, as a count of all servings.
    pub turn: u64,
    pub position: Position,
    /// How many may run at once: what ran when one was refused.
    window: u32,
    /// When the window grows again.
    grows: Time,
    /// Nothing is tried before.
    rests: Time,
}

impl Traffic {
    pub fn new() -> Self {
        Self {
            waiting: BTreeSet::new(),
            running: 0,
            events: 0,
            bytes: 0,
            turn: 0,
            position: Position::Out,
            window: u32::MAX,
            grows: Time::ZERO,
            rests: Time::ZERO,
        }
    }

    /// Where it stands now.
    pub fn find_position(&self, now: Time) -> Position {
        let Some((due, _)) = self.waiting.first() else { return Position::Out };
        let due = (*due).max(self.rests);
        if due > now {
            Position::Later(due)
        } else if self.running >= self.window {
            Position::Out
        } else {
            Position::Ready(self.running, self.turn)
        }
    }

    /// One was refused, and is not among the running ones any more.
    pub fn refused(&mut self, now: Time, limits: &Limits) {
        self.window = self.running.max(1);
        self.grows = now + limits.regrowth;
        if self.running == 0 {
            self.rests = now + limits.probe;
        }
    }

    /// One was run to its end: after a while without refusals more may be tried.
    pub fn ran(&mut self, now: Time, limits: &Limits) {
        if self.window < u32::MAX && now >= self.grows {
            self.window = self.window.saturating_add((self.window / 4).max(1));
            self.grows = now + limits.regrowth;
        }
    }

    /// Whether nothing of it is held.
    pub fn is_empty(&self) -> bool {
        self.events == 0
    }
}

/// Lanes by when they can be served.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    /// Lanes with something due: those that run least first, then who was served longest ago.
    pub ready: BTreeSet<(u32, u64, Lane)>,
    pub later: BTreeSet<(Time, Lane)>,
}

impl Agenda {
    /// Moves a lane to where it stands now.
    pub fn place(&mut self, lane: Lane, traffic: &mut Traffic, now: Time) {
        let next = traffic.find_position(now);
        if next == traffic.position {
            return;
        }
        match traffic.position {
            Position::Out => {}
            Position::Later(at) => {
                self.later.remove(&(at, lane));
            }
            Position::Ready(running, turn) => {
                self.ready.remove(&(running, turn, lane));
            }
        }
        match next {
            Position::Out => {}
            Position::Later(at) => {
                self.later.insert((at, lane));
            }
            Position::Ready(running, turn) => {
                self.ready.insert((running, turn, lane));
            }
        }
        traffic.position = next;
    }
}
