//! What a runtime may and may not do.

use super::*;

const NEXT: &str = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n";

fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!("POST /2018-06-01/runtime/{path} HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{body}")
}

fn event(request_id: &str) -> Event {
    Event {
        request_id: request_id.into(),
        payload: Bytes::from_static(b"{}"),
        deadline_unix_ms: 1_732_000_000_000,
        function_arn: "arn:aws:lambda:eu-west-1:000000000001:function:f".into(),
        trace_id: "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0".into(),
        client_context: None,
        response: ResponseMode::Buffered,
    }
}

fn send(api: &mut RuntimeApi, id: ConnectionId, text: &str) {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let space = api.space(id);
        let count = space.len().min(rest.len());
        assert!(count > 0, "no space for {rest:?}");
        space[..count].copy_from_slice(&rest[..count]);
        rest = &rest[count..];
        api.filled(id, count);
    }
}

fn take_output(api: &mut RuntimeApi, id: ConnectionId) -> String {
    let output = api.output(id).concat();
    api.wrote(id, output.len());
    String::from_utf8(output).expect("text")
}

fn ready() -> (RuntimeApi, ConnectionId) {
    let mut api = RuntimeApi::new();
    let id = api.open().expect("first connection");
    send(&mut api, id, NEXT);
    assert_eq!(api.poll_happened(), Some(Happened::Ready));
    (api, id)
}

// One invocation from end to end, on one connection, with the headers that runtimes need.
#[test]
fn an_invocation() {
    let (mut api, id) = ready();
    let mut sent = event("r1");
    sent.client_context = Some("{\"k\":1}".into());
    api.invoke(sent).expect("ready");
    let answer = take_output(&mut api, id);
    for line in [
        "HTTP/1.1 200 OK",
        "Lambda-Runtime-Aws-Request-Id: r1",
        "Lambda-Runtime-Deadline-Ms: 1732000000000",
        "Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:eu-west-1:000000000001:function:f",
        "Lambda-Runtime-Trace-Id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0",
        "Lambda-Runtime-Client-Context: {\"k\":1}",
        "Content-Length: 2\r\n\r\n{}",
    ] {
        assert!(answer.contains(line), "{line} in {answer}");
    }
    send(&mut api, id, &post("invocation/r1/response", "[1]"));
    assert_eq!(api.poll_happened(), Some(Happened::Response(Bytes::from_static(b"[1]"))));
    assert!(take_output(&mut api, id).starts_with("HTTP/1.1 202 Accepted\r\n"));
    assert!(!api.is_ready());
    send(&mut api, id, NEXT);
    assert!(api.is_ready());
}

// A wrong id, a wrong state and a wrong path get the answers that AWS gives, and change nothing.
#[test]
fn wrong_requests_are_refused() {
    let (mut api, id) = ready();
    let other = api.open().expect("second connection");
    send(&mut api, other, &post("invocation/r1/response", ""));
    assert!(take_output(&mut api, other).contains("403 Forbidden"));
    api.invoke(event("r1")).expect("ready");
    send(&mut api, other, &post("invocation/r0/response", ""));
    assert!(take_output(&mut api, other).contains("InvalidRequestID"));
    send(&mut api, other, &post("init/error", ""));
    assert!(take_output(&mut api, other).contains("InvalidStateTransition"));
    send(&mut api, other, &post("no/such", ""));
    assert!(take_output(&mut api, other).contains("404"));
    assert_eq!(api.poll_happened(), None);
    send(&mut api, id, &post("invocation/r1/error", "{}"));
    assert_eq!(api.poll_happened(), Some(Happened::Error(Bytes::from_static(b"{}"))));
}

// An event that a dead connection was to get goes to the next one that asks.
#[test]
fn a_dead_long_poll_swallows_no_event() {
    let (mut api, id) = ready();
    api.close(id, Closing::Ended);
    assert!(!api.is_ready() && api.lost().is_some());
    assert_eq!(api.invoke(event("r1")), Err(NotReady));
    let id = api.open().expect("second connection");
    send(&mut api, id, NEXT);
    assert!(api.lost().is_none());
    api.invoke(event("r1")).expect("ready");
    api.close(id, Closing::Reset);
    assert!(api.lost().is_some());
    let id = api.open().expect("third connection");
    send(&mut api, id, NEXT);
    assert!(api.lost().is_none());
    assert!(take_output(&mut api, id).contains("r1"));
}

