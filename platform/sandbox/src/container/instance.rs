//! A function instance in a container: its runtime, spoken to over the Runtime API.
//!
//! Deliberately knows nothing of how the sandbox is made (`handle`), and has no task of its own: whoever awaits a
//! method drives sockets, output and exit, so that an instance at rest costs nothing.

mod lines;
mod output;
mod pieces;
mod shutdown;
mod wire;

use crate::container::image::EXTENSIONS;
use crate::container::{Cause, Control, Exit, Process, Processes, Running};
use crate::seam::{
    End, Extension, Grace, Instance, Invocation, Log, Outcome, Settings, StartError, Tail, Usage,
};
use model::Span;
use output::{Keep, Output};
use pieces::Pieces;
use runtime_api::{Event, Happened, Registered, ResponseMode, Setup, ShutdownReason};
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
    /// Names of the extensions that have processes.
    names: Vec<String>,
    extensions: Extensions,
}

/// For how long an invocation goes on after its answer, where there are extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extensions {
    /// It does since then.
    Work(Instant),
    /// It did for so long.
    Worked(Span),
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
        let Running { listener, output, control, log, beside } = running;
        let (names, beside) = beside.map_or((Vec::new(), None), |it| (it.names, Some(it.output)));
        let parts = Wire::new(listener, setup(settings, &names)).and_then(|wire| {
            let beside = beside.map(|pipe| Output::new(pipe, log.clone())).transpose()?;
            Ok((wire, Output::new(output, log)?.beside(beside)))
        });
        let (wire, output) = match parts {
            Ok(parts) => parts,
            Err(source) => {
                let step = "cannot wait for the runtime; raise the limit of open files".to_owned();
                return Err(abandon(control, step, source).await);
            }
        };
        let mut instance = Self {
            control,
            wire,
            output,
            rest: Rest::Awake,
            lost: None,
            names,
            extensions: Extensions::Worked(Span::ZERO),
        };
        let left = Duration::from(settings.init_timeout).saturating_sub(started_at.elapsed());
        let init = timeout(left, instance.init()).await.unwrap_or(Err(End::InitTimedOut));
        if let Err(end) = init {
            let log = instance.output.take();
            instance.stop(ShutdownReason::Failure).await;
            return Err(StartError::Ended { end, log });
        }
        if let Err(source) = instance.control.apply_ceiling() {
            let step = "cannot set the CPU ceiling".to_owned();
            return Err(abandon(instance.control, step, source).await);
        }
        instance.output.begin(Keep::Nothing, None);
        Ok(instance)
    }

    /// The extensions that have registered.
    pub fn extensions(&mut self) -> Vec<Extension> {
        let own =
            |it: Registered<'_>| Extension { name: it.name.to_owned(), events: it.events.to_vec() };
        self.wire.api().extensions().map(own).collect()
    }

    /// Waits for the first `next` of runtime and extensions; the runtime is started when all of these have registered.
    async fn init(&mut self) -> Result<(), End> {
        let mut exited = pin!(self.control.exited());
        let mut turns = Turns::of(&mut self.wire, &mut self.output, &mut self.lost, &self.names);
        loop {
            match turns.next(exited.as_mut()).await? {
                Happened::Ready => return Ok(()),
                Happened::ExtensionsRegistered => {
                    let started = self.control.processes().map(Processes::start_runtime);
                    started
                        .transpose()
                        .map_err(|error| End::Protocol(format!("it cannot be started: {error}")))?;
                }
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
        let mut turns = Turns::of(&mut self.wire, &mut self.output, &mut self.lost, &self.names);
        let (event, mut sink) = event_of(invocation);
        let mut event = Some(event);
        loop {
            if let Some(sent) = event.take() {
                event = turns.wire.invoke(sent).err();
            }
            let outcome = match turns.next(exited.as_mut()).await? {
                Happened::Ready if respond.is_none() => {
                    self.extensions = Extensions::Worked(self.extensions.time());
                    return Ok(());
                }
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
                Happened::Ready
                | Happened::RuntimeReady
                | Happened::InitError(_)
                | Happened::ExtensionsRegistered
                | Happened::Subscribed(_) => continue,
            };
            sink = Pieces::Gone;
            if turns.wire.api().extensions().next().is_some() {
                self.extensions = Extensions::Work(Instant::now());
            }
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
        self.extensions = Extensions::Worked(Span::ZERO);
        let mut respond = Some(respond);
        let ended = self.run(invocation, &mut respond).await;
        if let (Err(end), Some(respond)) = (&ended, respond) {
            let tail = tail(&mut self.output, &self.control);
            respond(Outcome::Ended { end: end.clone(), tail });
        }
        if ended.is_err() {
            // Nothing will say that there is more: these are its last words.
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
        Usage { extensions: self.extensions.time(), ..self.control.usage() }
    }

    async fn ended(&mut self) -> End {
        let mut exited = pin!(self.control.exited());
        let mut turns = Turns::of(&mut self.wire, &mut self.output, &mut self.lost, &self.names);
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

    async fn stop(self, reason: ShutdownReason) {
        shutdown::stop(self, reason).await;
    }
}

/// What drives an instance, beside its exit.
struct Turns<'a> {
    wire: &'a mut Wire,
    output: &'a mut Output,
    lost: &'a mut Option<Pin<Box<Sleep>>>,
    names: &'a [String],
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
        names: &'a [String],
    ) -> Self {
        Self { wire, output, lost, names, exit: None, kept: VecDeque::new(), end: None }
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
            return Poll::Ready(self.wire.poll_happened().ok_or(end_of(exit, self.names)));
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
fn setup(settings: &Settings, external: &[String]) -> Setup {
    let variable = |name: &str| settings.environment.get(name).cloned().unwrap_or_default();
    Setup {
        external: external.to_vec(),
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
    control.destroy(Grace(Span::ZERO)).await;
    StartError::Create { step, source }
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

impl Extensions {
    fn time(self) -> Span {
        match self {
            Self::Work(since) => Span::from(since.elapsed()),
            Self::Worked(time) => time,
        }
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
