//! Placement on the host with the least contention.

use super::{Choice, Growth, Place, Want};
use crate::rooms::{Burden, Rooms};

/// CPU that a start takes until it is measured, in thousandths: an init has no ceiling, and most have one thread.
const START_MILLI_CPUS: f64 = 1000.0;

/// The host on which a new instance meets the least: the sum of its shares of memory, CPU, disk and network in use, the
/// newcomer included, each times a weight, is the smallest (among equals the oldest). A host is *busy* where CPU, disk or
/// network alone is at `load_limit` or beyond; while all with room are, and the owner has fewer than `max_hosts`, there is
/// a new one. A start counts as one busy CPU until it has been measured for a whole interval, since simultaneous starts
/// come faster than measurements do. Takes time linear in the number of hosts with room.
///
/// What Wang et al. (ATC'18, 5.1 and 5.4) ask for: bin-packing by memory alone made their cold starts longer and their
/// throughput lower with each neighbour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LeastContention {
    /// Hosts of one owner, at least 1.
    pub max_hosts: u32,
    /// Share of CPU, disk or network in use from which a host is busy; above 0, at most 1.
    pub load_limit: f64,
    /// What each share weighs, 0 or more.
    pub weights: Weights,
    /// What a host's disk does, MiB/s: all of it is in use at that.
    pub disk_mib_s: f64,
    /// What a host's network does, Mbit/s.
    pub network_mbit_s: f64,
}

/// What the share in use of each resource weighs against the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights {
    /// Of memory, by the sizes of instances.
    pub memory: f64,
    /// Of CPU.
    pub cpu: f64,
    /// Of the disk.
    pub disk: f64,
    /// Of the network.
    pub network: f64,
}

/// How a host would be with the newcomer.
#[derive(Clone, Copy, Debug)]
struct Contention {
    is_busy: bool,
    score: f64,
}

impl LeastContention {
    fn contention(&self, it: &Burden, want: &Want) -> Contention {
        let of = |part: f64, whole: f64| part / whole.max(f64::MIN_POSITIVE);
        let cpus = f64::from(it.milli_cpus);
        let starting = START_MILLI_CPUS * f64::from(it.unmeasured());
        let taken = f64::from(it.load.milli_cpus) + starting;
        let disk = of(it.load.disk_kib_s as f64 / 1024.0, self.disk_mib_s);
        let network = of(it.load.network_kbit_s as f64 / 1000.0, self.network_mbit_s);
        let memory = f64::from((it.memory - it.free + want.memory).0);
        let weights = &self.weights;
        Contention {
            is_busy: [of(taken, cpus), disk, network].iter().any(|share| *share >= self.load_limit),
            score: weights.memory * of(memory, f64::from(it.memory.0))
                + weights.cpu * of(taken + START_MILLI_CPUS, cpus)
                + weights.disk * disk
                + weights.network * network,
        }
    }
}

impl Place for LeastContention {
    fn choose(&self, rooms: &Rooms, want: &Want) -> Choice {
        let hosts = rooms.fitting(want.owners, want.memory);
        let weighed = hosts.filter_map(|host| {
            let it = rooms.burden(host)?;
            Some((self.contention(it, want), host))
        });
        let best = weighed.min_by(|(one, a), (other, b)| {
            let busy = one.is_busy.cmp(&other.is_busy);
            busy.then(one.score.total_cmp(&other.score)).then(a.cmp(b))
        });
        let grow = want.growth == Growth::Possible && rooms.hosts(want.owners) < self.max_hosts;
        match best {
            Some((it, host)) if !it.is_busy || !grow => Choice::Host(host),
            _ if grow => Choice::NewHost,
            _ => Choice::Nowhere,
        }
    }

    fn weighs_load(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::HostLoad;
    use crate::lots::Lot;
    use crate::rooms::{Owner, Owners};
    use model::{HostId, MemoryMib};

    const IDLE: HostLoad = HostLoad { milli_cpus: 0, disk_kib_s: 0, network_kbit_s: 0 };

    fn policy() -> LeastContention {
        LeastContention {
            max_hosts: 4,
            load_limit: 0.75,
            weights: Weights { memory: 1.0, cpu: 1.0, disk: 1.0, network: 1.0 },
            disk_mib_s: 100.0,
            network_mbit_s: 500.0,
        }
    }

    /// Hosts of two CPUs and 1024 MiB with this much free.
    fn rooms(free: &[u32]) -> Rooms {
        let mut rooms = Rooms::default();
        for (host, &free) in (1..).zip(free) {
            rooms.open(Owner::Everyone);
            rooms.weigh(HostId(host), (MemoryMib(1024), 2000));
            rooms.insert(Owner::Everyone, MemoryMib(free), HostId(host));
        }
        rooms
    }

    fn want(growth: Growth) -> Want {
        let owners = Owners::of(Owner::Everyone);
        Want { owners, memory: MemoryMib(128), growth, lot: Lot::of(1, 1) }
    }

    // With equal memory the load decides, of each resource; with equal load, memory.
    #[test]
    fn each_resource_counts() {
        let mut rooms = rooms(&[512, 512, 640]);
        let choose = |rooms: &Rooms| policy().choose(rooms, &want(Growth::Impossible));
        assert_eq!(choose(&rooms), Choice::Host(HostId(3)));
        rooms.load(HostId(3), HostLoad { milli_cpus: 600, ..IDLE });
        assert_eq!(choose(&rooms), Choice::Host(HostId(1)));
        rooms.load(HostId(1), HostLoad { disk_kib_s: 20 << 10, ..IDLE });
        assert_eq!(choose(&rooms), Choice::Host(HostId(2)));
        rooms.load(HostId(2), HostLoad { network_kbit_s: 200_000, ..IDLE });
        assert_eq!(choose(&rooms), Choice::Host(HostId(3)), "0.175 of CPU beside 0.2 and 0.4");
    }

    // Simultaneous starts do not pile up: what was placed and not measured counts, until two measurements have come.
    #[test]
    fn starts_count_before_they_are_measured() {
        let mut rooms = rooms(&[1024, 1024]);
        let mut chosen = Vec::new();
        for _ in 0..4 {
            let Choice::Host(host) = policy().choose(&rooms, &want(Growth::Impossible)) else {
                panic!("there is room")
            };
            rooms.add_start(host);
            chosen.push(host.0);
        }
        assert_eq!(chosen, [1, 2, 1, 2]);
        for host in [1, 1] {
            rooms.load(HostId(host), IDLE);
        }
        assert_eq!(policy().choose(&rooms, &want(Growth::Impossible)), Choice::Host(HostId(1)));
    }

    // Another host comes when all are busy, up to the bound; beyond it the least busy takes more, and a full one never.
    #[test]
    fn busy_hosts_call_for_another() {
        let mut rooms = rooms(&[1024, 1024]);
        let busy = HostLoad { disk_kib_s: 75 << 10, ..IDLE };
        rooms.load(HostId(1), busy);
        assert_eq!(policy().choose(&rooms, &want(Growth::Possible)), Choice::Host(HostId(2)));
        rooms.load(HostId(2), HostLoad { network_kbit_s: 450_000, ..IDLE });
        assert_eq!(policy().choose(&rooms, &want(Growth::Possible)), Choice::NewHost);
        let bounded = LeastContention { max_hosts: 2, ..policy() };
        assert_eq!(bounded.choose(&rooms, &want(Growth::Possible)), Choice::Host(HostId(1)));
        let large = crate::policy::Want { memory: MemoryMib(1025), ..want(Growth::Impossible) };
        assert_eq!(policy().choose(&rooms, &large), Choice::Nowhere);
    }
}
