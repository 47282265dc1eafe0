//! The operations of the API, one file per noun, and what they have in common.
//!
//! What changes something runs in a task of its own, so that it ends even where its client went away. Deliberately knows
//! nothing of how code is run.

mod account;
mod alias;
mod concurrency;
mod event;
mod event_invoke;
mod function;
pub(crate) mod invoke;
mod invoke_stream;
mod layer;
mod layer_policy;
mod package;
mod policy;
mod tag;
mod url;
mod version;

use crate::answer::{Answer, AnswerBody};
use crate::code;
use crate::engine::Engine;
use crate::error::{ApiError, ErrorKind};
use crate::gateway::{Call, Inner, blocking};
use crate::reference::{Reference, is_latest};
use crate::route::{Names, Operation};
use crate::validation::Violations;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use catalog::{Attachments, EditError, Entry, Function, StoreError};
use http::StatusCode;
use model::TenantId;
use serde::de::DeserializeOwned;
use std::future::Future;
use std::sync::Arc;

impl<E: Engine> Inner<E> {
    /// Carries out an operation.
    pub(crate) async fn operate(
        self: &Arc<Self>,
        call: Call<'_>,
        operation: Operation,
        names: &Names<'_>,
    ) -> Result<Answer, ApiError> {
        let (first, second) = (names.first.as_ref(), names.second.as_ref());
        match operation {
            Operation::Invoke => self.invoke(call, first).await,
            Operation::InvokeAsync => self.invoke_async(call, first).await,
            Operation::PutFunctionEventInvokeConfig => {
                self.change_event_invoke(call, first, event_invoke::Change::Put).await
            }
            Operation::UpdateFunctionEventInvokeConfig => {
                self.change_event_invoke(call, first, event_invoke::Change::Update).await
            }
            Operation::GetFunctionEventInvokeConfig => self.get_event_invoke(&call, first),
            Operation::DeleteFunctionEventInvokeConfig => {
                self.delete_event_invoke(call, first).await
            }
            Operation::ListFunctionEventInvokeConfigs => self.list_event_invokes(&call, first),
            Operation::InvokeWithResponseStream => self.invoke_stream(call, first).await,
            Operation::CreateFunction => self.create_function(call).await,
            Operation::GetFunction => self.get_function(&call, first),
            Operation::GetFunctionConfiguration => self.get_configuration(&call, first),
            Operation::UpdateFunctionCode => self.update_code(call, first).await,
            Operation::UpdateFunctionConfiguration => self.update_configuration(call, first).await,
            Operation::DeleteFunction => self.delete_function(&call, first).await,
            Operation::ListFunctions => self.list_functions(&call),
            Operation::CreateFunctionUrlConfig => self.create_url(call, first).await,
            Operation::GetFunctionUrlConfig => self.get_url(&call, first),
            Operation::UpdateFunctionUrlConfig => self.update_url(call, first).await,
            Operation::DeleteFunctionUrlConfig => self.delete_url(call, first).await,
            Operation::ListFunctionUrlConfigs => self.list_urls(&call, first),
            Operation::GetAccountSettings => self.get_account_settings(&call),
            Operation::PublishVersion => self.publish_version(call, first).await,
            Operation::ListVersionsByFunction => self.list_versions(&call, first),
            Operation::CreateAlias => self.create_alias(call, first).await,
            Operation::GetAlias => self.get_alias(&call, first, second),
            Operation::UpdateAlias => self.update_alias(call, first, second).await,
            Operation::DeleteAlias => self.delete_alias(&call, first, second).await,
            Operation::ListAliases => self.list_aliases(&call, first),
            Operation::TagResource => self.tag_resource(call, first).await,
            Operation::UntagResource => self.untag_resource(&call, first).await,
            Operation::ListTags => self.list_tags(&call, first),
            Operation::AddPermission => self.add_permission(call, first).await,
            Operation::RemovePermission => self.remove_permission(&call, first, second).await,
            Operation::GetPolicy => self.get_policy(&call, first),
            Operation::PutFunctionConcurrency => self.put_concurrency(call, first).await,
            Operation::GetFunctionConcurrency => self.get_concurrency(&call, first),
            Operation::DeleteFunctionConcurrency => self.delete_concurrency(&call, first).await,
            Operation::PutProvisionedConcurrencyConfig => self.put_provisioned(call, first).await,
            Operation::GetProvisionedConcurrencyConfig => self.get_provisioned(&call, first),
            Operation::DeleteProvisionedConcurrencyConfig => {
                self.delete_provisioned(&call, first).await
            }
            Operation::ListProvisionedConcurrencyConfigs => self.list_provisioned(&call, first),
            Operation::PublishLayerVersion => self.publish_layer(call, first).await,
            Operation::ListLayerVersions => self.list_layer_versions(&call, first),
            Operation::GetLayerVersionByArn => self.get_layer_by_arn(&call),
            Operation::ListLayers => self.list_layers(&call),
            Operation::GetLayerVersion => self.get_layer(&call, first, second),
            Operation::DeleteLayerVersion => self.delete_layer(&call, first, second).await,
            Operation::AddLayerVersionPermission => self.add_layer_grant(call, names).await,
            Operation::GetLayerVersionPolicy => self.get_layer_policy(&call, names),
            Operation::RemoveLayerVersionPermission => self.remove_layer_grant(&call, names).await,
        }
    }

