//! A table of things that are numbered as they come and go roughly in that order.
//!
//! Deliberately knows nothing of what it holds. A lookup takes the same time however many things there are, which an
//! ordered map's does not; order is that of the numbers, which an unordered map's is not.

use model::fetch;
use std::collections::VecDeque;
use std::marker::PhantomData;

/// Things per page: so many that the list of a million's pages is in the cache. A page is given back when nothing is left on
/// it.
const PAGE: u64 = 256;

/// A number that a table gives out.
pub(crate) trait Numbered: Copy {
    fn from_number(number: u64) -> Self;
    fn number(self) -> u64;
}

impl Numbered for model::InstanceId {
    fn from_number(number: u64) -> Self {
        Self(number)
    }
    fn number(self) -> u64 {
        self.0
    }
}

impl Numbered for model::HostId {
    fn from_number(number: u64) -> Self {
        Self(number)
    }
    fn number(self) -> u64 {
        self.0
    }
}

/// Things by number. Takes 8 bytes per [`PAGE`] numbers given out since the oldest thing that is left.
pub(crate) struct Table<K, T> {
    pages: VecDeque<Option<Page<T>>>,
    /// Pages dropped before the first one kept.
    dropped: u64,
    next: u64,
    key: PhantomData<K>,
}

struct Page<T> {
    slots: Box<[Option<T>]>,
    used: u64,
}

impl<K: Numbered, T> Table<K, T> {
    /// An empty table whose first number is 1.
    pub(crate) fn new() -> Self {
        Self { pages: VecDeque::new(), dropped: 0, next: 1, key: PhantomData }
    }

    /// Puts a thing in and says its number, which no other thing ever has.
    pub(crate) fn push(&mut self, thing: T) -> K {
        let number = self.next;
        self.next += 1;
        let (page, slot) = (number / PAGE, (number % PAGE) as usize);
        while self.dropped + self.pages.len() as u64 <= page {
            self.pages.push_back(None);
        }
        let page = &mut self.pages[(page - self.dropped) as usize];
        let page = page.get_or_insert_with(|| Page {
            slots: std::iter::repeat_with(|| None).take(PAGE as usize).collect(),
            used: 0,
        });
        page.slots[slot] = Some(thing);
        page.used += 1;
        K::from_number(number)
    }

    pub(crate) fn get(&self, key: K) -> Option<&T> {
        let index = (key.number() / PAGE).checked_sub(self.dropped)?;
        let page = self.pages.get(usize::try_from(index).ok()?)?.as_ref()?;
        page.slots[(key.number() % PAGE) as usize].as_ref()
    }

    /// Has the cache fetch a thing, without waiting for it.
    pub(crate) fn fetch(&self, key: K) {
        let index = (key.number() / PAGE).wrapping_sub(self.dropped);
        if let Some(Some(page)) = self.pages.get(index as usize) {
            fetch(&page.slots[(key.number() % PAGE) as usize]);
        }
    }

    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut T> {
        let index = (key.number() / PAGE).checked_sub(self.dropped)?;
        let page = self.pages.get_mut(usize::try_from(index).ok()?)?.as_mut()?;
        page.slots[(key.number() % PAGE) as usize].as_mut()
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<T> {
        let index = (key.number() / PAGE).checked_sub(self.dropped)?;
        let place = self.pages.get_mut(usize::try_from(index).ok()?)?;
        let page = place.as_mut()?;
        let thing = page.slots[(key.number() % PAGE) as usize].take()?;
        page.used -= 1;
        if page.used == 0 {
            *place = None;
            // The last page stays in line, so that the next number finds its place.
            while self.pages.len() > 1 && self.pages.front().is_some_and(Option::is_none) {
                self.pages.pop_front();
                self.dropped += 1;
            }
        }
        Some(thing)
    }

    /// Everything that is there, by number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        (self.dropped..).zip(&self.pages).flat_map(|(page, place)| {
            let slots = place.iter().flat_map(|page| page.slots.iter());
            (page * PAGE..)
                .zip(slots)
                .filter_map(|(number, slot)| Some((K::from_number(number), slot.as_ref()?)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::HostId;

    // What is put in is found under its number until it is taken out, and numbers never come again.
    #[test]
    fn keeps_what_is_put_in() {
        let mut table: Table<HostId, u64> = Table::new();
        let keys: Vec<HostId> = (0..1000).map(|thing| table.push(thing)).collect();
        for (thing, &key) in (0_u64..).zip(&keys) {
            assert_eq!(table.get(key), Some(&thing));
        }
        for &key in keys.iter().filter(|key| key.0 != 777) {
            assert!(table.remove(key.to_owned()).is_some());
            assert!(table.get(key).is_none() && table.remove(key).is_none());
        }
        assert_eq!(table.iter().collect::<Vec<_>>(), [(HostId(777), &776)]);
        assert_eq!(table.push(5), HostId(1001));
        assert!(table.get(HostId(0)).is_none() && table.get(HostId(u64::MAX)).is_none());
    }

    // Pages are given back, so that a table does not grow with the number of things that ever were.
    #[test]
    fn gives_pages_back() {
        let mut table: Table<HostId, u64> = Table::new();
        for thing in 0..100_000 {
            let key = table.push(thing);
            table.remove(key);
        }
        assert!(table.pages.len() <= 2, "{} pages", table.pages.len());
        assert_eq!(table.iter().count(), 0);
    }
}
