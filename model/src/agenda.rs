//! What will happen, in the order of time and, at one moment, in the order in which it was decided.
//!
//! Deliberately knows nothing of what it holds.

use crate::{Time, Wheel};
use std::collections::VecDeque;

/// Things by time.
#[derive(Debug)]
pub struct Agenda<T> {
    wheel: Wheel<T>,
    /// What happens at the moment that was reached.
    due: VecDeque<T>,
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Self { wheel: Wheel::default(), due: VecDeque::new() }
    }
}

impl<T> Agenda<T> {
    /// Notes a thing for that moment; one that is past is as good as the last one reached.
    pub fn put(&mut self, at: Time, thing: T) {
        if let Err(thing) = self.wheel.put(at, thing) {
            self.due.push_back(thing);
        }
    }

    /// When the first thing is due.
    pub fn first(&self) -> Option<Time> {
        match self.due.is_empty() {
            true => self.wheel.first(),
            false => Some(self.wheel.now()),
        }
    }

    /// Takes the first thing out.
    pub fn pop(&mut self) -> Option<(Time, T)> {
        if self.due.is_empty() {
            self.wheel.advance(|thing| self.due.push_back(thing));
        }
        self.due.pop_front().map(|thing| (self.wheel.now(), thing))
    }

    /// All things, nearly in the order in which they will happen.
    pub fn soon(&self) -> impl Iterator<Item = &T> {
        self.due.iter().chain(self.wheel.soon())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Time decides, and at one moment the order of decision; what is decided late for a moment comes last there.
    #[test]
    fn first_come_first_served() {
        let mut agenda = Agenda::default();
        for (at, thing) in [(5, 'c'), (1, 'a'), (5, 'd'), (1, 'b')] {
            agenda.put(Time::from_nanos(at), thing);
        }
        assert_eq!(agenda.first(), Some(Time::from_nanos(1)));
        assert_eq!(agenda.pop(), Some((Time::from_nanos(1), 'a')));
        agenda.put(Time::from_nanos(5), 'e');
        agenda.put(Time::from_nanos(0), 'B');
        let order: String = std::iter::from_fn(|| agenda.pop()).map(|(_, thing)| thing).collect();
        assert_eq!(order, "bBcde");
        assert_eq!(agenda.first(), None);
    }

    // Of any times, things come out as a stable sort has them, also those that are put in meanwhile; and the first ones are
    // among the first that are said to be soon.
    #[test]
    fn things_come_in_order() {
        let mut agenda = Agenda::default();
        let (mut state, mut waiting, mut now) = (1_u64, Vec::new(), 0);
        for number in 0..3_000_u64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let after = [state >> 62, state >> 54, state >> 40, state >> 20][(number % 4) as usize];
            agenda.put(Time::from_nanos(now + after), number);
            waiting.push((now + after, number));
            if number % 2 == 1 {
                waiting.sort_unstable();
                let (at, first) = waiting.remove(0);
                assert_eq!(agenda.first(), Some(Time::from_nanos(at)));
                assert!(agenda.soon().take(64).any(|thing| *thing == first), "{first}");
                assert_eq!(agenda.pop(), Some((Time::from_nanos(at), first)));
                now = at;
            }
            assert_eq!(agenda.soon().count(), waiting.len());
        }
    }
}
