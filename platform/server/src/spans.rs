//! Spans of invocations for an OpenTelemetry collector: OTLP over HTTP, as JSON.
//!
//! Off unless an endpoint is named. An invocation leaves its numbers in a bounded queue and goes on; a task sends what is
//! there once a second, and what finds no room or no collector is dropped and counted. Names of attributes are those of
//! OpenTelemetry's semantic conventions for functions (faas.*, cloud.*, version 1.38).

use anyhow::{Context, bail};
use model::{MemoryMib, Span, TenantId};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// Invocations that wait to be sent.
const QUEUE: usize = 8192;
/// Invocations of one request.
const BATCH: usize = 256;
/// How often is sent what is there.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a collector may take.
const TIME: Duration = Duration::from_secs(10);

/// Where spans go. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Spans {
    queue: mpsc::Sender<Box<Traced>>,
    dropped: Arc<AtomicU64>,
}

/// An invocation, as its spans tell it.
#[derive(Debug)]
pub(crate) struct Traced {
    pub tenant: TenantId,
    pub function: String,
    pub version: String,
    pub instance: String,
    pub memory: MemoryMib,
    pub request_id: Arc<str>,
    /// X-Ray trace header of the caller.
    pub header: Option<Arc<str>>,
    /// When it was answered.
    pub ended: SystemTime,
    pub queued: Span,
    pub init: Option<Span>,
    pub duration: Span,
    /// Type of its error, where it ended in one.
    pub error: Option<&'static str>,
}

/// Where a collector listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpEndpoint {
    host: String,
    path: String,
}

impl std::str::FromStr for OtlpEndpoint {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix("http://") else {
            return Err(format!(
                "{text:?} does not begin with http://: name a collector on this machine or network, which passes spans on"
            ));
        };
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        if host.is_empty() || host.contains('@') {
            return Err(format!("{text:?} names no host, as in http://127.0.0.1:4318"));
        }
        let host = if host.contains(':') { host.to_owned() } else { format!("{host}:4318") };
        Ok(Self { host, path: format!("/{}", path.trim_end_matches('/')) })
    }
}

