//! The live vantage point against a boundary that runs nothing: what is deployed, sent, repeated and written down.

mod boundary;

use boundary::Shared;
use experiment::{Change, Code, Function, FunctionSpec, Report, Sent, Vantage};
use model::{Span, Time};
use probe::Request;
use record::{Forced, Outcome};
use std::ffi::OsString;
use std::sync::{Arc, Barrier};
use target::{Live, LocalCommand, OpenError, Options, Target, Uri};

/// Options that start a platform which is only words: the boundary's address and a key.
fn options(address: std::net::SocketAddr, log: &tempfile::TempDir) -> Options {
    let script = format!(
        "echo sandbox container; echo endpoint http://{address}; echo AWS_ACCESS_KEY_ID=AK; \
         echo AWS_SECRET_ACCESS_KEY=SK; exec sleep 1000"
    );
    let command = ["sh", "-c", &script].map(OsString::from).to_vec();
    let local = Some(LocalCommand { command, log: log.path().join("log"), sink_port: None });
    Options { study: "s1".to_owned(), seed: 7, local, ..Options::default() }
}

async fn open() -> (Live, Shared, tempfile::TempDir) {
    let (address, state) = boundary::start();
    let log = tempfile::tempdir().expect("a directory");
    let live = Live::open(&Uri::Local, &options(address, &log)).await.expect("opened");
    (live, state, log)
}

fn spec() -> FunctionSpec {
    FunctionSpec {
        runtime: "provided.al2023".to_owned(),
        memory_mib: 128,
        timeout: Span::from_millis(2500),
        code: Code::default(),
        role: 0,
        tenant: 0,
    }
}

async fn deployed(live: &Live) -> Function {
    live.deploy(spec()).await.expect("deployed")
}

// A function is deployed with its own bytes, mark and tag, changed with a new mark each time, and removed.
#[tokio::test]
async fn functions_live_and_end() {
    let (live, state, _log) = open().await;
    assert_eq!(live.runtimes(), ["provided.al2023", "python3.11"]);
    state.lock().expect("no panic").throttled_creations = 1;
    let mut function = deployed(&live).await;
    let other = deployed(&live).await;
    let look = |name: &str| state.lock().expect("no panic").functions.get(name).cloned();
    let made = look(&function.name).expect("there");
    assert!(function.name.starts_with("peek-s1-"));
    assert_eq!((made.tags["peek"].as_str(), made.pending), (Some("s1"), 0), "not waited for");
    assert_ne!(made.zip, look(&other.name).expect("there").zip);
    let mark =
        |made: &boundary::Function| made.environment["PEEK_MARK"].as_str().map(str::to_owned);
    assert_eq!(mark(&made).as_deref(), function.mark.split_once('.').map(|(mark, _)| mark));

    let mut marks = vec![function.mark.clone()];
    for change in [Change::Environment, Change::Memory(256), Change::Role(1), Change::Code] {
        let before = function.acknowledged;
        live.update(&mut function, change).await.expect("updated");
        assert!(function.acknowledged > before);
        assert!(!marks.contains(&function.mark));
        marks.push(function.mark.clone());
    }
    let changed = look(&function.name).expect("there");
    assert_eq!((changed.memory.as_u64(), function.spec.memory_mib), (Some(256), 256));
    assert!(changed.role.as_str().is_some_and(|role| role.ends_with("peek-1")));
    assert_ne!(changed.zip, made.zip);
    assert_eq!(changed.pending, 0, "not waited for");
    let error = live.update(&mut function, Change::Role(99)).await.expect_err("no such role");
    assert!(error.to_string().contains("role 99"), "{error}");

    let (first, second) = (function.name.clone(), other.name.clone());
    live.remove(function).await.expect("removed");
    assert!(look(&first).is_none());
    let cleaned = live.cleanup().await;
    assert_eq!((cleaned.removed, cleaned.left), (vec![second.clone()], vec![]));
    assert!(look(&second).is_none());
    assert_eq!(live.cleanup().await.removed, Vec::<String>::new());
}

// What cannot be deployed is an error that names it.
#[tokio::test]
async fn impossible_functions_are_refused() {
    let (live, _state, _log) = open().await;
    for (wrong, word) in [
        (FunctionSpec { runtime: "java21".to_owned(), ..spec() }, "java21"),
        (FunctionSpec { runtime: "python3.12".to_owned(), ..spec() }, "enum value set"),
        (FunctionSpec { tenant: 3, ..spec() }, "tenant 3"),
        (FunctionSpec { role: 9, ..spec() }, "role 9"),
    ] {
        let error = live.deploy(wrong).await.expect_err(word);
        assert!(error.to_string().contains(word), "{error}");
    }
}

