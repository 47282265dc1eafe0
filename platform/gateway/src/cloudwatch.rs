//! The operations of CloudWatch Logs that show what functions wrote: JSON in, JSON out, the operation in a header.
//!
//! Names of operations, members and errors are those of the service model `logs/2014-03-28` of botocore 1.44.5; an
//! operation that is not here is refused by its name. Deliberately knows nothing of how logs are kept.

mod fault;
mod operation;
mod shape;

pub(crate) use fault::error_answer;

use crate::engine::Engine;
use crate::gateway::{Answer, Call, Inner, answer, blocking};
use bytes::Bytes;
use fault::Fault;
use http::StatusCode;
use http::request::Parts;
use logs::Logs;
use model::TenantId;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

/// Header that names the operation, and what its value begins with.
const TARGET: &str = "x-amz-target";
const PREFIX: &str = "Logs_20140328.";
const CONTENT_TYPE: &str = "application/x-amz-json-1.1";
/// Questions that are worked on at once: each may read 16 MiB of files. Further ones wait.
const QUESTIONS: usize = 4;

/// The logs of the platform, and who may read them at once.
pub(crate) struct LogService {
    logs: Logs,
    questions: Semaphore,
}

impl LogService {
    pub fn new(logs: Logs) -> Self {
        Self { logs, questions: Semaphore::new(QUESTIONS) }
    }
}

/// Who asks, and where; what every operation needs.
#[derive(Clone)]
pub(crate) struct Asker {
    pub tenant: TenantId,
    pub region: String,
    pub logs: Logs,
}

/// Whether a request is in this service's protocol, signed for it or not.
pub(crate) fn is_meant(parts: &Parts) -> bool {
    target(parts).is_some_and(|target| target.starts_with("Logs_"))
}

fn target(parts: &Parts) -> Option<&str> {
    parts.headers.get(TARGET)?.to_str().ok()
}

impl<E: Engine> Inner<E> {
    /// Answers a request that was signed for CloudWatch Logs.
    pub(crate) async fn log_service(&self, call: &Call<'_>) -> Answer {
        self.try_log_service(call).await.unwrap_or_else(|fault| fault.answer())
    }

    async fn try_log_service(&self, call: &Call<'_>) -> Result<Answer, Fault> {
        let Some(service) = &self.logs else {
            return Err(Fault::unavailable("this platform keeps no logs"));
        };
        let operation = target(call.parts).and_then(|target| target.strip_prefix(PREFIX));
        let operation = operation.and_then(operation::find).ok_or_else(|| {
            let name = operation.unwrap_or_default();
            match operation::is_known(name) {
                true => Fault::absent(name),
                false => Fault::unknown(),
            }
        })?;
        let wait = tokio::time::timeout(self.limits.stall_time, service.questions.acquire());
        let Ok(Ok(_place)) = wait.await else {
            return Err(Fault::unavailable("too many questions about logs at once: try again"));
        };
        let asker = Asker {
            tenant: call.tenant(),
            region: self.region.clone(),
            logs: service.logs.clone(),
        };
        let body = call.body.clone();
        let answered = blocking(move || operation(&asker, &body)).await;
        let body = answered.map_err(|error| Fault::internal(error.message()))??;
        Ok(answer(StatusCode::OK, body, CONTENT_TYPE))
    }
}

/// Reads a request's members.
fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Fault> {
    let body: &[u8] = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| Fault::serialization(&error.to_string()))
}

fn write(members: &impl Serialize) -> Result<Bytes, Fault> {
    match serde_json::to_vec(members) {
        Ok(body) => Ok(body.into()),
        Err(error) => Err(Fault::internal(&error.to_string())),
    }
}
