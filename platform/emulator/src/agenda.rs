//! What will happen, in the order of time and, at one moment, in the order in which it was decided.
//!
//! Deliberately knows nothing of what it holds.

use model::Time;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// Things by time.
#[derive(Debug)]
pub(crate) struct Agenda<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    next: u64,
}

#[derive(Debug)]
struct Entry<T> {
    at: Time,
    sequence: u64,
    thing: T,
}

impl<T> Agenda<T> {
    pub(crate) fn new() -> Self {
        Self { heap: BinaryHeap::new(), next: 0 }
    }

    /// Notes a thing for that moment.
    pub(crate) fn put(&mut self, at: Time, thing: T) {
        let sequence = self.next;
        self.next += 1;
        self.heap.push(Reverse(Entry { at, sequence, thing }));
    }

    /// When the first thing is due.
    pub(crate) fn first(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }

    /// Takes the first thing out.
    pub(crate) fn pop(&mut self) -> Option<(Time, T)> {
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.thing))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Time decides, and at one moment the order of decision.
    #[test]
    fn first_come_first_served() {
        let mut agenda = Agenda::new();
        for (at, thing) in [(5, 'c'), (1, 'a'), (5, 'd'), (1, 'b')] {
            agenda.put(Time::from_nanos(at), thing);
        }
        assert_eq!(agenda.first(), Some(Time::from_nanos(1)));
        let order: String = std::iter::from_fn(|| agenda.pop()).map(|(_, thing)| thing).collect();
        assert_eq!(order, "abcd");
    }
}
