//! An invocation whose response comes in pieces, if its function streams.
//!
//! Deliberately knows nothing of how the pieces are wrapped for the client.

use crate::engine::{Engine, Invoke, Invoked, Sink};
use bytes::Bytes;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// Pieces that wait between the function and the client; each has at most 64 KiB.
const PIECES: usize = 2;

/// How an invocation begins to answer.
pub(crate) enum Begun {
    /// The function did not stream.
    Whole(Invoked),
    /// It streams.
    Stream(Running),
}

/// A streamed response.
pub(crate) struct Running {
    pieces: Option<mpsc::Receiver<Bytes>>,
    end: End,
    content_type: Arc<OnceLock<Option<Box<str>>>>,
}

enum End {
    Awaited(Pin<Box<dyn Future<Output = Invoked> + Send>>),
    Known(Box<Invoked>),
    Told,
}

/// What comes of a streamed response.
pub(crate) enum Step {
    Piece(Bytes),
    /// Always the last one.
    Ended(Invoked),
}

/// Runs an invocation and waits until it begins to answer.
pub(crate) async fn begin<E: Engine>(engine: Arc<E>, mut invoke: Invoke) -> Begun {
    let (sender, receiver) = mpsc::channel(PIECES);
    let content_type = Arc::new(OnceLock::new());
    invoke.stream = Some(Sink { content_type: Arc::clone(&content_type), pieces: sender });
    let mut running = Running {
        pieces: Some(receiver),
        end: End::Awaited(Box::pin(async move { engine.invoke(invoke).await })),
        content_type,
    };
    poll_fn(|context| running.poll_begin(context)).await;
    match running.end {
        End::Known(invoked) if !running.began() => Begun::Whole(*invoked),
        end => Begun::Stream(Running { end, ..running }),
    }
}

impl Running {
    /// What the function said its response is.
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.get()?.as_deref()
    }

    fn began(&self) -> bool {
        self.content_type.get().is_some()
    }

    /// Ready once the response has begun, or the invocation ended without.
    fn poll_begin(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.poll_end(context);
        // The first piece is empty, and there to wake.
        if !self.began()
            && let Some(pieces) = &mut self.pieces
            && let Poll::Ready(None) = pieces.poll_recv(context)
        {
            self.pieces = None;
        }
        if self.began() || matches!(self.end, End::Known(_)) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    fn poll_end(&mut self, context: &mut Context<'_>) {
        if let End::Awaited(invoked) = &mut self.end
            && let Poll::Ready(invoked) = invoked.as_mut().poll(context)
        {
            self.end = End::Known(Box::new(invoked));
        }
    }

    /// The next thing. None after the end.
    pub fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<Option<Step>> {
        self.poll_end(context);
        while let Some(pieces) = &mut self.pieces {
            match pieces.poll_recv(context) {
                Poll::Ready(Some(piece)) if piece.is_empty() => {}
                Poll::Ready(Some(piece)) => return Poll::Ready(Some(Step::Piece(piece))),
                Poll::Ready(None) => self.pieces = None,
                Poll::Pending => return Poll::Pending,
            }
        }
        match std::mem::replace(&mut self.end, End::Told) {
            End::Known(invoked) => Poll::Ready(Some(Step::Ended(*invoked))),
            End::Told => Poll::Ready(None),
            awaited => {
                self.end = awaited;
                Poll::Pending
            }
        }
    }
}