impl Spans {
    /// Sends to a collector from a task of its own, which ends with the last of these.
    pub fn open(endpoint: OtlpEndpoint, region: &str) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        tokio::spawn(send_on(endpoint, region.to_owned(), waiting, Arc::clone(&dropped)));
        Self { queue, dropped }
    }

    /// Leaves an invocation to be sent.
    pub fn add(&self, traced: Traced) {
        if traced.header.as_deref().is_some_and(|header| field(header, "Sampled") == Some("0")) {
            return;
        }
        if self.queue.try_send(Box::new(traced)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many invocations were not sent.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

async fn send_on(
    endpoint: OtlpEndpoint,
    region: String,
    mut waiting: mpsc::Receiver<Box<Traced>>,
    dropped: Arc<AtomicU64>,
) {
    let mut batch = Vec::with_capacity(BATCH);
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        let count = batch.len() as u64;
        let body = request(&region, &batch).to_string();
        batch.clear();
        let sent = tokio::time::timeout(TIME, post(&endpoint, &body)).await;
        if let Err(error) = sent.unwrap_or_else(|_| Err(anyhow::anyhow!("it took too long"))) {
            dropped.fetch_add(count, Ordering::Relaxed);
            tracing::warn!(host = endpoint.host, error = format!("{error:#}"), "cannot send spans");
        }
        if waiting.len() < BATCH {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn post(endpoint: &OtlpEndpoint, body: &str) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(&endpoint.host).await.context("cannot connect")?;
    let path = endpoint.path.trim_end_matches('/');
    let head = format!(
        "POST {path}/v1/traces HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        endpoint.host,
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(4096).read_to_end(&mut answer).await?;
    let line = String::from_utf8_lossy(&answer).lines().next().unwrap_or("").to_owned();
    match line.split(' ').nth(1) {
        Some(status) if status.starts_with('2') => Ok(()),
        _ => bail!("the collector answered {line:?}"),
    }
}

/// A request of OTLP: the spans of each function under its resource.
fn request(region: &str, batch: &[Box<Traced>]) -> Value {
    let resources: Vec<Value> = batch.iter().map(|traced| resource(region, traced)).collect();
    json!({ "resourceSpans": resources })
}

fn resource(region: &str, traced: &Traced) -> Value {
    let account = traced.tenant.to_string();
    let attributes = [
        text("service.name", &traced.function),
        text("cloud.provider", "peek"),
        text("cloud.platform", "aws_lambda"),
        text("cloud.region", region),
        text("cloud.account.id", &account),
        text(
            "cloud.resource_id",
            &format!("arn:aws:lambda:{region}:{account}:function:{}", traced.function),
        ),
        text("faas.name", &traced.function),
        text("faas.version", &traced.version),
        text("faas.instance", &traced.instance),
        number("faas.max_memory", u64::from(traced.memory.0) << 20),
    ];
    json!({
        "resource": { "attributes": attributes },
        "scopeSpans": [{
            "scope": { "name": "peek", "version": env!("CARGO_PKG_VERSION") },
            "spans": spans(traced),
        }],
    })
}

fn spans(traced: &Traced) -> Vec<Value> {
    let (trace, parent) = match traced.header.as_deref().and_then(context) {
        Some((trace, parent)) => (trace, Some(parent)),
        None => (uuid::Uuid::new_v4().simple().to_string(), None),
    };
    let ended = nanos(traced.ended);
    let dispatched = ended.saturating_sub(traced.duration.as_nanos());
    let arrived = dispatched.saturating_sub(traced.queued.as_nanos());
    let root = span_id();
    let child = |name: &str, from: u64, to: u64| {
        json!({
            "traceId": trace,
            "spanId": span_id(),
            "parentSpanId": root,
            "name": name,
            "kind": 1,
            "startTimeUnixNano": from.to_string(),
            "endTimeUnixNano": to.to_string(),
        })
    };
    let mut attributes = vec![
        text("faas.invocation_id", &traced.request_id),
        text("faas.trigger", "http"),
        json!({ "key": "faas.coldstart", "value": { "boolValue": traced.init.is_some() } }),
    ];
    attributes.extend(traced.error.map(|kind| text("error.type", kind)));
    let mut whole = json!({
        "traceId": trace,
        "spanId": root,
        "name": traced.function,
        // A server's.
        "kind": 2,
        "startTimeUnixNano": arrived.to_string(),
        "endTimeUnixNano": ended.to_string(),
        "attributes": attributes,
        "status": { "code": if traced.error.is_some() { 2 } else { 0 } },
    });
    if let Some(parent) = parent {
        whole["parentSpanId"] = parent.into();
    }
    let mut spans = vec![whole, child("queue", arrived, dispatched)];
    if let Some(init) = traced.init {
        let from = dispatched.saturating_sub(init.as_nanos()).max(arrived);
        spans.push(child("init", from, dispatched));
    }
    spans.push(child("run", dispatched, ended));
    spans
}

/// Trace and parent of an X-Ray header, as OpenTelemetry writes them.
fn context(header: &str) -> Option<(String, String)> {
    let root = field(header, "Root")?.strip_prefix("1-")?.replace('-', "");
    let parent = field(header, "Parent")?.to_owned();
    let is_hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    (is_hex(&root, 32) && is_hex(&parent, 16)).then_some((root, parent))
}

fn field<'h>(header: &'h str, name: &str) -> Option<&'h str> {
    header.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
}

fn span_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()[..16].to_owned()
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn number(key: &str, value: u64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traced(header: Option<&str>) -> Traced {
        Traced {
            tenant: TenantId::from_number(1),
            function: "f".into(),
            version: "$LATEST".into(),
            instance: "i".into(),
            memory: MemoryMib(128),
            request_id: "r".into(),
            header: header.map(Arc::from),
            ended: UNIX_EPOCH + Duration::from_secs(100),
            queued: Span::from_millis(30),
            init: Some(Span::from_millis(20)),
            duration: Span::from_millis(10),
            error: None,
        }
    }

    // An invocation is a span with its queue, init and run inside, under the caller's trace where it has one.
    #[test]
    fn spans_are_inside_each_other() {
        let header = "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1";
        let spans = spans(&traced(Some(header)));
        let names: Vec<_> = spans.iter().map(|span| span["name"].as_str().unwrap_or("")).collect();
        assert_eq!(names, ["f", "queue", "init", "run"]);
        assert_eq!(spans[0]["parentSpanId"], "9a9197af755a6419");
        assert!(spans.iter().all(|span| span["traceId"] == "5bef4de7ad49b0e87f6ef6c87fc2e700"));
        assert!(spans[1..].iter().all(|span| span["parentSpanId"] == spans[0]["spanId"]));
        let time = |index: usize, key: &str| spans[index][key].as_str().unwrap_or("").to_owned();
        assert_eq!(time(0, "startTimeUnixNano"), "99960000000");
        assert_eq!(time(2, "startTimeUnixNano"), "99970000000");
        assert_eq!(time(3, "startTimeUnixNano"), "99990000000");
        assert_eq!(time(3, "endTimeUnixNano"), "100000000000");
        assert!(super::spans(&traced(None))[0].get("parentSpanId").is_none());
    }

    // Endpoints are hosts of this network; what cannot be spoken to is refused with what to do instead.
    #[test]
    fn endpoints_are_read() {
        let read = |text: &str| text.parse::<OtlpEndpoint>();
        let endpoint = read("http://127.0.0.1:4318/").expect("an endpoint");
        assert_eq!((endpoint.host.as_str(), endpoint.path.as_str()), ("127.0.0.1:4318", "/"));
        assert_eq!(read("http://collector").expect("an endpoint").host, "collector:4318");
        assert!(read("https://x").is_err_and(|why| why.contains("http://")));
        assert!(read("http://").is_err());
    }
}
