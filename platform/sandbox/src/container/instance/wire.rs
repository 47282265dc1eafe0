//! The sockets of one instance's Runtime API, driven by readiness: few system calls, no task of their own.
//!
//! Deliberately knows nothing of processes.

use runtime_api::{Closing, ConnectionId, Event, Happened, RuntimeApi, Setup};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// Most bytes that are taken in from a runtime that has already ended.
const LAST_WORDS_LIMIT: usize = 16 << 20;

/// Listener, connections and state of one Runtime API.
#[derive(Debug)]
pub(super) struct Wire {
    listener: TcpListener,
    sockets: Vec<Option<TcpStream>>,
    api: RuntimeApi,
}

impl Wire {
    /// Takes over a listener, which is nonblocking.
    pub fn new(listener: std::net::TcpListener, setup: Setup) -> io::Result<Self> {
        // Accepted sockets inherit it: an answer must not wait for the acknowledgement of the one before.
        rustix::net::sockopt::set_tcp_nodelay(&listener, true)?;
        Ok(Self {
            listener: TcpListener::from_std(listener)?,
            sockets: Vec::new(),
            api: RuntimeApi::with(setup),
        })
    }

    /// Why the runtime seems to be gone, if it does.
    pub fn lost(&self) -> Option<&'static str> {
        self.api.lost()
    }

    /// Hands the event to a connection that waits and is alive at this moment. Gives it back where there is none.
    pub fn invoke(&mut self, event: Event) -> Result<(), Event> {
        while let Some(id) = self.api.parked() {
            if self.is_alive(id) {
                return self.api.invoke(event.clone()).map_err(|_| event);
            }
            self.close(id, Closing::Reset);
        }
        Err(event)
    }

    /// What the runtime does next. Writes what is to be written, reads what is there, accepts who comes.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Happened> {
        loop {
            for index in 0..self.sockets.len() {
                if let Poll::Ready(happened) = self.poll_socket(cx, ConnectionId(index)) {
                    return Poll::Ready(happened);
                }
            }
            if let Err(reason) = ready!(self.poll_accept(cx)) {
                return Poll::Ready(Happened::Broken(reason));
            }
        }
    }

    /// The state behind the sockets, of extensions above all.
    pub fn api(&mut self) -> &mut RuntimeApi {
        &mut self.api
    }

    /// The last piece of a streamed response was taken: more is read.
    pub fn resume_stream(&mut self) {
        self.api.resume_stream();
    }

    /// Reads what a runtime that has ended wrote last; of a streamed response, too, as no more will come.
    pub fn last_words(&mut self) {
        let mut left = LAST_WORDS_LIMIT;
        for index in 0..self.sockets.len() {
            let id = ConnectionId(index);
            while let Some(Some(socket)) = self.sockets.get(index)
                && left > 0
            {
                self.api.resume_stream();
                let space = self.api.space(id);
                if space.is_empty() {
                    break;
                }
                match rustix::net::recv(socket, space, rustix::net::RecvFlags::DONTWAIT) {
                    Ok((count, _)) if count > 0 => {
                        left = left.saturating_sub(count);
                        self.api.filled(id, count);
                    }
                    _ => break,
                }
            }
        }
    }

    /// What the runtime did, of what was already read.
    pub fn poll_happened(&mut self) -> Option<Happened> {
        self.api.poll_happened()
    }

    fn poll_socket(&mut self, cx: &mut Context<'_>, id: ConnectionId) -> Poll<Happened> {
        while let Some(Some(socket)) = self.sockets.get_mut(id.0) {
            let mut socket = Pin::new(socket);
            let pending = self.api.output(id);
            let write = match pending {
                [[], []] => None,
                [first, []] => Some(socket.as_mut().poll_write(cx, first)),
                [first, second] => {
                    let slices = [IoSlice::new(first), IoSlice::new(second)];
                    Some(socket.as_mut().poll_write_vectored(cx, &slices))
                }
            };
            match write {
                Some(Poll::Ready(Ok(count))) => {
                    self.api.wrote(id, count);
                    if self.api.is_finished(id) {
                        self.close(id, Closing::Ended);
                    }
                    continue;
                }
                Some(Poll::Ready(Err(_))) => {
                    self.close(id, Closing::Reset);
                    break;
                }
                Some(Poll::Pending) | None => {}
            }
            if let Some(happened) = self.api.poll_happened() {
                return Poll::Ready(happened);
            }
            let space = self.api.space(id);
            if space.is_empty() {
                break;
            }
            let mut buffer = ReadBuf::new(space);
            match socket.poll_read(cx, &mut buffer) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    let count = buffer.filled().len();
                    self.api.filled(id, count);
                    // First what it said, then the answer to it.
                    if let Some(happened) = self.api.poll_happened() {
                        return Poll::Ready(happened);
                    }
                }
                Poll::Ready(Ok(())) => self.close(id, Closing::Ended),
                Poll::Ready(Err(_)) => self.close(id, Closing::Reset),
            }
        }
        match self.api.poll_happened() {
            Some(happened) => Poll::Ready(happened),
            None => Poll::Pending,
        }
    }

    /// Ready where a connection came that is to be read from.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        if self.sockets.iter().filter(|socket| socket.is_some()).count()
            >= runtime_api::CONNECTIONS_LIMIT
        {
            return Poll::Pending;
        }
        let socket = match ready!(self.listener.poll_accept(cx)) {
            Ok((socket, _)) => socket,
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {
                return Poll::Ready(Ok(()));
            }
            Err(_) => {
                return Poll::Ready(Err(
                    "its connection cannot be accepted; raise the server's limit of open files",
                ));
            }
        };
        if let Some(id) = self.api.open() {
            if self.sockets.len() <= id.0 {
                self.sockets.resize_with(id.0 + 1, || None);
            }
            self.sockets[id.0] = Some(socket);
        }
        Poll::Ready(Ok(()))
    }

    /// Whether the other side still reads, by a look at the socket itself: readiness may not have been told yet.
    fn is_alive(&self, id: ConnectionId) -> bool {
        let Some(Some(socket)) = self.sockets.get(id.0) else { return false };
        let flags = rustix::net::RecvFlags::PEEK | rustix::net::RecvFlags::DONTWAIT;
        match rustix::net::recv(socket, &mut [0_u8; 1], flags) {
            Ok((count, _)) => count > 0,
            Err(error) => error == rustix::io::Errno::AGAIN || error == rustix::io::Errno::INTR,
        }
    }

    fn close(&mut self, id: ConnectionId, closing: Closing) {
        self.api.close(id, closing);
        if let Some(socket) = self.sockets.get_mut(id.0) {
            *socket = None;
        }
    }
}
