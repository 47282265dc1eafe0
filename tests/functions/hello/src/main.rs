//! Answers with its event, when it began, and after the pause that the event asks for.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

async fn handler(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let started = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
    if let Some(hold_ms) = event.payload.get("hold_ms").and_then(Value::as_u64) {
        tokio::time::sleep(Duration::from_millis(hold_ms)).await;
    }
    if let Some(message) = event.payload.get("fail").and_then(Value::as_str) {
        return Err(message.to_owned().into());
    }
    Ok(json!({
        "event": event.payload,
        "started_unix_ns": started,
        "request_id": event.context.request_id,
        "arn": event.context.invoked_function_arn,
    }))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::run(service_fn(handler)).await
}
