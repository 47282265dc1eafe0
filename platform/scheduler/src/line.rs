//! Things in the order in which they came, each of which can leave from anywhere.
//!
//! Deliberately knows nothing of what it holds. Both ends are quick; from within, the shorter side moves up, which is a
//! copy of 16 or 24 bytes for each of those that stand there.

use std::collections::VecDeque;

/// A line of things, each with the number under which it came.
#[derive(Debug)]
pub(crate) struct Line<T> {
    things: VecDeque<(u64, T)>,
}

impl<T: Copy> Line<T> {
    pub(crate) fn new() -> Self {
        Self { things: VecDeque::new() }
    }

    /// Puts a thing at the end. Its number is larger than any before.
    pub(crate) fn push(&mut self, sequence: u64, thing: T) {
        assert!(self.youngest().is_none_or(|(last, _)| last < sequence), "numbers grow");
        self.things.push_back((sequence, thing));
    }

    /// Takes out what came under this number.
    pub(crate) fn remove(&mut self, sequence: u64) -> Option<T> {
        let index = match self.things.back() {
            Some(&(last, _)) if last == sequence => self.things.len() - 1,
            _ => self.things.binary_search_by_key(&sequence, |&(number, _)| number).ok()?,
        };
        self.things.remove(index).map(|(_, thing)| thing)
    }

    pub(crate) fn oldest(&self) -> Option<(u64, T)> {
        self.things.front().copied()
    }

    pub(crate) fn youngest(&self) -> Option<(u64, T)> {
        self.things.back().copied()
    }

    /// All, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, T)> + '_ {
        self.things.iter().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.things.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.things.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Things leave from either end and from within, and the rest keeps its order.
    #[test]
    fn keeps_its_order() {
        let mut line = Line::new();
        for number in [1, 3, 5, 7, 9] {
            line.push(number, number * 10);
        }
        assert_eq!(
            (line.remove(9), line.remove(1), line.remove(5)),
            (Some(90), Some(10), Some(50))
        );
        assert_eq!((line.remove(5), line.remove(8)), (None, None));
        assert_eq!(line.iter().collect::<Vec<_>>(), [(3, 30), (7, 70)]);
        assert_eq!((line.oldest(), line.youngest(), line.len()), (Some((3, 30)), Some((7, 70)), 2));
    }
}
