//! Responses in pieces, over a plain process.

use super::{invocation, start, stop};
use bytes::Bytes;
use sandbox::{End, Instance, Invocation, Log, Outcome, Sink, Tail};
use std::sync::{Arc, OnceLock};
use tokio::sync::mpsc;

/// Answers each event in chunks: `begin(request_id)`, `chunk(bytes)`, `end(trailers)` are at hand.
const STREAMS: &str = "
connection = connect()
def begin(request_id):
    connection.sendall(f'POST /2018-06-01/runtime/invocation/{request_id}/response HTTP/1.1\\r\\n'
        'Lambda-Runtime-Function-Response-Mode: streaming\\r\\nContent-Type: text/x\\r\\n'
        'Transfer-Encoding: chunked\\r\\n\\r\\n'.encode())
def chunk(data):
    connection.sendall(b'%x\\r\\n%s\\r\\n' % (len(data), data))
def end(trailers=b''):
    connection.sendall(b'0\\r\\n' + trailers + b'\\r\\n')
    return answer(connection)
";

fn streamed(payload: &str, room: usize) -> (Invocation, Sink, mpsc::Receiver<Bytes>) {
    let (pieces, received) = mpsc::channel(room);
    let sink = Sink { content_type: Arc::new(OnceLock::new()), pieces };
    let invocation = Invocation { stream: Some(sink.clone()), ..invocation(payload, Log::Drop) };
    // The test's own end must not keep the stream open.
    let sink = Sink { pieces: mpsc::channel(1).0, ..sink };
    (invocation, sink, received)
}

async fn all(mut pieces: mpsc::Receiver<Bytes>) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(piece) = pieces.recv().await {
        all.extend_from_slice(&piece);
    }
    all
}

// What a function streams arrives whole and in order, with its type, and the instance serves on; whole for who wants it so.
#[tokio::test]
async fn pieces_arrive() {
    let code = format!(
        "{STREAMS}\nwhile True:\n  request_id, event = next(connection)\n  begin(request_id)\n  \
         for index in range(int(event)): chunk(b'%06d' % index * 1000)\n  end()"
    );
    let mut instance = start(&code).await.expect("starts");
    let whole: String = (0..100).map(|index| format!("{index:06}").repeat(1000)).collect();
    for _ in 0..3 {
        let (invocation, sink, pieces) = streamed("100", 2);
        let mut outcome = None;
        let (ended, got) =
            tokio::join!(instance.invoke(invocation, |it| outcome = Some(it)), all(pieces));
        assert_eq!(ended, Ok(()));
        assert_eq!(outcome, Some(Outcome::Streamed { tail: Tail::default() }));
        assert!(got == whole.as_bytes());
        assert_eq!(sink.content_type.get(), Some(&Some("text/x".into())));
    }
    let (outcome, _) = super::invoke(&mut instance, "100", Log::Drop).await;
    assert!(matches!(outcome, Some(Outcome::Response { payload, .. }) if payload == whole));
    stop(instance).await;
}

// A reader that takes nothing holds the function up after what sockets hold; the piece that comes first comes at once.
#[tokio::test]
async fn a_slow_reader_holds_the_function_up() {
    let code = format!(
        "{STREAMS}\nrequest_id, event = next(connection)\nbegin(request_id)\nchunk(b'first')\n\
         import threading, time\nsent = 0\ndef tell():\n  last = -1\n  while sent != last:\n    last = sent\n    \
         time.sleep(0.3)\n  open(event + b'.new', 'w').write(str(sent))\n  os.rename(event + b'.new', event)\n\
         threading.Thread(target=tell).start()\n\
         while sent < 64 << 20: chunk(b'x' * 65536); sent += 65536\nend()\nnext(connection)"
    );
    let mut instance = start(&code).await.expect("starts");
    let directory = tempfile::tempdir().expect("temporary directory");
    let stuck_at = directory.path().join("stuck");
    let (invocation, _, mut pieces) = streamed(&stuck_at.to_string_lossy(), 1);
    let mut outcome = None;
    let invoke = instance.invoke(invocation, |it| outcome = Some(it));
    let read = async {
        assert_eq!(pieces.recv().await, Some(Bytes::new()));
        let first = pieces.recv().await.expect("a piece");
        assert!(first.starts_with(b"first"));
        while !stuck_at.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        first.len() + all(pieces).await.len()
    };
    let (ended, length) = tokio::join!(invoke, read);
    assert_eq!(ended, Ok(()));
    assert_eq!(length, 5 + (64 << 20));
    let held = std::fs::read_to_string(&stuck_at).expect("written");
    let held: u64 = held.parse().expect("a number");
    assert!(held < 32 << 20, "{held} bytes were taken without a reader");
    stop(instance).await;
}

// A reader that goes away changes nothing for the function: it runs to its end.
#[tokio::test]
async fn a_reader_that_goes_away() {
    let code = format!(
        "{STREAMS}\nwhile True:\n  request_id, event = next(connection)\n  begin(request_id)\n  \
         for _ in range(200): chunk(b'x' * 65536)\n  end()"
    );
    let mut instance = start(&code).await.expect("starts");
    for _ in 0..2 {
        let (invocation, _, mut pieces) = streamed("", 1);
        let mut outcome = None;
        let read = async move {
            pieces.recv().await;
            pieces.recv().await;
        };
        let (ended, ()) = tokio::join!(instance.invoke(invocation, |it| outcome = Some(it)), read);
        assert_eq!(ended, Ok(()));
        assert_eq!(outcome, Some(Outcome::Streamed { tail: Tail::default() }));
    }
    stop(instance).await;
}

// An error between two pieces, an exit and a hang-up: what came before arrives, then how it ended.
#[tokio::test]
async fn ends_in_the_middle() {
    let trailers = "b'Lambda-Runtime-Function-Error-Type: Boom\\r\\nLambda-Runtime-Function-Error-Body: e30=\\r\\n'";
    let exit = End::Exited { status: Some(3), signal: None };
    let hang_up = "the runtime closed its connection in the middle of its response";
    for (last, expected) in [
        (
            format!("end({trailers}); next(connection)"),
            Outcome::Error { payload: "{}".into(), tail: Tail::default() },
        ),
        ("os._exit(3)".to_owned(), Outcome::Ended { end: exit, tail: Tail::default() }),
        (
            "connection.close(); import time; time.sleep(600)".to_owned(),
            Outcome::Ended { end: End::Protocol(hang_up.to_owned()), tail: Tail::default() },
        ),
    ] {
        let code = format!(
            "{STREAMS}\nrequest_id, event = next(connection)\nbegin(request_id)\n\
             for _ in range(50): chunk(b'y' * 1000)\n{last}"
        );
        let mut instance = start(&code).await.expect("starts");
        let (invocation, _, pieces) = streamed("", 1);
        let mut outcome = None;
        let (_, got) =
            tokio::join!(instance.invoke(invocation, |it| outcome = Some(it)), all(pieces));
        assert_eq!(got.len(), 50_000);
        assert_eq!(outcome, Some(expected));
        stop(instance).await;
    }
}
