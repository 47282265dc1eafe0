//! Events of one instance for the extensions that have subscribed to telemetry: what happens, and what is written.
//!
//! Collected in bounds until they are due. Deliberately sends nothing: see `telemetry`.

use crate::log::{DroppedLines, LogLine, LogSink};
use jiff::Timestamp;
use runtime_api::{Api, Stream, Subscription};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

/// Most that is kept for those who subscribe later in the init, in events and bytes.
const EARLY: (usize, usize) = (1000, 256 << 10);

/// Takes events, and holds them for each subscriber.
#[derive(Clone, Debug)]
pub(super) struct Feed(Arc<Mutex<Collected>>);

#[derive(Debug)]
struct Collected {
    /// What came while somebody may still subscribe; None afterwards.
    early: Option<Early>,
    buffers: Vec<Buffer>,
}

#[derive(Debug, Default)]
struct Early {
    events: Vec<Event>,
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Event {
    stream: Stream,
    /// As in `platform.start`.
    kind: Arc<str>,
    json: Arc<str>,
}

/// What waits for one subscriber.
#[derive(Debug)]
struct Buffer {
    subscription: Subscription,
    events: Vec<Arc<str>>,
    bytes: usize,
    /// What is on its way to it, and counts as well until it has arrived.
    sent: Sent,
    /// When the first of them came.
    since: Option<Instant>,
    dropped: Dropped,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    events: usize,
    bytes: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Dropped {
    events: u64,
    bytes: u64,
}

/// What a subscriber is to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// These, now.
    Now(Vec<Arc<str>>),
    /// Something, then.
    At(Instant),
    /// Nothing.
    Nothing,
}

impl Feed {
    pub fn new() -> Self {
        let early = Some(Early::default());
        Self(Arc::new(Mutex::new(Collected { early, buffers: Vec::new() })))
    }

    fn lock(&self) -> MutexGuard<'_, Collected> {
        // What is under this lock is whole between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened.
    pub fn platform(&self, kind: &str, record: Value) {
        let mut collected = self.lock();
        if collected.is_wanted() {
            collected.add(event(Stream::Platform, kind, SystemTime::now(), record));
        }
    }

    /// Something happened that others have put into words: an event's JSON.
    pub fn told(&self, kind: &str, json: &str) {
        self.lock().add(Event { stream: Stream::Platform, kind: kind.into(), json: json.into() });
    }

    /// An extension has subscribed: it gets what came before, too, and nothing more by what it subscribed to before.
    pub fn subscribe(&self, subscription: Subscription) {
        let mut collected = self.lock();
        let Collected { early, buffers } = &mut *collected;
        let mut buffer = Buffer::new(subscription);
        let before = buffers
            .iter_mut()
            .find(|it| it.subscription.extension == buffer.subscription.extension);
        match before {
            Some(before) => before.subscription = buffer.subscription,
            None => {
                for event in early.iter().flat_map(|early| &early.events) {
                    buffer.add(event);
                }
                buffers.push(buffer);
            }
        }
    }

    /// Nobody may subscribe any more. Whether somebody has.
    pub fn close(&self) -> bool {
        let mut collected = self.lock();
        collected.early = None;
        !collected.buffers.is_empty()
    }

    /// How many have subscribed.
    pub fn subscribers(&self) -> usize {
        self.lock().buffers.len()
    }

    /// What a subscriber is to be sent at this time; all that waits, where `all` does.
    pub fn due(&self, subscriber: usize, now: Instant, wait: Wait) -> Due {
        let mut collected = self.lock();
        collected.buffers.get_mut(subscriber).map_or(Due::Nothing, |it| it.due(now, wait))
    }

    /// What was due for a subscriber has arrived.
    pub fn arrived(&self, subscriber: usize) {
        if let Some(buffer) = self.lock().buffers.get_mut(subscriber) {
            buffer.sent = Sent::default();
        }
    }

    /// What a subscriber asked for.
    pub fn subscription(&self, subscriber: usize) -> Option<Subscription> {
        self.lock().buffers.get(subscriber).map(|it| it.subscription.clone())
    }
}

/// Whether events wait for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// As subscribed.
    Usual,
    /// Not any more.
    None,
}

impl Collected {
    fn is_wanted(&self) -> bool {
        self.early.is_some() || !self.buffers.is_empty()
    }

    fn add(&mut self, event: Event) {
        for buffer in &mut self.buffers {
            buffer.add(&event);
        }
        if let Some(early) = &mut self.early {
            early.bytes += event.json.len();
            if early.events.len() < EARLY.0 && early.bytes <= EARLY.1 {
                early.events.push(event);
            }
        }
    }
}

