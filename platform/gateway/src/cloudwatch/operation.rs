//! Each operation: its members checked, asked of the logs, and answered.

use super::fault::Fault;
use super::shape::{
    FilterAnswer, FilterRequest, FoundEvent, GetAnswer, GetRequest, GroupRequest, GroupShape,
    GroupsAnswer, GroupsRequest, StreamEvent, StreamShape, StreamsAnswer, StreamsRequest,
};
use super::{Asker, read, write};
use bytes::Bytes;
use logs::pattern::Pattern;
use logs::{Describe, Filter, Get, LogsError, Order, Position, StreamDescription};

/// What answers an operation.
type Operation = fn(&Asker, &Bytes) -> Result<Bytes, Fault>;

/// Events of a page where nothing is said, and at most (service model, EventsLimit).
const EVENTS: i64 = 10_000;
/// Groups or streams of a page where nothing is said, and at most (service model, DescribeLimit).
const DESCRIBED: i64 = 50;
/// Characters of a group's or stream's name (service model, LogGroupName).
const NAME_CHARS: usize = 512;
/// What retention can be (CloudWatch Logs API reference, PutRetentionPolicy, 2026).
const RETENTION_DAYS: [i64; 22] = [
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922,
    3288, 3653,
];

/// The operations that are here.
const OPERATIONS: [(&str, Operation); 9] = [
    ("FilterLogEvents", filter_events),
    ("GetLogEvents", get_events),
    ("DescribeLogGroups", describe_groups),
    ("DescribeLogStreams", describe_streams),
    ("CreateLogGroup", create_group),
    ("DeleteLogGroup", delete_group),
    ("DeleteLogStream", delete_stream),
    ("PutRetentionPolicy", put_retention),
    ("DeleteRetentionPolicy", delete_retention),
];

/// The operation of this name, if it is here.
pub(super) fn find(name: &str) -> Option<Operation> {
    OPERATIONS.iter().find(|(known, _)| *known == name).map(|(_, operation)| *operation)
}

