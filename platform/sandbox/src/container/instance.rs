//! A function instance in a container: its runtime, spoken to over the Runtime API.
//!
//! Deliberately knows nothing of how the sandbox is made (`handle`), and has no task of its own: whoever awaits a
//! method drives sockets, output and exit, so that an instance at rest costs nothing.

mod lines;
mod output;
mod pieces;
mod wire;

use crate::container::{Cause, Control, Exit, Running};
use crate::seam::{
    End, Grace, Instance, Invocation, Log, Outcome, Settings, StartError, Tail, Usage,
};
use output::{Keep, Output};
use pieces::Pieces;
use runtime_api::{Event, Happened, ResponseMode, Setup};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, UNIX_EPOCH};
use tokio::time::{Sleep, sleep, timeout};
use wire::Wire;

/// How long a runtime whose connection was lost may take to exit, or to ask again.
const LOST_GRACE: Duration = Duration::from_millis(500);

/// A function instance in a container.
#[derive(Debug)]
pub struct ContainerInstance<C: Control> {
    control: C,
    wire: Wire,
    output: Output,
    rest: Rest,
    lost: Option<Pin<Box<Sleep>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Awake,
    Frozen,
}

impl<C: Control> ContainerInstance<C> {
    /// Takes over a sandbox whose runtime was exec'd at `started_at`, and waits until it asks for its first event; from
    /// then on the CPU ceiling holds.
    ///
    /// Errors: [`StartError::Ended`] with the log's tail where the init failed, and [`StartError::Create`] where the
    /// sandbox cannot be driven; nothing of the sandbox is left then.
    pub async fn start(
        running: Running<C>,
        settings: &Settings,
        started_at: Instant,
    ) -> Result<Self, StartError> {
        let Running { listener, output, control, log } = running;
        let parts = Wire::new(listener, setup(settings))
            .and_then(|wire| Ok((wire, Output::new(output, log)?)));
        let (wire, output) = match parts {
            Ok(parts) => parts,
            Err(source) => {
                let step = "cannot wait for the runtime; raise the limit of open files".to_owned();
                return Err(abandon(control, step, source).await);
            }
        };
        let mut instance = Self { control, wire, output, rest: Rest::Awake, lost: None };
        let left = Duration::from(settings.init_timeout).saturating_sub(started_at.elapsed());
        let init = timeout(left, instance.init()).await.unwrap_or(Err(End::InitTimedOut));
        if let Err(end) = init {
            let log = instance.output.take();
            instance.control.destroy(Grace(model::Span::ZERO)).await;
            return Err(StartError::Ended { end, log });
        }
        if let Err(source) = instance.control.apply_ceiling() {
            let step = "cannot set the CPU ceiling".to_owned();
            return Err(abandon(instance.control, step, source).await);
        }
        instance.output.begin(Keep::Nothing, None);
        Ok(instance)
    }

    /// Waits for the first `next`.
    async fn init(&mut self) -> Result<(), End> {
        let mut exited = pin!(self.control.exited());
        let mut turns = Turns::of(&mut self.wire, &mut self.output, &mut self.lost);
        loop {
            match turns.next(exited.as_mut()).await? {
                Happened::Ready => return Ok(()),
                Happened::InitError(payload) => return Err(End::InitError(payload)),
                Happened::Broken(reason) => return Err(End::Protocol(reason.to_owned())),
                Happened::ExtensionFailed { name, kind, reason } => {
                    return Err(End::Extension { name, kind, reason });
                }
                // Answers to events; there was none yet.
                _ => {}
            }
        }
    }

    fn thaw(&mut self) -> Result<(), End> {
        if self.rest == Rest::Frozen {
            self.control.thaw().map_err(|error| End::Protocol(format!("cannot thaw: {error}")))?;
            self.rest = Rest::Awake;
        }
        Ok(())
    }

