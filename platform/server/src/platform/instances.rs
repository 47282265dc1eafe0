//! Hosts and instances as the scheduler orders them, and what they report back.
//!
//! Deliberately knows nothing of who waits for an answer.

use super::{Init, Running, Shared, StartFailure, State, chain};
use logs::lines::Phase;
use model::{FunctionId, HostId, InstanceId, Span};
use sandbox::runtime::{Initialization, instance_environment};
use sandbox::{End, Extension, Identity, Kind, ShutdownReason, StartError, Usage};
use scheduler::{Epoch, Event, Purpose, StopReason};
use std::sync::Arc;
use std::time::Instant;
use worker::{Command, FailedInit, Report};

impl<K: Kind> Shared<K> {
    pub(super) fn start_host(self: &Arc<Self>, host: HostId, size: sandbox::HostSize) {
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

    pub(super) fn start(
        self: &Arc<Self>,
        state: &mut State<K>,
        (instance, host): (InstanceId, HostId),
        (function, epoch): (FunctionId, Epoch),
        purpose: Purpose,
    ) {
        let initialization = match purpose {
            Purpose::OnDemand => Initialization::OnDemand,
            Purpose::Provisioned => Initialization::Provisioned,
        };
        let Some(deployed) = state.functions.get(&function).filter(|it| it.epoch == epoch).cloned()
        else {
            // The scheduler was told of this state in `deploy` under the same lock.
            tracing::error!(%instance, %function, "no such state of the function");
            return;
        };
        let log = self.ledger.begin(&deployed.function);
        let identity = Identity {
            instance,
            host,
            environment: instance_environment(log.name(), initialization),
            log: Some(Arc::clone(&log) as Arc<dyn sandbox::LogSink>),
            phase: sandbox::Phase::Init,
        };
        let start = worker::Start {
            kind: Arc::clone(&self.kind),
            image: Arc::clone(&deployed.image),
            settings: Arc::clone(&deployed.settings),
            identity,
            failed_init: match purpose {
                Purpose::OnDemand => FailedInit::Retry,
                Purpose::Provisioned => FailedInit::Final,
            },
        };
        let platform = Arc::clone(self);
        let handle =
            worker::launch(start, move |instance, report| platform.heard(instance, report));
        let running = Running {
            handle,
            deployed,
            init: Init::Done(Span::ZERO),
            extensions: 0,
            invocation: None,
            log,
            cpu_seen: Span::ZERO,
            began: Instant::now(),
            finished: None,
        };
        state.instances.insert(instance, running);
    }

    /// Ends an instance. Where its extensions have not come to the end of an invocation in time, that invocation ran into its
    /// limit, though it was answered.
    pub(super) fn reclaim(&self, state: &mut State<K>, instance: InstanceId, reason: StopReason) {
        let Some(running) = state.instances.get_mut(&instance) else { return };
        let reason = match reason {
            StopReason::Expired => ShutdownReason::Timeout,
            StopReason::Died | StopReason::StartFailed => ShutdownReason::Failure,
            _ => ShutdownReason::Spindown,
        };
        if let Some(finished) = &mut running.finished
            && reason == ShutdownReason::Timeout
        {
            finished.expire(running.deployed.function.timeout, self.profile.billing);
        }
        running.handle.send(Command::Reclaim(reason));
    }

    /// An instance tells what happened to it.
    pub(super) fn heard(self: &Arc<Self>, instance: InstanceId, report: Report) {
        match report {
            Report::Started { creation, init, extensions, usage } => {
                self.settle(instance, usage);
                tracing::debug!(%instance, %creation, %init, "instance started");
                let mut state = self.lock();
                if let Some(running) = state.instances.get_mut(&instance) {
                    running.init = Init::Done(init);
                    running.extensions = extensions.len();
                    running.log.init_ended(Phase::Init, init, None);
                    running.log.extensions(&extensions);
                }
                self.turn(&mut state, Event::Started { instance }, None);
            }
            Report::InitFailed { end, init } => {
                tracing::debug!(%instance, ?end, "init failed, and is tried again");
                let mut state = self.lock();
                if let Some(running) = state.instances.get_mut(&instance) {
                    running.init = Init::Failed;
                    running.log.init_ended(Phase::Init, init, Some(&end));
                }
                self.turn(&mut state, Event::Started { instance }, None);
            }
            Report::InitAgain { end, init, extensions } => {
                self.lock().init_again(instance, init, end.as_ref(), &extensions);
            }
            Report::StartFailed(error) => {
                let reason = chain(&error);
                tracing::warn!(%instance, reason, "instance did not start");
                let failure = self.start_failed(instance, error);
                self.drive(Event::StartFailed { instance, reason }, Some(failure));
            }
            Report::Idle(usage) => {
                self.settle(instance, usage);
                self.drive(Event::Idle { instance }, None);
            }
            Report::Rested => {
                self.drive(Event::Rested { instance }, None);
            }
            Report::Died(end, usage) => {
                self.settle(instance, usage);
                tracing::debug!(%instance, ?end, "instance ended by itself");
                self.drive(Event::Died { instance }, None);
            }
            Report::Undelivered(id) => self.again(id),
            Report::Reclaimed(usage) => {
                self.settle(instance, usage);
                let mut state = self.lock();
                state.instances.remove(&instance);
                self.turn(&mut state, Event::Reclaimed { instance }, None);
                drop(state);
                self.gone.notify_waiters();
            }
        }
    }

    /// Writes the report of the invocation that an instance has come to the end of, if there is one, and accounts for what
    /// the instance has used since the last time.
    fn settle(self: &Arc<Self>, instance: InstanceId, usage: Usage) {
        let (log, finished, cpu, listener) = {
            let mut state = self.lock();
            let Some(running) = state.instances.get_mut(&instance) else { return };
            // An instance that is gone without a reading has used what was read before.
            let cpu = usage.cpu - usage.cpu.min(running.cpu_seen);
            running.cpu_seen += cpu;
            let listener = (running.extensions > 0).then(|| running.handle.clone());
            (Arc::clone(&running.log), running.finished.take(), cpu, listener)
        };
        match finished {
            Some(mut finished) => {
                finished.extend(usage.extensions, self.profile.billing);
                log.end(&finished, usage);
                if let Some(listener) = listener {
                    listener.send(Command::Tell(log.told(&finished, usage).into()));
                }
                log.count(&finished, cpu, usage);
            }
            None => log.count_unbilled(cpu, usage),
        }
    }

    /// Notes in an instance's log that its init failed.
    fn start_failed(self: &Arc<Self>, instance: InstanceId, error: StartError) -> StartFailure {
        let state = self.lock();
        let running = state.instances.get(&instance);
        let log = running.map(|running| Arc::clone(&running.log));
        if let (Some(running), StartError::Ended { end, .. }) = (running, &error) {
            let init = Span::from(running.began.elapsed());
            running.log.init_ended(Phase::Init, init, Some(end));
        }
        StartFailure { error, log }
    }
}

impl<K: Kind> State<K> {
    /// Notes that an instance's init was tried again in its first invocation, which begins in its log now.
    pub(super) fn init_again(
        &mut self,
        instance: InstanceId,
        init: Span,
        end: Option<&End>,
        extensions: &[Extension],
    ) {
        let Some(running) = self.instances.get_mut(&instance) else { return };
        if running.init != Init::Failed {
            return;
        }
        running.init = Init::Again;
        running.extensions = extensions.len();
        running.log.init_ended(Phase::Invoke, init, end);
        running.log.extensions(extensions);
        let pending = running.invocation.and_then(|id| self.pending.get(&id));
        if let Some(pending) = pending {
            running.log.start(&pending.invoke.request_id);
        }
    }
}
