//! The event that a request to a function URL becomes: payload format 2.0.
//!
//! Source: Lambda developer guide, "Request payload format" of function URLs, 2026-11.

use crate::canonical;
use crate::gateway::Scheme;
use crate::signature::AccessKey;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, COOKIE, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, Version};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::net::IpAddr;
use std::sync::Arc;

/// Who asks.
pub(super) struct Caller<'a> {
    /// None where nobody must sign.
    pub key: Option<&'a AccessKey>,
    pub peer: IpAddr,
    pub request_id: &'a Arc<str>,
    pub url_id: &'a str,
    pub scheme: Scheme,
}

/// The event, as JSON.
pub(super) fn of(
    parts: &Parts,
    path: &str,
    body: &Bytes,
    caller: &Caller<'_>,
    trace: &str,
) -> Bytes {
    let host = canonical::host(parts).unwrap_or("");
    let query = parts.uri.query().unwrap_or("");
    let path = canonical::decode_path(path);
    let now = Timestamp::now();
    let mut event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers(parts, caller, trace, host),
        "requestContext": {
            "accountId": caller.key.map_or("anonymous".to_owned(), |key| key.tenant.to_string()),
            "apiId": caller.url_id,
            "domainName": host.split(':').next().unwrap_or(""),
            "domainPrefix": caller.url_id,
            "http": {
                "method": parts.method.as_str(),
                "path": path,
                "protocol": protocol(parts.version),
                "sourceIp": caller.peer.to_string(),
                "userAgent": text(&parts.headers, USER_AGENT.as_str()),
            },
            "requestId": &**caller.request_id,
            "routeKey": "$default",
            "stage": "$default",
            "time": now.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
            "timeEpoch": now.as_millisecond(),
        },
        "isBase64Encoded": false,
    });
    let cookies = cookies(&parts.headers);
    if !cookies.is_empty() {
        event["cookies"] = cookies.into();
    }
    let parameters = parameters(query);
    if !parameters.is_empty() {
        event["queryStringParameters"] = parameters.into();
    }
    if let Some(key) = caller.key {
        event["requestContext"]["authorizer"] = json!({ "iam": {
            "accessKey": key.id,
            "accountId": key.tenant.to_string(),
            "callerId": key.id,
            "cognitoIdentity": null,
            "principalOrgId": null,
            "userArn": format!("arn:aws:iam::{}:root", key.tenant),
            "userId": key.tenant.to_string(),
        }});
    }
    if !body.is_empty() {
        match std::str::from_utf8(body) {
            Ok(body) if is_text(&parts.headers) => event["body"] = body.into(),
            _ => {
                event["body"] = BASE64_STANDARD.encode(body).into();
                event["isBase64Encoded"] = true.into();
            }
        }
    }
    event.to_string().into()
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

fn text(headers: &HeaderMap, name: &str) -> String {
    headers
        .get(name)
        .map_or(String::new(), |value| String::from_utf8_lossy(value.as_bytes()).into())
}

/// All headers but cookies, those of one name joined by commas, and what a proxy on the way would have added.
fn headers(parts: &Parts, caller: &Caller<'_>, trace: &str, host: &str) -> Map<String, Value> {
    let mut all = Map::new();
    for name in parts.headers.keys().filter(|name| **name != COOKIE) {
        let values: Vec<_> = parts.headers.get_all(name).iter().map(|it| it.as_bytes()).collect();
        let joined = String::from_utf8_lossy(&values.join(&b","[..])).into_owned();
        all.insert(name.as_str().to_owned(), joined.into());
    }
    let usual_port = match caller.scheme {
        Scheme::Http => "80",
        Scheme::Https => "443",
    };
    let port = host.rsplit_once(':').map_or(usual_port, |(_, port)| port);
    all.insert("host".to_owned(), host.into());
    for (name, value) in [
        ("x-forwarded-for", caller.peer.to_string().as_str()),
        ("x-forwarded-port", port),
        ("x-forwarded-proto", caller.scheme.word()),
        ("x-amzn-trace-id", trace),
    ] {
        all.insert(name.to_owned(), value.into());
    }
    all
}

fn cookies(headers: &HeaderMap) -> Vec<String> {
    let lines = headers.get_all(COOKIE).iter();
    let lines = lines.map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned());
    let cookies = lines.flat_map(|line| {
        line.split(';').map(|cookie| cookie.trim().to_owned()).collect::<Vec<_>>()
    });
    cookies.filter(|cookie| !cookie.is_empty()).collect()
}

/// Decoded; those of one name joined by commas.
fn parameters(query: &str) -> Map<String, Value> {
    let mut all: Map<String, Value> = Map::new();
    let decode = |text: &str| canonical::decode_path(&text.replace('+', " ")).into_owned();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode(name), decode(value));
        match all.get_mut(&name) {
            Some(Value::String(sofar)) => {
                sofar.push(',');
                sofar.push_str(&value);
            }
            _ => {
                all.insert(name, value.into());
            }
        }
    }
    all
}

/// Whether a body goes as text: what says that it is. Forms do not, as at AWS.
fn is_text(headers: &HeaderMap) -> bool {
    if headers.contains_key(CONTENT_ENCODING) {
        return false;
    }
    let kind = text(headers, CONTENT_TYPE.as_str()).to_ascii_lowercase();
    let kind = kind.split(';').next().unwrap_or("").trim();
    let known = ["application/json", "application/javascript", "application/xml"];
    kind.starts_with("text/")
        || known.contains(&kind)
        || kind.ends_with("+json")
        || kind.ends_with("+xml")
}
