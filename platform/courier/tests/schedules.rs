//! Schedules over a real store: each tick becomes an event for its target, once, also across a restart.

use bytes::Bytes;
use catalog::{Catalog, ScheduleEntry, ScheduleError, ScheduleKey, ScheduleKind, ScheduleTarget};
use courier::{Address, Courier, Ended, Letter, Ran, Runner, Standing, Ticker};
use model::{FunctionId, Span, TenantId};
use queue::{Limits, Patience};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::watch;

const REGION: &str = "us-east-1";

/// Notes the payloads that it runs.
struct Notes(watch::Sender<Vec<String>>);

impl Runner for Notes {
    fn standing(&self, _: &Address) -> Option<Standing> {
        let patience = Patience { retries: 0, age: Span::from_secs(3600) };
        Some(Standing { patience, on_success: None, on_failure: None })
    }

    fn resolve(&self, arn: &str) -> Option<Address> {
        let (tenant, name) = (TenantId::from_number(1), arn.to_owned());
        (arn != "gone").then_some(Address {
            tenant,
            name,
            function: FunctionId(1),
            qualifier: None,
        })
    }

    fn arn(&self, address: &Address) -> String {
        address.name.clone()
    }

    async fn run(&self, letter: &Letter) -> Ran {
        let payload = String::from_utf8_lossy(&letter.payload).into_owned();
        self.0.send_modify(|seen| seen.push(payload));
        let payload = Bytes::from_static(b"null");
        Ran::Ended(Ended { payload, is_error: false, version: "1".to_owned() })
    }
}

impl Notes {
    async fn seen(&self, count: usize) -> Vec<String> {
        let mut watched = self.0.subscribe();
        let wait = watched.wait_for(|seen| seen.len() >= count);
        let seen = tokio::time::timeout(Duration::from_secs(60), wait).await;
        seen.unwrap_or_else(|_| panic!("fewer than {count} ticks")).expect("alive").clone()
    }
}

fn key(kind: ScheduleKind, name: &str) -> ScheduleKey {
    ScheduleKey { tenant: TenantId::from_number(1), kind, name: name.to_owned() }
}

fn entry(key: &ScheduleKey, expression: &str, inputs: &[(&str, Option<&str>)]) -> ScheduleEntry {
    let target = |(arn, input): &(&str, Option<&str>)| {
        let (arn, input) = ((*arn).to_owned(), input.map(str::to_owned));
        (arn.clone(), ScheduleTarget { arn, role: None, input, retries: None, age_s: None })
    };
    ScheduleEntry {
        key: key.clone(),
        expression: expression.to_owned(),
        zone: "UTC".to_owned(),
        start_unix_ms: None,
        end_unix_ms: None,
        is_enabled: true,
        description: None,
        role: None,
        targets: inputs.iter().map(target).collect::<BTreeMap<_, _>>(),
        is_removed_at_end: true,
        created_unix_ms: 1,
        modified_unix_ms: 1,
        anchor_unix_ms: 0,
    }
}

fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

fn set(catalog: &Catalog, at: i64, entry: ScheduleEntry) {
    let made = catalog.schedules().edit(&entry.key.clone(), at, |_| Ok::<_, ScheduleError>(entry));
    made.expect("a store");
}

fn start(catalog: &Arc<Catalog>) -> (Arc<Notes>, Courier<Notes>, tokio::task::JoinHandle<()>) {
    let notes = Arc::new(Notes(watch::Sender::default()));
    let store = catalog.store().clone();
    let courier = Courier::open(store, Limits::default(), Arc::clone(&notes)).expect("a store");
    let ticker = Ticker::start(courier.clone(), Arc::clone(catalog), REGION.to_owned());
    (notes, courier, ticker)
}

// A rate of Scheduler is due as it begins: its target is sent what EventBridge sends, or the input with its keywords filled
// in, and a target that does not exist holds up no other.
#[tokio::test]
async fn ticks_are_events() {
    let folder = TempDir::new().expect("a folder");
    let catalog = Arc::new(Catalog::open(folder.path()).expect("a catalog"));
    let (notes, _courier, _ticker) = start(&catalog);
    let schedule = key(ScheduleKind::Schedule, "s");
    let input =
        "{\"at\":\"<aws.scheduler.scheduled-time>\",\"by\":\"<aws.scheduler.schedule-arn>\"}";
    let targets = [("gone", None), ("plain", None), ("told", Some(input))];
    set(&catalog, now(), entry(&schedule, "rate(1 hour)", &targets));
    let seen: Vec<Value> =
        notes.seen(2).await.iter().map(|it| serde_json::from_str(it).expect("JSON")).collect();
    let plain = seen.iter().find(|it| it["source"] == "aws.scheduler").expect("an event");
    assert_eq!(plain["detail-type"], "Scheduled Event");
    assert_eq!(plain["account"], "000000000001");
    let arn = "arn:aws:scheduler:us-east-1:000000000001:schedule/default/s";
    assert_eq!(plain["resources"][0], arn);
    let told = seen.iter().find(|it| it["by"] == arn).expect("the input");
    assert_eq!(told["at"], plain["time"]);
}

// Ticks that were missed while nobody kept time come once at the start, and what was done is not done again; a schedule
// that is over and asked for it is gone.
#[tokio::test]
async fn missed_ticks_come_once() {
    let folder = TempDir::new().expect("a folder");
    let once = key(ScheduleKind::Schedule, "once");
    let often = key(ScheduleKind::Rule, "often");
    {
        let catalog = Arc::new(Catalog::open(folder.path()).expect("a catalog"));
        let past = now() - 3_600_000;
        let at = jiff::Timestamp::from_millisecond(past + 60_000).expect("a time");
        let at = format!("at({})", at.strftime("%Y-%m-%dT%H:%M:%S"));
        set(&catalog, past, entry(&once, &at, &[("f", Some("\"once\""))]));
        set(&catalog, past, entry(&often, "rate(1 minute)", &[("f", Some("\"often\""))]));
    }
    let catalog = Arc::new(Catalog::open(folder.path()).expect("a catalog"));
    let (notes, courier, _ticker) = start(&catalog);
    let mut seen = notes.seen(2).await;
    assert!(seen.len() <= 3, "at most one more minute has passed: {seen:?}");
    seen.sort();
    seen.dedup();
    assert_eq!(seen, ["\"often\"", "\"once\""]);
    while catalog.schedules().get(&once).is_some() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    courier.close(Duration::from_secs(5)).await;

    // The next life finds the store as it is on disk.
    let copy = TempDir::new().expect("a folder");
    let name = "catalog.redb";
    std::fs::copy(folder.path().join(name), copy.path().join(name)).expect("a copy");
    let catalog = Catalog::open(copy.path()).expect("a catalog");
    assert!(catalog.schedules().get(&once).is_none());
    let (_, done) = catalog.schedules().get(&often).expect("it stays");
    assert!(done > now() - 120_000, "the last tick is done");
}
