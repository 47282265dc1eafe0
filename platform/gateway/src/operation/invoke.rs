//! The operation Invoke: the path that must be fast.
//!
//! Deliberately knows nothing of how a function runs: the engine does.

use super::empty;
use crate::answer::Answer;
use crate::engine::{Engine, EventTarget, Failure, Invoke, LogTail, Reply};
use crate::error::{ApiError, ErrorKind};
use crate::gateway::{Call, Inner, answer};
use crate::reference::Reference;
use crate::settings;
use crate::validation::{Constraint, Violations};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use catalog::{Access, Entry, Function, State, Version};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use model::TenantId;
use serde::de::IgnoredAny;
use std::sync::Arc;

const INVOCATION_TYPE: &str = "x-amz-invocation-type";
const LOG_TYPE: &str = "x-amz-log-type";
const CLIENT_CONTEXT: &str = "x-amz-client-context";
const TRACE_ID: &str = "x-amzn-trace-id";
const EXECUTED_VERSION: HeaderName = HeaderName::from_static("x-amz-executed-version");
const FUNCTION_ERROR: HeaderName = HeaderName::from_static("x-amz-function-error");
const LOG_RESULT: HeaderName = HeaderName::from_static("x-amz-log-result");
/// Bytes of the client context as it is sent, in Base64 (service model, Invoke's ClientContext).
const CLIENT_CONTEXT_MAX: usize = 3583;

/// What an invocation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InvocationType {
    RequestResponse,
    DryRun,
    Event,
}

/// What the headers of an Invoke say.
struct Options {
    kind: InvocationType,
    log_tail: LogTail,
    client_context: Option<Arc<str>>,
}

/// What the headers of an invocation allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Streams {
    /// Invoke.
    No,
    /// InvokeWithResponseStream, which is never asynchronous.
    Yes,
}

/// An invocation that was checked.
pub(crate) enum Prepared {
    /// There is nothing to run.
    Answered(Answer),
    Run {
        invoke: Invoke,
        arn: String,
    },
}

impl<E: Engine> Inner<E> {
    pub(crate) async fn invoke(&self, call: Call<'_>, name: &str) -> Result<Answer, ApiError> {
        let (invoke, arn) = match self.prepare(call, name, Streams::No).await? {
            Prepared::Answered(answer) => return Ok(answer),
            Prepared::Run { invoke, arn } => (invoke, arn),
        };
        let log_tail = invoke.log_tail;
        let version = executed_version(&invoke.function);
        let invoked = self.engine.invoke(invoke).await;
        let log = match log_tail {
            LogTail::Ask => Some(invoked.log),
            LogTail::Skip => None,
        };
        reply_answer(invoked.reply, log, version, &arn)
    }

    /// Checks what is asked, and finds the function.
    pub(crate) async fn prepare(
        &self,
        call: Call<'_>,
        name: &str,
        streams: Streams,
    ) -> Result<Prepared, ApiError> {
        let reference = Reference::parse(name)?;
        let asked = call.query("Qualifier");
        let owner = reference.owner(call.tenant());
        let qualifier = reference.check(owner, &self.region, asked.as_deref())?;
        let options = Options::read(&call.parts.headers, streams)?;
        let none = || ApiError::no_function(&self.arn(owner, reference.name, qualifier));
        let entry = self.catalog.entry(owner, reference.name);
        if owner != call.tenant() {
            let arn = self.arn(owner, reference.name, qualifier);
            check_permission(call.tenant(), entry.as_deref(), qualifier, &arn)?;
        }
        let entry = entry.ok_or_else(none)?;
        let function = entry.pick(qualifier, random_share).ok_or_else(none)?;
        let function = self.settled(function).await.ok_or_else(none)?;
        check_state(&function)?;
        let payload = check_payload(call.body.clone())?;
        match options.kind {
            InvocationType::RequestResponse => {}
            InvocationType::DryRun => {
                return Ok(Prepared::Answered(empty(StatusCode::NO_CONTENT)));
            }
            InvocationType::Event => {
                let target = EventTarget {
                    tenant: owner,
                    name: reference.name.to_owned(),
                    id: entry.latest.id,
                    qualifier: qualifier.map(str::to_owned),
                };
                let call = Call { body: payload, ..call };
                return self
                    .accept(call, target, options.client_context)
                    .await
                    .map(Prepared::Answered);
            }
        }
        let arn = match qualifier {
            None => function.arn(),
            Some(qualifier) => format!("{}:{qualifier}", function.arn()),
        };
        let trace_id = trace_id(&call.parts.headers);
        let invoke = Invoke {
            function,
            request_id: call.request_id,
            payload,
            client_context: options.client_context,
            trace_id,
            function_arn: arn.as_str().into(),
            log_tail: options.log_tail,
            stream: None,
        };
        Ok(Prepared::Run { invoke, arn })
    }
}

