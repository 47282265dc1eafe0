//! Aliases: names for versions, with weights where invocations are to be divided.

use super::{PageOf, empty, finish, marker, parse, revision_error};
use crate::answer::Answer;
use crate::engine::Engine;
use crate::error::{ApiError, ErrorKind};
use crate::gateway::{Call, Inner, json_answer};
use crate::settings;
use crate::validation::{Constraint, Violations};
use catalog::{Alias, Entry, Function, Version};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Aliases on one page of ListAliases, and how many may be asked for (AWS Lambda API reference, 2026-11).
const PAGE_MAX: usize = 50;
const ITEMS_MAX: i64 = 10_000;
/// Further versions of one alias (Lambda developer guide, "Weighted alias", 2026-11).
const FURTHER_MAX: usize = 1;
const NAME_MAX: usize = 128;
const NAME_PATTERN: &str = "(?!^[0-9]+$)([a-zA-Z0-9-_]+)";
const VERSION_PATTERN: &str = r"(\$LATEST(\.PUBLISHED)?|[0-9]+)";

/// CreateAlias and UpdateAlias.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AliasRequest {
    name: Option<String>,
    function_version: Option<String>,
    description: Option<String>,
    routing_config: Option<RoutingRequest>,
    revision_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RoutingRequest {
    additional_version_weights: Option<BTreeMap<String, f64>>,
}

/// AliasConfiguration.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown<'a> {
    alias_arn: String,
    name: &'a str,
    function_version: Version,
    description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    routing_config: Option<Routing<'a>>,
    revision_id: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Routing<'a> {
    additional_version_weights: &'a BTreeMap<u64, f64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListAnswer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
    aliases: Vec<Shown<'a>>,
}

impl<'a> Shown<'a> {
    fn of(function: &Function, name: &'a str, alias: &'a Alias) -> Self {
        let weights = &alias.weights;
        Self {
            alias_arn: format!("{}:{name}", function.arn()),
            name,
            function_version: alias.version,
            description: &alias.description,
            routing_config: (!weights.is_empty())
                .then_some(Routing { additional_version_weights: weights }),
            revision_id: &alias.revision_id,
        }
    }
}

impl<E: Engine> Inner<E> {
    pub(super) async fn create_alias(
        self: &Arc<Self>,
        call: Call<'_>,
        name: &str,
    ) -> Result<Answer, ApiError> {
        let entry = self.find_entry(&call, name)?;
        let request: AliasRequest = parse(&call.body)?;
        let mut violations = Violations::default();
        check(&request, &mut violations);
        if request.name.is_none() {
            violations.add_missing("name");
        }
        if request.function_version.is_none() {
            violations.add_missing("functionVersion");
        }
        violations.finish()?;
        let alias_name = request.name.clone().unwrap_or_default();
        let work = self.clone().set_alias(entry, alias_name, request, Setting::Create);
        finish(work).await
    }

    pub(super) async fn update_alias(
        self: &Arc<Self>,
        call: Call<'_>,
        name: &str,
        alias: &str,
    ) -> Result<Answer, ApiError> {
        let entry = self.find_entry(&call, name)?;
        let request: AliasRequest = parse(&call.body)?;
        let mut violations = Violations::default();
        check(&request, &mut violations);
        violations.finish()?;
        let work = self.clone().set_alias(entry, alias.to_owned(), request, Setting::Update);
        finish(work).await
    }

    async fn set_alias(
        self: Arc<Self>,
        entry: Arc<Entry>,
        name: String,
        request: AliasRequest,
        setting: Setting,
    ) -> Result<Answer, ApiError> {
        let (tenant, function) = (entry.latest.tenant, entry.latest.name.clone());
        let alias_name = name.clone();
        let made = self
            .attach(tenant, &function, move |entry, attachments| {
                let now = attachments.aliases.get(&alias_name);
                let made = changed(entry, &alias_name, now, request, setting)?;
                attachments.aliases.insert(alias_name, made.clone());
                Ok(made)
            })
            .await?;
        self.provision_all(tenant, &function, Some(&entry));
        let status = match setting {
            Setting::Create => StatusCode::CREATED,
            Setting::Update => StatusCode::OK,
        };
        json_answer(status, &Shown::of(&entry.latest, &name, &made))
    }

    pub(super) fn get_alias(
        &self,
        call: &Call<'_>,
        name: &str,
        alias: &str,
    ) -> Result<Answer, ApiError> {
        let entry = self.find_entry(call, name)?;
        let Some(found) = entry.attachments.aliases.get(alias) else {
            return Err(ApiError::new(
                ErrorKind::ResourceNotFound,
                format!("Cannot find alias arn: {}:{alias}", entry.latest.arn()),
            ));
        };
        json_answer(StatusCode::OK, &Shown::of(&entry.latest, alias, found))
    }

    /// That there is none is no error, as at AWS.
    pub(super) async fn delete_alias(
        self: &Arc<Self>,
        call: &Call<'_>,
        name: &str,
        alias: &str,
    ) -> Result<Answer, ApiError> {
        let entry = self.find_entry(call, name)?;
        let (inner, alias) = (self.clone(), alias.to_owned());
        let work = async move {
            let (tenant, function) = (entry.latest.tenant, entry.latest.name.clone());
            inner
                .attach(tenant, &function, move |_, attachments| {
                    if attachments.aliases.contains_key(&alias) {
                        attachments.forget(&alias);
                    }
                    Ok(())
                })
                .await?;
            inner.provision_all(tenant, &function, Some(&entry));
            Ok(empty(StatusCode::NO_CONTENT))
        };
        finish(work).await
    }

