//! One invocation: prepared before its time, sent at it, and written down.

use crate::clock::Clock;
use crate::report::PlatformReport;
use crate::uri::Url;
use crate::wire::{Connection, ExchangeError, Keys, Pool, Post, Reply};
use experiment::{Report, Sent};
use model::{Span, Time};
use probe::{Request, Response};
use record::{Outcome, Record};
use serde_json::{Value, json};

/// Attempts of one invocation, the first included, where it may be repeated at all.
const ATTEMPTS: u32 = 4;
/// Wait before the second attempt; it doubles with each further one.
const BACKOFF: Span = Span::from_millis(200);
/// How long before its time an invocation is signed and has its connection.
const AHEAD: Span = Span::from_secs(1);
/// How long before its time a connection is looked at again.
const RECHECK: Span = Span::from_millis(10);
/// What the platform may take beside the function's own limit before an answer counts as missing.
const GRACE: Span = Span::from_secs(30);

/// Who invokes, and by what.
#[derive(Clone, Copy)]
pub(crate) struct Invoker<'a> {
    pub(crate) clock: &'a Clock,
    pub(crate) url: &'a Url,
    pub(crate) pool: &'a Pool,
    pub(crate) keys: &'a Keys,
}

/// What is invoked.
#[derive(Clone, Copy)]
pub(crate) struct Invocation<'a> {
    pub(crate) function: &'a str,
    /// The function's own limit.
    pub(crate) timeout: Span,
    pub(crate) request: &'a Request,
    pub(crate) sent: Sent,
}

/// How an invocation went, over its attempts.
pub(crate) struct Done {
    pub(crate) attempts: u32,
    pub(crate) last: Attempt,
}

/// The last attempt.
pub(crate) struct Attempt {
    /// What its connection took to be set up; zero where it was open.
    pub(crate) connect: Span,
    pub(crate) sent: Time,
    pub(crate) received: Time,
    pub(crate) reply: Result<Reply, Failure>,
}

/// Why there was no reply.
pub(crate) enum Failure {
    /// Nothing left this machine: it cannot have run.
    NotSent(String),
    /// It may have run.
    Lost(String),
    /// The vantage point's limit passed.
    TimedOut(Span),
}

