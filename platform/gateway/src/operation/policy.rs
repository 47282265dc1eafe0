//! Resource policies of functions: who beside the owner may do what.

use super::{empty, finish, parse};
use crate::answer::Answer;
use crate::engine::Engine;
use crate::error::{ApiError, ErrorKind};
use crate::gateway::{Call, Inner, json_answer};
use crate::policy::{self, PermissionRequest};
use catalog::{Attachments, Entry};
use http::StatusCode;
use serde::Serialize;
use std::sync::Arc;

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AddAnswer {
    pub statement: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision_id: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PolicyAnswer {
    pub policy: String,
    pub revision_id: String,
}

impl<E: Engine> Inner<E> {
    pub(super) async fn add_permission(
        self: &Arc<Self>,
        call: Call<'_>,
        name: &str,
    ) -> Result<Answer, ApiError> {
        let (entry, qualifier) = self.policy_target(&call, name)?;
        let request: PermissionRequest = parse(&call.body)?;
        let revision_id = request.revision_id.clone();
        let statement = policy::read_statement(request)?;
        let inner = self.clone();
        let work = async move {
            let (tenant, name) = (entry.latest.tenant, entry.latest.name.clone());
            let arn = policy_arn(&entry, &qualifier);
            let text = policy::statement_json(&statement, &arn);
            inner
                .attach(tenant, &name, move |_, attachments: &mut Attachments| {
                    let of = attachments.policies.entry(qualifier).or_default();
                    policy::add(of, statement, revision_id.as_deref(), &arn)
                })
                .await?;
            json_answer(StatusCode::CREATED, &AddAnswer { statement: text, revision_id: None })
        };
        finish(work).await
    }

    pub(super) async fn remove_permission(
        self: &Arc<Self>,
        call: &Call<'_>,
        name: &str,
        id: &str,
    ) -> Result<Answer, ApiError> {
        let (entry, qualifier) = self.policy_target(call, name)?;
        let (id, revision_id) = (id.to_owned(), call.query("RevisionId"));
        let inner = self.clone();
        let work = async move {
            let (tenant, name) = (entry.latest.tenant, entry.latest.name.clone());
            inner
                .attach(tenant, &name, move |_, attachments: &mut Attachments| {
                    let of = attachments.policies.get_mut(&qualifier);
                    policy::remove(of, &id, revision_id.as_deref())?;
                    attachments.policies.retain(|_, policy| !policy.statements.is_empty());
                    Ok(())
                })
                .await?;
            Ok(empty(StatusCode::NO_CONTENT))
        };
        finish(work).await
    }

    pub(super) fn get_policy(&self, call: &Call<'_>, name: &str) -> Result<Answer, ApiError> {
        let (entry, qualifier) = self.policy_target(call, name)?;
        let Some(of) = entry.attachments.policies.get(&qualifier) else {
            return Err(ApiError::new(
                ErrorKind::ResourceNotFound,
                "The resource you requested does not exist.",
            ));
        };
        let policy = policy::policy_json(of, &policy_arn(&entry, &qualifier))?;
        let revision_id = of.revision_id.clone();
        json_answer(StatusCode::OK, &PolicyAnswer { policy, revision_id })
    }

    /// The function whose policy a request is about, and for which qualifier; the empty text for none.
    fn policy_target(&self, call: &Call<'_>, name: &str) -> Result<(Arc<Entry>, String), ApiError> {
        let (entry, qualifier) = self.find_target(call, name)?;
        if qualifier.as_deref() == Some("$LATEST") {
            return Err(ApiError::parameter(
                "We currently do not support adding policies for $LATEST.",
            ));
        }
        Ok((entry, qualifier.unwrap_or_default()))
    }
}

fn policy_arn(entry: &Entry, qualifier: &str) -> String {
    match qualifier {
        "" => entry.latest.arn(),
        qualifier => format!("{}:{qualifier}", entry.latest.arn()),
    }
}
