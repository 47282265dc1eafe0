//! Reserved and provisioned concurrency.
//!
//! What is reserved or provisioned is taken from the account's limit, of which 100 invocations stay for the functions that
//! have reserved nothing.

use super::{PageOf, empty, finish, marker, parse};
use crate::answer::Answer;
use crate::engine::{Engine, ProvisionStatus};
use crate::error::{ApiError, ErrorKind};
use crate::gateway::{Call, Inner, json_answer};
use crate::reference::is_latest;
use crate::shape::last_modified_seconds;
use crate::validation::Violations;
use catalog::{Attachments, Entry, Provisioned, Target, Version};
use http::StatusCode;
use model::TenantId;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Invocations that must stay unreserved (AWS Lambda quotas, 2026-11).
const UNRESERVED_MIN: u32 = 100;
/// Configurations on one page (service model, 2026-11).
const PAGE_MAX: usize = 50;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ReserveRequest {
    reserved_concurrent_executions: Option<i64>,
}

/// Concurrency.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Reserved {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved_concurrent_executions: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ProvisionRequest {
    provisioned_concurrent_executions: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    #[serde(skip_serializing_if = "Option::is_none")]
    function_arn: Option<String>,
    requested_provisioned_concurrent_executions: u32,
    available_provisioned_concurrent_executions: u32,
    allocated_provisioned_concurrent_executions: u32,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_reason: Option<String>,
    last_modified: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    provisioned_concurrency_configs: Vec<Shown>,
}

impl<E: Engine> Inner<E> {
    pub(super) async fn put_concurrency(
        self: &Arc<Self>,
        call: Call<'_>,
        name: &str,
    ) -> Result<Answer, ApiError> {
        let entry = self.unqualified_entry(&call, name)?;
        let request: ReserveRequest = parse(&call.body)?;
        let mut violations = Violations::default();
        match request.reserved_concurrent_executions {
            None => violations.add_missing("reservedConcurrentExecutions"),
            Some(count) => violations.check_range(
                count,
                "reservedConcurrentExecutions",
                (0, i64::from(u32::MAX)),
            ),
        }
        violations.finish()?;
        let count = u32::try_from(request.reserved_concurrent_executions.unwrap_or(0)).unwrap_or(0);
        let inner = self.clone();
        let work = async move {
            inner.reserve(&entry, Some(count)).await?;
            let reserved_concurrent_executions = Some(count);
            json_answer(StatusCode::OK, &Reserved { reserved_concurrent_executions })
        };
        finish(work).await
    }

    pub(super) async fn delete_concurrency(
        self: &Arc<Self>,
        call: &Call<'_>,
        name: &str,
    ) -> Result<Answer, ApiError> {
        let entry = self.unqualified_entry(call, name)?;
        let inner = self.clone();
        let work = async move {
            inner.reserve(&entry, None).await?;
            Ok(empty(StatusCode::NO_CONTENT))
        };
        finish(work).await
    }

    pub(super) fn get_concurrency(&self, call: &Call<'_>, name: &str) -> Result<Answer, ApiError> {
        let entry = self.unqualified_entry(call, name)?;
        let reserved_concurrent_executions = entry.attachments.reserved_concurrency;
        json_answer(StatusCode::OK, &Reserved { reserved_concurrent_executions })
    }

    async fn reserve(self: &Arc<Self>, entry: &Entry, count: Option<u32>) -> Result<(), ApiError> {
        let (tenant, name) = (entry.latest.tenant, entry.latest.name.clone());
        // Two functions at once must not both take the last of what may be reserved.
        let _lock = self.reserving.lock().await;
        let limit = self.limits.concurrency;
        let others = self.set_aside(tenant, Some(&name));
        self.attach(tenant, &name, move |_, attachments| {
            let provisioned = provisioned_sum(attachments);
            let own = count.unwrap_or(provisioned);
            if limit.saturating_sub(UNRESERVED_MIN) < others.saturating_add(own) && own > 0 {
                return Err(unreserved_error("ReservedConcurrentExecutions"));
            }
            if let Some(count) = count.filter(|count| *count < provisioned) {
                return Err(ApiError::parameter(format!(
                    "ReservedConcurrentExecutions {count} should not be lower than function's total \
                     provisioned concurrency [{provisioned}]."
                )));
            }
            attachments.reserved_concurrency = count;
            Ok(())
        })
        .await?;
        if let Some(entry) = self.catalog.entry(tenant, &name) {
            self.share(&entry);
        }
        Ok(())
    }

    /// What the tenant's functions have reserved, or provisioned without a reserve; but for the one of this name.
    pub(super) fn set_aside(&self, tenant: TenantId, but: Option<&str>) -> u32 {
        let of = |attachments: &Attachments| {
            attachments.reserved_concurrency.unwrap_or_else(|| provisioned_sum(attachments))
        };
        let entries = self.catalog.list(tenant, None, usize::MAX).entries;
        let others = entries.iter().filter(|entry| but.is_none_or(|but| entry.latest.name != but));
        others.fold(0, |sum: u32, entry| sum.saturating_add(of(&entry.attachments)))
    }