    /// The function that a request names without a qualifier, as it is now.
    fn find_entry(&self, call: &Call<'_>, name: &str) -> Result<Arc<Entry>, ApiError> {
        let name = self.name(call, name)?;
        let entry = self.catalog.entry(call.tenant(), &name);
        entry.ok_or_else(|| ApiError::no_function(&self.arn(call.tenant(), &name, None)))
    }

    /// The function that a request names, and its qualifier, which stands for something.
    fn find_target(
        &self,
        call: &Call<'_>,
        name: &str,
    ) -> Result<(Arc<Entry>, Option<String>), ApiError> {
        let reference = Reference::parse(name)?;
        let asked = call.query("Qualifier");
        let qualifier = reference.check(call.tenant(), &self.region, asked.as_deref())?;
        let entry = self.catalog.entry(call.tenant(), reference.name);
        let entry = entry.filter(|entry| entry.target(qualifier).is_some()).ok_or_else(|| {
            ApiError::no_function(&self.arn(call.tenant(), reference.name, qualifier))
        })?;
        Ok((entry, qualifier.map(str::to_owned)))
    }

    /// Changes what is attached to a function; durable when this returns.
    async fn attach<T: Send + 'static>(
        self: &Arc<Self>,
        tenant: TenantId,
        name: &str,
        change: impl FnOnce(&Entry, &mut Attachments) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let (keeper, owned) = (self.clone(), name.to_owned());
        let made = blocking(move || {
            keeper.catalog.edit(tenant, &owned, |entry, attachments| {
                change(entry, attachments).map_err(Refused::Api)
            })
        })
        .await?;
        made.map_err(|refused| match refused {
            Refused::Api(error) => error,
            Refused::Catalog(EditError::NoFunction { name }) => {
                ApiError::no_function(&self.arn(tenant, &name, None))
            }
            Refused::Catalog(EditError::Store(error)) => store_error(error),
        })
    }

    /// The state that a request names, as it is now, with the qualifier that it gave.
    fn find(&self, call: &Call<'_>, name: &str) -> Result<Found, ApiError> {
        let reference = Reference::parse(name)?;
        let asked = call.query("Qualifier");
        let qualifier = reference.check(call.tenant(), &self.region, asked.as_deref())?;
        let entry = self.catalog.entry(call.tenant(), reference.name);
        let function = entry.and_then(|entry| entry.resolve(qualifier));
        let function = function.ok_or_else(|| {
            ApiError::no_function(&self.arn(call.tenant(), reference.name, qualifier))
        })?;
        Ok(Found { function, qualifier: qualifier.map(str::to_owned) })
    }

    /// The name of a function that is to be changed.
    fn name(&self, call: &Call<'_>, name: &str) -> Result<String, ApiError> {
        let reference = Reference::parse(name)?;
        let qualifier = reference.check(call.tenant(), &self.region, None)?;
        if !is_latest(qualifier) {
            let arn = self.arn(call.tenant(), reference.name, qualifier);
            return Err(ApiError::no_function(&arn));
        }
        Ok(reference.name.to_owned())
    }

    pub(crate) fn arn(&self, tenant: TenantId, name: &str, qualifier: Option<&str>) -> String {
        let colon = if qualifier.is_some() { ":" } else { "" };
        let qualifier = qualifier.unwrap_or("");
        format!("arn:aws:lambda:{}:{tenant}:function:{name}{colon}{qualifier}", self.region)
    }

    /// Removes packages that nobody needs any more; what fails is tried again with the next change.
    async fn collect(self: &Arc<Self>) {
        let keeper = self.clone();
        match blocking(move || keeper.catalog.collect_packages()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "cannot remove old packages"),
            Err(error) => tracing::warn!(error = error.message(), "cannot remove old packages"),
        }
    }
}

