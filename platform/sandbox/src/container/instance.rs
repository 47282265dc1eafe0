//! A function instance in a container: its runtime, spoken to over the Runtime API.
//!
//! Deliberately knows nothing of how the sandbox is made (`handle`), and has no task of its own: whoever awaits a
//! method drives sockets, output and exit, so that an instance at rest costs nothing.

mod feed;
mod lines;
mod output;
mod pieces;
mod shutdown;
mod telemetry;
mod turns;
mod wire;

use crate::LogSink;
use crate::container::{Beside, Control, Running};
use crate::seam::{
    End, Extension, Grace, Instance, Invocation, Log, Outcome, Settings, StartError, Usage,
};
use feed::{Feed, Tee};
use model::Span;
use output::{Keep, Output};
use pieces::Pieces;
use runtime_api::{Event, Happened, Registered, ResponseMode, Setup, ShutdownReason, Stream};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};
use telemetry::Telemetry;
use tokio::time::timeout;
use turns::{Io, Turns, tail};
use wire::Wire;

/// A function instance in a container.
#[derive(Debug)]
pub struct ContainerInstance<C: Control> {
    control: C,
    io: Io,
    rest: Rest,
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
        let connected = match beside {
            None => connect(listener, settings, (output, log)),
            Some(beside) => connect_extensions(listener, settings, (output, log), beside, &control),
        };
        let io = match connected {
            Ok(io) => io,
            Err(source) => {
                let step = "cannot wait for the runtime; raise the limit of open files".to_owned();
                return Err(abandon(control, step, source).await);
            }
        };
        let extensions = Extensions::Worked(Span::ZERO);
        let mut instance = Self { control, io, rest: Rest::Awake, extensions };
        let left = Duration::from(settings.init_timeout).saturating_sub(started_at.elapsed());
        let init = timeout(left, instance.init()).await.unwrap_or(Err(End::InitTimedOut));
        if let Some(telemetry) = &mut instance.io.telemetry {
            telemetry.init_done(instance.io.wire.api().extensions(), init.as_ref().err());
        }
        if let Err(end) = init {
            let log = instance.io.output.take();
            instance.stop(ShutdownReason::Failure).await;
            return Err(StartError::Ended { end, log });
        }
        if let Err(source) = instance.control.apply_ceiling() {
            let step = "cannot set the CPU ceiling".to_owned();
            return Err(abandon(instance.control, step, source).await);
        }
        instance.io.output.begin(Keep::Nothing, None);
        Ok(instance)
    }

    /// The extensions that have registered.
    pub fn extensions(&mut self) -> Vec<Extension> {
        let own =
            |it: Registered<'_>| Extension { name: it.name.to_owned(), events: it.events.to_vec() };
        self.io.wire.api().extensions().map(own).collect()
    }

    /// Waits for the first `next` of runtime and extensions; the runtime is started when all of these have registered.
    async fn init(&mut self) -> Result<(), End> {
        let mut exited = pin!(self.control.exited());
        let mut turns = Turns::of(&mut self.io);
        loop {
            match turns.next(exited.as_mut()).await? {
                Happened::Ready => return Ok(()),
                Happened::RuntimeReady => {
                    if let Some(telemetry) = &mut turns.io.telemetry {
                        telemetry.init_runtime_done();
                    }
                }
                Happened::Subscribed(subscription) => {
                    if let Some(telemetry) = &mut turns.io.telemetry {
                        telemetry.subscribe(*subscription);
                    }
                }
                Happened::ExtensionsRegistered => {
                    let started = self.control.processes().map(|it| it.start_runtime());
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
            if let Some(telemetry) = &mut self.io.telemetry {
                telemetry.thaw();
            }
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
        let mut turns = Turns::of(&mut self.io);
        let (event, mut sink) = event_of(invocation);
        if let Some(telemetry) = &mut turns.io.telemetry {
            telemetry.start(&event);
        }
        let mut event = Some(event);
        loop {
            if let Some(sent) = event.take() {
                event = turns.io.wire.invoke(sent).err();
            }
            let happened = match turns.next(exited.as_mut()).await? {
                Happened::Ready if respond.is_none() => {
                    self.extensions = Extensions::Worked(self.extensions.time());
                    return Ok(());
                }
                Happened::StreamBegan { content_type } => {
                    sink.begin(content_type);
                    continue;
                }
                Happened::StreamPiece(piece) => {
                    sink.put(piece, &mut turns, exited.as_mut()).await;
                    turns.io.wire.resume_stream();
                    continue;
                }
                happened => happened,
            };
            let Some(outcome) = outcome_of(happened, &mut turns, &self.control)? else { continue };
            sink = Pieces::Gone;
            if let Some(telemetry) = &mut turns.io.telemetry {
                telemetry.answered(&outcome);
            }
            if turns.io.wire.api().extensions().next().is_some() {
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
        self.io.output.begin(keep, Some(&invocation.request_id));
        self.extensions = Extensions::Worked(Span::ZERO);
        let mut respond = Some(respond);
        let ended = self.run(invocation, &mut respond).await;
        if let (Err(end), Some(telemetry)) = (&ended, &mut self.io.telemetry) {
            telemetry.ended(end);
        }
        if let (Err(end), Some(respond)) = (&ended, respond) {
            let tail = tail(&mut self.io.output, &self.control);
            respond(Outcome::Ended { end: end.clone(), tail });
        }
        if ended.is_err() || self.io.output.is_behind() {
            // Nothing will say that there is more, or it would come after the invocation that wrote it.
            self.io.output.drain();
        }
        self.io.output.begin(Keep::Nothing, None);
        ended
    }

    async fn rest(&mut self) {
        if self.rest == Rest::Awake && self.control.freeze().is_ok() {
            self.rest = Rest::Frozen;
            if let Some(telemetry) = &mut self.io.telemetry {
                telemetry.freeze();
            }
        }
    }

    fn usage(&self) -> Usage {
        Usage { extensions: self.extensions.time(), ..self.control.usage() }
    }

    async fn ended(&mut self) -> End {
        let mut exited = pin!(self.control.exited());
        let mut turns = Turns::of(&mut self.io);
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

    fn tell(&mut self, report: &str) {
        if let Some(telemetry) = &mut self.io.telemetry {
            telemetry.report(report);
        }
    }

    async fn stop(self, reason: ShutdownReason) {
        shutdown::stop(self, reason).await;
    }
}

/// The answer, where that is one. Errors: it is the instance's end.
fn outcome_of(
    happened: Happened,
    turns: &mut Turns<'_>,
    control: &impl Control,
) -> Result<Option<Outcome>, End> {
    let outcome = match happened {
        Happened::Response(payload) => Outcome::Response { payload, tail: turns.tail(control) },
        Happened::Error(payload) | Happened::StreamEnded(Some(payload)) => {
            Outcome::Error { payload, tail: turns.tail(control) }
        }
        Happened::StreamEnded(None) => Outcome::Streamed { tail: turns.tail(control) },
        Happened::TooLarge { size, limit } => {
            let end = End::ResponseTooLarge { size, limit };
            Outcome::Ended { end, tail: turns.tail(control) }
        }
        Happened::Broken(reason) => return Err(End::Protocol(reason.to_owned())),
        Happened::ExtensionFailed { name, kind, reason } => {
            return Err(End::Extension { name, kind, reason });
        }
        Happened::RuntimeReady => {
            if let Some(telemetry) = &mut turns.io.telemetry {
                telemetry.runtime_done();
            }
            return Ok(None);
        }
        Happened::Ready
        | Happened::InitError(_)
        | Happened::ExtensionsRegistered
        | Happened::Subscribed(_)
        | Happened::StreamBegan { .. }
        | Happened::StreamPiece(_) => return Ok(None),
    };
    Ok(Some(outcome))
}

/// Where output is written to, and its lines go.
type Written = (OwnedFd, Option<Arc<dyn LogSink>>);

fn connect(listener: TcpListener, settings: &Settings, (output, log): Written) -> io::Result<Io> {
    let wire = Wire::new(listener, setup(settings, &[]))?;
    let output = Output::new(output, log)?;
    Ok(Io { wire, output, lost: None, names: Vec::new(), telemetry: None })
}

fn connect_extensions(
    listener: TcpListener,
    settings: &Settings,
    (output, log): Written,
    beside: Beside,
    control: &impl Control,
) -> io::Result<Io> {
    let wire = Wire::new(listener, setup(settings, &beside.names))?;
    let feed = Feed::new();
    let own = Tee::sink(log.clone(), &feed, Stream::Function);
    let theirs = Tee::sink(log, &feed, Stream::Extension);
    let telemetry = control.processes().map(|processes| {
        Box::new(Telemetry::begin(feed, &beside, Arc::clone(processes), settings))
    });
    let Beside { names, output: pipe, .. } = beside;
    let output = Output::new(output, Some(own))?.beside(Some(Output::new(pipe, Some(theirs))?));
    Ok(Io { wire, output, lost: None, names, telemetry })
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
