//! Errors of the API, as they go over the wire.
//!
//! Names, statuses and member names are those of the service model `lambda/2015-03-31`; the errors of signatures are
//! those of AWS's common errors. Deliberately knows nothing of what went wrong, only how to say it.

use http::StatusCode;
use serde::Serialize;

/// One error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    kind: ErrorKind,
    message: String,
    reason: Option<&'static str>,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident: $code:literal, $status:ident, $key:ident;)*) => {
        /// Which error of the API.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ErrorKind {
            $($(#[$doc])* $name,)*
        }

        impl ErrorKind {
            /// Name in `x-amzn-ErrorType`.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// Status of the answer.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            const fn key(self) -> Key {
                match self { $(Self::$name => Key::$key,)* }
            }
        }
    };
}

/// How the body names its message: the service model spells some members `Message` and others `message`, and errors
/// from before the service have no `Type`.
enum Key {
    Upper,
    Lower,
    Bare,
}

kinds! {
    /// Another account's function.
    AccessDenied: "AccessDeniedException", FORBIDDEN, Upper;
    /// There is one of this name already, of a service other than Lambda.
    Conflict: "ConflictException", CONFLICT, Upper;
    /// There are as many as there may be.
    LimitExceeded: "LimitExceededException", BAD_REQUEST, Upper;
    /// The disk is full.
    CodeStorageExceeded: "CodeStorageExceededException", BAD_REQUEST, Lower;
    /// A session token whose time is over.
    ExpiredToken: "ExpiredTokenException", FORBIDDEN, Bare;
    /// An `Authorization` that cannot be read.
    IncompleteSignature: "IncompleteSignatureException", FORBIDDEN, Bare;
    /// A parameter that cannot be used.
    InvalidParameterValue: "InvalidParameterValueException", BAD_REQUEST, Lower;
    /// A body that is not JSON.
    InvalidRequestContent: "InvalidRequestContentException", BAD_REQUEST, Lower;
    /// A signature that is wrong or too old.
    InvalidSignature: "InvalidSignatureException", FORBIDDEN, Bare;
    /// No signature.
    MissingAuthenticationToken: "MissingAuthenticationTokenException", FORBIDDEN, Bare;
    /// An operation of Lambda that this platform does not have.
    NotImplemented: "NotImplementedException", NOT_IMPLEMENTED, Lower;
    /// A policy that has grown too long.
    PolicyLengthExceeded: "PolicyLengthExceededException", BAD_REQUEST, Lower;
    /// Nothing is kept ready.
    ProvisionedConcurrencyConfigNotFound: "ProvisionedConcurrencyConfigNotFoundException", NOT_FOUND, Lower;
    /// A function that invokes itself without end.
    RecursiveInvocation: "RecursiveInvocationException", BAD_REQUEST, Upper;
    /// A revision that is not the latest.
    PreconditionFailed: "PreconditionFailedException", PRECONDITION_FAILED, Lower;
    /// A body that took too long.
    RequestTimeout: "RequestTimeoutException", REQUEST_TIMEOUT, Lower;
    /// A body that is too large, of an operation other than Invoke.
    RequestEntityTooLarge: "RequestEntityTooLargeException", PAYLOAD_TOO_LARGE, Lower;
    /// A payload that is too large.
    RequestTooLarge: "RequestTooLargeException", PAYLOAD_TOO_LARGE, Lower;
    /// It exists, or is being changed.
    ResourceConflict: "ResourceConflictException", CONFLICT, Lower;
    /// It does not exist.
    ResourceNotFound: "ResourceNotFoundException", NOT_FOUND, Upper;
    /// A member of the wrong type.
    Serialization: "SerializationException", BAD_REQUEST, Bare;
    /// The platform's own failure.
    Service: "ServiceException", INTERNAL_SERVER_ERROR, Upper;
    /// Too much at once.
    ServiceUnavailable: "ServiceUnavailableException", SERVICE_UNAVAILABLE, Bare;
    /// A concurrency limit.
    TooManyRequests: "TooManyRequestsException", TOO_MANY_REQUESTS, Lower;
    /// No such path.
    UnknownOperation: "UnknownOperationException", NOT_FOUND, Bare;
    /// An access key that nobody has.
    UnrecognizedClient: "UnrecognizedClientException", FORBIDDEN, Bare;
    /// A parameter out of its range.
    Validation: "ValidationException", BAD_REQUEST, Bare;
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "Reason", skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(rename = "Type", skip_serializing_if = "Option::is_none")]
    fault: Option<&'a str>,
    #[serde(rename = "Message", skip_serializing_if = "Option::is_none")]
    upper: Option<&'a str>,
    #[serde(rename = "message", skip_serializing_if = "Option::is_none")]
    lower: Option<&'a str>,
}

impl ApiError {
    /// An error with this message.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), reason: None }
    }

    /// 429, with which limit was hit.
    pub fn throttled(reason: &'static str) -> Self {
        let message = "Rate Exceeded.".to_owned();
        Self { kind: ErrorKind::TooManyRequests, message, reason: Some(reason) }
    }

    /// 429, with which limit was hit and in other words than usual.
    pub fn throttled_because(reason: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { kind: ErrorKind::TooManyRequests, message, reason: Some(reason) }
    }

    /// 400 for a parameter that cannot be used.
    pub fn parameter(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidParameterValue, message)
    }

    /// 404 for the function with this ARN.
    pub fn no_function(arn: &str) -> Self {
        Self::new(ErrorKind::ResourceNotFound, format!("Function not found: {arn}"))
    }

    /// Which error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// In words.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The JSON body.
    pub(crate) fn body(&self) -> Vec<u8> {
        let message = Some(self.message.as_str());
        let is_server_fault = self.kind.status().is_server_error();
        let fault = Some(if is_server_fault { "Service" } else { "User" });
        let (fault, upper, lower) = match self.kind.key() {
            Key::Upper => (fault, message, None),
            Key::Lower => (fault, None, message),
            Key::Bare => (None, None, message),
        };
        let body = Body { reason: self.reason, fault, upper, lower };
        serde_json::to_vec(&body).expect("four strings are JSON")
    }
}