    pub(super) fn list_aliases(&self, call: &Call<'_>, name: &str) -> Result<Answer, ApiError> {
        let entry = self.find_entry(call, name)?;
        let of = PageOf::read(call, ITEMS_MAX, PAGE_MAX)?;
        let version = call.query("FunctionVersion");
        let means = |alias: &Alias| {
            let Some(asked) = &version else { return true };
            let further = alias.weights.keys().any(|number| number.to_string() == *asked);
            further || alias.version.to_string() == *asked
        };
        let after = of.after.as_deref().unwrap_or("");
        let found = entry.attachments.aliases.iter();
        let mut rest = found.filter(|(name, alias)| name.as_str() > after && means(alias));
        let page: Vec<_> = rest.by_ref().take(of.limit).collect();
        let last = page.last().filter(|_| rest.next().is_some());
        let next_marker = last.map(|(name, _)| marker(name));
        let aliases =
            page.into_iter().map(|(name, alias)| Shown::of(&entry.latest, name, alias)).collect();
        json_answer(StatusCode::OK, &ListAnswer { next_marker, aliases })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Setting {
    Create,
    Update,
}

/// What the alias becomes.
fn changed(
    entry: &Entry,
    name: &str,
    now: Option<&Alias>,
    request: AliasRequest,
    setting: Setting,
) -> Result<Alias, ApiError> {
    let arn = || format!("{}:{name}", entry.latest.arn());
    let mut alias = match (setting, now) {
        (Setting::Create, Some(_)) => {
            let message = format!("Alias already exists: {}", arn());
            return Err(ApiError::new(ErrorKind::ResourceConflict, message));
        }
        (Setting::Update, None) => {
            let message = format!("Alias not found: {}", arn());
            return Err(ApiError::new(ErrorKind::ResourceNotFound, message));
        }
        (Setting::Update, Some(now)) => now.clone(),
        (Setting::Create, None) => Alias {
            version: Version::Latest,
            description: String::new(),
            weights: BTreeMap::new(),
            revision_id: String::new(),
        },
    };
    if let Some(given) = request.revision_id.as_deref().filter(|id| !id.is_empty())
        && given != alias.revision_id
    {
        return Err(revision_error());
    }
    if let Some(version) = &request.function_version {
        alias.version = existing(entry, version)?;
    }
    if let Some(routing) = request.routing_config {
        alias.weights =
            read_weights(entry, routing.additional_version_weights.unwrap_or_default())?;
    }
    if let Some(description) = request.description {
        alias.description = description;
    }
    if !alias.weights.is_empty() {
        match alias.version {
            Version::Latest => {
                return Err(ApiError::parameter(
                    "$LATEST is not supported for an alias pointing to more than 1 version",
                ));
            }
            Version::Number(number) if alias.weights.contains_key(&number) => {
                return Err(ApiError::parameter(format!(
                    "Invalid function version {number}. Function version {number} is already \
                     included in routing configuration."
                )));
            }
            Version::Number(_) => {}
        }
    }
    alias.revision_id = uuid::Uuid::new_v4().to_string();
    Ok(alias)
}

fn existing(entry: &Entry, text: &str) -> Result<Version, ApiError> {
    let version = text.parse().ok().filter(|version| entry.version(*version).is_some());
    version.ok_or_else(|| ApiError::no_function(&format!("{}:{text}", entry.latest.arn())))
}

fn read_weights(
    entry: &Entry,
    asked: BTreeMap<String, f64>,
) -> Result<BTreeMap<u64, f64>, ApiError> {
    if asked.len() > FURTHER_MAX {
        return Err(ApiError::parameter(format!(
            "Number of items in AdditionalVersionWeights cannot be greater than {FURTHER_MAX}"
        )));
    }
    let mut weights = BTreeMap::new();
    for (text, weight) in asked {
        if let Version::Number(number) = existing(entry, &text)? {
            weights.insert(number, weight);
        }
    }
    Ok(weights)
}

fn check(request: &AliasRequest, violations: &mut Violations) {
    if let Some(name) = &request.name {
        violations.check_length(name, "name", NAME_MAX);
        let is_word = !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        if !is_word || name.bytes().all(|byte| byte.is_ascii_digit()) {
            violations.add(name, "name", Constraint::Pattern(NAME_PATTERN));
        }
    }
    if let Some(version) = &request.function_version
        && !is_version(version)
        && version != "$LATEST"
    {
        violations.add(version, "functionVersion", Constraint::Pattern(VERSION_PATTERN));
    }
    if let Some(description) = &request.description {
        settings::check_description(description, violations);
    }
    let weights =
        request.routing_config.as_ref().and_then(|r| r.additional_version_weights.as_ref());
    for (version, weight) in weights.into_iter().flatten() {
        let (shown, at) =
            (format!("{{{version}={weight}}}"), "routingConfig.additionalVersionWeights");
        if !(0.0..=1.0).contains(weight) {
            violations.add(&shown, at, Constraint::ValuesIn("0.0", "1.0"));
        }
        if !is_version(version) {
            violations.add(&shown, at, Constraint::KeysPattern("[0-9]+"));
        }
    }
}

fn is_version(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
