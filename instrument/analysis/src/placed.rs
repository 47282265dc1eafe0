//! Which instance ran when, and on which host.

use record::{Outcome, Record, Text};
use std::collections::BTreeMap;

/// What names the host, as the identity analysis found it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum HostSource {
    /// This source of [`Record::host_ids`].
    Named(String),
    /// Nothing does.
    #[default]
    None,
}

impl HostSource {
    /// The record's host; None where nothing names it.
    pub(crate) fn of<'a>(&self, record: &'a Record) -> Option<&'a str> {
        match self {
            Self::Named(source) => {
                record.host_ids.get(source).map(Text::as_str).filter(|id| !id.is_empty())
            }
            Self::None => None,
        }
    }
}

/// The records' instances that ran at one instant, at the instant when most did: instance to record.
///
/// Windows are from the handler's first to its last statement on the functions' clocks; an instance counts once. Where
/// several instants have as many, the earliest.
pub(crate) fn together<'a>(records: &[&'a Record]) -> BTreeMap<&'a str, &'a Record> {
    let ran = |record: &&&Record| {
        record.outcome == Outcome::Ok
            && !record.instance.is_empty()
            && record.finished_unix_ns >= record.started_unix_ns
    };
    let ran: Vec<&'a Record> = records.iter().filter(ran).copied().collect();
    // A window's start is the only kind of instant at which the number can newly be largest.
    let mut events: Vec<(u64, Event, usize)> = Vec::with_capacity(2 * ran.len());
    for (index, record) in ran.iter().enumerate() {
        events.push((record.started_unix_ns, Event::Start, index));
        events.push((record.finished_unix_ns, Event::End, index));
    }
    events.sort_unstable();
    let mut running: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut most, mut when) = (0, 0);
    for (at, event, index) in events {
        let instance = ran[index].instance.as_str();
        match event {
            Event::Start => {
                *running.entry(instance).or_default() += 1;
                if running.len() > most {
                    (most, when) = (running.len(), at);
                }
            }
            Event::End => {
                if let Some(count) = running.get_mut(instance) {
                    *count -= 1;
                    if *count == 0 {
                        running.remove(instance);
                    }
                }
            }
        }
    }
    ran.into_iter()
        .filter(|record| record.started_unix_ns <= when && when <= record.finished_unix_ns)
        .map(|record| (record.instance.as_str(), record))
        .collect()
}

/// Windows that meet at one instant overlap there: starts come before ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Start,
    End,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(instance: &str, from: u64, to: u64) -> Record {
        Record {
            outcome: Outcome::Ok,
            instance: instance.into(),
            started_unix_ns: from,
            finished_unix_ns: to,
            ..Record::default()
        }
    }

    // Only instances that ran at one instant count, and each once however many requests it serves.
    #[test]
    fn most_at_one_instant_are_found() {
        let records =
            [ran("a", 0, 10), ran("b", 5, 9), ran("b", 6, 8), ran("c", 8, 20), ran("d", 11, 20)];
        let found = together(&records.iter().collect::<Vec<_>>());
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    // Failures and nonsense count for nothing.
    #[test]
    fn failures_do_not_run() {
        let failed = Record { outcome: Outcome::Failed, ..ran("a", 0, 10) };
        assert!(together(&[&failed, &ran("b", 9, 3)]).is_empty());
        assert!(together(&[]).is_empty());
    }
}
