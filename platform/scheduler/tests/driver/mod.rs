//! A driver that carries nothing out: it keeps its own books of what it was told, and checks each action against them.
//!
//! Deliberately knows nothing of the scheduler's state; it sees what any driver sees.

mod check;
mod hold;
mod isolation;
mod note;
mod provision;
mod quota;
mod runs;

use model::{
    FunctionId, HostId, InstanceId, InvocationId, Isolation, MemoryMib, Span, TenantId, Time,
};
use scheduler::policy::{KeepAlive, Placement};
use scheduler::{
    Action, Epoch, Event, FunctionSettings, HostPhase, InstancePhase, InstanceView, Profile,
    ProvisionStatus, Purpose, Rejection, Scheduler, Sharing, StopReason,
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
    parties: Vec<FunctionSettings>,
    instances: BTreeSet<InstanceId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Starting,
    Busy(InvocationId, Time, Span),
    /// Where instances take more than one: what it runs is in [`Driver::runs`].
    Serving,
    Finishing(Time),
    Idle {
        since: Time,
        asked_to_rest: bool,
    },
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
    purpose: Purpose,
    /// Its function was removed since, or its isolation has changed.
    orphan: bool,
    /// Invocations that it took while it was outdated.
    outdated: u32,
}

/// A request on an instance that takes more than one at once.
#[derive(Clone, Copy, Debug)]
struct RunBook {
    invocation: InvocationId,
    since: Time,
    timeout: Span,
    /// It was answered; its place is not free yet.
    finishing: bool,
}

/// What an instance runs that takes more than one request at once.
#[derive(Clone, Debug, Default)]
struct RunsBook {
    runs: Vec<RunBook>,
    /// One ran into its deadline.
    drains: bool,
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
    /// How often its function had been removed when it came.
    life: u32,
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
    runs: BTreeMap<InstanceId, RunsBook>,
    invocations: BTreeMap<InvocationId, InvocationBook>,
    settings: BTreeMap<(FunctionId, Epoch), FunctionSettings>,
    /// What is reserved for the versions of a function.
    reserved: BTreeMap<(TenantId, FunctionId), u32>,
    /// How often a function was removed.
    lives: BTreeMap<FunctionId, u32>,
    /// Instances that functions are to have ready.
    provisioned: BTreeMap<FunctionId, u32>,
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
            runs: BTreeMap::new(),
            invocations: BTreeMap::new(),
            settings: BTreeMap::new(),
            reserved: BTreeMap::new(),
            lives: BTreeMap::new(),
            provisioned: BTreeMap::new(),
            next_invocation: 0,
        }
    }

    /// Lets time pass. Comes punctually to each timeout, so that its books know when each action came.
    pub fn wait(&mut self, span: Span) {
        let end = self.now + span;
        while let Some(due) = self.scheduler.next_timeout().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            self.hand_in(Event::Timeout);
        }
        self.now = end;
        self.hand_in(Event::Timeout);
    }

    /// Hands an event in, what is due before it first, and returns the actions that came of it.
    pub fn send(&mut self, event: Event) -> Vec<Action> {
        if self.scheduler.next_timeout().is_some_and(|due| due <= self.now) {
            self.hand_in(Event::Timeout);
        }
        self.hand_in(event)
    }

    fn hand_in(&mut self, event: Event) -> Vec<Action> {
        self.note_overdue();
        self.note(&event);
        self.events.push((self.now, event.clone()));
        self.scheduler.handle(self.now, event.clone());
        let mut actions = Vec::new();
        while let Some(action) = self.scheduler.poll_action() {
            self.check(&action);
            actions.push(action);
        }
        self.actions.extend(actions.iter().cloned());
        self.check_books();
        if let Event::Invoked { invocation, function } = event
            && self.invocations[&invocation].stage != Stage::Ended
        {
            self.check_admitted(function);
        }
        actions
    }

    /// Deploys or changes a function that has no other version.
    pub fn deploy(&mut self, function: u64, settings: FunctionSettings) {
        let group = FunctionId(function);
        self.deploy_version(function, FunctionSettings { group, ..settings });
    }

    /// Deploys or changes a version of the function that its settings name.
    pub fn deploy_version(&mut self, function: u64, settings: FunctionSettings) {
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

    /// Updates a function that is there.
    pub fn change(
        &mut self,
        function: u64,
        how: impl FnOnce(FunctionSettings) -> FunctionSettings,
    ) {
        if let Some((_, settings)) = self.functions.get(&FunctionId(function)).cloned() {
            self.deploy_version(function, how(settings));
        }
    }

    /// Changes the reserved concurrency of a function with one of its versions, and nothing else.
    pub fn reserve(&mut self, function: u64, reserved_concurrency: Option<u32>) {
        let function = FunctionId(function);
        if let Some((epoch, settings)) = self.functions.get(&function).cloned() {
            let settings = FunctionSettings { reserved_concurrency, ..settings };
            self.send(Event::ConfigChanged { function, epoch, settings });
        }
    }

    /// Changes the isolation of a function, and nothing else.
    pub fn isolate(&mut self, function: u64, isolation: Option<Isolation>) {
        let function = FunctionId(function);
        if let Some((epoch, settings)) = self.functions.get(&function).cloned() {
            let settings = FunctionSettings { isolation, ..settings };
            self.send(Event::ConfigChanged { function, epoch, settings });
        }
    }

    /// Changes the reserved concurrency of all versions of a function.
    pub fn limit(&mut self, tenant: TenantId, group: u64, reserved_concurrency: Option<u32>) {
        let group = FunctionId(group);
        self.send(Event::LimitsChanged { tenant, group, reserved_concurrency });
    }

    /// Changes how many instances of a function are to be ready.
    pub fn provision(&mut self, function: u64, count: u32) {
        self.send(Event::ProvisionedChanged { function: FunctionId(function), count });
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
        if let Some(index) = self.open.iter().position(|other| *other == open) {
            self.open.remove(index);
        }
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
