//! A streamed response on its way to whoever takes it.
//!
//! Deliberately holds no piece: while one waits for room, nothing more is read of the runtime's response.

use super::turns::Turns;
use crate::container::Exit;
use crate::seam::Sink;
use bytes::Bytes;
use std::future::Future;
use std::pin::Pin;
use tokio::sync::mpsc;

/// Where the pieces of one response go.
#[derive(Debug)]
pub(super) enum Pieces {
    /// Nothing came yet.
    Waiting(Sink),
    /// Some may have come.
    Flowing(mpsc::Sender<Bytes>),
    /// Nobody takes them: they are dropped.
    Gone,
}

impl Pieces {
    pub fn to(sink: Option<Sink>) -> Self {
        sink.map_or(Self::Gone, Self::Waiting)
    }

    /// Tells that the response has begun, and its content type.
    pub fn begin(&mut self, content_type: Option<Box<str>>) {
        *self = match std::mem::replace(self, Self::Gone) {
            Self::Waiting(sink) => {
                // Of one invocation there is one response.
                let _once = sink.content_type.set(content_type);
                match sink.pieces.try_send(Bytes::new()) {
                    Ok(()) => Self::Flowing(sink.pieces),
                    Err(_gone) => Self::Gone,
                }
            }
            other => other,
        };
    }

    /// Hands a piece on as soon as there is room for it, and drives the instance until then. A reader that is gone makes
    /// room for all. What happens meanwhile, the instance's end too, `turns` keeps for later: pieces come first.
    pub async fn put(
        &mut self,
        piece: Bytes,
        turns: &mut Turns<'_>,
        exited: Pin<&mut (impl Future<Output = Exit> + Send)>,
    ) {
        let Self::Flowing(pieces) = self else { return };
        let sent = tokio::select! {
            biased;
            sent = pieces.send(piece) => sent,
            never = turns.keep(exited) => match never {},
        };
        if sent.is_err() {
            *self = Self::Gone;
        }
    }
}
