//! The live driver of the scheduler: what it decides is carried out on real sandboxes, in real time.
//!
//! Decides nothing itself. One lock holds the scheduler and what belongs to it; nothing slow happens under it. Here are
//! the state and the turns of the scheduler; `instances` carries out what concerns hosts and instances, `dispatch` what
//! concerns invocations, and `engine` is what the gateway sees.

mod dispatch;
mod engine;
mod events;
mod group;
mod instances;
mod ledger;
mod scrape;

use crate::busy_poll::BusyPoll;
use crate::journal::Journal;
use catalog::Function;
use courier::Courier;
use gateway::{Invoke, Invoked, SharedSettings};
pub(crate) use ledger::Ledger;
use ledger::{Finished, How, InstanceLog};
use model::{
    FunctionId, HostId, InstanceId, InvocationId, MemoryMib, RoleId, Span, TenantId, Time,
};
use sandbox::runtime::ReservedError;
use sandbox::{Kind, Settings, StartError};
use scheduler::{Action, Epoch, Event, HostLoad, HostPhase, HostView, Profile, Scheduler};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot};
use worker::{Command, Handle};

/// A platform that runs.
pub struct Platform<K: Kind>(Arc<Shared<K>>);

struct Shared<K: Kind> {
    kind: Arc<K>,
    profile: Profile,
    began: Instant,
    state: Mutex<State<K>>,
    ledger: Ledger,
    /// Who keeps events of asynchronous invocations; None before [`Platform::keep_events`] and after the end.
    courier: Mutex<Option<Courier<events::EventRunner<K>>>>,
    /// Woken when the scheduler wants to be woken earlier than the timer is set.
    timer: Notify,
    /// Woken when an instance is gone, for [`Self::drain`].
    gone: Notify,
    busy_poll: BusyPoll,
}

struct State<K: Kind> {
    scheduler: Scheduler,
    armed: Time,
    functions: HashMap<FunctionId, Arc<Deployed<K>>>,
    instances: HashMap<InstanceId, Running<K>>,
    pending: HashMap<InvocationId, Pending>,
    roles: HashMap<(TenantId, String), RoleId>,
    /// What the versions of functions share, by function.
    shared: HashMap<FunctionId, SharedSettings>,
    /// Instances that versions are to have ready.
    provisioned: HashMap<FunctionId, u32>,
    next_invocation: u64,
    journal: Option<Journal>,
}

/// One state of a function, ready to start from.
struct Deployed<K: Kind> {
    epoch: Epoch,
    function: Arc<Function>,
    image: Arc<K::Image>,
    settings: Arc<Settings>,
}

/// An instance that the scheduler knows.
struct Running<K: Kind> {
    handle: Handle,
    deployed: Arc<Deployed<K>>,
    init: Init,
    /// How many have registered.
    extensions: usize,
    invocation: Option<InvocationId>,
    log: Arc<InstanceLog>,
    /// CPU time that is accounted for.
    cpu_seen: Span,
    /// When its start was ordered.
    began: Instant,
    /// An invocation that has its answer, and whose report comes once the instance has come to rest.
    finished: Option<Box<Finished>>,
}

/// How far the init of an instance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Init {
    /// It took so long, before any invocation.
    Done(Span),
    /// It failed, and is tried again in the first invocation.
    Failed,
    /// It succeeded in an invocation.
    Again,
}

impl Init {
    /// What of it an invocation waited for before it began.
    fn before(self) -> Option<Span> {
        match self {
            Self::Done(init) => Some(init),
            Self::Failed | Self::Again => None,
        }
    }
}

/// Why an instance did not start, and where its lines are.
struct StartFailure {
    error: StartError,
    log: Option<Arc<InstanceLog>>,
}

/// An invocation that has no answer yet.
struct Pending {
    invoke: Invoke,
    answer: oneshot::Sender<Invoked>,
    arrived: Time,
    dispatched: Option<Time>,
    init: Option<Span>,
}