// A client with one connection per request is fine; one that hangs up inside its answer is not.
#[test]
fn connections_may_close_between_requests_only() {
    let (mut api, id) = ready();
    api.invoke(event("r1")).expect("ready");
    take_output(&mut api, id);
    api.close(id, Closing::Ended);
    assert_eq!(api.lost(), None);
    let id = api.open().expect("second connection");
    let whole = post("invocation/r1/response", "12345");
    send(&mut api, id, &whole[..whole.len() - 1]);
    api.close(id, Closing::Ended);
    assert!(api.lost().is_some_and(|reason| reason.contains("middle")));
}

// A response beyond the limit is told at once, drained, refused with 413, and the instance goes on.
#[test]
fn a_response_too_large() {
    let (mut api, id) = ready();
    api.invoke(event("r1")).expect("ready");
    take_output(&mut api, id);
    let size = crate::RESPONSE_LIMIT + 1;
    let path = "/2018-06-01/runtime/invocation/r1/response";
    send(&mut api, id, &format!("POST {path} HTTP/1.1\r\nContent-Length: {size}\r\n\r\n"));
    assert_eq!(
        api.poll_happened(),
        Some(Happened::TooLarge { size, limit: crate::RESPONSE_LIMIT })
    );
    assert_eq!(take_output(&mut api, id), "");
    send(&mut api, id, &"x".repeat(size as usize));
    assert!(take_output(&mut api, id).contains("413"));
    send(&mut api, id, NEXT);
    assert_eq!(api.poll_happened(), Some(Happened::Ready));
}

// A function that sends large bodies on every connection makes the server keep one of them.
#[test]
fn one_large_body_at_a_time() {
    let (mut api, first) = ready();
    api.invoke(event("r1")).expect("ready");
    take_output(&mut api, first);
    let body = "x".repeat(1 << 20);
    let head = |id: &str| format!("POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1\r\n");
    let known = format!("Content-Length: {}\r\n\r\n", body.len());
    send(&mut api, first, &format!("{}{known}{}", head("r1"), &body[1..]));
    for (id, text) in [
        ("r1", format!("{known}{body}")),
        ("r0", format!("{known}{body}")),
        ("r1", format!("Transfer-Encoding: chunked\r\n\r\n100000\r\n{body}\r\n0\r\n\r\n")),
    ] {
        let other = api.open().expect("another connection");
        send(&mut api, other, &format!("{}{text}", head(id)));
        let status = if id == "r1" { "403" } else { "400" };
        assert!(take_output(&mut api, other).contains(status), "{id}");
    }
    assert_eq!(api.poll_happened(), None);
    send(&mut api, first, "x");
    assert_eq!(api.poll_happened(), Some(Happened::Response(Bytes::from(body))));
}

// A client that waits for it gets its 100 Continue before it has sent the body.
#[test]
fn expect_continue() {
    let (mut api, id) = ready();
    api.invoke(event("r1")).expect("ready");
    take_output(&mut api, id);
    let path = "/2018-06-01/runtime/invocation/r1/response";
    let head = format!("POST {path} HTTP/1.1\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n");
    send(&mut api, id, &head);
    assert_eq!(take_output(&mut api, id), "HTTP/1.1 100 Continue\r\n\r\n");
    send(&mut api, id, "1");
    assert_eq!(api.poll_happened(), Some(Happened::Response(Bytes::from_static(b"1"))));
}

/// An API whose runtime has got an event that takes a stream.
fn streaming() -> (RuntimeApi, ConnectionId) {
    let (mut api, id) = ready();
    api.invoke(Event { response: ResponseMode::Streaming, ..event("r1") }).expect("ready");
    take_output(&mut api, id);
    (api, id)
}

const STREAM: &str = "POST /2018-06-01/runtime/invocation/r1/response HTTP/1.1\r\n\
    Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n\
    Content-Type: text/x\r\n\r\n";

