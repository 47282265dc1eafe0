//! A log stream in the hands of who writes to it.

use crate::group::{Before, Group, StreamName};
use crate::segment::unix_ms;
use crate::store::Shared;
use std::sync::Arc;
use std::time::SystemTime;

/// Longest event, in bytes; what is longer is cut (CloudWatch Logs quotas, 256 KiB until 2025).
pub(crate) const LINE_BYTES: usize = 256 << 10;

/// A log stream: the lines of one function instance. Cheap to clone; writing to it copies a line and never waits for a
/// disk.
#[derive(Clone, Debug)]
pub struct Stream {
    shared: Arc<Shared>,
    group: Arc<Group>,
    name: Arc<StreamName>,
}

impl Stream {
    pub(crate) fn new(shared: Arc<Shared>, group: Arc<Group>, name: &str) -> Self {
        let created_ms = unix_ms(SystemTime::now());
        Self { shared, group, name: Arc::new(StreamName { name: name.into(), created_ms }) }
    }

    /// Adds one event. Where too much waits to be written, it is dropped, counted, and the log says so.
    pub fn write(&self, at: SystemTime, text: &[u8]) {
        self.write_all(&[(at, text)]);
    }

    /// Adds events in their order, or none of them.
    pub fn write_all(&self, events: &[(SystemTime, &[u8])]) {
        let bytes: usize = events.iter().map(|(_, text)| text.len()).sum();
        let is_short = events.iter().all(|(_, text)| text.len() <= LINE_BYTES);
        if !is_short {
            let cut: Vec<_> = events
                .iter()
                .map(|(at, text)| (*at, &text[..text.len().min(LINE_BYTES)]))
                .collect();
            return self.write_all(&cut);
        }
        let lines = events.len() as u64;
        let before = match self.shared.take_room(bytes, lines) {
            true => self.group.add(&self.name, events),
            false => self.group.drop_lines(&self.name, lines),
        };
        if before == Before::Clean {
            self.shared.dirty(&self.group);
        }
    }

    /// Its name, as in `2026/11/30/[$LATEST]0123456789abcdef0123456789abcdef`.
    pub fn name(&self) -> &str {
        &self.name.name
    }
}
