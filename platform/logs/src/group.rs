//! A log group: what waits to be written, and its files.
//!
//! Deliberately knows nothing of who writes and who asks.

use crate::bounds::Bounds;
use crate::files::Files;
use crate::frame::{Builder, Record};
use crate::segment::unix_ms;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// A log group. Two locks: one for what waits, held for a copy; one for the files, held while they are read and written.
#[derive(Debug)]
pub(crate) struct Group {
    pub name: Arc<str>,
    buffer: Mutex<Buffer>,
    files: Mutex<Files>,
    /// Whether it is there: made or written to, and not deleted since.
    pub exists: AtomicBool,
    /// Bytes on disk, as far as it has been looked at.
    pub bytes: AtomicU64,
}

/// A stream's name, and when it was begun.
#[derive(Debug)]
pub(crate) struct StreamName {
    pub name: Arc<str>,
    pub created_ms: i64,
}

/// What waits to be written.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    entries: Vec<Entry>,
    text: Vec<u8>,
    /// Lines that found no room, and the stream of the last of them.
    dropped: u64,
    dropped_of: Option<Arc<StreamName>>,
}

#[derive(Debug)]
struct Entry {
    stream: Arc<StreamName>,
    at_ms: i64,
    /// End of its text.
    end: usize,
}

/// Whether a group had nothing to write before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    Clean,
    Dirty,
}

impl Group {
    pub fn new(name: Arc<str>, directory: PathBuf, exists: bool) -> Self {
        Self {
            name,
            buffer: Mutex::default(),
            files: Mutex::new(Files::new(directory)),
            exists: AtomicBool::new(exists),
            bytes: AtomicU64::new(0),
        }
    }

    /// Adds events; their texts must fit the room that the caller took.
    pub fn add(&self, stream: &Arc<StreamName>, events: &[(SystemTime, &[u8])]) -> Before {
        let mut buffer = self.lock_buffer();
        let before = buffer.before();
        for (at, text) in events {
            buffer.text.extend_from_slice(text);
            let end = buffer.text.len();
            buffer.entries.push(Entry { stream: Arc::clone(stream), at_ms: unix_ms(*at), end });
        }
        before
    }

    /// Counts lines that are not kept; the log says so once it is written.
    pub fn drop_lines(&self, stream: &Arc<StreamName>, lines: u64) -> Before {
        let mut buffer = self.lock_buffer();
        let before = buffer.before();
        buffer.dropped += lines;
        buffer.dropped_of = Some(Arc::clone(stream));
        before
    }

    /// Writes what waits. Returns the bytes of text and the lines that it took from the buffer, and how that went.
    pub fn flush(&self, bounds: &Bounds) -> (Flushed, io::Result<()>) {
        // The files first: what is taken from the buffer is in the files before anyone else looks.
        let mut files = self.lock_files();
        let buffer = std::mem::take(&mut *self.lock_buffer());
        let flushed = Flushed { bytes: buffer.text.len(), lines: buffer.entries.len() as u64 };
        if buffer.entries.is_empty() && buffer.dropped == 0 {
            return (flushed, Ok(()));
        }
        let written = buffer.write(&mut files, bounds);
        self.exists.store(true, Ordering::Relaxed);
        files.trim(bounds, unix_ms(SystemTime::now()));
        self.note(&files);
        (flushed, written)
    }

    /// The files, for queries and housekeeping. Call [`Self::note`] after changing them.
    pub fn lock_files(&self) -> MutexGuard<'_, Files> {
        // A panic under the lock leaves an index at worst that lacks a frame.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers the size of the files where it can be read without their lock.
    pub fn note(&self, files: &Files) {
        self.bytes.store(files.bytes(), Ordering::Relaxed);
    }

    /// Removes it with all its files and what waits.
    pub fn delete(&self) -> io::Result<()> {
        let mut files = self.lock_files();
        *self.lock_buffer() = Buffer::default();
        self.exists.store(false, Ordering::Relaxed);
        let removed = files.remove_all();
        self.note(&files);
        removed
    }

    fn lock_buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What left a buffer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flushed {
    pub bytes: usize,
    pub lines: u64,
}

impl Buffer {
    fn before(&self) -> Before {
        match self.entries.is_empty() && self.dropped == 0 {
            true => Before::Clean,
            false => Before::Dirty,
        }
    }

    fn write(mut self, files: &mut Files, bounds: &Bounds) -> io::Result<()> {
        let now_ms = unix_ms(SystemTime::now());
        if let (Some(stream), true) = (self.dropped_of.take(), self.dropped > 0) {
            let text = format!(
                "[peek] {} lines dropped: more than {} bytes waited to be written",
                self.dropped, bounds.buffer_bytes
            );
            self.text.extend_from_slice(text.as_bytes());
            self.entries.push(Entry { stream, at_ms: now_ms, end: self.text.len() });
        }
        let (mut frame, mut numbers) = (Builder::new(), BTreeMap::new());
        let mut begin = 0;
        for entry in &self.entries {
            let text = &self.text[begin..entry.end];
            begin = entry.end;
            if frame.is_empty() {
                numbers = files.begin_frame(bounds, now_ms)?;
            }
            let number = match numbers.get(&entry.stream.name) {
                Some(number) => *number,
                None => {
                    let StreamName { name, created_ms } = &*entry.stream;
                    frame.push(Record::Stream { created_ms: *created_ms, name });
                    let number = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
                    numbers.insert(Arc::clone(name), number);
                    number
                }
            };
            frame.push(Record::Event { stream: number, at_ms: entry.at_ms, text });
            if !frame.has_room(crate::stream::LINE_BYTES) {
                files.append(std::mem::replace(&mut frame, Builder::new()), now_ms)?;
            }
        }
        match frame.is_empty() {
            true => Ok(()),
            false => files.append(frame, now_ms),
        }
    }
}
