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
    assert_eq!(api.poll_happened(), Some(Happened::TooLarge(size)));
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
