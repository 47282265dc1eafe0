//! Bounds of the wire: at each one all is well, past it requests wait or are refused.

use crate::errors::line;
use crate::raw;
use crate::support::{FUNCTIONS, Server, create_request};
use bytes::Bytes;
use gateway::Limits;
use http_body_util::Full;
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Long enough for anything that does not wait.
const SOON: Duration = Duration::from_secs(20);
/// Long enough to see that something waits.
const A_WHILE: Duration = Duration::from_millis(300);

const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";

/// Reads an answer's status line and the rest that comes with it.
async fn first_bytes(stream: &mut TcpStream) -> String {
    let mut bytes = vec![0; 4096];
    let read = stream.read(&mut bytes).await.expect("an answer");
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}

// Requests that carry code may have 70,167,211 bytes: at the limit the body is read, one byte past it is refused.
#[tokio::test]
async fn code_has_the_limit_of_lambda() {
    let server = Server::start().await;
    server.create("f").await;
    let sized = |size: usize| Bytes::from(vec![b'x'; size]);
    let at_limit = server.ask("POST", FUNCTIONS, sized(70_167_211)).await;
    let mut lines = vec![line(at_limit)];
    let code = format!("{FUNCTIONS}/f/code");
    for (method, target) in [("POST", FUNCTIONS), ("PUT", &code)] {
        // What is too large is refused before its hash is looked at.
        let request = server.signed(method, target, "".into());
        lines.push(line(server.send(request.map(|_| Full::new(sized(70_167_212)))).await));
    }
    insta::assert_snapshot!(lines.join("\n"), @"
    400 InvalidRequestContentException: Could not parse request body into json: expected value at line 1 column 1
    413 RequestEntityTooLargeException: Request must be smaller than 70167211 bytes for the CreateFunction operation
    413 RequestEntityTooLargeException: Request must be smaller than 70167211 bytes for the UpdateFunctionCode operation
    ");
}

// Large bodies wait until those that are being read, or whose invocation runs, leave room; small ones never do.
#[tokio::test]
async fn large_bodies_wait_for_room() {
    let server = Server::start_with(Limits { body_bytes: 1 << 20, ..Limits::default() }).await;
    server.create("f").await;
    let payload = format!("\"{}\"", "x".repeat((1 << 20) - 2));
    let target = format!("{FUNCTIONS}/f/invocations");
    let request = raw::whole(&server.signed("POST", &target, payload.clone().into()), &payload);
    let mut half = TcpStream::connect(server.address).await.expect("connected");
    half.write_all(&request[..request.len() / 2]).await.expect("sent");
    tokio::time::sleep(A_WHILE).await;

    let large = format!("\"{}\"", "y".repeat(100_000));
    let mut second = Box::pin(server.invoke("f", &[], &large));
    assert!(timeout(A_WHILE, &mut second).await.is_err(), "there is no room yet");
    let small = timeout(SOON, server.invoke("f", &[], "[1]")).await.expect("at once");
    assert_eq!(small.status, 200);

    half.write_all(&request[request.len() / 2..]).await.expect("sent");
    assert!(first_bytes(&mut half).await.starts_with("HTTP/1.1 200"));
    let second = timeout(SOON, second).await.expect("there is room");
    assert_eq!((second.status.as_u16(), second.body.len()), (200, large.len()));
}

// What finds no room in time is told to try again, and what held the room is not disturbed.
#[tokio::test]
async fn bodies_without_room_are_told() {
    let limits =
        Limits { body_bytes: 1 << 20, stall_time: Duration::from_secs(1), ..Limits::default() };
    let server = Server::start_with(limits).await;
    server.create("f").await;
    server.engine.open.send_replace(false);
    let held = json!({ "do": "hold", "x": "x".repeat((1 << 20) - 100) }).to_string();
    let large = format!("\"{}\"", "y".repeat(100_000));
    let second = async {
        while server.running() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let second = server.invoke("f", &[], &large).await;
        server.engine.open.send_replace(true);
        second
    };
    let (held, second) =
        timeout(SOON, async { tokio::join!(server.invoke("f", &[], &held), second) })
            .await
            .expect("both are answered");
    assert_eq!(held.status, 200);
    insta::assert_snapshot!(line(second), @"503 ServiceUnavailableException: 1048576 bytes of requests are being read: try again.");
    assert_eq!(server.invoke("f", &[], &large).await.status, 200, "there is room again");
}

// Connections past the limit wait, and are served once another ends.
#[tokio::test]
async fn connections_past_the_limit_wait() {
    let server = Server::start_with(Limits { connections: 2, ..Limits::default() }).await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(server.address).await.expect("connected");
        stream.write_all(HEALTH).await.expect("sent");
        assert!(first_bytes(&mut stream).await.starts_with("HTTP/1.1 200"));
        open.push(stream);
    }
    let mut third = TcpStream::connect(server.address).await.expect("connected");
    third.write_all(HEALTH).await.expect("sent");
    assert!(timeout(A_WHILE, third.readable()).await.is_err(), "there is no place yet");
    open.pop();
    let answer = timeout(SOON, first_bytes(&mut third)).await.expect("there is a place");
    assert!(answer.starts_with("HTTP/1.1 200"));
    open[0].write_all(HEALTH).await.expect("sent");
    assert!(first_bytes(&mut open[0]).await.starts_with("HTTP/1.1 200"), "the first goes on");
}