fn all_happened(api: &mut RuntimeApi) -> Vec<Happened> {
    std::iter::from_fn(|| api.poll_happened()).collect()
}

// Pieces are handed on as they come, and while one is not taken nothing more of the stream is read.
#[test]
fn a_stream_goes_piece_by_piece() {
    let (mut api, id) = streaming();
    send(&mut api, id, STREAM);
    let content_type = Some("text/x".into());
    assert_eq!(all_happened(&mut api), [Happened::StreamBegan { content_type }]);
    send(&mut api, id, "3\r\nabc\r\n2\r\nde");
    assert_eq!(all_happened(&mut api), [Happened::StreamPiece("abcde".into())]);
    assert!(api.space(id).is_empty(), "held");
    let other = api.open().expect("another connection");
    assert!(!api.space(other).is_empty(), "others are read");
    api.resume_stream();
    send(&mut api, id, "\r\n0\r\n\r\n");
    assert_eq!(all_happened(&mut api), [Happened::StreamEnded(None)]);
    assert!(take_output(&mut api, id).starts_with("HTTP/1.1 202"));
    send(&mut api, id, NEXT);
    assert!(api.is_ready());
}

// Whoever wants the response whole gets it whole, from a runtime that streams, too.
#[test]
fn a_stream_for_a_buffered_event_is_collected() {
    let (mut api, id) = ready();
    api.invoke(event("r1")).expect("ready");
    take_output(&mut api, id);
    send(&mut api, id, &format!("{STREAM}3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"));
    assert_eq!(all_happened(&mut api), [Happened::Response("abcde".into())]);
}

// A function that fails between two pieces says so in its trailers; a second answer is refused.
#[test]
fn a_stream_may_end_with_an_error() {
    let (mut api, id) = streaming();
    send(&mut api, id, &format!("{STREAM}1\r\na\r\n"));
    all_happened(&mut api);
    let other = api.open().expect("another connection");
    send(&mut api, other, &post("invocation/r1/response", "no"));
    assert!(take_output(&mut api, other).contains("403"));
    api.resume_stream();
    let trailers = "Lambda-Runtime-Function-Error-Type: Boom\r\n\
        Lambda-Runtime-Function-Error-Body: eyJhIjoxfQ==\r\n";
    send(&mut api, id, &format!("0\r\n{trailers}\r\n"));
    assert_eq!(all_happened(&mut api), [Happened::StreamEnded(Some("{\"a\":1}".into()))]);
}

// A stream has its own limit, beyond which it is told and refused; with a content-length, too.
#[test]
fn a_stream_too_large() {
    let (mut api, id) = streaming();
    let size = crate::STREAM_LIMIT + 1;
    let head = STREAM.replace("Transfer-Encoding: chunked", &format!("Content-Length: {size}"));
    send(&mut api, id, &head);
    let block = "x".repeat(1 << 20);
    for _ in 0..crate::STREAM_LIMIT >> 20 {
        send_all(&mut api, id, &block);
    }
    send_all(&mut api, id, "x");
    let limit = crate::STREAM_LIMIT;
    assert_eq!(all_happened(&mut api), [Happened::TooLarge { size, limit }]);
    assert!(take_output(&mut api, id).contains("413"));
}

/// Sends and takes every piece that comes out.
fn send_all(api: &mut RuntimeApi, id: ConnectionId, text: &str) {
    for part in text.as_bytes().chunks(32 << 10) {
        send(api, id, std::str::from_utf8(part).expect("ASCII"));
        while matches!(
            api.happened.front(),
            Some(Happened::StreamPiece(_) | Happened::StreamBegan { .. })
        ) {
            api.poll_happened();
        }
        api.resume_stream();
    }
}

// A runtime that hangs up in the middle of its stream is lost.
#[test]
fn a_stream_cut_short() {
    let (mut api, id) = streaming();
    send(&mut api, id, &format!("{STREAM}1\r\na\r\n"));
    api.close(id, Closing::Ended);
    assert!(api.lost().is_some_and(|reason| reason.contains("middle")));
}
