//! The head of one request: what is asked, and how long its body is.

use crate::event::ResponseMode;
use crate::subscription::Api;
use httparse::{EMPTY_HEADER, Status};

/// Most bytes of a request's head. The runtimes of AWS put stack traces of up to 64 KiB into a header.
pub const HEAD_LIMIT: usize = 128 << 10;
/// Most headers of a request.
const HEADERS_LIMIT: usize = 64;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Next,
    Response { request_id: String },
    Error { request_id: String },
    InitError,
    Extension(ExtensionRoute),
    NotFound,
    MethodNotAllowed,
}

/// What an extension asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExtensionRoute {
    Register,
    Next,
    InitError,
    ExitError,
    Subscribe(Api),
}

/// What the headers of an extension's request say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExtensionHeaders {
    pub name: Option<String>,
    pub identifier: Option<String>,
    pub features: Option<String>,
    pub error_type: Option<String>,
}

/// How the body's length is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    Known(u64),
    Chunked,
}

/// A request without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub route: Route,
    pub length: Length,
    pub keep: Keep,
    pub expects: Expects,
    pub mode: ResponseMode,
    /// Of a streamed response only.
    pub content_type: Option<Box<str>>,
    /// Of an extension's request only.
    pub extension: Option<Box<ExtensionHeaders>>,
}

/// Whether the connection goes on after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    Alive,
    Close,
}

/// Whether the client waits for `100 Continue` before it sends the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expects {
    Nothing,
    Continue,
}

/// Reads the head at the front of `bytes`, which must hold its empty line. Returns it with its length in bytes.
///
/// Errors: what is wrong with it, for the answer and the invocation's error.
pub(crate) fn parse(bytes: &[u8]) -> Result<(Head, usize), &'static str> {
    let mut headers = [EMPTY_HEADER; HEADERS_LIMIT];
    let mut request = httparse::Request::new(&mut headers);
    let size = match request.parse(bytes) {
        Ok(Status::Complete(size)) => size,
        Ok(Status::Partial) => return Err("request head ends early"),
        Err(httparse::Error::TooManyHeaders) => return Err("request has more than 64 headers"),
        Err(_) => return Err("request is not HTTP/1.1"),
    };
    let mut head = Head {
        route: route(request.method.unwrap_or(""), request.path.unwrap_or("")),
        length: Length::Known(0),
        keep: if request.version == Some(0) { Keep::Close } else { Keep::Alive },
        expects: Expects::Nothing,
        mode: ResponseMode::Buffered,
        content_type: None,
        extension: None,
    };
    let mut known = None;
    for header in request.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            let length = decimal(header.value).ok_or("content-length is not a number")?;
            if known.is_some_and(|known| known != length) {
                return Err("request has two content-lengths");
            }
            known = Some(length);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if !header.value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return Err("transfer-encoding is not chunked");
            }
            head.length = Length::Chunked;
        } else if header.name.eq_ignore_ascii_case("connection") {
            for word in header.value.split(|byte| *byte == b',') {
                if word.trim_ascii().eq_ignore_ascii_case(b"close") {
                    head.keep = Keep::Close;
                } else if word.trim_ascii().eq_ignore_ascii_case(b"keep-alive") {
                    head.keep = Keep::Alive;
                }
            }
        } else if header.name.eq_ignore_ascii_case("expect")
            && header.value.trim_ascii().eq_ignore_ascii_case(b"100-continue")
        {
            head.expects = Expects::Continue;
        } else if header.name.eq_ignore_ascii_case("lambda-runtime-function-response-mode")
            && header.value.trim_ascii().eq_ignore_ascii_case(b"streaming")
        {
            head.mode = ResponseMode::Streaming;
        }
    }
    match (known, head.length) {
        (Some(_), Length::Chunked) => {
            return Err("request has both content-length and transfer-encoding");
        }
        (Some(length), Length::Known(_)) => head.length = Length::Known(length),
        (None, _) => {}
    }
    if head.mode == ResponseMode::Streaming {
        head.content_type = content_type(request.headers);
    }
    if matches!(head.route, Route::Extension(_)) {
        head.extension = Some(Box::new(extension_headers(request.headers)));
    }
    Ok((head, size))
}

