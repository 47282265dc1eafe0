//! What must hold after each event, over all of the books: limits, deadlines, queues.
//!
//! Deliberately changes nothing in them.

use super::*;

impl Driver {
    /// What must hold after each event.
    pub(super) fn check_books(&self) {
        let keep = self.profile.keep_alive.longest();
        for (instance, it) in &self.instances {
            match it.doing {
                Doing::Idle { since, asked_to_rest } => {
                    if let Some(keep) = keep.filter(|_| it.purpose == Purpose::OnDemand) {
                        assert!(since + keep > self.now, "{instance} is idle for too long");
                    }
                    if let Some(after) = self.profile.rest_after {
                        assert!(asked_to_rest || since + after > self.now, "{instance} is awake");
                    }
                    if let Some(cap) = self.profile.lifetime_cap {
                        assert!(it.born + cap > self.now, "{instance} is idle beyond its lifetime");
                    }
                }
                Doing::Busy(_, since, timeout) => {
                    assert!(since + timeout > self.now, "{instance} runs for too long");
                }
                Doing::Serving => {
                    for run in &self.runs[instance].runs {
                        assert!(run.since + run.timeout > self.now, "{run:?} runs for too long");
                    }
                }
                Doing::Starting | Doing::Finishing(_) | Doing::Stopping => {}
            }
        }
        for (invocation, it) in &self.invocations {
            if let Stage::Waiting(since) = it.stage {
                let wait = self.profile.limits.queue_wait;
                assert!(since + wait > self.now, "{invocation} waits for too long");
            }
        }
        self.check_scale();
        if let Some(memory) = self.profile.limits.memory {
            let used: u64 = self.hosts.values().map(|it| u64::from(it.memory.0)).sum();
            let limit = f64::from(memory.0) * self.profile.hosts.overcommit;
            assert!(used as f64 <= limit, "hosts have {used} MiB of {limit}");
        }
        assert!(self.scheduler.next_timeout().is_none_or(|due| due > self.now), "all timers fired");
        self.check_queues();
        self.check_provisioned();
    }

    /// No function has more instances than it may, no owner more hosts, and nothing idle exceeds the pool.
    fn check_scale(&self) {
        let live = self.instances.values().filter(|it| it.doing != Doing::Stopping);
        let pool = match self.profile.keep_alive {
            KeepAlive::MemoryPressure(it) => it.pool,
            _ => None,
        };
        if let Some(pool) = pool
            && self
                .instances
                .values()
                .any(|it| matches!(it.doing, Doing::Idle { .. }) && it.purpose == Purpose::OnDemand)
        {
            let used: MemoryMib = live.clone().map(|it| it.memory).sum();
            assert!(used <= pool, "idle instances stay while {used} of {pool} are used");
        }
        if let Some(most) = self.profile.scaling.max_instances {
            for (function, (epoch, _)) in &self.functions {
                let own = |it: &&InstanceBook| {
                    it.function == *function && it.epoch == *epoch && !it.orphan
                };
                let n = live.clone().filter(own).count();
                assert!(n <= most as usize, "{function} has {n} instances of {most}");
            }
        }
        let most = match self.profile.placement {
            Placement::Spread(it) => it.max_hosts,
            Placement::Random(it) => it.max_hosts,
            Placement::LeastContention(it) => it.max_hosts,
            Placement::BinPack(_) | Placement::OnePerHost(_) => return,
        };
        let mut hosts: BTreeMap<_, u32> = BTreeMap::new();
        for host in self.scheduler.hosts() {
            *hosts.entry(host.owner).or_default() += u32::from(host.phase != HostPhase::Leaving);
        }
        for (owner, n) in hosts {
            assert!(owner.is_none() || n <= most, "{owner:?} has {n} hosts of {most}");
        }
    }

    /// What waits has an instance that starts or that has answered just now, or is in line for room that will be freed.
    fn check_queues(&self) {
        for it in self.scheduler.functions() {
            let of = |other: &&InstanceView| {
                let present = other.epoch == self.functions[&it.function].0;
                other.function == it.function && (present || self.profile.updates.is_some())
            };
            let starts = |other: &InstanceView| {
                matches!(other.phase, InstancePhase::Waiting | InstancePhase::Starting)
            };
            let instances: Vec<InstanceView> = self.scheduler.instances().collect();
            let starting = instances.iter().filter(of).filter(|other| starts(other)).count();
            let comes = |other: &&InstanceView| match self.instances[&other.instance].doing {
                Doing::Finishing(since) => since + GRACE > self.now,
                _ => false,
            };
            let coming = instances.iter().filter(of).filter(|it| !starts(it)).filter(comes).count();
            // Fewer where a function was removed and came back in the same state: those of before do not count.
            assert!(
                it.starting as usize <= starting && it.coming <= coming,
                "{it:?} counts others"
            );
            let each = self.profile.scaling.requests_per_instance as usize;
            let sufficient = it.queued <= it.starting as usize * each + it.coming;
            let limited = it.live >= self.profile.scaling.limit(it.in_flight);
            assert!(sufficient || it.waits_for_room || limited, "{it:?} starts too few");
            assert!(it.queued == 0 || it.live > 0 || it.waits_for_room, "{it:?} waits for ever");
            let stopping = self.instances.values().any(|it| it.doing == Doing::Stopping);
            assert!(!it.waits_for_room || stopping, "{it:?} waits for nothing");
            let ready = it.idle + it.with_room;
            assert!(it.queued == 0 || ready == 0, "{it:?} lets an instance wait");
        }
    }
}
