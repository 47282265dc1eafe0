//! Where the lines go that functions write.
//!
//! Deliberately knows nothing of who keeps them, nor of the lines that the platform adds.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// Takes what the processes of one instance write, line by line and in order.
///
/// It is called on the way of responses: an implementation takes the line and returns, and never waits.
pub trait LogSink: fmt::Debug + Send + Sync + 'static {
    /// One line.
    fn line(&self, line: &LogLine<'_>);

    /// Lines that were not passed on, since there were more than [`LINES_PER_SECOND`] or [`BYTES_PER_SECOND`] allow.
    /// Comes before the next line that is passed on, and at the end of an invocation and of the instance.
    fn dropped(&self, dropped: &DroppedLines<'_>);
}

/// What an instance may write for long, in lines; further ones are dropped and counted.
pub const LINES_PER_SECOND: u64 = 10_000;
/// What an instance may write for long, in bytes; lines beyond are dropped and counted.
pub const BYTES_PER_SECOND: u64 = 1 << 20;
/// How many seconds' worth an instance that was silent may write at once.
pub const BURST_SECONDS: u64 = 8;
/// Longest line, in bytes; what is longer becomes several lines (CloudWatch Logs quotas, size of an event, of 256 KiB
/// until 2025).
pub const LINE_BYTES: usize = 256 << 10;

/// One line that a function wrote.
#[derive(Clone, Debug)]
pub struct LogLine<'a> {
    /// When it was read, which is within a few milliseconds of when it was written.
    pub at: SystemTime,
    /// Invocation under way; None in the init phase and between invocations.
    pub request_id: Option<&'a Arc<str>>,
    /// What was written, without the end of the line; any bytes.
    pub text: &'a [u8],
}

/// Lines that were not passed on.
#[derive(Clone, Debug)]
pub struct DroppedLines<'a> {
    /// When the first was read.
    pub since: SystemTime,
    /// Invocation under way now.
    pub request_id: Option<&'a Arc<str>>,
    /// How many.
    pub lines: u64,
    /// Their bytes.
    pub bytes: u64,
}
