//! One task per instance: commands in, reports out.

use model::{InstanceId, InvocationId, Span};
use sandbox::{
    End, Extension, Identity, Instance, Invocation, Kind, Outcome, Settings, ShutdownReason,
    StartError, Started, Usage,
};
use std::sync::Arc;
use tokio::sync::mpsc;

/// What an instance is started from.
pub struct Start<K: Kind> {
    /// Kind of sandbox.
    pub kind: Arc<K>,
    /// Code made ready.
    pub image: Arc<K::Image>,
    /// Settings of the function.
    pub settings: Arc<Settings>,
    /// Who it is, and where.
    pub identity: Identity,
}

/// What an instance is told to do.
pub enum Command {
    /// Run one invocation. In a box, since the queue of an instance at rest keeps room for commands.
    Dispatch(Box<Dispatch>),
    /// Freeze until the next dispatch.
    Rest,
    /// End, for this reason. Also in the middle of a start or an invocation.
    Reclaim(ShutdownReason),
}

/// One invocation for an instance.
pub struct Dispatch {
    /// Its number.
    pub id: InvocationId,
    /// What the sandbox is given.
    pub invocation: Invocation,
    /// Takes the outcome as soon as it is there, before the instance is idle again.
    pub respond: Box<dyn FnOnce(Outcome) + Send>,
}

/// What happened to an instance.
#[derive(Debug)]
pub enum Report {
    /// It can take a dispatch.
    Started {
        /// From the order to the sandbox's first exec.
        creation: Span,
        /// From that exec to the runtime's first request for an event.
        init: Span,
        /// The extensions that have registered.
        extensions: Vec<Extension>,
        /// What it has used by then.
        usage: Usage,
    },
    /// It could not start. A [`Command::Reclaim`] is still due.
    StartFailed(StartError),
    /// The runtime asked for its next event; what the instance has used by then.
    Idle(Usage),
    /// It is frozen.
    Rested,
    /// It ended by itself, and what it had used. A [`Command::Reclaim`] is still due.
    Died(End, Usage),
    /// A dispatch came after its death: the function never saw the event, which may run elsewhere.
    Undelivered(InvocationId),
    /// Nothing of it is left; what it had used when it was told to end, nothing where it never ran.
    Reclaimed(Usage),
}

/// The way to tell an instance what to do.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: mpsc::UnboundedSender<Command>,
}

impl Handle {
    /// Tells the instance what to do, in order. Ignored by one that is gone: its last report is on its way.
    ///
    /// The queue is as short as its sender is disciplined: a scheduler has at most a dispatch, a rest and a reclaim
    /// under way for one instance.
    pub fn send(&self, command: Command) {
        if self.commands.send(command).is_err() {
            tracing::debug!("a command came after the instance's end");
        }
    }
}

/// Begins to start an instance in a task of its own. `report` is told, in order, what happens to it.
pub fn launch<K, F>(start: Start<K>, report: F) -> Handle
where
    K: Kind,
    F: Fn(InstanceId, Report) + Send + Sync + 'static,
{
    let (commands, orders) = mpsc::unbounded_channel();
    let id = start.identity.instance;
    tokio::spawn(async move {
        live(start, orders, move |what| report(id, what)).await;
    });
    Handle { commands }
}

type Orders = mpsc::UnboundedReceiver<Command>;

async fn live<K: Kind>(start: Start<K>, mut orders: Orders, report: impl Fn(Report) + Send) {
    let Start { kind, image, settings, identity } = start;
    // In a box of its own: what a start needs is not kept for the life of the instance.
    let starting = Box::pin(kind.start(&image, &settings, identity));
    let started = tokio::select! {
        started = starting => started,
        // The future is dropped, and with it what it made so far.
        _reason = reclaim_ordered(&mut orders) => {
            report(Report::Reclaimed(Usage::default()));
            return;
        }
    };
    match started {
        Ok(Started { instance, creation, init, extensions }) => {
            report(Report::Started { creation, init, extensions, usage: instance.usage() });
            serve(instance, orders, report).await;
        }
        Err(error) => {
            report(Report::StartFailed(error));
            bury(&mut orders, &report).await;
            report(Report::Reclaimed(Usage::default()));
        }
    }
}

/// Waits for the last order of an instance that is dead, and hands back what it can no longer run.
async fn bury(orders: &mut Orders, report: &impl Fn(Report)) -> ShutdownReason {
    loop {
        match orders.recv().await {
            Some(Command::Reclaim(reason)) => return reason,
            Some(Command::Dispatch(dispatch)) => report(Report::Undelivered(dispatch.id)),
            Some(Command::Rest) => {}
            None => return ShutdownReason::Spindown,
        }
    }
}

/// Passes over every order but the last one of an instance. A driver that is gone counts as that order.
///
/// Only for an instance that starts or runs, which is never given a second invocation.
async fn reclaim_ordered(orders: &mut Orders) -> ShutdownReason {
    loop {
        match orders.recv().await {
            Some(Command::Reclaim(reason)) => return reason,
            Some(Command::Dispatch(_) | Command::Rest) => {}
            None => return ShutdownReason::Spindown,
        }
    }
}

async fn serve<I: Instance>(mut instance: I, mut orders: Orders, report: impl Fn(Report) + Send) {
    let reason = loop {
        let order = tokio::select! {
            biased;
            order = orders.recv() => order,
            end = instance.ended() => {
                report(Report::Died(end, instance.usage()));
                break bury(&mut orders, &report).await;
            }
        };
        match order {
            Some(Command::Dispatch(dispatch)) => {
                let ended = tokio::select! {
                    ended = instance.invoke(dispatch.invocation, dispatch.respond) => ended,
                    reason = reclaim_ordered(&mut orders) => break reason,
                };
                match ended {
                    Ok(()) => report(Report::Idle(instance.usage())),
                    Err(end) => {
                        report(Report::Died(end, instance.usage()));
                        break bury(&mut orders, &report).await;
                    }
                }
            }
            Some(Command::Rest) => {
                instance.rest().await;
                report(Report::Rested);
            }
            Some(Command::Reclaim(reason)) => break reason,
            None => break ShutdownReason::Spindown,
        }
    };
    let usage = instance.usage();
    instance.stop(reason).await;
    report(Report::Reclaimed(usage));
}
