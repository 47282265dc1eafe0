//! Room for new instances: an instance for each invocation that waits, on a host that has room or is given some.
//!
//! Deliberately knows nothing of how hosts are chosen among those that fit: that is placement's.

use crate::chain::Links;
use crate::function::GRACE;
use crate::instance::{Age, Instance, State};
use crate::lots::Lot;
use crate::policy::{Choice, Company, Growth, Want};
use crate::rooms::{Owner, Owners};
use crate::scheduler::Scheduler;
use crate::timers::{Alarm, Slot};
use crate::{Action, Epoch, HostPhase, Purpose, Rejection, StopReason};
use model::{FunctionId, HostId, InstanceId, MemoryMib, Span, Time};

/// Hosts looked at in search of idle instances to evict, on a machine that is full.
const HOSTS_SEARCHED: usize = 256;

/// Where a new instance can be.
pub(crate) enum Room {
    /// On this host.
    Here(HostId),
    /// Somewhere, once instances that are stopping are reclaimed.
    Later,
    /// Nowhere; why.
    Nowhere(String),
}

/// What instance is made.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Make {
    /// One of the present version, for invocations that come.
    OnDemand,
    /// The same of the version before, in this state and of this size.
    Past(Epoch, MemoryMib),
    /// One of the present version that is kept.
    Provisioned,
}

impl Scheduler {
    /// Starts an instance for each invocation of the function that waits, beyond those that are starting or coming.
    pub(crate) fn cover(&mut self, function: FunctionId) {
        if self.functions.get(function).is_none_or(|state| state.queue.is_none()) {
            return;
        }
        self.lose_patience(function);
        while self.start_one(function, 0) {}
        self.watch_grace(function);
    }

    /// An instance that was coming may no longer count.
    pub(crate) fn grace_due(&mut self, function: FunctionId, due: Time) {
        let Some(state) = self.functions.get_mut(function) else { return };
        if state.details.grace_slot.rings(due) {
            self.cover(function);
        }
    }

    /// Sees to it that an alarm rings when the first instance that is coming no longer counts, while something waits.
    pub(crate) fn watch_grace(&mut self, function: FunctionId) {
        let Some(state) = self.functions.get_mut(function) else { return };
        if state.queue.is_some()
            && let Some((_, first)) = state.coming.iter(&self.instances).next()
        {
            let due = first.since + GRACE;
            self.timers.set(Alarm::Grace(function), &mut state.details.grace_slot, due);
        }
    }

    /// Starts one instance, if an invocation waits that has none and scaling allows it. Returns whether another one may be
    /// needed.
    pub(crate) fn start_one(&mut self, function: FunctionId, attempts: u8) -> bool {
        let Some(state) = self.functions.get(function) else { return false };
        let scaling = &self.profile.scaling;
        if !state.lacks_starts(scaling.requests_per_instance)
            || state.live >= scaling.limit(state.in_flight)
        {
            return false;
        }
        let past = self.outdated_start(function);
        let Some(state) = self.functions.get(function) else { return false };
        // One of the version before has the place of that version's role.
        let settings = past.as_ref().map_or(&state.details.settings, |(_, settings)| settings);
        let (owners, memory) = (self.profile.owners(settings), settings.memory.max(MemoryMib(1)));
        let make = past.map_or(Make::OnDemand, |(epoch, _)| Make::Past(epoch, memory));
        self.make_room(memory);
        match self.find_room(owners, memory) {
            Room::Here(host) => self.place(function, host, attempts, make),
            Room::Later => {
                self.stand_in_line(function);
                return false;
            }
            Room::Nowhere(reason) => self.reject_youngest(function, Rejection::NoHost(reason)),
        }
        true
    }

    /// Asks for the start of an instance whose host is ready.
    pub(crate) fn start(&mut self, instance: InstanceId) {
        let Some(it) = self.instances.get_mut(instance) else { return };
        it.state = State::Starting;
        it.since = self.now;
        let (host, function, epoch, purpose) = (it.host, it.function, it.epoch, it.purpose);
        self.counters.instances_started += 1;
        self.act(Action::Start { instance, host, function, epoch, purpose });
    }

