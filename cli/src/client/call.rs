//! One request, signed, and its answer.

use super::place::Place;
use super::trust;
use anyhow::Context;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use std::time::{Duration, SystemTime};

/// How long a connection may take to be set up.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long an operation other than an invocation may take, upload included.
const OPERATION_LIMIT: Duration = Duration::from_secs(120);
/// Bytes of an answer's body: a streamed response may have 200 MiB (AWS Lambda quotas, 2026-11).
const ANSWER_BYTES: usize = 256 << 20;
/// Attempts of an operation that was throttled, the first included.
const ATTEMPTS: u32 = 5;
/// Wait before the second attempt; it doubles with each further one.
const BACKOFF: Duration = Duration::from_millis(200);

/// A client of one endpoint.
pub struct Client {
    http: hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// Where it is.
    pub place: Place,
}

/// The service that a request is for, and is signed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// AWS Lambda.
    Lambda,
    /// Amazon CloudWatch Logs.
    Logs,
    /// Amazon EventBridge Scheduler.
    Scheduler,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Ask {
    service: Service,
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
    limit: Duration,
}

/// What came back, with a status below 300.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// Why there is no such answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The service refused.
    #[error("{code}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Its type, as in `ResourceNotFoundException`.
        code: String,
        /// In words.
        message: String,
    },
    /// No connection, or it broke.
    #[error("cannot reach {endpoint}: {reason}")]
    Unreachable {
        /// Which.
        endpoint: String,
        /// Why, with all causes.
        reason: String,
    },
    /// No answer in time.
    #[error("no answer from {endpoint} within {limit_s} s")]
    Slow {
        /// Which.
        endpoint: String,
        /// The limit, in seconds.
        limit_s: u64,
    },
    /// The request cannot be written down or signed.
    #[error("cannot ask {endpoint}: {reason}")]
    Request {
        /// Which.
        endpoint: String,
        /// Why.
        reason: String,
    },
}

impl CallError {
    /// The error's type; empty where nothing answered.
    pub fn code(&self) -> &str {
        match self {
            Self::Refused { code, .. } => code,
            _ => "",
        }
    }

    fn is_throttle(&self) -> bool {
        matches!(self, Self::Refused { status: 429, .. })
            || matches!(self.code(), "ThrottlingException" | "TooManyRequestsException")
    }
}

impl Ask {
    /// A request of the Lambda API; `path` is percent-encoded, with its query.
    pub fn lambda(method: Method, path: impl Into<String>) -> Self {
        Self {
            service: Service::Lambda,
            method,
            path: path.into(),
            headers: Vec::new(),
            body: Bytes::new(),
            limit: OPERATION_LIMIT,
        }
    }

    /// An operation of CloudWatch Logs.
    pub fn logs(operation: &str, body: &Value) -> Self {
        let mut ask = Self::lambda(Method::POST, "/");
        ask.service = Service::Logs;
        ask.headers.push(("x-amz-target", format!("Logs_20140328.{operation}")));
        ask.headers.push(("content-type", "application/x-amz-json-1.1".to_owned()));
        ask.body = body.to_string().into();
        ask
    }

    /// A request of EventBridge Scheduler.
    pub fn scheduler(method: Method, path: impl Into<String>) -> Self {
        Self { service: Service::Scheduler, ..Self::lambda(method, path) }
    }

    /// With this JSON as its body.
    pub fn json(mut self, body: &Value) -> Self {
        self.headers.push(("content-type", "application/json".to_owned()));
        self.body = body.to_string().into();
        self
    }

    /// With these bytes as its body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// With a header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With another limit of time than two minutes.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }
}

impl Answer {
    /// The body as JSON; null where it is empty. Errors: it is none.
    pub fn json(&self) -> anyhow::Result<Value> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body)
            .context("the answer is no JSON: does the endpoint speak the Lambda API?")
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Encodes one segment of a path, or a value of a query.
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(byte.into());
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

