//! What a caller is told: results, Lambda's error JSON, and the log with its START, END and REPORT lines.

use bytes::Bytes;
use catalog::Version;
use gateway::{Failure, Reply};
use model::{MemoryMib, Span};
use sandbox::{End, StartError};
use scheduler::Rejection;
use std::fmt::Write;

/// Bytes of the log that go with an answer (Lambda API reference, `Invoke`, `X-Amz-Log-Result`, 2026).
const LOG_TAIL_BYTES: usize = 4096;

/// The answer for a sandbox that ended before it answered: the function's error, or the platform's where it is not the
/// function's fault.
///
/// Words and types as the service writes them (recorded answers of the service, 2026).
pub fn ended(request_id: &str, end: &End) -> Reply {
    let (kind, message) = match end {
        End::InitError(payload) if !payload.is_empty() => {
            return Reply::FunctionError(payload.clone());
        }
        End::InitError(_) => ("Runtime.ExitError", exit_message(request_id, None, None)),
        End::Exited { status, signal } => {
            ("Runtime.ExitError", exit_message(request_id, *status, *signal))
        }
        End::OutOfMemory => ("Runtime.OutOfMemory", exit_message(request_id, None, Some(9))),
        End::InitTimedOut => (
            "Sandbox.Timedout",
            format!("RequestId: {request_id} Error: the init phase ran into its limit"),
        ),
        End::ResponseTooLarge { limit, .. } => (
            "Function.ResponseSizeTooLarge",
            format!("Response payload size exceeded maximum allowed payload size ({limit} bytes)."),
        ),
        End::Protocol(what) => (
            "Runtime.ExitError",
            format!("RequestId: {request_id} Error: Runtime broke its protocol: {what}"),
        ),
        End::Extension { name, kind, reason } => {
            (*kind, format!("RequestId: {request_id} Error: extension {name}: {reason}"))
        }
        End::NoEntrypoint => (
            "Runtime.InvalidEntrypoint",
            format!(
                "RequestId: {request_id} Error: Couldn't find valid bootstrap(s): \
                 [/var/task/bootstrap /opt/bootstrap]"
            ),
        ),
        End::Stopped => {
            let why = "the platform's own process that runs functions has died: try again";
            return Reply::Failure(Failure::Unavailable(why.to_owned()));
        }
    };
    Reply::FunctionError(error_json(kind, &message))
}

fn exit_message(request_id: &str, status: Option<i32>, signal: Option<i32>) -> String {
    match (status, signal) {
        (_, Some(signal)) => {
            format!(
                "RequestId: {request_id} Error: Runtime exited with error: signal: {}",
                signal_name(signal)
            )
        }
        (Some(status), None) if status != 0 => {
            format!(
                "RequestId: {request_id} Error: Runtime exited with error: exit status {status}"
            )
        }
        _ => format!("RequestId: {request_id} Error: Runtime exited without providing a reason"),
    }
}

/// The words that the service has for a signal: those of Go's `syscall.Signal`.
fn signal_name(signal: i32) -> String {
    match signal {
        4 => "illegal instruction".to_owned(),
        6 => "aborted".to_owned(),
        7 => "bus error".to_owned(),
        8 => "floating point exception".to_owned(),
        9 => "killed".to_owned(),
        11 => "segmentation fault".to_owned(),
        15 => "terminated".to_owned(),
        31 => "bad system call".to_owned(),
        other => format!("signal {other}"),
    }
}

/// Lambda's error JSON for an invocation that ran into its function's timeout.
pub fn timed_out(request_id: &str, timeout: Span) -> Bytes {
    error_json(
        "Sandbox.Timedout",
        &format!(
            "RequestId: {request_id} Error: Task timed out after {:.2} seconds",
            timeout.as_secs_f64()
        ),
    )
}

fn error_json(kind: &str, message: &str) -> Bytes {
    serde_json::json!({ "errorType": kind, "errorMessage": message }).to_string().into()
}