/// What one turn of the scheduler left for those who caused it.
#[derive(Default)]
struct Turn {
    bill: Option<Billed>,
}

struct Billed {
    invocation: InvocationId,
    billed: Span,
    /// What of it is init.
    init: Option<Span>,
}

impl<K: Kind> Platform<K> {
    /// A platform without functions that follows `profile`.
    pub fn new(
        kind: K,
        profile: Profile,
        seed: u64,
        (ledger, journal): (Ledger, Option<Journal>),
    ) -> Self {
        let shared = Arc::new(Shared {
            kind: Arc::new(kind),
            began: Instant::now(),
            state: Mutex::new(State {
                scheduler: Scheduler::new(profile.clone(), seed),
                armed: Time::ZERO,
                functions: HashMap::new(),
                instances: HashMap::new(),
                pending: HashMap::new(),
                roles: HashMap::new(),
                shared: HashMap::new(),
                provisioned: HashMap::new(),
                next_invocation: 0,
                journal,
            }),
            profile,
            ledger,
            courier: Mutex::new(None),
            timer: Notify::new(),
            gone: Notify::new(),
            busy_poll: BusyPoll::new(),
        });
        tokio::spawn(Arc::clone(&shared).keep_time());
        let watched = Arc::clone(&shared);
        tokio::spawn(async move { watched.busy_poll.watch().await });
        Self(shared)
    }

    /// Ends every instance and waits, `limit` at most, until nothing is left of them; then ends the sandboxes' owner.
    pub async fn close(&self, limit: Duration) {
        self.close_events(limit).await;
        self.0.drain(limit).await;
        self.0.kind.close().await;
        self.0.ledger.close();
    }

    /// Hosts that are ready and have instances.
    pub fn hosts_in_use(&self) -> HashSet<HostId> {
        let state = self.0.lock();
        let used = |it: &HostView| it.phase == HostPhase::Ready && it.instances > 0;
        state.scheduler.hosts().filter(used).map(|it| it.host).collect()
    }

    /// What the instances of a host have used so far.
    pub async fn host_use(&self, host: HostId) -> Option<sandbox::HostUse> {
        self.0.kind.host_use(host).await
    }

    /// Tells the scheduler how busy a host is.
    pub fn host_load(&self, host: HostId, load: HostLoad) {
        self.0.drive(Event::HostLoad { host, load }, None);
    }

    /// Tells the scheduler how much memory the machine has left.
    pub fn memory_free(&self, free: MemoryMib) {
        self.0.drive(Event::MemoryFree { free }, None);
    }
}

