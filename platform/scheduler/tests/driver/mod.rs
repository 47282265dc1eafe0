//! A driver that carries nothing out: it keeps its own books of what it was told, and checks each action against them.
//!
//! Deliberately knows nothing of the scheduler's state; it sees what any driver sees.

use model::{
    FunctionId, HostId, InstanceId, InvocationId, MemoryMib, RoleId, Span, TenantId, Time,
};
use scheduler::policy::{KeepAlive, Placement};
use scheduler::{
    Action, Epoch, Event, FunctionSettings, HostPhase, InstancePhase, InstanceView, Profile,
    Rejection, Scheduler, Sharing, StopReason,
};
use std::collections::{BTreeMap, BTreeSet};

/// How long an instance that has answered counts as one that will soon be idle: the scheduler's own figure.
const GRACE: Span = Span::from_millis(5);

/// Something that the driver was asked for and has not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Open {
    Host(HostId),
    Start(InstanceId),
    Run(InstanceId, InvocationId),
    Finish(InstanceId),
    Rest(InstanceId),
    Reclaim(InstanceId),
}

/// How an open request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Well,
    Fails,
    Dies,
}

#[derive(Clone, Debug)]
struct HostBook {
    memory: MemoryMib,
    /// Whose it was said to be when it was asked for.
    tenant: Option<TenantId>,
    ready: bool,
    owners: BTreeSet<(TenantId, RoleId)>,
    instances: BTreeSet<InstanceId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Starting,
    Busy(InvocationId, Time, Span),
    Finishing(Time),
    Idle { since: Time, asked_to_rest: bool },
    Stopping,
}

#[derive(Clone, Copy, Debug)]
struct InstanceBook {
    function: FunctionId,
    epoch: Epoch,
    host: HostId,
    memory: MemoryMib,
    doing: Doing,
    /// When it was ready.
    born: Time,
    /// Its function was removed since.
    orphan: bool,
    /// Invocations that it took while it was outdated.
    outdated: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waiting(Time),
    Running,
    Ended,
}

#[derive(Clone, Copy, Debug)]
struct InvocationBook {
    function: FunctionId,
    stage: Stage,
    bills: u32,
}

/// The scheduler and the driver's books.
pub struct Driver {
    pub scheduler: Scheduler,
    pub now: Time,
    /// Everything that was handed in, for a replay.
    pub events: Vec<(Time, Event)>,
    /// Everything that came out.
    pub actions: Vec<Action>,
    /// Requests without an answer, in order.
    pub open: Vec<Open>,
    profile: Profile,
    functions: BTreeMap<FunctionId, (Epoch, FunctionSettings)>,
    /// The version before, and until when the profile lets it be used.
    past: BTreeMap<FunctionId, (Epoch, Time)>,
    hosts: BTreeMap<HostId, HostBook>,
    instances: BTreeMap<InstanceId, InstanceBook>,
    invocations: BTreeMap<InvocationId, InvocationBook>,
    settings: BTreeMap<(FunctionId, Epoch), FunctionSettings>,
    next_invocation: u64,
}

impl Driver {
    pub fn new(profile: Profile, seed: u64) -> Self {
        Self {
            scheduler: Scheduler::new(profile.clone(), seed),
            now: Time::ZERO,
            events: Vec::new(),
            actions: Vec::new(),
            open: Vec::new(),
            profile,
            functions: BTreeMap::new(),
            past: BTreeMap::new(),
            hosts: BTreeMap::new(),
            instances: BTreeMap::new(),
            invocations: BTreeMap::new(),
            settings: BTreeMap::new(),
            next_invocation: 0,
        }
    }

    /// Lets time pass.
    pub fn wait(&mut self, span: Span) {
        self.now += span;
        self.send(Event::Timeout);
    }

    /// Hands an event in, what is due before it first, and returns the actions that came of it.
    pub fn send(&mut self, event: Event) -> Vec<Action> {
        if self.scheduler.next_timeout().is_some_and(|due| due <= self.now) {
            self.hand_in(Event::Timeout);
        }
        self.hand_in(event)
    }

