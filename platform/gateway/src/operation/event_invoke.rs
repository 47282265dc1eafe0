//! EventInvokeConfig: how asynchronous events of a function, a version or an alias are treated.

use crate::answer::Answer;
use crate::engine::Engine;
use crate::error::{ApiError, ErrorKind};
use crate::gateway::{Call, Inner, answer, blocking, json_answer};
use crate::reference::{LATEST, Reference};
use crate::validation::Violations;
use bytes::Bytes;
use catalog::{EditError, EventInvoke};
use http::StatusCode;
use model::TenantId;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Retries, and seconds of age, that may be asked for (service model).
const RETRIES: (i64, i64) = (0, 2);
const AGE_S: (i64, i64) = (60, 21_600);
/// Configurations of a function: at most as many as it has versions and aliases, so all of them are on one page.
const PAGE_MAX: usize = 50;

#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Destination {
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<String>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Destinations {
    on_success: Option<Destination>,
    on_failure: Option<Destination>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Asked {
    maximum_retry_attempts: Option<i64>,
    maximum_event_age_in_seconds: Option<i64>,
    destination_config: Option<Destinations>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    last_modified: f64,
    function_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum_retry_attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum_event_age_in_seconds: Option<u32>,
    destination_config: Destinations,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct List {
    function_event_invoke_configs: Vec<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
}

/// Whether what is not said stays.
#[derive(Clone, Copy)]
pub(super) enum Change {
    Put,
    Update,
}

/// What a configuration belongs to.
struct Of {
    tenant: TenantId,
    name: String,
    qualifier: String,
    arn: String,
}

impl<E: Engine> Inner<E> {
    /// PutFunctionEventInvokeConfig and UpdateFunctionEventInvokeConfig.
    pub(super) async fn change_event_invoke(
        self: &Arc<Self>,
        call: Call<'_>,
        name: &str,
        change: Change,
    ) -> Result<Answer, ApiError> {
        let of = self.event_invoke_of(&call, name)?;
        let asked: Asked = super::parse(&call.body)?;
        let next = self.check_event_invoke(of.tenant, asked)?;
        let keeper = Arc::clone(self);
        let shown = blocking(move || {
            keeper.catalog.edit(of.tenant, &of.name, |_, attachments| {
                let known = attachments.event_invokes.get(&of.qualifier);
                let made = match (change, known) {
                    (Change::Put, _) => next,
                    (Change::Update, None) => return Err(none(&of.arn)),
                    (Change::Update, Some(known)) => EventInvoke {
                        retries: next.retries.or(known.retries),
                        age_s: next.age_s.or(known.age_s),
                        on_success: next.on_success.or_else(|| known.on_success.clone()),
                        on_failure: next.on_failure.or_else(|| known.on_failure.clone()),
                        modified_unix_ms: next.modified_unix_ms,
                    },
                };
                attachments.event_invokes.insert(of.qualifier.clone(), made.clone());
                Ok(shown(of.arn, &made))
            })
        })
        .await??;
        json_answer(StatusCode::OK, &shown)
    }

    pub(super) fn get_event_invoke(&self, call: &Call<'_>, name: &str) -> Result<Answer, ApiError> {
        let of = self.event_invoke_of(call, name)?;
        let entry = self.catalog.entry(of.tenant, &of.name);
        let found = entry.and_then(|it| it.attachments.event_invokes.get(&of.qualifier).cloned());
        let found = found.ok_or_else(|| none(&of.arn))?;
        json_answer(StatusCode::OK, &shown(of.arn, &found))
    }

    pub(super) async fn delete_event_invoke(
        self: &Arc<Self>,
        call: Call<'_>,
        name: &str,
    ) -> Result<Answer, ApiError> {
        let of = self.event_invoke_of(&call, name)?;
        let keeper = Arc::clone(self);
        blocking(move || {
            keeper.catalog.edit(of.tenant, &of.name, |_, attachments| {
                let gone = attachments.event_invokes.remove(&of.qualifier);
                gone.map(drop).ok_or_else(|| none(&of.arn))
            })
        })
        .await??;
        Ok(answer(StatusCode::NO_CONTENT, Bytes::new(), "application/json"))
    }

    pub(super) fn list_event_invokes(
        &self,
        call: &Call<'_>,
        name: &str,
    ) -> Result<Answer, ApiError> {
        let of = self.event_invoke_of(call, name)?;
        let page = super::PageOf::read(call, PAGE_MAX as i64, PAGE_MAX)?;
        let entry = self.catalog.entry(of.tenant, &of.name);
        let all = entry.map(|it| it.attachments.event_invokes.clone()).unwrap_or_default();
        let mut rest = all.iter().filter(|(it, _)| page.after.as_ref().is_none_or(|a| *it > a));
        let found: Vec<_> = rest.by_ref().take(page.limit).collect();
        let next = rest.next().and(found.last().map(|(qualifier, _)| *qualifier));
        let next_marker = next.map(|qualifier| super::marker(qualifier));
        let shown = found
            .into_iter()
            .map(|(qualifier, it)| shown(self.arn(of.tenant, &of.name, Some(qualifier)), it));
        json_answer(
            StatusCode::OK,
            &List { function_event_invoke_configs: shown.collect(), next_marker },
        )
    }

    /// What a request names; the version or alias must exist.
    fn event_invoke_of(&self, call: &Call<'_>, name: &str) -> Result<Of, ApiError> {
        let reference = Reference::parse(name)?;
        let asked = call.query("Qualifier");
        let qualifier = reference.check(call.tenant(), &self.region, asked.as_deref())?;
        let tenant = call.tenant();
        let entry = self.catalog.entry(tenant, reference.name);
        if entry.is_none_or(|entry| entry.target(qualifier).is_none()) {
            return Err(ApiError::no_function(&self.arn(tenant, reference.name, qualifier)));
        }
        let qualifier = qualifier.unwrap_or(LATEST).to_owned();
        let arn = self.arn(tenant, reference.name, Some(&qualifier));
        Ok(Of { tenant, name: reference.name.to_owned(), qualifier, arn })
    }

    fn check_event_invoke(&self, tenant: TenantId, asked: Asked) -> Result<EventInvoke, ApiError> {
        let mut violations = Violations::default();
        let retries = asked.maximum_retry_attempts;
        if let Some(retries) = retries {
            violations.check_range(retries, "maximumRetryAttempts", RETRIES);
        }
        let age_s = asked.maximum_event_age_in_seconds;
        if let Some(age) = age_s {
            violations.check_range(age, "maximumEventAgeInSeconds", AGE_S);
        }
        violations.finish()?;
        let Destinations { on_success, on_failure } = asked.destination_config.unwrap_or_default();
        let check = |destination: Option<Destination>| {
            let arn = destination.and_then(|it| it.destination).filter(|arn| !arn.is_empty());
            arn.map(|arn| self.check_destination(tenant, &arn).map(|()| arn)).transpose()
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Ok(EventInvoke {
            retries: retries.and_then(|it| u32::try_from(it).ok()),
            age_s: age_s.and_then(|it| u32::try_from(it).ok()),
            on_success: check(on_success)?,
            on_failure: check(on_failure)?,
            modified_unix_ms: u64::try_from(now).unwrap_or(u64::MAX),
        })
    }

    /// Only functions can be told of ends: there are no queues, topics and buses here.
    fn check_destination(&self, tenant: TenantId, arn: &str) -> Result<(), ApiError> {
        let parts: Vec<&str> = arn.split(':').collect();
        let (name, qualifier) = match parts[..] {
            ["arn", _, "lambda", _, _, "function", name] => (name, None),
            ["arn", _, "lambda", _, _, "function", name, qualifier] => (name, Some(qualifier)),
            _ => {
                return Err(ApiError::parameter(format!(
                    "The destination {arn} is not supported by this platform, which has no queues, topics or event buses: \
                     name a function, arn:aws:lambda:{}:{tenant}:function:NAME.",
                    self.region
                )));
            }
        };
        let account = tenant.to_string();
        let is_ours = parts[3] == self.region && parts[4] == account;
        let entry = self.catalog.entry(tenant, name).filter(|_| is_ours);
        match entry.is_some_and(|entry| entry.target(qualifier).is_some()) {
            true => Ok(()),
            false => Err(ApiError::parameter(format!(
                "The destination ARN {arn} is invalid: this account has no such function in {}.",
                self.region
            ))),
        }
    }
}

fn shown(function_arn: String, it: &EventInvoke) -> Shown {
    let destination = |arn: &Option<String>| Some(Destination { destination: arn.clone() });
    Shown {
        last_modified: it.modified_unix_ms as f64 / 1000.0,
        function_arn,
        maximum_retry_attempts: it.retries,
        maximum_event_age_in_seconds: it.age_s,
        destination_config: Destinations {
            on_success: destination(&it.on_success),
            on_failure: destination(&it.on_failure),
        },
    }
}

fn none(arn: &str) -> ApiError {
    let message = format!("The function {arn} doesn't have an EventInvokeConfig");
    ApiError::new(ErrorKind::ResourceNotFound, message)
}

impl From<EditError> for ApiError {
    fn from(error: EditError) -> Self {
        match error {
            EditError::NoFunction { name } => Self::no_function(&name),
            EditError::Store(error) => super::store_error(error),
        }
    }
}
