//! Telemetry of one instance with extensions: what it says of its phases, and how that gets to subscribers.
//!
//! Sent from within the sandbox's own network, while the instance runs: one that is frozen could not listen. Deliberately
//! knows nothing of how events are collected.

use super::feed::{Due, Feed, Wait, stamp};
use crate::container::{Beside, Processes};
use crate::seam::{End, Outcome, Phase, Settings};
use model::Span;
use runtime_api::{Api, Destination, Event, Protocol, Registered, Subscription};
use serde_json::{Value, json};
use std::future::Future;
use std::io;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::{Sleep, sleep, sleep_until};

/// Least and most time between two attempts to send.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Bytes that are put together for one write: events are shared by all subscribers, and not copied whole.
const PIECE: usize = 64 << 10;
/// Most bytes of an answer that are read to find its status.
const ANSWER_LIMIT: usize = 256;

/// See the module.
#[derive(Debug)]
pub(super) struct Telemetry {
    feed: Feed,
    processes: Arc<Processes>,
    /// By subscriber.
    deliveries: Vec<Delivery>,
    wait: Wait,
    is_frozen: bool,
    /// As in `on-demand`.
    initialization: String,
    phase: Phase,
    version: String,
    began: Instant,
    init_runtime: InitRuntime,
    invocation: Option<Running>,
}

/// How far the runtime is in the init.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InitRuntime {
    UnderWay,
    Done,
}

/// What is on its way to one subscriber.
#[derive(Default)]
struct Delivery {
    sending: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Until when events wait for others.
    timer: Option<Pin<Box<Sleep>>>,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Delivery").field("sends", &self.sending.is_some()).finish()
    }
}

/// An invocation whose runtime is not done.
#[derive(Debug)]
struct Running {
    request_id: Arc<str>,
    trace_id: Arc<str>,
    began: Instant,
    began_at: SystemTime,
    answer: Option<Answer>,
}

#[derive(Debug)]
struct Answer {
    after: Span,
    bytes: Option<usize>,
    status: Status,
}

/// How a phase ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Success,
    /// The function said that it failed.
    Error,
    /// It ended with this type of error.
    Failure(&'static str),
    Timeout,
}

impl Status {
    fn of(end: &End) -> Self {
        match end {
            End::InitTimedOut => Self::Timeout,
            end => Self::Failure(end.kind()),
        }
    }

    fn put_into(self, record: &mut Value) {
        let (word, kind) = match self {
            Self::Success => ("success", None),
            Self::Error => ("error", Some("Runtime.Unknown")),
            Self::Failure(kind) => ("failure", Some(kind)),
            Self::Timeout => ("timeout", None),
        };
        record["status"] = word.into();
        if let Some(kind) = kind {
            record["errorType"] = kind.into();
        }
    }
}

impl Telemetry {
    /// The telemetry of an instance whose init begins.
    pub fn begin(
        feed: Feed,
        beside: &Beside,
        processes: Arc<Processes>,
        settings: &Settings,
    ) -> Self {
        let variable = |name: &str| settings.environment.get(name).cloned().unwrap_or_default();
        let telemetry = Self {
            feed,
            processes,
            deliveries: Vec::new(),
            wait: Wait::Usual,
            is_frozen: false,
            initialization: beside.initialization.clone(),
            phase: beside.phase,
            version: variable("AWS_LAMBDA_FUNCTION_VERSION"),
            began: Instant::now(),
            init_runtime: InitRuntime::UnderWay,
            invocation: None,
        };
        let mut record = telemetry.init_record();
        record["runtimeVersion"] = settings.runtime.as_str().into();
        record["runtimeVersionArn"] =
            format!("arn:aws:lambda:{}::runtime:{}", variable("AWS_REGION"), settings.runtime)
                .into();
        record["functionName"] = variable("AWS_LAMBDA_FUNCTION_NAME").into();
        record["functionVersion"] = telemetry.version.as_str().into();
        record["instanceMaxMemory"] = (u64::from(settings.memory.0) << 20).into();
        telemetry.feed.platform("platform.initStart", record);
        telemetry
    }

    fn init_record(&self) -> Value {
        let phase = match self.phase {
            Phase::Init => "init",
            Phase::Invoke => "invoke",
        };
        json!({ "initializationType": self.initialization, "phase": phase })
    }

