//! What names, times and targets of schedules may be.
//!
//! Source of patterns and limits: the service models, and the quotas of EventBridge, 2026-11.

use super::{invalid, refuse};
use crate::error::ApiError;
use catalog::ScheduleTarget;
use jiff::tz::TimeZone;
use model::TenantId;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use timetable::Expression;

const NAME_MAX: usize = 64;
const DESCRIPTION_MAX: usize = 512;
const EXPRESSION_MAX: usize = 256;

/// A target, as rules and schedules have it in common.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TargetRequest {
    pub id: Option<String>,
    arn: Option<String>,
    role_arn: Option<String>,
    input: Option<String>,
    retry_policy: Option<RetryPolicy>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RetryPolicy {
    maximum_retry_attempts: Option<u32>,
    maximum_event_age_in_seconds: Option<u32>,
}

/// Who asks, and where this platform is.
#[derive(Clone, Copy)]
pub(super) struct Owner<'a> {
    pub tenant: TenantId,
    pub region: &'a str,
}

impl TargetRequest {
    /// The target, checked; its input has `input_max` bytes at most.
    pub fn check(self, owner: Owner<'_>, input_max: usize) -> Result<ScheduleTarget, ApiError> {
        refuse(&self.rest)?;
        let arn = self.arn.ok_or_else(|| invalid("A target needs an Arn."))?;
        check_arn(&arn, owner)?;
        if let Some(input) = &self.input {
            if input.len() > input_max {
                let size = input.len();
                return Err(invalid(format!(
                    "Input has {size} bytes, and may have at most {input_max}."
                )));
            }
            if let Err(error) = serde_json::from_str::<IgnoredAny>(input) {
                return Err(invalid(format!("Input must be JSON: {error}.")));
            }
        }
        let (mut retries, mut age_s) = (None, None);
        if let Some(policy) = self.retry_policy {
            retries = policy.maximum_retry_attempts;
            age_s = policy.maximum_event_age_in_seconds;
            if retries.is_some_and(|retries| retries > 185) {
                return Err(invalid("MaximumRetryAttempts must be 0 to 185."));
            }
            if age_s.is_some_and(|age| !(60..=86_400).contains(&age)) {
                return Err(invalid("MaximumEventAgeInSeconds must be 60 to 86400."));
            }
        }
        Ok(ScheduleTarget { arn, role: self.role_arn, input: self.input, retries, age_s })
    }
}

/// Only functions of the caller's own account can be started.
fn check_arn(arn: &str, owner: Owner<'_>) -> Result<(), ApiError> {
    let parts: Vec<&str> = arn.split(':').collect();
    let account = owner.tenant.to_string();
    match parts[..] {
        ["arn", _, "lambda", region, of, "function", name]
        | ["arn", _, "lambda", region, of, "function", name, _]
            if region == owner.region && of == account && !name.is_empty() =>
        {
            Ok(())
        }
        _ => Err(invalid(format!(
            "{arn} cannot be a target on this platform, which starts functions of the own account only: give \
             arn:aws:lambda:{}:{account}:function:NAME.",
            owner.region
        ))),
    }
}

/// A name of a rule or schedule.
pub(super) fn check_name(name: &str) -> Result<(), ApiError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(fits) {
        return Err(invalid(format!(
            "Name {name:?} must have 1 to {NAME_MAX} letters, digits, dots, hyphens or underscores."
        )));
    }
    Ok(())
}

pub(super) fn check_description(description: Option<&str>) -> Result<(), ApiError> {
    match description.map(|text| text.chars().count()) {
        Some(count) if count > DESCRIPTION_MAX => Err(invalid(format!(
            "Description has {count} characters, and may have at most {DESCRIPTION_MAX}."
        ))),
        _ => Ok(()),
    }
}

pub(super) fn check_expression(text: &str) -> Result<Expression, ApiError> {
    if text.len() > EXPRESSION_MAX {
        return Err(invalid(format!(
            "ScheduleExpression may have at most {EXPRESSION_MAX} characters."
        )));
    }
    text.parse().map_err(|error| invalid(format!("ScheduleExpression is not valid: {error}.")))
}

pub(super) fn check_zone(name: &str) -> Result<(), ApiError> {
    let known = TimeZone::get(name);
    known.map(drop).map_err(|_| {
        invalid(format!(
            "ScheduleExpressionTimezone {name:?} is no time zone of the IANA database, as in Europe/Berlin."
        ))
    })
}

/// True for ENABLED, which is also meant where nothing is said.
pub(super) fn is_enabled(state: Option<&str>) -> Result<bool, ApiError> {
    match state {
        None | Some("ENABLED") => Ok(true),
        Some("DISABLED") => Ok(false),
        Some(other) => Err(invalid(format!("State {other:?} must be ENABLED or DISABLED here."))),
    }
}
