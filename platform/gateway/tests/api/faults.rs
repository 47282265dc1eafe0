//! Broken clients: connections cut anywhere, bodies that contradict their head, callers that disappear.
//!
//! The server of each test has threads of its own, on which nothing may panic, and few places, so that one lost is seen.

use crate::raw;
use crate::support::{FUNCTIONS, Server};
use gateway::Limits;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::future::Future;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

const THREAD: &str = "gateway-under-fault";
const PLACES: usize = 8;
const SOON: Duration = Duration::from_secs(10);
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// A runtime whose own threads report their panics.
fn runtime() -> Runtime {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().name() == Some(THREAD) {
                PANICS.fetch_add(1, Ordering::SeqCst);
            }
            usual(panic);
        }));
    });
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).thread_name(THREAD).enable_all().build().expect("a runtime")
}

/// A server with few places and little room, and a function `f`.
async fn small_server() -> Server {
    let limits = Limits {
        connections: PLACES,
        body_bytes: 1 << 20,
        stall_time: Duration::from_secs(5),
        ..Limits::default()
    };
    let server = Server::start_with(limits).await;
    server.create("f").await;
    server
}

/// Every place and all room can be had again, nothing runs, and nothing panicked.
async fn is_as_new(server: &Server) {
    until(|| server.running() == 0).await;
    let mut open = Vec::new();
    for _ in 0..PLACES {
        let mut stream = TcpStream::connect(server.address).await.expect("connected");
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
        let mut status = [0; 12];
        let read = timeout(SOON, stream.read_exact(&mut status)).await;
        read.expect("each place can be had").expect("an answer");
        assert_eq!(&status, b"HTTP/1.1 200");
        open.push(stream);
    }
    drop(open);
    let payload = format!("\"{}\"", "x".repeat((1 << 20) - 2));
    let answer = timeout(SOON, server.invoke("f", &[], &payload)).await.expect("there is room");
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 1 << 20));
    assert_eq!(PANICS.load(Ordering::SeqCst), 0);
}

#[track_caller]
fn until(condition: impl Fn() -> bool) -> impl Future<Output = ()> {
    let asked = std::panic::Location::caller();
    async move {
        let deadline = tokio::time::Instant::now() + SOON;
        while !condition() {
            assert!(tokio::time::Instant::now() < deadline, "it never comes to be: {asked}");
            sleep(Duration::from_millis(2)).await;
        }
    }
}

fn invocations(server: &Server) -> usize {
    server.seen().iter().filter(|what| what.starts_with("invoke")).count()
}

fn signed(server: &Server, payload: &str) -> Vec<u8> {
    let target = format!("{FUNCTIONS}/f/invocations");
    raw::whole(&server.signed("POST", &target, payload.to_owned().into()), payload)
}

/// Sends bytes, says that there are no more, and reads what comes back.
async fn exchange(server: &Server, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address).await.expect("connected");
    // The server may close before it has read all.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = timeout(SOON, stream.read_to_end(&mut answer)).await.expect("an end");
    String::from_utf8_lossy(&answer).into_owned()
}

// A request that is cut anywhere, by a close or a reset, is never run, and holds no place and no room.
#[test]
fn cut_requests_leave_nothing() {
    let runtime = runtime();
    let server = runtime.block_on(small_server());
    let payload = format!("\"{}\"", "x".repeat(200_000));
    let bytes = signed(&server, &payload);
    let before = invocations(&server);
    let cut = prop_oneof![0..1000_usize, 0..bytes.len()];
    let mut runner = TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(300)
    });
    let result = runner.run(&(cut, any::<bool>(), any::<bool>()), |(cut, reset, wait)| {
        runtime.block_on(async {
            let mut stream = TcpStream::connect(server.address).await.expect("connected");
            stream.write_all(&bytes[..cut]).await.expect("sent");
            if reset {
                stream.set_zero_linger().expect("a reset");
            }
            if wait {
                sleep(Duration::from_millis(1)).await;
            }
            drop(stream);
        });
        prop_assert_eq!(invocations(&server), before);
        Ok(())
    });
    result.expect("nothing is run");
    runtime.block_on(is_as_new(&server));
}

