//! Functions by number.
//!
//! Deliberately knows nothing of what a function is. Drivers number functions as they come, so most numbers are small:
//! these are found by a look into an array, others by a search.

use model::{FunctionId, fetch};
use std::collections::BTreeMap;

/// Functions per page.
const PAGE: u64 = 256;

/// Numbers from which a function is searched for. The array takes at most 8 bytes for each page below: 8 MiB.
const SPARSE: u64 = PAGE << 20;

/// Things by function.
pub(crate) struct Roster<T> {
    pages: Vec<Option<Box<[Option<T>]>>>,
    sparse: BTreeMap<FunctionId, T>,
}

impl<T> Roster<T> {
    pub(crate) fn new() -> Self {
        Self { pages: Vec::new(), sparse: BTreeMap::new() }
    }

    #[inline]
    pub(crate) fn get(&self, function: FunctionId) -> Option<&T> {
        if function.0 >= SPARSE {
            return self.sparse.get(&function);
        }
        let page = self.pages.get((function.0 / PAGE) as usize)?.as_ref()?;
        page[(function.0 % PAGE) as usize].as_ref()
    }

    /// Has the cache fetch a thing, without waiting for it.
    pub(crate) fn fetch(&self, function: FunctionId) {
        if let Some(Some(page)) = self.pages.get((function.0 / PAGE) as usize) {
            fetch(&page[(function.0 % PAGE) as usize]);
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, function: FunctionId) -> Option<&mut T> {
        if function.0 >= SPARSE {
            return self.sparse.get_mut(&function);
        }
        let page = self.pages.get_mut((function.0 / PAGE) as usize)?.as_mut()?;
        page[(function.0 % PAGE) as usize].as_mut()
    }

    pub(crate) fn insert(&mut self, function: FunctionId, thing: T) {
        if function.0 >= SPARSE {
            self.sparse.insert(function, thing);
            return;
        }
        let page = (function.0 / PAGE) as usize;
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || None);
        }
        let empty = || std::iter::repeat_with(|| None).take(PAGE as usize).collect();
        let page = self.pages[page].get_or_insert_with(empty);
        page[(function.0 % PAGE) as usize] = Some(thing);
    }

    pub(crate) fn remove(&mut self, function: FunctionId) -> Option<T> {
        if function.0 >= SPARSE {
            return self.sparse.remove(&function);
        }
        let place = self.pages.get_mut((function.0 / PAGE) as usize)?;
        let page = place.as_mut()?;
        let thing = page[(function.0 % PAGE) as usize].take()?;
        if page.iter().all(Option::is_none) {
            *place = None;
        }
        Some(thing)
    }

    /// All, by number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (FunctionId, &T)> {
        let dense = (0..).zip(&self.pages).flat_map(|(page, place)| {
            let slots = place.iter().flat_map(|page| page.iter());
            (page * PAGE..)
                .zip(slots)
                .filter_map(|(number, slot)| Some((FunctionId(number), slot.as_ref()?)))
        });
        dense.chain(self.sparse.iter().map(|(&function, thing)| (function, thing)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // What is put in is found under its number, small or large, until it is taken out, and is listed by number.
    #[test]
    fn keeps_what_is_put_in() {
        let mut roster = Roster::new();
        let numbers = [u64::MAX, 3, SPARSE, 0, 64, SPARSE - 1, 100_000];
        for number in numbers {
            assert!(roster.get(FunctionId(number)).is_none());
            roster.insert(FunctionId(number), number);
        }
        let listed: Vec<u64> = roster.iter().map(|(_, &number)| number).collect();
        assert_eq!(listed, [0, 3, 64, 100_000, SPARSE - 1, SPARSE, u64::MAX]);
        for number in numbers {
            assert_eq!(roster.get_mut(FunctionId(number)).copied(), Some(number));
            assert_eq!(roster.remove(FunctionId(number)), Some(number));
            assert!(roster.remove(FunctionId(number)).is_none());
        }
        assert_eq!(roster.iter().count(), 0);
    }
}
