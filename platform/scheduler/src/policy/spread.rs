//! Placement on the emptiest host.

use super::{Choice, Growth, Place, Want};
use crate::rooms::Rooms;

/// A new host for each new instance until the owner has `max_hosts`; from then on the emptiest host that fits (the one
/// with the most free memory; among equals the oldest). An empty host of the owner is taken before a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// Hosts of one owner, at least 1.
    pub max_hosts: u32,
}

impl Place for Spread {
    fn choose(&self, rooms: &Rooms, want: &Want) -> Choice {
        let roomiest = rooms.roomiest(want.owners, want.memory);
        let grow = want.growth == Growth::Possible && rooms.hosts(want.owners) < self.max_hosts;
        match roomiest {
            Some(host) if !grow || rooms.is_empty(host) => Choice::Host(host),
            _ if grow => Choice::NewHost,
            _ => Choice::Nowhere,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lots::Lot;
    use crate::rooms::{Owner, Owners};
    use model::{HostId, MemoryMib};

    fn want(growth: Growth) -> Want {
        let owners = Owners::of(Owner::Everyone);
        Want { owners, memory: MemoryMib(128), growth, lot: Lot::of(1, 1) }
    }

    // A new host is taken while the bound allows, then the emptiest, and nowhere when none fits.
    #[test]
    fn spreads_up_to_its_bound() {
        let mut rooms = Rooms::default();
        let spread = Spread { max_hosts: 2 };
        assert_eq!(spread.choose(&rooms, &want(Growth::Possible)), Choice::NewHost);
        rooms.open(Owner::Everyone);
        rooms.insert(Owner::Everyone, MemoryMib(256), HostId(1));
        assert_eq!(spread.choose(&rooms, &want(Growth::Possible)), Choice::NewHost);
        assert_eq!(spread.choose(&rooms, &want(Growth::Impossible)), Choice::Host(HostId(1)));
        rooms.open(Owner::Everyone);
        rooms.insert(Owner::Everyone, MemoryMib(384), HostId(2));
        assert_eq!(spread.choose(&rooms, &want(Growth::Possible)), Choice::Host(HostId(2)));
        let large = Want { memory: MemoryMib(385), ..want(Growth::Possible) };
        assert_eq!(spread.choose(&rooms, &large), Choice::Nowhere);
    }

    // An empty host of the owner is used before another one is started.
    #[test]
    fn takes_an_empty_host_before_a_new_one() {
        let mut rooms = Rooms::default();
        rooms.open(Owner::Everyone);
        rooms.insert(Owner::Everyone, MemoryMib(512), HostId(1));
        rooms.mark_empty(HostId(1));
        let choice = Spread { max_hosts: 9 }.choose(&rooms, &want(Growth::Possible));
        assert_eq!(choice, Choice::Host(HostId(1)));
    }
}