    /// Tries again for the functions that wait for room, those that wait longest first.
    pub(crate) fn serve_short(&mut self) {
        for _ in 0..self.machine.short.len() {
            let Some(function) = self.machine.short.pop_front() else { return };
            if let Some(state) = self.functions.get_mut(function) {
                state.details.short = false;
                if state.has_provision {
                    self.machine.owing.insert(function);
                }
            }
            self.cover(function);
        }
    }

    pub(crate) fn memory_free(&mut self, free: MemoryMib) {
        self.machine.free = Some(free);
        self.serve_short();
    }

    /// MiB by which the machine is too full for a host of this size.
    pub(crate) fn shortage_mib(&self, memory: MemoryMib) -> u64 {
        let wanted = self.machine.used_mib + u64::from(memory.0);
        wanted.saturating_sub(self.limit_mib())
    }

    fn limit_mib(&self) -> u64 {
        let overcommit = self.profile.hosts.overcommit;
        // A float too large for the integer becomes the largest integer.
        self.profile.limits.memory.map_or(u64::MAX, |it| (f64::from(it.0) * overcommit) as u64)
    }

    /// Puts an instance on a host, and starts it if the host is ready.
    pub(crate) fn place(&mut self, function: FunctionId, host: HostId, attempts: u8, make: Make) {
        let Some(state) = self.functions.get_mut(function) else { return };
        state.starting += 1;
        state.live += 1;
        let memory = state.details.settings.memory.max(MemoryMib(1));
        let (epoch, memory) = match make {
            Make::Past(epoch, memory) => (epoch, memory),
            Make::OnDemand | Make::Provisioned => (state.details.epoch, memory),
        };
        let purpose = match make {
            Make::Provisioned => Purpose::Provisioned,
            Make::OnDemand | Make::Past(..) => Purpose::OnDemand,
        };
        let it = Instance {
            function,
            revision: state.revision,
            epoch,
            age: if matches!(make, Make::Past(..)) { Age::Past } else { Age::Present },
            host,
            memory,
            state: State::Waiting,
            since: self.now,
            end: Time::MAX,
            dies: Time::MAX,
            init: Span::ZERO,
            slot: Slot::default(),
            links: Links::default(),
            attempts,
            purpose,
        };
        let instance = self.instances.push(it);
        self.machine.live_mib += u64::from(memory.0);
        if purpose == Purpose::Provisioned {
            self.count_provision_in(function);
            self.count_provision_start(function, 1);
        }
        self.join_host(host, instance, memory);
        if self.hosts.get(host).is_some_and(|it| it.phase == HostPhase::Ready) {
            self.start(instance);
        }
    }

    pub(crate) fn stand_in_line(&mut self, function: FunctionId) {
        if let Some(state) = self.functions.get_mut(function)
            && !state.details.short
        {
            state.details.short = true;
            self.machine.short.push_back(function);
        }
    }

    pub(crate) fn find_room(&mut self, owners: Owners, memory: MemoryMib) -> Room {
        let reserve = self.profile.limits.memory_reserve;
        if let Some(free) = self.machine.free
            && free < reserve
        {
            return self.squeeze(owners, free);
        }
        let growth = self.growth(memory);
        let lot = Lot::of(self.seed, self.sequence());
        let want = Want { owners, memory, growth, lot };
        match self.profile.placement.policy().choose(&self.rooms, &want) {
            Choice::Host(host) => Room::Here(host),
            Choice::NewHost if self.evict_before_growing(owners, memory) => Room::Later,
            Choice::NewHost => Room::Here(self.open_host(owners, memory)),
            Choice::Nowhere if self.evict_for(owners, memory) => Room::Later,
            Choice::Nowhere if growth == Growth::Impossible && self.empty_for(memory) => {
                if self.growth(memory) == Growth::Possible {
                    Room::Here(self.open_host(owners, memory))
                } else {
                    Room::Later
                }
            }
            Choice::Nowhere => Room::Nowhere(self.fullness(memory, growth)),
        }
    }

