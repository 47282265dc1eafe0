//! The lines that the platform writes into a function's log, word by word as the service writes them.
//!
//! As text: START, END, REPORT, INIT_START and INIT_REPORT; as JSON: the platform events of the Telemetry API (Lambda
//! developer guide, "Log format" and "Telemetry API event schema", 2026). Deliberately knows nothing of where they go.

use jiff::Timestamp;
use model::{MemoryMib, Span};
use serde_json::json;
use std::fmt::Write;
use std::time::SystemTime;

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Words.
    #[default]
    Text,
    /// One JSON object per line, of this level of detail and above.
    Json(SystemLevel),
}

/// Which of the platform's lines are written as JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SystemLevel {
    /// All.
    Debug,
    /// Without those for every phase.
    #[default]
    Info,
    /// Those of failures only.
    Warn,
}

/// How an invocation or an init ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status<'a> {
    /// It answered.
    Success,
    /// It ran into its limit.
    Timeout,
    /// Its runtime ended, with this type of error as in `Runtime.ExitError`.
    Error(&'a str),
}

/// When an init happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before any invocation.
    Init,
    /// In an invocation, since it failed before.
    Invoke,
}

/// An init, as its report has it.
#[derive(Clone, Copy, Debug)]
pub struct InitReport<'a> {
    /// When it happened.
    pub phase: Phase,
    /// How long it took.
    pub duration: Span,
    /// How it ended.
    pub status: Status<'a>,
}

/// An invocation, as its report has it.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// Its id.
    pub request_id: &'a str,
    /// How it ended.
    pub status: Status<'a>,
    /// From dispatch to response.
    pub duration: Span,
    /// What is billed.
    pub billed: Span,
    /// Memory size of its function.
    pub memory: MemoryMib,
    /// Highest memory use of its instance so far, bytes.
    pub memory_peak_bytes: u64,
    /// Init, where this invocation waited for it.
    pub init: Option<Span>,
    /// X-Ray trace header, where it is sampled.
    pub trace: Option<&'a str>,
}

impl Format {
    /// The line at the begin of an invocation; None where the format leaves it out.
    pub fn start(self, at: SystemTime, request_id: &str, version: &str) -> Option<String> {
        match self {
            Self::Text => Some(format!("START RequestId: {request_id} Version: {version}\n")),
            Self::Json(level) => {
                let record = json!({ "requestId": request_id, "version": version });
                event(level, SystemLevel::Info, at, "platform.start", record)
            }
        }
    }

    /// The lines at the end of an invocation, each a string of its own.
    pub fn end(self, at: SystemTime, report: &Report<'_>) -> Vec<String> {
        match self {
            Self::Text => vec![format!("END RequestId: {}\n", report.request_id), text(report)],
            Self::Json(level) => {
                let status = report.status.word();
                let (plain, detail) = report.status.levels();
                let done = json!({
                    "requestId": report.request_id,
                    "status": status,
                    "metrics": { "durationMs": millis(report.duration) },
                });
                let lines = [
                    event(level, detail, at, "platform.runtimeDone", done),
                    event(level, plain, at, "platform.report", record(report)),
                ];
                lines.into_iter().flatten().collect()
            }
        }
    }

    /// The line at the begin of an init.
    pub fn init_start(self, at: SystemTime, runtime: &str, region: &str) -> Option<String> {
        let arn = format!("arn:aws:lambda:{region}::runtime:{runtime}");
        match self {
            Self::Text => {
                Some(format!("INIT_START Runtime Version: {runtime}\tRuntime Version ARN: {arn}\n"))
            }
            Self::Json(level) => {
                let record = json!({
                    "initializationType": "on-demand",
                    "phase": "init",
                    "runtimeVersion": runtime,
                    "runtimeVersionArn": arn,
                });
                event(level, SystemLevel::Info, at, "platform.initStart", record)
            }
        }
    }

