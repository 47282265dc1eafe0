//! Placement on any host.

use super::{Choice, Growth, Place, Want};
use crate::rooms::Rooms;

/// Any of the hosts with room, each as likely as the other. Hosts that the owner does not have yet, up to `max_hosts`, count
/// as hosts with room. Takes time linear in the number of hosts with room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Random {
    /// Hosts of one owner, at least 1.
    pub max_hosts: u32,
}

impl Place for Random {
    fn choose(&self, rooms: &Rooms, want: &Want) -> Choice {
        let fitting = || rooms.fitting(want.owners, want.memory);
        let there = fitting().count() as u64;
        let possible = match want.growth {
            Growth::Possible => self.max_hosts.saturating_sub(rooms.hosts(want.owners)),
            Growth::Impossible => 0,
        };
        let all = there + u64::from(possible);
        if all == 0 {
            return Choice::Nowhere;
        }
        match fitting().nth(want.lot.below(all) as usize) {
            Some(host) => Choice::Host(host),
            None => Choice::NewHost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lots::Lot;
    use crate::rooms::{Owner, Owners};
    use model::{HostId, MemoryMib};

    // Hosts with room and hosts that are not there yet are taken equally often, full ones never.
    #[test]
    fn takes_any() {
        let mut rooms = Rooms::default();
        for (host, free) in [(1, 512), (2, 64), (3, 256)] {
            rooms.open(Owner::Everyone);
            rooms.insert(Owner::Everyone, MemoryMib(free), HostId(host));
        }
        let random = Random { max_hosts: 5 };
        let mut counts = [0_u32; 4];
        for number in 0..4_000 {
            let want = Want {
                owners: Owners::of(Owner::Everyone),
                memory: MemoryMib(128),
                growth: Growth::Possible,
                lot: Lot::of(1, number),
            };
            match random.choose(&rooms, &want) {
                Choice::Host(host) => counts[host.0 as usize] += 1,
                Choice::NewHost => counts[0] += 1,
                Choice::Nowhere => panic!("there is room"),
            }
        }
        assert_eq!(counts[2], 0);
        assert!(counts[0].abs_diff(2_000) < 160, "two of four are new: {counts:?}");
        assert!(counts[1].abs_diff(1_000) < 140 && counts[3].abs_diff(1_000) < 140, "{counts:?}");
    }
}