    pub(crate) fn growth(&self, memory: MemoryMib) -> Growth {
        let (size, _) = self.profile.hosts.size_for(memory);
        let fits_ahead = size == self.profile.hosts.memory && !self.machine.ahead.is_empty();
        let shortage = self.shortage_mib(size);
        if fits_ahead || shortage == 0 || self.spare(shortage).is_some() {
            Growth::Possible
        } else {
            Growth::Impossible
        }
    }

    /// Hosts without instances that can be given back at once to free that much, if there are enough.
    fn spare(&self, shortage_mib: u64) -> Option<Vec<HostId>> {
        let mut freed = 0;
        let mut spare = Vec::new();
        let ahead = self.machine.ahead.iter().copied();
        for host in self.rooms.empties().chain(ahead).take(HOSTS_SEARCHED) {
            if let Some(it) = self.hosts.get(host)
                && it.phase == HostPhase::Ready
            {
                freed += u64::from(it.memory.0);
                spare.push(host);
            }
            if freed >= shortage_mib {
                return Some(spare);
            }
        }
        None
    }

    /// A host for one of these owners that was started ahead, or a new one.
    pub(crate) fn open_host(&mut self, owners: Owners, memory: MemoryMib) -> HostId {
        let owner = self.owner_of_new(owners);
        let (size, milli_cpus) = self.profile.hosts.size_for(memory);
        if size == self.profile.hosts.memory {
            let ready = |host: &&HostId| {
                self.hosts.get(**host).is_some_and(|it| it.phase == HostPhase::Ready)
            };
            let ahead = &self.machine.ahead;
            if let Some(&host) = ahead.iter().find(ready).or(ahead.first()) {
                self.claim(host, owner);
                return host;
            }
        }
        let shortage = self.shortage_mib(size);
        if shortage > 0 {
            for host in self.spare(shortage).unwrap_or_default() {
                self.stop_host(host);
            }
        }
        self.start_host(Some(owner), size, milli_cpus)
    }

    /// Whose a new host will be: where hosts are partly shared, everybody's by the profile's chance.
    fn owner_of_new(&mut self, owners: Owners) -> Owner {
        match owners.also {
            Some(other) => {
                let lot = Lot::of(self.seed, self.sequence());
                if lot.happens(self.profile.hosts.shared_share()) { other } else { owners.own }
            }
            None => owners.own,
        }
    }

    /// Where keep-alive lasts until memory is needed: makes room on hosts that are there, if none fits and one can.
    fn evict_before_growing(&mut self, owners: Owners, memory: MemoryMib) -> bool {
        self.profile.keep_alive.pressure().is_some()
            && (self.company() == Company::Refused || self.rooms.roomiest(owners, memory).is_none())
            && self.evict_for(owners, memory)
    }

    /// Evicts idle instances from one of the owners' hosts until it will have room, unless stopping ones leave enough.
    fn evict_for(&mut self, owners: Owners, memory: MemoryMib) -> bool {
        let hosts = || self.rooms.of(owners).rev().take(HOSTS_SEARCHED);
        if hosts().any(|host| self.room_soon(host) >= memory) {
            return true;
        }
        let can = |host: &HostId| self.room_at_most(*host) >= memory;
        let least_recent = || {
            let idle = self.machine.idle.iter().take(HOSTS_SEARCHED);
            idle.filter_map(|&(_, instance)| Some(self.instances.get(instance)?.host))
        };
        let own = |host: &HostId| {
            let owner = self.hosts.get(*host).and_then(|it| it.owner);
            owner == Some(owners.own) || (owner.is_some() && owner == owners.also)
        };
        let host = least_recent().filter(own).find(can).or_else(|| hosts().find(can));
        let Some(host) = host else { return false };
        for instance in self.least_recently_idle(host) {
            if self.room_soon(host) >= memory {
                break;
            }
            self.reclaim(instance, StopReason::Evicted);
        }
        true
    }

