//! An answer on its way out: whole, or in pieces as they come.
//!
//! Deliberately knows nothing of what is in it.

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// What a request is answered with.
pub(crate) type Answer = Response<AnswerBody>;

/// The body of an answer.
pub enum AnswerBody {
    /// There at once.
    Full(Full<Bytes>),
    /// Comes piece by piece, no faster than the client takes it.
    Stream(Box<dyn Pieces>),
}

/// Something that comes piece by piece. Dropped where the client has gone.
pub trait Pieces: Send {
    /// The next piece, or None after the last. An error cuts the connection off, so that the client sees that the answer
    /// is not whole.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>>;
}

impl From<Bytes> for AnswerBody {
    fn from(bytes: Bytes) -> Self {
        Self::Full(Full::new(bytes))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Full(full) => {
                let frame = ready!(Pin::new(full).poll_frame(context));
                Poll::Ready(frame.map(|frame| frame.map_err(|never| match never {})))
            }
            Self::Stream(pieces) => {
                let piece = ready!(pieces.poll_piece(context));
                Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(full) => full.is_end_stream(),
            Self::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(full) => full.size_hint(),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}