    /// An extension has subscribed.
    pub fn subscribe(&mut self, subscription: Subscription) {
        let kind = match subscription.api {
            Api::Telemetry => "platform.telemetrySubscription",
            Api::Logs => "platform.logsSubscription",
        };
        let types: Vec<&str> = subscription.streams.iter().map(|it| it.name()).collect();
        let name = subscription.extension.clone();
        self.feed.subscribe(subscription);
        let record = json!({ "name": name, "state": "Subscribed", "types": types });
        self.feed.platform(kind, record);
    }

    /// The runtime has come to the end of its init.
    pub fn init_runtime_done(&mut self) {
        self.init_runtime = InitRuntime::Done;
        self.tell_init_runtime(Status::Success);
    }

    fn tell_init_runtime(&self, status: Status) {
        let mut record = self.init_record();
        status.put_into(&mut record);
        self.feed.platform("platform.initRuntimeDone", record);
    }

    /// The init is over, and so is the time for subscriptions.
    pub fn init_done<'a>(
        &mut self,
        extensions: impl Iterator<Item = Registered<'a>>,
        end: Option<&End>,
    ) {
        let status = end.map_or(Status::Success, Status::of);
        if self.init_runtime == InitRuntime::UnderWay {
            self.tell_init_runtime(status);
        }
        for Registered { name, events, .. } in extensions {
            let record = json!({ "name": name, "state": "Ready", "events": events });
            self.feed.platform("platform.extension", record);
        }
        let mut record = self.init_record();
        record["metrics"] = json!({ "durationMs": millis(Span::from(self.began.elapsed())) });
        status.put_into(&mut record);
        self.feed.platform("platform.initReport", record);
        self.feed.close();
    }

    /// An invocation begins.
    pub fn start(&mut self, event: &Event) {
        let running = Running {
            request_id: Arc::clone(&event.request_id),
            trace_id: Arc::clone(&event.trace_id),
            began: Instant::now(),
            began_at: SystemTime::now(),
            answer: None,
        };
        let mut record = json!({ "requestId": &*running.request_id, "version": self.version });
        record["tracing"] = running.tracing();
        self.feed.platform("platform.start", record);
        self.invocation = Some(running);
    }

    /// The runtime has answered its event.
    pub fn answered(&mut self, outcome: &Outcome) {
        let Some(running) = &mut self.invocation else { return };
        let (status, bytes) = match outcome {
            Outcome::Response { payload, .. } => (Status::Success, Some(payload.len())),
            Outcome::Streamed { .. } => (Status::Success, None),
            Outcome::Error { payload, .. } => (Status::Error, Some(payload.len())),
            Outcome::Ended { end, .. } => (Status::of(end), None),
        };
        let after = Span::from(running.began.elapsed());
        running.answer = Some(Answer { after, bytes, status });
    }

    /// The runtime is done with its event.
    pub fn runtime_done(&mut self) {
        if let Some(running) = self.invocation.take() {
            self.done(running, Status::Success);
        }
    }

    /// The instance has ended in an invocation, if one is under way.
    pub fn ended(&mut self, end: &End) {
        if let Some(running) = self.invocation.take() {
            let id = &running.request_id;
            self.feed.platform("platform.fault", format!("RequestId: {id} {}", end.kind()).into());
            self.done(running, Status::of(end));
        }
    }

    fn done(&mut self, running: Running, status: Status) {
        let status = running.answer.as_ref().map_or(status, |answer| match status {
            Status::Success => answer.status,
            other => other,
        });
        let id = &*running.request_id;
        let mut record = json!({
            "requestId": id,
            "metrics": { "durationMs": millis(Span::from(running.began.elapsed())) },
            "tracing": running.tracing(),
        });
        status.put_into(&mut record);
        if let Some(Answer { after, bytes, .. }) = running.answer {
            if let Some(bytes) = bytes {
                record["metrics"]["producedBytes"] = bytes.into();
            }
            record["spans"] = json!([{
                "name": "responseLatency",
                "start": stamp(running.began_at),
                "durationMs": millis(after),
            }]);
        }
        self.feed.platform("platform.runtimeDone", record);
        self.feed.platform("platform.end", json!({ "requestId": id }));
    }

    /// The platform's report of an invocation, as an event's JSON.
    pub fn report(&mut self, json: &str) {
        self.feed.told("platform.report", json);
    }

    /// Nothing is sent while the instance is frozen.
    pub fn freeze(&mut self) {
        self.is_frozen = true;
    }

    pub fn thaw(&mut self) {
        self.is_frozen = false;
    }

    /// The instance ends: nothing waits for other events any more. An invocation that is under way has run into its limit.
    pub fn end(&mut self) {
        self.is_frozen = false;
        self.wait = Wait::None;
        if let Some(running) = self.invocation.take() {
            self.done(running, Status::Timeout);
        }
    }

    /// Sends what is due.
    pub fn poll(&mut self, cx: &mut Context<'_>) {
        if self.is_frozen {
            return;
        }
        self.deliveries.resize_with(self.feed.subscribers(), Delivery::default);
        for (subscriber, delivery) in self.deliveries.iter_mut().enumerate() {
            loop {
                if let Some(sending) = &mut delivery.sending {
                    if sending.as_mut().poll(cx).is_pending() {
                        break;
                    }
                    delivery.sending = None;
                    self.feed.arrived(subscriber);
                }
                match self.feed.due(subscriber, Instant::now(), self.wait) {
                    Due::Nothing => break,
                    Due::At(at) => {
                        let timer = delivery.timer.insert(Box::pin(sleep_until(at.into())));
                        if timer.as_mut().poll(cx).is_pending() {
                            break;
                        }
                    }
                    Due::Now(events) => {
                        let Some(subscription) = self.feed.subscription(subscriber) else { break };
                        let processes = Arc::clone(&self.processes);
                        let destination = subscription.destination;
                        delivery.sending = Some(Box::pin(send(processes, destination, events)));
                    }
                }
            }
        }
    }
}

