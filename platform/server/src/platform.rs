//! The live driver of the scheduler: what it decides is carried out on real sandboxes, in real time.
//!
//! Decides nothing itself. One lock holds the scheduler and what belongs to it; nothing slow happens under it.

use crate::journal::Journal;
use crate::reply;
use bytes::Bytes;
use catalog::{Function, Version};
use gateway::{Invoke, Invoked, LogTail, Reply};
use model::{
    FunctionId, HostId, InstanceId, InvocationId, MemoryMib, RoleId, Span, TenantId, Time,
};
use sandbox::runtime::{ReservedError, instance_environment};
use sandbox::{Grace, Identity, Kind, Log, Outcome, Settings, StartError};
use scheduler::{Action, Epoch, Event, FunctionSettings, Profile, Rejection, Scheduler};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{Notify, oneshot};
use worker::{Command, Dispatch, Handle, Report};

/// Grace between SIGTERM and SIGKILL for an instance that is reclaimed (AWS: 500 ms with an internal extension, Lambda
/// developer guide, "Shutdown phase", 2026).
const GRACE: Grace = Grace(Span::from_millis(500));

/// A platform that runs.
pub struct Platform<K: Kind>(Arc<Shared<K>>);

struct Shared<K: Kind> {
    kind: Arc<K>,
    profile: Profile,
    began: Instant,
    state: Mutex<State<K>>,
    /// Woken when the scheduler wants to be woken earlier than the timer is set.
    timer: Notify,
    /// Woken when an instance is gone, for [`Self::drain`].
    gone: Notify,
}

struct State<K: Kind> {
    scheduler: Scheduler,
    armed: Time,
    functions: HashMap<FunctionId, Arc<Deployed<K>>>,
    instances: HashMap<InstanceId, Running<K>>,
    pending: HashMap<InvocationId, Pending>,
    roles: HashMap<(TenantId, String), RoleId>,
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
    init: Span,
    invocation: Option<InvocationId>,
}