impl Options {
    fn read(headers: &HeaderMap, streams: Streams) -> Result<Self, ApiError> {
        let header = |name| headers.get(name).map(|value| value.to_str().unwrap_or("\u{fffd}"));
        let mut violations = Violations::default();
        let kind = match header(INVOCATION_TYPE) {
            None | Some("RequestResponse") => InvocationType::RequestResponse,
            Some("DryRun") => InvocationType::DryRun,
            Some("Event") if streams == Streams::No => InvocationType::Event,
            Some(other) => {
                let known = match streams {
                    Streams::No => "Event, RequestResponse, DryRun",
                    Streams::Yes => "RequestResponse, DryRun",
                };
                violations.add(other, "invocationType", Constraint::OneOf(known));
                InvocationType::DryRun
            }
        };
        let log_tail = match header(LOG_TYPE) {
            None | Some("None") => LogTail::Skip,
            Some("Tail") => LogTail::Ask,
            Some(other) => {
                violations.add(other, "logType", Constraint::OneOf("None, Tail"));
                LogTail::Skip
            }
        };
        violations.finish()?;
        for (name, what) in [
            ("x-amz-tenant-id", "TenantId"),
            ("x-amz-durable-execution-name", "DurableExecutionName"),
        ] {
            if header(name).is_some() {
                return Err(settings::absent(what));
            }
        }
        let client_context = header(CLIENT_CONTEXT).map(decode_context).transpose()?;
        Ok(Self { kind, log_tail, client_context })
    }
}

/// The caller's trace as an X-Ray header: its own, or what its W3C `traceparent` says.
fn trace_id(headers: &HeaderMap) -> Option<Arc<str>> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(own) = header(TRACE_ID) {
        return Some(own.into());
    }
    let mut parts = header("traceparent")?.split('-');
    let (_, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    if !is_hex(trace, 32) || !is_hex(parent, 16) || !is_hex(flags, 2) {
        return None;
    }
    let sampled = u8::from_str_radix(flags, 16).ok()? & 1;
    let (seconds, rest) = trace.split_at(8);
    Some(format!("Root=1-{seconds}-{rest};Parent={parent};Sampled={sampled}").into())
}

/// Refuses an account that is not the owner, unless the policy of just this qualifier lets it in. A function that is not
/// there is refused in the same words.
fn check_permission(
    caller: TenantId,
    entry: Option<&Entry>,
    qualifier: Option<&str>,
    arn: &str,
) -> Result<(), ApiError> {
    let action = "lambda:InvokeFunction";
    let access = Access { account: Some(caller), action, function_url_auth_type: None };
    let of = qualifier.filter(|qualifier| *qualifier != Version::LATEST).unwrap_or("");
    let policy = entry.and_then(|entry| entry.attachments.policies.get(of));
    if policy.is_some_and(|policy| policy.allows(&access)) {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorKind::AccessDenied,
        format!(
            "User: arn:aws:iam::{caller}:root is not authorized to perform: {action} on resource: {arn} \
             because no resource-based policy allows the {action} action"
        ),
    ))
}