    /// Runs one invocation as [`Instance::invoke`] says. `respond` is taken where it was used.
    async fn run<R: FnOnce(Outcome) + Send>(
        &mut self,
        invocation: Invocation,
        respond: &mut Option<R>,
    ) -> Result<(), End> {
        self.thaw()?;
        let mut exited = pin!(self.control.exited());
        let mut turns = Turns::of(&mut self.wire, &mut self.output, &mut self.lost);
        let (event, mut sink) = event_of(invocation);
        let mut event = Some(event);
        loop {
            if let Some(sent) = event.take() {
                event = turns.wire.invoke(sent).err();
            }
            let outcome = match turns.next(exited.as_mut()).await? {
                Happened::Ready if respond.is_none() => return Ok(()),
                Happened::Response(payload) => {
                    Outcome::Response { payload, tail: turns.tail(&self.control) }
                }
                Happened::Error(payload) => {
                    Outcome::Error { payload, tail: turns.tail(&self.control) }
                }
                Happened::StreamBegan { content_type } => {
                    sink.begin(content_type);
                    continue;
                }
                Happened::StreamPiece(piece) => {
                    sink.put(piece, &mut turns, exited.as_mut()).await;
                    turns.wire.resume_stream();
                    continue;
                }
                Happened::StreamEnded(error) => {
                    let tail = turns.tail(&self.control);
                    match error {
                        None => Outcome::Streamed { tail },
                        Some(payload) => Outcome::Error { payload, tail },
                    }
                }
                Happened::TooLarge { size, limit } => {
                    let end = End::ResponseTooLarge { size, limit };
                    Outcome::Ended { end, tail: turns.tail(&self.control) }
                }
                Happened::Broken(reason) => return Err(End::Protocol(reason.to_owned())),
                Happened::ExtensionFailed { name, kind, reason } => {
                    return Err(End::Extension { name, kind, reason });
                }
                Happened::Ready | Happened::InitError(_) | Happened::ExtensionsRegistered => {
                    continue;
                }
            };
            sink = Pieces::Gone;
            if let Some(respond) = respond.take() {
                respond(outcome);
            }
        }
    }
}

impl<C: Control> Instance for ContainerInstance<C> {
    async fn invoke(
        &mut self,
        invocation: Invocation,
        respond: impl FnOnce(Outcome) + Send,
    ) -> Result<(), End> {
        let keep = match invocation.log {
            Log::Tail => Keep::Tail,
            Log::Drop => Keep::Nothing,
        };
        self.output.begin(keep, Some(&invocation.request_id));
        let mut respond = Some(respond);
        let ended = self.run(invocation, &mut respond).await;
        if let (Err(end), Some(respond)) = (&ended, respond) {
            let tail = tail(&mut self.output, &self.control);
            respond(Outcome::Ended { end: end.clone(), tail });
        }
        if ended.is_err() || self.output.is_behind() {
            // Nothing will say that there is more, or it would come after the invocation that wrote it.
            self.output.drain();
        }
        self.output.begin(Keep::Nothing, None);
        ended
    }

    async fn rest(&mut self) {
        if self.rest == Rest::Awake && self.control.freeze().is_ok() {
            self.rest = Rest::Frozen;
        }
    }

    fn usage(&self) -> Usage {
        self.control.usage()
    }

    async fn ended(&mut self) -> End {
        let mut exited = pin!(self.control.exited());
        let mut turns = Turns::of(&mut self.wire, &mut self.output, &mut self.lost);
        loop {
            match turns.next(exited.as_mut()).await {
                Err(end) => return end,
                Ok(Happened::Broken(reason)) => return End::Protocol(reason.to_owned()),
                Ok(Happened::ExtensionFailed { name, kind, reason }) => {
                    return End::Extension { name, kind, reason };
                }
                Ok(_) => {}
            }
        }
    }

    async fn stop(self, grace: Grace) {
        let Self { control, mut output, wire, .. } = self;
        let mut destroyed = pin!(control.destroy(grace));
        // Its last lines must not hold it up.
        poll_fn(|cx| {
            output.poll(cx);
            destroyed.as_mut().poll(cx)
        })
        .await;
        output.drain();
        drop(wire);
    }
}