impl Buffer {
    fn new(subscription: Subscription) -> Self {
        let (sent, dropped) = (Sent::default(), Dropped::default());
        Self { subscription, events: Vec::new(), bytes: 0, sent, since: None, dropped }
    }

    /// Whether its subscriber wants to hear of such an event, and knows it.
    fn wants(&self, event: &Event) -> bool {
        let Subscription { api, schema, streams, .. } = &self.subscription;
        streams.contains(&event.stream)
            && match (api, &*event.kind) {
                (
                    Api::Telemetry,
                    "platform.end" | "platform.fault" | "platform.logsSubscription",
                ) => false,
                (Api::Telemetry, _) => true,
                (Api::Logs, "platform.runtimeDone") => schema == "2021-03-18",
                (Api::Logs, kind) => {
                    !kind.starts_with("platform.init") && kind != "platform.telemetrySubscription"
                }
            }
    }

    /// Keeps an event, or counts it where there are too many: twice as much as is sent at a time, as Lambda has it.
    fn add(&mut self, event: &Event) {
        if !self.wants(event) {
            return;
        }
        let buffering = self.subscription.buffering;
        let length = event.json.len();
        let events = self.sent.events + self.events.len();
        let bytes = self.sent.bytes + self.bytes + length;
        if events >= 2 * buffering.items || bytes > 2 * buffering.bytes {
            self.dropped.events += 1;
            self.dropped.bytes += length as u64;
            return;
        }
        self.since.get_or_insert_with(Instant::now);
        self.bytes += length;
        self.events.push(Arc::clone(&event.json));
    }

    fn due(&mut self, now: Instant, wait: Wait) -> Due {
        let Some(since) = self.since else { return Due::Nothing };
        let buffering = self.subscription.buffering;
        let at = since + buffering.timeout;
        let is_full = self.events.len() >= buffering.items || self.bytes >= buffering.bytes;
        if !is_full && now < at && wait == Wait::Usual {
            return Due::At(at);
        }
        let mut events = std::mem::take(&mut self.events);
        self.sent = Sent { events: events.len(), bytes: self.bytes };
        (self.bytes, self.since) = (0, None);
        let Dropped { events: count, bytes } = std::mem::take(&mut self.dropped);
        if count > 0 && self.subscription.streams.contains(&Stream::Platform) {
            let record = json!({
                "reason": "Consumer seems to have fallen behind as it has not acknowledged receipt of logs.",
                "droppedRecords": count,
                "droppedBytes": bytes,
            });
            let now = SystemTime::now();
            events.push(event(Stream::Platform, "platform.logsDropped", now, record).json);
        }
        Due::Now(events)
    }
}

fn event(stream: Stream, kind: &str, at: SystemTime, record: Value) -> Event {
    let json = json!({ "time": stamp(at), "type": kind, "record": record }).to_string();
    Event { stream, kind: kind.into(), json: json.into() }
}