impl Invoker<'_> {
    /// Runs one invocation to its end. What was refused, or never left, is repeated within bounds; what may have run is not.
    pub(crate) async fn invoke(&self, invocation: Invocation<'_>) -> Done {
        // A request that belongs to others at one moment has no meaning later.
        let alone = invocation.request.barrier_unix_ns.is_none()
            && invocation.request.hold_until_unix_ns.is_none();
        let limit = if alone { ATTEMPTS } else { 1 };
        let (mut at, mut wait, mut attempts) = (invocation.sent.intended, BACKOFF, 1);
        loop {
            let last = self.attempt(&invocation, at).await;
            let repeatable = match &last.reply {
                Ok(reply) => matches!(reply.status, 429 | 503),
                Err(failure) => matches!(failure, Failure::NotSent(_)),
            };
            if !repeatable || attempts >= limit {
                return Done { attempts, last };
            }
            attempts += 1;
            at = self.clock.now() + wait;
            wait += wait;
        }
    }

    async fn attempt(&self, invocation: &Invocation<'_>, at: Time) -> Attempt {
        self.clock.sleep_until(before(at, AHEAD)).await;
        let (bytes, mut connection) = match self.prepare(invocation, at).await {
            Ok(prepared) => prepared,
            Err(failure) => {
                let now = self.clock.now();
                let (connect, reply) = (Span::ZERO, Err(failure));
                return Attempt { connect, sent: now, received: now, reply };
            }
        };
        let connect = connection.take_set_up();
        let limit = invocation.timeout + GRACE;
        let (sent, rest) = self.send(&mut connection, bytes, at).await;
        let exchange = async {
            let rest = rest?;
            if !rest.is_empty() {
                // Who refuses a request by its size answers and closes before having read all of it: then that is the
                // answer, and where it is lost, a second try would be, too.
                drop(connection.send(&rest).await);
            }
            connection.receive().await
        };
        let reply = tokio::time::timeout(limit.into(), exchange).await;
        let received = self.clock.now();
        let reply = match reply {
            Ok(Ok(reply)) => {
                if reply.reusable {
                    self.pool.put(connection);
                }
                Ok(reply)
            }
            Ok(Err(error @ ExchangeError::Send(_))) => Err(Failure::NotSent(error.to_string())),
            Ok(Err(error)) => Err(Failure::Lost(error.to_string())),
            Err(_) => Err(Failure::TimedOut(limit)),
        };
        Attempt { connect, sent, received, reply }
    }

    /// Sends at the moment: returns when that was, and what is left to be sent.
    async fn send(
        &self,
        connection: &mut Connection,
        bytes: Vec<u8>,
        at: Time,
    ) -> (Time, Result<Vec<u8>, ExchangeError>) {
        let Some(socket) = connection.socket() else {
            self.clock.sleep_until(at).await;
            return (self.clock.now(), Ok(bytes));
        };
        let (launched, mut bytes) = self.clock.launch(at, socket, bytes).await;
        let rest = launched.taken.map_err(ExchangeError::Send);
        (launched.at, rest.map(|taken| bytes.split_off(taken)))
    }

    /// The signed bytes and an open connection, which is looked at again where it had to wait for its time: the other
    /// side may have closed it.
    async fn prepare(
        &self,
        invocation: &Invocation<'_>,
        at: Time,
    ) -> Result<(Vec<u8>, Connection), Failure> {
        let not_sent = |error: &dyn std::fmt::Display| Failure::NotSent(error.to_string());
        let body = serde_json::to_vec(invocation.request).map_err(|e| not_sent(&e))?;
        let mut headers = vec![("content-type", "application/json")];
        if invocation.sent.report == Report::Ask {
            headers.push(("x-amz-log-type", "Tail"));
        }
        let path = format!("/2015-03-31/functions/{}/invocations", invocation.function);
        let post = Post { url: self.url, path: &path, headers: &headers, body: &body };
        let connection = self.pool.take().await.map_err(|e| not_sent(&e))?;
        let bytes = self.keys.sign(post).await.map_err(|e| not_sent(&e))?;
        let recheck = before(at, RECHECK);
        if self.clock.now() >= recheck {
            return Ok((bytes, connection));
        }
        self.clock.sleep_until(recheck).await;
        if connection.is_quiet() {
            return Ok((bytes, connection));
        }
        let fresh = self.pool.take().await.map_err(|e| not_sent(&e))?;
        Ok((bytes, fresh))
    }
}

fn before(at: Time, span: Span) -> Time {
    Time::from_nanos(at.as_nanos().saturating_sub(span.as_nanos()))
}

impl Done {
    /// Writes down what is known of the outcome, from the reply and what the probe says in it.
    pub(crate) fn fill(&self, record: &mut Record) {
        record.attempts = self.attempts;
        record.connect_ns = self.last.connect.as_nanos();
        record.sent_ns = self.last.sent.as_nanos();
        record.received_ns = self.last.received.as_nanos();
        let reply = match &self.last.reply {
            Ok(reply) => reply,
            Err(Failure::NotSent(error) | Failure::Lost(error)) => {
                (record.outcome, record.error) = (Outcome::Failed, error.clone());
                return;
            }
            Err(Failure::TimedOut(limit)) => {
                record.outcome = Outcome::TimedOut;
                record.error = format!("no answer within {limit}");
                return;
            }
        };
        let header = |name| reply.header(name).unwrap_or_default().to_owned();
        record.http_status = reply.status;
        record.request_id = header("x-amzn-requestid");
        if let Some(log) = reply.header("x-amz-log-result") {
            fill_report(PlatformReport::from_log_result(log).unwrap_or_default(), record);
        }
        (record.outcome, record.error) = match (reply.status, reply.header("x-amz-function-error"))
        {
            (200, Some(kind)) => (Outcome::FunctionError, error_in(&reply.body, kind)),
            (200, None) => match serde_json::from_slice::<Response>(&reply.body) {
                Ok(response) if !response.instance.is_empty() => {
                    fill_response(response, record);
                    (Outcome::Ok, String::new())
                }
                Ok(_) => (Outcome::Failed, "answer is not the probe's: no instance".to_owned()),
                Err(error) => (Outcome::Failed, format!("answer is not the probe's: {error}")),
            },
            (429, _) => (Outcome::Throttled, error_in(&reply.body, &header("x-amzn-errortype"))),
            _ => (Outcome::Failed, error_in(&reply.body, &header("x-amzn-errortype"))),
        };
    }
}