impl Running {
    fn tracing(&self) -> Value {
        let parent = self.trace_id.split(';').find_map(|part| part.strip_prefix("Parent="));
        json!({ "spanId": parent.unwrap_or_default(), "type": "X-Amzn-Trace-Id", "value": &*self.trace_id })
    }
}

/// Milliseconds with two decimals.
fn millis(span: Span) -> f64 {
    (span.as_secs_f64() * 100_000.0).round() / 100.0
}

/// Sends events, again and again until the subscriber has taken them.
async fn send(processes: Arc<Processes>, destination: Destination, events: Vec<Arc<str>>) {
    let mut pause = PAUSE.0;
    while attempt(&processes, &destination, &events).await.is_err() {
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

async fn attempt(
    processes: &Processes,
    destination: &Destination,
    events: &[Arc<str>],
) -> io::Result<()> {
    let socket = std::net::TcpStream::from(processes.socket().await?);
    let address = (Ipv4Addr::LOCALHOST, destination.port).into();
    let mut stream = TcpSocket::from_std_stream(socket).connect(address).await?;
    let (mut piece, separator, end) = frame(destination, events);
    for (index, event) in events.iter().enumerate() {
        if index > 0 {
            piece.push(separator);
        }
        piece.push_str(event);
        if piece.len() >= PIECE {
            stream.write_all(piece.as_bytes()).await?;
            piece.clear();
        }
    }
    piece.push(end);
    stream.write_all(piece.as_bytes()).await?;
    if destination.protocol == Protocol::Tcp {
        return stream.shutdown().await;
    }
    let mut answer = Vec::new();
    while !answer.contains(&b'\n') && answer.len() < ANSWER_LIMIT {
        if stream.read_buf(&mut answer).await? == 0 {
            break;
        }
    }
    let line = String::from_utf8_lossy(&answer);
    match line.split(' ').nth(1) {
        Some(status) if status.starts_with('2') => Ok(()),
        _ => Err(io::Error::other("the subscriber has not taken the events")),
    }
}

/// What comes before events, between two, and after them.
fn frame(destination: &Destination, events: &[Arc<str>]) -> (String, char, char) {
    match &destination.protocol {
        Protocol::Tcp => (String::new(), '\n', '\n'),
        Protocol::Http { method, path } => {
            // Each has a bracket or a comma before it, and there is a bracket at the end.
            let length = events.iter().map(|event| event.len() + 1).sum::<usize>() + 1;
            let head = format!(
                "{method} {path} HTTP/1.1\r\nHost: sandbox.localdomain:{}\r\n\
                 Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n[",
                destination.port,
            );
            (head, ',', ']')
        }
    }
}
