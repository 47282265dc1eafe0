//! Subscriptions to telemetry: the Telemetry API (2022-07-01) and the Logs API (2020-08-15), as extensions ask for them.
//!
//! Deliberately knows nothing of what is sent, nor of how.

use serde::Deserialize;
use std::time::Duration;

/// Which API an extension subscribes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// `PUT /2022-07-01/telemetry`.
    Telemetry,
    /// `PUT /2020-08-15/logs`, which tells less.
    Logs,
}

/// What one extension wants to be sent, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Name of the extension.
    pub extension: String,
    /// How it subscribed.
    pub api: Api,
    /// Version of the events' schema, as in `2022-12-13`.
    pub schema: String,
    /// Which events.
    pub streams: Vec<Stream>,
    /// How many events are collected before they are sent.
    pub buffering: Buffering,
    /// Where they go.
    pub destination: Destination,
}

/// A kind of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// What the platform says of phases.
    Platform,
    /// Lines of the function.
    Function,
    /// Lines of external extensions.
    Extension,
}

impl Stream {
    /// Its name in requests and events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Function => "function",
            Self::Extension => "extension",
        }
    }
}

/// When what was collected is sent: as soon as one of these is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffering {
    /// Events.
    pub items: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Time since the first of them came.
    pub timeout: Duration,
}

/// Where events go: always to a port of the sandbox itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Port.
    pub port: u16,
    /// How they are sent there.
    pub protocol: Protocol,
}

/// How events are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// As a JSON array in a request.
    Http {
        /// `POST` or `PUT`.
        method: &'static str,
        /// Path, with its query.
        path: String,
    },
    /// As lines of JSON.
    Tcp,
}

/// The Runtime API's own port.
const RESERVED_PORT: u16 = 9001;

/// Least, usual and most of one setting.
type Range = (u64, u64, u64);

/// Ranges of buffering (AWS Lambda developer guide, "Configuring memory usage and buffering", 2026-11).
const ITEMS: Range = (1000, 10_000, 10_000);
const BYTES: Range = (262_144, 262_144, 1_048_576);
const TIMEOUT_MS: Range = (25, 1000, 30_000);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    schema_version: Option<String>,
    #[serde(default)]
    types: Vec<String>,
    #[serde(default)]
    buffering: BufferingRequest,
    #[serde(default)]
    destination: DestinationRequest,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BufferingRequest {
    max_items: Option<u64>,
    max_bytes: Option<u64>,
    timeout_ms: Option<u64>,
}

#[derive(Default, Deserialize)]
struct DestinationRequest {
    #[serde(default)]
    protocol: String,
    #[serde(rename = "URI")]
    uri: Option<String>,
    method: Option<String>,
    port: Option<u16>,
}

impl Api {
    /// What the names of its errors begin with.
    pub(crate) fn errors(self) -> &'static str {
        match self {
            Self::Telemetry => "Telemetry",
            Self::Logs => "Logs",
        }
    }

    /// Type of the error for a request that asks for what there is not.
    pub(crate) fn invalid(self) -> &'static str {
        match self {
            Self::Telemetry => "ValidationError",
            Self::Logs => "Logs.ValidationError",
        }
    }

    /// Versions of the schema, the default first; the Telemetry API has none.
    fn schemas(self) -> &'static [&'static str] {
        match self {
            Self::Telemetry => &["2022-07-01", "2022-12-13", "2025-01-29"],
            Self::Logs => &["2020-08-15", "2021-03-18"],
        }
    }
}

impl Subscription {
    /// Reads a request. Errors: all that is wrong with it, in words.
    pub(crate) fn read(api: Api, extension: &str, body: &[u8]) -> Result<Self, String> {
        let request: Request = serde_json::from_slice(body)
            .map_err(|error| format!("Invalid JSON request body: {error}"))?;
        let mut wrong = Vec::new();
        let schema = match (request.schema_version, api) {
            (Some(schema), _) => schema,
            (None, Api::Logs) => api.schemas()[0].to_owned(),
            (None, Api::Telemetry) => {
                wrong.push("schemaVersion is not provided".to_owned());
                String::new()
            }
        };
        if !schema.is_empty() && !api.schemas().contains(&schema.as_str()) {
            wrong.push(format!("schemaVersion {schema} is none of {}", api.schemas().join(", ")));
        }
        if request.types.is_empty() {
            wrong.push("types should not be empty".to_owned());
        }
        let mut streams = Vec::new();
        for name in &request.types {
            let all = [Stream::Platform, Stream::Function, Stream::Extension];
            match all.into_iter().find(|it| it.name() == name) {
                Some(stream) if streams.contains(&stream) => {}
                Some(stream) => streams.push(stream),
                None => wrong.push(format!("type {name} is none of platform, function, extension")),
            }
        }
        let BufferingRequest { max_items, max_bytes, timeout_ms } = request.buffering;
        let mut within = |name: &str, asked: Option<u64>, (least, usual, most): Range| {
            let value = asked.unwrap_or(usual);
            if !(least..=most).contains(&value) {
                wrong.push(format!("{name} {value} is not between {least} and {most}"));
            }
            value
        };
        let items = within("maxItems", max_items, ITEMS) as usize;
        let bytes = within("maxBytes", max_bytes, BYTES) as usize;
        let timeout = Duration::from_millis(within("timeoutMs", timeout_ms, TIMEOUT_MS));
        let destination = request.destination.read().map_err(|reason| wrong.push(reason));
        let (true, Ok(destination)) = (wrong.is_empty(), destination) else {
            return Err(wrong.join("; "));
        };
        Ok(Self {
            extension: extension.to_owned(),
            api,
            schema,
            streams,
            buffering: Buffering { items, bytes, timeout },
            destination,
        })
    }
}

