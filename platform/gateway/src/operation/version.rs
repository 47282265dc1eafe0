//! Published versions.

use super::{PageOf, finish, marker, parse, revision_error, store_error};
use crate::answer::Answer;
use crate::engine::Engine;
use crate::error::{ApiError, ErrorKind};
use crate::gateway::{Call, Inner, blocking, json_answer};
use crate::settings;
use crate::shape::{Configuration, VersionsAnswer};
use crate::validation::Violations;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use catalog::{
    DeleteVersionError, Entry, Function, PublishError, PublishOf, Published, State, Version,
};
use http::StatusCode;
use model::TenantId;
use serde::Deserialize;
use std::sync::Arc;

/// Versions on one page of ListVersionsByFunction, however many are asked for (AWS Lambda API reference, 2026-11).
const PAGE_MAX: usize = 50;
/// Versions that may be asked for at once (service model, 2026-11).
const ITEMS_MAX: i64 = 10_000;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PublishRequest {
    code_sha256: Option<String>,
    description: Option<String>,
    revision_id: Option<String>,
    publish_to: Option<String>,
}

/// What is to be published, owned.
#[derive(Debug, Default)]
pub(super) struct PublishAsked {
    pub revision_id: Option<String>,
    pub code_sha256: Option<String>,
    pub description: Option<String>,
}

impl<E: Engine> Inner<E> {
    pub(super) async fn publish_version(
        self: &Arc<Self>,
        call: Call<'_>,
        name: &str,
    ) -> Result<Answer, ApiError> {
        let name = self.name(&call, name)?;
        let request: PublishRequest = parse(&call.body)?;
        let mut violations = Violations::default();
        if let Some(description) = &request.description {
            settings::check_description(description, &mut violations);
        }
        violations.finish()?;
        if request.publish_to.is_some_and(|to| !to.is_empty()) {
            return Err(settings::absent("PublishTo"));
        }
        let asked = PublishAsked {
            revision_id: request.revision_id,
            code_sha256: request.code_sha256,
            description: request.description,
        };
        let (inner, tenant) = (self.clone(), call.tenant());
        let work = async move {
            if let Some(function) = inner.catalog.get(tenant, &name) {
                inner.settled(function).await;
            }
            let version = inner.publish(tenant, name, asked).await?;
            let qualifier = version.version.to_string();
            let configuration = Configuration::whole(&version).qualified(Some(&qualifier));
            json_answer(StatusCode::CREATED, &configuration)
        };
        finish(work).await
    }

    /// Publishes the function's latest state. Where that is ready, the version is ready when this returns.
    pub(super) async fn publish(
        self: &Arc<Self>,
        tenant: TenantId,
        name: String,
        asked: PublishAsked,
    ) -> Result<Arc<Function>, ApiError> {
        let sha256 = asked.code_sha256.filter(|hash| !hash.is_empty());
        let digest = sha256.as_ref().map(|hash| {
            // What is no hash is the hash of no code.
            BASE64_STANDARD.decode(hash).map(hex::encode).unwrap_or_else(|_| hash.clone())
        });
        let (keeper, of_name) = (self.clone(), name.clone());
        let published = blocking(move || {
            let latest = keeper.catalog.get(tenant, &of_name);
            keeper.check_code_storage(tenant, latest.map_or(0, |latest| latest.code_size))?;
            let of = PublishOf {
                tenant,
                name: &of_name,
                revision_id: asked.revision_id.as_deref().filter(|id| !id.is_empty()),
                code_digest: digest.as_deref(),
                description: asked.description.as_deref(),
            };
            keeper.catalog.publish(of).map_err(|error| keeper.publish_error(tenant, error, sha256))
        })
        .await??;
        let version = match published {
            Published::Unchanged(version) => return Ok(version),
            Published::New(version) => version,
        };
        let latest = self.catalog.get(tenant, &name);
        if latest.is_some_and(|latest| latest.state == State::Pending) {
            tokio::spawn(self.clone().deploy_and_mark(version.clone()));
            return Ok(version);
        }
        self.clone().deploy_and_mark(version.clone()).await;
        let entry = self.catalog.entry(tenant, &name);
        let marked = entry.and_then(|entry| entry.version(version.version).cloned());
        Ok(marked.unwrap_or(version))
    }

