//! What is kept of invocations: the lines of their functions with the platform's own around them, numbers, and accounts.
//!
//! An invocation's report is written when its instance has come to rest, died or gone, so that every line of it is there
//! before; its caller has the answer by then. Deliberately decides nothing, and is never waited for.

use crate::accounts::{Account, Accounts, Sums};
use crate::metrics::{FunctionMetrics, Metrics};
use crate::reply;
use crate::spans::{Spans, Traced};
use catalog::Function;
use jiff::Timestamp;
use logs::lines::{InitReport, Phase, Report, Status};
use logs::{Format, Logs, Stream};
use model::{MemoryMib, Span};
use sandbox::{DroppedLines, End, Extension, LogLine, LogSink, Usage};
use scheduler::{Billing, Rejection};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// What is kept of what happens.
#[derive(Debug)]
pub(crate) struct Ledger {
    logs: Logs,
    region: String,
    pub(super) metrics: Metrics,
    accounts: Arc<Accounts>,
    spans: Option<Spans>,
}

/// The log of one function instance, and where its function is counted.
#[derive(Debug)]
pub(super) struct InstanceLog {
    stream: Stream,
    format: Format,
    version: Arc<str>,
    pub metrics: Arc<FunctionMetrics>,
    account: Arc<Account>,
    spans: Option<(Spans, Arc<Function>)>,
}

/// An invocation whose report is still to be written.
#[derive(Debug)]
pub(super) struct Finished {
    pub request_id: Arc<str>,
    pub how: How,
    /// From its arrival to its dispatch.
    pub queued: Span,
    pub duration: Span,
    /// When it was answered.
    pub ended: SystemTime,
    pub billed: Span,
    pub memory: MemoryMib,
    pub init: Option<Span>,
    pub trace: Option<Arc<str>>,
}

/// How an invocation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// With a result.
    Answered,
    /// With an error of the function's own.
    Erred,
    /// With its function's time limit, which is this.
    TimedOut(Span),
    /// With its runtime: type of error, and what the caller is told.
    Failed(&'static str, String),
}

impl How {
    /// How an invocation ended whose instance did so.
    pub fn of(request_id: &str, end: &End) -> Self {
        Self::Failed(end.kind(), reply::message(request_id, end))
    }
}

impl Ledger {
    /// Keeps lines in `logs`, and sums in `accounts`.
    pub fn new(logs: Logs, accounts: Arc<Accounts>, spans: Option<Spans>, region: &str) -> Self {
        Self { logs, region: region.to_owned(), metrics: Metrics::default(), accounts, spans }
    }

    /// Begins the log of a new instance.
    pub(super) fn begin(&self, function: &Arc<Function>) -> Arc<InstanceLog> {
        let version: Arc<str> = function.version.to_string().into();
        let today = Timestamp::now().strftime("%Y/%m/%d");
        let name = format!("{today}/[{version}]{}", uuid::Uuid::new_v4().simple());
        let stream = self.logs.stream(function.tenant, &function.log_group(), &name);
        let metrics = self.metrics.function(function.tenant, &function.name);
        let account = self.accounts.account(function.tenant, &function.name);
        let spans = self.spans.clone().map(|spans| (spans, Arc::clone(function)));
        let log = Arc::new(InstanceLog {
            stream,
            format: format_of(function),
            version,
            metrics,
            account,
            spans,
        });
        let now = SystemTime::now();
        log.write(now, log.format.init_start(now, &function.runtime, &self.region));
        log
    }