    /// The line at the end of an init. As text it is written where the init failed.
    pub fn init_report(self, at: SystemTime, init: &InitReport<'_>) -> Option<String> {
        let InitReport { duration, status, .. } = *init;
        let phase = match init.phase {
            Phase::Init => "init",
            Phase::Invoke => "invoke",
        };
        match (self, status) {
            (Self::Text, Status::Success) => None,
            (Self::Text, status) => {
                let duration = Millis(duration);
                let mut line =
                    format!("INIT_REPORT Init Duration: {duration} ms\tPhase: {phase}\t");
                push_status(&mut line, status);
                line.push('\n');
                Some(line)
            }
            (Self::Json(level), status) => {
                let mut record = json!({
                    "initializationType": "on-demand",
                    "phase": phase,
                    "status": status.word(),
                    "metrics": { "durationMs": millis(duration) },
                });
                if let Status::Error(kind) = status {
                    record["errorType"] = kind.into();
                }
                event(level, status.levels().1, at, "platform.initReport", record)
            }
        }
    }

    /// The line of an extension that has registered for these events.
    pub fn extension(self, at: SystemTime, name: &str, events: &[String]) -> Option<String> {
        match self {
            Self::Text => {
                let events = events.join(", ");
                Some(format!("EXTENSION\tName: {name}\tState: Ready\tEvents: [{events}]\n"))
            }
            Self::Json(level) => {
                let record = json!({ "name": name, "state": "Ready", "events": events });
                event(level, SystemLevel::Info, at, "platform.extension", record)
            }
        }
    }

    /// The line of an invocation that ran into its limit, before its end.
    pub fn timed_out(self, at: SystemTime, request_id: &str, timeout: Span) -> Option<String> {
        let seconds = timeout.as_secs_f64();
        (self == Self::Text).then(|| {
            format!("{} {request_id} Task timed out after {seconds:.2} seconds\n\n", stamp(at))
        })
    }

    /// The line of an invocation whose runtime ended, before its end: what the caller is told too.
    pub fn failed(self, message: &str, kind: &str) -> Option<String> {
        (self == Self::Text).then(|| format!("{message}\n{kind}\n"))
    }

    /// The line for lines of the function that were too many.
    pub fn dropped(self, at: SystemTime, lines: u64, bytes: u64) -> Option<String> {
        match self {
            Self::Text => Some(format!(
                "[peek] {lines} lines ({bytes} bytes) dropped: the function wrote more than the platform keeps\n"
            )),
            Self::Json(level) => {
                let record = json!({
                    "reason": "the function wrote more than the platform keeps",
                    "droppedRecords": lines,
                    "droppedBytes": bytes,
                });
                event(level, SystemLevel::Warn, at, "platform.logsDropped", record)
            }
        }
    }
}

/// The report of an invocation as extensions are told it, whatever their function's format: a JSON object.
pub fn report_event(at: SystemTime, report: &Report<'_>) -> String {
    json!({ "time": stamp(at), "type": "platform.report", "record": record(report) }).to_string()
}

impl<'a> Status<'a> {
    fn word(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Timeout => "timeout",
            Self::Error(_) => "error",
        }
    }

    /// Levels of a report of this, and of a detail of it.
    fn levels(self) -> (SystemLevel, SystemLevel) {
        match self {
            Self::Success => (SystemLevel::Info, SystemLevel::Debug),
            Self::Timeout | Self::Error(_) => (SystemLevel::Warn, SystemLevel::Warn),
        }
    }
}

