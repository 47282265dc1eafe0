//! What a destination is told: Lambda's invocation record.
//!
//! Members as in the Lambda developer guide, "Adding a destination", 2026-11.

use crate::{Ended, Letter};
use bytes::Bytes;
use queue::Condition;
use serde::de::IgnoredAny;
use std::fmt::Write;

/// What a record is made of.
pub(crate) struct Facts<'a> {
    pub letter: &'a Letter,
    pub function_arn: &'a str,
    pub condition: Condition,
    pub runs: u32,
    /// What the last run came to, where there was one and its answer is at hand.
    pub ended: Option<&'a Ended>,
}

/// Bytes of a response that a record repeats; a larger one is left out, so that the record is a payload that an
/// asynchronous invocation takes.
const RESPONSE_BYTES: usize = 512 << 10;
/// Bytes of a request's payload that a record repeats.
const REQUEST_BYTES: usize = 256 << 10;

/// The record as JSON; `timestamp` is RFC 3339 with milliseconds. A payload that would make it larger than an event may
/// be is left out of it.
pub(crate) fn record(facts: &Facts<'_>, timestamp: String) -> Bytes {
    let condition = match facts.condition {
        Condition::Success => "Success",
        Condition::EventAgeExceeded => "EventAgeExceeded",
        Condition::RetriesExhausted | Condition::Barred | Condition::NoFunction => {
            "RetriesExhausted"
        }
    };
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut text = format!(
        r#"{{"version":"1.0","timestamp":{},"requestContext":{{"requestId":{},"functionArn":{},"condition":"{condition}","approximateInvokeCount":{}}},"requestPayload":"#,
        quoted(&timestamp),
        quoted(&facts.letter.request_id),
        quoted(facts.function_arn),
        facts.runs,
    );
    text.push_str(json(&facts.letter.payload, REQUEST_BYTES).unwrap_or("null"));
    if let Some(ended) = facts.ended {
        let error = if ended.is_error { r#","functionError":"Unhandled""# } else { "" };
        let version = quoted(&ended.version);
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            r#","responseContext":{{"statusCode":200,"executedVersion":{version}{error}}}"#
        );
        let payload = &ended.payload;
        // A function may answer with anything; what is no JSON is told as a text.
        let response = match json(payload, RESPONSE_BYTES) {
            Some(json) => Some(json.to_owned()),
            None if payload.len() > RESPONSE_BYTES => None,
            None => Some(quoted(&String::from_utf8_lossy(payload))),
        };
        if let Some(response) = response {
            let _ = write!(text, r#","responsePayload":{response}"#);
        }
    }
    text.push('}');
    text.into()
}

/// The bytes as they are, where they are JSON and no more than so many.
fn json(bytes: &[u8], most: usize) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= most)?;
    serde_json::from_str::<IgnoredAny>(text).is_ok().then(|| text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Address;
    use model::{FunctionId, TenantId};

    fn letter(payload: &'static str) -> Letter {
        let address = Address {
            tenant: TenantId::from_number(1),
            name: "f".to_owned(),
            function: FunctionId(1),
            qualifier: None,
        };
        Letter::new(address, "r".to_owned(), "t".to_owned(), Bytes::from_static(payload.as_bytes()))
    }

    fn told(condition: Condition, runs: u32, ended: Option<&Ended>) -> String {
        let letter = letter(r#"{"k": [1]}"#);
        let facts =
            Facts { letter: &letter, function_arn: "arn:f:$LATEST", condition, runs, ended };
        let bytes = record(&facts, "2026-11-30T00:00:00.000Z".to_owned());
        String::from_utf8(bytes.to_vec()).expect("JSON is UTF-8")
    }

    // A success and a failure read as Lambda writes them, payloads as they were.
    #[test]
    fn records_read_as_the_service_writes_them() {
        let version = "$LATEST".to_owned();
        let ended = Ended { payload: Bytes::from_static(b"[2]"), is_error: false, version };
        assert_eq!(
            told(Condition::Success, 1, Some(&ended)),
            r#"{"version":"1.0","timestamp":"2026-11-30T00:00:00.000Z","requestContext":{"requestId":"r","functionArn":"arn:f:$LATEST","condition":"Success","approximateInvokeCount":1},"requestPayload":{"k": [1]},"responseContext":{"statusCode":200,"executedVersion":"$LATEST"},"responsePayload":[2]}"#
        );
        let ended = Ended { is_error: true, payload: Bytes::from_static(b"broken"), ..ended };
        let told = told(Condition::RetriesExhausted, 3, Some(&ended));
        assert!(
            told.contains(r#""condition":"RetriesExhausted","approximateInvokeCount":3"#),
            "{told}"
        );
        assert!(
            told.contains(r#""functionError":"Unhandled"},"responsePayload":"broken"}"#),
            "{told}"
        );
    }

    // An event that got too old without a run has no response to tell of.
    #[test]
    fn what_never_ran_has_no_response() {
        let told = told(Condition::EventAgeExceeded, 0, None);
        assert!(told.ends_with(r#""requestPayload":{"k": [1]}}"#), "{told}");
    }
}
