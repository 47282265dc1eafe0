//! Extensions beside a runtime, over a plain process.

use super::{invocation, invoke, start, stop};
use sandbox::{End, Instance, Log, Outcome, StartError};
use std::sync::atomic::{AtomicBool, Ordering};

/// Gives functions `register(name, events)`, which returns an identifier, and `extension_next(connection, identifier)`.
const EXTENSION: &str = "
import json, threading
def request(connection, head, body=b''):
    connection.sendall(head.encode() + b'Content-Length: %d\\r\\n\\r\\n' % len(body) + body)
    return answer(connection)
def register(connection, name, events):
    headers, body = request(connection, f'POST /2020-01-01/extension/register HTTP/1.1\\r\\nLambda-Extension-Name: {name}\\r\\n',
        json.dumps({'events': events}).encode())
    return headers['Lambda-Extension-Identifier']
def extension_next(connection, identifier):
    head = f'GET /2020-01-01/extension/event/next HTTP/1.1\\r\\nLambda-Extension-Identifier: {identifier}\\r\\n'
    return json.loads(request(connection, head)[1])
";

// An internal extension sees each invocation, and the instance is idle only once it has asked for the next.
#[tokio::test]
async fn internal_extensions_hold_the_instance() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().to_string_lossy();
    let code = format!(
        "{EXTENSION}
own = connect()
identifier = register(own, 'watcher', ['INVOKE'])
def watch():
    import time
    while True:
        event = extension_next(own, identifier)
        open('{path}/' + event['requestId'] + '.seen', 'w').write(json.dumps(event))
        while not os.path.exists('{path}/go'): time.sleep(0.005)
threading.Thread(target=watch, daemon=True).start()
loop(lambda event: event)"
    );
    let mut instance = start(&code).await.expect("starts");
    let answered = AtomicBool::new(false);
    let mut invoke = Box::pin(instance.invoke(invocation("1", Log::Drop), |outcome| {
        assert!(matches!(outcome, Outcome::Response { .. }));
        answered.store(true, Ordering::Relaxed);
    }));
    let seen = directory.path().join("8476a536-e9f4-11e8-9739-2dfe598c3fcd.seen");
    // The response does not wait for the extension; being idle does.
    let early = async {
        while !(answered.load(Ordering::Relaxed) && seen.exists()) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        ended = &mut invoke => panic!("idle before its extension was: {ended:?}"),
        () = early => {}
    }
    let still_busy = tokio::time::timeout(std::time::Duration::from_millis(50), &mut invoke).await;
    assert!(still_busy.is_err());
    std::fs::write(directory.path().join("go"), "").expect("writes");
    assert_eq!(invoke.await, Ok(()));
    let event = std::fs::read_to_string(&seen).expect("written");
    for part in ["\"eventType\": \"INVOKE\"", "function:f\"", "Root=1-", "deadlineMs"] {
        assert!(event.contains(part), "{part} in {event}");
    }
    stop(instance).await;
}

// Init is over when the extension waits, too; one that fails ends the instance with its error.
#[tokio::test]
async fn extensions_that_fail() {
    let fails = "
def fail(connection, where, identifier):
    head = f'POST /2020-01-01/extension/{where}/error HTTP/1.1\\r\\nLambda-Extension-Identifier: {identifier}\\r\\n'
    request(connection, head + 'Lambda-Extension-Function-Error-Type: Extension.NoRoom\\r\\n', b'{}')
";
    let in_init = format!(
        "{EXTENSION}{fails}\nown = connect()\nidentifier = register(own, 'w', [])\n\
         fail(own, 'init', identifier)\nloop(None)"
    );
    let error = start(&in_init).await.expect_err("fails");
    let expected =
        |kind| End::Extension { name: "w".to_owned(), kind, reason: "Extension.NoRoom".to_owned() };
    let StartError::Ended { end, .. } = error else { panic!("{error}") };
    assert_eq!(end, expected("Extension.InitError"));
    let later = format!(
        "{EXTENSION}{fails}
own = connect()
identifier = register(own, 'w', ['INVOKE'])
def watch():
    extension_next(own, identifier)
    fail(own, 'exit', identifier)
threading.Thread(target=watch, daemon=True).start()
connection = connect()
next(connection)
import time; time.sleep(600)"
    );
    let mut instance = start(&later).await.expect("starts");
    let (outcome, ended) = invoke(&mut instance, "1", Log::Drop).await;
    assert_eq!(ended, Err(expected("Extension.ExitError")));
    assert!(matches!(outcome, Some(Outcome::Ended { .. })));
    stop(instance).await;
}
