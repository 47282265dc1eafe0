//! A gateway on loopback, an engine that does as its payload says, and a client that signs.

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use catalog::{Catalog, Function};
use gateway::{
    Accept, AccessKey, Engine, Failure, Gateway, GatewayConfig, Invoke, Invoked, Limits,
    NotAccepted, PrepareFailed, ProvisionStatus, Provisioned, Reply, SharedSettings, Sink,
};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::{FunctionId, Span};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

pub const KEY: &str = "AKIDEXAMPLE";
pub const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
pub const FUNCTIONS: &str = "/2015-03-31/functions";

/// An engine that runs nothing: the payload's `do` says how an invocation ends, a description how a deployment does.
pub struct MadeUp {
    /// Deployments wait while this is false, and invocations that are told to `hold`.
    pub open: watch::Sender<bool>,
    /// What was asked of the engine, in order.
    pub seen: Mutex<Vec<String>>,
    /// Each running invocation holds this once more.
    pub running: Arc<()>,
    /// Instances that versions are to have ready.
    pub provisioned: Mutex<BTreeMap<FunctionId, u32>>,
}

impl MadeUp {
    fn note(&self, what: String) {
        self.seen.lock().expect("not poisoned").push(what);
    }
}

impl Engine for MadeUp {
    fn runtimes(&self) -> Vec<String> {
        ["provided.al2023", "python3.11"].map(str::to_owned).to_vec()
    }

    async fn deploy(&self, function: Arc<Function>) -> Result<(), PrepareFailed> {
        let mut open = self.open.subscribe();
        open.wait_for(|open| *open).await.expect("the sender lives");
        self.note(format!("deploy {} {}", function.name, function.epoch));
        match function.description.as_str() {
            "cannot be deployed" => Err(PrepareFailed { reason: "no room".to_owned() }),
            "panics" => panic!("as told"),
            _ => Ok(()),
        }
    }

    async fn remove(&self, function: Arc<Function>) {
        self.note(format!("remove {}", function.name));
    }

    async fn accept(&self, event: Accept) -> Result<(), NotAccepted> {
        let Accept { function, payload, trace_id, .. } = event;
        let (name, qualifier) = (&function.name, &function.qualifier);
        let tenant = function.tenant;
        self.note(format!("accept {tenant} {name} {qualifier:?} {trace_id:?} {payload:?}"));
        let payload: Value = serde_json::from_slice(&payload).expect("JSON");
        match payload["do"].as_str() {
            Some("gone") => Err(NotAccepted::NoFunction),
            Some("loop") => Err(NotAccepted::Loop("invoked 16 times".to_owned())),
            Some("full") => Err(NotAccepted::Full("7 events wait".to_owned())),
            Some("store") => Err(NotAccepted::Store("the disk is full".to_owned())),
            _ => Ok(()),
        }
    }

    fn share(&self, function: FunctionId, settings: SharedSettings) {
        self.note(format!("share {function} {settings:?}"));
    }

    fn provision(&self, version: FunctionId, count: u32) {
        self.note(format!("provision {version} {count}"));
        self.provisioned.lock().expect("not poisoned").insert(version, count);
    }

    fn provisioned(&self, version: FunctionId) -> Provisioned {
        let known = self.provisioned.lock().expect("not poisoned");
        let requested = known.get(&version).copied().unwrap_or(0);
        let status = ProvisionStatus::Ready;
        Provisioned { requested, allocated: requested, available: requested, status }
    }

