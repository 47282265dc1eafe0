//! The log of one function as it grows, and its lines as people read them.

use super::put::configuration;
use crate::client::{Ask, CallError, Client};
use crate::terminal::{Colour, Paint};
use anyhow::Context;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Most events of one look: those beyond come with the next one.
const EVENTS: usize = 100_000;
/// An event may become visible this much later than one that is younger.
const LATE_MS: i64 = 5_000;
/// Letters of a request id that are printed: enough to tell invocations apart, and to look for the whole one.
const ID_LETTERS: usize = 8;
/// Streams whose current request is remembered; the oldest goes beyond that.
const STREAMS: usize = 10_000;

/// One event of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Function.
    pub function: String,
    /// Log stream: one instance's.
    pub stream: String,
    /// Milliseconds since 1970.
    pub time_ms: i64,
    /// What was logged, without the line's end.
    pub message: String,
    /// Its id.
    pub id: String,
}

/// A function's log, read from a moment on.
#[derive(Debug)]
pub struct Tail {
    function: String,
    /// Its group, once that is known.
    group: Option<String>,
    since_ms: i64,
    filter: Option<String>,
    /// Ids of events that were given already and could come again, with their times.
    seen: BTreeMap<String, i64>,
}

impl Tail {
    /// The log of this function from a moment on, in milliseconds since 1970.
    pub fn new(function: String, since_ms: i64, filter: Option<String>) -> Self {
        Self { function, group: None, since_ms, filter, seen: BTreeMap::new() }
    }

    /// Whose it is.
    pub fn function(&self) -> &str {
        &self.function
    }

    /// Where the function's log is: as it says itself, and as any function's where it is gone.
    async fn group(&mut self, client: &Client) -> String {
        if self.group.is_none()
            && let Ok(configuration) = configuration(client, &self.function).await
        {
            let group = configuration.pointer("/LoggingConfig/LogGroup").and_then(Value::as_str);
            self.group = group.map(str::to_owned);
        }
        self.group.clone().unwrap_or_else(|| format!("/aws/lambda/{}", self.function))
    }

    /// What came since the last time. A function that has logged nothing yet has no log, which is an error where
    /// `must_exist`.
    pub async fn next(&mut self, client: &Client, must_exist: bool) -> anyhow::Result<Vec<Event>> {
        let (mut found, mut token) = (Vec::new(), None::<String>);
        let group = self.group(client).await;
        loop {
            let mut body = json!({
                "logGroupName": group,
                "startTime": self.since_ms,
            });
            if let Some(filter) = &self.filter {
                body["filterPattern"] = json!(filter);
            }
            if let Some(token) = &token {
                body["nextToken"] = json!(token);
            }
            let page = match client.call(Ask::logs("FilterLogEvents", &body)).await {
                Ok(answer) => answer.json()?,
                Err(error) if is_absent(&error) && !must_exist => return Ok(found),
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("cannot read the log of {}", self.function));
                }
            };
            let events = page.get("events").and_then(Value::as_array).into_iter().flatten();
            found.extend(events.filter_map(|event| self.event(event)));
            token = page.get("nextToken").and_then(Value::as_str).map(str::to_owned);
            if token.is_none() || found.len() > EVENTS {
                break;
            }
        }
        Ok(self.fresh(found))
    }

    fn event(&self, event: &Value) -> Option<Event> {
        let text =
            |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Some(Event {
            function: self.function.clone(),
            stream: text("logStreamName"),
            time_ms: event.get("timestamp")?.as_i64()?,
            message: text("message").trim_end_matches(['\n', '\r']).to_owned(),
            id: text("eventId"),
        })
    }

    /// Those that were not given before. The next look begins a little before the youngest.
    fn fresh(&mut self, events: Vec<Event>) -> Vec<Event> {
        let events: Vec<Event> = events
            .into_iter()
            .filter(|event| self.seen.insert(event.id.clone(), event.time_ms).is_none())
            .collect();
        if let Some(youngest) = self.seen.values().max() {
            self.since_ms = self.since_ms.max(youngest - LATE_MS);
        }
        let since_ms = self.since_ms;
        self.seen.retain(|_, time_ms| *time_ms >= since_ms);
        events
    }
}

fn is_absent(error: &CallError) -> bool {
    error.code() == "ResourceNotFoundException"
}

/// Prints events for people: time, function, request, text.
#[derive(Debug)]
pub struct Printer {
    paint: Paint,
    /// The request that an instance works on, by function and stream.
    requests: BTreeMap<(String, String), String>,
    functions: BTreeSet<String>,
}

impl Printer {
    /// A printer that has printed nothing yet.
    pub fn new(paint: Paint) -> Self {
        Self { paint, requests: BTreeMap::new(), functions: BTreeSet::new() }
    }