    /// An invocation was refused and never dispatched.
    pub(super) fn rejected(&self, function: &Function, reason: &Rejection) {
        let metrics = self.metrics.function(function.tenant, &function.name);
        let counter = match reason {
            Rejection::ReservedConcurrency { .. }
            | Rejection::AccountConcurrency { .. }
            | Rejection::Queue => &metrics.throttles,
            Rejection::StartFailed(_) | Rejection::NoHost(_) | Rejection::NoFunction => {
                &metrics.errors
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Invocations whose spans were not sent.
    pub(super) fn spans_dropped(&self) -> u64 {
        self.spans.as_ref().map_or(0, Spans::dropped)
    }

    /// What the logs have written and dropped.
    pub(super) fn log_counts(&self) -> logs::Counts {
        self.logs.counts()
    }

    /// Writes out what waits.
    pub(super) fn close(&self) {
        self.logs.close();
        self.accounts.flush();
    }
}

fn format_of(function: &Function) -> Format {
    use catalog::SystemLevel;
    function.logging.levels.map_or(Format::Text, |levels| {
        Format::Json(match levels.system {
            SystemLevel::Debug => logs::SystemLevel::Debug,
            SystemLevel::Info => logs::SystemLevel::Info,
            SystemLevel::Warn => logs::SystemLevel::Warn,
        })
    })
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
    pub fn init_ended(&self, phase: Phase, init: Span, failure: Option<&End>) {
        let now = SystemTime::now();
        let status = match failure {
            None => {
                FunctionMetrics::took(&self.metrics.init, init);
                Status::Success
            }
            Some(End::InitTimedOut) => Status::Timeout,
            Some(end) => Status::Error(end.kind()),
        };
        let report = InitReport { phase, duration: init, status };
        self.write(now, self.format.init_report(now, &report));
    }

    /// Extensions have registered.
    pub fn extensions(&self, extensions: &[Extension]) {
        let now = SystemTime::now();
        for Extension { name, events } in extensions {
            self.write(now, self.format.extension(now, name, events));
        }
    }

    /// An invocation has ended, and every line of it is written.
    pub fn end(&self, finished: &Finished, usage: Usage) {
        let now = SystemTime::now();
        let id = &*finished.request_id;
        match &finished.how {
            How::Answered | How::Erred => {}
            How::TimedOut(limit) => self.write(now, self.format.timed_out(now, id, *limit)),
            How::Failed(kind, message) => self.write(now, self.format.failed(message, kind)),
        }
        let lines = self.format.end(now, &finished.report(usage.memory_peak_bytes));
        let events: Vec<_> = lines.iter().map(|line| (now, line.as_bytes())).collect();
        self.stream.write_all(&events);
    }

    /// The report of an invocation as its extensions are told it: the JSON of an event.
    pub fn told(&self, finished: &Finished, usage: Usage) -> String {
        logs::lines::report_event(SystemTime::now(), &finished.report(usage.memory_peak_bytes))
    }

    /// Counts an invocation that has ended, for which its instance used so much CPU time.
    pub fn count(&self, finished: &Finished, cpu: Span, usage: Usage) {
        let peak = usage.memory_peak_bytes;
        self.account.add(&Sums::invocation(finished.billed, finished.memory, cpu, peak));
        let metrics = &*self.metrics;
        let add = |counter: &AtomicU64, by| counter.fetch_add(by, Ordering::Relaxed);
        add(&metrics.invocations, 1);
        add(&metrics.billed_ms, finished.billed.as_nanos().div_ceil(1_000_000));
        add(&metrics.cpu_us, cpu.as_nanos() / 1000);
        if finished.how != How::Answered {
            add(&metrics.errors, 1);
        }
        if matches!(finished.how, How::TimedOut(_)) {
            add(&metrics.timeouts, 1);
        }
        if finished.init.is_some() {
            add(&metrics.cold_starts, 1);
        }
        FunctionMetrics::took(&metrics.queue, finished.queued);
        FunctionMetrics::took(&metrics.duration, finished.duration);
        metrics.used(peak);
        if let Some((spans, function)) = &self.spans {
            spans.add(finished.traced(function, self));
        }
    }

    /// Counts CPU time that an instance used outside of invocations.
    pub fn count_unbilled(&self, cpu: Span, usage: Usage) {
        if cpu > Span::ZERO {
            self.account.add(&Sums::unbilled(cpu, usage.memory_peak_bytes));
            self.metrics.cpu_us.fetch_add(cpu.as_nanos() / 1000, Ordering::Relaxed);
        }
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
        self.metrics.dropped_lines.fetch_add(dropped.lines, Ordering::Relaxed);
        let line = self.format.dropped(dropped.since, dropped.lines, dropped.bytes);
        self.write(SystemTime::now(), line);
    }
}

impl Finished {
    /// Its extensions went on for so long after the runtime: that is the function's time, and paid for.
    pub fn extend(&mut self, extensions: Span, billing: Billing) {
        if extensions > Span::ZERO && !matches!(self.how, How::TimedOut(_)) {
            self.duration += extensions;
            self.billed = billing.billed(self.duration, self.init);
        }
    }

    /// Its extensions went on until its time was up.
    pub fn expire(&mut self, timeout: Span, billing: Billing) {
        self.how = How::TimedOut(timeout);
        self.duration = timeout;
        self.billed = billing.billed(timeout, self.init);
    }

    fn traced(&self, function: &Function, log: &InstanceLog) -> Traced {
        Traced {
            tenant: function.tenant,
            function: function.name.clone(),
            version: log.version.to_string(),
            instance: log.name().to_owned(),
            memory: self.memory,
            request_id: Arc::clone(&self.request_id),
            header: self.trace.clone(),
            ended: self.ended,
            queued: self.queued,
            init: self.init,
            duration: self.duration,
            error: match &self.how {
                How::Answered => None,
                How::Erred => Some("Unhandled"),
                How::TimedOut(_) => Some("Sandbox.Timedout"),
                How::Failed(kind, _) => Some(kind),
            },
        }
    }

    fn report(&self, memory_peak_bytes: u64) -> Report<'_> {
        let status = match &self.how {
            How::Answered | How::Erred => Status::Success,
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