/// Why something was not changed: the change itself did not fit, or the catalog refused.
enum Refused<C> {
    Api(ApiError),
    Catalog(C),
}

impl<C> From<C> for Refused<C> {
    fn from(error: C) -> Self {
        Self::Catalog(error)
    }
}

/// A state of a function, and the qualifier by which it was found.
struct Found {
    function: Arc<Function>,
    qualifier: Option<String>,
}

/// Where a list begins and how much of it is asked for.
struct PageOf {
    limit: usize,
    after: Option<String>,
}

impl PageOf {
    /// Reads `MaxItems`, which may be up to `asked_max`, and `Marker`. A page holds `page_max` at most.
    fn read(call: &Call<'_>, asked_max: i64, page_max: usize) -> Result<Self, ApiError> {
        let mut violations = Violations::default();
        let mut limit = page_max;
        if let Some(text) = call.query("MaxItems") {
            let Ok(asked) = text.parse::<i64>() else {
                let message = format!("MaxItems must be a number, got '{text}'");
                return Err(ApiError::new(ErrorKind::Serialization, message));
            };
            violations.check_range(asked, "maxItems", (1, asked_max));
            limit = usize::try_from(asked).unwrap_or(page_max).min(page_max);
        }
        violations.finish()?;
        let after = call.query("Marker").filter(|marker| !marker.is_empty()).map(|marker| {
            let bytes = BASE64_STANDARD.decode(&marker).ok();
            let name = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            name.ok_or_else(|| ApiError::parameter(format!("Marker '{marker}' is not valid.")))
        });
        Ok(Self { limit, after: after.transpose()? })
    }
}

/// What goes into `NextMarker`.
fn marker(after: &str) -> String {
    BASE64_STANDARD.encode(after)
}

/// Runs work to its end whether or not the client waits for it.
async fn finish(
    work: impl Future<Output = Result<Answer, ApiError>> + Send + 'static,
) -> Result<Answer, ApiError> {
    tokio::spawn(work).await.unwrap_or_else(|error| {
        tracing::error!(%error, "an operation broke off");
        Err(ApiError::new(ErrorKind::Service, "The platform failed; its log says why."))
    })
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let body = body.trim_ascii();
    if body.starts_with(b"[") {
        let message = "Expected a JSON object, got an array.";
        return Err(ApiError::new(ErrorKind::Serialization, message));
    }
    serde_json::from_slice(if body.is_empty() { b"{}" } else { body }).map_err(|error| match error
        .classify()
    {
        serde_json::error::Category::Data => {
            ApiError::new(ErrorKind::Serialization, error.to_string())
        }
        _ => ApiError::new(
            ErrorKind::InvalidRequestContent,
            format!("Could not parse request body into json: {error}"),
        ),
    })
}

/// 412 for a revision that is not the latest.
fn revision_error() -> ApiError {
    ApiError::new(
        ErrorKind::PreconditionFailed,
        "The Revision Id provided does not match the latest Revision Id. Call the \
         GetFunction/GetAlias API to retrieve the latest Revision Id",
    )
}

fn store_error(error: StoreError) -> ApiError {
    let (is_full, is_busy) = (error.is_full(), matches!(error, StoreError::Busy { .. }));
    if is_busy {
        return ApiError::new(ErrorKind::ServiceUnavailable, error.to_string());
    }
    let error: &dyn std::error::Error = &error;
    tracing::error!(error, "the catalog failed");
    if is_full {
        return code::disk_is_full();
    }
    ApiError::new(ErrorKind::Service, "The platform's catalog failed; its log says why.")
}

/// An answer without a body.
fn empty(status: StatusCode) -> Answer {
    let mut answer = Answer::new(AnswerBody::from(Bytes::new()));
    *answer.status_mut() = status;
    answer
}
