//! Schedules of EventBridge Scheduler's default group.

use super::input::{
    Owner, TargetRequest, check_description, check_expression, check_name, check_zone, is_enabled,
};
use super::{invalid, json, page, parse, refuse, unix_ms};
use crate::answer::Answer;
use crate::canonical::decode_path;
use crate::engine::Engine;
use crate::error::{ApiError, ErrorKind};
use crate::gateway::{Call, Inner};
use catalog::{ScheduleEntry, ScheduleError, ScheduleKey, ScheduleKind, ScheduleTarget};
use serde::Deserialize;
use serde_json::{Map, Value, json as value};
use std::collections::BTreeMap;
use std::sync::Arc;

const CONTENT_TYPE: &str = "application/json";
/// The one target of a schedule, which has no id.
const TARGET: &str = "target";
/// Bytes of a target's input: those of an asynchronous invocation, at most.
const INPUT_MAX: usize = 256 << 10;
/// Entries on one page (service model, MaxResults).
const PAGE_MAX: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ScheduleRequest {
    group_name: Option<String>,
    schedule_expression: Option<String>,
    start_date: Option<f64>,
    end_date: Option<f64>,
    description: Option<String>,
    schedule_expression_timezone: Option<String>,
    state: Option<String>,
    target: Option<TargetRequest>,
    flexible_time_window: Option<Window>,
    action_after_completion: Option<String>,
    /// Names are unique, so that a request which is sent twice is told apart by its name.
    #[serde(rename = "ClientToken")]
    _client_token: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Window {
    mode: String,
}

impl<E: Engine> Inner<E> {
    /// Answers a request that was signed for EventBridge Scheduler.
    pub(crate) async fn schedules_service(
        self: &Arc<Self>,
        call: Call<'_>,
    ) -> Result<Answer, ApiError> {
        let path = call.parts.uri.path().trim_end_matches('/');
        let body = match (call.parts.method.as_str(), path.strip_prefix("/schedules")) {
            ("GET", Some("")) => self.list_schedules(&call)?,
            (method, Some(name)) if name.starts_with('/') => {
                let name = decode_path(&name[1..]);
                check_name(&name)?;
                let (tenant, kind) = (call.tenant(), ScheduleKind::Schedule);
                let key = ScheduleKey { tenant, kind, name: name.into_owned() };
                match method {
                    "POST" => self.put_schedule(&call, key, Put::Create).await?,
                    "PUT" => self.put_schedule(&call, key, Put::Update).await?,
                    "GET" => self.get_schedule(&call, &key)?,
                    "DELETE" => self.delete_schedule(&call, key).await?,
                    _ => return Err(unknown(&call)),
                }
            }
            _ if path.starts_with("/schedule-groups") || path.starts_with("/tags/") => {
                return Err(ApiError::new(
                    ErrorKind::NotImplemented,
                    "Schedule groups and tags are not implemented by this platform, which has the group default only.",
                ));
            }
            _ => return Err(unknown(&call)),
        };
        Ok(json(&body, CONTENT_TYPE))
    }

    fn schedule_arn(&self, key: &ScheduleKey) -> String {
        format!("arn:aws:scheduler:{}:{}:schedule/default/{}", self.region, key.tenant, key.name)
    }

    async fn put_schedule(
        self: &Arc<Self>,
        call: &Call<'_>,
        key: ScheduleKey,
        put: Put,
    ) -> Result<Value, ApiError> {
        let asked: ScheduleRequest = parse(&call.body)?;
        let owner = Owner { tenant: call.tenant(), region: &self.region };
        let entry = asked.check(key.clone(), owner)?;
        let edit = move |before: Option<&ScheduleEntry>| {
            let name = entry.key.name.clone();
            match (before, put) {
                (Some(_), Put::Create) => Err(ScheduleError::Exists { name }.into()),
                (None, Put::Update) => Err(super::no_schedule(&entry.key)),
                (None, Put::Create) => Ok(entry),
                (Some(before), Put::Update) => {
                    Ok(ScheduleEntry { created_unix_ms: before.created_unix_ms, ..entry })
                }
            }
        };
        let arn = self.schedule_arn(&key);
        self.edit_schedule(key, edit).await?;
        Ok(value!({ "ScheduleArn": arn }))
    }

    fn get_schedule(&self, call: &Call<'_>, key: &ScheduleKey) -> Result<Value, ApiError> {
        check_group(call.query("groupName").as_deref())?;
        let entry = self.schedule(key)?;
        let mut body = self.summary(&entry);
        let optional = [
            ("Description", entry.description.clone().map(Value::from)),
            ("StartDate", entry.start_unix_ms.map(seconds)),
            ("EndDate", entry.end_unix_ms.map(seconds)),
        ];
        body.extend(optional.into_iter().filter_map(|(name, it)| Some((name.to_owned(), it?))));
        let action = if entry.is_removed_at_end { "DELETE" } else { "NONE" };
        let others = [
            ("ScheduleExpression", value!(entry.expression)),
            ("ScheduleExpressionTimezone", value!(entry.zone)),
            ("FlexibleTimeWindow", value!({ "Mode": "OFF" })),
            ("ActionAfterCompletion", value!(action)),
        ];
        body.extend(others.into_iter().map(|(name, it)| (name.to_owned(), it)));
        if let Some(it) = entry.targets.get(TARGET) {
            body.insert("Target".to_owned(), Value::Object(target(it)));
        }
        Ok(Value::Object(body))
    }

    fn summary(&self, entry: &ScheduleEntry) -> Map<String, Value> {
        let arn = entry.targets.get(TARGET).map(|target| target.arn.as_str());
        let summary = value!({
            "Arn": self.schedule_arn(&entry.key),
            "Name": entry.key.name,
            "GroupName": "default",
            "State": if entry.is_enabled { "ENABLED" } else { "DISABLED" },
            "CreationDate": seconds(entry.created_unix_ms),
            "LastModificationDate": seconds(entry.modified_unix_ms),
            "Target": { "Arn": arn },
        });
        match summary {
            Value::Object(members) => members,
            _ => Map::new(),
        }
    }

    fn list_schedules(&self, call: &Call<'_>) -> Result<Value, ApiError> {
        check_group(call.query("ScheduleGroup").as_deref())?;
        let prefix = call.query("NamePrefix").unwrap_or_default();
        let state = call.query("State");
        let wanted = state.as_deref().map(|state| is_enabled(Some(state))).transpose()?;
        let mut all = self.catalog.schedules().list(call.tenant(), ScheduleKind::Schedule);
        all.retain(|entry| {
            entry.key.name.starts_with(&prefix) && wanted.is_none_or(|it| it == entry.is_enabled)
        });
        let limit = match call.query("MaxResults").map(|text| text.parse::<usize>()) {
            None => PAGE_MAX,
            Some(Ok(limit)) if (1..=PAGE_MAX).contains(&limit) => limit,
            Some(_) => return Err(invalid(format!("MaxResults must be 1 to {PAGE_MAX}."))),
        };
        let (found, next) = page(all, |it| &it.key.name, call.query("NextToken").as_deref(), limit);
        let found: Vec<Value> = found.iter().map(|it| Value::Object(self.summary(it))).collect();
        let mut body = Map::new();
        body.insert("Schedules".to_owned(), found.into());
        if let Some(next) = next {
            body.insert("NextToken".to_owned(), next.into());
        }
        Ok(Value::Object(body))
    }

    async fn delete_schedule(
        self: &Arc<Self>,
        call: &Call<'_>,
        key: ScheduleKey,
    ) -> Result<Value, ApiError> {
        check_group(call.query("groupName").as_deref())?;
        match self.remove_schedule(key.clone()).await? {
            true => Ok(value!({})),
            false => Err(super::no_schedule(&key)),
        }
    }
}

/// Whether a schedule may be there already.
#[derive(Clone, Copy)]
enum Put {
    Create,
    Update,
}

impl ScheduleRequest {
    fn check(self, key: ScheduleKey, owner: Owner<'_>) -> Result<ScheduleEntry, ApiError> {
        refuse(&self.rest)?;
        check_group(self.group_name.as_deref())?;
        check_description(self.description.as_deref())?;
        let missing = |name| invalid(format!("{name} is missing."));
        let expression = self.schedule_expression.ok_or_else(|| missing("ScheduleExpression"))?;
        check_expression(&expression)?;
        let zone = self.schedule_expression_timezone.unwrap_or_else(|| "UTC".to_owned());
        check_zone(&zone)?;
        let window = self.flexible_time_window.ok_or_else(|| missing("FlexibleTimeWindow"))?;
        if window.mode != "OFF" {
            return Err(invalid(
                "FlexibleTimeWindow Mode FLEXIBLE is not supported by this platform: give OFF.",
            ));
        }
        let is_removed_at_end = match self.action_after_completion.as_deref() {
            None | Some("NONE") => false,
            Some("DELETE") => true,
            Some(other) => {
                return Err(invalid(format!(
                    "ActionAfterCompletion {other:?} must be NONE or DELETE."
                )));
            }
        };
        let target = self.target.ok_or_else(|| missing("Target"))?;
        let target = target.check(owner, INPUT_MAX)?;
        if target.role.is_none() {
            return Err(missing("RoleArn of the Target"));
        }
        let (start_unix_ms, end_unix_ms) = (self.start_date.map(ms), self.end_date.map(ms));
        if let (Some(start), Some(end)) = (start_unix_ms, end_unix_ms)
            && end < start
        {
            return Err(invalid("The EndDate you specify must come after the StartDate."));
        }
        let now = unix_ms();
        Ok(ScheduleEntry {
            key,
            expression,
            zone,
            start_unix_ms,
            end_unix_ms,
            is_enabled: is_enabled(self.state.as_deref())?,
            description: self.description,
            role: None,
            targets: BTreeMap::from([(TARGET.to_owned(), target)]),
            is_removed_at_end,
            created_unix_ms: now,
            modified_unix_ms: now,
            anchor_unix_ms: now,
        })
    }
}

/// A target's members, without its id.
pub(super) fn target(target: &ScheduleTarget) -> Map<String, Value> {
    let mut shown = Map::new();
    shown.insert("Arn".to_owned(), target.arn.clone().into());
    for (name, text) in [("RoleArn", &target.role), ("Input", &target.input)] {
        if let Some(text) = text {
            shown.insert(name.to_owned(), text.clone().into());
        }
    }
    if target.retries.is_some() || target.age_s.is_some() {
        let mut policy = Map::new();
        let numbers =
            [("MaximumRetryAttempts", target.retries), ("MaximumEventAgeInSeconds", target.age_s)];
        for (name, number) in numbers {
            if let Some(number) = number {
                policy.insert(name.to_owned(), number.into());
            }
        }
        shown.insert("RetryPolicy".to_owned(), Value::Object(policy));
    }
    shown
}

fn check_group(name: Option<&str>) -> Result<(), ApiError> {
    match name {
        None | Some("default") => Ok(()),
        Some(name) => Err(ApiError::new(
            ErrorKind::ResourceNotFound,
            format!("Schedule group {name} does not exist: this platform has default only."),
        )),
    }
}

fn unknown(call: &Call<'_>) -> ApiError {
    let (method, path) = (&call.parts.method, call.parts.uri.path());
    let message = format!("{method} {path} is no operation of EventBridge Scheduler.");
    ApiError::new(ErrorKind::UnknownOperation, message)
}

/// Seconds since 1970, as this service writes times.
fn seconds(unix_ms: i64) -> Value {
    value!(unix_ms as f64 / 1000.0)
}

fn ms(seconds: f64) -> i64 {
    // Out of all bounds, it is cut to them.
    (seconds * 1000.0) as i64
}