/// Megabytes, as reports have them: whole MiB, rounded up.
fn megabytes(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

fn text(report: &Report<'_>) -> String {
    let mut line = String::with_capacity(256);
    // Writing to a String cannot fail.
    let _ = write!(
        line,
        "REPORT RequestId: {}\tDuration: {} ms\tBilled Duration: {} ms\tMemory Size: {} MB\t\
         Max Memory Used: {} MB\t",
        report.request_id,
        Millis(report.duration),
        report.billed.as_millis(),
        report.memory.0,
        megabytes(report.memory_peak_bytes),
    );
    if let Some(init) = report.init {
        let _ = write!(line, "Init Duration: {} ms\t", Millis(init));
    }
    push_status(&mut line, report.status);
    line.push('\n');
    if let Some((root, parent)) = report.trace.and_then(sampled) {
        let _ = writeln!(line, "XRAY TraceId: {root}\tSegmentId: {parent}\tSampled: true\t");
    }
    line
}

fn push_status(line: &mut String, status: Status<'_>) {
    let _ = match status {
        Status::Success => Ok(()),
        Status::Timeout => write!(line, "Status: timeout\t"),
        Status::Error(kind) => write!(line, "Status: error\tError Type: {kind}\t"),
    };
}

fn record(report: &Report<'_>) -> serde_json::Value {
    let mut metrics = json!({
        "durationMs": millis(report.duration),
        "billedDurationMs": report.billed.as_millis(),
        "memorySizeMB": report.memory.0,
        "maxMemoryUsedMB": megabytes(report.memory_peak_bytes),
    });
    if let Some(init) = report.init {
        metrics["initDurationMs"] = millis(init).into();
    }
    let mut record = json!({
        "requestId": report.request_id,
        "metrics": metrics,
        "status": report.status.word(),
    });
    if let Status::Error(kind) = report.status {
        record["errorType"] = kind.into();
    }
    if let Some((_, parent)) = report.trace.and_then(sampled) {
        let tracing = json!({
            "spanId": parent,
            "type": "X-Amzn-Trace-Id",
            "value": report.trace,
        });
        record["tracing"] = tracing;
    }
    record
}

/// Root and parent of a trace header that says that it is sampled.
fn sampled(header: &str) -> Option<(&str, &str)> {
    let field = |name: &str| {
        header.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
    };
    match (field("Sampled"), field("Root"), field("Parent")) {
        (Some("1"), Some(root), Some(parent)) => Some((root, parent)),
        _ => None,
    }
}

fn event(
    wanted: SystemLevel,
    own: SystemLevel,
    at: SystemTime,
    kind: &str,
    record: serde_json::Value,
) -> Option<String> {
    (own >= wanted).then(|| {
        let mut line = json!({ "time": stamp(at), "type": kind, "record": record }).to_string();
        line.push('\n');
        line
    })
}

fn stamp(at: SystemTime) -> String {
    let at = Timestamp::try_from(at).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// Milliseconds with two decimals, rounded as the service does, without floating point.
struct Millis(Span);

impl std::fmt::Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hundredths = (self.0.as_nanos() + 5_000) / 10_000;
        write!(f, "{}.{:02}", hundredths / 100, hundredths % 100)
    }
}

