//! One connection: requests in their order, one at a time, and the bytes on their way out.

use crate::answer::{Answer, Output};
use crate::body::{Body, Collecting, Complete};
use crate::event::ResponseMode;
use crate::head::{self, Expects, HEAD_LIMIT, Head, Keep};
use bytes::Bytes;

/// Most connections that one instance may have open; a driver accepts no more.
pub const CONNECTIONS_LIMIT: usize = 32;
/// Bytes of a fresh input buffer, which nearly every request fits.
const INPUT_SIZE: usize = 2 << 10;
/// Bytes of the input buffer while a body comes through it.
const BODY_INPUT_SIZE: usize = 64 << 10;

/// One connection of a runtime.
#[derive(Debug)]
pub(crate) struct Connection {
    input: Vec<u8>,
    start: usize,
    end: usize,
    /// Up to here no end of a head was found.
    scanned: usize,
    phase: Phase,
    keep: Keep,
    pub output: Output,
}

#[derive(Debug)]
enum Phase {
    Head,
    Body(Box<(Head, Body)>),
    /// A `next` waits for its event; later requests wait behind it.
    Parked,
    /// Nothing is read any more.
    Closed,
}

/// What the head of a request begins.
#[derive(Clone, Copy, Debug)]
enum Beginning {
    Body(Collecting),
    Streamable,
}

/// What a connection has read.
#[derive(Debug)]
pub(crate) enum Read {
    /// The head of a response that is to be streamed; its body may be, by [`Connection::stream_body`].
    Streamable,
    /// The next bytes of a body that is streamed.
    Piece(Bytes),
    /// Part of a request, whose body is large or too large; in the latter case it is thrown away.
    Growing(Collecting),
    /// A whole request.
    Request { head: Head, body: Complete, collecting: Collecting },
    /// It cannot be read, and nothing after it.
    Malformed(&'static str),
}

impl Connection {
    pub fn new() -> Self {
        Self {
            input: vec![0; INPUT_SIZE],
            start: 0,
            end: 0,
            scanned: 0,
            phase: Phase::Head,
            keep: Keep::Alive,
            output: Output::default(),
        }
    }

    /// Where to read bytes to; empty while nothing more is to be read.
    pub fn space(&mut self) -> &mut [u8] {
        if self.reads_into_body() {
            return match &mut self.phase {
                Phase::Body(request) => request.1.space(),
                _ => &mut [],
            };
        }
        if self.end == self.input.len() && self.start > 0 {
            self.input.copy_within(self.start..self.end, 0);
            self.scanned -= self.start.min(self.scanned);
            self.end -= self.start;
            self.start = 0;
        }
        match self.phase {
            Phase::Closed => return &mut [],
            Phase::Head if self.end == self.input.len() && !self.output.is_full() => {
                self.input.resize((self.end * 2).min(HEAD_LIMIT), 0);
            }
            // Chunks and what is thrown away pass through here: fewer, larger reads.
            Phase::Body(_) if self.end == 0 && self.input.len() < BODY_INPUT_SIZE => {
                self.input.resize(BODY_INPUT_SIZE, 0);
            }
            _ => {}
        }
        &mut self.input[self.end..]
    }

    /// The first `count` bytes of [`Self::space`] were filled.
    pub fn filled(&mut self, count: usize) {
        match &mut self.phase {
            Phase::Body(request) if self.start == self.end && request.1.is_direct() => {
                request.1.filled(count);
            }
            _ => self.end += count,
        }
    }

    /// Whether bytes go straight into the body: those read before it was known to come are used up.
    fn reads_into_body(&self) -> bool {
        self.start == self.end
            && matches!(&self.phase, Phase::Body(request) if request.1.is_direct())
    }

