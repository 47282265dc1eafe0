//! Tags of functions.

use super::{empty, finish, parse};
use crate::answer::Answer;
use crate::engine::Engine;
use crate::error::{ApiError, ErrorKind};
use crate::gateway::{Call, Inner, json_answer};
use crate::reference::Reference;
use crate::settings;
use crate::validation::{Constraint, Violations};
use catalog::{Attachments, Entry};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

const RESOURCE_PATTERN: &str = r"arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:(function:[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?|code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|(capacity-provider|network-connector):[a-zA-Z0-9-_]{1,64})";

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TagRequest {
    tags: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct TagsAnswer<'a> {
    tags: &'a BTreeMap<String, String>,
}

impl<E: Engine> Inner<E> {
    pub(super) async fn tag_resource(
        self: &Arc<Self>,
        call: Call<'_>,
        arn: &str,
    ) -> Result<Answer, ApiError> {
        let entry = self.tagged(&call, arn)?;
        let request: TagRequest = parse(&call.body)?;
        let Some(tags) = request.tags else {
            let mut violations = Violations::default();
            violations.add_missing("tags");
            violations.finish()?;
            return Ok(empty(StatusCode::NO_CONTENT));
        };
        if tags.is_empty() {
            return Err(ApiError::parameter(
                "An error occurred and the request cannot be processed.",
            ));
        }
        self.retag(entry, move |attachments| attachments.tags.extend(tags)).await
    }

    pub(super) async fn untag_resource(
        self: &Arc<Self>,
        call: &Call<'_>,
        arn: &str,
    ) -> Result<Answer, ApiError> {
        let entry = self.tagged(call, arn)?;
        let keys = call.query_all("tagKeys");
        if keys.is_empty() {
            let mut violations = Violations::default();
            violations.add_missing("tagKeys");
            violations.finish()?;
        }
        let drop_all = move |attachments: &mut Attachments| {
            attachments.tags.retain(|key, _| !keys.contains(key));
        };
        self.retag(entry, drop_all).await
    }

    pub(super) fn list_tags(&self, call: &Call<'_>, arn: &str) -> Result<Answer, ApiError> {
        let entry = self.tagged(call, arn)?;
        json_answer(StatusCode::OK, &TagsAnswer { tags: &entry.attachments.tags })
    }

    async fn retag(
        self: &Arc<Self>,
        entry: Arc<Entry>,
        change: impl FnOnce(&mut Attachments) + Send + 'static,
    ) -> Result<Answer, ApiError> {
        let inner = self.clone();
        let work = async move {
            let (tenant, name) = (entry.latest.tenant, entry.latest.name.clone());
            inner
                .attach(tenant, &name, |_, attachments| {
                    change(attachments);
                    settings::check_tags(&attachments.tags)
                })
                .await?;
            if let Some(entry) = inner.catalog.entry(tenant, &name) {
                inner.share(&entry);
            }
            Ok(empty(StatusCode::NO_CONTENT))
        };
        finish(work).await
    }

    /// The function with this ARN: only those have tags here.
    fn tagged(&self, call: &Call<'_>, arn: &str) -> Result<Arc<Entry>, ApiError> {
        let is_lambda = arn.starts_with("arn:") && arn.contains(":lambda:");
        let kind = arn.split(':').nth(5).unwrap_or("");
        match kind {
            "function" if is_lambda => {}
            "code-signing-config"
            | "event-source-mapping"
            | "capacity-provider"
            | "network-connector"
                if is_lambda =>
            {
                return Err(ApiError::new(
                    ErrorKind::ResourceNotFound,
                    format!("This platform has no {kind}: {arn}"),
                ));
            }
            _ => {
                let mut violations = Violations::default();
                violations.add(arn, "resource", Constraint::Pattern(RESOURCE_PATTERN));
                violations.finish()?;
            }
        }
        let reference = Reference::parse(arn)?;
        if reference.qualifier.is_some() {
            return Err(ApiError::parameter(
                "Tags on function aliases and versions are not supported. Please specify a function \
                 ARN.",
            ));
        }
        self.find_entry(call, arn)
    }
}
