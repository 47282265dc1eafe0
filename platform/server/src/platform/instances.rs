//! Hosts and instances as the scheduler orders them, and what they report back.
//!
//! Deliberately knows nothing of who waits for an answer.

use super::{Running, Shared, State, chain};
use catalog::Version;
use jiff::Timestamp;
use model::{FunctionId, HostId, InstanceId, Span};
use sandbox::runtime::{Initialization, instance_environment};
use sandbox::{Identity, Kind};
use scheduler::{Epoch, Event, Purpose};
use std::sync::Arc;
use worker::Report;

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
        let identity = Identity {
            instance,
            host,
            environment: instance_environment(
                &log_stream(deployed.function.version),
                initialization,
            ),
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

    /// An instance tells what happened to it.
    pub(super) fn heard(self: &Arc<Self>, instance: InstanceId, report: Report) {
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
}

/// A log stream's name: date and 32 hexadecimal digits, as the service makes it.
fn log_stream(version: Version) -> String {
    let today = Timestamp::now().strftime("%Y/%m/%d");
    format!("{today}/[{version}]{}", uuid::Uuid::new_v4().simple())
}
