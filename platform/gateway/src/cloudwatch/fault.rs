//! Errors of CloudWatch Logs, as they go over the wire.

use super::CONTENT_TYPE;
use crate::error::ApiError;
use crate::gateway::{Answer, answer};
use http::{HeaderName, HeaderValue, StatusCode};
use logs::LogsError;

const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// One error.
#[derive(Debug)]
pub(super) struct Fault {
    code: &'static str,
    status: StatusCode,
    message: String,
}

impl Fault {
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::of_caller("InvalidParameterException", message)
    }

    pub fn no_group() -> Self {
        Self::from(LogsError::NoGroup)
    }

    pub fn serialization(message: &str) -> Self {
        Self::of_caller("SerializationException", message)
    }

    pub fn unknown() -> Self {
        Self::of_caller(
            "UnknownOperationException",
            "X-Amz-Target names no operation of Logs_20140328.",
        )
    }

    pub fn absent(operation: &str) -> Self {
        let message = format!("{operation} is not implemented by this platform.");
        Self { code: "NotImplementedException", status: StatusCode::NOT_IMPLEMENTED, message }
    }

    pub fn unavailable(message: &str) -> Self {
        let (code, status) = ("ServiceUnavailableException", StatusCode::SERVICE_UNAVAILABLE);
        Self { code, status, message: message.to_owned() }
    }

    pub fn internal(message: &str) -> Self {
        let (code, status) = ("ServiceException", StatusCode::INTERNAL_SERVER_ERROR);
        Self { code, status, message: message.to_owned() }
    }

    fn of_caller(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, status: StatusCode::BAD_REQUEST, message: message.into() }
    }

    pub fn answer(&self) -> Answer {
        let body = serde_json::json!({ "__type": self.code, "message": self.message }).to_string();
        let mut answer = answer(self.status, body.into(), CONTENT_TYPE);
        answer.headers_mut().insert(ERROR_TYPE, HeaderValue::from_static(self.code));
        answer
    }
}

impl From<LogsError> for Fault {
    fn from(error: LogsError) -> Self {
        let code = match &error {
            LogsError::NoGroup | LogsError::NoStream => "ResourceNotFoundException",
            LogsError::GroupExists => "ResourceAlreadyExistsException",
            LogsError::TooManyGroups { .. } => "LimitExceededException",
            LogsError::Invalid(_) => "InvalidParameterException",
            LogsError::Io { source, .. } => {
                tracing::error!(%error, %source, "logs");
                return Self::internal(&error.to_string());
            }
        };
        Self::of_caller(code, error.to_string())
    }
}

/// An error from before the operation was known, in the form that clients of this service read.
pub(crate) fn error_answer(error: &ApiError) -> Answer {
    let (code, status) = (error.kind().code(), error.kind().status());
    Fault { code, status, message: error.message().to_owned() }.answer()
}
