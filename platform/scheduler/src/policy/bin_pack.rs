//! Placement on the fullest host that fits.

use super::{Choice, Growth, Place, Want};
use crate::rooms::Rooms;

/// The fullest host that still fits (the one with the least free memory; among equals the oldest); a new host only when
/// none does. What Wang et al. (ATC'18, 5.1) found at AWS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BinPack;

impl Place for BinPack {
    fn choose(&self, rooms: &Rooms, want: &Want) -> Choice {
        match (rooms.tightest(want.owners, want.memory), want.growth) {
            (Some(host), _) => Choice::Host(host),
            (None, Growth::Possible) => Choice::NewHost,
            (None, Growth::Impossible) => Choice::Nowhere,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lots::Lot;
    use crate::rooms::{Owner, Owners};
    use model::{HostId, MemoryMib};

    // Of hosts that fit, the fullest is taken; a host that does not fit never is.
    #[test]
    fn takes_the_fullest_that_fits() {
        let mut rooms = Rooms::default();
        for (host, free) in [(1, 512), (2, 128), (3, 256), (4, 256)] {
            rooms.insert(Owner::Everyone, MemoryMib(free), HostId(host));
        }
        let want = |memory| Want {
            owners: Owners::of(Owner::Everyone),
            memory: MemoryMib(memory),
            growth: Growth::Possible,
            lot: Lot::of(1, 1),
        };
        assert_eq!(BinPack.choose(&rooms, &want(128)), Choice::Host(HostId(2)));
        assert_eq!(BinPack.choose(&rooms, &want(129)), Choice::Host(HostId(3)));
        assert_eq!(BinPack.choose(&rooms, &want(257)), Choice::Host(HostId(1)));
        assert_eq!(BinPack.choose(&rooms, &want(513)), Choice::NewHost);
        let full = Want { growth: Growth::Impossible, ..want(513) };
        assert_eq!(BinPack.choose(&rooms, &full), Choice::Nowhere);
    }
}
