//! Questions about logs, answered as CloudWatch Logs answers them.
//!
//! Deliberately knows nothing of how a question arrives.

use crate::error::LogsError;
use crate::group::Group;
use crate::pattern::Pattern;
use crate::scan::{Direction, Ended, Found, Go, Key, Scan};
use crate::segment::unix_ms;
use crate::store::Logs;
use model::TenantId;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

/// Events of one page at most (CloudWatch Logs API reference, FilterLogEvents and GetLogEvents, 2026).
pub const EVENTS: usize = 10_000;
/// Bytes of text of one page at most (the same: 1 MB).
const PAGE_BYTES: usize = 1 << 20;

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// A name of its own in its group: 56 digits.
    pub id: String,
    /// Its stream.
    pub stream: Arc<str>,
    /// When it was written by its function, milliseconds since 1970.
    pub at_ms: i64,
    /// When it was written to disk, milliseconds since 1970.
    pub written_ms: i64,
    /// What was written; what was no UTF-8 as U+FFFD.
    pub message: String,
}

/// Events in the order of their time, at most [`EVENTS`] and 1 MiB of text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// The events.
    pub events: Vec<Event>,
    /// Where to go on; None where nothing is left. A page may be empty and not be the last.
    pub next: Option<Position>,
}

/// Events of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The events.
    pub events: Vec<Event>,
    /// What comes after them. The same as was asked for where nothing came.
    pub forward: Position,
    /// What comes before them. The same as was asked for where nothing came.
    pub backward: Position,
}

/// A position among the events of a group: 56 digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position(Key);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}{:036}", self.0.at_ms.max(0), self.0.number)
    }
}

impl FromStr for Position {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        if text.len() != 56 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(());
        }
        let (at_ms, number) = text.split_at(20);
        let at_ms = at_ms.parse().map_err(|_| ())?;
        Ok(Self(Key { at_ms, number: number.parse().map_err(|_| ())? }))
    }
}

/// Which end comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The earliest.
    #[default]
    Earliest,
    /// The latest.
    Latest,
}

/// Which events of a group are asked for.
#[derive(Clone, Debug)]
pub struct Filter<'a> {
    /// Whose.
    pub tenant: TenantId,
    /// Name of the group.
    pub group: &'a str,
    /// Of these streams; of all where there are none.
    pub streams: &'a [String],
    /// Of streams whose names begin so.
    pub prefix: &'a str,
    /// From this time on, milliseconds since 1970.
    pub from_ms: i64,
    /// To this time, included.
    pub to_ms: i64,
    /// That match this.
    pub pattern: &'a Pattern,
    /// Which end comes first.
    pub order: Order,
    /// From where the page before ended.
    pub next: Option<Position>,
    /// So many at most.
    pub limit: usize,
}

/// Which events of a stream are asked for.
#[derive(Clone, Debug)]
pub struct Get<'a> {
    /// Whose.
    pub tenant: TenantId,
    /// Name of the group.
    pub group: &'a str,
    /// Name of the stream.
    pub stream: &'a str,
    /// From this time on, milliseconds since 1970.
    pub from_ms: i64,
    /// To this time, excluded.
    pub to_ms: i64,
    /// Whether the first or the last ones of what is left, seen from the position.
    pub order: Order,
    /// From this position on, or up to it. None for the whole.
    pub position: Option<Position>,
    /// So many at most.
    pub limit: usize,
}

/// Which groups or streams are asked for.
#[derive(Clone, Debug)]
pub struct Describe<'a> {
    /// Whose names begin so.
    pub prefix: &'a str,
    /// That have this in their names.
    pub contains: &'a str,
    /// Behind this one.
    pub after: Option<&'a str>,
    /// So many at most.
    pub limit: usize,
}

/// A group, as it is described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its name.
    pub name: Arc<str>,
    /// When it was made, milliseconds since 1970.
    pub created_ms: i64,
    /// Days for which events are kept, where that was said.
    pub retention_days: Option<u32>,
    /// Bytes on disk.
    pub bytes: u64,
}

