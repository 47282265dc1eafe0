//! Resource policies of layers' versions: which accounts beside the owner may use one.

use super::policy::{AddAnswer, PolicyAnswer};
use super::{Refused, empty, finish, parse, store_error};
use crate::answer::Answer;
use crate::engine::Engine;
use crate::error::{ApiError, ErrorKind};
use crate::gateway::{Call, Inner, blocking, json_answer};
use crate::layer;
use crate::policy::{self, PermissionRequest};
use crate::route::Names;
use catalog::{EditLayerError, LayerVersion, Policy};
use http::StatusCode;
use model::TenantId;
use std::sync::Arc;

/// A version of a caller's own layer.
#[derive(Clone)]
struct Own {
    tenant: TenantId,
    name: String,
    number: u64,
    arn: String,
}

impl<E: Engine> Inner<E> {
    pub(super) async fn add_layer_grant(
        self: &Arc<Self>,
        call: Call<'_>,
        names: &Names<'_>,
    ) -> Result<Answer, ApiError> {
        let own = self.own_version(&call, names, "lambda:AddLayerVersionPermission")?;
        let request: PermissionRequest = parse(&call.body)?;
        let statement = policy::read_layer_statement(request)?;
        let revision_id = call.query("RevisionId");
        let inner = self.clone();
        let work = async move {
            let (arn, text) = (own.arn.clone(), policy::statement_json(&statement, &own.arn));
            let revision_id = inner
                .edit_layer_policy(own, move |of| {
                    policy::add(of, statement, revision_id.as_deref(), &arn)
                })
                .await?;
            let answer = AddAnswer { statement: text, revision_id: Some(revision_id) };
            json_answer(StatusCode::CREATED, &answer)
        };
        finish(work).await
    }

    pub(super) async fn remove_layer_grant(
        self: &Arc<Self>,
        call: &Call<'_>,
        names: &Names<'_>,
    ) -> Result<Answer, ApiError> {
        let own = self.own_version(call, names, "lambda:RemoveLayerVersionPermission")?;
        let (id, revision_id) = (names.third.clone().into_owned(), call.query("RevisionId"));
        let inner = self.clone();
        let work = async move {
            inner
                .edit_layer_policy(own, move |of| {
                    policy::remove(Some(of), &id, revision_id.as_deref())
                })
                .await?;
            Ok(empty(StatusCode::NO_CONTENT))
        };
        finish(work).await
    }

    pub(super) fn get_layer_policy(
        &self,
        call: &Call<'_>,
        names: &Names<'_>,
    ) -> Result<Answer, ApiError> {
        let own = self.own_version(call, names, "lambda:GetLayerVersionPolicy")?;
        let version = self.catalog.layer_version(own.tenant, &own.name, own.number);
        let version = version.ok_or_else(|| layer::no_version(&own.arn))?;
        if version.policy.statements.is_empty() {
            return Err(ApiError::new(
                ErrorKind::ResourceNotFound,
                "No policy is associated with the given resource.",
            ));
        }
        let policy = policy::policy_json(&version.policy, &own.arn)?;
        let revision_id = version.policy.revision_id.clone();
        json_answer(StatusCode::OK, &PolicyAnswer { policy, revision_id })
    }

    fn own_version(
        &self,
        call: &Call<'_>,
        names: &Names<'_>,
        action: &str,
    ) -> Result<Own, ApiError> {
        let name = self.own_layer(call, &names.first, action)?.to_owned();
        let number = layer::read_number(&names.second)?;
        let tenant = call.tenant();
        let arn = self.layer_arn(tenant, &name, number);
        Ok(Own { tenant, name, number, arn })
    }

    /// Changes a policy; durable when this returns. Returns its new revision.
    async fn edit_layer_policy(
        self: &Arc<Self>,
        own: Own,
        change: impl FnOnce(&mut Policy) -> Result<(), ApiError> + Send + 'static,
    ) -> Result<String, ApiError> {
        let (keeper, of) = (self.clone(), own.clone());
        let edited = blocking(move || {
            keeper.catalog.edit_layer_version(
                of.tenant,
                &of.name,
                of.number,
                |version: &mut LayerVersion| {
                    change(&mut version.policy).map_err(Refused::Api)?;
                    Ok(version.policy.revision_id.clone())
                },
            )
        });
        edited.await?.map_err(|refused| match refused {
            Refused::Api(error) => error,
            Refused::Catalog(EditLayerError::NoVersion { .. }) => layer::no_version(&own.arn),
            Refused::Catalog(EditLayerError::Store(error)) => store_error(error),
        })
    }
}