    fn publish_error(
        &self,
        tenant: TenantId,
        error: PublishError,
        sha256: Option<String>,
    ) -> ApiError {
        match error {
            PublishError::NoFunction { name } => {
                ApiError::no_function(&self.arn(tenant, &name, None))
            }
            PublishError::Revision { .. } => revision_error(),
            PublishError::Code { given, latest } => {
                let latest = BASE64_STANDARD.encode(hex::decode(latest).unwrap_or_default());
                let given = sha256.unwrap_or(given);
                ApiError::parameter(format!(
                    "CodeSHA256 ({given}) is different from current CodeSHA256 in $LATEST \
                     ({latest}). Please try again with the CodeSHA256 in $LATEST."
                ))
            }
            PublishError::Pending { function, .. } => ApiError::new(
                ErrorKind::ResourceConflict,
                format!(
                    "The operation cannot be performed at this time. An update is in progress for \
                     resource: {}",
                    function.arn()
                ),
            ),
            PublishError::Store(error) => store_error(error),
        }
    }

    pub(super) fn list_versions(&self, call: &Call<'_>, name: &str) -> Result<Answer, ApiError> {
        let entry = self.find_entry(call, name)?;
        let of = PageOf::read(call, ITEMS_MAX, PAGE_MAX)?;
        let after = of.after.as_deref().map(read_marker).transpose()?;
        let mut rest = entry.states().filter(|state| after.is_none_or(|a| state.version > a));
        let page: Vec<_> = rest.by_ref().take(of.limit).collect();
        let last = page.last().filter(|_| rest.next().is_some());
        let next_marker = last.map(|state| marker(&state.version.to_string()));
        let versions = page.into_iter().map(|state| qualified(state)).collect();
        json_answer(StatusCode::OK, &VersionsAnswer { next_marker, versions })
    }

    /// One page of every state of every function of the caller: each function's latest, then its versions.
    pub(super) fn list_states(&self, call: &Call<'_>, of: &PageOf) -> Result<Answer, ApiError> {
        let (mut states, mut more) = (Vec::new(), false);
        let (begun, mut after) = match of.after.as_deref() {
            None => (None, None),
            Some(text) => {
                let (name, version) = text
                    .split_once(':')
                    .ok_or_else(|| ApiError::parameter("Marker is not valid."))?;
                (Some((name.to_owned(), read_marker(version)?)), Some(name.to_owned()))
            }
        };
        if let Some((name, version)) = &begun
            && let Some(entry) = self.catalog.entry(call.tenant(), name)
        {
            states.extend(entry.states().filter(|state| state.version > *version).cloned());
        }
        while states.len() <= of.limit {
            let page = self.catalog.list(call.tenant(), after.as_deref(), PAGE_MAX);
            states.extend(page.entries.iter().flat_map(|entry| entry.states().cloned()));
            after = page.next_after;
            if after.is_none() {
                break;
            }
        }
        if states.len() > of.limit {
            states.truncate(of.limit);
            more = true;
        }
        let last = states.last().filter(|_| more);
        let next_marker = last.map(|state| marker(&format!("{}:{}", state.name, state.version)));
        let functions = states.iter().map(|state| qualified(state)).collect();
        json_answer(StatusCode::OK, &crate::shape::ListAnswer { next_marker, functions })
    }

    /// Deletes one version; that there is none is no error, as at AWS.
    pub(super) async fn delete_version(
        self: &Arc<Self>,
        tenant: TenantId,
        entry: Arc<Entry>,
        number: u64,
    ) -> Result<(), ApiError> {
        let keeper = self.clone();
        let name = entry.latest.name.clone();
        let gone = blocking(move || keeper.catalog.delete_version(tenant, &name, number)).await?;
        match gone {
            Ok(gone) => {
                self.engine.remove(gone).await;
                Ok(())
            }
            Err(DeleteVersionError::NoVersion { .. }) => Ok(()),
            Err(DeleteVersionError::InUse { aliases, .. }) => Err(ApiError::new(
                ErrorKind::ResourceConflict,
                format!(
                    "Version {number} of function {} cannot be deleted: these aliases mean it: {}. \
                     Update or delete them first.",
                    entry.latest.name,
                    aliases.join(", ")
                ),
            )),
            Err(DeleteVersionError::Store(error)) => Err(store_error(error)),
        }
    }
}

fn qualified(state: &Function) -> Configuration<'_> {
    Configuration::listed(state).qualified(Some(&state.version.to_string()))
}

fn read_marker(text: &str) -> Result<Version, ApiError> {
    text.parse().map_err(|_| ApiError::parameter("Marker is not valid."))
}
