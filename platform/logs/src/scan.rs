//! Events of a group in the order of their time, forwards or backwards, from any position on.
//!
//! Frames overlap in time a little, since instances write at once and are buffered: a heap holds what was read until no
//! frame is left that could have something earlier. Deliberately knows nothing of what is asked for.

use crate::segment::{Framed, Segment};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

/// Bytes of frames that one scan reads at most before it returns to go on later.
pub(crate) const SCAN_BYTES: u64 = 16 << 20;

/// A position: the time of an event, then its number in the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub at_ms: i64,
    pub number: u64,
}

impl Key {
    pub const MIN: Self = Self { at_ms: i64::MIN, number: 0 };
    pub const MAX: Self = Self { at_ms: i64::MAX, number: u64::MAX };

    /// The first position at or after this time.
    pub fn at(at_ms: i64) -> Self {
        Self { at_ms, number: 0 }
    }

    /// The position right behind this one.
    pub fn next(self) -> Self {
        match self.number.checked_add(1) {
            Some(number) => Self { number, ..self },
            None => Self { at_ms: self.at_ms.saturating_add(1), number: 0 },
        }
    }
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Backward,
}

/// An event as a scan finds it.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub key: Key,
    pub stream: Arc<str>,
    pub written_ms: i64,
    pub text: Vec<u8>,
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Go {
    On,
    Stop,
}

/// What to look at.
pub(crate) struct Scan<'a> {
    pub segments: &'a VecDeque<Segment>,
    /// Streams that were removed, each with the number of the first event after that.
    pub removed: &'a BTreeMap<Arc<str>, u64>,
    /// From this position, included, to that, excluded.
    pub range: (Key, Key),
    pub direction: Direction,
}

/// How a scan ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Nothing is left in the range.
    Complete,
    /// It was stopped, or had read [`SCAN_BYTES`]: what is left is at or behind this position, or before it.
    At(Key),
}

impl Scan<'_> {
    /// Calls `each` with the events of the streams that `wants` names, in order.
    pub fn run(
        &self,
        wants: impl Fn(&str) -> bool,
        mut each: impl FnMut(Found) -> Go,
    ) -> io::Result<Ended> {
        let frames = self.frames(&wants);
        let mut waiting: BTreeMap<Key, Found> = BTreeMap::new();
        let (mut read, mut done) = (0, None);
        for (segment, framed) in frames {
            let edge = match self.direction {
                Direction::Forward => Key::at(framed.first_ms),
                Direction::Backward => Key { at_ms: framed.last_ms, number: u64::MAX }.next(),
            };
            if let Some(stopped) = self.pass(&mut waiting, edge, &mut each) {
                return Ok(stopped);
            }
            // Time must have gone on since the begin, or the next scan would begin where this one did.
            let has_moved = match self.direction {
                Direction::Forward => edge > self.range.0,
                Direction::Backward => edge < self.range.1,
            };
            if read >= SCAN_BYTES && has_moved && done != Some(edge) {
                return Ok(Ended::At(edge));
            }
            (read, done) = (read + framed.bytes, Some(edge));
            self.take_in(segment, framed, &wants, &mut waiting)?;
        }
        let end = match self.direction {
            Direction::Forward => Key::MAX,
            Direction::Backward => Key::MIN,
        };
        Ok(self.pass(&mut waiting, end, &mut each).unwrap_or(Ended::Complete))
    }

    /// Frames that may hold something, in the order in which they are to be read.
    fn frames(&self, wants: &impl Fn(&str) -> bool) -> Vec<(&Segment, &Framed)> {
        let (from, to) = self.range;
        let mut frames = Vec::new();
        for segment in self.segments {
            let Some(index) = &segment.index else { continue };
            if !index.streams.iter().any(|stream| wants(&stream.name)) {
                continue;
            }
            let overlaps = |framed: &&Framed| {
                framed.events > 0 && framed.last_ms >= from.at_ms && framed.first_ms <= to.at_ms
            };
            frames.extend(index.frames.iter().filter(overlaps).map(|framed| (segment, framed)));
        }
        match self.direction {
            Direction::Forward => frames.sort_by_key(|(_, framed)| framed.first_ms),
            Direction::Backward => {
                frames.sort_by_key(|(_, framed)| std::cmp::Reverse(framed.last_ms));
            }
        }
        frames
    }

    /// Passes on what no frame left can come before.
    fn pass(
        &self,
        waiting: &mut BTreeMap<Key, Found>,
        edge: Key,
        each: &mut impl FnMut(Found) -> Go,
    ) -> Option<Ended> {
        loop {
            let (key, found) = match self.direction {
                Direction::Forward => waiting.first_entry()?,
                Direction::Backward => waiting.last_entry()?,
            }
            .remove_entry();
            let is_sure = match self.direction {
                Direction::Forward => key < edge,
                Direction::Backward => key >= edge,
            };
            if !is_sure {
                waiting.insert(key, found);
                return None;
            }
            if each(found) == Go::Stop {
                return Some(Ended::At(match self.direction {
                    Direction::Forward => key.next(),
                    Direction::Backward => key,
                }));
            }
        }
    }

    fn take_in(
        &self,
        segment: &Segment,
        framed: &Framed,
        wants: &impl Fn(&str) -> bool,
        waiting: &mut BTreeMap<Key, Found>,
    ) -> io::Result<()> {
        let streams = segment.index.as_ref().map(|index| index.streams.as_slice()).unwrap_or(&[]);
        let wanted: Vec<Option<u64>> = streams
            .iter()
            .map(|stream| {
                let removed = self.removed.get(&stream.name).copied().unwrap_or(0);
                wants(&stream.name).then_some(removed)
            })
            .collect();
        segment.read_frame(framed, |number, stream, at_ms, text| {
            let key = Key { at_ms, number };
            let stream = stream as usize;
            let is_there = wanted.get(stream).copied().flatten().is_some_and(|from| number >= from);
            if is_there && (self.range.0..self.range.1).contains(&key) {
                let stream = Arc::clone(&streams[stream].name);
                let (written_ms, text) = (framed.written_ms, text.to_vec());
                waiting.insert(key, Found { key, stream, written_ms, text });
            }
        })
    }
}
