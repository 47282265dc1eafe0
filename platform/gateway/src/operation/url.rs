//! Function URLs: created, shown, changed, deleted.

use super::{PageOf, empty, finish, marker, parse};
use crate::answer::Answer;
use crate::canonical;
use crate::engine::Engine;
use crate::error::{ApiError, ErrorKind};
use crate::gateway::{Call, Inner, blocking, json_answer};
use crate::reference::Reference;
use crate::url::LATEST;
use crate::validation::{Constraint, Violations};
use catalog::{Cors, Entry, InvokeMode, UrlAuth, UrlConfig};
use http::StatusCode;
use jiff::Timestamp;
use model::TenantId;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;

/// Configurations on one page (service model, MaxFunctionUrlConfigListItems, 2026-11).
const PAGE_MAX: usize = 50;
/// Longest life of a preflight's answer, seconds (service model, MaxAge).
const MAX_AGE_MAX: i64 = 86_400;
/// Most entries of a list of CORS, and characters of each (service model, 2026-11).
const CORS_ENTRIES_MAX: usize = 100;
const CORS_ENTRY_MAX: usize = 1024;
/// Most methods (service model, AllowMethodsList).
const CORS_METHODS_MAX: usize = 6;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UrlRequest {
    auth_type: Option<String>,
    invoke_mode: Option<String>,
    cors: Option<Cors>,
}

