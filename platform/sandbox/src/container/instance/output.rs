//! What a function writes to stdout and stderr: drained at a bounded rate, its tail kept where someone asks for it.
//!
//! Lines go to whoever takes them. Deliberately never gates anything: a function that writes without end waits for its own pipe.

use super::lines::Lines;
use crate::LogSink;
use bytes::Bytes;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::unix::pipe::Receiver;
use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes of the tail, as `X-Amz-Log-Result` has it (Lambda API reference, Invoke, 2026-11).
const TAIL_LIMIT: usize = 4 << 10;
/// Most bytes read in one [`WINDOW`]: 10 MiB/s. Lines are not told apart, so they need no limit of their own.
const WINDOW_BYTES: usize = 1 << 20;
/// The time over which [`WINDOW_BYTES`] holds.
const WINDOW: Duration = Duration::from_millis(100);
/// Most bytes read before other work gets its turn.
const TURN_BYTES: usize = 128 << 10;
/// Bytes of one read; a quarter of a pipe.
const READ_SIZE: usize = 16 << 10;

/// The output of one instance.
#[derive(Debug)]
pub(super) struct Output {
    /// None once every process has closed it.
    pipe: Option<Receiver>,
    tail: VecDeque<u8>,
    keep: Keep,
    /// None where nobody wants lines.
    lines: Option<Lines>,
    /// That of extensions, which is in no tail.
    beside: Option<Box<Self>>,
    window_start: Instant,
    window_bytes: usize,
    pause: Option<Pin<Box<Sleep>>>,
    /// Whether the last turn ended before the output did.
    is_cut: bool,
}

/// What becomes of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    Nothing,
    Tail,
}

impl Output {
    /// Takes over the read end of a pipe, which is nonblocking. Keeps the tail; lines go to `log`.
    pub fn new(pipe: OwnedFd, log: Option<Arc<dyn LogSink>>) -> io::Result<Self> {
        Ok(Self {
            pipe: Some(Receiver::from_owned_fd(pipe)?),
            tail: VecDeque::new(),
            keep: Keep::Tail,
            lines: log.map(Lines::new),
            beside: None,
            window_start: Instant::now(),
            window_bytes: 0,
            pause: None,
            is_cut: false,
        })
    }

    /// With the output of extensions beside it.
    pub fn beside(mut self, extensions: Option<Self>) -> Self {
        self.beside = extensions.map(Box::new);
        self
    }

    /// What becomes of output now.
    pub fn keeps(&self) -> Keep {
        self.keep
    }

    /// Forgets what was kept, and keeps as told from now on. Lines belong to this invocation from now on.
    pub fn begin(&mut self, keep: Keep, request_id: Option<&Arc<str>>) {
        self.tail.clear();
        self.keep = keep;
        if let Some(lines) = &mut self.lines {
            lines.begin(request_id.cloned());
        }
        if let Some(beside) = &mut self.beside {
            beside.begin(Keep::Nothing, request_id);
        }
    }

    /// What was written since [`Self::begin`], up to this moment: at most the last 4 KiB.
    pub fn take(&mut self) -> Bytes {
        if self.keep == Keep::Nothing {
            return Bytes::new();
        }
        self.drain();
        Bytes::from(Vec::from(std::mem::take(&mut self.tail)))
    }

    /// Reads what is there without waiting to be told.
    pub fn drain(&mut self) {
        // At most one pipe's content: a function that goes on writing must not hold up its response.
        for _ in 0..(64 << 10) / READ_SIZE {
            let mut buffer = [0; READ_SIZE];
            let Some(pipe) = &self.pipe else { break };
            match rustix::io::read(pipe, &mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(count) => self.add(&buffer[..count]),
            }
        }
        if let Some(beside) = &mut self.beside {
            beside.drain();
        }
    }

    /// Whether something may be there that [`Self::poll`] has been told of and has not read: it paused, or its turn was over.
    pub fn is_behind(&self) -> bool {
        let is_beside = self.beside.as_ref().is_some_and(|beside| beside.is_behind());
        self.pause.is_some() || self.is_cut || is_beside
    }

    /// Drains what is there, and wakes when there is more.
    pub fn poll(&mut self, cx: &mut Context<'_>) {
        self.poll_own(cx);
        if let Some(beside) = &mut self.beside {
            beside.poll_own(cx);
        }
    }

    fn poll_own(&mut self, cx: &mut Context<'_>) {
        let mut turn = 0;
        self.is_cut = false;
        while !self.poll_paused(cx) {
            let Some(pipe) = &mut self.pipe else { return };
            let mut bytes = [0; READ_SIZE];
            let mut buffer = ReadBuf::new(&mut bytes);
            let Poll::Ready(read) = Pin::new(pipe).poll_read(cx, &mut buffer) else { return };
            let bytes = buffer.filled();
            if read.is_err() || bytes.is_empty() {
                self.pipe = None;
                return;
            }
            turn += bytes.len();
            self.add(bytes);
            if turn >= TURN_BYTES {
                self.is_cut = true;
                cx.waker().wake_by_ref();
                return;
            }
        }
    }

    fn poll_paused(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(pause) = &mut self.pause {
            if pause.as_mut().poll(cx).is_pending() {
                return true;
            }
            self.pause = None;
        }
        false
    }

    fn add(&mut self, bytes: &[u8]) {
        let now = Instant::now();
        if now - self.window_start >= WINDOW {
            self.window_start = now;
            self.window_bytes = 0;
        }
        self.window_bytes += bytes.len();
        if self.window_bytes > WINDOW_BYTES && self.pause.is_none() {
            self.pause = Some(Box::pin(sleep_until(self.window_start + WINDOW)));
        }
        if let Some(lines) = &mut self.lines {
            lines.add(bytes);
        }
        if self.keep == Keep::Tail {
            let bytes = &bytes[bytes.len().saturating_sub(TAIL_LIMIT)..];
            let excess = (self.tail.len() + bytes.len()).saturating_sub(TAIL_LIMIT);
            self.tail.drain(..excess);
            self.tail.extend(bytes);
        }
    }
}