    /// An event in one line.
    pub fn line(&mut self, event: &Event) -> String {
        let stream = (event.function.clone(), event.stream.clone());
        if let Some(id) = request_of(&event.message) {
            if self.requests.len() >= STREAMS {
                self.requests.pop_first();
            }
            self.requests.insert(stream.clone(), id.to_owned());
        }
        let request = self.requests.get(&stream).map_or("-", String::as_str);
        let request: String = request.chars().take(ID_LETTERS).collect();
        self.functions.insert(event.function.clone());
        let width = self.functions.iter().map(String::len).max().unwrap_or(0);
        let paint = |colour, text: &str| self.paint.paint(colour, text);
        format!(
            "{} {} {} {}",
            paint(Colour::FAINT, &clock(event.time_ms)),
            paint(Colour::of(&event.function), &format!("{:<width$}", event.function)),
            paint(Colour::FAINT, &format!("{request:<ID_LETTERS$}")),
            match colour_of(&event.message) {
                Some(colour) => paint(colour, &event.message),
                None => event.message.clone(),
            }
        )
    }
}

/// The request id that a line begins an invocation with: `START RequestId: ID Version: …`. Lines of END and REPORT name
/// it too.
fn request_of(message: &str) -> Option<&str> {
    ["START", "END", "REPORT"].into_iter().find_map(|word| {
        let rest = message.strip_prefix(word)?.strip_prefix(" RequestId: ")?;
        rest.split_whitespace().next()
    })
}

fn colour_of(message: &str) -> Option<Colour> {
    let is_red =
        ["[ERROR]", "Task timed out", "Runtime exited", "Runtime.", "\tERROR\t", "Traceback"]
            .iter()
            .any(|word| message.contains(word));
    let is_faint = request_of(message).is_some() || message.starts_with("INIT_START");
    match () {
        () if is_red => Some(Colour::RED),
        () if message.contains("\tWARN\t") || message.starts_with("[WARNING]") => {
            Some(Colour::YELLOW)
        }
        () if is_faint => Some(Colour::FAINT),
        () => None,
    }
}

/// Hours, minutes, seconds and milliseconds of this machine's clock.
fn clock(time_ms: i64) -> String {
    let time = Timestamp::from_millisecond(time_ms).unwrap_or_default();
    time.to_zoned(TimeZone::try_system().unwrap_or(TimeZone::UTC))
        .strftime("%H:%M:%S%.3f")
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(time_ms: i64, id: &str, message: &str) -> Event {
        let (function, stream) = ("hello".to_owned(), "s".to_owned());
        Event { function, stream, time_ms, message: message.to_owned(), id: id.to_owned() }
    }

    // Each event is given once, though looks overlap, and one that comes late is not lost.
    #[test]
    fn events_are_given_once() {
        let mut tail = Tail::new("hello".to_owned(), 0, None);
        let ids = |events: Vec<Event>| events.into_iter().map(|event| event.id).collect::<Vec<_>>();
        assert_eq!(
            ids(tail.fresh(vec![event(10_000, "a", ""), event(10_001, "b", "")])),
            ["a", "b"]
        );
        let late = vec![event(9_000, "late", ""), event(10_000, "a", ""), event(10_001, "b", "")];
        assert_eq!(ids(tail.fresh(late)), ["late"]);
        assert_eq!(tail.since_ms, 5_001);
        assert_eq!(ids(tail.fresh(vec![event(60_000, "c", "")])), ["c"]);
        assert_eq!((tail.seen.len(), tail.since_ms), (1, 55_000));
    }

    // A function's own lines stand under the request that their instance works on.
    #[test]
    fn lines_name_their_request() {
        let mut printer = Printer::new(Paint::Plain);
        let mut line = |message| printer.line(&event(0, "x", message));
        assert!(line("before").ends_with(" hello -        before"));
        assert!(
            line("START RequestId: 01234567-89ab Version: $LATEST").contains(" 01234567 START")
        );
        assert!(line("own").ends_with(" hello 01234567 own"));
    }

    // Errors are red on a terminal, and the service's own lines step back.
    #[test]
    fn errors_stand_out() {
        let mut printer = Printer::new(Paint::Coloured);
        assert!(
            printer
                .line(&event(0, "x", "[ERROR] KeyError: 'a'"))
                .contains("\x1b[31m[ERROR] KeyError")
        );
        assert!(
            printer
                .line(&event(0, "x", "REPORT RequestId: 1 Duration: 1"))
                .contains("\x1b[2mREPORT")
        );
        assert!(printer.line(&event(0, "x", "plain")).ends_with(" plain"));
    }
}