    async fn invoke(&self, invoke: Invoke) -> Invoked {
        let _running = self.running.clone();
        self.note(format!("invoke {} {}", invoke.function.name, invoke.function.epoch));
        let payload = told(&invoke.payload);
        if payload["do"] == "hold" {
            self.open.subscribe().wait_for(|open| *open).await.expect("the sender lives");
        }
        let streams = stream(&payload, invoke.stream).await;
        let reply = match payload["do"].as_str() {
            _ if streams == Streamed::Wholly => Reply::Streamed,
            Some("answer") => Reply::Payload(payload["answer"].to_string().into()),
            Some("raw") => Reply::Payload(payload["raw"].as_str().expect("text").to_owned().into()),
            Some("fail") => Reply::FunctionError(r#"{"errorMessage":"no","errorType":"E"}"#.into()),
            Some("reserved") => Reply::Failure(Failure::ReservedConcurrency),
            Some("account") => Reply::Failure(Failure::AccountConcurrency),
            Some("gone") => Reply::Failure(Failure::NoFunction),
            Some("unavailable") => Reply::Failure(Failure::Unavailable("no host".to_owned())),
            Some("describe") => Reply::Payload(
                json!({
                    "arn": &*invoke.function_arn,
                    "context": invoke.client_context.as_deref(),
                    "trace": invoke.trace_id.as_deref(),
                    "memory": invoke.function.memory,
                })
                .to_string()
                .into(),
            ),
            _ => Reply::Payload(invoke.payload),
        };
        let log = Bytes::from_static(b"START RequestId: x Version: $LATEST\n");
        Invoked { reply, log, duration: Span::from_millis(1) }
    }
}

/// What an event tells to do: itself, or, where it came by a function URL, its body if that is JSON.
fn told(payload: &[u8]) -> Value {
    let event: Value = serde_json::from_slice(payload).expect("JSON");
    let body = event["requestContext"].as_object().and_then(|_| event["body"].as_str());
    let told = body.and_then(|body| serde_json::from_str(body).ok());
    told.filter(Value::is_object).unwrap_or(event)
}

/// Whether an invocation was answered by a stream.
#[derive(PartialEq, Eq)]
enum Streamed {
    Wholly,
    NotWholly,
}

/// Streams the payload's `pieces`, strings or numbers of bytes, as a function of the type `type` would.
async fn stream(payload: &Value, sink: Option<Sink>) -> Streamed {
    let (Some(sink), Some(pieces)) = (sink, payload["pieces"].as_array()) else {
        return Streamed::NotWholly;
    };
    sink.content_type.set(payload["type"].as_str().map(Box::from)).expect("once");
    let _gone = sink.pieces.send(Bytes::new()).await;
    for piece in pieces {
        let piece = match piece.as_u64() {
            Some(bytes) => vec![b'x'; bytes as usize],
            None => piece.as_str().expect("a string").as_bytes().to_vec(),
        };
        let _gone = sink.pieces.send(piece.into()).await;
    }
    if payload["do"].is_null() { Streamed::Wholly } else { Streamed::NotWholly }
}

/// A gateway that listens on loopback.
pub struct Server {
    pub address: SocketAddr,
    pub engine: Arc<MadeUp>,
    pub data: TempDir,
}

/// An answer as it came.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Server {
    pub async fn start() -> Self {
        Self::start_with(Limits::default()).await
    }

    pub async fn start_with(limits: Limits) -> Self {
        let data = tempfile::tempdir().expect("a directory");
        let engine = MadeUp {
            open: watch::Sender::new(true),
            seen: Mutex::default(),
            running: Arc::new(()),
            provisioned: Mutex::default(),
        };
        let engine = Arc::new(engine);
        let address = listen(data.path(), engine.clone(), limits).await;
        Self { address, engine, data }
    }