    fn hand_in(&mut self, event: Event) -> Vec<Action> {
        self.note(&event);
        self.events.push((self.now, event.clone()));
        self.scheduler.handle(self.now, event);
        let mut actions = Vec::new();
        while let Some(action) = self.scheduler.poll_action() {
            self.check(&action);
            actions.push(action);
        }
        self.actions.extend(actions.iter().cloned());
        self.check_books();
        actions
    }

    /// Deploys or changes a function.
    pub fn deploy(&mut self, function: u64, settings: FunctionSettings) {
        let function = FunctionId(function);
        let last =
            self.settings.keys().rev().find(|key| key.0 == function).map_or(0, |key| key.1.0);
        let epoch = Epoch(last + 1);
        if self.functions.contains_key(&function) {
            self.send(Event::ConfigChanged { function, epoch, settings });
        } else {
            self.send(Event::Deployed { function, epoch, settings });
        }
    }

    /// Changes the reserved concurrency of a function, and nothing else.
    pub fn reserve(&mut self, function: u64, reserved_concurrency: Option<u32>) {
        let function = FunctionId(function);
        if let Some((epoch, settings)) = self.functions.get(&function).cloned() {
            let settings = FunctionSettings { reserved_concurrency, ..settings };
            self.send(Event::ConfigChanged { function, epoch, settings });
        }
    }

    pub fn remove(&mut self, function: u64) {
        self.send(Event::Removed { function: FunctionId(function) });
    }

    /// Invokes a function under a fresh number.
    pub fn invoke(&mut self, function: u64) -> InvocationId {
        self.next_invocation += 1;
        let invocation = InvocationId(self.next_invocation);
        self.send(Event::Invoked { invocation, function: FunctionId(function) });
        invocation
    }

    /// Answers one open request.
    pub fn answer(&mut self, open: Open, answer: Answer) {
        self.open.retain(|other| *other != open);
        let reason = || "as planned".to_owned();
        self.send(match (open, answer) {
            (Open::Host(host), Answer::Well) => Event::HostReady { host },
            (Open::Host(host), _) => Event::HostFailed { host, reason: reason() },
            (Open::Start(instance), Answer::Well) => Event::Started { instance },
            (Open::Start(instance), Answer::Fails) => {
                Event::StartFailed { instance, reason: reason() }
            }
            (Open::Run(instance, invocation), Answer::Well) => {
                Event::Finished { instance, invocation }
            }
            (Open::Finish(instance), Answer::Well) => Event::Idle { instance },
            (Open::Rest(instance), Answer::Well) => Event::Rested { instance },
            (Open::Reclaim(instance), _) => Event::Reclaimed { instance },
            (Open::Start(instance) | Open::Run(instance, _), _) => Event::Died { instance },
            (Open::Finish(instance) | Open::Rest(instance), _) => Event::Died { instance },
        });
    }

    /// Answers everything well until nothing is open.
    pub fn answer_all(&mut self) {
        while let Some(&open) = self.open.first() {
            self.answer(open, Answer::Well);
        }
    }

    /// Hosts that are there, as the driver was told.
    pub fn hosts(&self) -> Vec<HostId> {
        self.hosts.keys().copied().collect()
    }

    /// Instances whose start was asked for and that are not gone.
    pub fn instances(&self) -> Vec<InstanceId> {
        self.instances.keys().copied().collect()
    }

    /// Invocations that have no outcome yet.
    pub fn unfinished(&self) -> Vec<InvocationId> {
        let unfinished = self.invocations.iter().filter(|(_, it)| it.stage != Stage::Ended);
        unfinished.map(|(invocation, _)| *invocation).collect()
    }

    /// Notes what the driver itself says.
    fn note(&mut self, event: &Event) {
        match event {
            Event::Deployed { function, epoch, settings }
            | Event::ConfigChanged { function, epoch, settings } => {
                self.note_settings(*function, *epoch, settings, event);
            }
            Event::Removed { function } => {
                self.functions.remove(function);
                self.past.remove(function);
                let of = self.instances.values_mut().filter(|it| it.function == *function);
                of.for_each(|it| it.orphan = true);
            }
            Event::HostReady { host } => {
                if let Some(it) = self.hosts.get_mut(host) {
                    it.ready = true;
                }
            }
            Event::HostFailed { host, .. } => {
                if self.hosts.get(host).is_some_and(|it| !it.ready) {
                    self.hosts.remove(host);
                }
            }
            Event::HostLost { host } => self.note_lost(*host),
            Event::Invoked { invocation, function } => self.note_invoked(*invocation, *function),
            Event::Cancelled { invocation } => {
                if let Some(it) = self.invocations.get_mut(invocation)
                    && matches!(it.stage, Stage::Waiting(_))
                {
                    it.stage = Stage::Ended;
                }
            }
            _ => self.note_instance(event),
        }
    }