impl DestinationRequest {
    fn read(self) -> Result<Destination, String> {
        let (port, protocol) = match self.protocol.as_str() {
            "HTTP" => {
                let (port, path) =
                    self.uri.as_deref().ok_or("URI is not provided").and_then(uri)?;
                let method = match self.method.as_deref() {
                    None | Some("POST") => "POST",
                    Some("PUT") => "PUT",
                    Some(other) => return Err(format!("method {other} is none of POST, PUT")),
                };
                (port, Protocol::Http { method, path })
            }
            "TCP" => (self.port.ok_or("port is not provided")?, Protocol::Tcp),
            "" => return Err("destination protocol is not provided".to_owned()),
            other => return Err(format!("destination protocol {other} is none of HTTP, TCP")),
        };
        match port {
            0 | RESERVED_PORT => Err(format!("port {port} is reserved")),
            port => Ok(Destination { port, protocol }),
        }
    }
}

/// Port and path of an URI within the sandbox.
fn uri(text: &str) -> Result<(u16, String), &'static str> {
    let rest = text.strip_prefix("http://").ok_or("URI is not http")?;
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (host, port) = authority.split_once(':').ok_or("URI port is not provided")?;
    if !matches!(host, "sandbox.localdomain" | "sandbox") {
        return Err("URI host is not sandbox.localdomain");
    }
    let port = port.parse().map_err(|_| "URI port is not a number")?;
    if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("URI path has characters that are none of a URI");
    }
    let slash = if path.starts_with('/') { "" } else { "/" };
    Ok((port, format!("{slash}{path}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(api: Api, body: &str) -> Result<Subscription, String> {
        Subscription::read(api, "e", body.as_bytes())
    }

    // What is not said has Lambda's defaults; what is said is kept.
    #[test]
    fn subscriptions() {
        let least = r#"{"schemaVersion": "2022-07-01", "types": ["platform", "function", "platform"],
            "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:8080"}}"#;
        let buffering =
            Buffering { items: 10_000, bytes: 262_144, timeout: Duration::from_secs(1) };
        let http = |method, path: &str| Protocol::Http { method, path: path.to_owned() };
        let expected = Subscription {
            extension: "e".to_owned(),
            api: Api::Telemetry,
            schema: "2022-07-01".to_owned(),
            streams: vec![Stream::Platform, Stream::Function],
            buffering,
            destination: Destination { port: 8080, protocol: http("POST", "/") },
        };
        assert_eq!(read(Api::Telemetry, least), Ok(expected));
        let all = r#"{"types": ["extension"], "buffering": {"maxItems": 1000, "maxBytes": 1048576, "timeoutMs": 25},
            "destination": {"protocol": "HTTP", "method": "PUT", "URI": "http://sandbox:81/a?b"}}"#;
        let logs = read(Api::Logs, all).expect("valid");
        assert_eq!((logs.schema.as_str(), logs.buffering.items), ("2020-08-15", 1000));
        assert_eq!(logs.buffering.timeout, Duration::from_millis(25));
        assert_eq!(logs.destination, Destination { port: 81, protocol: http("PUT", "/a?b") });
        let tcp = r#"{"schemaVersion": "2021-03-18", "types": ["platform"], "destination": {"protocol": "TCP", "port": 7}}"#;
        let tcp = read(Api::Logs, tcp).expect("valid");
        assert_eq!(tcp.destination, Destination { port: 7, protocol: Protocol::Tcp });
    }

    // All that is wrong is said at once, and nothing outside the sandbox is a destination.
    #[test]
    fn refusals() {
        let wrong = read(
            Api::Telemetry,
            r#"{"types": [], "buffering": {"maxItems": 1, "maxBytes": 1, "timeoutMs": 24},
                "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain"}}"#,
        );
        assert_eq!(
            wrong.expect_err("wrong"),
            "schemaVersion is not provided; types should not be empty; maxItems 1 is not between 1000 and 10000; \
             maxBytes 1 is not between 262144 and 1048576; timeoutMs 24 is not between 25 and 30000; \
             URI port is not provided"
        );
        for uri in [
            "https://sandbox.localdomain:1",
            "http://10.0.0.1:80",
            "http://localhost:80",
            "http://sandbox.localdomain:9001",
            "http://sandbox.localdomain:0",
            "http://sandbox.localdomain:70000",
            "http://sandbox.localdomain:80/ HTTP/1.1\\r\\nX: y",
            "http://user@sandbox.localdomain:80",
        ] {
            let body = format!(
                r#"{{"schemaVersion": "2022-07-01", "types": ["platform"],
                    "destination": {{"protocol": "HTTP", "URI": "{uri}"}}}}"#
            );
            assert!(read(Api::Telemetry, &body).is_err(), "{uri}");
        }
        assert!(read(Api::Logs, "[").expect_err("no JSON").starts_with("Invalid JSON"));
    }
}