    pub async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        send(self.address, request).await
    }

    /// Sends a signed request.
    pub async fn ask(&self, method: &str, target: &str, body: impl Into<Bytes>) -> Answer {
        self.send(self.signed(method, target, body.into())).await
    }

    pub async fn ask_json(&self, method: &str, target: &str, body: Value) -> Answer {
        self.ask(method, target, body.to_string()).await
    }

    /// Sends a request that another account signed.
    pub async fn ask_as_other(&self, method: &str, target: &str, body: impl Into<Bytes>) -> Answer {
        let mut request = self.request(method, target, body.into());
        sign_request(&mut request, &Signer { key: "AKIDOTHER", ..Signer::default() });
        self.send(request).await
    }

    /// Sends a signed invocation with further headers.
    pub async fn invoke(&self, name: &str, headers: &[(&str, &str)], payload: &str) -> Answer {
        let target = format!("{FUNCTIONS}/{name}/invocations");
        let mut request = self.request("POST", &target, payload.to_owned().into());
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().expect("a name");
            request.headers_mut().insert(name, value.parse().expect("a value"));
        }
        sign_request(&mut request, &Signer::default());
        self.send(request).await
    }

    pub fn request(&self, method: &str, target: &str, body: Bytes) -> Request<Full<Bytes>> {
        Request::builder()
            .method(Method::from_bytes(method.as_bytes()).expect("a method"))
            .uri(target)
            .header("host", self.address.to_string())
            .body(Full::new(body))
            .expect("a request")
    }

    pub fn signed(&self, method: &str, target: &str, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = self.request(method, target, body);
        sign_request(&mut request, &Signer::default());
        request
    }

    /// Creates a function and waits until it is active.
    pub async fn create(&self, name: &str) -> Value {
        self.create_with(name, json!({})).await
    }

    pub async fn create_with(&self, name: &str, more: Value) -> Value {
        let answer = self.ask_json("POST", FUNCTIONS, create_request(name, more)).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let created = answer.json();
        let dry = self.invoke(name, &[("x-amz-invocation-type", "DryRun")], "{}").await;
        assert!(dry.status == 204 || dry.status == 409, "{}", dry.text());
        created
    }

    /// Invocations that run now.
    pub fn running(&self) -> usize {
        Arc::strong_count(&self.engine.running) - 1
    }

    pub fn seen(&self) -> Vec<String> {
        self.engine.seen.lock().expect("not poisoned").clone()
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Status, headers and body, without what differs from run to run.
    pub fn text(&self) -> String {
        let mut lines = vec![self.status.to_string()];
        let mut headers: Vec<_> = self
            .headers
            .iter()
            .filter(|(name, _)| *name != "date" && *name != "content-length")
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes());
                let is_id = *name == "x-amzn-requestid" && uuid::Uuid::parse_str(&value).is_ok();
                format!("{name}: {}", if is_id { "(uuid)".into() } else { value })
            })
            .collect();
        headers.sort();
        lines.extend(headers);
        match serde_json::from_slice::<Value>(&self.body) {
            Ok(mut body) => {
                mask(&mut body);
                lines.push(serde_json::to_string_pretty(&body).expect("JSON"));
            }
            Err(_) => lines.push(String::from_utf8_lossy(&self.body).into_owned()),
        }
        lines.join("\n")
    }
}

/// Replaces what differs from run to run, where it has the form that it should have.
fn mask(value: &mut Value) {
    let Value::Object(members) = value else {
        if let Value::Array(items) = value {
            items.iter_mut().for_each(mask);
        }
        return;
    };
    for (name, value) in members.iter_mut() {
        let text = value.as_str().unwrap_or("").to_owned();
        match name.as_str() {
            "RevisionId" if uuid::Uuid::parse_str(&text).is_ok() => *value = "(uuid)".into(),
            "CodeSha256" if BASE64_STANDARD.decode(&text).is_ok_and(|hash| hash.len() == 32) => {
                *value = "(hash)".into();
            }
            "CodeSize" | "TotalCodeSize" if value.is_u64() => *value = "(bytes)".into(),
            "LastModified" if text.len() == 28 && text.ends_with("+0000") => {
                *value = "(time)".into();
            }
            "Location" => {
                let end = text.find('?').unwrap_or(text.len());
                let start = text.find("/packages").unwrap_or(0);
                *value = format!("(host){}?(signature)", &text[start..end]).into();
            }
            _ => mask(value),
        }
    }
}

/// Starts a gateway over the data directory.
pub async fn listen(data: &Path, engine: Arc<MadeUp>, limits: Limits) -> SocketAddr {
    let gateway = gateway(data, engine, limits);
    gateway.recover().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { gateway.serve(listener, std::future::pending()).await });
    address
}

pub fn gateway(data: &Path, engine: Arc<MadeUp>, limits: Limits) -> Gateway<MadeUp> {
    let catalog = Arc::new(Catalog::open(data).expect("a catalog"));
    let key = |id: &str, tenant: u64| AccessKey {
        id: id.to_owned(),
        secret: SECRET.to_owned(),
        tenant: model::TenantId::from_number(tenant),
    };
    let config = GatewayConfig {
        region: "us-east-1".to_owned(),
        logs: None,
        session_secret: [7; 32],
        front: gateway::Front::default(),
        access_keys: vec![key(KEY, 123_456_789_012), key("AKIDOTHER", 210_987_654_321)],
        limits,
    };
    Gateway::new(config, catalog, engine)
}