fn fill_report(report: PlatformReport, record: &mut Record) {
    record.duration_ms = report.duration_ms;
    record.billed_ms = report.billed_ms;
    record.init_duration_ms = report.init_duration_ms;
    record.max_memory_mib = report.max_memory_mib;
}

/// Writes down what the probe says.
pub(crate) fn fill_response(response: Response, record: &mut Record) {
    record.detail = detail(&response);
    record.started_unix_ns = response.started_unix_ns;
    record.finished_unix_ns = response.finished_unix_ns;
    record.function_ns = response.duration_ns;
    record.init_unix_ns = response.init_unix_ns;
    record.instance = response.instance;
    record.instance_invocations = response.invocations;
    record.version = response.version;
    record.mark = response.mark;
    record.memory_seen_mib = response.memory_mib;
    record.initialization = response.initialization;
    if let Some(identity) = response.identity {
        record.host_ids = identity.host_ids;
        record.uptime_s = identity.uptime_s;
        record.cpu_model = identity.cpu_model;
        record.cpu_count = identity.cpu_count;
        record.host_memory_mib = identity.host_memory_mib;
    }
}

/// What of the probe's answer has no column, in the probe's own schema; empty where there is nothing.
fn detail(response: &Response) -> String {
    let rest = json!({
        "identity": response.identity.as_ref().map(|identity| json!({
            "hostname": identity.hostname,
            "kernel": identity.kernel,
            "addresses": identity.addresses,
        })),
        "exposure": response.exposure,
        "disk_before": response.disk_before,
        "disk_after": response.disk_after,
        "cpu": response.cpu,
        "disk": response.disk,
        "fill": response.fill,
        "network": response.network,
        "background": response.background,
        "problems": Some(&response.problems).filter(|problems| !problems.is_empty()),
    });
    match rest {
        Value::Object(mut parts) => {
            parts.retain(|_, part| !part.is_null());
            if parts.is_empty() { String::new() } else { Value::Object(parts).to_string() }
        }
        other => other.to_string(),
    }
}

/// An error's type and message, from either shape of JSON that Lambda uses, else the first of the text.
fn error_in(body: &[u8], kind: &str) -> String {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |names: [&str; 3]| names.iter().find_map(|name| json.get(name)?.as_str());
    let message = text(["errorMessage", "Message", "message"]);
    let kind = text(["errorType", "__type", "code"]).unwrap_or(kind);
    match (kind, message) {
        ("", Some(message)) => message.to_owned(),
        (kind, Some(message)) => format!("{kind}: {message}"),
        (kind, None) => {
            let start: String = String::from_utf8_lossy(body).chars().take(200).collect();
            format!("{kind}: {start}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Both shapes of an error read the same, and what is no JSON is quoted.
    #[test]
    fn errors_read_well() {
        let function = br#"{"errorMessage":"no","errorType":"Probe"}"#;
        assert_eq!(error_in(function, "Unhandled"), "Probe: no");
        let api = br#"{"Type":"User","Message":"Rate Exceeded."}"#;
        assert_eq!(
            error_in(api, "TooManyRequestsException"),
            "TooManyRequestsException: Rate Exceeded."
        );
        assert_eq!(error_in(b"<html>", ""), ": <html>");
    }

    // Only what was asked for is in the detail, and it reads back as the probe's answer.
    #[test]
    fn details_hold_what_has_no_column() {
        let mut response = Response { instance: "i".to_owned(), ..Response::default() };
        assert_eq!(detail(&response), "");
        response.cpu = Some(probe::CpuResult { threads: 2, ..probe::CpuResult::default() });
        response.problems.insert("disk".to_owned(), "no".to_owned());
        let text = detail(&response);
        let back: Response = serde_json::from_str(&text).expect("the probe's schema");
        assert_eq!((back.cpu, back.problems), (response.cpu, response.problems));
        assert!(!text.contains("exposure"));
    }
}
