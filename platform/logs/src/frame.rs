//! Frames: what is written at once to a segment file, checked by a sum when it is read.
//!
//! A frame is a head of 40 bytes (magic, length of the body, CRC-32 of all that follows the sum, number of events, first
//! and last time, time of writing; little-endian) and a body of records: a stream, which gets the next number of its
//! segment; an event of a stream; a stream's removal. Deliberately knows nothing of files.

use std::io;

/// Bytes of a frame's head.
pub(crate) const HEAD_BYTES: usize = 40;
/// Largest body; larger ones are cut into several frames before.
pub(crate) const BODY_BYTES: usize = 1 << 20;
const MAGIC: u32 = u32::from_le_bytes(*b"PKL1");
const STREAM: u8 = 1;
const EVENT: u8 = 2;
const REMOVED: u8 = 3;

/// What a head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub body_bytes: u32,
    pub sum: u32,
    pub events: u32,
    /// Times in milliseconds since 1970. Without events, the first is larger than the last.
    pub first_ms: i64,
    pub last_ms: i64,
    pub written_ms: i64,
}

/// One record of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    Stream { created_ms: i64, name: &'a str },
    Event { stream: u32, at_ms: i64, text: &'a [u8] },
    Removed { name: &'a str },
}

/// A frame that is being made.
#[derive(Debug)]
pub(crate) struct Builder {
    bytes: Vec<u8>,
    events: u32,
    first_ms: i64,
    last_ms: i64,
}

impl Builder {
    pub fn new() -> Self {
        Self { bytes: vec![0; HEAD_BYTES], events: 0, first_ms: i64::MAX, last_ms: i64::MIN }
    }

    /// Whether an event of so many bytes still fits, with its stream's name.
    pub fn has_room(&self, text_bytes: usize) -> bool {
        self.bytes.len() == HEAD_BYTES || self.bytes.len() + text_bytes + 1024 <= BODY_BYTES
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.len() == HEAD_BYTES
    }

    pub fn push(&mut self, record: Record<'_>) {
        let out = &mut self.bytes;
        match record {
            Record::Stream { created_ms, name } => {
                out.push(STREAM);
                out.extend_from_slice(&created_ms.to_le_bytes());
                push_text(out, name.as_bytes());
            }
            Record::Event { stream, at_ms, text } => {
                out.push(EVENT);
                out.extend_from_slice(&stream.to_le_bytes());
                out.extend_from_slice(&at_ms.to_le_bytes());
                push_text(out, text);
                self.events += 1;
                self.first_ms = self.first_ms.min(at_ms);
                self.last_ms = self.last_ms.max(at_ms);
            }
            Record::Removed { name } => {
                out.push(REMOVED);
                push_text(out, name.as_bytes());
            }
        }
    }

    /// The whole frame.
    pub fn finish(mut self, written_ms: i64) -> (Head, Vec<u8>) {
        let body_bytes = u32::try_from(self.bytes.len() - HEAD_BYTES).unwrap_or(u32::MAX);
        let mut head = Head {
            body_bytes,
            sum: 0,
            events: self.events,
            first_ms: self.first_ms,
            last_ms: self.last_ms,
            written_ms,
        };
        head.write(&mut self.bytes);
        head.sum = crc32fast::hash(&self.bytes[12..]);
        head.write(&mut self.bytes);
        (head, self.bytes)
    }
}

impl Head {
    /// Reads a head; None where it is none.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.get(..HEAD_BYTES)?;
        let magic = u32::from_le_bytes(take(&mut rest)?);
        let head = Self {
            body_bytes: u32::from_le_bytes(take(&mut rest)?),
            sum: u32::from_le_bytes(take(&mut rest)?),
            events: u32::from_le_bytes(take(&mut rest)?),
            first_ms: i64::from_le_bytes(take(&mut rest)?),
            last_ms: i64::from_le_bytes(take(&mut rest)?),
            written_ms: i64::from_le_bytes(take(&mut rest)?),
        };
        // A record is never larger than a frame's bound by more than one line.
        let most = BODY_BYTES * 2;
        (magic == MAGIC && head.body_bytes as usize <= most).then_some(head)
    }

    fn write(&self, out: &mut [u8]) {
        let fields: [&[u8]; 7] = [
            &MAGIC.to_le_bytes(),
            &self.body_bytes.to_le_bytes(),
            &self.sum.to_le_bytes(),
            &self.events.to_le_bytes(),
            &self.first_ms.to_le_bytes(),
            &self.last_ms.to_le_bytes(),
            &self.written_ms.to_le_bytes(),
        ];
        let mut at = 0;
        for field in fields {
            out[at..at + field.len()].copy_from_slice(field);
            at += field.len();
        }
    }

    /// Length of the whole frame.
    pub fn frame_bytes(&self) -> u64 {
        HEAD_BYTES as u64 + u64::from(self.body_bytes)
    }
}

/// Reads a whole frame: calls `each` with its records. Errors: it is damaged; then nothing was called.
pub(crate) fn read(frame: &[u8], mut each: impl FnMut(Record<'_>)) -> io::Result<()> {
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "a damaged frame");
    let head = Head::read(frame).ok_or_else(damaged)?;
    let frame = frame.get(..HEAD_BYTES + head.body_bytes as usize).ok_or_else(damaged)?;
    if crc32fast::hash(&frame[12..]) != head.sum {
        return Err(damaged());
    }
    let mut body = &frame[HEAD_BYTES..];
    while !body.is_empty() {
        // What a sum has vouched for is as it was written.
        let record = record(&mut body).ok_or_else(damaged)?;
        each(record);
    }
    Ok(())
}

fn record<'a>(body: &mut &'a [u8]) -> Option<Record<'a>> {
    let [tag] = take(body)?;
    let name = |text| std::str::from_utf8(text).ok();
    match tag {
        STREAM => {
            let created_ms = i64::from_le_bytes(take(body)?);
            Some(Record::Stream { created_ms, name: name(take_text(body)?)? })
        }
        EVENT => {
            let stream = u32::from_le_bytes(take(body)?);
            let at_ms = i64::from_le_bytes(take(body)?);
            Some(Record::Event { stream, at_ms, text: take_text(body)? })
        }
        REMOVED => Some(Record::Removed { name: name(take_text(body)?)? }),
        _ => None,
    }
}

fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(text);
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*taken)
}

fn take_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u32::from_le_bytes(take(bytes)?) as usize;
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    // A frame is read as it was written, and not at all where any byte of it differs.
    #[test]
    fn a_frame_is_whole_or_refused() {
        let mut builder = Builder::new();
        let records = [
            Record::Stream { created_ms: 5, name: "2026/11/30/[$LATEST]0" },
            Record::Event { stream: 0, at_ms: 7, text: b"one" },
            Record::Event { stream: 0, at_ms: 6, text: b"" },
            Record::Removed { name: "gone" },
        ];
        records.iter().for_each(|record| builder.push(*record));
        let (head, bytes) = builder.finish(9);
        assert_eq!((head.events, head.first_ms, head.last_ms, head.written_ms), (2, 6, 7, 9));
        assert_eq!(Head::read(&bytes), Some(head));
        let mut count = 0;
        read(&bytes, |record| {
            assert_eq!(record, records[count]);
            count += 1;
        })
        .expect("whole");
        assert_eq!(count, records.len());
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(read(&damaged, |_| panic!("byte {at}")).is_err());
            assert!(read(&bytes[..at], |_| panic!("cut at {at}")).is_err());
        }
    }
}