impl<K: Kind> Shared<K> {
    fn now(&self) -> Time {
        Time::ZERO + Span::from(self.began.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        // A panic under the lock has left the scheduler between two events at worst.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the scheduler when it asked for it.
    async fn keep_time(self: Arc<Self>) {
        loop {
            let wait = {
                let mut state = self.lock();
                let due = state.scheduler.next_timeout().unwrap_or(Time::MAX);
                state.armed = due;
                due.since(self.now())
            };
            let expired = if wait == Span::ZERO {
                true
            } else {
                let sleep = tokio::time::sleep(Duration::from(wait).min(Duration::from_secs(3600)));
                tokio::select! { () = sleep => true, () = self.timer.notified() => false }
            };
            if expired {
                self.drive(Event::Timeout, None);
            }
        }
    }

    /// Tells the scheduler what happened and carries out what it answers. `failure` goes with a `StartFailed`.
    fn drive(self: &Arc<Self>, event: Event, failure: Option<StartFailure>) -> Turn {
        let mut state = self.lock();
        self.turn(&mut state, event, failure)
    }

    fn turn(
        self: &Arc<Self>,
        state: &mut State<K>,
        event: Event,
        failure: Option<StartFailure>,
    ) -> Turn {
        let now = self.now();
        if let Some(journal) = &mut state.journal {
            journal.event(now, &event);
        }
        state.scheduler.handle(now, event);
        let mut turn = Turn::default();
        while let Some(action) = state.scheduler.poll_action() {
            if let Some(journal) = &mut state.journal {
                journal.action(now, &action);
            }
            self.carry_out(state, now, action, failure.as_ref(), &mut turn);
        }
        if state.scheduler.next_timeout().is_some_and(|due| due < state.armed) {
            state.armed = Time::ZERO;
            self.timer.notify_one();
        }
        turn
    }

    fn carry_out(
        self: &Arc<Self>,
        state: &mut State<K>,
        now: Time,
        action: Action,
        failure: Option<&StartFailure>,
        turn: &mut Turn,
    ) {
        match action {
            Action::StartHost { host, memory, milli_cpus, .. } => {
                self.start_host(host, sandbox::HostSize { memory, milli_cpus });
            }
            Action::StopHost { host } => {
                let platform = Arc::clone(self);
                tokio::spawn(async move { platform.kind.remove_host(host).await });
            }
            Action::Start { instance, host, function, epoch, purpose } => {
                self.start(state, (instance, host), (function, epoch), purpose);
            }
            Action::Dispatch { instance, invocation, cold, .. } => {
                self.dispatch(state, now, (instance, invocation), cold);
            }
            Action::Rest { instance } => state.tell(instance, Command::Rest),
            Action::Reclaim { instance, reason } => self.reclaim(state, instance, reason),
            Action::Reject { invocation, reason } => {
                if let Some(pending) = state.pending.get(&invocation) {
                    self.ledger.rejected(&pending.invoke.function, &reason);
                }
                state.reject(invocation, reason, failure);
            }
            Action::Expire { invocation, instance, timeout } => {
                let billing = self.profile.billing;
                state.expire(now, (instance, invocation), timeout, billing);
            }
            Action::Bill { invocation, billed, init, .. } => {
                turn.bill = Some(Billed { invocation, billed, init });
            }
        }
    }

    async fn drain(self: &Arc<Self>, limit: Duration) {
        let functions: Vec<_> = self.lock().functions.keys().copied().collect();
        for function in functions {
            self.drive(Event::Removed { function }, None);
        }
        let all_gone = async {
            loop {
                let gone = self.gone.notified();
                if self.lock().instances.is_empty() {
                    return;
                }
                gone.await;
            }
        };
        if tokio::time::timeout(limit, all_gone).await.is_err() {
            tracing::warn!(left = self.lock().instances.len(), "instances are left at the limit");
        }
        if let Some(journal) = &mut self.lock().journal {
            journal.flush();
        }
    }

    /// What the profile gives one instance of `function`.
    fn settings(&self, function: &Function) -> Result<Settings, ReservedError> {
        let (_, host_milli_cpus) = self.profile.hosts.size_for(function.memory);
        Ok(Settings {
            runtime: function.runtime.clone(),
            handler: function.handler.clone(),
            environment: crate::environment::of(function)?,
            memory: function.memory,
            cpu_ceiling_milli: self.profile.cpu.ceiling_milli(function.memory, host_milli_cpus),
            cpu_weight: self.profile.cpu.weight(function.memory),
            tmp: function.ephemeral_storage,
            init_timeout: INIT_TIMEOUT,
            account: function.tenant.to_string(),
        })
    }
}

/// Limit of the init phase (Lambda developer guide, "Init phase", 2026).
const INIT_TIMEOUT: Span = Span::from_secs(10);

impl<K: Kind> State<K> {
    fn new_invocation(&mut self) -> InvocationId {
        self.next_invocation += 1;
        InvocationId(self.next_invocation)
    }

    fn tell(&self, instance: InstanceId, command: Command) {
        if let Some(running) = self.instances.get(&instance) {
            running.handle.send(command);
        }
    }

    fn role(&mut self, function: &Function) -> RoleId {
        let next = RoleId(self.roles.len() as u64);
        *self.roles.entry((function.tenant, function.role.clone())).or_insert(next)
    }
}

/// An error with all its causes, `cannot x: cannot y: z`.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