    fn note_settings(
        &mut self,
        function: FunctionId,
        epoch: Epoch,
        settings: &FunctionSettings,
        event: &Event,
    ) {
        let known = self.functions.get(&function);
        if known.is_none() && matches!(event, Event::ConfigChanged { .. }) {
            return;
        }
        if known.is_some_and(|(now, _)| *now > epoch) {
            return;
        }
        if let (Some((now, _)), Some(updates)) = (known, self.profile.updates)
            && *now < epoch
        {
            self.past.insert(function, (*now, self.now + updates.window));
        }
        self.functions.insert(function, (epoch, settings.clone()));
        self.settings.insert((function, epoch), settings.clone());
    }

    fn note_invoked(&mut self, invocation: InvocationId, function: FunctionId) {
        let stage = Stage::Waiting(self.now);
        self.invocations.entry(invocation).or_insert(InvocationBook { function, stage, bills: 0 });
    }

    fn note_lost(&mut self, host: HostId) {
        let Some(gone) = self.hosts.remove(&host) else { return };
        for instance in gone.instances {
            if let Some(it) = self.instances.remove(&instance) {
                self.close(instance);
                if let Doing::Busy(invocation, ..) = it.doing {
                    self.end(invocation);
                }
            }
        }
        self.open.retain(|open| *open != Open::Host(host));
    }

    fn note_instance(&mut self, event: &Event) {
        let now = self.now;
        let (instance, next) = match *event {
            Event::Started { instance } => {
                (instance, Doing::Idle { since: now, asked_to_rest: false })
            }
            Event::Finished { instance, .. } => (instance, Doing::Finishing(now)),
            Event::Idle { instance } => {
                (instance, Doing::Idle { since: now, asked_to_rest: false })
            }
            Event::StartFailed { instance, .. } | Event::Died { instance } => {
                (instance, Doing::Stopping)
            }
            Event::Reclaimed { instance } => (instance, Doing::Stopping),
            _ => return,
        };
        let Some(it) = self.instances.get_mut(&instance) else { return };
        let was = it.doing;
        match (event, was) {
            (Event::Started { .. }, Doing::Starting) => {
                (it.doing, it.born) = (next, now);
                self.close(instance);
            }
            (Event::StartFailed { .. }, Doing::Starting) => self.close(instance),
            (Event::Finished { invocation, .. }, Doing::Busy(runs, ..)) if runs == *invocation => {
                it.doing = next;
                self.close(instance);
                self.open.push(Open::Finish(instance));
                self.end(runs);
            }
            (Event::Idle { .. }, Doing::Finishing(_)) => {
                it.doing = next;
                self.close(instance);
            }
            (Event::Died { .. }, Doing::Busy(runs, ..)) => {
                self.end(runs);
                self.close(instance);
            }
            (Event::Died { .. }, Doing::Stopping) => {}
            (Event::Died { .. }, _) => self.close(instance),
            (Event::Reclaimed { .. }, Doing::Stopping) => {
                let host = it.host;
                self.instances.remove(&instance);
                if let Some(host) = self.hosts.get_mut(&host) {
                    host.instances.remove(&instance);
                }
            }
            _ => {}
        }
    }

