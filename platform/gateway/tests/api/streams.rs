//! InvokeWithResponseStream: frames, how they end, and who waits for whom.

use crate::support::{Answer, FUNCTIONS, Server, Signer, sign_request};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::TcpStream;

const STREAMED: &str = "/2021-11-15/functions";

/// A frame: its event's type or its exception's, and its payload.
type Frame = (String, Bytes);

/// Reads frames, checking lengths and checksums.
fn frames(mut body: Bytes) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !body.is_empty() {
        let word = |at: usize| u32::from_be_bytes(body[at..at + 4].try_into().expect("4 bytes"));
        let (size, headers_size) = (word(0) as usize, word(4) as usize);
        assert_eq!(word(8), crc32fast::hash(&body[..8]));
        assert_eq!(word(size - 4), crc32fast::hash(&body[..size - 4]));
        let frame = body.split_to(size);
        let headers = String::from_utf8_lossy(&frame[12..12 + headers_size]).into_owned();
        let kinds = ["PayloadChunk", "InvokeComplete", "ServiceException"];
        let kind = kinds.into_iter().find(|kind| headers.contains(kind)).expect("a known kind");
        frames.push((kind.to_owned(), frame.slice(12 + headers_size..size - 4)));
    }
    frames
}

/// Payloads of the chunks as one, and the last frame.
fn read(answer: &Answer) -> (Bytes, Frame) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.headers["content-type"], "application/vnd.amazon.eventstream");
    let mut frames = frames(answer.body.clone());
    let last = frames.pop().expect("a last frame");
    assert!(frames.iter().all(|(kind, _)| kind == "PayloadChunk"), "{frames:?}");
    (frames.into_iter().flat_map(|(_, payload)| payload).collect(), last)
}

async fn stream(server: &Server, headers: &[(&str, &str)], payload: &Value) -> Answer {
    server.send(request(server, headers, payload)).await
}

fn request(server: &Server, headers: &[(&str, &str)], payload: &Value) -> Request<Full<Bytes>> {
    let target = format!("{STREAMED}/f/response-streaming-invocations");
    let mut request = server.request("POST", &target, payload.to_string().into());
    for (name, value) in headers {
        let name: http::HeaderName = name.parse().expect("a name");
        request.headers_mut().insert(name, value.parse().expect("a value"));
    }
    sign_request(&mut request, &Signer::default());
    request
}

// Pieces become chunks, one frame each, and the last frame says that all went well, with the log where it was asked for.
#[tokio::test]
async fn pieces_become_chunks() {
    let server = Server::start().await;
    server.create("f").await;
    let pieces = json!({ "pieces": ["one", "two", 70_000] });
    let answer = stream(&server, &[], &pieces).await;
    assert_eq!(answer.headers["x-amz-executed-version"], "$LATEST");
    let (payload, (kind, last)) = read(&answer);
    assert_eq!(payload.len(), 70_006);
    assert!(payload.starts_with(b"onetwoxx"));
    assert_eq!((kind.as_str(), &last[..]), ("InvokeComplete", &b"{}"[..]));
    let answer = stream(&server, &[("x-amz-log-type", "Tail")], &pieces).await;
    let (_, (_, last)) = read(&answer);
    let last: Value = serde_json::from_slice(&last).expect("JSON");
    assert!(last["LogResult"].as_str().is_some_and(|log| log.starts_with("U1RBUlQ")), "{last}");
}

// A function that does not stream answers the same way, however large its answer.
#[tokio::test]
async fn whole_responses_become_chunks() {
    let server = Server::start().await;
    server.create("f").await;
    let payload = json!({ "big": "y".repeat(1 << 20) });
    let (got, (kind, _)) = read(&stream(&server, &[], &payload).await);
    assert_eq!(got, payload.to_string());
    assert_eq!(kind, "InvokeComplete");
}

