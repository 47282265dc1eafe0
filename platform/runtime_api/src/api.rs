//! The state of one instance's Runtime API: who may ask what, and who gets the event.

use crate::answer::Answer;
use crate::body::Collecting;
use crate::connection::{CONNECTIONS_LIMIT, Connection, Read};
use crate::event::{Event, ResponseMode};
use crate::extension::{Extensions, Setup};
use crate::head::{Head, Route};
use crate::subscription::Subscription;
use bytes::Bytes;
use std::collections::VecDeque;

mod extensions;

/// The Runtime API of one function instance.
#[derive(Debug)]
pub struct RuntimeApi {
    connections: Vec<Option<Connection>>,
    state: State,
    /// Connections that wait for an event, most recent last.
    parked: Vec<usize>,
    /// The event in the runtime's hands, kept to be handed over again.
    event: Option<Event>,
    delivery: Delivery,
    stream: Flow,
    extensions: Extensions,
    /// Whether it was told that an event can be handed over.
    told_ready: Told,
    happened: VecDeque<Happened>,
}

/// One connection of one [`RuntimeApi`]. The number of one that was closed is given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionId(pub usize);

/// What a runtime did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// It waits for an event, and so do all extensions.
    Ready,
    /// The runtime waits for an event; extensions may not yet. Only where there are some.
    RuntimeReady,
    /// All external extensions have registered: the runtime may be started. Only where there are some.
    ExtensionsRegistered,
    /// An extension says that it failed.
    ExtensionFailed {
        /// Its name.
        name: String,
        /// Lambda's name for when it failed: `Extension.InitError` or `Extension.ExitError`.
        kind: &'static str,
        /// What it calls its error.
        reason: String,
    },
    /// An extension has subscribed to telemetry; what it subscribed to before is forgotten.
    Subscribed(Box<Subscription>),
    /// It answered its event.
    Response(Bytes),
    /// It answered its event with an error: Lambda's error JSON.
    Error(Bytes),
    /// It begins to answer its event in pieces, of this content type; only where the event asked for pieces.
    StreamBegan {
        /// As the runtime gave it.
        content_type: Option<Box<str>>,
    },
    /// The next piece. No more is read of the stream until [`RuntimeApi::resume_stream`], so that a queue of them has a
    /// bound: what one read brought.
    StreamPiece(Bytes),
    /// All pieces came. Lambda's error JSON where the function failed in between.
    StreamEnded(Option<Bytes>),
    /// It answers its event with more bytes than allowed.
    TooLarge {
        /// What it sent, as far as is known yet.
        size: u64,
        /// What is allowed.
        limit: u64,
    },
    /// Its init failed: Lambda's error JSON.
    InitError(Bytes),
    /// It does not speak the protocol; how.
    Broken(&'static str),
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// The runtime closed it after it had read all that was sent.
    Ended,
    /// It was reset or cannot be written to: what was sent last may not have been read.
    Reset,
}

/// The runtime does not wait for an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotReady;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Started,
    InitError,
    Ready,
    Running,
    /// It sends its response in pieces, over this connection.
    Streaming(usize),
    ResponseSent,
}

impl State {
    /// The name in AWS' error messages.
    fn name(self) -> &'static str {
        match self {
            Self::Started => "Started",
            Self::InitError => "InitError",
            Self::Ready => "Ready",
            Self::Running => "Running",
            Self::Streaming(_) => "InvocationResponse",
            Self::ResponseSent => "RuntimeResponseSentState",
        }
    }
}

/// What is known of the event's way to the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivery {
    /// Handed to this connection.
    To(usize),
    /// Its connection took it and is gone, as clients do that use one connection per request.
    Read,
    /// Its connection was lost before it took it.
    Lost,
    /// The runtime hung up in the middle of its answer.
    Truncated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    No,
    Yes,
}

/// Whether the pieces of a response are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Open,
    Held,
}

impl Default for RuntimeApi {
    fn default() -> Self {
        Self::new()
    }
}

impl RuntimeApi {
    /// The API of an instance whose runtime has just been started.
    pub fn new() -> Self {
        Self::with(Setup::default())
    }

    /// The same, of a function that may have extensions.
    pub fn with(setup: Setup) -> Self {
        Self {
            connections: Vec::new(),
            state: State::Started,
            parked: Vec::new(),
            event: None,
            delivery: Delivery::Read,
            stream: Flow::Open,
            extensions: Extensions::new(setup),
            told_ready: Told::No,
            happened: VecDeque::new(),
        }
    }

