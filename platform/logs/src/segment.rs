//! One segment file: frames one after the other, and an index of them in memory while it is asked for.
//!
//! Deliberately knows nothing of the other segments of its group.

use crate::frame::{self, HEAD_BYTES, Head, Record};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Ending of the files' names; before it stands the number of the first event in 20 digits.
const ENDING: &str = ".log";

/// One file.
#[derive(Debug)]
pub(crate) struct Segment {
    /// Number of its first event in its group.
    pub first: u64,
    pub path: PathBuf,
    pub bytes: u64,
    /// When it was begun and last written, milliseconds since 1970.
    pub begun_ms: i64,
    pub written_ms: i64,
    /// None while nobody asks.
    pub index: Option<Index>,
}

/// What is in a file.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub frames: Vec<Framed>,
    /// By their number in this file.
    pub streams: Vec<StreamSeen>,
    pub numbers: BTreeMap<Arc<str>, u32>,
    /// Streams removed, each with the number of the first event after that.
    pub removed: Vec<(Arc<str>, u64)>,
    pub events: u64,
    /// Frames that were damaged and are passed over.
    pub damaged: u64,
}

/// Where a frame is, and what its head says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Framed {
    pub offset: u64,
    pub bytes: u64,
    /// Number of its first event in the group.
    pub first: u64,
    pub events: u32,
    pub first_ms: i64,
    pub last_ms: i64,
    pub written_ms: i64,
}

/// A stream, as far as this file has it.
#[derive(Clone, Debug)]
pub(crate) struct StreamSeen {
    pub name: Arc<str>,
    pub created_ms: i64,
    pub first_ms: i64,
    pub last_ms: i64,
    pub written_ms: i64,
    pub bytes: u64,
    /// Number of its last event in the group.
    pub last: u64,
}

impl Segment {
    /// A file that is there, by its name; None for other files.
    pub fn found(path: PathBuf) -> Option<Self> {
        let name = path.file_name()?.to_str()?.strip_suffix(ENDING)?;
        let first = (name.len() == 20).then(|| name.parse().ok())??;
        let file = fs::metadata(&path).ok()?;
        let written_ms = unix_ms(file.modified().unwrap_or(UNIX_EPOCH));
        Some(Self { first, path, bytes: file.len(), begun_ms: written_ms, written_ms, index: None })
    }

    /// A file that is still to be written.
    pub fn begin(directory: &Path, first: u64, now_ms: i64) -> Self {
        Self {
            first,
            path: directory.join(format!("{first:020}{ENDING}")),
            bytes: 0,
            begun_ms: now_ms,
            written_ms: now_ms,
            index: Some(Index::default()),
        }
    }

    /// The index, read from the file where it is not in memory. What a crash left of a frame at the end is cut off.
    pub fn index(&mut self) -> io::Result<&mut Index> {
        if self.index.is_none() {
            let bytes = fs::read(&self.path)?;
            let (index, whole) = Index::read(self.first, &bytes);
            if whole < self.bytes {
                tracing::warn!(
                    path = %self.path.display(),
                    bytes = self.bytes - whole,
                    "cut off the end of a log file that a crash left"
                );
                OpenOptions::new().write(true).open(&self.path)?.set_len(whole)?;
                self.bytes = whole;
            }
            if let Some(frame) = index.frames.first() {
                self.begun_ms = frame.written_ms;
            }
            self.index = Some(index);
        }
        Ok(self.index.get_or_insert_default())
    }

    /// Writes a frame to the end; whole or not at all.
    pub fn append(&mut self, frame: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path)?;
        if let Err(error) = file.write_all(frame) {
            // A part of a frame would hide what comes after it.
            file.set_len(self.bytes)?;
            return Err(error);
        }
        let head = Head::read(frame);
        let offset = self.bytes;
        self.bytes += frame.len() as u64;
        if let (Some(head), Some(index)) = (head, &mut self.index) {
            self.written_ms = head.written_ms;
            index.take_in(self.first, offset, &head, frame)?;
        }
        Ok(())
    }

    /// Calls `each` with the events of a frame: number in the group, stream, time and text.
    pub fn read_frame(
        &self,
        framed: &Framed,
        mut each: impl FnMut(u64, u32, i64, &[u8]),
    ) -> io::Result<()> {
        let mut bytes = vec![0; usize::try_from(framed.bytes).unwrap_or(0)];
        File::open(&self.path)?.read_exact_at(&mut bytes, framed.offset)?;
        let mut number = framed.first;
        frame::read(&bytes, |record| {
            if let Record::Event { stream, at_ms, text } = record {
                each(number, stream, at_ms, text);
                number += 1;
            }
        })
    }
}

impl Index {
    /// The index of a file of these bytes, and how many of them are whole frames.
    fn read(first: u64, bytes: &[u8]) -> (Self, u64) {
        let mut index = Self::default();
        let mut at = 0;
        while let Some(head) = Head::read(&bytes[at..]) {
            let length = HEAD_BYTES + head.body_bytes as usize;
            let Some(frame) = bytes.get(at..at + length) else { break };
            if index.take_in(first, at as u64, &head, frame).is_err() {
                if at + length == bytes.len() {
                    break;
                }
                // Not the end, which a crash leaves, but a disk that lost something: what is behind it is whole.
                index.damaged += 1;
                index.events += u64::from(head.events);
            }
            at += length;
        }
        (index, at as u64)
    }

    fn take_in(&mut self, first: u64, offset: u64, head: &Head, frame: &[u8]) -> io::Result<()> {
        let from = first + self.events;
        let mut next = from;
        let Self { streams, numbers, removed, .. } = self;
        frame::read(frame, |record| match record {
            Record::Stream { created_ms, name } => {
                let name: Arc<str> = name.into();
                numbers.insert(Arc::clone(&name), u32::try_from(streams.len()).unwrap_or(u32::MAX));
                streams.push(StreamSeen {
                    name,
                    created_ms,
                    first_ms: i64::MAX,
                    last_ms: i64::MIN,
                    written_ms: head.written_ms,
                    bytes: 0,
                    last: next,
                });
            }
            Record::Event { stream, at_ms, text } => {
                if let Some(seen) = streams.get_mut(stream as usize) {
                    seen.first_ms = seen.first_ms.min(at_ms);
                    seen.last_ms = seen.last_ms.max(at_ms);
                    seen.written_ms = head.written_ms;
                    seen.bytes += text.len() as u64;
                    seen.last = next;
                }
                next += 1;
            }
            Record::Removed { name } => removed.push((name.into(), next)),
        })?;
        self.events += u64::from(head.events);
        self.frames.push(Framed {
            offset,
            bytes: head.frame_bytes(),
            first: from,
            events: head.events,
            first_ms: head.first_ms,
            last_ms: head.last_ms,
            written_ms: head.written_ms,
        });
        Ok(())
    }
}

/// Milliseconds since 1970.
pub(crate) fn unix_ms(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
