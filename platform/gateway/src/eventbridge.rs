//! What starts functions by the clock: EventBridge's rules with a schedule, and EventBridge Scheduler.
//!
//! Rules speak JSON 1.1 (service model `events/2015-10-07`), schedules REST (`scheduler/2021-06-30`). Deliberately knows
//! nothing of when anything is due: the catalog keeps what is said here, and the engine reads it there.

mod input;
mod rules;
mod schedules;

use crate::answer::Answer;
use crate::engine::Engine;
use crate::error::{ApiError, ErrorKind};
use crate::gateway::{Inner, answer, blocking};
use catalog::{ScheduleEntry, ScheduleError, ScheduleKey, ScheduleKind};
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

impl<E: Engine> Inner<E> {
    /// Makes or changes a schedule where blocking is allowed; durable when this returns.
    async fn edit_schedule(
        self: &Arc<Self>,
        key: ScheduleKey,
        edit: impl FnOnce(Option<&ScheduleEntry>) -> Result<ScheduleEntry, ApiError> + Send + 'static,
    ) -> Result<Arc<ScheduleEntry>, ApiError> {
        let catalog = Arc::clone(&self.catalog);
        blocking(move || catalog.schedules().edit(&key, unix_ms(), edit)).await?
    }

    /// Removes a schedule; false where there is none.
    async fn remove_schedule(self: &Arc<Self>, key: ScheduleKey) -> Result<bool, ApiError> {
        let catalog = Arc::clone(&self.catalog);
        let removed = blocking(move || catalog.schedules().remove(&key)).await?;
        removed.map_err(|error| ScheduleError::Store(error).into())
    }

    fn schedule(&self, key: &ScheduleKey) -> Result<Arc<ScheduleEntry>, ApiError> {
        let found = self.catalog.schedules().get(key).map(|(entry, _)| entry);
        found.ok_or_else(|| no_schedule(key))
    }
}

impl From<ScheduleError> for ApiError {
    fn from(error: ScheduleError) -> Self {
        match &error {
            ScheduleError::Exists { .. } => Self::new(ErrorKind::Conflict, error.to_string()),
            ScheduleError::NoSchedule { .. } => {
                Self::new(ErrorKind::ResourceNotFound, error.to_string())
            }
            ScheduleError::TooMany { .. } => Self::new(ErrorKind::LimitExceeded, error.to_string()),
            ScheduleError::Store(store) => {
                let is_full = store.is_full();
                let store: &dyn std::error::Error = store;
                tracing::error!(error = store, "a schedule cannot be stored");
                let message = match is_full {
                    true => "The platform's disk is full: make room on it.",
                    false => "The platform's store failed; its log says why.",
                };
                Self::new(ErrorKind::Service, message)
            }
        }
    }
}

fn no_schedule(key: &ScheduleKey) -> ApiError {
    let name = &key.name;
    ApiError::new(
        ErrorKind::ResourceNotFound,
        match key.kind {
            ScheduleKind::Rule => format!("Rule {name} does not exist on EventBus default."),
            ScheduleKind::Schedule => format!("Schedule {name} does not exist."),
        },
    )
}

/// Reads a request's body; nothing counts as an object without members.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    serde_json::from_slice(body)
        .map_err(|error| ApiError::new(ErrorKind::Serialization, error.to_string()))
}

/// Refuses what this platform does not have, by name.
fn refuse(rest: &Map<String, Value>) -> Result<(), ApiError> {
    let asked = rest.iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| name.as_str());
    let names: Vec<_> = asked.collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(invalid(format!("Not supported by this platform, leave it out: {}.", names.join(", "))))
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorKind::Validation, message)
}

fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn json(body: &Value, content_type: &'static str) -> Answer {
    answer(StatusCode::OK, body.to_string().into(), content_type)
}

/// A part of a list: `limit` at most, after the name that the token holds.
fn page<T>(
    all: Vec<T>,
    name: impl Fn(&T) -> &str,
    token: Option<&str>,
    limit: usize,
) -> (Vec<T>, Option<String>) {
    let mut rest = all.into_iter().filter(|it| token.is_none_or(|token| name(it) > token));
    let page: Vec<T> = rest.by_ref().take(limit).collect();
    let next = rest.next().and(page.last().map(|last| name(last).to_owned()));
    (page, next)
}