    /// A connection was accepted. None where [`CONNECTIONS_LIMIT`] are open.
    pub fn open(&mut self) -> Option<ConnectionId> {
        let free = self.connections.iter().position(Option::is_none);
        let id = free.unwrap_or(self.connections.len());
        if id >= CONNECTIONS_LIMIT {
            return None;
        }
        if free.is_none() {
            self.connections.push(None);
        }
        self.connections[id] = Some(Connection::new());
        Some(ConnectionId(id))
    }

    /// Where to read bytes of a connection to; empty while nothing is to be read from it.
    pub fn space(&mut self, id: ConnectionId) -> &mut [u8] {
        let held = self.stream == Flow::Held;
        match self.connection(id.0) {
            Some(connection) if !(held && connection.streams()) => connection.space(),
            _ => &mut [],
        }
    }

    /// The first `count` bytes of [`Self::space`] were filled.
    pub fn filled(&mut self, id: ConnectionId, count: usize) {
        if let Some(connection) = self.connection(id.0) {
            connection.filled(count);
            self.read(id.0);
        }
    }

    /// Bytes to write to a connection, in order.
    pub fn output(&self, id: ConnectionId) -> [&[u8]; 2] {
        match self.connections.get(id.0) {
            Some(Some(connection)) => connection.output.pending(),
            _ => [&[], &[]],
        }
    }

    /// The first `count` bytes of [`Self::output`] were written.
    pub fn wrote(&mut self, id: ConnectionId, count: usize) {
        if let Some(connection) = self.connection(id.0) {
            let was_full = connection.output.is_full();
            connection.output.wrote(count);
            if was_full {
                self.read(id.0);
            }
        }
    }

    /// Whether the driver should close a connection now: everything was written, and nothing more is to come.
    pub fn is_finished(&self, id: ConnectionId) -> bool {
        matches!(self.connections.get(id.0), Some(Some(connection)) if connection.is_finished())
    }

    /// A connection was closed, by either side.
    pub fn close(&mut self, id: ConnectionId, closing: Closing) {
        let Some(connection) = self.connections.get_mut(id.0).and_then(Option::take) else {
            return;
        };
        self.parked.retain(|parked| *parked != id.0);
        let has_read = closing == Closing::Ended && connection.output.is_empty();
        self.extensions.closed(id.0, has_read);
        self.tell_ready();
        if self.state == State::Streaming(id.0) {
            self.delivery = Delivery::Truncated;
        }
        if self.state != State::Running {
            return;
        }
        if let Some(Head { route, .. }) = connection.unfinished()
            && let Route::Response { request_id } | Route::Error { request_id } = route
            && self.is_current(request_id)
        {
            self.delivery = Delivery::Truncated;
        } else if self.delivery == Delivery::To(id.0) {
            if has_read {
                self.delivery = Delivery::Read;
            } else {
                self.delivery = Delivery::Lost;
                self.deliver();
            }
        }
    }

    /// Whether a live connection waits for an event, and all extensions do.
    pub fn is_ready(&self) -> bool {
        self.state == State::Ready && !self.parked.is_empty() && self.extensions.all_wait()
    }

    /// The connection that would get the next event.
    pub fn parked(&self) -> Option<ConnectionId> {
        self.parked.last().copied().map(ConnectionId)
    }