/// The answer to an invocation that was never dispatched. `start` is what went wrong where a start failed.
pub fn rejected(request_id: &str, rejection: Rejection, start: Option<&StartError>) -> Reply {
    match (rejection, start) {
        (Rejection::StartFailed(_), Some(StartError::Ended { end, .. })) => ended(request_id, end),
        (Rejection::StartFailed(reason), _) => Reply::Failure(Failure::Unavailable(reason)),
        (Rejection::NoHost(reason), _) => Reply::Failure(Failure::Unavailable(reason)),
        (Rejection::NoFunction, _) => Reply::Failure(Failure::NoFunction),
        (Rejection::ReservedConcurrency { .. }, _) => Reply::Failure(Failure::ReservedConcurrency),
        (Rejection::AccountConcurrency { .. } | Rejection::Queue, _) => {
            Reply::Failure(Failure::AccountConcurrency)
        }
    }
}

/// What a REPORT line says.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// From dispatch to response.
    pub duration: Span,
    /// What is billed.
    pub billed: Span,
    /// Memory size.
    pub memory: MemoryMib,
    /// Highest memory use, bytes.
    pub memory_peak_bytes: u64,
    /// Init, where this invocation waited for it.
    pub init: Option<Span>,
}

/// The log of one invocation as the service writes it, at most its last 4 KiB.
pub fn log_tail(request_id: &str, version: Version, lines: &[u8], usage: Usage) -> Bytes {
    let mut log = format!("START RequestId: {request_id} Version: {version}\n").into_bytes();
    log.extend_from_slice(lines);
    if !lines.is_empty() && !lines.ends_with(b"\n") {
        log.push(b'\n');
    }
    let mut end = format!(
        "END RequestId: {request_id}\nREPORT RequestId: {request_id}\tDuration: {:.2} ms\t\
         Billed Duration: {} ms\tMemory Size: {} MB\tMax Memory Used: {} MB\t",
        usage.duration.as_millis_f64(),
        usage.billed.as_millis(),
        usage.memory.0,
        usage.memory_peak_bytes.div_ceil(1 << 20),
    );
    if let Some(init) = usage.init {
        // Writing to a String cannot fail.
        let _ = write!(end, "Init Duration: {:.2} ms\t", init.as_millis_f64());
    }
    end.push('\n');
    log.extend_from_slice(end.as_bytes());
    let from = log.len().saturating_sub(LOG_TAIL_BYTES);
    Bytes::from(log).slice(from..)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Each end has the type and the words that clients match on.
    #[test]
    fn ends_read_as_the_service_writes_them() {
        let text = |end| match ended("r", &end) {
            Reply::FunctionError(json) => String::from_utf8(json.to_vec()).expect("JSON is UTF-8"),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            text(End::Exited { status: Some(127), signal: None }),
            r#"{"errorType":"Runtime.ExitError","errorMessage":"RequestId: r Error: Runtime exited with error: exit status 127"}"#
        );
        assert_eq!(
            text(End::Exited { status: Some(0), signal: None }),
            r#"{"errorType":"Runtime.ExitError","errorMessage":"RequestId: r Error: Runtime exited without providing a reason"}"#
        );
        assert!(text(End::OutOfMemory).contains("Runtime.OutOfMemory"));
        assert!(text(End::OutOfMemory).contains("signal: killed"));
        assert_eq!(text(End::InitError(Bytes::from_static(b"{}"))), "{}");
        assert!(matches!(ended("r", &End::Stopped), Reply::Failure(Failure::Unavailable(_))));
    }

    // The tail keeps the REPORT line whatever the function wrote.
    #[test]
    fn the_report_survives_a_long_log() {
        let usage = Usage {
            duration: Span::from_micros(1_234),
            billed: Span::from_millis(2),
            memory: MemoryMib(128),
            memory_peak_bytes: (30 << 20) + 1,
            init: Some(Span::from_millis(5)),
        };
        let log = log_tail("r", Version::Latest, &vec![b'x'; 10_000], usage);
        assert_eq!(log.len(), LOG_TAIL_BYTES);
        assert!(log.ends_with(
            b"\nEND RequestId: r\nREPORT RequestId: r\tDuration: 1.23 ms\tBilled Duration: 2 ms\t\
              Memory Size: 128 MB\tMax Memory Used: 31 MB\tInit Duration: 5.00 ms\t\n"
        ));
    }
}