// A function's error is in the last frame, after what was streamed before it or after nothing.
#[tokio::test]
async fn errors_of_functions() {
    let server = Server::start().await;
    server.create("f").await;
    for (payload, before) in
        [(json!({ "do": "fail" }), ""), (json!({ "do": "fail", "pieces": ["a"] }), "a")]
    {
        let (got, (kind, last)) = read(&stream(&server, &[], &payload).await);
        assert_eq!((got.as_ref(), kind.as_str()), (before.as_bytes(), "InvokeComplete"));
        let last: Value = serde_json::from_slice(&last).expect("JSON");
        assert_eq!(last["ErrorCode"], "Unhandled");
        assert_eq!(last["ErrorDetails"], r#"{"errorMessage":"no","errorType":"E"}"#);
    }
}

// The platform's own failures are errors of the API before the first frame, and an exception after it.
#[tokio::test]
async fn errors_of_the_platform() {
    let server = Server::start().await;
    server.create("f").await;
    for (what, status) in [("reserved", 429), ("gone", 404), ("unavailable", 500)] {
        assert_eq!(stream(&server, &[], &json!({ "do": what })).await.status, status);
    }
    let late = json!({ "do": "unavailable", "pieces": ["a"] });
    let (got, (kind, last)) = read(&stream(&server, &[], &late).await);
    assert_eq!((&got[..], kind.as_str()), (&b"a"[..], "ServiceException"));
    assert!(String::from_utf8_lossy(&last).contains("no host"));
}

// What is not for this operation is refused by name; a dry run runs nothing.
#[tokio::test]
async fn parameters() {
    let server = Server::start().await;
    server.create("f").await;
    let answer = stream(&server, &[("x-amz-invocation-type", "Event")], &json!({})).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("[RequestResponse, DryRun]"), "{}", answer.text());
    let before = server.seen().len();
    let answer = stream(&server, &[("x-amz-invocation-type", "DryRun")], &json!({})).await;
    assert_eq!((answer.status.as_u16(), server.seen().len()), (204, before));
    let target = format!("{STREAMED}/none/response-streaming-invocations");
    assert_eq!(server.ask("POST", &target, "{}").await.status, 404);
    let target = format!("{STREAMED}/f/response-streaming-invocations?Qualifier=7");
    assert_eq!(server.ask("POST", &target, "{}").await.status, 404);
    let large = "x".repeat((6 << 20) + 1);
    let target = format!("{STREAMED}/f/response-streaming-invocations");
    assert_eq!(server.ask("POST", &target, large).await.status, 413);
    assert_eq!(server.ask("GET", &format!("{FUNCTIONS}/f"), "").await.status, 200);
}

/// Asks, and takes nothing of the body yet.
async fn open(server: &Server, payload: &Value) -> http::Response<hyper::body::Incoming> {
    let stream = TcpStream::connect(server.address).await.expect("connected");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
    tokio::spawn(connection);
    sender.send_request(request(server, &[], payload)).await.expect("an answer")
}

// The first piece is at the client while the function still runs; a client that takes nothing holds the function up.
#[tokio::test]
async fn pieces_come_while_the_function_runs() {
    let server = Server::start().await;
    server.create("f").await;
    let mut pieces = vec![json!("first")];
    pieces.extend(vec![json!(64 << 10); 1000]);
    let mut answer = open(&server, &json!({ "pieces": pieces })).await;
    let first = answer.body_mut().frame().await.expect("a frame").expect("whole");
    let mut first = first.into_data().expect("data");
    let size = u32::from_be_bytes(first[..4].try_into().expect("4 bytes")) as usize;
    let first = frames(first.split_to(size));
    assert_eq!(first[0].1, "first");
    // 64 MiB are more than the sockets hold: as long as nothing is read it cannot end.
    for _ in 0..20 {
        assert_eq!(server.running(), 1);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    assert!(body.len() > 64_000_000);
    assert_eq!(server.running(), 0);
}

// A client that goes away in the middle leaves nothing running in the gateway.
#[tokio::test]
async fn clients_that_go_away() {
    let server = Server::start().await;
    server.create("f").await;
    let answer = open(&server, &json!({ "pieces": vec![64 << 10; 2000] })).await;
    assert_eq!(server.running(), 1);
    drop(answer);
    while server.running() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
