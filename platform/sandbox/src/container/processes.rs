//! The processes of a sandbox that has extensions, in the server's hands.
//!
//! The other end is the sandbox's warden, which runs behind its walls: what it says is believed of its own sandbox only.

use super::channel::{Channel, Received};
use super::protocol::{self, Order, Process, Status};
use rustix::process::Signal;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::unix::AsyncFd;

/// Runtime and extensions of one sandbox.
#[derive(Debug)]
pub struct Processes {
    warden: AsyncFd<Channel>,
    seen: Mutex<Seen>,
}

/// How one process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// With this wait status.
    Exited(i32),
    /// It could not be started: the kernel's error number.
    NotStarted(i32),
}

/// What the warden has said.
#[derive(Debug, Default)]
struct Seen {
    ended: BTreeMap<Process, Ended>,
    first: Option<Process>,
    has_runtime: bool,
    sockets: VecDeque<io::Result<OwnedFd>>,
    is_gone: bool,
}

impl Processes {
    pub(super) fn new(warden: AsyncFd<Channel>) -> Self {
        Self { warden, seen: Mutex::default() }
    }

    /// Starts the runtime, which waits until its extensions have registered. Once.
    pub fn start_runtime(&self) -> io::Result<()> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).has_runtime = true;
        self.order(&Order::Start)
    }

    /// Sends the runtime a signal; where it has ended, nobody.
    pub fn signal_runtime(&self, signal: Signal) -> io::Result<()> {
        self.order(&Order::Signal { process: Process::Runtime, signal: signal.as_raw() })
    }

    /// A stream socket in the network of the sandbox, nonblocking. For one task at a time.
    pub async fn socket(&self) -> io::Result<OwnedFd> {
        self.order(&Order::Socket)?;
        std::future::poll_fn(|cx| self.poll(cx, |seen| seen.sockets.pop_front())).await
    }

    /// Returns when the process has ended, was never started, or is gone with the whole sandbox.
    pub async fn ended(&self, process: Process) {
        let is_over = |seen: &mut Seen| {
            let was_started = process != Process::Runtime || seen.has_runtime;
            let is_over = seen.is_gone || !was_started || seen.ended.contains_key(&process);
            is_over.then_some(())
        };
        std::future::poll_fn(|cx| self.poll(cx, is_over)).await;
    }

    /// Which process ended first, and how; never where the whole sandbox ended first.
    pub(super) fn poll_first(&self, cx: &mut Context<'_>) -> Poll<(Process, Ended)> {
        self.poll(cx, |seen| {
            let first = seen.first?;
            Some((first, *seen.ended.get(&first)?))
        })
    }

    fn order(&self, order: &Order) -> io::Result<()> {
        self.warden.get_ref().try_send(&[&protocol::encode(order)], &[])
    }

    /// Takes in what the warden says until `find` finds something in it.
    fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        mut find: impl FnMut(&mut Seen) -> Option<T>,
    ) -> Poll<T> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(found) = find(&mut seen) {
                return Poll::Ready(found);
            }
            if seen.is_gone {
                return Poll::Pending;
            }
            let Ok(mut ready) = ready!(self.warden.poll_read_ready(cx)) else {
                seen.is_gone = true;
                continue;
            };
            let mut buffer = [0; 1024];
            match self.warden.get_ref().try_receive(&mut buffer) {
                Ok(None) => ready.clear_ready(),
                Ok(Some(Received::Message(length, beside))) => {
                    match protocol::decode::<Status>(&buffer[..length]) {
                        Ok((status, _)) => seen.take_in(status, beside),
                        Err(_) => seen.is_gone = true,
                    }
                }
                Ok(Some(Received::End)) | Err(_) => seen.is_gone = true,
            }
        }
    }
}

impl Seen {
    fn take_in(&mut self, status: Status, beside: Vec<OwnedFd>) {
        match status {
            Status::Exited { process, status } => self.end(process, Ended::Exited(status)),
            Status::NotStarted { process, errno } => self.end(process, Ended::NotStarted(errno)),
            Status::Socket => {
                let socket = beside.into_iter().next();
                let missing = || io::Error::other("no socket came from the sandbox");
                self.sockets.push_back(socket.ok_or_else(missing));
            }
            Status::Failed(failure) => self.sockets.push_back(Err(failure.error())),
            Status::Listening { .. } | Status::Supervised => {}
        }
    }

    fn end(&mut self, process: Process, ended: Ended) {
        self.ended.entry(process).or_insert(ended);
        self.first.get_or_insert(process);
    }
}