/// Whether this could be an operation of the service, which then is refused by its name.
pub(super) fn is_known(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn filter_events(asker: &Asker, body: &Bytes) -> Result<Bytes, Fault> {
    let request: FilterRequest = read(body)?;
    let group = asker.group(request.log_group_name, request.log_group_identifier)?;
    let streams = request.log_stream_names.unwrap_or_default();
    if !streams.is_empty() && request.log_stream_name_prefix.is_some() {
        return Err(Fault::invalid(
            "logStreamNamePrefix and logStreamNames cannot both be given: leave one out.",
        ));
    }
    let pattern = Pattern::parse(request.filter_pattern.as_deref().unwrap_or(""))?;
    let (from_ms, to_ms) = times(request.start_time, request.end_time)?;
    let mut order = match request.start_from_head {
        Some(false) => Order::Latest,
        _ => Order::Earliest,
    };
    let mut next = None;
    if let Some(token) = &request.next_token {
        let (way, position) = token_of(token)?;
        (order, next) = (way, Some(position));
    }
    let page = asker.logs.filter(&Filter {
        tenant: asker.tenant,
        group: &group,
        streams: &streams,
        prefix: request.log_stream_name_prefix.as_deref().unwrap_or(""),
        from_ms,
        to_ms,
        pattern: &pattern,
        order,
        next,
        limit: limit(request.limit, EVENTS)?,
    })?;
    let events = page.events.into_iter().map(|event| FoundEvent {
        log_stream_name: event.stream.to_string(),
        timestamp: event.at_ms,
        message: event.message,
        ingestion_time: event.written_ms,
        event_id: event.id,
    });
    write(&FilterAnswer {
        events: events.collect(),
        searched_log_streams: [],
        next_token: page.next.map(|next| token(order, next)),
    })
}

fn get_events(asker: &Asker, body: &Bytes) -> Result<Bytes, Fault> {
    let request: GetRequest = read(body)?;
    let group = asker.group(request.log_group_name, request.log_group_identifier)?;
    let stream = stream_name(request.log_stream_name)?;
    let (from_ms, to_ms) = times(request.start_time, request.end_time)?;
    let (order, position) = match &request.next_token {
        Some(token) => token_of(token).map(|(order, position)| (order, Some(position)))?,
        None if request.start_from_head == Some(true) => (Order::Earliest, None),
        None => (Order::Latest, None),
    };
    let page = asker.logs.get(&Get {
        tenant: asker.tenant,
        group: &group,
        stream: &stream,
        from_ms,
        to_ms,
        order,
        position,
        limit: limit(request.limit, EVENTS)?,
    })?;
    let events = page.events.into_iter().map(|event| StreamEvent {
        timestamp: event.at_ms,
        message: event.message,
        ingestion_time: event.written_ms,
    });
    write(&GetAnswer {
        events: events.collect(),
        next_forward_token: token(Order::Earliest, page.forward),
        next_backward_token: token(Order::Latest, page.backward),
    })
}

fn describe_groups(asker: &Asker, body: &Bytes) -> Result<Bytes, Fault> {
    let request: GroupsRequest = read(body)?;
    let (prefix, contains) = (request.log_group_name_prefix, request.log_group_name_pattern);
    if prefix.is_some() && contains.is_some() {
        return Err(Fault::invalid(
            "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.",
        ));
    }
    let absent = [
        ("accountIdentifiers", request.account_identifiers.is_some()),
        ("includeLinkedAccounts", request.include_linked_accounts == Some(true)),
        ("logGroupIdentifiers", request.log_group_identifiers.is_some()),
    ];
    refuse(&absent)?;
    let (groups, more) = asker.logs.describe_groups(
        asker.tenant,
        &Describe {
            prefix: prefix.as_deref().unwrap_or(""),
            contains: contains.as_deref().unwrap_or(""),
            after: request.next_token.as_deref(),
            limit: limit(request.limit, DESCRIBED)?,
        },
    );
    let log_groups = groups.into_iter().map(|group| {
        let log_group_arn = asker.arn(&group.name);
        GroupShape {
            log_group_name: group.name.to_string(),
            creation_time: group.created_ms,
            retention_in_days: group.retention_days,
            metric_filter_count: 0,
            arn: format!("{log_group_arn}:*"),
            stored_bytes: group.bytes,
            log_group_class: "STANDARD",
            log_group_arn,
        }
    });
    write(&GroupsAnswer {
        log_groups: log_groups.collect(),
        next_token: more.map(|name| name.to_string()),
    })
}

fn describe_streams(asker: &Asker, body: &Bytes) -> Result<Bytes, Fault> {
    let request: StreamsRequest = read(body)?;
    let group = asker.group(request.log_group_name, request.log_group_identifier)?;
    let is_by_time = match request.order_by.as_deref() {
        None | Some("LogStreamName") => false,
        Some("LastEventTime") => true,
        Some(other) => {
            return Err(Fault::invalid(format!(
                "1 validation error detected: Value '{other}' at 'orderBy' failed to satisfy constraint: Member \
                 must satisfy enum value set: [LogStreamName, LastEventTime]"
            )));
        }
    };
    let prefix = request.log_stream_name_prefix.unwrap_or_default();
    if is_by_time && !prefix.is_empty() {
        return Err(Fault::invalid("Cannot order by LastEventTime with a logStreamNamePrefix."));
    }
    let limit = limit(request.limit, DESCRIBED)?;
    let mut streams = asker.logs.describe_streams(asker.tenant, &group, &prefix)?;
    let key = |stream: &StreamDescription| match is_by_time {
        true => format!("{:020}/{}", stream.last_ms.max(0), stream.name),
        false => stream.name.to_string(),
    };
    streams.sort_by_cached_key(key);
    let is_descending = request.descending == Some(true);
    if is_descending {
        streams.reverse();
    }
    let after = request.next_token.as_deref();
    streams.retain(|stream| {
        after.is_none_or(|after| {
            let key = key(stream);
            if is_descending { key.as_str() < after } else { key.as_str() > after }
        })
    });
    let more = streams.len() > limit;
    streams.truncate(limit);
    let next_token = streams.last().filter(|_| more).map(key);
    let arn = asker.arn(&group);
    let log_streams = streams.into_iter().map(|stream| StreamShape {
        arn: format!("{arn}:log-stream:{}", stream.name),
        log_stream_name: stream.name.to_string(),
        creation_time: stream.created_ms,
        first_event_timestamp: (stream.first_ms <= stream.last_ms).then_some(stream.first_ms),
        last_event_timestamp: (stream.first_ms <= stream.last_ms).then_some(stream.last_ms),
        last_ingestion_time: stream.written_ms,
        stored_bytes: stream.bytes,
    });
    write(&StreamsAnswer { log_streams: log_streams.collect(), next_token })
}

fn create_group(asker: &Asker, body: &Bytes) -> Result<Bytes, Fault> {
    let request: GroupRequest = read(body)?;
    let class = request.log_group_class.as_deref();
    refuse(&[
        ("kmsKeyId", request.kms_key_id.is_some()),
        ("tags", request.tags.is_some()),
        ("logGroupClass", class.is_some_and(|class| class != "STANDARD")),
        ("deletionProtectionEnabled", request.deletion_protection_enabled == Some(true)),
    ])?;
    let group = asker.group(request.log_group_name, None)?;
    asker.logs.create_group(asker.tenant, &group)?;
    Ok(Bytes::new())
}

fn delete_group(asker: &Asker, body: &Bytes) -> Result<Bytes, Fault> {
    let request: GroupRequest = read(body)?;
    let group = asker.group(request.log_group_name, None)?;
    asker.logs.delete_group(asker.tenant, &group)?;
    Ok(Bytes::new())
}

fn delete_stream(asker: &Asker, body: &Bytes) -> Result<Bytes, Fault> {
    let request: GroupRequest = read(body)?;
    let group = asker.group(request.log_group_name, None)?;
    let stream = stream_name(request.log_stream_name)?;
    asker.logs.delete_stream(asker.tenant, &group, &stream)?;
    Ok(Bytes::new())
}

fn put_retention(asker: &Asker, body: &Bytes) -> Result<Bytes, Fault> {
    let request: GroupRequest = read(body)?;
    let group = asker.group(request.log_group_name, None)?;
    let days = request.retention_in_days.unwrap_or(0);
    if !RETENTION_DAYS.contains(&days) {
        let list: Vec<String> = RETENTION_DAYS.iter().map(i64::to_string).collect();
        return Err(Fault::invalid(format!(
            "1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy constraint: \
             Member must satisfy enum value set: [{}]",
            list.join(", ")
        )));
    }
    asker.logs.set_retention(asker.tenant, &group, u32::try_from(days).ok())?;
    Ok(Bytes::new())
}

fn delete_retention(asker: &Asker, body: &Bytes) -> Result<Bytes, Fault> {
    let request: GroupRequest = read(body)?;
    let group = asker.group(request.log_group_name, None)?;
    asker.logs.set_retention(asker.tenant, &group, None)?;
    Ok(Bytes::new())
}

impl Asker {
    /// Name of the group that is asked for, by name or by ARN. An ARN of another account or region names nothing here.
    fn group(&self, name: Option<String>, identifier: Option<String>) -> Result<String, Fault> {
        let name = match (name, identifier) {
            (Some(_), Some(_)) => {
                return Err(Fault::invalid(
                    "logGroupName and logGroupIdentifier cannot both be given: leave one out.",
                ));
            }
            (Some(name), None) => name,
            (None, Some(identifier)) if identifier.starts_with("arn:") => {
                let own = format!("arn:aws:logs:{}:{}:log-group:", self.region, self.tenant);
                let name = identifier.strip_prefix(&own).ok_or_else(Fault::no_group)?;
                name.strip_suffix(":*").unwrap_or(name).to_owned()
            }
            (None, Some(identifier)) => identifier,
            (None, None) => return Err(missing("logGroupName")),
        };
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b".-_/#".contains(&byte);
        match (1..=NAME_CHARS).contains(&name.len()) && name.bytes().all(is_part) {
            true => Ok(name),
            false => Err(Fault::invalid(format!(
                "1 validation error detected: Value '{name}' at 'logGroupName' failed to satisfy constraint: \
                 Member must satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+ and have 1 to {NAME_CHARS} \
                 characters"
            ))),
        }
    }

    fn arn(&self, group: &str) -> String {
        format!("arn:aws:logs:{}:{}:log-group:{group}", self.region, self.tenant)
    }
}

fn stream_name(name: Option<String>) -> Result<String, Fault> {
    let name = name.ok_or_else(|| missing("logStreamName"))?;
    let length = name.chars().count();
    match (1..=NAME_CHARS).contains(&length) && !name.contains([':', '*']) {
        true => Ok(name),
        false => Err(Fault::invalid(format!(
            "1 validation error detected: Value '{name}' at 'logStreamName' failed to satisfy constraint: Member \
             must satisfy regular expression pattern: [^:*]* and have 1 to {NAME_CHARS} characters"
        ))),
    }
}

/// Refuses members that this platform does not have.
fn refuse(asked: &[(&str, bool)]) -> Result<(), Fault> {
    let names: Vec<&str> = asked.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
    match names.is_empty() {
        true => Ok(()),
        false => Err(Fault::invalid(format!(
            "Not supported by this platform, leave it out: {}.",
            names.join(", ")
        ))),
    }
}

fn missing(member: &str) -> Fault {
    Fault::invalid(format!(
        "1 validation error detected: Value at '{member}' failed to satisfy constraint: Member must not be null"
    ))
}

fn limit(asked: Option<i64>, most: i64) -> Result<usize, Fault> {
    let asked = asked.unwrap_or(most);
    let limit = (1..=most).contains(&asked).then(|| usize::try_from(asked).ok()).flatten();
    limit.ok_or_else(|| {
        Fault::invalid(format!(
            "1 validation error detected: Value '{asked}' at 'limit' failed to satisfy constraint: Member must be \
             1 to {most}"
        ))
    })
}

/// A range of time: all where nothing is said.
fn times(start: Option<i64>, end: Option<i64>) -> Result<(i64, i64), Fault> {
    let (from, to) = (start.unwrap_or(0), end.unwrap_or(i64::MAX - 1));
    if from < 0 || to < 0 {
        return Err(Fault::invalid(
            "startTime and endTime must be 0 or more milliseconds since 1970.",
        ));
    }
    match start.is_some() && end.is_some() && from > to {
        true => Err(Fault::invalid("startTime must be less than or equal to endTime.")),
        false => Ok((from, to)),
    }
}

/// A token, as the service's: the way, the position, `/s`.
fn token(order: Order, position: Position) -> String {
    let way = match order {
        Order::Earliest => 'f',
        Order::Latest => 'b',
    };
    format!("{way}/{position}/s")
}

fn token_of(token: &str) -> Result<(Order, Position), Fault> {
    let position = token.strip_suffix("/s").and_then(|token| token.split_once('/')).and_then(
        |(way, position)| {
            let order = match way {
                "f" => Order::Earliest,
                "b" => Order::Latest,
                _ => return None,
            };
            Some((order, position.parse().ok()?))
        },
    );
    position.ok_or_else(|| {
        Fault::from(LogsError::Invalid("The specified nextToken is invalid.".to_owned()))
    })
}
