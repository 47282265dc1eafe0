//! Function URLs: plain HTTP in, events to a function, its answer out as plain HTTP.
//!
//! A URL is known by its host, `<url-id>.lambda-url.<region>.localhost`, or, for clients that cannot resolve such names, by
//! its path, `/lambda-url/<url-id>/…`. In the order in which a request passes: `config` says what a URL is, `cors` answers
//! browsers, `event` makes the event, `reply` makes the answer. Deliberately knows nothing of where URLs are kept.

mod config;
mod cors;
mod event;
mod reply;

use config::FunctionUrl;
pub(crate) use config::{LATEST, UrlBook};

use crate::answer::{Answer, AnswerBody};
use crate::body::{self, BodyError, BodyLimits};
use crate::canonical;
use crate::engine::{Engine, Failure, Invoke, Invoked, LogTail, Reply};
use crate::error::{ApiError, ErrorKind};
use crate::gateway::{Inner, error_answer};
use crate::operation::invoke::{check_state, failure_error, random_share};
use crate::running::{Begun, begin};
use bytes::Bytes;
use catalog::{InvokeMode, UrlAuth};
use event::Caller;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use hyper::body::Incoming;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

/// Where URLs are found by path.
const PATH: &str = "/lambda-url/";
/// The label after the id in a URL's host.
const LABEL: &str = ".lambda-url.";

/// The URL that a request names, and the path below it.
pub(crate) struct Target<'a> {
    id: &'a str,
    path: &'a str,
}

/// A request, but for its body.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub parts: &'a Parts,
    pub peer: IpAddr,
    pub request_id: &'a Arc<str>,
}

impl<'a> Target<'a> {
    /// None for a request to the API.
    pub fn of(parts: &'a Parts) -> Option<Self> {
        let path = parts.uri.path();
        if let Some(rest) = path.strip_prefix(PATH) {
            let end = rest.find('/').unwrap_or(rest.len());
            let below = if end == rest.len() { "/" } else { &rest[end..] };
            return Some(Self { id: &rest[..end], path: below });
        }
        let (id, _) = canonical::host(parts)?.split_once(LABEL)?;
        Some(Self { id, path })
    }
}

impl<E: Engine> Inner<E> {
    /// Answers a request to a function URL.
    pub(crate) async fn answer_url(
        &self,
        target: Target<'_>,
        asked: Asked<'_>,
        body: Incoming,
    ) -> Answer {
        let Some(url) = self.urls.find(&self.catalog, target.id, random_share) else {
            return forbidden();
        };
        let parts = asked.parts;
        if let Some(cors) = &url.config.cors
            && parts.method == Method::OPTIONS
            && let Some(preflight) = cors::preflight(cors, &parts.headers)
        {
            return preflight;
        }
        let mut answer = match self.run_url(&url, &target, asked, body).await {
            Ok(answer) | Err(answer) => answer,
        };
        if let Some(cors) = &url.config.cors {
            cors::add(cors, &parts.headers, answer.headers_mut());
        }
        answer
    }