// A killed run's functions are found by prefix and tag; those of others are left alone.
#[tokio::test]
async fn leftovers_are_found() {
    let (address, state) = boundary::start();
    let log = tempfile::tempdir().expect("a directory");
    let options = options(address, &log);
    let live = Live::open(&Uri::Local, &options).await.expect("opened");
    let left = deployed(&live).await;
    drop(live);
    for name in ["peek-somebody-else", "other"] {
        let mut state = state.lock().expect("no panic");
        state.functions.insert(name.to_owned(), boundary::Function::default());
    }
    let cleaned = target::clean(&Uri::Local, &options).await.expect("cleaned");
    assert_eq!(cleaned.removed, [left.name]);
    assert_eq!(state.lock().expect("no panic").functions.len(), 2);
}

// Every column that the vantage point, the platform and the probe know is filled in.
#[tokio::test]
async fn records_are_complete() {
    let (live, _state, _log) = open().await;
    let function = deployed(&live).await;
    let intended = live.now() + Span::from_millis(30);
    let sent = Sent { intended, report: Report::Ask, forced_by: Forced::FreshFunction };
    let record =
        live.invoke(&function, &Request { identity: true, ..Request::default() }, sent).await;
    assert_eq!((record.outcome, record.error.as_str()), (Outcome::Ok, ""));
    assert_eq!((record.http_status, record.attempts, record.request_id.as_str()), (200, 1, "id-1"));
    assert_eq!(
        (record.intended_ns, record.epoch_unix_ns),
        (intended.as_nanos(), live.epoch_unix_ns())
    );
    assert!(record.sent_ns >= record.intended_ns && record.received_ns >= record.sent_ns);
    assert_eq!((record.sandbox.as_str(), record.tenant.as_str()), ("container", "000000000042"));
    assert!(record.role.ends_with("peek-0"));
    assert_eq!((record.function.as_str(), record.memory_mib), (function.name.as_str(), 128));
    assert_eq!(
        (record.runtime.as_str(), record.forced_by),
        ("provided.al2023", Forced::FreshFunction)
    );
    assert!(record.package_mib > 0.0 && record.acknowledged_ns > 0);
    assert!(record.mark_acknowledged.starts_with(&*record.mark) && !record.mark.is_empty());
    assert_eq!((record.duration_ms, record.billed_ms, record.init_duration_ms), (2.5, 3.0, 1.25));
    assert_eq!((record.max_memory_mib, record.memory_seen_mib, record.cpu_count), (17, 128, 2));
    assert_eq!(
        (record.started_unix_ns, record.finished_unix_ns, record.init_unix_ns),
        (11, 12, 10)
    );
    assert_eq!((record.function_ns, record.instance_invocations), (1, 1));
    assert_eq!(record.instance, "0123456789abcdef0123456789abcdef");
    assert_eq!(record.host_ids.get("boot_id").map(|id| &**id), Some("b"));
    assert!(record.detail.contains("\"hostname\":\"h\""), "{}", record.detail);
    let unasked = live.invoke(&function, &Request::default(), Sent::default()).await;
    assert_eq!((unasked.billed_ms, unasked.max_memory_mib), (0.0, 0));
    assert!(unasked.intended_ns > 0);
}

// Each way in which an invocation can end has its class, its words, and its number of attempts.
#[tokio::test]
async fn outcomes_are_told_apart() {
    let (live, state, _log) = open().await;
    let function = deployed(&live).await;
    let fail = |message: &str| Request { fail: Some(message.to_owned()), ..Request::default() };
    let throttle = |times| state.lock().expect("no panic").throttled_invocations = times;

    let failed = live.invoke(&function, &fail("as asked"), Sent::default()).await;
    assert_eq!(
        (failed.outcome, failed.error.as_str()),
        (Outcome::FunctionError, "Probe.Failed: as asked")
    );

    throttle(1);
    let again = live.invoke(&function, &Request::default(), Sent::default()).await;
    assert_eq!((again.outcome, again.attempts, again.error.as_str()), (Outcome::Ok, 2, ""));

    throttle(9);
    let refused = live.invoke(&function, &Request::default(), Sent::default()).await;
    assert_eq!(
        (refused.outcome, refused.attempts, refused.http_status),
        (Outcome::Throttled, 4, 429)
    );

    // A request that is to meet others at one moment is never sent later.
    let held = Request { hold_until_unix_ns: Some(1), ..Request::default() };
    let refused = live.invoke(&function, &held, Sent::default()).await;
    assert_eq!((refused.outcome, refused.attempts), (Outcome::Throttled, 1));
    throttle(0);

    // What may have run is not sent again.
    let runs = || state.lock().expect("no panic").functions[&function.name].invocations;
    let before = runs();
    let lost = live.invoke(&function, &fail("hang up"), Sent::default()).await;
    assert_eq!((lost.outcome, lost.attempts, runs()), (Outcome::Failed, 1, before + 1));
    assert!(!lost.error.is_empty());

    let strange = live.invoke(&function, &fail("nonsense"), Sent::default()).await;
    assert_eq!(strange.outcome, Outcome::Failed);
    assert!(strange.error.contains("not the probe's"), "{}", strange.error);

    let gone = Function { name: "peek-gone".to_owned(), ..function };
    let gone = live.invoke(&gone, &Request::default(), Sent::default()).await;
    assert_eq!((gone.outcome, gone.http_status), (Outcome::Failed, 404));
    assert!(gone.error.starts_with("ResourceNotFoundException"), "{}", gone.error);
}

