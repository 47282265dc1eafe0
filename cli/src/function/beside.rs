//! What a function has beside itself: a URL, and schedules that start it.

use super::put::{FUNCTIONS, Schedule, UrlPlan};
use crate::client::{Ask, CallError, Client, encode};
use anyhow::Context;
use http::Method;
use serde_json::{Value, json};

/// Gives a function its URL, and, where that is open to all, says so in its policy. Returns the URL.
pub async fn url(client: &Client, name: &str, plan: &UrlPlan) -> anyhow::Result<String> {
    let cannot = || format!("cannot give {name} a URL");
    let path = format!("/2021-10-31/functions/{}/url", encode(name));
    let mut body = json!({"AuthType": plan.auth});
    if let Some(mode) = &plan.mode {
        body["InvokeMode"] = json!(mode);
    }
    if let Some(cors) = &plan.cors {
        body["Cors"] = cors.clone();
    }
    let ask = |method| client.call(Ask::lambda(method, path.clone()).json(&body));
    let answer = match ask(Method::POST).await {
        Err(error) if error.code() == "ResourceConflictException" => ask(Method::PUT).await,
        answer => answer,
    };
    let answer = answer.with_context(cannot)?.json()?;
    let url = answer.get("FunctionUrl").and_then(Value::as_str).with_context(cannot)?.to_owned();
    if plan.auth == "NONE" {
        open(client, name)
            .await
            .with_context(|| format!("cannot open the URL of {name} to all"))?;
    }
    Ok(url)
}

/// Lets everyone ask a URL of a function. It takes both statements since October 2025.
async fn open(client: &Client, name: &str) -> Result<(), CallError> {
    let statements = [
        json!({
            "StatementId": "FunctionURLAllowPublicAccess",
            "Action": "lambda:InvokeFunctionUrl",
            "Principal": "*",
            "FunctionUrlAuthType": "NONE",
        }),
        json!({
            "StatementId": "FunctionURLAllowInvoke",
            "Action": "lambda:InvokeFunction",
            "Principal": "*",
            "InvokedViaFunctionUrl": true,
        }),
    ];
    let path = format!("{FUNCTIONS}/{}/policy", encode(name));
    for statement in statements {
        let ask = Ask::lambda(Method::POST, path.clone()).json(&statement);
        match client.call(ask).await {
            Err(error) if error.code() != "ResourceConflictException" => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Has a function started by a schedule of EventBridge Scheduler.
pub async fn schedule(
    client: &Client,
    arn: &str,
    (schedule, role): (&Schedule, &str),
) -> anyhow::Result<()> {
    let mut target = json!({"Arn": arn, "RoleArn": role});
    if let Some(input) = &schedule.input {
        target["Input"] = json!(input);
    }
    let mut body = json!({
        "ScheduleExpression": schedule.expression,
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "State": if schedule.is_enabled { "ENABLED" } else { "DISABLED" },
        "Target": target,
    });
    if let Some(zone) = &schedule.zone {
        body["ScheduleExpressionTimezone"] = json!(zone);
    }
    let path = format!("/schedules/{}", encode(&schedule.name));
    let ask = |method| client.call(Ask::scheduler(method, path.clone()).json(&body));
    let answer = match ask(Method::POST).await {
        Err(error) if error.code() == "ConflictException" => ask(Method::PUT).await,
        answer => answer,
    };
    answer.with_context(|| format!("cannot make the schedule {}", schedule.name)).map(drop)
}
