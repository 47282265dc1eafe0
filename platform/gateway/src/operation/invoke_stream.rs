//! The operation InvokeWithResponseStream: an invocation whose response goes out in frames, piece by piece.
//!
//! Deliberately knows nothing of how a function runs: the engine does.

use super::invoke::{Prepared, Streams, executed_version, failure_error};
use crate::answer::{Answer, AnswerBody, Pieces};
use crate::engine::{Engine, Failure, Invoked, Reply};
use crate::error::ApiError;
use crate::eventstream;
use crate::gateway::{Call, Inner};
use crate::running::{Begun, Running, Step, begin};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{Buf, Bytes};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use serde::Serialize;
use std::io;
use std::task::{Context, Poll, ready};

/// Bytes of one PayloadChunk of a response that was there whole; a streamed one has the function's own pieces.
const CHUNK_BYTES: usize = 64 << 10;

/// The frame after the last piece (service model, InvokeWithResponseStreamCompleteEvent).
#[derive(Serialize)]
struct InvokeComplete {
    #[serde(rename = "ErrorCode", skip_serializing_if = "Option::is_none")]
    error_code: Option<&'static str>,
    #[serde(rename = "ErrorDetails", skip_serializing_if = "Option::is_none")]
    error_details: Option<String>,
    #[serde(rename = "LogResult", skip_serializing_if = "Option::is_none")]
    log_result: Option<String>,
}

impl<E: Engine> Inner<E> {
    pub(crate) async fn invoke_stream(
        &self,
        call: Call<'_>,
        name: &str,
    ) -> Result<Answer, ApiError> {
        let (invoke, arn) = match self.prepare(call, name, Streams::Yes).await? {
            Prepared::Answered(answer) => return Ok(answer),
            Prepared::Run { invoke, arn } => (invoke, arn),
        };
        let version = executed_version(&invoke.function);
        let log = invoke.log_tail;
        let frames = match begin(self.engine.clone(), invoke).await {
            Begun::Stream(running) => Frames { from: From::Running(running), log, arn },
            Begun::Whole(Invoked { reply: Reply::Failure(failure), .. }) => {
                return Err(failure_error(failure, &arn));
            }
            Begun::Whole(invoked) => {
                let payload = match &invoked.reply {
                    Reply::Payload(payload) => payload.clone(),
                    _ => Bytes::new(),
                };
                Frames { from: From::Whole(payload, Box::new(invoked)), log, arn }
            }
        };
        let mut answer = Response::new(AnswerBody::Stream(Box::new(frames)));
        let headers = answer.headers_mut();
        let content_type = HeaderValue::from_static("application/vnd.amazon.eventstream");
        headers.insert(CONTENT_TYPE, content_type);
        let (name, value) = version;
        headers.insert(name, value);
        Ok(answer)
    }
}

/// The frames of one response.
struct Frames {
    from: From,
    log: crate::engine::LogTail,
    arn: String,
}

enum From {
    Running(Running),
    /// What is left of a payload, and how the invocation ended.
    Whole(Bytes, Box<Invoked>),
    Ended,
}

impl Pieces for Frames {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let invoked = match &mut self.from {
            From::Running(running) => match ready!(running.poll_step(context)) {
                Some(Step::Piece(piece)) => return Poll::Ready(Some(Ok(chunk(&piece)))),
                Some(Step::Ended(invoked)) => invoked,
                None => return Poll::Ready(None),
            },
            From::Whole(payload, _) if !payload.is_empty() => {
                let frame = chunk(&payload[..payload.len().min(CHUNK_BYTES)]);
                payload.advance(payload.len().min(CHUNK_BYTES));
                return Poll::Ready(Some(Ok(frame)));
            }
            From::Whole(..) | From::Ended => match std::mem::replace(&mut self.from, From::Ended) {
                From::Whole(_, invoked) => *invoked,
                _ => return Poll::Ready(None),
            },
        };
        self.from = From::Ended;
        Poll::Ready(Some(Ok(self.last(invoked))))
    }
}

impl Frames {
    fn last(&self, invoked: Invoked) -> Bytes {
        let error = match invoked.reply {
            Reply::Payload(_) | Reply::Streamed => None,
            Reply::FunctionError(error) => Some(String::from_utf8_lossy(&error).into_owned()),
            Reply::Failure(failure) => return failed(failure, &self.arn),
        };
        let log_result = match self.log {
            crate::engine::LogTail::Ask => Some(BASE64_STANDARD.encode(&invoked.log)),
            crate::engine::LogTail::Skip => None,
        };
        let complete = InvokeComplete {
            error_code: error.is_some().then_some("Unhandled"),
            error_details: error,
            log_result,
        };
        let json = serde_json::to_vec(&complete).expect("three strings are JSON");
        eventstream::event("InvokeComplete", "application/json", &json)
    }
}

fn chunk(payload: &[u8]) -> Bytes {
    eventstream::event("PayloadChunk", "application/octet-stream", payload)
}

/// The platform's own failure, once the status has gone out.
fn failed(failure: Failure, arn: &str) -> Bytes {
    let error = failure_error(failure, arn);
    eventstream::exception(error.kind().code(), &error.body())
}