fn millis(span: Span) -> f64 {
    let thousandths = (span.as_nanos() + 500) / 1_000;
    // Durations are far below what a double holds exactly.
    thousandths as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn report(status: Status<'_>) -> Report<'_> {
        Report {
            request_id: "8476a536",
            status,
            duration: Span::from_micros(1_236),
            billed: Span::from_millis(2),
            memory: MemoryMib(128),
            memory_peak_bytes: (30 << 20) + 1,
            init: None,
            trace: None,
        }
    }

    // Reports read as the service writes them, whichever way the invocation ended.
    #[test]
    fn reports_read_as_the_service_writes_them() {
        let lines = |report: &Report<'_>| Format::Text.end(UNIX_EPOCH, report).concat();
        assert_eq!(
            lines(&report(Status::Success)),
            "END RequestId: 8476a536\nREPORT RequestId: 8476a536\tDuration: 1.24 ms\t\
             Billed Duration: 2 ms\tMemory Size: 128 MB\tMax Memory Used: 31 MB\t\n"
        );
        let cold = Report {
            init: Some(Span::from_micros(112_340)),
            trace: Some(
                "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1",
            ),
            ..report(Status::Success)
        };
        assert!(lines(&cold).ends_with(
            "Max Memory Used: 31 MB\tInit Duration: 112.34 ms\t\nXRAY TraceId: \
             1-5bef4de7-ad49b0e87f6ef6c87fc2e700\tSegmentId: 9a9197af755a6419\tSampled: true\t\n"
        ));
        let unsampled = Report { trace: Some("Root=1-5;Parent=9;Sampled=0"), ..cold };
        assert!(!lines(&unsampled).contains("XRAY"));
        assert!(lines(&report(Status::Timeout)).ends_with("31 MB\tStatus: timeout\t\n"));
        assert!(
            lines(&report(Status::Error("Runtime.ExitError")))
                .ends_with("31 MB\tStatus: error\tError Type: Runtime.ExitError\t\n")
        );
        assert_eq!(
            Format::Text.timed_out(UNIX_EPOCH, "r", Span::from_secs(3)).as_deref(),
            Some("1970-01-01T00:00:00.000Z r Task timed out after 3.00 seconds\n\n")
        );
        assert_eq!(
            Format::Text
                .init_report(
                    UNIX_EPOCH,
                    &InitReport {
                        phase: Phase::Init,
                        duration: Span::from_secs(10),
                        status: Status::Timeout
                    }
                )
                .as_deref(),
            Some("INIT_REPORT Init Duration: 10000.00 ms\tPhase: init\tStatus: timeout\t\n")
        );
        let again = InitReport {
            phase: Phase::Invoke,
            duration: Span::from_millis(12),
            status: Status::Error("Extension.Crash"),
        };
        assert_eq!(
            Format::Text.init_report(UNIX_EPOCH, &again).as_deref(),
            Some(
                "INIT_REPORT Init Duration: 12.00 ms\tPhase: invoke\tStatus: error\t\
                 Error Type: Extension.Crash\t\n"
            )
        );
        assert_eq!(
            Format::Text
                .extension(UNIX_EPOCH, "watcher", &["INVOKE".into(), "SHUTDOWN".into()])
                .as_deref(),
            Some("EXTENSION\tName: watcher\tState: Ready\tEvents: [INVOKE, SHUTDOWN]\n")
        );
    }

    // As JSON each line is an object of the Telemetry API's schema, and levels leave out what they should.
    #[test]
    fn json_lines_follow_their_level() {
        let kinds = |level, status: Status<'_>| {
            let format = Format::Json(level);
            let mut lines: Vec<String> =
                format.start(UNIX_EPOCH, "r", "$LATEST").into_iter().collect();
            lines.extend(format.end(UNIX_EPOCH, &report(status)));
            lines.extend(format.init_start(UNIX_EPOCH, "python3.11", "us-east-1"));
            let kind = |line: &String| {
                let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
                value["type"].as_str().expect("a type").to_owned()
            };
            lines.iter().map(kind).collect::<Vec<_>>()
        };
        let all =
            ["platform.start", "platform.runtimeDone", "platform.report", "platform.initStart"];
        assert_eq!(kinds(SystemLevel::Debug, Status::Success), all);
        let plain = ["platform.start", "platform.report", "platform.initStart"];
        assert_eq!(kinds(SystemLevel::Info, Status::Success), plain);
        assert_eq!(kinds(SystemLevel::Warn, Status::Success), Vec::<String>::new());
        let failed = ["platform.runtimeDone", "platform.report"];
        assert_eq!(kinds(SystemLevel::Warn, Status::Error("Runtime.ExitError")), failed);
        let line = Format::Json(SystemLevel::Info).end(UNIX_EPOCH, &report(Status::Success));
        assert_eq!(
            line.concat(),
            "{\"time\":\"1970-01-01T00:00:00.000Z\",\"type\":\"platform.report\",\"record\":{\
             \"requestId\":\"8476a536\",\"metrics\":{\"durationMs\":1.236,\"billedDurationMs\":2,\
             \"memorySizeMB\":128,\"maxMemoryUsedMB\":31},\"status\":\"success\"}}\n"
        );
    }
}
