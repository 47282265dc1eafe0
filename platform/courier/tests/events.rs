//! The courier over a real store, with a runner that does as it is told.

use bytes::Bytes;
use catalog::{Catalog, Store};
use courier::{AcceptError, Address, Backlog, Courier, Ended, Letter, Ran, Runner, Standing};
use model::{FunctionId, Span, TenantId};
use queue::{Limits, Patience};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::watch;

/// What was run: request id, function and payload.
type Runs = Vec<(String, String, String)>;

/// Who is told of successes, and of failures.
type Destinations = (Option<String>, Option<String>);

/// Runs functions that are named after what they do.
struct Made {
    runs: watch::Sender<Runs>,
    /// While false, `held` does not answer.
    is_open: watch::Sender<bool>,
    destinations: Mutex<BTreeMap<String, Destinations>>,
}

impl Made {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            runs: watch::Sender::new(Vec::new()),
            is_open: watch::Sender::new(false),
            destinations: Mutex::default(),
        })
    }

    /// Waits until so many runs of a function were seen; returns their request ids and payloads.
    async fn seen(&self, name: &str, count: usize) -> Vec<(String, String)> {
        let of = |runs: &Runs| {
            let ours = runs.iter().filter(|(_, function, _)| function == name);
            ours.map(|(id, _, payload)| (id.clone(), payload.clone())).collect::<Vec<_>>()
        };
        let mut watched = self.runs.subscribe();
        let wait = watched.wait_for(|runs| of(runs).len() >= count);
        let seen = tokio::time::timeout(Duration::from_secs(60), wait).await;
        of(&seen.unwrap_or_else(|_| panic!("{name} did not run {count} times")).expect("alive"))
    }

    fn destinations(&self, name: &str, on_success: Option<&str>, on_failure: Option<&str>) {
        let arns = (on_success.map(str::to_owned), on_failure.map(str::to_owned));
        self.destinations.lock().expect("not poisoned").insert(name.to_owned(), arns);
    }
}

impl Runner for Made {
    fn standing(&self, address: &Address) -> Option<Standing> {
        let destinations = self.destinations.lock().expect("not poisoned");
        let (on_success, on_failure) = destinations.get(&address.name).cloned().unwrap_or_default();
        let patience = Patience { retries: 2, age: Span::from_secs(3600) };
        (address.name != "gone").then_some(Standing { patience, on_success, on_failure })
    }

    fn resolve(&self, arn: &str) -> Option<Address> {
        Some(address(arn))
    }

    fn arn(&self, address: &Address) -> String {
        format!("arn:{}", address.name)
    }

    async fn run(&self, letter: &Letter) -> Ran {
        let Letter { request_id, payload, address, .. } = letter;
        let payload = String::from_utf8_lossy(payload).into_owned();
        let mut times = 0;
        self.runs.send_modify(|runs| {
            runs.push((request_id.clone(), address.name.clone(), payload));
            times = runs.iter().filter(|(id, ..)| id == request_id).count();
        });
        let ended = |is_error| {
            let payload = Bytes::from_static(b"[1]");
            Ran::Ended(Ended { payload, is_error, version: "$LATEST".to_owned() })
        };
        match address.name.as_str() {
            "fails" => ended(true),
            "throttled" if times < 3 => Ran::Refused("throttled".to_owned()),
            "panics" if times < 2 => panic!("as told"),
            "held" => {
                self.is_open.subscribe().wait_for(|open| *open).await.expect("alive");
                ended(false)
            }
            _ => ended(false),
        }
    }
}

fn address(name: &str) -> Address {
    let tenant = TenantId::from_number(1);
    Address { tenant, name: name.to_owned(), function: FunctionId(1), qualifier: None }
}

fn letter(name: &str, id: &str, payload: &str) -> Letter {
    let payload = Bytes::copy_from_slice(payload.as_bytes());
    Letter::new(address(name), id.to_owned(), String::new(), payload)
}

fn limits() -> Limits {
    let short = Span::from_millis(20);
    Limits {
        retry_delays: vec![short, short],
        backoff_min: short,
        backoff_max: short,
        probe: short,
        regrowth: short,
        ..Limits::default()
    }
}

fn open(folder: &TempDir, runner: &Arc<Made>) -> (Store, Courier<Made>) {
    let catalog = Catalog::open(folder.path()).expect("a catalog");
    let store = catalog.store().clone();
    let courier = Courier::open(store.clone(), limits(), Arc::clone(runner)).expect("a store");
    (store, courier)
}

async fn is_empty(courier: &Courier<Made>) {
    for _ in 0..6000 {
        if courier.backlog() == Backlog::default() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?} are held", courier.backlog());
}

