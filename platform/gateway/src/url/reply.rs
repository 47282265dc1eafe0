//! The answer of a function URL, out of what the function gave.
//!
//! Source: Lambda developer guide, "Response payload format" of function URLs, and "Response streaming", 2026-11.

use super::bad_gateway;
use crate::answer::{Answer, AnswerBody, Pieces};
use crate::engine::Reply;
use crate::running::{Running, Step};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, SET_COOKIE};
use http::{HeaderMap, Response, StatusCode};
use serde_json::{Map, Value};
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

/// Content type of a stream that begins with metadata.
const PRELUDE_TYPE: &str = "application/vnd.awslambda.http-integration-response";
/// What ends the metadata.
const DELIMITER: [u8; 8] = [0; 8];
/// Most bytes of the metadata: as much as of a request's header.
const PRELUDE_LIMIT: usize = 64 << 10;

/// The answer for a whole response: as its `statusCode` and the rest say, or, without one, itself as JSON.
pub(super) fn buffered(payload: Bytes) -> Answer {
    let Ok(value) = serde_json::from_slice::<Value>(&payload) else { return bad_gateway() };
    let Some(members) = value.as_object().filter(|it| it.contains_key("statusCode")) else {
        return with_type(payload, "application/json");
    };
    let body = match members.get("body") {
        None | Some(Value::Null) => Bytes::new(),
        Some(Value::String(body)) if members.get("isBase64Encoded") == Some(&Value::Bool(true)) => {
            match BASE64_STANDARD.decode(body) {
                Ok(bytes) => bytes.into(),
                Err(_) => return bad_gateway(),
            }
        }
        Some(Value::String(body)) => Bytes::from(body.clone().into_bytes()),
        Some(other) => other.to_string().into(),
    };
    head(members, "application/json").map_or_else(bad_gateway, |(status, headers)| {
        let mut answer = Response::new(AnswerBody::from(body));
        *answer.status_mut() = status;
        *answer.headers_mut() = headers;
        answer
    })
}

/// The answer for a whole response where pieces were asked for: itself.
pub(super) fn raw(payload: Bytes) -> Answer {
    with_type(payload, "application/json")
}

fn with_type(body: Bytes, content_type: &'static str) -> Answer {
    let mut answer = Response::new(AnswerBody::from(body));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// Status and headers; None where they are none.
fn head(
    members: &Map<String, Value>,
    default_type: &'static str,
) -> Option<(StatusCode, HeaderMap)> {
    let status = match members.get("statusCode") {
        None => StatusCode::OK,
        Some(Value::String(text)) => StatusCode::from_bytes(text.as_bytes()).ok()?,
        Some(number) => StatusCode::from_u16(u16::try_from(number.as_u64()?).ok()?).ok()?,
    };
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(default_type));
    let given = members.get("headers").and_then(Value::as_object);
    for (name, value) in given.into_iter().flatten() {
        let name = HeaderName::try_from(name.as_str()).ok()?;
        // The connection is ours.
        if matches!(name.as_str(), "content-length" | "transfer-encoding" | "connection") {
            continue;
        }
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Array(values) => {
                let texts: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
                texts.join(",")
            }
            other => other.to_string(),
        };
        headers.insert(name, HeaderValue::try_from(text).ok()?);
    }
    let cookies = members.get("cookies").and_then(Value::as_array);
    for cookie in cookies.into_iter().flatten().filter_map(Value::as_str) {
        headers.append(SET_COOKIE, HeaderValue::try_from(cookie).ok()?);
    }
    Some((status, headers))
}

/// The answer for a stream: its metadata first, where it has some, then its pieces.
pub(super) async fn streamed(mut running: Running) -> Answer {
    let content_type = running.content_type().unwrap_or("application/octet-stream").to_owned();
    let (first, status, headers) = if content_type == PRELUDE_TYPE {
        match metadata(&mut running).await {
            Some((rest, (status, headers))) => (rest, status, headers),
            None => return bad_gateway(),
        }
    } else {
        let mut headers = HeaderMap::new();
        let octets = HeaderValue::from_static("application/octet-stream");
        headers.insert(CONTENT_TYPE, HeaderValue::try_from(content_type).unwrap_or(octets));
        (Bytes::new(), StatusCode::OK, headers)
    };
    let mut answer = Response::new(AnswerBody::Stream(Box::new(Body { first, running })));
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    answer
}

/// Reads the metadata. Returns it with what came behind it; None where it is none.
async fn metadata(running: &mut Running) -> Option<(Bytes, (StatusCode, HeaderMap))> {
    let mut read = BytesMut::new();
    loop {
        let from = read.len().saturating_sub(DELIMITER.len() - 1);
        match poll_fn(|context| running.poll_step(context)).await? {
            Step::Piece(piece) => read.extend_from_slice(&piece),
            Step::Ended(_) => return None,
        }
        let found = read[from..].windows(DELIMITER.len()).position(|it| it == DELIMITER);
        if let Some(at) = found.map(|at| at + from) {
            let rest = read.split_off(at + DELIMITER.len()).freeze();
            let members: Map<String, Value> = serde_json::from_slice(&read[..at]).ok()?;
            return Some((rest, head(&members, "application/octet-stream")?));
        }
        if read.len() > PRELUDE_LIMIT {
            return None;
        }
    }
}

/// The body of a streamed answer.
struct Body {
    first: Bytes,
    running: Running,
}

impl Pieces for Body {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if !self.first.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.first))));
        }
        Poll::Ready(match ready!(self.running.poll_step(context)) {
            Some(Step::Piece(piece)) => Some(Ok(piece)),
            Some(Step::Ended(invoked)) => match invoked.reply {
                Reply::Streamed | Reply::Payload(_) => None,
                // The status is out: only a broken connection can still say it.
                Reply::FunctionError(_) | Reply::Failure(_) => {
                    Some(Err(io::Error::other("the function failed while it answered")))
                }
            },
            None => None,
        })
    }
}
