//! `peek fn invoke`: one invocation.

use super::put::FUNCTIONS;
use super::{FUNCTION_FAILED, Output, with_client};
use crate::client::{Answer, Ask, Where, encode};
use anyhow::{Context, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::Duration;

/// How long an invocation may take: the longest time limit that a function can have, and time to queue and start.
const LIMIT: Duration = Duration::from_secs(900 + 120);
/// Longest payload, bytes (AWS Lambda quotas, 2026-11); a longer one is not sent.
const PAYLOAD_BYTES: usize = 6 << 20;

/// Options of `peek fn invoke`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Name or ARN of the function; NAME:QUALIFIER names a version or alias.
    function: String,
    /// The event: JSON, @FILE, or - for standard input.
    #[arg(default_value = "{}")]
    payload: String,
    /// Do not wait: have the event accepted, and run later.
    #[arg(long, conflicts_with = "log")]
    r#async: bool,
    /// Print the end of the invocation's log to standard error.
    #[arg(long, short)]
    log: bool,
    /// Version or alias.
    #[arg(long, short, value_name = "NAME")]
    qualifier: Option<String>,
    /// JSON that the function finds in its client context.
    #[arg(long, value_name = "JSON")]
    client_context: Option<String>,
    /// `text` prints what the function returned, as it came; `json` status, version, error and payload.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    place: Where,
}

/// Invokes.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let payload = payload(&arguments.payload)?;
    with_client(&arguments.place, async |client| {
        let mut path = format!("{FUNCTIONS}/{}/invocations", encode(&arguments.function));
        if let Some(qualifier) = &arguments.qualifier {
            path.push_str(&format!("?Qualifier={}", encode(qualifier)));
        }
        let mut ask = Ask::lambda(Method::POST, path).body(payload).limit(LIMIT);
        if arguments.r#async {
            ask = ask.header("x-amz-invocation-type", "Event");
        }
        if arguments.log {
            ask = ask.header("x-amz-log-type", "Tail");
        }
        if let Some(context) = &arguments.client_context {
            ask = ask.header("x-amz-client-context", BASE64_STANDARD.encode(context));
        }
        // Once: an invocation that was throttled is for the caller to repeat.
        let answer = client.attempt(&ask).await;
        let answer = answer.with_context(|| format!("cannot invoke {}", arguments.function))?;
        print(&answer, arguments.output)
    })
}

/// The event: what is given, or what stands in a file or comes in. Errors: no JSON, or too long.
fn payload(given: &str) -> anyhow::Result<Vec<u8>> {
    let (bytes, place) = match given.strip_prefix('@') {
        Some(file) => {
            let bytes =
                std::fs::read(file).with_context(|| format!("cannot read the payload {file}"))?;
            (bytes, file.to_owned())
        }
        None if given == "-" => {
            let mut bytes = Vec::new();
            let limit = PAYLOAD_BYTES as u64 + 1;
            let read = std::io::stdin().lock().take(limit).read_to_end(&mut bytes);
            read.context("cannot read the payload from standard input")?;
            (bytes, "standard input".to_owned())
        }
        None => (given.as_bytes().to_vec(), "the command line".to_owned()),
    };
    if bytes.len() > PAYLOAD_BYTES {
        bail!(
            "the payload from {place} is longer than {PAYLOAD_BYTES} bytes, the most that Lambda takes"
        );
    }
    if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(&bytes)
        && !bytes.is_empty()
    {
        bail!(
            "the payload from {place} is no JSON: {error}; text is written '\"text\"', a file @FILE"
        );
    }
    Ok(bytes)
}

fn print(answer: &Answer, output: Output) -> anyhow::Result<ExitCode> {
    let error = answer.header("x-amz-function-error");
    let log = answer.header("x-amz-log-result").and_then(|log| BASE64_STANDARD.decode(log).ok());
    let log = log.map(|log| String::from_utf8_lossy(&log).into_owned());
    let mut stdout = std::io::stdout().lock();
    match output {
        Output::Json => {
            let payload = serde_json::from_slice(&answer.body);
            let payload = payload.unwrap_or_else(|_| {
                json!((!answer.body.is_empty()).then(|| String::from_utf8_lossy(&answer.body)))
            });
            let result = json!({
                "StatusCode": answer.status,
                "FunctionError": error,
                "ExecutedVersion": answer.header("x-amz-executed-version"),
                "RequestId": answer.header("x-amzn-requestid"),
                "LogResult": log,
                "Payload": payload,
            });
            writeln!(stdout, "{result:#}").context("cannot print")?;
        }
        Output::Text => {
            if let Some(log) = log {
                eprintln!("{}", log.trim_end());
            }
            if answer.status == 202 {
                eprintln!(
                    "accepted: request id {}",
                    answer.header("x-amzn-requestid").unwrap_or("?")
                );
            } else {
                stdout
                    .write_all(&answer.body)
                    .and_then(|()| stdout.write_all(b"\n"))
                    .context("cannot print")?;
            }
        }
    }
    if error.is_none() {
        return Ok(ExitCode::SUCCESS);
    }
    if output == Output::Text {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let text =
            |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let words =
            [text("errorType"), text("errorMessage")].into_iter().filter(|it| !it.is_empty());
        let words = words.collect::<Vec<_>>().join(": ");
        eprintln!("peek: the function failed: {words}");
    }
    Ok(ExitCode::from(FUNCTION_FAILED))
}

#[cfg(test)]
mod tests {
    use super::*;

    // A payload is JSON from wherever it is named; anything else is refused before it is sent, with what to write.
    #[test]
    fn payloads_are_json() {
        assert_eq!(payload("{\"a\": 1}").expect("JSON"), b"{\"a\": 1}");
        let file = std::env::temp_dir().join(format!("peek-payload-{}", std::process::id()));
        std::fs::write(&file, "[1]").expect("written");
        assert_eq!(payload(&format!("@{}", file.display())).expect("JSON"), b"[1]");
        std::fs::remove_file(&file).expect("removed");
        let error = payload("text").expect_err("no JSON").to_string();
        assert!(error.contains("@FILE"), "{error}");
        assert!(payload("@/absent").is_err());
    }
}
