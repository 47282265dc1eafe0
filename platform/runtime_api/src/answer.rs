//! The answers of the Runtime API other than an event, and bytes on their way out.
//!
//! Texts and codes are those of AWS' Runtime Interface Emulator (2024), which shares its code with the service.

use crate::event::push_number;
use crate::extension::Reply;
use bytes::{Buf, Bytes};

/// Payloads up to this many bytes are copied beside their head, so that one plain write sends both.
const COPY_LIMIT: usize = 16 << 10;
/// With more than this many bytes waiting to be written, no further request of the connection is read.
const BACKLOG_LIMIT: usize = 16 << 10;

/// Bytes on their way to one connection.
#[derive(Debug, Default)]
pub(crate) struct Output {
    bytes: Vec<u8>,
    written: usize,
    payload: Bytes,
}

impl Output {
    /// What is to be written next, in order.
    pub fn pending(&self) -> [&[u8]; 2] {
        [&self.bytes[self.written..], &self.payload]
    }

    pub fn is_empty(&self) -> bool {
        self.written == self.bytes.len() && self.payload.is_empty()
    }

    /// Whether a further answer must wait.
    pub fn is_full(&self) -> bool {
        !self.payload.is_empty() || self.bytes.len() - self.written > BACKLOG_LIMIT
    }

    /// The first `count` pending bytes were written.
    pub fn wrote(&mut self, count: usize) {
        let of_bytes = count.min(self.bytes.len() - self.written);
        self.written += of_bytes;
        self.payload.advance((count - of_bytes).min(self.payload.len()));
        if self.written == self.bytes.len() {
            self.bytes.clear();
            self.written = 0;
        }
        if self.is_empty() {
            self.payload = Bytes::new();
            self.bytes.shrink_to(BACKLOG_LIMIT);
        }
    }

    /// Appends an event's answer.
    pub fn push_event(&mut self, event: &crate::Event) {
        event.write_head(&mut self.bytes);
        if event.payload.len() <= COPY_LIMIT {
            self.bytes.extend_from_slice(&event.payload);
        } else {
            self.payload = event.payload.clone();
        }
    }

    /// Appends an answer to an extension.
    pub fn push_reply(&mut self, reply: &Reply) {
        self.bytes.extend_from_slice(b"HTTP/1.1 ");
        self.bytes.extend_from_slice(reply.status.as_bytes());
        if let Some((name, value)) = &reply.header {
            self.bytes.extend_from_slice(b"\r\n");
            self.bytes.extend_from_slice(name.as_bytes());
            self.bytes.extend_from_slice(b": ");
            self.bytes.extend_from_slice(value.as_bytes());
        }
        self.bytes.extend_from_slice(b"\r\nContent-Type: application/json\r\nContent-Length: ");
        push_number(&mut self.bytes, reply.body.len() as u64);
        self.bytes.extend_from_slice(b"\r\n\r\n");
        self.bytes.extend_from_slice(reply.body.as_bytes());
    }

    /// Appends any other answer.
    pub fn push(&mut self, answer: Answer) {
        let (status, body) = answer.parts();
        self.bytes.extend_from_slice(b"HTTP/1.1 ");
        self.bytes.extend_from_slice(status.as_bytes());
        if answer == Answer::Continue {
            self.bytes.extend_from_slice(b"\r\n\r\n");
            return;
        }
        self.bytes.extend_from_slice(b"\r\nContent-Type: application/json\r\nContent-Length: ");
        push_number(&mut self.bytes, body.len() as u64);
        if answer.closes() {
            self.bytes.extend_from_slice(b"\r\nConnection: close");
        }
        self.bytes.extend_from_slice(b"\r\n\r\n");
        self.bytes.extend_from_slice(body.as_bytes());
    }
}

/// An answer that is no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Continue,
    Accepted,
    InvalidRequestId,
    /// The state the runtime is in, and the one it asked for.
    InvalidState(&'static str, &'static str),
    /// More bytes than this.
    TooLarge(u64),
    NotFound,
    MethodNotAllowed,
    /// The request cannot be read; the connection is closed.
    Malformed(&'static str),
}

impl Answer {
    /// Whether the connection is closed after it.
    pub fn closes(self) -> bool {
        matches!(self, Self::Malformed(_))
    }

    fn parts(self) -> (&'static str, String) {
        let error = |kind: &str, message: &str| {
            format!("{{\"errorMessage\":\"{message}\",\"errorType\":\"{kind}\"}}\n")
        };
        match self {
            Self::Continue => ("100 Continue", String::new()),
            Self::Accepted => ("202 Accepted", "{\"status\":\"OK\"}\n".to_owned()),
            Self::InvalidRequestId => {
                ("400 Bad Request", error("InvalidRequestID", "Invalid request ID"))
            }
            Self::InvalidState(from, to) => {
                let message = format!(
                    "State transition from {from} to {to} failed for runtime. \
                     Error: State transition is not allowed"
                );
                ("403 Forbidden", error("InvalidStateTransition", &message))
            }
            Self::TooLarge(limit) => {
                let message = format!("Exceeded maximum allowed payload size ({limit} bytes).");
                ("413 Request Entity Too Large", error("RequestEntityTooLarge", &message))
            }
            Self::NotFound => ("404 Not Found", error("NotFound", "no such path in this API")),
            Self::MethodNotAllowed => {
                ("405 Method Not Allowed", error("MethodNotAllowed", "method not allowed"))
            }
            Self::Malformed(reason) => ("400 Bad Request", error("InvalidRequest", reason)),
        }
    }
}
