//! Instances driven over a plain process: no sandbox, but real sockets, pipes and exits.

mod extensions;
mod function;
mod lines;
mod process;
mod stream;

use function::function;
use model::{MemoryMib, Span};
use process::Process;
use sandbox::container::ContainerInstance;
use sandbox::{
    End, Instance, Invocation, Log, Outcome, Settings, ShutdownReason, StartError, Tail,
};
use std::time::{Duration, Instant, SystemTime};

/// Settings whose init may take `init_timeout`.
fn settings(init_timeout: Span) -> Settings {
    Settings {
        runtime: "provided.al2023".into(),
        handler: "app.handler".into(),
        environment: Default::default(),
        memory: MemoryMib(128),
        cpu_ceiling_milli: None,
        cpu_weight: 100,
        tmp: MemoryMib(512),
        init_timeout,
        account: String::new(),
    }
}

fn invocation(payload: &str, log: Log) -> Invocation {
    Invocation {
        request_id: "8476a536-e9f4-11e8-9739-2dfe598c3fcd".into(),
        payload: payload.to_owned().into(),
        function_arn: "arn:aws:lambda:eu-west-1:000000000001:function:f".into(),
        trace_id: "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700".into(),
        client_context: None,
        deadline: SystemTime::now() + Duration::from_secs(30),
        log,
        stream: None,
    }
}

/// Starts a function written for our tests' small runtime: see [`function`].
async fn start(code: &str) -> Result<ContainerInstance<Process>, StartError> {
    let running = Process::spawn(function(code));
    ContainerInstance::start(running, &settings(Span::from_secs(20)), Instant::now()).await
}

async fn invoke(
    instance: &mut ContainerInstance<Process>,
    payload: &str,
    log: Log,
) -> (Option<Outcome>, Result<(), End>) {
    let mut outcome = None;
    let ended = instance.invoke(invocation(payload, log), |given| outcome = Some(given)).await;
    (outcome, ended)
}

async fn stop(instance: ContainerInstance<Process>) {
    instance.stop(ShutdownReason::Spindown).await;
}

fn log_of(outcome: Option<Outcome>) -> String {
    let (Some(Outcome::Response { tail, .. } | Outcome::Error { tail, .. })
    | Some(Outcome::Ended { tail, .. })) = outcome
    else {
        panic!("no outcome");
    };
    String::from_utf8_lossy(&tail.log).into_owned()
}

// Events go in, results come out, again and again, frozen in between or not.
#[tokio::test]
async fn invocations() {
    let mut instance = start("loop(lambda event: event[::-1])").await.expect("starts");
    for (index, payload) in ["[1]", "", "\"x\""].into_iter().cycle().take(30).enumerate() {
        let (outcome, ended) = invoke(&mut instance, payload, Log::Drop).await;
        let expected: String = payload.chars().rev().collect();
        let payload = expected.into();
        assert_eq!(outcome, Some(Outcome::Response { payload, tail: Tail::default() }));
        assert_eq!(ended, Ok(()));
        if index % 3 == 0 {
            instance.rest().await;
        }
    }
    stop(instance).await;
}

// A payload and a response of several MiB pass whole.
#[tokio::test]
async fn large_payloads() {
    let mut instance = start("loop(lambda event: event)").await.expect("starts");
    let payload = "x".repeat(6_000_000);
    let (outcome, ended) = invoke(&mut instance, &payload, Log::Drop).await;
    assert!(matches!(outcome, Some(Outcome::Response { payload: got, .. }) if got == payload));
    assert_eq!(ended, Ok(()));
    stop(instance).await;
}

// A response beyond the limit is its own error, and the instance serves on.
#[tokio::test]
async fn a_response_too_large() {
    let mut instance = start("loop(lambda event: b'x' * int(event))").await.expect("starts");
    let (outcome, ended) = invoke(&mut instance, "7000000", Log::Drop).await;
    let end = End::ResponseTooLarge { size: 7_000_000, limit: 6_291_556 };
    assert_eq!(outcome, Some(Outcome::Ended { end, tail: Tail::default() }));
    assert_eq!(ended, Ok(()));
    let (outcome, _) = invoke(&mut instance, "2", Log::Drop).await;
    assert!(matches!(outcome, Some(Outcome::Response { payload, .. }) if payload == "xx"));
    stop(instance).await;
}

// The tail holds what this invocation wrote, the last 4 KiB of it, and nothing where it was not asked for.
#[tokio::test]
async fn log_tail() {
    let code = "def handler(event):\n  print('line', event.decode(), flush=True)\n  return b'1'\n\
                print('init', flush=True)\nloop(handler)";
    let mut instance = start(code).await.expect("starts");
    assert_eq!(log_of(invoke(&mut instance, "1", Log::Drop).await.0), "");
    assert_eq!(log_of(invoke(&mut instance, "2", Log::Tail).await.0), "line 2\n");
    let long = "y".repeat(50_000);
    let log = log_of(invoke(&mut instance, &long, Log::Tail).await.0);
    assert_eq!(log, format!("{}\n", "y".repeat(4095)));
    stop(instance).await;
}

// Writing without end stalls nobody: the response comes, and the next invocation too.
#[tokio::test]
async fn endless_logs() {
    let code = "import threading\n\
                def spam():\n  while True: os.write(1, b'z' * 65536)\n\
                def handler(event):\n  threading.Thread(target=spam, daemon=True).start()\n  return b'1'\n\
                loop(handler)";
    let mut instance = start(code).await.expect("starts");
    for _ in 0..5 {
        let (outcome, ended) = invoke(&mut instance, "", Log::Tail).await;
        assert!(matches!(outcome, Some(Outcome::Response { .. })));
        assert_eq!(ended, Ok(()));
    }
    stop(instance).await;
}