/// What an update or a creation asks for; None leaves it as it is.
struct Asked {
    auth: Option<UrlAuth>,
    mode: Option<InvokeMode>,
    cors: Option<Cors>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct UrlAnswer {
    function_url: String,
    function_arn: String,
    auth_type: UrlAuth,
    #[serde(skip_serializing_if = "Option::is_none")]
    cors: Option<Cors>,
    creation_time: String,
    last_modified_time: String,
    invoke_mode: InvokeMode,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct UrlList {
    function_url_configs: Vec<UrlAnswer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
}

/// A function's name, and the alias or [`LATEST`] whose URL is meant.
struct Named {
    tenant: TenantId,
    name: String,
    qualifier: String,
    host: String,
}

fn no_url() -> ApiError {
    ApiError::new(ErrorKind::ResourceNotFound, "The resource you requested does not exist.")
}

impl<E: Engine> Inner<E> {
    pub(crate) async fn create_url(
        self: &Arc<Self>,
        call: Call<'_>,
        name: &str,
    ) -> Result<Answer, ApiError> {
        let named = self.named(&call, name)?;
        let asked = read(&call.body)?;
        let Some(auth) = asked.auth else {
            let mut violations = Violations::default();
            violations.add_missing("authType");
            return Err(violations.finish().err().unwrap_or_else(no_url));
        };
        self.edit_url(named, StatusCode::CREATED, move |named, arn, now, there| {
            if there.is_some() {
                return Err(ApiError::new(
                    ErrorKind::ResourceConflict,
                    format!(
                        "Failed to create function url config for [functionArn = {arn}]. Error \
                         message:  FunctionUrlConfig exists for this Lambda function: {}",
                        named.name
                    ),
                ));
            }
            let (created, modified) = (now.clone(), now);
            let mode = asked.mode.unwrap_or_default();
            Ok(UrlConfig { auth, mode, cors: asked.cors, created, modified })
        })
        .await
    }

    pub(crate) async fn update_url(
        self: &Arc<Self>,
        call: Call<'_>,
        name: &str,
    ) -> Result<Answer, ApiError> {
        let named = self.named(&call, name)?;
        let asked = read(&call.body)?;
        self.edit_url(named, StatusCode::OK, move |_, _, now, there| {
            let there = there.ok_or_else(no_url)?.clone();
            Ok(UrlConfig {
                auth: asked.auth.unwrap_or(there.auth),
                mode: asked.mode.unwrap_or(there.mode),
                // An empty one takes it away, as at AWS.
                cors: asked.cors.or(there.cors).filter(|cors| *cors != Cors::default()),
                modified: now,
                ..there
            })
        })
        .await
    }

    /// Writes what `change` makes of the configuration that is there, and answers with it.
    async fn edit_url(
        self: &Arc<Self>,
        named: Named,
        status: StatusCode,
        change: impl FnOnce(&Named, &str, String, Option<&UrlConfig>) -> Result<UrlConfig, ApiError>
        + Send
        + 'static,
    ) -> Result<Answer, ApiError> {
        let inner = self.clone();
        finish(async move {
            let keeper = inner.clone();
            let (named, config) = blocking(move || {
                let arn = keeper.arn(named.tenant, &named.name, qualifier_of(&named.qualifier));
                let config =
                    keeper.catalog.edit(named.tenant, &named.name, |entry, attachments| {
                        check_alias(entry, &named.qualifier)?;
                        let there = attachments.urls.get(&named.qualifier);
                        let config = change(&named, &arn, now(), there)?;
                        attachments.urls.insert(named.qualifier.clone(), config.clone());
                        Ok::<_, ApiError>(config)
                    })?;
                Ok::<_, ApiError>((named, config))
            })
            .await??;
            json_answer(status, &inner.url_answer(&named, &named.qualifier, config))
        })
        .await
    }

    pub(crate) fn get_url(&self, call: &Call<'_>, name: &str) -> Result<Answer, ApiError> {
        let named = self.named(call, name)?;
        let entry = self.catalog.entry(named.tenant, &named.name).ok_or_else(no_url)?;
        let config = entry.attachments.urls.get(&named.qualifier).ok_or_else(no_url)?.clone();
        json_answer(StatusCode::OK, &self.url_answer(&named, &named.qualifier, config))
    }

    pub(crate) async fn delete_url(
        self: &Arc<Self>,
        call: Call<'_>,
        name: &str,
    ) -> Result<Answer, ApiError> {
        let named = self.named(&call, name)?;
        let inner = self.clone();
        finish(async move {
            blocking(move || {
                inner.catalog.edit(named.tenant, &named.name, |_, attachments| {
                    let gone = attachments.urls.remove(&named.qualifier);
                    gone.map(drop).ok_or_else(no_url)
                })
            })
            .await??;
            Ok(empty(StatusCode::NO_CONTENT))
        })
        .await
    }

    pub(crate) fn list_urls(&self, call: &Call<'_>, name: &str) -> Result<Answer, ApiError> {
        let page = PageOf::read(call, PAGE_MAX as i64, PAGE_MAX)?;
        let named = self.named(call, name)?;
        let arn = || self.arn(named.tenant, &named.name, None);
        let entry = self.catalog.entry(named.tenant, &named.name);
        let entry = entry.ok_or_else(|| ApiError::no_function(&arn()))?;
        let after = page.after.unwrap_or_default();
        let mut urls = entry.attachments.urls.iter().filter(|(qualifier, _)| **qualifier > after);
        let shown: Vec<_> = urls.by_ref().take(page.limit).collect();
        let last = shown.last().filter(|_| urls.next().is_some());
        let next_marker = last.map(|(qualifier, _)| marker(qualifier));
        let shown = shown.into_iter();
        let function_url_configs = shown
            .map(|(qualifier, config)| self.url_answer(&named, qualifier, config.clone()))
            .collect();
        json_answer(StatusCode::OK, &UrlList { function_url_configs, next_marker })
    }

    fn named(&self, call: &Call<'_>, name: &str) -> Result<Named, ApiError> {
        let reference = Reference::parse(name)?;
        let asked = call.query("Qualifier");
        let qualifier = reference.check(call.tenant(), &self.region, asked.as_deref())?;
        if let Some(qualifier) = qualifier
            && (qualifier == LATEST || qualifier.bytes().all(|byte| byte.is_ascii_digit()))
        {
            let mut violations = Violations::default();
            let pattern = Constraint::Pattern("((?!^\\d+$)^[0-9a-zA-Z-_]+$)");
            violations.add(qualifier, "qualifier", pattern);
            violations.finish()?;
        }
        Ok(Named {
            tenant: call.tenant(),
            name: reference.name.to_owned(),
            qualifier: qualifier.unwrap_or(LATEST).to_owned(),
            host: canonical::host(call.parts).unwrap_or("").to_owned(),
        })
    }

    fn url_answer(&self, named: &Named, qualifier: &str, config: UrlConfig) -> UrlAnswer {
        let id = self.urls.note(named.tenant, &named.name, qualifier);
        UrlAnswer {
            function_url: format!(
                "{}://{id}.lambda-url.{}.{}/",
                self.scheme.word(),
                self.region,
                base(&named.host)
            ),
            function_arn: self.arn(named.tenant, &named.name, qualifier_of(qualifier)),
            auth_type: config.auth,
            cors: config.cors,
            creation_time: config.created,
            last_modified_time: config.modified,
            invoke_mode: config.mode,
        }
    }
}

/// What stands in an ARN.
fn qualifier_of(qualifier: &str) -> Option<&str> {
    (qualifier != LATEST).then_some(qualifier)
}

/// What a URL's host ends with: that of the API, or `localhost` where that is an address, which has no names below it.
fn base(host: &str) -> String {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (name, Some(port)),
        _ => (host, None),
    };
    let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let name = if is_address || name.is_empty() { "localhost" } else { name };
    port.map_or(name.to_owned(), |port| format!("{name}:{port}"))
}

fn check_alias(entry: &Entry, qualifier: &str) -> Result<(), ApiError> {
    let known = qualifier == LATEST || entry.attachments.aliases.contains_key(qualifier);
    if known { Ok(()) } else { Err(no_url()) }
}

fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

fn read(body: &[u8]) -> Result<Asked, ApiError> {
    let request: UrlRequest = parse(body)?;
    let mut violations = Violations::default();
    let auth = request.auth_type.as_deref().and_then(|text| match text {
        "NONE" => Some(UrlAuth::None),
        "AWS_IAM" => Some(UrlAuth::AwsIam),
        other => {
            violations.add(other, "authType", Constraint::OneOf("NONE, AWS_IAM"));
            None
        }
    });
    let mode = request.invoke_mode.as_deref().and_then(|text| match text {
        "BUFFERED" => Some(InvokeMode::Buffered),
        "RESPONSE_STREAM" => Some(InvokeMode::ResponseStream),
        other => {
            violations.add(other, "invokeMode", Constraint::OneOf("BUFFERED, RESPONSE_STREAM"));
            None
        }
    });
    if let Some(cors) = &request.cors {
        violations.check_range(i64::from(cors.max_age), "cors.maxAge", (0, MAX_AGE_MAX));
        for (at, list, most) in [
            ("cors.allowHeaders", &cors.allow_headers, CORS_ENTRIES_MAX),
            ("cors.exposeHeaders", &cors.expose_headers, CORS_ENTRIES_MAX),
            ("cors.allowOrigins", &cors.allow_origins, CORS_ENTRIES_MAX),
            ("cors.allowMethods", &cors.allow_methods, CORS_METHODS_MAX),
        ] {
            if list.len() > most {
                violations.add(&list.join(", "), at, Constraint::LengthMax(most));
            }
            for entry in list.iter().filter(|entry| entry.len() > CORS_ENTRY_MAX) {
                violations.add(entry, at, Constraint::LengthMax(CORS_ENTRY_MAX));
            }
        }
    }
    violations.finish()?;
    Ok(Asked { auth, mode, cors: request.cors })
}

#[cfg(test)]
mod tests {
    use super::*;

    // URLs are below the API's name, and below localhost where that is an address.
    #[test]
    fn hosts() {
        assert_eq!(base("127.0.0.1:9000"), "localhost:9000");
        assert_eq!(base("[::1]:80"), "localhost:80");
        assert_eq!(base("peek.example"), "peek.example");
        assert_eq!(base("localhost:1"), "localhost:1");
    }
}