    pub(super) async fn put_provisioned(
        self: &Arc<Self>,
        call: Call<'_>,
        name: &str,
    ) -> Result<Answer, ApiError> {
        let (entry, qualifier) = self.provisionable(&call, name)?;
        let request: ProvisionRequest = parse(&call.body)?;
        let mut violations = Violations::default();
        match request.provisioned_concurrent_executions {
            None => violations.add_missing("provisionedConcurrentExecutions"),
            Some(count) => violations.check_range(
                count,
                "provisionedConcurrentExecutions",
                (1, i64::from(u32::MAX)),
            ),
        }
        violations.finish()?;
        let count =
            u32::try_from(request.provisioned_concurrent_executions.unwrap_or(1)).unwrap_or(1);
        let inner = self.clone();
        let work = async move {
            let (tenant, name) = (entry.latest.tenant, entry.latest.name.clone());
            let _lock = inner.reserving.lock().await;
            let limit = inner.limits.concurrency;
            let others = inner.set_aside(tenant, Some(&name));
            let at = qualifier.clone();
            let made = inner
                .attach(tenant, &name, move |entry, attachments| {
                    let made = Provisioned { count, last_modified_unix_ms: unix_ms() };
                    set_provisioned(entry, attachments, &at, made.clone())?;
                    let sum = provisioned_sum(attachments);
                    match attachments.reserved_concurrency {
                        Some(reserved) if sum > reserved => Err(ApiError::parameter(format!(
                            "Specified ConcurrentExecutions for function is greater than function's \
                             reserved concurrency [{reserved}]."
                        ))),
                        None if limit.saturating_sub(UNRESERVED_MIN) < others.saturating_add(sum) => {
                            Err(unreserved_error("ConcurrentExecutions"))
                        }
                        _ => Ok(made),
                    }
                })
                .await?;
            inner.provision_all(tenant, &name, Some(&entry));
            let entry = inner.catalog.entry(tenant, &name).unwrap_or(entry);
            let shown = inner.show_provisioned(&entry, &qualifier, &made);
            json_answer(StatusCode::ACCEPTED, &shown)
        };
        finish(work).await
    }

    pub(super) fn get_provisioned(&self, call: &Call<'_>, name: &str) -> Result<Answer, ApiError> {
        let (entry, qualifier) = self.provisionable(call, name)?;
        let Some(provisioned) = entry.attachments.provisioned.get(&qualifier) else {
            return Err(ApiError::new(
                ErrorKind::ProvisionedConcurrencyConfigNotFound,
                "No Provisioned Concurrency Config found for this function",
            ));
        };
        json_answer(StatusCode::OK, &self.show_provisioned(&entry, &qualifier, provisioned))
    }

    /// That there is none is no error, as at AWS.
    pub(super) async fn delete_provisioned(
        self: &Arc<Self>,
        call: &Call<'_>,
        name: &str,
    ) -> Result<Answer, ApiError> {
        let (entry, qualifier) = self.provisionable(call, name)?;
        let inner = self.clone();
        let work = async move {
            let (tenant, name) = (entry.latest.tenant, entry.latest.name.clone());
            inner
                .attach(tenant, &name, move |_, attachments| {
                    attachments.provisioned.remove(&qualifier);
                    Ok(())
                })
                .await?;
            inner.provision_all(tenant, &name, Some(&entry));
            Ok(empty(StatusCode::NO_CONTENT))
        };
        finish(work).await
    }

    pub(super) fn list_provisioned(&self, call: &Call<'_>, name: &str) -> Result<Answer, ApiError> {
        let entry = self.find_entry(call, name)?;
        let of = PageOf::read(call, PAGE_MAX as i64, PAGE_MAX)?;
        let after = of.after.as_deref().unwrap_or("");
        let found = entry.attachments.provisioned.iter();
        let mut rest = found.filter(|(qualifier, _)| qualifier.as_str() > after);
        let page: Vec<_> = rest.by_ref().take(of.limit).collect();
        let last = page.last().filter(|_| rest.next().is_some());
        let next_marker = last.map(|(qualifier, _)| marker(qualifier));
        let shown = page.into_iter().map(|(qualifier, provisioned)| Shown {
            function_arn: Some(format!("{}:{qualifier}", entry.latest.arn())),
            ..self.show_provisioned(&entry, qualifier, provisioned)
        });
        let provisioned_concurrency_configs = shown.collect();
        json_answer(StatusCode::OK, &ListAnswer { next_marker, provisioned_concurrency_configs })
    }