/// A stream, as it is described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamDescription {
    /// Its name.
    pub name: Arc<str>,
    /// When it was made, milliseconds since 1970.
    pub created_ms: i64,
    /// Time of its first event.
    pub first_ms: i64,
    /// Time of its last event.
    pub last_ms: i64,
    /// When its last event was written to disk.
    pub written_ms: i64,
    /// Bytes of its text.
    pub bytes: u64,
}

/// What a page of events gathers.
struct Gathered<'a> {
    events: Vec<Event>,
    bytes: usize,
    limit: usize,
    pattern: Option<&'a Pattern>,
    /// Positions of the first and the last one that was found.
    edges: Option<(Key, Key)>,
}

impl Gathered<'_> {
    fn add(&mut self, found: Found) -> Go {
        let message = String::from_utf8_lossy(&found.text).into_owned();
        if self.pattern.is_some_and(|pattern| !pattern.matches(&message)) {
            return Go::On;
        }
        let key = found.key;
        let (first, last) = self.edges.unwrap_or((key, key));
        self.edges = Some((first.min(key), last.max(key)));
        self.bytes += message.len();
        self.events.push(Event {
            id: Position(key).to_string(),
            stream: found.stream,
            at_ms: key.at_ms,
            written_ms: found.written_ms,
            message,
        });
        match self.events.len() >= self.limit || self.bytes >= PAGE_BYTES {
            true => Go::Stop,
            false => Go::On,
        }
    }
}

impl Logs {
    /// Events of a group, interleaved by time.
    pub fn filter(&self, filter: &Filter<'_>) -> Result<Events, LogsError> {
        let group = self.group(filter.tenant, filter.group)?;
        let (mut from, mut to) = (Key::at(filter.from_ms), Key::at(filter.to_ms.saturating_add(1)));
        let direction = match (filter.order, filter.next) {
            (Order::Earliest, next) => {
                from = from.max(next.map_or(Key::MIN, |next| next.0));
                Direction::Forward
            }
            (Order::Latest, next) => {
                to = to.min(next.map_or(Key::MAX, |next| next.0));
                Direction::Backward
            }
        };
        let wants = |name: &str| {
            name.starts_with(filter.prefix)
                && (filter.streams.is_empty() || filter.streams.iter().any(|it| it == name))
        };
        let (gathered, ended) = self.scan(
            &group,
            ((from, to), direction),
            wants,
            (filter.limit, Some(filter.pattern)),
        )?;
        let next = match ended {
            Ended::Complete => None,
            Ended::At(key) => Some(Position(key)),
        };
        Ok(Events { events: gathered.events, next })
    }

    /// Events of one stream, earliest first.
    pub fn get(&self, get: &Get<'_>) -> Result<Page, LogsError> {
        let group = self.group(get.tenant, get.group)?;
        if !self.has_stream(&group, get.stream)? {
            return Err(LogsError::NoStream);
        }
        let whole = (Key::at(get.from_ms), Key::at(get.to_ms));
        let position = get.position.map(|position| position.0);
        let (range, direction) = match get.order {
            Order::Earliest => {
                ((position.unwrap_or(Key::MIN).max(whole.0), whole.1), Direction::Forward)
            }
            Order::Latest => {
                ((whole.0, position.unwrap_or(Key::MAX).min(whole.1)), Direction::Backward)
            }
        };
        let wants = |name: &str| name == get.stream;
        let (mut gathered, ended) =
            self.scan(&group, (range, direction), wants, (get.limit, None))?;
        if direction == Direction::Backward {
            gathered.events.reverse();
        }
        let (mut forward, mut backward) = match gathered.edges {
            Some((first, last)) => (last.next(), first),
            None => (position.unwrap_or(range.0), position.unwrap_or(range.1)),
        };
        match (ended, direction) {
            (Ended::At(key), Direction::Forward) => forward = key,
            (Ended::At(key), Direction::Backward) => backward = key,
            (Ended::Complete, _) => {}
        }
        let (forward, backward) = (Position(forward), Position(backward));
        Ok(Page { events: gathered.events, forward, backward })
    }

