//! What is kept of invocations: the lines of their functions, and the platform's own lines around them.
//!
//! An invocation's report is written when its instance has come to rest, died or gone, so that every line of it is there
//! before; its caller has the answer by then. Deliberately decides nothing, and is never waited for.

use crate::reply;
use catalog::Function;
use jiff::Timestamp;
use logs::lines::{Report, Status};
use logs::{Format, Logs, Stream};
use model::{MemoryMib, Span};
use sandbox::{DroppedLines, End, LogLine, LogSink, Usage};
use std::sync::Arc;
use std::time::SystemTime;

/// What is kept of what happens.
#[derive(Debug)]
pub(crate) struct Ledger {
    logs: Logs,
    region: String,
}

/// The log of one function instance.
#[derive(Clone, Debug)]
pub(super) struct InstanceLog {
    stream: Stream,
    format: Format,
    version: Arc<str>,
}

/// An invocation whose report is still to be written.
#[derive(Debug)]
pub(super) struct Finished {
    pub request_id: Arc<str>,
    pub how: How,
    pub duration: Span,
    pub billed: Span,
    pub memory: MemoryMib,
    pub init: Option<Span>,
    pub trace: Option<Arc<str>>,
}

/// How an invocation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// With a result, or an error of the function's own.
    Answered,
    /// With its function's time limit, which is this.
    TimedOut(Span),
    /// With its runtime: type of error, and what the caller is told.
    Failed(&'static str, String),
}

impl How {
    /// How an invocation ended whose instance did so.
    pub fn of(request_id: &str, end: &End) -> Self {
        Self::Failed(reply::kind(end), reply::message(request_id, end))
    }
}

impl Ledger {
    /// Keeps lines in `logs`.
    pub fn new(logs: Logs, region: &str) -> Self {
        Self { logs, region: region.to_owned() }
    }

    /// Begins the log of a new instance.
    pub(super) fn begin(&self, function: &Function) -> InstanceLog {
        let version: Arc<str> = "$LATEST".into();
        let today = Timestamp::now().strftime("%Y/%m/%d");
        let name = format!("{today}/[{version}]{}", uuid::Uuid::new_v4().simple());
        let stream = self.logs.stream(function.tenant, &logs::group_of(&function.name), &name);
        let log = InstanceLog { stream, format: Format::Text, version };
        let now = SystemTime::now();
        log.write(now, log.format.init_start(now, &function.runtime, &self.region));
        log
    }

    /// Writes out what waits.
    pub(super) fn close(&self) {
        self.logs.close();
    }
}

impl InstanceLog {
    /// Name of the stream: date, version and 32 hexadecimal digits, as the service makes it.
    pub fn name(&self) -> &str {
        self.stream.name()
    }

    /// An invocation begins.
    pub fn start(&self, request_id: &str) {
        let now = SystemTime::now();
        self.write(now, self.format.start(now, request_id, &self.version));
    }

    /// An init has ended. `failure` is why where it failed.
    pub fn init_ended(&self, init: Span, failure: Option<&End>) {
        let now = SystemTime::now();
        let status = match failure {
            None => Status::Success,
            Some(End::InitTimedOut) => Status::Timeout,
            Some(end) => Status::Error(reply::kind(end)),
        };
        self.write(now, self.format.init_report(now, init, status));
    }

    /// An invocation has ended, and every line of it is written.
    pub fn end(&self, finished: &Finished, usage: Usage) {
        let now = SystemTime::now();
        let id = &*finished.request_id;
        match &finished.how {
            How::Answered => {}
            How::TimedOut(limit) => self.write(now, self.format.timed_out(now, id, *limit)),
            How::Failed(kind, message) => self.write(now, self.format.failed(message, kind)),
        }
        let lines = self.format.end(now, &finished.report(usage.memory_peak_bytes));
        let events: Vec<_> = lines.iter().map(|line| (now, line.as_bytes())).collect();
        self.stream.write_all(&events);
    }

    /// The end of an invocation's log, for its caller.
    pub fn tail(&self, lines: &[u8], finished: &Finished, memory_peak_bytes: u64) -> bytes::Bytes {
        let now = SystemTime::now();
        let start = self.format.start(now, &finished.request_id, &self.version);
        let end = self.format.end(now, &finished.report(memory_peak_bytes));
        reply::log_tail(&start.unwrap_or_default(), lines, &end.concat())
    }

    fn write(&self, at: SystemTime, line: Option<String>) {
        if let Some(line) = line {
            self.stream.write(at, line.as_bytes());
        }
    }
}

impl LogSink for InstanceLog {
    fn line(&self, line: &LogLine<'_>) {
        let text = [line.text, b"\n"].concat();
        self.stream.write(line.at, &text);
    }

    fn dropped(&self, dropped: &DroppedLines<'_>) {
        let line = self.format.dropped(dropped.since, dropped.lines, dropped.bytes);
        self.write(SystemTime::now(), line);
    }
}

impl Finished {
    fn report(&self, memory_peak_bytes: u64) -> Report<'_> {
        let status = match &self.how {
            How::Answered => Status::Success,
            How::TimedOut(_) => Status::Timeout,
            How::Failed(kind, _) => Status::Error(kind),
        };
        Report {
            request_id: &self.request_id,
            status,
            duration: self.duration,
            billed: self.billed,
            memory: self.memory,
            memory_peak_bytes,
            init: self.init,
            trace: self.trace.as_deref(),
        }
    }
}
