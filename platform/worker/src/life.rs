//! One task per instance: commands in, reports out.

use bytes::Bytes;
use model::{InstanceId, InvocationId, Span};
use sandbox::{
    End, Extension, Identity, Instance, Invocation, Kind, Log, Outcome, Phase, Settings,
    ShutdownReason, StartError, Started, Tail, Usage,
};
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::mpsc;

/// How long after an invocation's time limit an init within it is given up.
const LATE: Duration = Duration::from_secs(1);

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
    /// What becomes of it where its init fails.
    pub failed_init: FailedInit,
}

/// What becomes of an instance whose init failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailedInit {
    /// Its init is tried again in the invocation that comes, which the function's own time limit bounds (AWS Lambda developer
    /// guide, "Failures during the Init phase", 2026-11).
    Retry,
    /// It has not started.
    Final,
}

/// What an instance is told to do.
pub enum Command {
    /// Run one invocation. In a box, since the queue of an instance at rest keeps room for commands.
    Dispatch(Box<Dispatch>),
    /// Hand the platform's report of an invocation to extensions that listen: the JSON of a `platform.report`.
    Tell(Box<str>),
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
    /// Its init failed after so long. It can take a dispatch all the same, in which its init is tried again.
    InitFailed {
        /// How.
        end: End,
        /// How long it took.
        init: Span,
    },
    /// Its init was tried again in an invocation, which it can serve now where there is no end.
    InitAgain {
        /// How it failed, where it did. Then [`Report::Died`] follows.
        end: Option<End>,
        /// How long it took.
        init: Span,
        /// The extensions that have registered.
        extensions: Vec<Extension>,
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
    let Start { kind, image, settings, identity, failed_init } = start;
    let began = Instant::now();
    // In a box of its own: what a start needs is not kept for the life of the instance.
    let starting = Box::pin(kind.start(&image, &settings, identity.clone()));
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
            // Nor is what only another start would need.
            drop((identity, settings, image, kind));
            report(Report::Started { creation, init, extensions, usage: instance.usage() });
            serve(instance, orders, report, None).await;
        }
        Err(StartError::Ended { end, .. }) if failed_init == FailedInit::Retry => {
            report(Report::InitFailed { end, init: Span::from(began.elapsed()) });
            let start = Start { kind, image, settings, identity, failed_init };
            // In a box of its own, as few instances need it.
            Box::pin(live_again(start, orders, report)).await;
        }
        Err(error) => {
            report(Report::StartFailed(error));
            bury(&mut orders, &report, |_| {}).await;
            report(Report::Reclaimed(Usage::default()));
        }
    }
}

/// The life of an instance whose init has failed once: it begins with the next invocation.
async fn live_again<K: Kind>(start: Start<K>, mut orders: Orders, report: impl Fn(Report) + Send) {
    let dispatch = loop {
        match orders.recv().await {
            Some(Command::Dispatch(dispatch)) => break dispatch,
            Some(Command::Rest) => report(Report::Rested),
            Some(Command::Tell(_)) => {}
            Some(Command::Reclaim(_)) | None => {
                return report(Report::Reclaimed(Usage::default()));
            }
        }
    };
    let Start { kind, image, settings, identity, .. } = start;
    let left = dispatch.invocation.deadline.duration_since(SystemTime::now()).unwrap_or_default();
    // Whoever ends invocations that take too long is first.
    let settings = Settings { init_timeout: Span::from(left + LATE), ..(*settings).clone() };
    let identity = Identity { phase: Phase::Invoke, ..identity };
    let began = Instant::now();
    let started = tokio::select! {
        started = kind.start(&image, &settings, identity) => started,
        _reason = reclaim_ordered(&mut orders) => {
            report(Report::Reclaimed(Usage::default()));
            return;
        }
    };
    let (end, log) = match started {
        Ok(Started { instance, init, extensions, .. }) => {
            report(Report::InitAgain { end: None, init, extensions });
            return serve(instance, orders, report, Some(dispatch)).await;
        }
        Err(StartError::Ended { end, log }) => (end, log),
        Err(error @ StartError::Create { .. }) => {
            tracing::error!(%error, source = ?error.source(), "cannot try an init again");
            (End::Stopped, Bytes::new())
        }
    };
    let init = Span::from(began.elapsed());
    report(Report::InitAgain { end: Some(end.clone()), init, extensions: Vec::new() });
    let tail = match dispatch.invocation.log {
        Log::Tail => Tail { log, memory_peak_bytes: 0 },
        Log::Drop => Tail::default(),
    };
    (dispatch.respond)(Outcome::Ended { end: end.clone(), tail });
    report(Report::Died(end, Usage::default()));
    bury(&mut orders, &report, |_| {}).await;
    report(Report::Reclaimed(Usage::default()));
}

/// Waits for the last order of an instance that is dead, and hands back what it can no longer run.
async fn bury(
    orders: &mut Orders,
    report: &impl Fn(Report),
    mut tell: impl FnMut(&str),
) -> ShutdownReason {
    loop {
        match orders.recv().await {
            Some(Command::Reclaim(reason)) => return reason,
            Some(Command::Dispatch(dispatch)) => report(Report::Undelivered(dispatch.id)),
            Some(Command::Tell(json)) => tell(&json),
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
            Some(Command::Dispatch(_) | Command::Tell(_) | Command::Rest) => {}
            None => return ShutdownReason::Spindown,
        }
    }
}

/// The life of an instance that can serve, `first` before all else.
async fn serve<I: Instance>(
    mut instance: I,
    mut orders: Orders,
    report: impl Fn(Report) + Send,
    mut first: Option<Box<Dispatch>>,
) {
    let reason = loop {
        let order = tokio::select! {
            biased;
            () = std::future::ready(()), if first.is_some() => first.take().map(Command::Dispatch),
            order = orders.recv() => order,
            end = instance.ended() => {
                report(Report::Died(end, instance.usage()));
                break bury(&mut orders, &report, |json| instance.tell(json)).await;
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
                        break bury(&mut orders, &report, |json| instance.tell(json)).await;
                    }
                }
            }
            Some(Command::Tell(json)) => instance.tell(&json),
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