/// An invocation that has no answer yet.
struct Pending {
    invoke: Invoke,
    answer: oneshot::Sender<Invoked>,
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
    pub fn new(kind: K, profile: Profile, seed: u64, journal: Option<Journal>) -> Self {
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
                next_invocation: 0,
                journal,
            }),
            profile,
            timer: Notify::new(),
            gone: Notify::new(),
        });
        tokio::spawn(Arc::clone(&shared).keep_time());
        Self(shared)
    }

    /// Ends every instance and waits, `limit` at most, until nothing is left of them; then ends the sandboxes' owner.
    pub async fn close(&self, limit: Duration) {
        self.0.drain(limit).await;
        self.0.kind.close().await;
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
    fn drive(self: &Arc<Self>, event: Event, failure: Option<StartError>) -> Turn {
        let mut state = self.lock();
        self.turn(&mut state, event, failure)
    }

    fn turn(
        self: &Arc<Self>,
        state: &mut State<K>,
        event: Event,
        failure: Option<StartError>,
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
        failure: Option<&StartError>,
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
            Action::Start { instance, host, function, epoch } => {
                self.start(state, instance, host, (function, epoch));
            }
            Action::Dispatch { instance, invocation, cold, .. } => {
                self.dispatch(state, now, (instance, invocation), cold);
            }
            Action::Rest { instance } => state.tell(instance, Command::Rest),
            Action::Reclaim { instance, .. } => state.tell(instance, Command::Reclaim(GRACE)),
            Action::Reject { invocation, reason } => state.reject(invocation, reason, failure),
            Action::Expire { invocation, timeout, .. } => state.expire(now, invocation, timeout),
            Action::Bill { invocation, billed, init, .. } => {
                turn.bill = Some(Billed { invocation, billed, init });
            }
        }
    }

    fn start_host(self: &Arc<Self>, host: HostId, size: sandbox::HostSize) {
        let platform = Arc::clone(self);
        tokio::spawn(async move {
            let event = match platform.kind.make_host(host, size).await {
                Ok(()) => Event::HostReady { host },
                Err(error) => {
                    tracing::error!(%host, error = %chain(&error), "cannot make a host");
                    Event::HostFailed { host, reason: chain(&error) }
                }
            };
            platform.drive(event, None);
        });
    }

    fn start(
        self: &Arc<Self>,
        state: &mut State<K>,
        instance: InstanceId,
        host: HostId,
        (function, epoch): (FunctionId, Epoch),
    ) {
        let Some(deployed) = state.functions.get(&function).filter(|it| it.epoch == epoch).cloned()
        else {
            // The scheduler was told of this state in `deploy` under the same lock.
            tracing::error!(%instance, %function, "no such state of the function");
            return;
        };
        let identity = Identity {
            instance,
            host,
            environment: instance_environment(&log_stream(deployed.function.version)),
            log: None,
        };
        let start = worker::Start {
            kind: Arc::clone(&self.kind),
            image: Arc::clone(&deployed.image),
            settings: Arc::clone(&deployed.settings),
            identity,
        };
        let platform = Arc::clone(self);
        let handle =
            worker::launch(start, move |instance, report| platform.heard(instance, report));
        state
            .instances
            .insert(instance, Running { handle, deployed, init: Span::ZERO, invocation: None });
    }

    fn dispatch(
        self: &Arc<Self>,
        state: &mut State<K>,
        now: Time,
        (instance, id): (InstanceId, InvocationId),
        cold: bool,
    ) {
        let Some(running) = state.instances.get_mut(&instance) else { return };
        running.invocation = Some(id);
        let Some(pending) = state.pending.get_mut(&id) else { return };
        pending.dispatched = Some(now);
        pending.init = cold.then_some(running.init);
        let invoke = &pending.invoke;
        let invocation = sandbox::Invocation {
            request_id: Arc::clone(&invoke.request_id),
            payload: invoke.payload.clone(),
            function_arn: Arc::clone(&invoke.function_arn),
            trace_id: invoke.trace_id.clone().unwrap_or_else(new_trace_id),
            client_context: invoke.client_context.clone(),
            deadline: SystemTime::now() + Duration::from(running.deployed.function.timeout),
            log: match invoke.log_tail {
                LogTail::Ask => Log::Tail,
                LogTail::Skip => Log::Drop,
            },
        };
        let platform = Arc::clone(self);
        let respond = Box::new(move |outcome| platform.responded(instance, id, outcome));
        running.handle.send(Command::Dispatch(Box::new(Dispatch { id, invocation, respond })));
    }

    /// A function has answered, or its sandbox has ended under it.
    fn responded(self: &Arc<Self>, instance: InstanceId, id: InvocationId, outcome: Outcome) {
        let mut state = self.lock();
        let pending = state.pending.remove(&id);
        let memory = state.instances.get_mut(&instance).map(|running| {
            running.invocation = None;
            running.deployed.settings.memory
        });
        let now = self.now();
        let event = Event::Finished { instance, invocation: id };
        let bill = self.turn(&mut state, event, None).bill;
        drop(state);
        let Some(pending) = pending else { return };
        let duration = pending.dispatched.map_or(Span::ZERO, |at| now.since(at));
        let (reply, tail) = match outcome {
            Outcome::Response { payload, tail } => (Reply::Payload(payload), tail),
            Outcome::Error { payload, tail } => (Reply::FunctionError(payload), tail),
            Outcome::Ended { end, tail } => (reply::ended(&pending.invoke.request_id, &end), tail),
        };
        let log = match pending.invoke.log_tail {
            LogTail::Skip => Bytes::new(),
            LogTail::Ask => {
                let bill = bill.filter(|it| it.invocation == id);
                let usage = reply::Usage {
                    duration,
                    billed: bill.as_ref().map_or(duration, |it| it.billed),
                    memory: memory.unwrap_or_default(),
                    memory_peak_bytes: tail.memory_peak_bytes,
                    // What is billed as such, so that the line adds up.
                    init: bill.map_or(pending.init, |it| it.init),
                };
                let version = pending.invoke.function.version;
                reply::log_tail(&pending.invoke.request_id, version, &tail.log, usage)
            }
        };
        // A caller that is gone no longer listens.
        let _ = pending.answer.send(Invoked { reply, log, duration });
    }

    /// An instance tells what happened to it.
    fn heard(self: &Arc<Self>, instance: InstanceId, report: Report) {
        match report {
            Report::Started { creation, init } => {
                tracing::debug!(%instance, %creation, %init, "instance started");
                let mut state = self.lock();
                if let Some(running) = state.instances.get_mut(&instance) {
                    running.init = init;
                }
                self.turn(&mut state, Event::Started { instance }, None);
            }
            Report::StartFailed(error) => {
                let reason = chain(&error);
                tracing::warn!(%instance, reason, "instance did not start");
                self.drive(Event::StartFailed { instance, reason }, Some(error));
            }
            Report::Idle => {
                self.drive(Event::Idle { instance }, None);
            }
            Report::Rested => {
                self.drive(Event::Rested { instance }, None);
            }
            Report::Died(end) => {
                tracing::debug!(%instance, ?end, "instance ended by itself");
                self.drive(Event::Died { instance }, None);
            }
            Report::Undelivered(id) => self.again(id),
            Report::Reclaimed => {
                let mut state = self.lock();
                state.instances.remove(&instance);
                self.turn(&mut state, Event::Reclaimed { instance }, None);
                drop(state);
                self.gone.notify_waiters();
            }
        }
    }

    /// Runs an invocation elsewhere whose instance died before it saw the event.
    fn again(self: &Arc<Self>, id: InvocationId) {
        let mut state = self.lock();
        let Some(mut pending) = state.pending.remove(&id) else { return };
        pending.dispatched = None;
        let (id, function) = (state.new_invocation(), pending.invoke.function.id);
        state.pending.insert(id, pending);
        self.turn(&mut state, Event::Invoked { invocation: id, function }, None);
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

    fn reject(&mut self, id: InvocationId, reason: Rejection, failure: Option<&StartError>) {
        let Some(pending) = self.pending.remove(&id) else { return };
        let reply = reply::rejected(&pending.invoke.request_id, reason, failure);
        let log = match (pending.invoke.log_tail, failure) {
            (LogTail::Ask, Some(StartError::Ended { log, .. })) => log.clone(),
            _ => Bytes::new(),
        };
        // A caller that is gone no longer listens.
        let _ = pending.answer.send(Invoked { reply, log, duration: Span::ZERO });
    }

    fn expire(&mut self, now: Time, id: InvocationId, timeout: Span) {
        let Some(pending) = self.pending.remove(&id) else { return };
        let duration = pending.dispatched.map_or(timeout, |at| now.since(at));
        let payload = reply::timed_out(&pending.invoke.request_id, timeout);
        let log = match pending.invoke.log_tail {
            LogTail::Skip => Bytes::new(),
            LogTail::Ask => reply::log_tail(
                &pending.invoke.request_id,
                pending.invoke.function.version,
                b"",
                reply::Usage {
                    duration,
                    billed: timeout,
                    memory: pending.invoke.function.memory,
                    memory_peak_bytes: 0,
                    init: pending.init,
                },
            ),
        };
        // A caller that is gone no longer listens.
        let _ =
            pending.answer.send(Invoked { reply: Reply::FunctionError(payload), log, duration });
    }

    fn role(&mut self, function: &Function) -> RoleId {
        let next = RoleId(self.roles.len() as u64);
        *self.roles.entry((function.tenant, function.role.clone())).or_insert(next)
    }
}