impl Client {
    /// A client of this place. Nothing is sent yet. Errors: certificates that cannot be read.
    pub fn new(place: Place) -> anyhow::Result<Self> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT_LIMIT));
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(trust::configuration(place.ca.as_deref())?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let http =
            hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { http, place })
    }

    /// The answer to a request. Throttled ones are sent again, a few times.
    pub async fn call(&self, ask: Ask) -> Result<Answer, CallError> {
        let mut wait = BACKOFF;
        for _ in 1..ATTEMPTS {
            match self.attempt(&ask).await {
                Err(error) if error.is_throttle() => tokio::time::sleep(wait).await,
                result => return result,
            }
            wait *= 2;
        }
        self.attempt(&ask).await
    }

    /// The answer to a request that is sent once.
    pub async fn attempt(&self, ask: &Ask) -> Result<Answer, CallError> {
        let endpoint = self.place.endpoint_of(ask.service);
        let request = self.request(&endpoint, ask).map_err(|reason| CallError::Request {
            endpoint: endpoint.clone(),
            reason: format!("{reason:#}"),
        })?;
        let exchange = async {
            let response = self.http.request(request).await.map_err(|error| causes(&error))?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_BYTES).collect().await;
            let body = body.map_err(|error| causes(error.as_ref()))?.to_bytes();
            Ok((parts, body))
        };
        let (parts, body) = tokio::time::timeout(ask.limit, exchange)
            .await
            .map_err(|_| CallError::Slow {
                endpoint: endpoint.clone(),
                limit_s: ask.limit.as_secs(),
            })?
            .map_err(|reason| CallError::Unreachable { endpoint, reason })?;
        let answer = Answer { status: parts.status.as_u16(), headers: parts.headers, body };
        if answer.status < 300 { Ok(answer) } else { Err(refused(&answer)) }
    }

    fn request(&self, endpoint: &str, ask: &Ask) -> anyhow::Result<Request<Full<Bytes>>> {
        let uri = format!("{endpoint}{}", ask.path);
        let mut request = Request::builder().method(ask.method.clone()).uri(&uri);
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        let mut request = request.body(Full::new(ask.body.clone()))?;
        let Some(keys) = &self.place.keys else { return Ok(request) };
        let identity = keys.clone().into();
        let name = match ask.service {
            Service::Lambda => "lambda",
            Service::Logs => "logs",
            Service::Scheduler => "scheduler",
        };
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.place.region)
            .name(name)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let headers = ask.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let body = SignableBody::Bytes(&ask.body);
        let signable = SignableRequest::new(ask.method.as_str(), uri.clone(), headers, body)?;
        let (instructions, _) = sign(signable, &parameters)?.into_parts();
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }
}

fn refused(answer: &Answer) -> CallError {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = |names: [&str; 2]| {
        names.iter().find_map(|name| body.get(*name)?.as_str()).map(str::to_owned)
    };
    let header = answer.header("x-amzn-errortype").map(str::to_owned);
    let code = header.or_else(|| text(["__type", "code"])).unwrap_or_default();
    // `com.amazonaws.logs#ResourceNotFoundException:http://…`
    let code = code.rsplit('#').next().unwrap_or_default();
    let code = code.split(':').next().filter(|code| !code.is_empty()).unwrap_or("HTTP").to_owned();
    let message = text(["message", "Message"]).unwrap_or_else(|| {
        format!(
            "status {}: {}",
            answer.status,
            String::from_utf8_lossy(&answer.body[..answer.body.len().min(300)])
        )
    });
    CallError::Refused { status: answer.status, code, message }
}

/// An error with all of its causes, in one line.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    // A refusal keeps type and words, whether the type stands in the header or in the body, and drops what AWS adds to it.
    #[test]
    fn refusals_are_named() {
        let refusal = |header: Option<&str>, body: &str| {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert("x-amzn-errortype", header.parse().expect("a header"));
            }
            refused(&Answer { status: 400, headers, body: Bytes::copy_from_slice(body.as_bytes()) })
                .to_string()
        };
        assert_eq!(
            refusal(Some("ResourceNotFoundException"), r#"{"Message":"no f"}"#),
            "ResourceNotFoundException: no f"
        );
        let logs = r#"{"__type":"com.amazonaws.logs#ResourceNotFoundException","message":"no g"}"#;
        assert_eq!(refusal(None, logs), "ResourceNotFoundException: no g");
        assert_eq!(refusal(None, "<html>"), "HTTP: status 400: <html>");
    }

    // Segments of paths keep what needs no encoding, and nothing else: an ARN and an umlaut are encoded.
    #[test]
    fn segments_are_encoded() {
        assert_eq!(encode("a-b_c.d~1"), "a-b_c.d~1");
        assert_eq!(encode("arn:x/ü"), "arn%3Ax%2F%C3%BC");
    }
}