    fn show_provisioned(&self, entry: &Entry, qualifier: &str, of: &Provisioned) -> Shown {
        let mut shown = Shown {
            function_arn: None,
            requested_provisioned_concurrent_executions: of.count,
            available_provisioned_concurrent_executions: 0,
            allocated_provisioned_concurrent_executions: 0,
            status: "READY",
            status_reason: None,
            last_modified: last_modified_seconds(of.last_modified_unix_ms),
        };
        for (version, share) in entry.attachments.provisioned_shares(qualifier, of.count) {
            let Some(version) = entry.versions.get(&version) else { continue };
            let now = self.engine.provisioned(version.id);
            // Of a version that several qualifiers mean, this one's share at most.
            shown.available_provisioned_concurrent_executions += now.available.min(share);
            shown.allocated_provisioned_concurrent_executions += now.allocated.min(share);
            match now.status {
                ProvisionStatus::Ready if now.available >= share => {}
                ProvisionStatus::Failed(reason) => {
                    shown.status = "FAILED";
                    shown.status_reason = Some(reason);
                }
                _ if shown.status == "READY" => shown.status = "IN_PROGRESS",
                _ => {}
            }
        }
        shown
    }

    /// Tells the engine what is to be kept ready of each version, where that is not what it was.
    ///
    /// `before`: what the engine was told of; None where it was told nothing, as after a restart.
    pub(crate) fn provision_all(&self, tenant: TenantId, name: &str, before: Option<&Entry>) {
        let Some(entry) = self.catalog.entry(tenant, name) else { return };
        let now = entry.attachments.provisioned_versions();
        let before =
            before.map(|entry| entry.attachments.provisioned_versions()).unwrap_or_default();
        for (number, version) in &entry.versions {
            let count = now.get(number).copied().unwrap_or(0);
            if before.get(number).copied().unwrap_or(0) != count {
                self.engine.provision(version.id, count);
            }
        }
    }

    /// The function that a request names, which must come without a qualifier.
    fn unqualified_entry(&self, call: &Call<'_>, name: &str) -> Result<Arc<Entry>, ApiError> {
        let reference = crate::reference::Reference::parse(name)?;
        if reference.qualifier.is_some() {
            return Err(ApiError::parameter(
                "This operation is permitted on Lambda functions only. Aliases and versions do not \
                 support this operation. Please specify either a function name or an unqualified \
                 function ARN.",
            ));
        }
        self.find_entry(call, name)
    }

    /// The function and the version or alias of which instances can be kept ready.
    fn provisionable(&self, call: &Call<'_>, name: &str) -> Result<(Arc<Entry>, String), ApiError> {
        let (entry, qualifier) = self.find_target(call, name)?;
        let Some(qualifier) = qualifier else {
            let mut violations = Violations::default();
            violations.add_missing("qualifier");
            violations.finish()?;
            return Err(unpublished());
        };
        if is_latest(Some(&qualifier)) {
            return Err(unpublished());
        }
        match entry.target(Some(&qualifier)) {
            Some(Target::Alias(alias)) if alias.version == Version::Latest => {
                return Err(ApiError::parameter(
                    "Provisioned Concurrency Configs cannot be applied to an alias that means \
                     $LATEST: publish a version and let the alias mean that.",
                ));
            }
            _ => {}
        }
        Ok((entry, qualifier))
    }
}

fn unpublished() -> ApiError {
    ApiError::parameter(
        "Provisioned Concurrency Configs cannot be applied to unpublished function versions.",
    )
}

fn unreserved_error(what: &str) -> ApiError {
    ApiError::parameter(format!(
        "Specified {what} for function decreases account's UnreservedConcurrentExecution below its \
         minimum value of [{UNRESERVED_MIN}]."
    ))
}

fn provisioned_sum(attachments: &Attachments) -> u32 {
    attachments
        .provisioned
        .values()
        .fold(0, |sum, provisioned| sum.saturating_add(provisioned.count))
}

/// Sets a configuration, unless it speaks of a version that another kind of qualifier speaks of already.
fn set_provisioned(
    entry: &Entry,
    attachments: &mut Attachments,
    qualifier: &str,
    made: Provisioned,
) -> Result<(), ApiError> {
    let conflict = |message: &str| Err(ApiError::new(ErrorKind::ResourceConflict, message));
    match entry.target(Some(qualifier)) {
        Some(Target::Alias(alias)) => {
            if attachments.provisioned.contains_key(&alias.version.to_string()) {
                return conflict(
                    "Alias can't be used for Provisioned Concurrency configuration on an already \
                     Provisioned version",
                );
            }
        }
        Some(Target::Version(version)) => {
            let means = |(name, _): (&String, _)| {
                let alias = attachments.aliases.get(name);
                alias.is_some_and(|alias| alias.version == version.version)
            };
            if attachments.provisioned.iter().any(means) {
                return conflict("Version is pointed by a Provisioned Concurrency alias");
            }
        }
        None => return Err(ApiError::no_function(&format!("{}:{qualifier}", entry.latest.arn()))),
    }
    attachments.provisioned.insert(qualifier.to_owned(), made);
    Ok(())
}

fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}
