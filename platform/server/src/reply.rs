//! What a caller is told: results, Lambda's error JSON, and the log with its START, END and REPORT lines.

use bytes::Bytes;
use gateway::{Failure, Reply};
use model::Span;
use sandbox::{End, StartError};
use scheduler::Rejection;

/// Bytes of the log that go with an answer (Lambda API reference, `Invoke`, `X-Amz-Log-Result`, 2026).
const LOG_TAIL_BYTES: usize = 4096;

/// The answer for a sandbox that ended before it answered: the function's error, or the platform's where it is not the
/// function's fault.
///
/// Words and types as the service writes them (recorded answers of the service, 2026).
pub fn ended(request_id: &str, end: &End) -> Reply {
    match end {
        End::InitError(payload) if !payload.is_empty() => Reply::FunctionError(payload.clone()),
        End::Stopped => {
            let why = "the platform's own process that runs functions has died: try again";
            Reply::Failure(Failure::Unavailable(why.to_owned()))
        }
        end => Reply::FunctionError(error_json(end.kind(), &message(request_id, end))),
    }
}

/// Words for an end.
pub fn message(request_id: &str, end: &End) -> String {
    match end {
        End::InitError(_) => exit_message(request_id, None, None),
        End::Exited { status, signal } => exit_message(request_id, *status, *signal),
        End::OutOfMemory => exit_message(request_id, None, Some(9)),
        End::InitTimedOut => {
            format!("RequestId: {request_id} Error: the init phase ran into its limit")
        }
        End::ResponseTooLarge { limit, .. } => {
            format!("Response payload size exceeded maximum allowed payload size ({limit} bytes).")
        }
        End::Protocol(what) => {
            format!("RequestId: {request_id} Error: Runtime broke its protocol: {what}")
        }
        End::Extension { kind: "Extension.LaunchError", reason, .. } => {
            format!("RequestId: {request_id} Error: {reason}")
        }
        End::Extension { name, reason, .. } => {
            format!("RequestId: {request_id} Error: extension {name}: {reason}")
        }
        End::ExtensionExited { signal: Some(signal), .. } => {
            format!("RequestId: {request_id} Error: signal: {}", signal_name(*signal))
        }
        End::ExtensionExited { status, .. } => {
            format!("RequestId: {request_id} Error: exit status {}", status.unwrap_or_default())
        }
        End::NoEntrypoint => format!(
            "RequestId: {request_id} Error: Couldn't find valid bootstrap(s): \
             [/var/task/bootstrap /opt/bootstrap]"
        ),
        End::Stopped => format!("RequestId: {request_id} Error: the platform's own process died"),
    }
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

/// The log of one invocation, from its START line to its report: at most its last 4 KiB.
pub fn log_tail(start: &str, lines: &[u8], end: &str) -> Bytes {
    let mut log = start.as_bytes().to_vec();
    log.extend_from_slice(lines);
    if !lines.is_empty() && !lines.ends_with(b"\n") {
        log.push(b'\n');
    }
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

    // The tail keeps the report whatever the function wrote, and begins a new line for it.
    #[test]
    fn the_report_survives_a_long_log() {
        let log = log_tail("START\n", &vec![b'x'; 10_000], "END\nREPORT\n");
        assert_eq!(log.len(), LOG_TAIL_BYTES);
        assert!(log.ends_with(b"x\nEND\nREPORT\n"));
        assert_eq!(log_tail("START\n", b"", "END\n"), "START\nEND\n");
    }
}