// However a runtime ends while it is busy, the invocation is told at once, with what it wrote.
#[tokio::test]
async fn exits_while_busy() {
    let code = "def handler(event):\n  print('bye', flush=True)\n  os._exit(3) if event == b'3' else os.kill(os.getpid(), 9)\n\
                loop(handler)";
    for (payload, status, signal) in [("3", Some(3), None), ("9", None, Some(9))] {
        let mut instance = start(code).await.expect("starts");
        let (outcome, ended) = invoke(&mut instance, payload, Log::Tail).await;
        let end = End::Exited { status, signal };
        assert_eq!(ended, Err(end.clone()));
        let tail = Tail { log: "bye\n".into(), ..Tail::default() };
        assert_eq!(outcome, Some(Outcome::Ended { end, tail }));
        stop(instance).await;
    }
}

// A runtime that answers and exits has answered.
#[tokio::test]
async fn a_last_answer_counts() {
    let code = "connection = connect()\nrequest_id, event = next(connection)\n\
                post(connection, 'invocation/' + request_id + '/response', b'last')\nos._exit(0)";
    for _ in 0..20 {
        let mut instance = start(code).await.expect("starts");
        let (outcome, ended) = invoke(&mut instance, "", Log::Drop).await;
        assert!(matches!(outcome, Some(Outcome::Response { payload, .. }) if payload == "last"));
        assert_eq!(ended, Err(End::Exited { status: Some(0), signal: None }));
        stop(instance).await;
    }
}

// An exit while idle is noticed, and so is a runtime that hangs up but lives.
#[tokio::test]
async fn ends_while_idle() {
    let exits = "import threading\nthreading.Timer(0.05, lambda: os._exit(7)).start()\nloop(None)";
    let mut instance = start(exits).await.expect("starts");
    assert_eq!(instance.ended().await, End::Exited { status: Some(7), signal: None });
    stop(instance).await;
    let hangs_up = "import time\nconnection = connect()\nask(connection)\ntime.sleep(0.05)\n\
                    connection.close()\ntime.sleep(600)";
    let mut instance = start(hangs_up).await.expect("starts");
    assert!(matches!(instance.ended().await, End::Protocol(reason) if reason.contains("closed")));
    stop(instance).await;
}

// A long poll that died swallows no event: the runtime's next one gets it.
#[tokio::test]
async fn a_dead_long_poll() {
    let code = "connection = connect()\nask(connection)\nimport time; time.sleep(0.05)\n\
                connection.close()\nloop(lambda event: event)";
    let mut instance = start(code).await.expect("starts");
    let (outcome, ended) = invoke(&mut instance, "\"kept\"", Log::Drop).await;
    assert!(matches!(outcome, Some(Outcome::Response { payload, .. }) if payload == "\"kept\""));
    assert_eq!(ended, Ok(()));
    stop(instance).await;
}

// Clients with one connection per request, as bootstraps made of curl are, work.
#[tokio::test]
async fn one_connection_per_request() {
    let code = "while True:\n  first = connect(); request_id, event = next(first); first.close()\n  \
                second = connect(); post(second, 'invocation/' + request_id + '/response', event); second.close()";
    let mut instance = start(code).await.expect("starts");
    for _ in 0..50 {
        let (outcome, ended) = invoke(&mut instance, "1", Log::Drop).await;
        assert!(matches!(outcome, Some(Outcome::Response { payload, .. }) if payload == "1"));
        assert_eq!(ended, Ok(()));
    }
    stop(instance).await;
}

// A runtime that speaks no HTTP, or hangs up inside its response, gets its own error.
#[tokio::test]
async fn broken_protocol() {
    let garbage = "connection = connect()\nnext(connection)\nconnection.sendall(b'hello\\r\\n\\r\\n')\n\
                   import time; time.sleep(600)";
    let truncated = "connection = connect()\nrequest_id, event = next(connection)\n\
                     connection.sendall(b'POST /2018-06-01/runtime/invocation/' + request_id.encode() + \
                     b'/response HTTP/1.1\\r\\nContent-Length: 9\\r\\n\\r\\n1234')\n\
                     connection.close()\nimport time; time.sleep(600)";
    for (code, word) in [(garbage, "not HTTP"), (truncated, "middle")] {
        let mut instance = start(code).await.expect("starts");
        let (outcome, ended) = invoke(&mut instance, "", Log::Drop).await;
        assert!(matches!(&ended, Err(End::Protocol(reason)) if reason.contains(word)), "{ended:?}");
        assert!(matches!(outcome, Some(Outcome::Ended { end: End::Protocol(_), .. })));
        stop(instance).await;
    }
}

// Each way in which an init fails is told apart, with what was written.
#[tokio::test]
async fn init_failures() {
    let exits = start("print('no', flush=True)\nos._exit(1)").await.expect_err("exits");
    let StartError::Ended { end: End::Exited { status: Some(1), signal: None }, log } = exits
    else {
        panic!("{exits}");
    };
    assert_eq!(log, "no\n");
    let reports = start("post(connect(), 'init/error', b'{}')").await.expect_err("reports");
    assert!(matches!(reports, StartError::Ended { end: End::InitError(json), .. } if json == "{}"));
    let running = Process::spawn(function("import time; time.sleep(600)"));
    let hangs =
        ContainerInstance::start(running, &settings(Span::from_millis(50)), Instant::now()).await;
    assert!(matches!(hangs, Err(StartError::Ended { end: End::InitTimedOut, .. })));
}