fn decode_context(text: &str) -> Result<Arc<str>, ApiError> {
    let bad = |message: String| ApiError::new(ErrorKind::InvalidRequestContent, message);
    if text.len() > CLIENT_CONTEXT_MAX {
        let size = text.len();
        return Err(bad(format!(
            "Client context is {size} bytes in Base64, must be at most {CLIENT_CONTEXT_MAX} bytes."
        )));
    }
    let json = BASE64_STANDARD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    match json {
        Some(json) if is_json(json.as_bytes()).is_ok() => Ok(json.into()),
        _ => Err(bad("Client context must be a valid Base64-encoded JSON object.".to_owned())),
    }
}

/// The event: what was sent, or `{}` for nothing.
pub(super) fn check_payload(payload: Bytes) -> Result<Bytes, ApiError> {
    if payload.is_empty() {
        return Ok(Bytes::from_static(b"{}"));
    }
    match is_json(&payload) {
        Ok(()) => Ok(payload),
        Err(why) => Err(ApiError::new(
            ErrorKind::InvalidRequestContent,
            format!("Could not parse request body into json: {why}"),
        )),
    }
}

fn is_json(bytes: &[u8]) -> Result<(), String> {
    std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    serde_json::from_slice::<IgnoredAny>(bytes).map(drop).map_err(|error| error.to_string())
}

pub(crate) fn check_state(function: &Function) -> Result<(), ApiError> {
    let (state, why) = match (&function.state, &function.last_update) {
        (State::Failed { reason, .. }, _) => ("Failed", reason.as_str()),
        (State::Pending, _) | (_, State::Pending) => ("Pending", ""),
        _ => return Ok(()),
    };
    let message = format!(
        "The operation cannot be performed at this time. The function is currently in the \
         following state: {state} {why}"
    );
    Err(ApiError::new(ErrorKind::ResourceConflict, message.trim_end()))
}

/// Tells which version ran.
pub(crate) fn executed_version(function: &Function) -> (HeaderName, HeaderValue) {
    let version = match function.version {
        Version::Latest => HeaderValue::from_static(Version::LATEST),
        Version::Number(number) => HeaderValue::from(number),
    };
    (EXECUTED_VERSION, version)
}

fn reply_answer(
    reply: Reply,
    log: Option<Bytes>,
    version: (HeaderName, HeaderValue),
    arn: &str,
) -> Result<Answer, ApiError> {
    let (payload, is_error) = match reply {
        Reply::Payload(payload) => (payload, false),
        // Asked for by nobody here.
        Reply::Streamed => (Bytes::new(), false),
        Reply::FunctionError(payload) => (payload, true),
        Reply::Failure(failure) => return Err(failure_error(failure, arn)),
    };
    let mut answer = answer(StatusCode::OK, payload, "application/json");
    let headers = answer.headers_mut();
    headers.insert(version.0, version.1);
    if is_error {
        headers.insert(FUNCTION_ERROR, HeaderValue::from_static("Unhandled"));
    }
    if let Some(log) = log {
        let value = HeaderValue::try_from(BASE64_STANDARD.encode(&log));
        headers.insert(LOG_RESULT, value.expect("Base64 is a header value"));
    }
    Ok(answer)
}

pub(crate) fn failure_error(failure: Failure, arn: &str) -> ApiError {
    match failure {
        Failure::ReservedConcurrency => {
            ApiError::throttled("ReservedFunctionConcurrentInvocationLimitExceeded")
        }
        Failure::AccountConcurrency => ApiError::throttled("ConcurrentInvocationLimitExceeded"),
        Failure::NoFunction => ApiError::no_function(arn),
        Failure::Unavailable(why) => ApiError::new(ErrorKind::Service, why),
    }
}

/// A number from 0.0 up to, but not including, 1.0, by which an alias with weights picks a version.
pub(crate) fn random_share() -> f64 {
    const BITS: u32 = 53;
    let random = uuid::Uuid::new_v4().as_u128();
    // A random UUID has its fixed bits above the low 62.
    let bits = u64::try_from(random & ((1 << BITS) - 1)).unwrap_or(0);
    bits as f64 / (1_u64 << BITS) as f64
}