/// A time as events have it.
pub(super) fn stamp(at: SystemTime) -> String {
    let at = Timestamp::try_from(at).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// Takes lines for a log, and for subscribers.
#[derive(Debug)]
pub(super) struct Tee {
    log: Option<Arc<dyn LogSink>>,
    feed: Feed,
    stream: Stream,
}

impl Tee {
    /// Lines of `stream` for `feed`, beside `log`.
    pub fn sink(log: Option<Arc<dyn LogSink>>, feed: &Feed, stream: Stream) -> Arc<dyn LogSink> {
        Arc::new(Self { log, feed: feed.clone(), stream })
    }
}

impl LogSink for Tee {
    fn line(&self, line: &LogLine<'_>) {
        let mut collected = self.feed.lock();
        if collected.is_wanted() {
            let text = String::from_utf8_lossy(line.text);
            let record = Value::from(text.into_owned());
            collected.add(event(self.stream, self.stream.name(), line.at, record));
        }
        drop(collected);
        if let Some(log) = &self.log {
            log.line(line);
        }
    }

    fn dropped(&self, dropped: &DroppedLines<'_>) {
        let record = json!({
            "reason": "the function wrote more than the platform passes on",
            "droppedRecords": dropped.lines,
            "droppedBytes": dropped.bytes,
        });
        self.feed.platform("platform.logsDropped", record);
        if let Some(log) = &self.log {
            log.dropped(dropped);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime_api::{Buffering, Destination, Protocol};
    use std::time::Duration;

    fn subscription(name: &str, api: Api, streams: &[Stream]) -> Subscription {
        Subscription {
            extension: name.to_owned(),
            api,
            schema: if api == Api::Logs { "2020-08-15" } else { "2022-07-01" }.to_owned(),
            streams: streams.to_vec(),
            buffering: Buffering { items: 3, bytes: 1000, timeout: Duration::from_secs(1) },
            destination: Destination { port: 80, protocol: Protocol::Tcp },
        }
    }

    fn kinds(due: Due) -> Vec<String> {
        let Due::Now(events) = due else { panic!("{due:?}") };
        let kind = |json: &Arc<str>| {
            let event: Value = serde_json::from_str(json).expect("JSON");
            assert!(event["time"].as_str().is_some_and(|it| it.len() == 24 && it.ends_with('Z')));
            event["type"].as_str().expect("a type").to_owned()
        };
        events.iter().map(kind).collect()
    }

    // Who subscribes in the init gets what came before, of the kinds that it asked for and that its API knows.
    #[test]
    fn early_events() {
        let feed = Feed::new();
        feed.platform("platform.initStart", json!({}));
        let function = Tee::sink(None, &feed, Stream::Function);
        function.line(&LogLine { at: SystemTime::now(), request_id: None, text: b"hello" });
        feed.subscribe(subscription("one", Api::Telemetry, &[Stream::Platform]));
        feed.subscribe(subscription("two", Api::Logs, &[Stream::Platform, Stream::Function]));
        assert!(feed.close());
        feed.platform("platform.start", json!({ "requestId": "r" }));
        feed.platform("platform.end", json!({ "requestId": "r" }));
        feed.platform("platform.runtimeDone", json!({ "requestId": "r" }));
        let now = Instant::now();
        let one = kinds(feed.due(0, now, Wait::None));
        assert_eq!(one, ["platform.initStart", "platform.start", "platform.runtimeDone"]);
        let two = kinds(feed.due(1, now, Wait::None));
        assert_eq!(two, ["function", "platform.start", "platform.end"]);
        assert_eq!(feed.due(0, now, Wait::None), Due::Nothing);
        assert_eq!(feed.due(2, now, Wait::None), Due::Nothing);
    }

    // Events are due when there are enough or the first has waited long enough; beyond twice as many they are counted.
    #[test]
    fn bounds() {
        let feed = Feed::new();
        let begin = Instant::now();
        feed.subscribe(subscription("one", Api::Telemetry, &[Stream::Platform]));
        feed.platform("platform.start", json!({}));
        assert!(
            matches!(feed.due(0, begin, Wait::Usual), Due::At(at) if at >= begin + Duration::from_secs(1))
        );
        assert_eq!(kinds(feed.due(0, begin + Duration::from_secs(2), Wait::Usual)).len(), 1);
        feed.arrived(0);
        for _ in 0..9 {
            feed.platform("platform.start", json!({}));
        }
        let Due::Now(events) = feed.due(0, begin, Wait::Usual) else { panic!("full") };
        assert_eq!(events.len(), 7);
        let last: Value = serde_json::from_str(&events[6]).expect("JSON");
        assert_eq!(last["type"], "platform.logsDropped");
        assert_eq!(last["record"]["droppedRecords"], 3);
        assert_eq!(last["record"]["droppedBytes"], 3 * events[0].len());
        assert_eq!(feed.due(0, begin, Wait::None), Due::Nothing);
    }

    // What is on its way to a subscriber that does not take it counts until it has.
    #[test]
    fn a_slow_subscriber() {
        let feed = Feed::new();
        feed.subscribe(subscription("one", Api::Telemetry, &[Stream::Platform]));
        let add =
            |count: usize| (0..count).for_each(|_| feed.platform("platform.start", json!({})));
        let due = || match feed.due(0, Instant::now(), Wait::None) {
            Due::Now(events) => events.len(),
            other => panic!("{other:?}"),
        };
        add(4);
        assert_eq!(due(), 4);
        add(4);
        assert_eq!(due(), 3, "two, and that two were dropped");
        feed.arrived(0);
        add(9);
        assert_eq!(due(), 7);
    }

    // Without subscribers nothing is kept once the init is over.
    #[test]
    fn nobody_listens() {
        let feed = Feed::new();
        assert!(!feed.close());
        feed.platform("platform.start", json!({}));
        feed.subscribe(subscription("late", Api::Telemetry, &[Stream::Platform]));
        assert_eq!(feed.due(0, Instant::now(), Wait::None), Due::Nothing);
    }
}