    /// Why the runtime seems to be gone, if it does: it may still exit, or ask again.
    pub fn lost(&self) -> Option<&'static str> {
        match (self.state, self.delivery) {
            (State::Ready, _) if self.parked.is_empty() => {
                Some("the runtime closed its connection while it waited for an event")
            }
            (State::Running, Delivery::Lost) => {
                Some("the runtime closed its connection before it read its event")
            }
            (State::Running | State::Streaming(_), Delivery::Truncated) => {
                Some("the runtime closed its connection in the middle of its response")
            }
            _ => None,
        }
    }

    /// Hands an event to the connection that waits; its bytes are then that connection's output.
    ///
    /// Where that connection is lost before it was written, another one that asks gets it.
    pub fn invoke(&mut self, event: Event) -> Result<(), NotReady> {
        if !self.is_ready() {
            return Err(NotReady);
        }
        self.extensions.invoke(&event);
        self.event = Some(event);
        self.state = State::Running;
        self.delivery = Delivery::Lost;
        self.told_ready = Told::No;
        self.deliver();
        self.hand_to_extensions();
        Ok(())
    }

    /// What the runtime did next, oldest first.
    pub fn poll_happened(&mut self) -> Option<Happened> {
        self.happened.pop_front()
    }

    /// The last [`Happened::StreamPiece`] was taken: more is read.
    pub fn resume_stream(&mut self) {
        self.stream = Flow::Open;
    }

    fn connection(&mut self, id: usize) -> Option<&mut Connection> {
        self.connections.get_mut(id)?.as_mut()
    }

    fn is_current(&self, request_id: &str) -> bool {
        self.event.as_ref().is_some_and(|event| &*event.request_id == request_id)
    }

    /// Hands the event over, and goes on with what its connection has sent since.
    fn deliver(&mut self) {
        if let Some(id) = self.hand_over() {
            self.read(id);
        }
    }

    /// Gives the event to the connection that asked for one last. Returns it.
    fn hand_over(&mut self) -> Option<usize> {
        let event = self.event.as_ref()?;
        let id = self.parked.pop()?;
        let connection = self.connections.get_mut(id)?.as_mut()?;
        connection.output.push_event(event);
        connection.answered();
        self.delivery = Delivery::To(id);
        Some(id)
    }

    /// Takes in everything that a connection has read.
    fn read(&mut self, id: usize) {
        while let Some(read) = self.connection(id).and_then(Connection::poll_read) {
            match read {
                Read::Streamable => self.begin_stream(id),
                Read::Piece(piece) => {
                    self.stream = Flow::Held;
                    self.happened.push_back(Happened::StreamPiece(piece));
                }
                Read::Growing(Collecting::TooLarge { size, limit }) => {
                    self.oversize(id, (size, limit))
                }
                Read::Growing(_) => self.admit_body(id),
                Read::Malformed(reason) => {
                    self.happened.push_back(Happened::Broken(reason));
                    self.answer(id, Answer::Malformed(reason));
                    return;
                }
                Read::Request { collecting: Collecting::TooLarge { limit, .. }, .. } => {
                    self.answer(id, Answer::TooLarge(limit));
                }
                Read::Request { head, collecting: Collecting::Refused, .. } => {
                    let answer = self.refusal(&head.route);
                    self.answer(id, answer);
                }
                Read::Request { body, collecting: Collecting::Streaming(_), .. } => {
                    self.end_response(Happened::StreamEnded(body.error));
                    self.answer(id, Answer::Accepted);
                }
                Read::Request { head, body, .. } => match head.route {
                    Route::Next => self.next(id),
                    Route::Response { request_id } => {
                        let happened = match body.error {
                            Some(error) => Happened::Error(error),
                            None => Happened::Response(body.bytes),
                        };
                        let answer = self.respond(&request_id, "InvocationResponse", happened);
                        self.answer(id, answer);
                    }
                    Route::Error { request_id } => {
                        let happened = Happened::Error(body.bytes);
                        let answer = self.respond(&request_id, "InvocationErrorResponse", happened);
                        self.answer(id, answer);
                    }
                    Route::InitError => {
                        let answer = self.init_error(body.bytes);
                        self.answer(id, answer);
                    }
                    Route::Extension(route) => {
                        let headers = head.extension.unwrap_or_default();
                        self.extension(id, route, &headers, &body.bytes);
                    }
                    Route::NotFound => self.answer(id, Answer::NotFound),
                    Route::MethodNotAllowed => self.answer(id, Answer::MethodNotAllowed),
                },
            }
        }
    }

    fn answer(&mut self, id: usize, answer: Answer) {
        if let Some(connection) = self.connection(id) {
            connection.output.push(answer);
            if !answer.closes() {
                connection.answered();
            }
        }
        self.settle();
    }

    /// A `next` came: parked, or answered at once with the event that the runtime already has, as AWS does.
    fn next(&mut self, id: usize) {
        if self.state == State::InitError {
            return self.answer(id, Answer::InvalidState(self.state.name(), "Ready"));
        }
        if let Some(connection) = self.connection(id) {
            connection.park();
            self.parked.push(id);
        }
        match self.state {
            State::Running => {
                self.hand_over();
            }
            _ => self.settle(),
        }
    }

    /// A runtime that answered (or has just been started) and waits is ready.
    fn settle(&mut self) {
        if matches!(self.state, State::Started | State::ResponseSent) && !self.parked.is_empty() {
            self.state = State::Ready;
            self.extensions.close_registration();
            if self.extensions.registered().next().is_some() {
                self.happened.push_back(Happened::RuntimeReady);
            }
        }
        self.tell_ready();
    }

    /// Says when an event can be handed over, once each time.
    fn tell_ready(&mut self) {
        let ready = self.is_ready();
        if ready && self.told_ready == Told::No {
            self.happened.push_back(Happened::Ready);
        }
        self.told_ready = if ready { Told::Yes } else { Told::No };
    }

    fn respond(&mut self, request_id: &str, to: &'static str, happened: Happened) -> Answer {
        if self.state != State::Running {
            return Answer::InvalidState(self.state.name(), to);
        }
        if !self.is_current(request_id) {
            return Answer::InvalidRequestId;
        }
        self.end_response(happened);
        Answer::Accepted
    }

    fn end_response(&mut self, happened: Happened) {
        self.state = State::ResponseSent;
        self.stream = Flow::Open;
        self.event = None;
        self.happened.push_back(happened);
    }

    /// Lets the response to the event come in pieces where pieces are wanted; otherwise it is collected.
    fn begin_stream(&mut self, id: usize) {
        let wanted = self.state == State::Running
            && self.event.as_ref().is_some_and(|it| it.response == ResponseMode::Streaming);
        let Some(connection) = self.connections.get_mut(id).and_then(Option::as_mut) else {
            return;
        };
        let Some(Head { route: Route::Response { request_id }, content_type, .. }) =
            connection.unfinished()
        else {
            return;
        };
        let current = self.event.as_ref().is_some_and(|event| *event.request_id == **request_id);
        if !wanted || !current {
            return;
        }
        let content_type = content_type.clone();
        connection.stream_body();
        self.state = State::Streaming(id);
        self.happened.push_back(Happened::StreamBegan { content_type });
    }

    /// Tells a response that is too large while its bytes still come; their answer follows when they are through.
    fn oversize(&mut self, id: usize, (size, limit): (u64, u64)) {
        let Some(Head {
            route: Route::Response { request_id } | Route::Error { request_id }, ..
        }) = self.connection(id).and_then(|connection| connection.unfinished()).cloned()
        else {
            return;
        };
        if self.state == State::Streaming(id) {
            return self.end_response(Happened::TooLarge { size, limit });
        }
        self.respond(&request_id, "InvocationResponse", Happened::TooLarge { size, limit });
    }

    /// The answer to a request whose body was not kept.
    fn refusal(&self, route: &Route) -> Answer {
        match route {
            Route::NotFound => Answer::NotFound,
            Route::MethodNotAllowed => Answer::MethodNotAllowed,
            Route::Response { request_id } | Route::Error { request_id }
                if self.state == State::Running && !self.is_current(request_id) =>
            {
                Answer::InvalidRequestId
            }
            _ => Answer::InvalidState(self.state.name(), "InvocationResponse"),
        }
    }

    /// Keeps a large body only where it may answer the event, and no other is being kept.
    fn admit_body(&mut self, id: usize) {
        let expected = match self.connection(id).and_then(|connection| connection.unfinished()) {
            Some(Head { route: Route::Response { request_id }, .. })
            | Some(Head { route: Route::Error { request_id }, .. }) => {
                let request_id = request_id.clone();
                self.is_current(&request_id)
            }
            Some(Head { route: Route::InitError, .. }) => self.state == State::Started,
            Some(Head { route: Route::Extension(_), .. }) => false,
            _ => false,
        };
        let keeping = self.connections.iter().flatten().filter(|other| other.keeps_large_body());
        if (!expected || keeping.count() > 1)
            && let Some(connection) = self.connection(id)
        {
            connection.refuse_body();
        }
    }

    fn init_error(&mut self, body: Bytes) -> Answer {
        if self.state != State::Started {
            return Answer::InvalidState(self.state.name(), "InitError");
        }
        self.state = State::InitError;
        self.happened.push_back(Happened::InitError(body));
        Answer::Accepted
    }
}

#[cfg(test)]
mod tests;
