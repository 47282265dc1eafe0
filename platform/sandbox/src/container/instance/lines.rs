//! Lines out of bytes, for who takes the lines: bounded in bytes and lines per second.
//!
//! Deliberately knows nothing of where bytes come from.

use crate::log::{
    BURST_SECONDS, BYTES_PER_SECOND, DroppedLines, LINE_BYTES, LINES_PER_SECOND, LogLine, LogSink,
};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Cuts output into lines.
#[derive(Debug)]
pub(super) struct Lines {
    sink: Arc<dyn LogSink>,
    request_id: Option<Arc<str>>,
    /// The begin of a line whose end was not read yet.
    partial: Vec<u8>,
    allowance: Allowance,
    dropped: Dropped,
}

/// What may be passed on now.
#[derive(Debug)]
struct Allowance {
    lines: u64,
    bytes: u64,
    filled: Instant,
}

#[derive(Debug)]
struct Dropped {
    since: SystemTime,
    lines: u64,
    bytes: u64,
}

impl Lines {
    /// Lines for `sink`.
    pub fn new(sink: Arc<dyn LogSink>) -> Self {
        let now = SystemTime::now();
        Self {
            sink,
            request_id: None,
            partial: Vec::new(),
            allowance: Allowance {
                lines: LINES_PER_SECOND * BURST_SECONDS,
                bytes: BYTES_PER_SECOND * BURST_SECONDS,
                filled: Instant::now(),
            },
            dropped: Dropped { since: now, lines: 0, bytes: 0 },
        }
    }

    /// What comes belongs to this invocation from now on, or to none. What came before is passed on whole.
    pub fn begin(&mut self, request_id: Option<Arc<str>>) {
        self.finish();
        self.request_id = request_id;
    }

    /// Passes on a line that was begun, and says what was dropped.
    pub fn finish(&mut self) {
        if !self.partial.is_empty() {
            let partial = std::mem::take(&mut self.partial);
            self.pass(SystemTime::now(), &partial);
        }
        self.tell_dropped();
    }

