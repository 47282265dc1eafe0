//! What browsers are told of requests from other origins.
//!
//! Source: Fetch standard, "CORS protocol"; Lambda developer guide, "Cross-origin resource sharing", 2026-11.

use crate::answer::{Answer, AnswerBody};
use bytes::Bytes;
use catalog::Cors;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue, ORIGIN, VARY,
};

/// The answer to a preflight; None for a request that is none. The function is not asked.
pub(super) fn preflight(cors: &Cors, request: &HeaderMap) -> Option<Answer> {
    request.get(ACCESS_CONTROL_REQUEST_METHOD)?;
    request.get(ORIGIN)?;
    let mut answer = Answer::new(AnswerBody::from(Bytes::new()));
    let headers = answer.headers_mut();
    if allow_origin(cors, request, headers) {
        list(headers, ACCESS_CONTROL_ALLOW_METHODS, &cors.allow_methods);
        list(headers, ACCESS_CONTROL_ALLOW_HEADERS, &cors.allow_headers);
        if cors.max_age > 0 {
            headers.insert(ACCESS_CONTROL_MAX_AGE, cors.max_age.into());
        }
    }
    Some(answer)
}

/// Adds to the answer of a request from another origin. What the function itself said of origins gives way.
pub(super) fn add(cors: &Cors, request: &HeaderMap, headers: &mut HeaderMap) {
    for name in [
        ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_ALLOW_CREDENTIALS,
        ACCESS_CONTROL_EXPOSE_HEADERS,
        ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_HEADERS,
        ACCESS_CONTROL_MAX_AGE,
    ] {
        headers.remove(name);
    }
    if allow_origin(cors, request, headers) {
        list(headers, ACCESS_CONTROL_EXPOSE_HEADERS, &cors.expose_headers);
    }
}

/// Whether the request's origin is let in; says so.
fn allow_origin(cors: &Cors, request: &HeaderMap, headers: &mut HeaderMap) -> bool {
    let Some(origin) = request.get(ORIGIN) else { return false };
    headers.append(VARY, HeaderValue::from_static("Origin"));
    let named = |allowed: &String| allowed.as_bytes().eq_ignore_ascii_case(origin.as_bytes());
    let all = cors.allow_origins.iter().any(|allowed| allowed == "*");
    if !all && !cors.allow_origins.iter().any(named) {
        return false;
    }
    // With credentials `*` would not count.
    let value = match all && !cors.allow_credentials {
        true => HeaderValue::from_static("*"),
        false => origin.clone(),
    };
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, value);
    if cors.allow_credentials {
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    true
}

fn list(headers: &mut HeaderMap, name: HeaderName, values: &[String]) {
    if let Ok(value) = HeaderValue::try_from(values.join(","))
        && !values.is_empty()
    {
        headers.insert(name, value);
    }
}