/// What drives an instance, beside its exit.
struct Turns<'a> {
    wire: &'a mut Wire,
    output: &'a mut Output,
    lost: &'a mut Option<Pin<Box<Sleep>>>,
    /// How the runtime ended, once it has; what it said before comes first.
    exit: Option<Exit>,
    /// What happened while a piece of a response waited for room, and the end that came then.
    kept: VecDeque<Happened>,
    end: Option<End>,
}

/// What goes with an outcome; nothing is read where nobody asked for it.
fn tail(output: &mut Output, control: &impl Control) -> Tail {
    if output.keeps() == Keep::Nothing {
        return Tail::default();
    }
    Tail { log: output.take(), memory_peak_bytes: control.usage().memory_peak_bytes }
}

impl<'a> Turns<'a> {
    fn of(
        wire: &'a mut Wire,
        output: &'a mut Output,
        lost: &'a mut Option<Pin<Box<Sleep>>>,
    ) -> Self {
        Self { wire, output, lost, exit: None, kept: VecDeque::new(), end: None }
    }

    fn tail(&mut self, control: &impl Control) -> Tail {
        tail(self.output, control)
    }

    /// What the runtime does next, or how it ended. Cancel-safe.
    async fn next(
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
    async fn keep(
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
        let happened = self.wire.poll(cx);
        // What was written before comes first; it costs nothing where nothing was.
        self.output.poll(cx);
        if let Poll::Ready(happened) = happened {
            return Poll::Ready(Ok(happened));
        }
        if self.exit.is_none()
            && let Poll::Ready(exit) = exited.poll(cx)
        {
            self.exit = Some(exit);
            self.wire.last_words();
        }
        if let Some(exit) = self.exit {
            return Poll::Ready(self.wire.poll_happened().ok_or(end_of(exit)));
        }
        let Some(reason) = self.wire.lost() else {
            *self.lost = None;
            return Poll::Pending;
        };
        let grace = self.lost.get_or_insert_with(|| Box::pin(sleep(LOST_GRACE)));
        grace.as_mut().poll(cx).map(|()| Err(End::Protocol(reason.to_owned())))
    }
}

/// What extensions are told of their function.
fn setup(settings: &Settings) -> Setup {
    let variable = |name: &str| settings.environment.get(name).cloned().unwrap_or_default();
    Setup {
        external: Vec::new(),
        function_name: variable("AWS_LAMBDA_FUNCTION_NAME"),
        function_version: variable("AWS_LAMBDA_FUNCTION_VERSION"),
        handler: settings.handler.clone(),
        account_id: settings.account.clone(),
        seed: RandomState::new()
            .hash_one(0_u8)
            .to_le_bytes()
            .repeat(2)
            .try_into()
            .unwrap_or_default(),
    }
}

async fn abandon(control: impl Control, step: String, source: io::Error) -> StartError {
    control.destroy(Grace(model::Span::ZERO)).await;
    StartError::Create { step, source }
}

fn end_of(exit: Exit) -> End {
    match exit.cause {
        Cause::Own => End::Exited { status: exit.status, signal: exit.signal },
        Cause::Memory => End::OutOfMemory,
        Cause::Owner => End::Stopped,
    }
}

/// The event, and where its response goes in pieces.
fn event_of(invocation: Invocation) -> (Event, Pieces) {
    let response = match invocation.stream {
        Some(_) => ResponseMode::Streaming,
        None => ResponseMode::Buffered,
    };
    let deadline = invocation.deadline.duration_since(UNIX_EPOCH).unwrap_or_default();
    let event = Event {
        request_id: invocation.request_id,
        payload: invocation.payload,
        deadline_unix_ms: u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX),
        function_arn: invocation.function_arn,
        trace_id: invocation.trace_id,
        client_context: invocation.client_context,
        response,
    };
    (event, Pieces::to(invocation.stream))
}
