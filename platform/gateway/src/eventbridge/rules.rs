//! Rules of EventBridge's default event bus, as far as they are started by the clock.

use super::input::{
    Owner, TargetRequest, check_description, check_expression, check_name, is_enabled,
};
use super::{invalid, json, no_schedule, page, parse, refuse, unix_ms};
use crate::answer::Answer;
use crate::engine::Engine;
use crate::error::{ApiError, ErrorKind};
use crate::gateway::{Call, Inner, answer};
use catalog::{ScheduleEntry, ScheduleKey, ScheduleKind, ScheduleTarget};
use http::HeaderValue;
use model::TenantId;
use serde::Deserialize;
use serde_json::{Map, Value, json as value};
use std::sync::Arc;
use timetable::Expression;

const CONTENT_TYPE: &str = "application/x-amz-json-1.1";
const TARGET_PREFIX: &str = "AWSEvents.";
/// Targets of one rule (EventBridge quotas, 2026-11).
const TARGETS_MAX: usize = 5;
/// Bytes of a target's input (service model, TargetInput).
const INPUT_MAX: usize = 8192;
/// Entries on one page (service model, LimitMax100).
const PAGE_MAX: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutRule {
    name: Option<String>,
    schedule_expression: Option<String>,
    event_pattern: Option<String>,
    state: Option<String>,
    description: Option<String>,
    role_arn: Option<String>,
    tags: Option<Vec<Value>>,
    event_bus_name: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// What the other operations are asked of.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Of {
    name: Option<String>,
    rule: Option<String>,
    event_bus_name: Option<String>,
    name_prefix: Option<String>,
    next_token: Option<String>,
    limit: Option<usize>,
    targets: Option<Vec<TargetRequest>>,
    ids: Option<Vec<String>>,
    /// Rules that services manage are the only ones that it is for, and there are none.
    #[serde(rename = "Force")]
    _force: Option<bool>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Of {
    fn read(call: &Call<'_>) -> Result<Self, ApiError> {
        let of: Self = parse(&call.body)?;
        refuse(&of.rest)?;
        check_bus(of.event_bus_name.as_deref())?;
        Ok(of)
    }

    fn key(&self, tenant: TenantId) -> Result<ScheduleKey, ApiError> {
        let name = self.name.as_ref().or(self.rule.as_ref());
        let name = name.ok_or_else(|| invalid("The rule's name is missing."))?;
        check_name(name)?;
        Ok(ScheduleKey { tenant, kind: ScheduleKind::Rule, name: name.clone() })
    }

    fn limit(&self) -> usize {
        self.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX)
    }
}

impl<E: Engine> Inner<E> {
    /// Answers a request that was signed for EventBridge.
    pub(crate) async fn rules_service(self: &Arc<Self>, call: Call<'_>) -> Answer {
        let target = call.parts.headers.get("x-amz-target").and_then(|it| it.to_str().ok());
        let operation = target.and_then(|target| target.strip_prefix(TARGET_PREFIX));
        let result = match operation.unwrap_or("") {
            "PutRule" => self.put_rule(&call).await,
            "DescribeRule" => self.describe_rule(&call),
            "ListRules" => self.list_rules(&call),
            "DeleteRule" => self.delete_rule(&call).await,
            "EnableRule" => self.switch_rule(&call, true).await,
            "DisableRule" => self.switch_rule(&call, false).await,
            "PutTargets" => self.put_targets(&call).await,
            "ListTargetsByRule" => self.list_targets(&call),
            "RemoveTargets" => self.remove_targets(&call).await,
            "" => Err(ApiError::new(
                ErrorKind::UnknownOperation,
                "The header X-Amz-Target names no operation of EventBridge (AWSEvents.…).",
            )),
            other => Err(ApiError::new(
                ErrorKind::NotImplemented,
                format!(
                    "{other} is not implemented by this platform, which has rules with a ScheduleExpression only."
                ),
            )),
        };
        match result {
            Ok(body) => json(&body, CONTENT_TYPE),
            Err(error) => error_answer(&error),
        }
    }