    /// The next thing that was read, if it is all there. Nothing while the output is full or a `next` is parked.
    pub fn poll_read(&mut self) -> Option<Read> {
        if matches!(self.phase, Phase::Head) && !self.output.is_full() {
            match self.read_head() {
                Ok(None) => return None,
                Ok(Some(Beginning::Streamable)) => return Some(Read::Streamable),
                Ok(Some(Beginning::Body(Collecting::Small))) => {}
                Ok(Some(Beginning::Body(collecting))) => return Some(Read::Growing(collecting)),
                Err(reason) => return Some(self.malformed(reason)),
            }
        }
        let Phase::Body(request) = &mut self.phase else { return None };
        let (_, body) = request.as_mut();
        let before = body.collecting();
        match body.feed(&self.input[self.start..self.end]) {
            Ok(count) => self.start += count,
            Err(reason) => return Some(self.malformed(reason)),
        }
        let collecting = body.collecting();
        if std::mem::discriminant(&before) != std::mem::discriminant(&collecting) {
            return Some(Read::Growing(collecting));
        }
        if let Some(piece) = body.take_piece() {
            return Some(Read::Piece(piece));
        }
        if let Some(complete) = body.take() {
            return Some(self.complete(complete, collecting));
        }
        self.compact();
        None
    }

    /// Reads a head if it is all there. Returns what becomes of its body.
    fn read_head(&mut self) -> Result<Option<Beginning>, &'static str> {
        // Empty lines before a request are ignored (RFC 9112, 2.2).
        while self.start < self.end && matches!(self.input[self.start], b'\r' | b'\n') {
            self.start += 1;
        }
        let from = self.scanned.max(self.start);
        let filled = &self.input[..self.end];
        if !filled[from..].windows(4).any(|window| window == b"\r\n\r\n") {
            // The end may straddle this read and the next.
            self.scanned = self.end.saturating_sub(3).max(self.start);
            if self.end - self.start >= HEAD_LIMIT {
                return Err("request head is larger than 128 KiB");
            }
            self.compact();
            return Ok(None);
        }
        let (head, size) = head::parse(&filled[self.start..])?;
        self.start += size;
        self.scanned = self.start;
        let body = Body::new(head.length, head.mode)?;
        if head.expects == Expects::Continue && self.start == self.end {
            self.output.push(Answer::Continue);
        }
        let beginning = match head.mode {
            ResponseMode::Streaming => Beginning::Streamable,
            ResponseMode::Buffered => Beginning::Body(body.collecting()),
        };
        self.phase = Phase::Body(Box::new((head, body)));
        Ok(Some(beginning))
    }

    fn complete(&mut self, body: Complete, collecting: Collecting) -> Read {
        match std::mem::replace(&mut self.phase, Phase::Head) {
            Phase::Body(request) => {
                let (head, _) = *request;
                self.keep = head.keep;
                self.compact();
                Read::Request { head, body, collecting }
            }
            _ => self.malformed("request ended without a head"),
        }
    }

    fn malformed(&mut self, reason: &'static str) -> Read {
        self.keep = Keep::Close;
        self.phase = Phase::Closed;
        Read::Malformed(reason)
    }

    /// Starts the buffer afresh where everything in it was used, and gives back what one large head took.
    fn compact(&mut self) {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
            self.scanned = 0;
            if self.input.len() > INPUT_SIZE && matches!(self.phase, Phase::Head) {
                self.input = vec![0; INPUT_SIZE];
            }
        }
    }

    /// Holds the answer to the request read last: a `next` with no event yet.
    pub fn park(&mut self) {
        self.phase = Phase::Parked;
    }

    /// The request read last is answered, `output` holding the answer.
    pub fn answered(&mut self) {
        self.phase = if self.keep == Keep::Close { Phase::Closed } else { Phase::Head };
    }

    /// Whether everything was written and nothing more is to come.
    pub fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Closed) && self.output.is_empty()
    }

    /// Throws away the body that is being read.
    pub fn refuse_body(&mut self) {
        if let Phase::Body(request) = &mut self.phase {
            request.1.refuse();
        }
    }

    /// Hands the body that is being read on in pieces.
    pub fn stream_body(&mut self) {
        if let Phase::Body(request) = &mut self.phase {
            request.1.stream();
        }
    }

    /// Whether a body is handed on in pieces.
    pub fn streams(&self) -> bool {
        matches!(&self.phase, Phase::Body(request) if matches!(request.1.collecting(), Collecting::Streaming(_)))
    }

    /// Whether a large body is being kept.
    pub fn keeps_large_body(&self) -> bool {
        matches!(&self.phase, Phase::Body(request) if request.1.collecting() == Collecting::Large)
    }

    /// The head of the request whose body is being read.
    pub fn unfinished(&self) -> Option<&Head> {
        match &self.phase {
            Phase::Body(request) => Some(&request.0),
            _ => None,
        }
    }
}