    async fn run_url(
        &self,
        url: &FunctionUrl,
        target: &Target<'_>,
        Asked { parts, peer, request_id }: Asked<'_>,
        body: Incoming,
    ) -> Result<Answer, Answer> {
        let claim = match url.config.auth {
            UrlAuth::None if url.allows(None) => None,
            UrlAuth::None => return Err(forbidden()),
            UrlAuth::AwsIam => {
                let claim = self.credentials.claim(parts, SystemTime::now());
                Some(claim.map_err(|_| forbidden())?)
            }
        };
        let limit = self.limits.payload_bytes;
        let _place = self.place(&body, limit).await.map_err(|error| error_answer(&error))?;
        let limits = BodyLimits {
            bytes: limit,
            stall: self.limits.stall_time,
            whole: self.limits.body_time,
        };
        let (body, hash) = body::read(body, limits).await.map_err(|error| body_answer(&error))?;
        let key = match claim {
            None => None,
            Some(claim) => {
                let key = self.credentials.verify(claim, parts, &hash).map_err(|_| forbidden())?;
                if key.tenant != url.function.tenant && !url.allows(Some(key.tenant)) {
                    return Err(forbidden());
                }
                Some(key)
            }
        };
        let (key, url_id, scheme) = (key.as_deref(), target.id, self.scheme);
        let caller = Caller { key, peer, request_id, url_id, scheme };
        let trace = self.trace_header(parts);
        let payload = event::of(parts, target.path, &body, &caller, &trace);
        if payload.len() > limit {
            return Err(body_answer(&BodyError::TooLarge { limit }));
        }
        let function = self.settled(url.function.clone()).await.ok_or_else(forbidden)?;
        check_state(&function).map_err(|_| bad_gateway())?;
        let arn = url.arn();
        let invoke = Invoke {
            function,
            request_id: request_id.clone(),
            payload,
            client_context: None,
            trace_id: Some(trace),
            function_arn: arn.as_str().into(),
            log_tail: LogTail::Skip,
            stream: None,
        };
        Ok(match url.config.mode {
            InvokeMode::Buffered => whole(self.engine.invoke(invoke).await, &arn, reply::buffered),
            InvokeMode::ResponseStream => match begin(self.engine.clone(), invoke).await {
                Begun::Whole(invoked) => whole(invoked, &arn, reply::raw),
                Begun::Stream(running) => reply::streamed(running).await,
            },
        })
    }

    /// The caller's trace header, or one of our own: the function is told the same in its event.
    fn trace_header(&self, parts: &Parts) -> Arc<str> {
        let given = parts.headers.get("x-amzn-trace-id").and_then(|value| value.to_str().ok());
        given.map_or_else(
            || {
                let seconds = SystemTime::now()
                    .duration_since(SystemTime::UNIX_EPOCH)
                    .map_or(0, |since| since.as_secs());
                let id = uuid::Uuid::new_v4().simple().to_string();
                format!("Root=1-{seconds:08x}-{}", &id[..24]).into()
            },
            Arc::from,
        )
    }
}

/// The answer for a response that is there, or for an invocation that failed.
fn whole(invoked: Invoked, arn: &str, answer: impl FnOnce(Bytes) -> Answer) -> Answer {
    match invoked.reply {
        Reply::Payload(payload) => answer(payload),
        Reply::Streamed => answer(Bytes::new()),
        Reply::FunctionError(_) => bad_gateway(),
        Reply::Failure(Failure::Unavailable(why)) => {
            error_answer(&ApiError::new(ErrorKind::ServiceUnavailable, why))
        }
        Reply::Failure(Failure::NoFunction) => forbidden(),
        Reply::Failure(failure) => error_answer(&failure_error(failure, arn)),
    }
}

/// As the real URLs say it for a signature that is missing or wrong, for a policy that does not let the caller in, and for a
/// URL that is not there.
fn forbidden() -> Answer {
    let mut answer =
        plain(StatusCode::FORBIDDEN, "{\"Message\":\"Forbidden\"}", "application/json");
    let kind = HeaderValue::from_static("AccessDeniedException");
    answer.headers_mut().insert("x-amzn-errortype", kind);
    answer
}

/// As the real URLs say it for a function that failed, or whose answer is none.
fn bad_gateway() -> Answer {
    let mut answer = plain(StatusCode::BAD_GATEWAY, "Internal Server Error", "application/json");
    let kind = HeaderValue::from_static("InternalServerErrorException");
    answer.headers_mut().insert("x-amzn-errortype", kind);
    answer
}

fn plain(status: StatusCode, body: &'static str, content_type: &'static str) -> Answer {
    let mut answer = Response::new(AnswerBody::from(Bytes::from_static(body.as_bytes())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

fn body_answer(error: &BodyError) -> Answer {
    let (kind, message) = match error {
        BodyError::TooLarge { limit } => (
            ErrorKind::RequestTooLarge,
            format!("Request must be smaller than {limit} bytes for the InvokeFunction operation"),
        ),
        BodyError::TimedOut => {
            (ErrorKind::RequestTimeout, "The request's body did not arrive in time.".to_owned())
        }
        BodyError::Broken => (
            ErrorKind::InvalidRequestContent,
            "The request's body ended before it was complete.".to_owned(),
        ),
    };
    error_answer(&ApiError::new(kind, message))
}