// A request that comes in crumbs, with pauses, is answered as one that comes at once; two on one connection too.
#[test]
fn crumbs_are_put_together() {
    let runtime = runtime();
    runtime.block_on(async {
        let server = small_server().await;
        let bytes = [signed(&server, "[1,2]"), signed(&server, "[3,4]")].concat();
        for size in [1, 7, bytes.len()] {
            let mut stream = TcpStream::connect(server.address).await.expect("connected");
            stream.set_nodelay(true).expect("no delay");
            for crumb in bytes.chunks(size) {
                stream.write_all(crumb).await.expect("sent");
                tokio::task::yield_now().await;
            }
            let mut answers = String::new();
            while !answers.ends_with("[3,4]") {
                let mut bytes = vec![0; 4096];
                let read = timeout(SOON, stream.read(&mut bytes)).await.expect("soon");
                answers += &String::from_utf8_lossy(&bytes[..read.expect("an answer")]);
            }
            assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
            assert!(answers.contains("[1,2]"), "{answers}");
        }
        is_as_new(&server).await;
    });
}

// Bodies in chunks are read; chunks that are none, and lengths that contradict each other, run nothing.
#[test]
fn bad_framing_runs_nothing() {
    let runtime = runtime();
    runtime.block_on(async {
        let server = small_server().await;
        let target = format!("{FUNCTIONS}/f/invocations");
        let signed = server.signed("POST", &target, "[1]".into());
        let send = async |framing: &str, body: &str| {
            let head = raw::head(&signed, &format!("connection: close\r\n{framing}"));
            exchange(&server, (head + body).as_bytes()).await
        };
        let chunked = "transfer-encoding: chunked";
        for body in ["3\r\n[1]\r\n0\r\n\r\n", "1;a=b\r\n[\r\n2\r\n1]\r\n0\r\nx-trailer: y\r\n\r\n"]
        {
            let answer = send(chunked, body).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{body:?}: {answer}");
        }
        let before = invocations(&server);
        let long = format!("3;{}\r\n[1]\r\n0\r\n\r\n", "x".repeat(100_000));
        for body in [
            "zz\r\n[1]\r\n0\r\n\r\n",
            "-3\r\n[1]\r\n0\r\n\r\n",
            "\r\n[1]\r\n0\r\n\r\n",
            "3\r\n[1]0\r\n\r\n",
            "3\n[1]\r\n0\r\n\r\n",
            "2\r\n[1]\r\n0\r\n\r\n",
            "fffffffffffffffff\r\n[1]\r\n0\r\n\r\n",
            &long,
        ] {
            let answer = send(chunked, body).await;
            assert!(!answer.contains(" 200 OK"), "{body:?}: {answer}");
        }
        for framing in [
            "content-length: 3\r\ncontent-length: 4",
            "content-length: -3",
            "content-length: 3x",
            "content-length: 99999999999999999999",
            "transfer-encoding: chunked\r\ntransfer-encoding: identity",
        ] {
            let answer = send(framing, "[1]").await;
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{framing}: {answer}");
        }
        assert_eq!(invocations(&server), before);
        is_as_new(&server).await;
    });
}

// A request that states a length and comes in chunks is read by its chunks alone, and ends its connection: what a
// proxy might take for its rest is no request.
#[test]
fn nothing_is_smuggled() {
    let runtime = runtime();
    runtime.block_on(async {
        let server = small_server().await;
        let target = format!("{FUNCTIONS}/f/invocations");
        let signed = server.signed("POST", &target, "[1]".into());
        let head = raw::head(&signed, "content-length: 99\r\ntransfer-encoding: chunked");
        let body = "3\r\n[1]\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
        let answer = exchange(&server, (head + body).as_bytes()).await;
        assert!(answer.matches("HTTP/1.1").count() <= 1, "{answer}");
        is_as_new(&server).await;
    });
}