    /// The groups of a tenant, by name, and whether there are more.
    pub fn describe_groups(
        &self,
        tenant: TenantId,
        describe: &Describe<'_>,
    ) -> (Vec<GroupDescription>, Option<Arc<str>>) {
        let groups = self.groups(tenant).into_iter().filter(|group| {
            group.name.starts_with(describe.prefix)
                && group.name.contains(describe.contains)
                && describe.after.is_none_or(|after| &*group.name > after)
        });
        let mut described: Vec<GroupDescription> = Vec::new();
        for group in groups {
            // What only waits so far makes its group.
            self.shared.flush(&group);
            if !group.exists.load(Ordering::Relaxed) {
                continue;
            }
            if described.len() >= describe.limit.max(1) {
                let last = described.last().map(|last| Arc::clone(&last.name));
                return (described, last);
            }
            let mut files = group.lock_files();
            files.segments();
            let about = files.about();
            described.push(GroupDescription {
                name: Arc::clone(&group.name),
                created_ms: about.created_ms,
                retention_days: about.retention_days,
                bytes: files.bytes(),
            });
        }
        (described, None)
    }

    /// The streams of a group whose names begin so, in no order.
    pub fn describe_streams(
        &self,
        tenant: TenantId,
        group: &str,
        prefix: &str,
    ) -> Result<Vec<StreamDescription>, LogsError> {
        let group = self.group(tenant, group)?;
        self.streams(&group, |name| name.starts_with(prefix))
    }

    pub(crate) fn has_stream(&self, group: &Group, stream: &str) -> Result<bool, LogsError> {
        Ok(!self.streams(group, |name| name == stream)?.is_empty())
    }

    fn streams(
        &self,
        group: &Group,
        wants: impl Fn(&str) -> bool,
    ) -> Result<Vec<StreamDescription>, LogsError> {
        let mut files = group.lock_files();
        let read = |source| LogsError::Io { what: "read", source };
        files.indexed().map_err(read)?;
        let removed = files.removed();
        let mut streams: BTreeMap<Arc<str>, StreamDescription> = BTreeMap::new();
        let segments = files.segments();
        let seen = segments.iter().filter_map(|segment| segment.index.as_ref());
        for seen in seen.flat_map(|index| &index.streams) {
            let is_removed = removed.get(&seen.name).is_some_and(|from| seen.last < *from);
            if is_removed || !wants(&seen.name) {
                continue;
            }
            let stream = streams.entry(Arc::clone(&seen.name)).or_insert(StreamDescription {
                name: Arc::clone(&seen.name),
                created_ms: seen.created_ms,
                first_ms: seen.first_ms,
                last_ms: seen.last_ms,
                written_ms: seen.written_ms,
                bytes: 0,
            });
            stream.created_ms = stream.created_ms.min(seen.created_ms);
            stream.first_ms = stream.first_ms.min(seen.first_ms);
            stream.last_ms = stream.last_ms.max(seen.last_ms);
            stream.written_ms = stream.written_ms.max(seen.written_ms);
            stream.bytes += seen.bytes;
        }
        Ok(streams.into_values().collect())
    }

    fn scan<'p>(
        &self,
        group: &Group,
        ((from, to), direction): ((Key, Key), Direction),
        wants: impl Fn(&str) -> bool,
        (limit, pattern): (usize, Option<&'p Pattern>),
    ) -> Result<(Gathered<'p>, Ended), LogsError> {
        let read = |source| LogsError::Io { what: "read", source };
        let mut files = group.lock_files();
        let visible = files.visible_from_ms(&self.shared.bounds, unix_ms(SystemTime::now()));
        files.indexed().map_err(read)?;
        let removed = files.removed();
        let range = (from.max(Key::at(visible)), to);
        let scan = Scan { segments: files.segments(), removed: &removed, range, direction };
        let limit = limit.clamp(1, EVENTS);
        let mut gathered = Gathered { events: Vec::new(), bytes: 0, limit, pattern, edges: None };
        let ended = scan.run(wants, |found| gathered.add(found)).map_err(read)?;
        Ok((gathered, ended))
    }
}
