//! One open connection: a request's bytes out, a response in.

use super::message::{MessageError, Reader, Reply};
use model::Span;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// An open connection that carries one request at a time.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    set_up: Span,
}

#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Why a request got no response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// Nothing was sent, so nothing was run.
    #[error("cannot send: {0}")]
    Send(#[source] io::Error),
    #[error("connection lost: {0}")]
    Receive(#[source] io::Error),
    #[error(transparent)]
    Message(#[from] MessageError),
}

impl Connection {
    /// A connection that took so long to be set up.
    pub(super) fn new(stream: Stream, set_up: Span) -> Self {
        Self { stream, set_up }
    }

    /// How long its setting up took, for the first request over it; zero after that.
    pub(crate) fn take_set_up(&mut self) -> Span {
        std::mem::take(&mut self.set_up)
    }

    /// The socket, where what is written to it is what is sent: not within TLS.
    pub(crate) fn socket(&self) -> Option<BorrowedFd<'_>> {
        match &self.stream {
            Stream::Plain(tcp) => Some(tcp.as_fd()),
            Stream::Tls(_) => None,
        }
    }

    /// Sends all of a request, or the rest of one. The first byte is handed to the connection as this is first polled.
    pub(crate) async fn send(&mut self, request: &[u8]) -> Result<(), ExchangeError> {
        let send = async {
            self.stream.write_all(request).await?;
            self.stream.flush().await
        };
        send.await.map_err(ExchangeError::Send)
    }

    /// Waits for the response to what was sent.
    pub(crate) async fn receive(&mut self) -> Result<Reply, ExchangeError> {
        let mut reader = Reader::default();
        loop {
            let read = self.stream.read_buf(reader.buffer()).await;
            if read.map_err(ExchangeError::Receive)? == 0 {
                return Ok(reader.end()?);
            }
            if let Some(reply) = reader.poll()? {
                return Ok(reply);
            }
        }
    }

    /// Whether nothing has come in since the last response: a close or a stray byte makes it useless.
    pub(crate) fn is_quiet(&self) -> bool {
        let tcp = match &self.stream {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => tls.get_ref().0,
        };
        // Within TLS a session ticket may wait unread, which is no reason to give the connection up.
        let mut byte = [0];
        match (nonblocking_peek(tcp, &mut byte), &self.stream) {
            (Ok(1..), Stream::Tls(_)) => true,
            (Err(error), _) => error.kind() == io::ErrorKind::WouldBlock,
            (Ok(_), _) => false,
        }
    }
}

fn nonblocking_peek(tcp: &TcpStream, byte: &mut [u8; 1]) -> io::Result<usize> {
    use std::os::fd::AsRawFd;
    // SAFETY: `byte` is a valid buffer of one byte for the whole call, and the descriptor is open as `tcp` lives.
    let read = unsafe {
        libc::recv(
            tcp.as_raw_fd(),
            byte.as_mut_ptr().cast(),
            1,
            libc::MSG_PEEK | libc::MSG_DONTWAIT,
        )
    };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            Self::Tls(tls) => Pin::new(tls).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(context),
        }
    }
}