    fn owner(&self, call: &Call<'_>) -> Owner<'_> {
        Owner { tenant: call.tenant(), region: &self.region }
    }

    fn rule_arn(&self, key: &ScheduleKey) -> String {
        format!("arn:aws:events:{}:{}:rule/{}", self.region, key.tenant, key.name)
    }

    async fn put_rule(self: &Arc<Self>, call: &Call<'_>) -> Result<Value, ApiError> {
        let asked: PutRule = parse(&call.body)?;
        refuse(&asked.rest)?;
        check_bus(asked.event_bus_name.as_deref())?;
        if asked.event_pattern.is_some() {
            return Err(invalid(
                "EventPattern is not supported by this platform, which has no events on a bus: give a ScheduleExpression.",
            ));
        }
        if asked.tags.is_some_and(|tags| !tags.is_empty()) {
            return Err(invalid("Not supported by this platform, leave it out: Tags."));
        }
        let name = asked.name.ok_or_else(|| invalid("Name is missing."))?;
        check_name(&name)?;
        check_description(asked.description.as_deref())?;
        let expression = asked.schedule_expression.ok_or_else(|| {
            invalid("Parameter(s) EventPattern or ScheduleExpression must be specified.")
        })?;
        if let Expression::At(_) = check_expression(&expression)? {
            return Err(invalid(
                "Parameter ScheduleExpression is not valid: a rule takes rate(…) and cron(…); at(…) is for EventBridge Scheduler.",
            ));
        }
        let is_enabled = is_enabled(asked.state.as_deref())?;
        let key = ScheduleKey { tenant: call.tenant(), kind: ScheduleKind::Rule, name };
        let (description, role) = (asked.description, asked.role_arn);
        let of = key.clone();
        let edit = move |before: Option<&ScheduleEntry>| {
            let now = unix_ms();
            Ok(ScheduleEntry {
                key: of,
                expression,
                zone: "UTC".to_owned(),
                start_unix_ms: None,
                end_unix_ms: None,
                is_enabled,
                description,
                role,
                targets: before.map(|it| it.targets.clone()).unwrap_or_default(),
                is_removed_at_end: false,
                created_unix_ms: before.map_or(now, |it| it.created_unix_ms),
                modified_unix_ms: now,
                anchor_unix_ms: now,
            })
        };
        let arn = self.rule_arn(&key);
        self.edit_schedule(key, edit).await?;
        Ok(value!({ "RuleArn": arn }))
    }

    fn describe_rule(&self, call: &Call<'_>) -> Result<Value, ApiError> {
        let entry = self.schedule(&Of::read(call)?.key(call.tenant())?)?;
        let mut rule = self.rule(&entry);
        if let Value::Object(members) = &mut rule {
            members.insert("CreatedBy".to_owned(), entry.key.tenant.to_string().into());
        }
        Ok(rule)
    }

    fn rule(&self, entry: &ScheduleEntry) -> Value {
        let mut rule = value!({
            "Name": entry.key.name,
            "Arn": self.rule_arn(&entry.key),
            "ScheduleExpression": entry.expression,
            "State": if entry.is_enabled { "ENABLED" } else { "DISABLED" },
            "EventBusName": "default",
        });
        for (name, text) in [("Description", &entry.description), ("RoleArn", &entry.role)] {
            if let (Some(text), Value::Object(members)) = (text, &mut rule) {
                members.insert(name.to_owned(), text.clone().into());
            }
        }
        rule
    }

    fn list_rules(&self, call: &Call<'_>) -> Result<Value, ApiError> {
        let of = Of::read(call)?;
        let mut all = self.catalog.schedules().list(call.tenant(), ScheduleKind::Rule);
        let prefix = of.name_prefix.as_deref().unwrap_or("");
        all.retain(|entry| entry.key.name.starts_with(prefix));
        let (rules, next) = page(all, |it| &it.key.name, of.next_token.as_deref(), of.limit());
        let rules: Vec<Value> = rules.iter().map(|entry| self.rule(entry)).collect();
        Ok(with_next(value!({ "Rules": rules }), next))
    }

    async fn delete_rule(self: &Arc<Self>, call: &Call<'_>) -> Result<Value, ApiError> {
        let key = Of::read(call)?.key(call.tenant())?;
        let entry = self.catalog.schedules().get(&key);
        if entry.is_some_and(|(entry, _)| !entry.targets.is_empty()) {
            return Err(invalid("Rule can't be deleted since it has targets."));
        }
        self.remove_schedule(key).await?;
        Ok(value!({}))
    }

    async fn switch_rule(
        self: &Arc<Self>,
        call: &Call<'_>,
        is_enabled: bool,
    ) -> Result<Value, ApiError> {
        let key = Of::read(call)?.key(call.tenant())?;
        self.change_rule(key, move |entry| {
            entry.is_enabled = is_enabled;
            Ok(())
        })
        .await?;
        Ok(value!({}))
    }

    async fn put_targets(self: &Arc<Self>, call: &Call<'_>) -> Result<Value, ApiError> {
        let mut of = Of::read(call)?;
        let key = of.key(call.tenant())?;
        let asked = of.targets.take().filter(|targets| !targets.is_empty());
        let asked = asked.ok_or_else(|| invalid("Targets is missing."))?;
        let mut targets = Vec::new();
        for mut target in asked {
            let id = target.id.take().ok_or_else(|| invalid("A target needs an Id."))?;
            check_name(&id)?;
            targets.push((id, target.check(self.owner(call), INPUT_MAX)?));
        }
        self.change_rule(key, move |entry| {
            entry.targets.extend(targets);
            if entry.targets.len() > TARGETS_MAX {
                let message = format!("A rule may have at most {TARGETS_MAX} targets.");
                return Err(ApiError::new(ErrorKind::LimitExceeded, message));
            }
            Ok(())
        })
        .await?;
        Ok(value!({ "FailedEntryCount": 0, "FailedEntries": [] }))
    }

    fn list_targets(&self, call: &Call<'_>) -> Result<Value, ApiError> {
        let of = Of::read(call)?;
        let entry = self.schedule(&of.key(call.tenant())?)?;
        let all: Vec<_> = entry.targets.iter().collect();
        let (targets, next) = page(all, |(id, _)| id, of.next_token.as_deref(), of.limit());
        let targets: Vec<_> = targets.into_iter().map(|(id, target)| shown(id, target)).collect();
        Ok(with_next(value!({ "Targets": targets }), next))
    }

    async fn remove_targets(self: &Arc<Self>, call: &Call<'_>) -> Result<Value, ApiError> {
        let mut of = Of::read(call)?;
        let key = of.key(call.tenant())?;
        let ids = of.ids.take().ok_or_else(|| invalid("Ids is missing."))?;
        self.change_rule(key, move |entry| {
            entry.targets.retain(|id, _| !ids.contains(id));
            Ok(())
        })
        .await?;
        Ok(value!({ "FailedEntryCount": 0, "FailedEntries": [] }))
    }

    async fn change_rule(
        self: &Arc<Self>,
        key: ScheduleKey,
        change: impl FnOnce(&mut ScheduleEntry) -> Result<(), ApiError> + Send + 'static,
    ) -> Result<(), ApiError> {
        let of = key.clone();
        let edit = move |before: Option<&ScheduleEntry>| {
            let mut entry = before.ok_or_else(|| no_schedule(&of))?.clone();
            change(&mut entry)?;
            entry.modified_unix_ms = unix_ms();
            Ok(entry)
        };
        self.edit_schedule(key, edit).await.map(drop)
    }
}

fn shown(id: &str, target: &ScheduleTarget) -> Value {
    let mut shown = Map::new();
    shown.insert("Id".to_owned(), id.into());
    shown.extend(super::schedules::target(target));
    Value::Object(shown)
}

fn with_next(mut body: Value, next: Option<String>) -> Value {
    if let (Some(next), Value::Object(members)) = (next, &mut body) {
        members.insert("NextToken".to_owned(), next.into());
    }
    body
}

fn check_bus(name: Option<&str>) -> Result<(), ApiError> {
    match name {
        None | Some("default") => Ok(()),
        Some(name) if name.ends_with(":event-bus/default") => Ok(()),
        Some(name) => Err(ApiError::new(
            ErrorKind::ResourceNotFound,
            format!("Event bus {name} does not exist: this platform has the default one only."),
        )),
    }
}

/// An error in the form that clients of this service read.
fn error_answer(error: &ApiError) -> Answer {
    let (code, status) = (error.kind().code(), error.kind().status());
    // JSON 1.1 knows the status 400 for whatever is the caller's fault.
    let status = if status.is_client_error() { http::StatusCode::BAD_REQUEST } else { status };
    let body = value!({ "__type": code, "message": error.message() });
    let mut answer = answer(status, body.to_string().into(), CONTENT_TYPE);
    answer.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(code));
    answer
}
