//! The operations of the Security Token Service that have a meaning here: who am I, and a key for a while.
//!
//! A form goes in and XML comes out (AWS's query protocol, version 2011-06-15).

use crate::canonical;
use crate::engine::Engine;
use crate::error::{ApiError, ErrorKind};
use crate::gateway::{Answer, Call, Inner, answer};
use http::StatusCode;
use jiff::Timestamp;
use std::time::{Duration, SystemTime};

/// Seconds that a temporary key may live: least, most, and where nothing is said (STS API reference, GetSessionToken,
/// 2026-11).
const LIFE_S: (u64, u64, u64) = (900, 129_600, 43_200);
const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
const CONTENT_TYPE: &str = "text/xml";

impl<E: Engine> Inner<E> {
    /// Answers a request that was signed for the Security Token Service.
    pub(crate) fn token_service(&self, call: &Call<'_>) -> Result<Answer, ApiError> {
        let form = std::str::from_utf8(&call.body).unwrap_or("");
        let query = call.parts.uri.query().unwrap_or("");
        let value = |name| {
            canonical::query_value(form, name).or_else(|| canonical::query_value(query, name))
        };
        let operation = value("Action").unwrap_or_default();
        let result = match &*operation {
            "GetCallerIdentity" => caller_identity(call),
            "GetSessionToken" => self.session_token(call, value("DurationSeconds").as_deref())?,
            other => {
                let message = format!("{other} is not implemented by this platform.");
                return Err(ApiError::new(ErrorKind::NotImplemented, message));
            }
        };
        let id = &call.request_id;
        let xml = format!(
            "<{operation}Response xmlns=\"{NAMESPACE}\"><{operation}Result>{result}</{operation}Result>\
             <ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata></{operation}Response>"
        );
        Ok(answer(StatusCode::OK, xml.into(), CONTENT_TYPE))
    }

    fn session_token(&self, call: &Call<'_>, life: Option<&str>) -> Result<String, ApiError> {
        if call.is_temporary() {
            let message = "Cannot call GetSessionToken with session credentials";
            return Err(ApiError::new(ErrorKind::AccessDenied, message));
        }
        let (least, most, default) = LIFE_S;
        let life = life.map_or(Some(default), |text| text.parse().ok());
        let Some(life) = life.filter(|life| (least..=most).contains(life)) else {
            let message = format!("DurationSeconds must be {least} to {most} seconds.");
            return Err(ApiError::new(ErrorKind::Validation, message));
        };
        let now = SystemTime::now();
        let made = self.credentials.sessions.issue(call.tenant(), now, Duration::from_secs(life));
        let expires = Timestamp::try_from(made.expires).unwrap_or_default();
        Ok(format!(
            "<Credentials><AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey>\
             <SessionToken>{}</SessionToken><Expiration>{expires}</Expiration></Credentials>",
            made.key.id, made.key.secret, made.token
        ))
    }
}

fn caller_identity(call: &Call<'_>) -> String {
    let account = call.tenant();
    format!(
        "<Arn>arn:aws:iam::{account}:root</Arn><UserId>{account}</UserId><Account>{account}</Account>"
    )
}

/// An error in the form that clients of this service read.
pub(crate) fn error_answer(error: &ApiError, request_id: &str) -> Answer {
    let fault = if error.kind().status().is_server_error() { "Receiver" } else { "Sender" };
    let code = error.kind().code().trim_end_matches("Exception");
    let xml = format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>{fault}</Type><Code>{code}</Code>\
         <Message>{}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>",
        escape(error.message())
    );
    answer(error.kind().status(), xml.into(), CONTENT_TYPE)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    // What a client sent cannot become markup in the answer.
    #[tokio::test]
    async fn messages_are_escaped() {
        let error = ApiError::new(ErrorKind::NotImplemented, "<b> & c");
        let body =
            error_answer(&error, "id").into_body().collect().await.expect("whole").to_bytes();
        let text = String::from_utf8(body.to_vec()).expect("text");
        assert!(text.contains("<Message>&lt;b&gt; &amp; c</Message>"), "{text}");
    }
}