    /// Takes what was read.
    pub fn add(&mut self, mut bytes: &[u8]) {
        let now = SystemTime::now();
        self.allowance.fill(Instant::now());
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            if self.partial.is_empty() {
                self.pass(now, line);
            } else {
                self.begin_line(now, line);
                let line = std::mem::take(&mut self.partial);
                if !line.is_empty() {
                    self.pass(now, &line);
                }
            }
            bytes = rest;
        }
        self.begin_line(now, bytes);
    }

    /// Adds to a line without an end; one that gets too long is passed on in pieces.
    fn begin_line(&mut self, now: SystemTime, mut bytes: &[u8]) {
        while self.partial.len() + bytes.len() > LINE_BYTES {
            let (piece, rest) = bytes.split_at(LINE_BYTES - self.partial.len());
            self.partial.extend_from_slice(piece);
            let partial = std::mem::take(&mut self.partial);
            self.pass(now, &partial);
            bytes = rest;
        }
        self.partial.extend_from_slice(bytes);
    }

    fn pass(&mut self, now: SystemTime, text: &[u8]) {
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if !self.allowance.take(text.len() as u64) {
            if self.dropped.lines == 0 {
                self.dropped.since = now;
            }
            self.dropped.lines += 1;
            self.dropped.bytes += text.len() as u64;
            return;
        }
        self.tell_dropped();
        self.sink.line(&LogLine { at: now, request_id: self.request_id.as_ref(), text });
    }

    fn tell_dropped(&mut self) {
        let Dropped { since, lines, bytes } = self.dropped;
        if lines == 0 {
            return;
        }
        (self.dropped.lines, self.dropped.bytes) = (0, 0);
        let request_id = self.request_id.as_ref();
        self.sink.dropped(&DroppedLines { since, request_id, lines, bytes });
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Allowance {
    /// Adds what has become free since: a second's worth comes in shares of a tenth.
    fn fill(&mut self, now: Instant) {
        const SHARE: Duration = Duration::from_millis(100);
        let full = BURST_SECONDS * 10;
        let passed = now.saturating_duration_since(self.filled).as_millis() / SHARE.as_millis();
        let shares = u64::try_from(passed).unwrap_or(full);
        if shares == 0 {
            return;
        }
        if shares >= full {
            self.filled = now;
        } else {
            self.filled += SHARE * u32::try_from(shares).unwrap_or(0);
        }
        let add =
            |left: u64, rate: u64| (left + shares.min(full) * rate / 10).min(rate * BURST_SECONDS);
        self.lines = add(self.lines, LINES_PER_SECOND);
        self.bytes = add(self.bytes, BYTES_PER_SECOND);
    }

    /// Whether one more line of so many bytes may pass.
    fn take(&mut self, bytes: u64) -> bool {
        if self.lines == 0 || self.bytes < bytes {
            return false;
        }
        self.lines -= 1;
        self.bytes -= bytes;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Debug, Default)]
    struct Kept(Mutex<Vec<(Option<String>, String)>>);

    impl LogSink for Kept {
        fn line(&self, line: &LogLine<'_>) {
            let text = String::from_utf8_lossy(line.text).into_owned();
            let id = line.request_id.map(|id| id.to_string());
            self.0.lock().expect("no panic").push((id, text));
        }
        fn dropped(&self, dropped: &DroppedLines<'_>) {
            let text = format!("dropped {} lines, {} bytes", dropped.lines, dropped.bytes);
            self.0.lock().expect("no panic").push((None, text));
        }
    }

    fn lines() -> (Lines, Arc<Kept>) {
        let kept = Arc::new(Kept::default());
        (Lines::new(Arc::clone(&kept) as Arc<dyn LogSink>), kept)
    }

    fn texts(kept: &Kept) -> Vec<String> {
        kept.0.lock().expect("no panic").iter().map(|(_, text)| text.clone()).collect()
    }

    // However the bytes are cut, the lines are the same, and each has the invocation during which it came.
    #[test]
    fn lines_do_not_depend_on_how_they_are_read() {
        let text = b"init\none\ntwo\r\n\nlast";
        for size in 1..text.len() {
            let (mut lines, kept) = lines();
            text.chunks(size).for_each(|chunk| lines.add(chunk));
            assert_eq!(texts(&kept), ["init", "one", "two", ""], "in pieces of {size}");
            lines.begin(Some("r1".into()));
            lines.add(b"of r1");
            lines.begin(None);
            let kept = kept.0.lock().expect("no panic");
            assert_eq!(kept[4..], [(None, "last".into()), (Some("r1".into()), "of r1".into())]);
        }
    }

    // A line without an end does not grow without end.
    #[test]
    fn long_lines_are_cut() {
        let (mut lines, kept) = lines();
        for _ in 0..5 {
            lines.add(&vec![b'x'; LINE_BYTES / 2 + 1]);
        }
        lines.add(b"\n");
        let lengths: Vec<usize> = texts(&kept).iter().map(String::len).collect();
        assert_eq!(lengths, [LINE_BYTES, LINE_BYTES, LINE_BYTES / 2 + 5]);
    }

    // What is beyond the bounds is dropped, counted to the byte, and told once before the next line that passes.
    #[test]
    fn a_flood_is_cut_and_counted() {
        let (mut lines, kept) = lines();
        let began = Instant::now();
        lines.allowance.filled = began + Duration::from_secs(3600);
        let burst = usize::try_from(LINES_PER_SECOND * BURST_SECONDS).expect("small");
        lines.add("ab\n".repeat(burst + 7).as_bytes());
        assert_eq!(texts(&kept).len(), burst);
        // A tenth of a second later, a tenth of a second's worth may pass.
        lines.allowance.filled = began - Duration::from_millis(150);
        lines.allowance.fill(began);
        lines.allowance.filled = began + Duration::from_secs(3600);
        lines.add(b"on\n");
        assert_eq!(texts(&kept)[burst..], ["dropped 7 lines, 14 bytes", "on"]);
        assert_eq!(lines.allowance.lines, LINES_PER_SECOND / 10 - 1);
    }

    // Bytes are bounded too, and the end of an invocation says what was dropped in it.
    #[test]
    fn bytes_are_bounded() {
        let (mut lines, kept) = lines();
        lines.allowance.filled = Instant::now() + Duration::from_secs(3600);
        let burst = usize::try_from(BYTES_PER_SECOND * BURST_SECONDS).expect("small") / LINE_BYTES;
        for _ in 0..burst + 1 {
            lines.add(&[&vec![b'x'; LINE_BYTES][..], b"\n"].concat());
        }
        lines.begin(None);
        let texts = texts(&kept);
        assert_eq!(texts.len(), burst + 1);
        assert_eq!(texts[burst], format!("dropped 1 lines, {LINE_BYTES} bytes"));
    }
}
