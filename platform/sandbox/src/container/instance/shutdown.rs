//! The end of an instance: what its extensions are told of it, and the time that they have.
//!
//! Deliberately decides no end: it is told why there is one.

use super::ContainerInstance;
use super::turns::Io;
use super::wire::Wire;
use crate::container::{Control, Process, Processes};
use crate::seam::Grace;
use model::Span;
use runtime_api::{Happened, Place, ShutdownReason};
use rustix::process::Signal;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::time::timeout_at;

/// All that the end may take where there are external extensions, and what of it the runtime has before them; more where an
/// extension is within it. Without any it has none (AWS Lambda developer guide, "Shutdown phase", 2026-11).
const EXTERNAL: Duration = Duration::from_millis(2000);
const RUNTIME: Duration = Duration::from_millis(300);
const INTERNAL: Duration = Duration::from_millis(500);

/// Most of what happens that is taken in at a time: it changes nothing any more.
const TURN: usize = 64;

/// Ends an instance. Returns when nothing of it is left.
pub(super) async fn stop<C: Control>(instance: ContainerInstance<C>, reason: ShutdownReason) {
    let ContainerInstance { control, mut io, .. } = instance;
    let has_internal = io.wire.api().has_internal_extension();
    let grace = match control.processes() {
        Some(processes) => {
            // Where it cannot be thawed, it is killed next.
            let _thawed = control.thaw();
            let runtime = if has_internal { INTERNAL } else { RUNTIME };
            if let Some(telemetry) = &mut io.telemetry {
                telemetry.end();
            }
            take_leave(&mut io, processes, reason, runtime).await;
            Span::ZERO
        }
        None if has_internal => Span::from(INTERNAL),
        None => Span::ZERO,
    };
    drive(&mut io, control.destroy(Grace(grace))).await;
    io.output.drain();
}

/// Has the runtime end, then tells external extensions, and waits for those that asked to be told.
async fn take_leave(io: &mut Io, processes: &Processes, reason: ShutdownReason, runtime: Duration) {
    let began = tokio::time::Instant::from(Instant::now());
    let deadline = SystemTime::now() + EXTERNAL;
    drive(io, async {
        // A sandbox that is gone has nobody who needs to be told.
        let _told = processes.signal_runtime(Signal::TERM);
        let ended = processes.ended(Process::Runtime);
        if timeout_at(began + runtime, ended).await.is_err() {
            let _told = processes.signal_runtime(Signal::KILL);
        }
    })
    .await;
    let deadline = deadline.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let deadline = u64::try_from(deadline).unwrap_or(u64::MAX);
    io.wire.api().shut_down(reason, deadline);
    let Io { wire, names, .. } = io;
    let mut listens = |name: &String| {
        let mut registered = wire.api().extensions();
        registered.any(|it| it.place == Place::External && it.name == name && it.wants_shutdown())
    };
    let waited_for: Vec<bool> = names.iter().map(&mut listens).collect();
    let all_ended = async {
        for (index, _) in waited_for.iter().enumerate().filter(|(_, is_waited_for)| **is_waited_for)
        {
            processes.ended(Process::Extension(index)).await;
        }
    };
    // Whoever is late is killed with the sandbox.
    let _late = drive(io, timeout_at(began + EXTERNAL, all_ended)).await;
}

/// Goes on with what an instance says and writes until `done` is.
async fn drive<T>(io: &mut Io, done: impl Future<Output = T>) -> T {
    let mut done = pin!(done);
    poll_fn(|cx| {
        pass_over(&mut io.wire, cx);
        // Its last lines must not hold it up.
        io.output.poll(cx);
        if let Some(telemetry) = &mut io.telemetry {
            telemetry.poll(cx);
        }
        done.as_mut().poll(cx)
    })
    .await
}

fn pass_over(wire: &mut Wire, cx: &mut Context<'_>) {
    for _ in 0..TURN {
        match wire.poll(cx) {
            Poll::Pending => return,
            // Nothing is to be heard any more.
            Poll::Ready(Happened::Broken(_)) => return,
            Poll::Ready(_) => {}
        }
    }
    cx.waker().wake_by_ref();
}
