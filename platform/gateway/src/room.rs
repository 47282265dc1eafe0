//! The room that all large request bodies share, so that many of them do not fill the machine's memory.
//!
//! Deliberately knows nothing of requests: who waits for how long, and what is answered, the caller decides.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Bodies up to this size take no room.
const SMALL_BODY_BYTES: u64 = 64 << 10;

/// See the module.
pub(crate) struct Room {
    kib: usize,
    free: Semaphore,
}

/// The part of the room that one body takes until this is dropped.
pub(crate) struct Place<'a> {
    permit: Option<SemaphorePermit<'a>>,
}

impl Room {
    pub fn new(bytes: usize) -> Self {
        let kib = bytes >> 10;
        Self { kib, free: Semaphore::new(kib) }
    }

    /// Waits, in order, until a body of up to so many bytes has its place. One larger than the room takes all of it.
    pub async fn take(&self, bytes: u64) -> Place<'_> {
        let Some(kib) = self.kib_of(bytes) else { return Place { permit: None } };
        let permit = self.free.acquire_many(u32::try_from(kib).unwrap_or(u32::MAX)).await;
        Place { permit: permit.ok() }
    }

    /// Gives back what a body was feared to need and, now that it is here, does not.
    pub fn shrink(&self, place: &mut Place<'_>, bytes: u64) {
        let needed = self.kib_of(bytes).unwrap_or(0);
        if let Some(permit) = &mut place.permit {
            drop(permit.split(permit.num_permits().saturating_sub(needed)));
        }
    }

    fn kib_of(&self, bytes: u64) -> Option<usize> {
        (bytes > SMALL_BODY_BYTES)
            .then(|| usize::try_from(bytes.div_ceil(1 << 10)).unwrap_or(self.kib).min(self.kib))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Small bodies take nothing, others what they have; what was feared and did not come is given back, and all in the end.
    #[tokio::test]
    async fn places_add_up() {
        let room = Room::new(1 << 20);
        let small = room.take(64 << 10).await;
        assert_eq!(room.free.available_permits(), 1024);
        let mut place = room.take(500 << 10).await;
        assert_eq!(room.free.available_permits(), 524);
        room.shrink(&mut place, (100 << 10) - 1);
        assert_eq!(room.free.available_permits(), 924);
        room.shrink(&mut place, 200 << 10);
        assert_eq!(room.free.available_permits(), 924, "a place does not grow");
        room.shrink(&mut place, 1);
        assert_eq!(room.free.available_permits(), 1024);
        drop((small, place));
        let all = room.take(u64::MAX).await;
        assert_eq!(room.free.available_permits(), 0);
        drop(all);
        assert_eq!(room.free.available_permits(), 1024);
    }
}