    /// Whether instances can be together on a host.
    fn company(&self) -> Company {
        self.profile.placement.policy().company()
    }

    /// Memory that a host will have for a new instance when those that are stopping are gone.
    fn room_soon(&self, host: HostId) -> MemoryMib {
        match self.hosts.get(host) {
            Some(it) if it.phase == HostPhase::Leaving => MemoryMib(0),
            Some(it) if self.company() == Company::Welcome => it.free() + it.stopping,
            Some(it) if it.used == it.stopping => it.memory,
            _ => MemoryMib(0),
        }
    }

    /// Memory that it could have if idle ones went as well.
    fn room_at_most(&self, host: HostId) -> MemoryMib {
        match self.hosts.get(host) {
            Some(it) if it.phase == HostPhase::Leaving => MemoryMib(0),
            Some(it) if self.company() == Company::Welcome => {
                it.free() + it.stopping + it.idle_memory
            }
            Some(it) if it.used == it.stopping + it.idle_memory => it.memory,
            _ => MemoryMib(0),
        }
    }

    /// Empties hosts of anybody on which nothing runs, until the machine will have room for one of this size.
    fn empty_for(&mut self, memory: MemoryMib) -> bool {
        let (size, _) = self.profile.hosts.size_for(memory);
        let mut missing = self.shortage_mib(size);
        let mut condemned = Vec::new();
        for (_, it) in self.hosts.iter().take(HOSTS_SEARCHED) {
            if it.phase == HostPhase::Leaving {
                missing = missing.saturating_sub(u64::from(it.memory.0));
            }
        }
        for (host, it) in self.hosts.iter().take(HOSTS_SEARCHED) {
            if missing > 0 && it.is_quiet() {
                missing = missing.saturating_sub(u64::from(it.memory.0));
                condemned.push(host);
            }
        }
        if missing > 0 {
            return false;
        }
        for host in condemned {
            self.condemn(host);
        }
        true
    }

    /// The machine is really short of memory: one idle instance goes, the owner's own first.
    fn squeeze(&mut self, owners: Owners, free: MemoryMib) -> Room {
        let idle = |host: &HostId| self.hosts.get(*host).is_some_and(|it| it.idle > 0);
        let own = self.rooms.of(owners).rev().take(HOSTS_SEARCHED).find(idle);
        let other = || self.hosts.iter().map(|(host, _)| host).take(HOSTS_SEARCHED).find(idle);
        if let Some(host) = own.or_else(other) {
            let instance = self.least_recently_idle(host).first().copied();
            if let Some(instance) = instance {
                self.reclaim(instance, StopReason::Evicted);
            }
            return Room::Later;
        }
        let mut searched = self.hosts.iter().take(HOSTS_SEARCHED);
        if searched.any(|(_, it)| it.stopping > MemoryMib(0)) {
            return Room::Later;
        }
        let reserve = self.profile.limits.memory_reserve;
        Room::Nowhere(format!(
            "the machine has {free} of memory free, and limits.memory_reserve_mib keeps {reserve} back"
        ))
    }

    fn least_recently_idle(&self, host: HostId) -> Vec<InstanceId> {
        let mut idle = self.idle_on(host);
        idle.sort_unstable_by_key(|&(_, sequence, _)| sequence);
        idle.into_iter().map(|(_, _, instance)| instance).collect()
    }

    fn fullness(&self, memory: MemoryMib, growth: Growth) -> String {
        let (size, _) = self.profile.hosts.size_for(memory);
        match growth {
            Growth::Possible => {
                format!("no host has {memory} free, and placement.max_hosts allows no other")
            }
            Growth::Impossible => format!(
                "hosts have {} MiB of at most {} MiB (limits.memory_mib times hosts.overcommit), \
                 no room for one of {size}",
                self.machine.used_mib,
                self.limit_mib(),
            ),
        }
    }
}
