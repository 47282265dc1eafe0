//! Asynchronous invocations: an event is answered with 202 once it is on disk.
//!
//! Deliberately knows nothing of when it is run.

use super::empty;
use super::invoke::check_payload;
use crate::answer::Answer;
use crate::engine::{Accept, Engine, EventTarget, NotAccepted};
use crate::error::{ApiError, ErrorKind};
use crate::gateway::{Call, Inner};
use crate::reference::Reference;
use http::StatusCode;
use std::sync::Arc;

const TRACE_ID: &str = "x-amzn-trace-id";
/// Bytes of an asynchronous invocation's payload (AWS Lambda quotas, 2026-11).
const EVENT_BYTES: usize = 1 << 20;

impl<E: Engine> Inner<E> {
    /// InvokeAsync, which older clients use in place of Invoke.
    pub(super) async fn invoke_async(
        &self,
        mut call: Call<'_>,
        name: &str,
    ) -> Result<Answer, ApiError> {
        let reference = Reference::parse(name)?;
        let qualifier = reference.check(call.tenant(), &self.region, None)?;
        let none = || ApiError::no_function(&self.arn(call.tenant(), reference.name, qualifier));
        let entry = self.catalog.entry(call.tenant(), reference.name).ok_or_else(none)?;
        entry.resolve(qualifier).ok_or_else(none)?;
        call.body = check_payload(call.body)?;
        let target = EventTarget {
            tenant: call.tenant(),
            name: reference.name.to_owned(),
            id: entry.latest.id,
            qualifier: qualifier.map(str::to_owned),
        };
        self.accept(call, target, None).await
    }

    /// Takes the call's body in as an event.
    pub(super) async fn accept(
        &self,
        call: Call<'_>,
        target: EventTarget,
        client_context: Option<Arc<str>>,
    ) -> Result<Answer, ApiError> {
        let size = call.body.len();
        if size > EVENT_BYTES {
            return Err(ApiError::new(
                ErrorKind::RequestTooLarge,
                format!(
                    "{size} byte payload is too large for the Event invocation type (limit \
                     {EVENT_BYTES} bytes)"
                ),
            ));
        }
        let arn = self.arn(target.tenant, &target.name, target.qualifier.as_deref());
        let trace_id = call.parts.headers.get(TRACE_ID).and_then(|value| value.to_str().ok());
        let event = Accept {
            function: target,
            request_id: call.request_id,
            payload: call.body,
            client_context,
            trace_id: trace_id.map(Arc::from),
        };
        match self.engine.accept(event).await {
            Ok(()) => Ok(empty(StatusCode::ACCEPTED)),
            Err(NotAccepted::NoFunction) => Err(ApiError::no_function(&arn)),
            Err(NotAccepted::Loop(why)) => Err(ApiError::new(ErrorKind::RecursiveInvocation, why)),
            Err(NotAccepted::Full(why)) => {
                Err(ApiError::throttled_because("FunctionInvocationRateLimitExceeded", why))
            }
            Err(NotAccepted::Store(why)) => Err(ApiError::new(ErrorKind::Service, why)),
        }
    }
}