// An event is run once and forgotten; one whose function fails three times, one that is throttled and one whose run panics
// are run again with the same request id.
#[tokio::test]
async fn events_are_run_until_their_end() {
    let (folder, runner) = (TempDir::new().expect("a folder"), Made::new());
    let (_store, courier) = open(&folder, &runner);
    for (name, count) in [("works", 1), ("fails", 3), ("throttled", 3), ("panics", 2)] {
        courier.accept(letter(name, name, "{}")).await.expect("accepted");
        let seen = runner.seen(name, count).await;
        assert!(seen.iter().all(|(id, _)| id == name), "{seen:?}");
    }
    is_empty(&courier).await;
    assert_eq!(runner.runs.borrow().len(), 9);
    let gone = courier.accept(letter("gone", "x", "{}")).await;
    assert!(matches!(gone, Err(AcceptError::NoFunction)), "{gone:?}");
}

// What was accepted and not finished is run in the next life, payloads of every size as they were; what was finished is not.
#[tokio::test]
async fn a_restart_loses_nothing() {
    let (folder, runner) = (TempDir::new().expect("a folder"), Made::new());
    let (store, courier) = open(&folder, &runner);
    let large = format!("\"{}\"", "x".repeat(1 << 20));
    courier.accept(letter("works", "done", "1")).await.expect("accepted");
    runner.seen("works", 1).await;
    is_empty(&courier).await;
    for (id, payload) in [("small", "2"), ("large", large.as_str())] {
        courier.accept(letter("held", id, payload)).await.expect("accepted");
    }
    runner.seen("held", 2).await;
    courier.close(Duration::from_millis(1)).await;
    drop((store, courier));

    // Like a crash, but for the flush: the store is copied as it is on disk.
    let (copy, runner) = (TempDir::new().expect("a folder"), Made::new());
    std::fs::copy(folder.path().join("catalog.redb"), copy.path().join("catalog.redb"))
        .expect("a copy");
    runner.is_open.send_replace(true);
    let (_store, courier) = open(&copy, &runner);
    let mut seen = runner.seen("held", 2).await;
    seen.sort();
    assert_eq!(seen, [("large".to_owned(), large), ("small".to_owned(), "2".to_owned())]);
    is_empty(&courier).await;
    assert_eq!(runner.runs.borrow().len(), 2);
}

// Destinations are told of successes and failures in the words of Lambda, and a chain that bites its tail ends.
#[tokio::test]
async fn destinations_are_told() {
    let (folder, runner) = (TempDir::new().expect("a folder"), Made::new());
    let (_store, courier) = open(&folder, &runner);
    runner.destinations("works", Some("told"), Some("never"));
    runner.destinations("fails", Some("never"), Some("told"));
    runner.destinations("loops", Some("loops"), None);
    courier.accept(letter("works", "a", "{\"k\":1}")).await.expect("accepted");
    let record: Value = parse(&runner.seen("told", 1).await[0].1);
    assert_eq!(record["requestContext"]["condition"], "Success");
    assert_eq!(record["requestContext"]["requestId"], "a");
    assert_eq!(record["requestContext"]["functionArn"], "arn:works");
    assert_eq!(record["requestPayload"], parse("{\"k\":1}"));
    assert_eq!(record["responsePayload"], parse("[1]"));
    courier.accept(letter("fails", "b", "{}")).await.expect("accepted");
    let record: Value = parse(&runner.seen("told", 2).await[1].1);
    assert_eq!(record["requestContext"]["condition"], "RetriesExhausted");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 3);
    assert_eq!(record["responseContext"]["functionError"], "Unhandled");
    courier.accept(letter("loops", "c", "{}")).await.expect("accepted");
    is_empty(&courier).await;
    assert_eq!(runner.seen("loops", 17).await.len(), 17, "the first one, and sixteen rounds");
    assert_eq!(runner.seen("never", 0).await, []);
}

fn parse(json: &str) -> Value {
    serde_json::from_str(json).expect("JSON")
}

// Many accepted at once, half of their callers gone before the answer: each is run once at most, and all that was answered is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_go_away_take_nothing_with_them() {
    let (folder, runner) = (TempDir::new().expect("a folder"), Made::new());
    let (_store, courier) = open(&folder, &runner);
    let mut waiting = Vec::new();
    for number in 0..200 {
        let courier = courier.clone();
        let id = number.to_string();
        waiting.push(tokio::spawn(async move { courier.accept(letter("works", &id, "{}")).await }));
        if number % 2 == 1 {
            tokio::task::yield_now().await;
            waiting[number].abort();
        }
    }
    let mut accepted = 0;
    for task in waiting {
        accepted += usize::from(matches!(task.await, Ok(Ok(()))));
    }
    assert!(accepted >= 100);
    is_empty(&courier).await;
    let mut ids: Vec<_> = runner.seen("works", accepted).await.into_iter().map(|it| it.0).collect();
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), all, "none is run twice");
    assert!((accepted..=200).contains(&all));
}
