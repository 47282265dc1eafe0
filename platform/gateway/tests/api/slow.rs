//! Clients that are slow or stuck are cut off; the others do not notice.

use crate::raw;
use crate::support::{FUNCTIONS, Server, gateway};
use gateway::Limits;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn short() -> Limits {
    Limits {
        header_time: Duration::from_millis(500),
        stall_time: Duration::from_millis(500),
        body_time: Duration::from_secs(2),
        ..Limits::default()
    }
}

/// Sends bytes and then nothing; returns what came back until the server closed.
async fn send_and_wait(server: &Server, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address).await.expect("connected");
    stream.write_all(bytes).await.expect("sent");
    let mut answer = Vec::new();
    // A reset is as good an end as any.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

// A client that sends nothing, half a header, or half of HTTP/2's first line, is cut off.
#[tokio::test]
async fn slow_headers_are_cut_off() {
    let server = Server::start_with(short()).await;
    for bytes in ["", "P", "PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\r\nhost: x\r\nx-half: "] {
        let answer = send_and_wait(&server, bytes.as_bytes()).await;
        assert!(!answer.contains("200 OK"), "{bytes:?}: {answer}");
    }
    assert_eq!(server.ask("GET", FUNCTIONS, "").await.status, 200);
}

// A client whose body stops coming is told, and cut off.
#[tokio::test]
async fn slow_bodies_are_cut_off() {
    let server = Server::start_with(short()).await;
    let signed = server.signed("POST", &format!("{FUNCTIONS}/f/invocations"), "{}".into());
    let head = raw::head(&signed, "content-length: 100");
    let answer = send_and_wait(&server, format!("{head}{{").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("RequestTimeoutException"), "{answer}");
}

// A header that is too large is refused, not kept.
#[tokio::test]
async fn large_headers_are_refused() {
    let server = Server::start().await;
    let line = format!("GET / HTTP/1.1\r\nhost: x\r\nx-large: {}\r\n\r\n", "x".repeat(70_000));
    let answer = send_and_wait(&server, line.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    let many = "a: b\r\n".repeat(101);
    let answer = send_and_wait(&server, format!("GET / HTTP/1.1\r\n{many}\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

// A client that takes no answer is cut off: its connection's place is free again.
#[tokio::test]
async fn clients_that_do_not_read_are_cut_off() {
    let limits = Limits { connections: 1, header_time: Duration::from_secs(60), ..short() };
    let server = Server::start_with(limits).await;
    server.create("f").await;
    let payload = format!("\"{}\"", "x".repeat(6_000_000));
    let target = format!("{FUNCTIONS}/f/invocations");
    let signed = server.signed("POST", &target, payload.clone().into());
    let request = raw::whole(&signed, &payload);
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let mut stuck = socket.connect(server.address).await.expect("connected");
    stuck.write_all(&request).await.expect("sent");
    let answer = server.ask("GET", FUNCTIONS, "").await;
    assert_eq!(answer.status, 200, "there is one place, and it was freed");
    drop(stuck);
}

// A shutdown lets a running request end and takes no new connection.
#[tokio::test]
async fn shutdown_lets_requests_end() {
    let server = Server::start().await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let data = server.data.path().join("other");
    let gateway = gateway(&data, server.engine.clone(), Limits::default());
    let serving = tokio::spawn(async move {
        gateway.serve(listener, async { drop(stopped.await) }).await;
    });
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 200");
    stop.send(()).expect("it waits");
    serving.await.expect("it ends, though a client keeps its connection");
    assert!(TcpStream::connect(address).await.is_err());
}