pub async fn send(address: SocketAddr, request: Request<Full<Bytes>>) -> Answer {
    let stream = TcpStream::connect(address).await.expect("connected");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
    tokio::spawn(connection);
    read(sender.send_request(request).await.expect("an answer")).await
}

/// The same over HTTP/2, where host and target are one.
pub async fn send_http2(address: SocketAddr, request: Request<Full<Bytes>>) -> Answer {
    let stream = TcpStream::connect(address).await.expect("connected");
    let io = TokioIo::new(stream);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
    tokio::spawn(connection);
    let (mut parts, body) = request.into_parts();
    parts.headers.remove("host");
    parts.uri = format!("http://{address}{}", parts.uri).parse().expect("a URI");
    read(sender.send_request(Request::from_parts(parts, body)).await.expect("an answer")).await
}

async fn read(response: http::Response<hyper::body::Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    Answer { status: parts.status, headers: parts.headers, body }
}

/// How to sign.
pub struct Signer {
    pub key: &'static str,
    pub secret: &'static str,
    pub token: Option<&'static str>,
    pub region: &'static str,
    pub service: &'static str,
    pub time: SystemTime,
    pub settings: SigningSettings,
}

impl Default for Signer {
    fn default() -> Self {
        Self {
            key: KEY,
            secret: SECRET,
            token: None,
            region: "us-east-1",
            service: "lambda",
            time: SystemTime::now(),
            settings: SigningSettings::default(),
        }
    }
}

/// Signs as the AWS SDK for Rust does, with its own crate.
pub fn sign_request(request: &mut Request<Full<Bytes>>, signer: &Signer) {
    let token = signer.token.map(str::to_owned);
    let identity = Credentials::new(signer.key, signer.secret, token, None, "test").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(signer.region)
        .name(signer.service)
        .time(signer.time)
        .settings(signer.settings.clone())
        .build()
        .expect("complete")
        .into();
    let host = request.headers()["host"].to_str().expect("text").to_owned();
    let uri = format!("http://{host}{}", request.uri());
    let headers: Vec<_> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().expect("text")))
        .collect();
    let body = http_body_bytes(request.body());
    let signable = SignableRequest::new(
        request.method().as_str(),
        uri,
        headers.into_iter(),
        SignableBody::Bytes(&body),
    )
    .expect("a request");
    let (instructions, _) = sign(signable, &params).expect("signed").into_parts();
    let target = request.uri().clone();
    *request.uri_mut() = format!("http://{host}{target}").parse().expect("a URI");
    instructions.apply_to_request_http1x(request);
    let target = request.uri().path_and_query().expect("a target").as_str().to_owned();
    *request.uri_mut() = target.parse().expect("a target");
}

fn http_body_bytes(body: &Full<Bytes>) -> Bytes {
    use std::future::Future;
    let future = std::pin::pin!(body.clone().collect());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.poll(&mut context) {
        std::task::Poll::Ready(Ok(collected)) => collected.to_bytes(),
        _ => unreachable!("a full body is there at once"),
    }
}

/// A valid CreateFunction, with members replaced or added.
pub fn create_request(name: &str, more: Value) -> Value {
    let mut request = json!({
        "FunctionName": name,
        "Runtime": "python3.11",
        "Role": "arn:aws:iam::123456789012:role/r",
        "Handler": "app.handler",
        "Code": { "ZipFile": zip_base64("def handler(event, context): return event\n") },
    });
    let members = request.as_object_mut().expect("an object");
    for (name, value) in more.as_object().expect("an object") {
        members.insert(name.clone(), value.clone());
    }
    request
}

pub fn zip_base64(content: &str) -> String {
    BASE64_STANDARD.encode(zip(content))
}

/// A zip with one file, the same bytes each time.
pub fn zip(content: &str) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().last_modified_time(zip::DateTime::default());
    writer.start_file("app.py", options).expect("an entry");
    writer.write_all(content.as_bytes()).expect("content");
    writer.finish().expect("a zip").into_inner()
}