fn extension_headers(headers: &[httparse::Header<'_>]) -> ExtensionHeaders {
    let find = |name: &str| {
        let found = headers.iter().find(|it| it.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(found.value.trim_ascii()).ok().map(str::to_owned)
    };
    ExtensionHeaders {
        name: find("lambda-extension-name"),
        identifier: find("lambda-extension-identifier"),
        features: find("lambda-extension-accept-feature"),
        error_type: find("lambda-extension-function-error-type"),
    }
}

/// What a streamed response says it is.
fn content_type(headers: &[httparse::Header<'_>]) -> Option<Box<str>> {
    let found = headers.iter().find(|it| it.name.eq_ignore_ascii_case("content-type"))?;
    std::str::from_utf8(found.value.trim_ascii()).ok().map(Box::from)
}

/// Digits only, as RFC 9110 (8.6) has it: no sign, no list.
fn decimal(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value.trim_ascii()).ok()?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

fn route(method: &str, path: &str) -> Route {
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    if let Some(rest) = path.strip_prefix("/2020-01-01/extension/") {
        return extension_route(method, rest);
    }
    let subscribed = match path.trim_end_matches('/') {
        "/2022-07-01/telemetry" => Some(Api::Telemetry),
        "/2020-08-15/logs" => Some(Api::Logs),
        _ => None,
    };
    if let Some(api) = subscribed {
        let route = Route::Extension(ExtensionRoute::Subscribe(api));
        return if method == "PUT" { route } else { Route::MethodNotAllowed };
    }
    let Some(rest) = path.strip_prefix("/2018-06-01/runtime/") else {
        return Route::NotFound;
    };
    let (route, expected) = match rest.strip_prefix("invocation/") {
        Some("next") => (Route::Next, "GET"),
        Some(rest) => match rest.split_once('/') {
            Some((id, "response")) => (Route::Response { request_id: id.to_owned() }, "POST"),
            Some((id, "error")) => (Route::Error { request_id: id.to_owned() }, "POST"),
            _ => return Route::NotFound,
        },
        None if rest == "init/error" => (Route::InitError, "POST"),
        None => return Route::NotFound,
    };
    if method == expected { route } else { Route::MethodNotAllowed }
}

fn extension_route(method: &str, path: &str) -> Route {
    let (route, expected) = match path {
        "register" => (ExtensionRoute::Register, "POST"),
        "event/next" => (ExtensionRoute::Next, "GET"),
        "init/error" => (ExtensionRoute::InitError, "POST"),
        "exit/error" => (ExtensionRoute::ExitError, "POST"),
        _ => return Route::NotFound,
    };
    if method == expected { Route::Extension(route) } else { Route::MethodNotAllowed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_text(text: &str) -> Result<Head, &'static str> {
        parse(text.as_bytes()).map(|(head, size)| {
            assert_eq!(size, text.len());
            head
        })
    }

    // Every path of the API is told apart, with its method.
    #[test]
    fn routes() {
        let of =
            |line: &str| parse_text(&format!("{line} HTTP/1.1\r\n\r\n")).map(|head| head.route);
        let runtime = "/2018-06-01/runtime";
        assert_eq!(of(&format!("GET {runtime}/invocation/next")), Ok(Route::Next));
        assert_eq!(of(&format!("POST {runtime}/init/error")), Ok(Route::InitError));
        assert_eq!(
            of(&format!("POST {runtime}/invocation/a-b/response")),
            Ok(Route::Response { request_id: "a-b".into() })
        );
        assert_eq!(
            of(&format!("POST {runtime}/invocation/a-b/error")),
            Ok(Route::Error { request_id: "a-b".into() })
        );
        assert_eq!(of(&format!("POST {runtime}/invocation/next")), Ok(Route::MethodNotAllowed));
        let extension = "/2020-01-01/extension";
        let next = Route::Extension(ExtensionRoute::Next);
        assert_eq!(of(&format!("GET {extension}/event/next")), Ok(next));
        assert_eq!(of(&format!("GET {extension}/register")), Ok(Route::MethodNotAllowed));
        assert_eq!(of(&format!("GET {extension}/else")), Ok(Route::NotFound));
        let subscribe = |api| Ok(Route::Extension(ExtensionRoute::Subscribe(api)));
        assert_eq!(of("PUT /2022-07-01/telemetry"), subscribe(Api::Telemetry));
        assert_eq!(of("PUT /2022-07-01/telemetry/"), subscribe(Api::Telemetry));
        assert_eq!(of("PUT /2020-08-15/logs"), subscribe(Api::Logs));
        assert_eq!(of("POST /2020-08-15/logs"), Ok(Route::MethodNotAllowed));
        assert_eq!(of("GET /"), Ok(Route::NotFound));
        assert_eq!(of(&format!("GET {runtime}/invocation/a/b/c")), Ok(Route::NotFound));
    }

    // What would let two readers see two different requests is refused.
    #[test]
    fn ambiguous_lengths_are_refused() {
        for headers in [
            "Content-Length: 1\r\nContent-Length: 2",
            "Content-Length: +1",
            "Content-Length: 1, 1",
            "Content-Length: 1\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: gzip",
        ] {
            assert!(parse_text(&format!("POST / HTTP/1.1\r\n{headers}\r\n\r\n")).is_err());
        }
    }

    // A connection closes by HTTP/1.0's default and by a header, and stays otherwise.
    #[test]
    fn keeping_alive() {
        let keep = |text: &str| parse_text(text).map(|head| head.keep);
        assert_eq!(keep("GET / HTTP/1.1\r\n\r\n"), Ok(Keep::Alive));
        assert_eq!(keep("GET / HTTP/1.1\r\nConnection: x, Close\r\n\r\n"), Ok(Keep::Close));
        assert_eq!(keep("GET / HTTP/1.0\r\n\r\n"), Ok(Keep::Close));
        assert_eq!(keep("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n"), Ok(Keep::Alive));
    }
}