    /// Checks an action against the books, and notes it.
    fn check(&mut self, action: &Action) {
        match *action {
            Action::StartHost { host, memory, tenant, .. } => {
                assert!(self.profile.hosts.sharing != Sharing::Shared || tenant.is_none());
                let book = HostBook {
                    memory,
                    tenant,
                    ready: false,
                    owners: BTreeSet::new(),
                    instances: BTreeSet::new(),
                };
                assert!(self.hosts.insert(host, book).is_none(), "{host} is started once");
                self.open.push(Open::Host(host));
            }
            Action::StopHost { host } => {
                let book = self.hosts.remove(&host).expect("a host that is there");
                assert!(book.instances.is_empty(), "{host} is stopped with {:?}", book.instances);
                assert!(book.ready, "{host} is stopped before it is ready");
            }
            Action::Start { instance, host, function, epoch } => {
                self.check_start(instance, host, function, epoch);
            }
            Action::Dispatch { instance, invocation, epoch, .. } => {
                self.check_dispatch(instance, invocation, epoch);
            }
            Action::Rest { instance } => {
                let it = self.instances.get_mut(&instance).expect("an instance that is there");
                match &mut it.doing {
                    Doing::Idle { asked_to_rest, .. } if !*asked_to_rest => *asked_to_rest = true,
                    other => panic!("{instance} rests while {other:?}"),
                }
                self.open.push(Open::Rest(instance));
            }
            Action::Reclaim { instance, reason } => self.check_reclaim(instance, reason),
            Action::Reject { invocation, ref reason } => {
                let it = self.invocations.get_mut(&invocation).expect("an invocation that came");
                assert!(matches!(it.stage, Stage::Waiting(_)), "{invocation} has two outcomes");
                it.stage = Stage::Ended;
                if *reason == Rejection::NoFunction {
                    assert!(!self.functions.contains_key(&it.function), "its function is there");
                }
            }
            Action::Expire { invocation, instance, timeout } => {
                let it = &self.instances[&instance];
                let Doing::Busy(runs, since, limit) = it.doing else {
                    panic!("{instance} expires while {:?}", it.doing)
                };
                assert_eq!((runs, limit), (invocation, timeout));
                assert!(since + limit <= self.now, "{invocation} expires early");
                self.end(invocation);
            }
            Action::Bill { invocation, duration, billed, .. } => {
                let it = self.invocations.get_mut(&invocation).expect("an invocation that came");
                it.bills += 1;
                assert_eq!((it.stage, it.bills), (Stage::Ended, 1), "{invocation} is billed once");
                assert!(billed >= duration);
            }
        }
    }

    fn check_start(
        &mut self,
        instance: InstanceId,
        host: HostId,
        function: FunctionId,
        epoch: Epoch,
    ) {
        let settings = self.settings[&(function, epoch)].clone();
        assert!(self.is_used(function, epoch), "{instance} starts outdated");
        let book = self.hosts.get_mut(&host).expect("a host that is there");
        assert!(book.ready, "{instance} starts on {host} before that is ready");
        book.instances.insert(instance);
        book.owners.insert((settings.tenant, settings.role));
        let tenants: BTreeSet<_> = book.owners.iter().map(|owner| owner.0).collect();
        match self.profile.hosts.sharing {
            Sharing::Shared => {}
            Sharing::PartlyShared { .. } => {
                assert!(book.tenant.is_none_or(|it| it == settings.tenant), "{host} is another's");
            }
            Sharing::PerTenant => assert_eq!(tenants.len(), 1, "{host} is one tenant's"),
            Sharing::PerRole => assert_eq!(book.owners.len(), 1, "{host} is one role's"),
        }
        let memory = settings.memory;
        let (doing, born) = (Doing::Starting, self.now);
        let (orphan, outdated) = (false, 0);
        let it = InstanceBook { function, epoch, host, memory, doing, born, orphan, outdated };
        assert!(self.instances.insert(instance, it).is_none(), "{instance} starts once");
        let book = &self.hosts[&host];
        if matches!(self.profile.placement, Placement::OnePerHost(_)) {
            assert_eq!(book.instances.len(), 1, "{host} is one instance's");
        }
        let used: MemoryMib = book.instances.iter().map(|it| self.instances[it].memory).sum();
        assert!(used <= book.memory, "{host} has {used} of {}", book.memory);
        self.open.push(Open::Start(instance));
    }

    /// Whether a version may be used now: the present one, or for a while the one before.
    fn is_used(&self, function: FunctionId, epoch: Epoch) -> bool {
        let past = self.past.get(&function);
        self.functions.get(&function).is_some_and(|it| it.0 == epoch)
            || past.is_some_and(|&(before, until)| before == epoch && self.now < until)
    }