/// Sends an invocation that holds; returns its connection once it runs.
async fn hold(server: &Server) -> TcpStream {
    let running = server.running();
    let mut stream = TcpStream::connect(server.address).await.expect("connected");
    stream.write_all(&signed(server, r#"{"do":"hold"}"#)).await.expect("sent");
    until(|| server.running() > running).await;
    stream
}

// An invocation whose client disappears is given up at once; those beside it go on to their answers.
#[test]
fn clients_that_disappear_take_only_their_own() {
    let runtime = runtime();
    runtime.block_on(async {
        let server = small_server().await;
        server.engine.open.send_replace(false);
        let mut kept = hold(&server).await;
        for is_reset in [false, true] {
            let lost = hold(&server).await;
            assert_eq!(server.running(), 2);
            if is_reset {
                lost.set_zero_linger().expect("a reset");
            }
            drop(lost);
            until(|| server.running() == 1).await;
        }
        server.engine.open.send_replace(true);
        let mut status = [0; 12];
        timeout(SOON, kept.read_exact(&mut status)).await.expect("soon").expect("an answer");
        assert_eq!(&status, b"HTTP/1.1 200");
        drop(kept);
        is_as_new(&server).await;
    });
}

// On one HTTP/2 connection a request that is given up ends alone, and a connection that is cut ends all of its own.
#[test]
fn http2_requests_end_alone() {
    let runtime = runtime();
    runtime.block_on(async {
        let server = small_server().await;
        server.engine.open.send_replace(false);
        let target = format!("{FUNCTIONS}/f/invocations");
        let body = r#"{"do":"hold"}"#;
        let request = server.signed("POST", &target, body.into());
        let mut stream = TcpStream::connect(server.address).await.expect("connected");
        stream.write_all(raw::PREFACE).await.expect("sent");
        for number in [1, 3, 5] {
            stream.write_all(&raw::headers_frame(number, &request)).await.expect("sent");
            stream.write_all(&raw::data_frame(number, body.as_bytes())).await.expect("sent");
        }
        until(|| server.running() == 3).await;
        stream.write_all(&raw::reset_frame(3, raw::CANCEL)).await.expect("sent");
        until(|| server.running() == 2).await;
        sleep(Duration::from_millis(50)).await;
        assert_eq!(server.running(), 2, "the others go on");
        drop(stream);
        until(|| server.running() == 0).await;
        server.engine.open.send_replace(true);
        is_as_new(&server).await;
    });
}

// Among many clients that break off, each of those that do not gets its own answer, once.
#[test]
fn nothing_is_lost_among_broken_clients() {
    let runtime = runtime();
    runtime.block_on(async {
        let server = small_server().await;
        let before = invocations(&server);
        let broken = async {
            for number in 0..200_usize {
                let bytes = signed(&server, &format!("\"{}\"", "x".repeat(70_000)));
                let mut stream = TcpStream::connect(server.address).await.expect("connected");
                let cut = (number * 7919) % bytes.len();
                stream.write_all(&bytes[..cut]).await.expect("sent");
                if number % 2 == 0 {
                    stream.set_zero_linger().expect("a reset");
                }
            }
        };
        let whole = |client: usize| {
            let server = &server;
            async move {
                for number in 0..50 {
                    let payload = format!("[{client},{number}]");
                    let answer = timeout(SOON, server.invoke("f", &[], &payload)).await;
                    assert_eq!(answer.expect("an answer").body, payload);
                }
            }
        };
        tokio::join!(broken, whole(1), whole(2), whole(3));
        assert_eq!(invocations(&server) - before, 150);
        is_as_new(&server).await;
    });
}