// Hundreds of invocations are under way at once, each on a connection of its own: none waits for another.
#[tokio::test]
async fn bursts_are_concurrent() {
    const BURST: usize = 300;
    let (live, state, _log) = open().await;
    let function = deployed(&live).await;
    state.lock().expect("no panic").together = Some(Arc::new(Barrier::new(BURST)));
    let sent = Sent { intended: live.now() + Span::from_millis(200), ..Sent::default() };
    let request = Request::default();
    let burst = (0..BURST).map(|_| live.invoke(&function, &request, sent));
    let records = futures::future::join_all(burst).await;
    for record in &records {
        assert_eq!((record.outcome, record.attempts), (Outcome::Ok, 1), "{}", record.error);
        assert!(record.sent_ns >= sent.intended.as_nanos());
    }
    assert_eq!(records.len(), BURST);
}

// Setting a connection up is recorded apart and before the send; a connection that is open already costs nothing.
#[tokio::test]
async fn connection_set_up_is_apart() {
    let (live, _state, _log) = open().await;
    let function = deployed(&live).await;
    for number in 0..3 {
        let record = live.invoke(&function, &Request::default(), Sent::default()).await;
        assert_eq!(record.outcome, Outcome::Ok, "{}", record.error);
        assert_eq!(record.connect_ns > 0, number == 0, "{number}: {}", record.connect_ns);
        assert!(record.connect_ns < record.sent_ns, "it is part of no latency");
    }
}

// Half of the kept connections were closed by the other side: none of them is used again, and no invocation is lost.
#[tokio::test]
async fn stale_connections_are_replaced() {
    let (live, state, _log) = open().await;
    let function = deployed(&live).await;
    state.lock().expect("no panic").closes = true;
    for number in 0..10 {
        // The boundary closes after every second answer, some time after it was received.
        while state.lock().expect("no panic").closed < number / 2 {
            live.sleep_until(live.now() + Span::from_millis(1)).await;
        }
        let sent = Sent { intended: live.now() + Span::from_millis(30), ..Sent::default() };
        let record = live.invoke(&function, &Request::default(), sent).await;
        assert_eq!((record.outcome, record.attempts), (Outcome::Ok, 1), "{}", record.error);
    }
    assert_eq!(state.lock().expect("no panic").functions[&function.name].invocations, 10);
}

// The same seed draws the same numbers, whatever else happens.
#[tokio::test]
async fn random_numbers_repeat() {
    let ((one, ..), (two, ..)) = (open().await, open().await);
    let draw = |live: &Live| [live.random(), live.random(), live.random()];
    deployed(&one).await;
    assert_eq!(draw(&one), draw(&two));
}

// A target that cannot be opened is an error that says what to change.
#[tokio::test]
async fn unopenable_targets_are_refused() {
    let open = async |uri: &str, options: &Options| {
        let uri: Uri = uri.parse().expect("a target");
        Live::open(&uri, options).await.err().expect("not opened")
    };
    let mut options = Options { study: "Not A Name".to_owned(), ..Options::default() };
    assert!(matches!(open("local", &options).await, OpenError::Study(_)));
    options.study = "s1".to_owned();
    assert!(matches!(open("local", &options).await, OpenError::LocalCommand));
    assert!(matches!(open("aws:eu-west-1", &options).await, OpenError::Role(_)));
    assert_eq!(Time::ZERO, Sent::default().intended);
}
