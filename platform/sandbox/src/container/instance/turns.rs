//! What drives an instance while somebody awaits it: its sockets, output, telemetry and exit, one turn after the other.
//!
//! Deliberately knows nothing of what an instance is asked for.

use super::output::{Keep, Output};
use super::telemetry::Telemetry;
use super::wire::Wire;
use crate::container::image::EXTENSIONS;
use crate::container::{Cause, Control, Exit, Process};
use crate::seam::{End, Tail};
use runtime_api::Happened;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// How long a runtime whose connection was lost may take to exit, or to ask again.
const LOST_GRACE: Duration = Duration::from_millis(500);

/// What connects an instance.
#[derive(Debug)]
pub(super) struct Io {
    pub wire: Wire,
    pub output: Output,
    /// How long is still waited for a runtime that seems to be gone.
    pub lost: Option<Pin<Box<Sleep>>>,
    /// Names of the extensions that have processes.
    pub names: Vec<String>,
    /// Where there are some.
    pub telemetry: Option<Box<Telemetry>>,
}

/// What drives an instance, beside its exit.
pub(super) struct Turns<'a> {
    pub io: &'a mut Io,
    /// How the runtime ended, once it has; what it said before comes first.
    exit: Option<Exit>,
    /// What happened while a piece of a response waited for room, and the end that came then.
    kept: VecDeque<Happened>,
    end: Option<End>,
}

/// What goes with an outcome; nothing is read where nobody asked for it.
pub(super) fn tail(output: &mut Output, control: &impl Control) -> Tail {
    if output.keeps() == Keep::Nothing {
        return Tail::default();
    }
    Tail { log: output.take(), memory_peak_bytes: control.usage().memory_peak_bytes }
}

impl<'a> Turns<'a> {
    pub fn of(io: &'a mut Io) -> Self {
        Self { io, exit: None, kept: VecDeque::new(), end: None }
    }

    /// What goes with an outcome.
    pub fn tail(&mut self, control: &impl Control) -> Tail {
        tail(&mut self.io.output, control)
    }

    /// What the runtime does next, or how it ended. Cancel-safe.
    pub async fn next(
        &mut self,
        mut exited: Pin<&mut (impl Future<Output = Exit> + Send)>,
    ) -> Result<Happened, End> {
        if let Some(happened) = self.kept.pop_front() {
            return Ok(happened);
        }
        if let Some(end) = self.end.take() {
            return Err(end);
        }
        poll_fn(|cx| self.poll(cx, exited.as_mut())).await
    }

    /// Goes on with everything but the response of which a piece waits, and keeps what happens for [`Self::next`].
    /// Nothing more of that response is read, so that what is kept has a bound.
    pub async fn keep(
        &mut self,
        mut exited: Pin<&mut (impl Future<Output = Exit> + Send)>,
    ) -> Infallible {
        poll_fn(|cx| {
            while self.end.is_none() {
                match self.poll(cx, exited.as_mut()) {
                    Poll::Ready(Ok(happened)) => self.kept.push_back(happened),
                    Poll::Ready(Err(end)) => self.end = Some(end),
                    Poll::Pending => break,
                }
            }
            Poll::Pending
        })
        .await
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        exited: Pin<&mut impl Future<Output = Exit>>,
    ) -> Poll<Result<Happened, End>> {
        let happened = self.io.wire.poll(cx);
        // What was written before comes first; it costs nothing where nothing was.
        self.io.output.poll(cx);
        if let Poll::Ready(happened) = happened {
            return Poll::Ready(Ok(happened));
        }
        if self.exit.is_none()
            && let Poll::Ready(exit) = exited.poll(cx)
        {
            self.exit = Some(exit);
            self.io.wire.last_words();
        }
        if let Some(exit) = self.exit {
            return Poll::Ready(self.io.wire.poll_happened().ok_or(end_of(exit, &self.io.names)));
        }
        if let Some(telemetry) = &mut self.io.telemetry {
            telemetry.poll(cx);
        }
        let Some(reason) = self.io.wire.lost() else {
            self.io.lost = None;
            return Poll::Pending;
        };
        let grace = self.io.lost.get_or_insert_with(|| Box::pin(sleep(LOST_GRACE)));
        grace.as_mut().poll(cx).map(|()| Err(End::Protocol(reason.to_owned())))
    }
}

fn end_of(exit: Exit, names: &[String]) -> End {
    let name = |index: usize| names.get(index).cloned().unwrap_or_default();
    let Exit { process, status, signal, cause } = exit;
    match (cause, process) {
        (Cause::Memory, _) => End::OutOfMemory,
        (Cause::Owner, _) => End::Stopped,
        (Cause::Own, Process::Runtime) => End::Exited { status, signal },
        (Cause::Own, Process::Extension(index)) => {
            End::ExtensionExited { name: name(index), status, signal }
        }
        (Cause::NotStarted(_), Process::Runtime) => End::NoEntrypoint,
        (Cause::NotStarted(errno), Process::Extension(index)) => {
            let name = name(index);
            let reason = format!("fork/exec {EXTENSIONS}/{name}: {}", not_started(errno));
            End::Extension { name, kind: "Extension.LaunchError", reason }
        }
    }
}

/// The words that the service has for why a program was not started: those of Go's `syscall.Errno`.
fn not_started(errno: i32) -> String {
    match errno {
        libc::ENOENT => "no such file or directory".to_owned(),
        libc::EACCES => "permission denied".to_owned(),
        libc::ENOEXEC => "exec format error".to_owned(),
        other => format!("errno {other}"),
    }
}
