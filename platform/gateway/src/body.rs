//! Reading a request's body within bounds of size and time.
//!
//! Deliberately knows nothing of what is in it.

use crate::canonical;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use sha2::{Digest, Sha256};
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// How a body may arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BodyLimits {
    /// Most bytes.
    pub bytes: usize,
    /// Longest wait for the next piece.
    pub stall: Duration,
    /// Longest wait for all of it.
    pub whole: Duration,
}

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("body is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("body did not arrive in time")]
    TimedOut,
    #[error("the connection broke")]
    Broken,
}

/// SHA-256 of a body, computed while it arrived; lower-case hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BodyHash(Option<String>);

impl BodyHash {
    /// Of no body.
    pub const EMPTY: Self = Self(None);

    /// The digits.
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or(canonical::EMPTY_SHA256)
    }
}

/// Bytes past the limit that are read and dropped, so that a client which sends before it listens gets its answer.
const DRAIN_BYTES: usize = 64 << 20;

/// Reads the whole body, and hashes each piece as it comes.
pub(crate) async fn read(
    mut body: Incoming,
    limits: BodyLimits,
) -> Result<(Bytes, BodyHash), BodyError> {
    if body.is_end_stream() {
        return Ok((Bytes::new(), BodyHash::EMPTY));
    }
    let mut hash = Sha256::new();
    let deadline = Instant::now() + limits.whole;
    let mut first = Bytes::new();
    let mut all: Option<BytesMut> = None;
    while let Some(piece) = next(&mut body, limits, deadline).await? {
        let so_far = all.as_ref().map_or(first.len(), BytesMut::len);
        if so_far + piece.len() > limits.bytes {
            drain(body, limits, deadline).await;
            return Err(BodyError::TooLarge { limit: limits.bytes });
        }
        hash.update(&piece);
        match &mut all {
            None if first.is_empty() => first = piece,
            None => {
                let expected = usize::try_from(body.size_hint().lower()).unwrap_or(0);
                let mut joined =
                    BytesMut::with_capacity(first.len() + piece.len() + expected.min(limits.bytes));
                joined.extend_from_slice(&first);
                joined.extend_from_slice(&piece);
                all = Some(joined);
            }
            Some(all) => all.extend_from_slice(&piece),
        }
    }
    let hash = BodyHash(Some(hex::encode(hash.finalize())));
    Ok((all.map_or(first, BytesMut::freeze), hash))
}

async fn drain(mut body: Incoming, limits: BodyLimits, deadline: Instant) {
    let mut dropped = 0;
    while let Ok(Some(piece)) = next(&mut body, limits, deadline).await {
        dropped += piece.len();
        if dropped > DRAIN_BYTES {
            break;
        }
    }
}

async fn next(
    body: &mut Incoming,
    limits: BodyLimits,
    deadline: Instant,
) -> Result<Option<Bytes>, BodyError> {
    loop {
        let frame = timeout_at(deadline, timeout(limits.stall, body.frame())).await;
        match frame.map_err(|_| BodyError::TimedOut)?.map_err(|_| BodyError::TimedOut)? {
            None => return Ok(None),
            Some(Err(_)) => return Err(BodyError::Broken),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}
