//! The letters in the store: written, read and taken out.

use crate::Letter;
use crate::letter::key;
use catalog::{Batch, Store, StoreError, Table};
use queue::EventId;
use std::ops::Bound;

/// Letters by event.
const EVENTS: Table = Table::new("events");
/// Payloads that are stored apart, by event.
const PAYLOADS: Table = Table::new("event_payloads");
/// Entries that are read at once: each is small.
const PAGE: usize = 1024;

/// Adds a letter to a batch.
pub(crate) fn put(batch: &mut Batch, event: EventId, letter: &Letter) {
    let (bytes, apart) = letter.encode();
    batch.put(EVENTS, key(event), bytes);
    if let Some(payload) = apart {
        batch.put(PAYLOADS, key(event), payload.to_vec());
    }
}

/// Writes a letter's head anew; what is stored apart stays.
pub(crate) fn put_head(batch: &mut Batch, event: EventId, letter: &Letter) {
    batch.put(EVENTS, key(event), letter.encode().0);
}

/// Takes a letter out.
pub(crate) fn remove(batch: &mut Batch, event: EventId, letter: &Letter) {
    batch.remove(EVENTS, key(event));
    if letter.is_apart() {
        batch.remove(PAYLOADS, key(event));
    }
}

/// The whole letter. Blocks.
pub(crate) fn read(store: &Store, event: EventId) -> Result<Option<Letter>, StoreError> {
    let Some(bytes) = store.get(EVENTS, &key(event))? else { return Ok(None) };
    let Some(mut letter) = Letter::decode(&bytes) else { return Ok(None) };
    if letter.lacks_payload() {
        letter.payload = store.get(PAYLOADS, &key(event))?.unwrap_or_default().into();
    }
    Ok(Some(letter))
}

/// All letters by event, without what is stored apart; what cannot be read is left out and told of. Blocks.
pub(crate) fn all(store: &Store, mut each: impl FnMut(EventId, &Letter)) -> Result<(), StoreError> {
    let mut last: Option<Vec<u8>> = None;
    loop {
        let from = last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let page = store.scan(EVENTS, from, PAGE)?;
        for (key, value) in &page {
            match (<[u8; 8]>::try_from(key.as_slice()), Letter::decode(value)) {
                (Ok(number), Some(letter)) => each(EventId(u64::from_be_bytes(number)), &letter),
                _ => tracing::error!(?key, "a stored event cannot be read, and is left as it is"),
            }
        }
        match page.last() {
            Some((key, _)) if page.len() == PAGE => last = Some(key.clone()),
            _ => return Ok(()),
        }
    }
}