// The limits that the tests above make smaller are those that the specification promises.
#[test]
fn limits_are_as_promised() {
    let limits = Limits::default();
    assert_eq!((limits.connections, limits.body_bytes), (4096, 256 << 20));
}

// An HTTP/2 connection has 256 requests at once: the 257th is refused, by the code that lets clients try again.
#[tokio::test]
async fn http2_has_256_requests_at_once() {
    let server = Server::start().await;
    server.create("f").await;
    let target = format!("{FUNCTIONS}/f/invocations");
    let request = server.signed("POST", &target, "{}".into());
    let mut stream = TcpStream::connect(server.address).await.expect("connected");
    let mut bytes = raw::PREFACE.to_vec();
    for number in 0..257 {
        bytes.extend(raw::headers_frame(2 * number + 1, &request));
    }
    stream.write_all(&bytes).await.expect("sent");
    let reset = async {
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.expect("a frame");
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).expect("fits")];
            stream.read_exact(&mut payload).await.expect("the rest of it");
            assert_ne!(head[3], 1, "nothing is answered: no request is complete");
            if head[3] == raw::RST_STREAM {
                return (head[5..9].to_vec(), payload);
            }
        }
    };
    let (stream, code) = timeout(SOON, reset).await.expect("a stream is reset");
    assert_eq!(stream, 513_u32.to_be_bytes(), "the 257th");
    assert_eq!(code, raw::REFUSED_STREAM.to_be_bytes());
}

// A page of functions has 50 at most, however many are asked for, and the next page has the rest.
#[tokio::test]
async fn pages_have_50_functions() {
    let server = Server::start().await;
    for number in 0..51 {
        let request = create_request(&format!("f{number:02}"), json!({}));
        assert_eq!(server.ask_json("POST", FUNCTIONS, request).await.status, 201);
    }
    for target in [FUNCTIONS.to_owned(), format!("{FUNCTIONS}?MaxItems=1000")] {
        let page = server.ask("GET", &target, "").await.json();
        assert_eq!(page["Functions"].as_array().expect("a list").len(), 50);
        let marker = page["NextMarker"].as_str().expect("there is more").replace('=', "%3D");
        let next = server.ask("GET", &format!("{FUNCTIONS}?Marker={marker}"), "").await.json();
        let names = next["Functions"].as_array().expect("a list");
        assert_eq!(names.len(), 1, "{next}");
        assert_eq!(names[0]["FunctionName"], "f50");
        assert!(next["NextMarker"].is_null(), "{next}");
    }
}