    fn check_dispatch(&mut self, instance: InstanceId, invocation: InvocationId, epoch: Epoch) {
        let now = self.now;
        let function = self.instances[&instance].function;
        assert!(self.is_used(function, epoch), "{invocation} runs old code");
        let it = self.instances.get_mut(&instance).expect("an instance that is there");
        assert!(matches!(it.doing, Doing::Idle { .. }), "{instance} takes two: {:?}", it.doing);
        let current = self.functions.get(&it.function).expect("a function that is there");
        assert_eq!(epoch, it.epoch);
        it.outdated += u32::from(epoch != current.0);
        assert!(it.outdated <= 1, "{instance} runs old code twice");
        assert!(!it.orphan, "{invocation} runs on an instance of a function that was removed");
        if let Some(cap) = self.profile.lifetime_cap {
            assert!(now < it.born + cap, "{instance} is used beyond its lifetime");
        }
        it.doing = Doing::Busy(invocation, now, current.1.timeout);
        let book = self.invocations.get_mut(&invocation).expect("an invocation that came");
        assert!(matches!(book.stage, Stage::Waiting(_)), "{invocation} runs twice");
        assert_eq!(book.function, it.function);
        book.stage = Stage::Running;
        self.open.retain(|open| *open != Open::Rest(instance));
        self.open.push(Open::Run(instance, invocation));
    }

    fn check_reclaim(&mut self, instance: InstanceId, reason: StopReason) {
        self.close(instance);
        let it = self.instances.get_mut(&instance).expect("an instance that is there");
        assert!(it.doing != Doing::Stopping, "{instance} is reclaimed twice");
        let evictable = matches!(it.doing, Doing::Idle { .. });
        match reason {
            StopReason::IdleLimit | StopReason::Halving | StopReason::Evicted => {
                assert!(evictable, "{instance} goes for {reason:?} while {:?}", it.doing);
                let stays = matches!(self.profile.keep_alive, KeepAlive::MemoryPressure(_));
                assert!(!stays || reason == StopReason::Evicted, "{instance} goes for {reason:?}");
            }
            StopReason::Outdated => {
                let current = self.functions[&it.function].0 == it.epoch && !it.orphan;
                assert!(!current, "{instance} is not outdated");
            }
            _ => {}
        }
        it.doing = Doing::Stopping;
        self.open.push(Open::Reclaim(instance));
    }

    /// What must hold after each event.
    fn check_books(&self) {
        let keep = self.profile.keep_alive.longest();
        for (instance, it) in &self.instances {
            match it.doing {
                Doing::Idle { since, asked_to_rest } => {
                    if let Some(keep) = keep {
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
    }

    /// No function has more instances than it may, no owner more hosts, and nothing idle exceeds the pool.
    fn check_scale(&self) {
        let live = self.instances.values().filter(|it| it.doing != Doing::Stopping);
        let pool = match self.profile.keep_alive {
            KeepAlive::MemoryPressure(it) => it.pool,
            _ => None,
        };
        if let Some(pool) = pool
            && self.instances.values().any(|it| matches!(it.doing, Doing::Idle { .. }))
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
            let sufficient = it.queued <= it.starting as usize + it.coming;
            let limited = it.live >= self.profile.scaling.limit(it.in_flight);
            assert!(sufficient || it.waits_for_room || limited, "{it:?} starts too few");
            assert!(it.queued == 0 || it.live > 0 || it.waits_for_room, "{it:?} waits for ever");
            let stopping = self.instances.values().any(|it| it.doing == Doing::Stopping);
            assert!(!it.waits_for_room || stopping, "{it:?} waits for nothing");
            assert!(it.queued == 0 || it.idle == 0, "{it:?} lets an idle instance wait");
        }
    }

    fn end(&mut self, invocation: InvocationId) {
        let it = self.invocations.get_mut(&invocation).expect("an invocation that came");
        assert_eq!(it.stage, Stage::Running, "{invocation} ends once, after it ran");
        it.stage = Stage::Ended;
    }

    /// Forgets what was open about an instance.
    fn close(&mut self, instance: InstanceId) {
        self.open.retain(|open| match *open {
            Open::Start(it) | Open::Run(it, _) | Open::Finish(it) => it != instance,
            Open::Rest(it) | Open::Reclaim(it) => it != instance,
            Open::Host(_) => true,
        });
    }
}