impl<K: Kind> gateway::Engine for Platform<K> {
    fn runtimes(&self) -> Vec<String> {
        self.0.kind.runtimes()
    }

    async fn deploy(&self, function: Arc<Function>) -> Result<(), gateway::PrepareFailed> {
        let settings = self
            .0
            .settings(&function)
            .map_err(|error| gateway::PrepareFailed { reason: chain(&error) })?;
        let package = sandbox::Package {
            digest: function.code_digest.clone(),
            directory: function.code_directory.clone(),
        };
        let image = self
            .0
            .kind
            .prepare(&package, &settings)
            .await
            .map_err(|error| gateway::PrepareFailed { reason: chain(&error) })?;
        let epoch = Epoch(function.epoch);
        let mut state = self.0.lock();
        let now = self.0.now();
        if let Some(journal) = &mut state.journal {
            journal.name(now, &function);
        }
        let known = FunctionSettings {
            tenant: function.tenant,
            role: state.role(&function),
            memory: function.memory,
            timeout: function.timeout,
            reserved_concurrency: None,
        };
        let id = function.id;
        let deployed = Arc::new(Deployed {
            epoch,
            function,
            image: Arc::new(image),
            settings: Arc::new(settings),
        });
        let event = match state.functions.insert(id, deployed) {
            None => Event::Deployed { function: id, epoch, settings: known },
            Some(_) => Event::ConfigChanged { function: id, epoch, settings: known },
        };
        self.0.turn(&mut state, event, None);
        Ok(())
    }

    async fn remove(&self, function: Arc<Function>) {
        let mut state = self.0.lock();
        state.functions.remove(&function.id);
        self.0.turn(&mut state, Event::Removed { function: function.id }, None);
    }

    async fn invoke(&self, invoke: Invoke) -> Invoked {
        let (answer, answered) = oneshot::channel();
        let id = {
            let mut state = self.0.lock();
            let (id, function) = (state.new_invocation(), invoke.function.id);
            let pending = Pending { invoke, answer, dispatched: None, init: None };
            state.pending.insert(id, pending);
            self.0.turn(&mut state, Event::Invoked { invocation: id, function }, None);
            id
        };
        let _abandoned = Abandoned { platform: &self.0, id };
        answered.await.unwrap_or_else(|_| Invoked {
            reply: Reply::Failure(gateway::Failure::Unavailable(
                "the platform is shutting down".to_owned(),
            )),
            log: Bytes::new(),
            duration: Span::ZERO,
        })
    }
}

/// Tells the scheduler of a caller that went away. After the answer it has no effect.
struct Abandoned<'a, K: Kind> {
    platform: &'a Arc<Shared<K>>,
    id: InvocationId,
}

impl<K: Kind> Drop for Abandoned<'_, K> {
    fn drop(&mut self) {
        let mut state = self.platform.lock();
        // One that was dispatched runs to its end, as at AWS; one that waits for an instance is forgotten.
        if state.pending.get(&self.id).is_some_and(|pending| pending.dispatched.is_none()) {
            state.pending.remove(&self.id);
            self.platform.turn(&mut state, Event::Cancelled { invocation: self.id }, None);
        }
    }
}

/// A log stream's name: date and 32 hexadecimal digits, as the service makes it.
fn log_stream(version: Version) -> String {
    let today = jiff::Timestamp::now().strftime("%Y/%m/%d");
    format!("{today}/[{version}]{}", uuid::Uuid::new_v4().simple())
}

/// An X-Ray trace header for a caller that sent none: a root of its own, not sampled.
fn new_trace_id() -> Arc<str> {
    let seconds =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let id = uuid::Uuid::new_v4().simple().to_string();
    let (root, parent) = (&id[..24], &id[16..]);
    format!("Root=1-{seconds:08x}-{root};Parent={parent};Sampled=0").into()
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
