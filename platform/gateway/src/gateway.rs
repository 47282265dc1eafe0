//! The gateway: one request in, one answer out.
//!
//! Checks the signature, finds the operation, and says how it ended. Deliberately knows nothing of connections.

pub(crate) use crate::answer::Answer;
use crate::answer::AnswerBody;
use crate::body::{self, BodyError, BodyHash, BodyLimits};
use crate::canonical;
use crate::cloudwatch::{self, LogService};
use crate::engine::{Engine, PrepareFailed, SharedSettings};
use crate::error::{ApiError, ErrorKind};
use crate::isolation;
use crate::room::{Place, Room};
use crate::route::{Operation, Route, route};
use crate::service::Service;
use crate::signature::{AccessKey, Credentials};
use crate::sts;
use crate::url::{Asked, Target, UrlBook};
use bytes::Bytes;
use catalog::{Catalog, Entry, Function, State, Version};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use model::{MemoryMib, TenantId};
use serde::Serialize;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{Semaphore, watch};
use uuid::Uuid;

/// What a gateway is told at its start.
#[derive(Clone)]
pub struct GatewayConfig {
    /// Region in ARNs, as in `us-east-1`. Signatures of any region are accepted.
    pub region: String,
    /// Who is let in.
    pub access_keys: Vec<AccessKey>,
    /// What temporary access keys are made from; whoever has it can act as any tenant.
    pub session_secret: [u8; 32],
    /// What functions wrote; None where nobody keeps it.
    pub logs: Option<logs::Logs>,
    /// Who is let in without a signature, and how the API is spoken to.
    pub front: Front,
    /// Bounds.
    pub limits: Limits,
}

/// How a gateway meets its clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Front {
    /// What becomes of requests without a signature.
    pub unsigned: Unsigned,
    /// The scheme of URLs that are given out.
    pub scheme: Scheme,
}

/// What becomes of requests without a signature, or with that of a key that nobody knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unsigned {
    /// They are refused.
    #[default]
    Refused,
    /// They are the first access key's, and the function named `function` is the only one there is. For loopback alone.
    First,
}

/// How a URL begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheme {
    /// `http`
    #[default]
    Http,
    /// `https`
    Https,
}

impl Scheme {
    /// As it is written.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Bounds of what functions and clients may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Least memory of a function.
    pub memory_min: MemoryMib,
    /// Most memory of a function.
    pub memory_max: MemoryMib,
    /// Longest time limit of a function, in seconds.
    pub timeout_s_max: u32,
    /// Invocations of one tenant at once, as GetAccountSettings tells.
    pub concurrency: u32,
    /// Bytes of the code of all versions of all functions and layers of one tenant.
    pub code_bytes: u64,
    /// Bytes of an invocation's payload.
    pub payload_bytes: usize,
    /// Connections at once; further ones wait to be accepted.
    pub connections: usize,
    /// Bytes of all request bodies that are being read or worked on; further ones wait.
    pub body_bytes: usize,
    /// How long an invocation waits for its function's code to be made ready.
    pub pending_wait: Duration,
    /// How long a client may take to send a request's header, and to leave a connection idle.
    pub header_time: Duration,
    /// How long a client may let the platform wait for a piece of a body, or to take one.
    pub stall_time: Duration,
    /// How long a client may take to send a whole body.
    pub body_time: Duration,
}

impl Default for Limits {
    /// Those of AWS Lambda where it has one (quotas, 2026-11).
    fn default() -> Self {
        Self {
            memory_min: MemoryMib(128),
            memory_max: MemoryMib(10_240),
            timeout_s_max: 900,
            concurrency: 1000,
            code_bytes: 75 << 30,
            payload_bytes: 6 << 20,
            connections: 4096,
            body_bytes: 256 << 20,
            pending_wait: Duration::from_secs(10),
            header_time: Duration::from_secs(60),
            stall_time: Duration::from_secs(20),
            body_time: Duration::from_secs(300),
        }
    }
}

/// The front of the platform. Cheap to clone.
pub struct Gateway<E> {
    pub(crate) inner: Arc<Inner<E>>,
}

impl<E> Clone for Gateway<E> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

pub(crate) struct Inner<E> {
    pub region: String,
    pub limits: Limits,
    pub credentials: Credentials,
    pub scheme: Scheme,
    pub catalog: Arc<Catalog>,
    pub engine: Arc<E>,
    /// Counts the deployments that ended, whichever way.
    pub deployed: watch::Sender<u64>,
    pub connections: Arc<Semaphore>,
    pub bodies: Room,
    pub urls: UrlBook,
    pub logs: Option<LogService>,
    /// Held while concurrency is set aside, so that two functions do not take the same last part of the account's.
    pub reserving: tokio::sync::Mutex<()>,
}

/// One signed request.
pub(crate) struct Call<'a> {
    pub key: Arc<AccessKey>,
    pub parts: &'a Parts,
    pub body: Bytes,
    pub request_id: Arc<str>,
}

/// Bytes of a body of the operations that carry code: what AWS Lambda accepts, 50 MiB in Base64 and some more.
const CODE_REQUEST_BYTES: usize = 70_167_211;
/// Bytes of a body of any other operation.
const REQUEST_BYTES: usize = 1 << 20;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

impl<E: Engine> Gateway<E> {
    /// A gateway in front of this catalog and engine. Call [`Self::recover`] before serving.
    pub fn new(config: GatewayConfig, catalog: Arc<Catalog>, engine: Arc<E>) -> Self {
        let GatewayConfig { region, access_keys, session_secret, logs, front, limits } = config;
        let unsigned = match front.unsigned {
            Unsigned::Refused => None,
            Unsigned::First => access_keys.first().cloned(),
        };
        let inner = Inner {
            region,
            credentials: Credentials::new(access_keys, session_secret).with_unsigned(unsigned),
            scheme: front.scheme,
            catalog,
            engine,
            deployed: watch::Sender::new(0),
            connections: Arc::new(Semaphore::new(limits.connections)),
            bodies: Room::new(limits.body_bytes),
            urls: UrlBook::default(),
            logs: logs.map(LogService::new),
            reserving: tokio::sync::Mutex::default(),
            limits,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Hands every function of the catalog to the engine, as after a restart. Functions that were being made ready become
    /// Active; those that cannot be made ready are marked Failed, which is no error of the platform's.
    pub async fn recover(&self) {
        for function in self.inner.catalog.all() {
            if function.version == Version::Latest
                && let Some(entry) = self.inner.catalog.entry(function.tenant, &function.name)
            {
                self.inner.share_any(&entry);
                for qualifier in entry.attachments.urls.keys() {
                    self.inner.urls.note(function.tenant, &function.name, qualifier);
                }
                self.inner.provision_all(function.tenant, &function.name, None);
            }
            self.inner.clone().deploy_and_mark(function).await;
        }
    }

    /// Answers one request from `peer`. Dropping the future, as when the client has gone, drops the engine's future of an
    /// invocation; whatever changes a function goes on to its end.
    pub async fn handle(&self, request: Request<Incoming>, peer: IpAddr) -> Answer {
        let (parts, body) = request.into_parts();
        if parts.uri.path() == "/healthz" && matches!(parts.method, Method::GET | Method::HEAD) {
            return answer(StatusCode::OK, Bytes::from_static(b"ok\n"), "text/plain");
        }
        let mut buffer = Uuid::encode_buffer();
        let request_id: Arc<str> =
            Arc::from(&*Uuid::new_v4().as_hyphenated().encode_lower(&mut buffer));
        let mut answer = match Target::of(&parts) {
            Some(target) => {
                let asked = Asked { parts: &parts, peer, request_id: &request_id };
                Box::pin(self.inner.answer_url(target, asked, body)).await
            }
            None => {
                let result = self.inner.answer_signed(&parts, body, &request_id).await;
                result.unwrap_or_else(|error| match cloudwatch::is_meant(&parts) {
                    true => cloudwatch::error_answer(&error),
                    false => error_answer(&error),
                })
            }
        };
        let value = HeaderValue::from_str(&request_id).expect("a UUID is a header value");
        answer.headers_mut().insert(REQUEST_ID, value);
        answer
    }
}

impl<E: Engine> Inner<E> {
    async fn answer_signed(
        self: &Arc<Self>,
        parts: &Parts,
        body: Incoming,
        request_id: &Arc<str>,
    ) -> Result<Answer, ApiError> {
        let claim = self.credentials.claim(parts, SystemTime::now())?;
        let service = claim.service;
        let path = self.path_of_only(&claim, parts.uri.path())?;
        let route = route(&parts.method, &path, parts.uri.query());
        let limit = self.body_limit(&route);
        let mut place = self.place(&body, limit).await?;
        let (body, hash) = self.read_body(body, &route, limit).await?;
        self.bodies.shrink(&mut place, body.len() as u64);
        let key = self.credentials.verify(claim, parts, &hash)?;
        let call = Call { key, parts, body, request_id: request_id.clone() };
        match service {
            Service::Lambda => {}
            Service::Logs => return Ok(Box::pin(self.log_service(&call)).await),
            Service::Events => return Ok(Box::pin(self.rules_service(call)).await),
            Service::Scheduler => return Box::pin(self.schedules_service(call)).await,
            Service::Sts => {
                let answer = self.token_service(&call);
                return Ok(answer.unwrap_or_else(|error| sts::error_answer(&error, request_id)));
            }
        }
        match route {
            Route::Operation(Operation::Invoke, names) => self.invoke(call, &names.first).await,
            Route::Operation(Operation::InvokeWithResponseStream, names) => {
                Box::pin(self.invoke_stream(call, &names.first)).await
            }
            route => Box::pin(self.manage(call, route)).await,
        }
    }

    async fn manage(
        self: &Arc<Self>,
        call: Call<'_>,
        route: Route<'_>,
    ) -> Result<Answer, ApiError> {
        match route {
            Route::Operation(operation, names) => self.operate(call, operation, &names).await,
            Route::Package(name) => self.get_package(&call, &name).await,
            Route::Absent(operation) => Err(ApiError::new(
                ErrorKind::NotImplemented,
                format!("{operation} is not implemented by this platform."),
            )),
            Route::Unknown => Err(ApiError::new(
                ErrorKind::UnknownOperation,
                format!(
                    "{} {} is no operation of Lambda.",
                    call.parts.method,
                    call.parts.uri.path()
                ),
            )),
        }
    }

    fn body_limit(&self, route: &Route<'_>) -> usize {
        match route {
            Route::Operation(Operation::Invoke | Operation::InvokeWithResponseStream, _) => {
                self.limits.payload_bytes
            }
            Route::Operation(
                Operation::CreateFunction
                | Operation::UpdateFunctionCode
                | Operation::PublishLayerVersion,
                _,
            ) => CODE_REQUEST_BYTES,
            _ => REQUEST_BYTES,
        }
    }

    /// Waits until a large body has its place among all bodies; one of unknown size might reach its limit.
    pub(crate) async fn place(&self, body: &Incoming, limit: usize) -> Result<Place<'_>, ApiError> {
        use hyper::body::Body as _;
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        let expected = body.size_hint().upper().unwrap_or(limit).min(limit);
        let place = tokio::time::timeout(self.limits.stall_time, self.bodies.take(expected)).await;
        place.map_err(|_| {
            ApiError::new(
                ErrorKind::ServiceUnavailable,
                format!("{} bytes of requests are being read: try again.", self.limits.body_bytes),
            )
        })
    }

    async fn read_body(
        &self,
        body: Incoming,
        route: &Route<'_>,
        bytes: usize,
    ) -> Result<(Bytes, BodyHash), ApiError> {
        let Limits { stall_time: stall, body_time: whole, .. } = self.limits;
        let error = match body::read(body, BodyLimits { bytes, stall, whole }).await {
            Ok(body) => return Ok(body),
            Err(error) => error,
        };
        let (kind, operation) = match route {
            Route::Operation(Operation::Invoke, _) => {
                (ErrorKind::RequestTooLarge, "InvokeFunction")
            }
            Route::Operation(Operation::InvokeWithResponseStream, _) => {
                (ErrorKind::RequestTooLarge, "InvokeWithResponseStream")
            }
            Route::Operation(Operation::UpdateFunctionCode, _) => {
                (ErrorKind::RequestEntityTooLarge, "UpdateFunctionCode")
            }
            Route::Operation(Operation::CreateFunction, _) => {
                (ErrorKind::RequestEntityTooLarge, "CreateFunction")
            }
            Route::Operation(Operation::PublishLayerVersion, _) => {
                (ErrorKind::RequestEntityTooLarge, "PublishLayerVersion")
            }
            _ => (ErrorKind::RequestEntityTooLarge, "requested"),
        };
        Err(match error {
            BodyError::TooLarge { limit } => ApiError::new(
                kind,
                format!("Request must be smaller than {limit} bytes for the {operation} operation"),
            ),
            BodyError::TimedOut => ApiError::new(
                ErrorKind::RequestTimeout,
                format!("The request's body did not arrive within {} s.", whole.as_secs()),
            ),
            BodyError::Broken => ApiError::new(
                ErrorKind::InvalidRequestContent,
                "The request's body ended before it was complete.",
            ),
        })
    }

    /// This version of the function once it is not being made ready any more, or as it is when the wait gets too long.
    pub(crate) async fn settled(&self, function: Arc<Function>) -> Option<Arc<Function>> {
        if !function.is_pending() {
            return Some(function);
        }
        let now = || {
            let entry = self.catalog.entry(function.tenant, &function.name)?;
            entry.version(function.version).cloned()
        };
        let mut deployed = self.deployed.subscribe();
        let settle = async {
            loop {
                deployed.borrow_and_update();
                match now() {
                    Some(function) if function.is_pending() => {}
                    settled => return settled,
                }
                if deployed.changed().await.is_err() {
                    return now();
                }
            }
        };
        let settled = tokio::time::timeout(self.limits.pending_wait, settle).await;
        settled.unwrap_or_else(|_| now())
    }

    /// Tells the engine what the versions of a function share, where that is anything.
    pub(crate) fn share_any(&self, entry: &Entry) {
        let settings = shared_settings(entry);
        if settings != SharedSettings::default() {
            self.engine.share(entry.latest.id, settings);
        }
    }

    /// Tells the engine what the versions of a function share, since it has changed.
    pub(crate) fn share(&self, entry: &Entry) {
        self.engine.share(entry.latest.id, shared_settings(entry));
    }

    /// Makes a state of a function ready and says in the catalog how it went, where that is news.
    pub(crate) async fn deploy_and_mark(self: Arc<Self>, function: Arc<Function>) {
        let is_new = function.is_pending() || function.state != State::Active;
        let state = match self.deploy(function.clone()).await {
            Ok(()) if is_new => State::Active,
            Ok(()) => return,
            Err(failed) => failed_state(failed),
        };
        let inner = self.clone();
        let marked = blocking({
            let function = function.clone();
            move || inner.catalog.mark(&function, state)
        });
        match marked.await {
            Ok(Some(_)) => {}
            Ok(None) => self.engine.remove(function).await,
            Err(error) => {
                tracing::error!(error = error.message(), "cannot mark a function's state")
            }
        }
        self.deployed.send_modify(|count| *count += 1);
    }

    /// Has the engine make a state ready; a panic in there is a failure too.
    pub(crate) async fn deploy(&self, function: Arc<Function>) -> Result<(), PrepareFailed> {
        let engine = self.engine.clone();
        match tokio::spawn(async move { engine.deploy(function).await }).await {
            Ok(result) => result,
            Err(error) => Err(PrepareFailed { reason: format!("deploying broke off: {error}") }),
        }
    }
}

fn shared_settings(entry: &Entry) -> SharedSettings {
    let isolation = isolation::of(&entry.attachments.tags).ok().flatten();
    let reserved_concurrency = entry.attachments.reserved_concurrency;
    SharedSettings { reserved_concurrency, isolation }
}

pub(crate) fn failed_state(failed: PrepareFailed) -> State {
    State::Failed { code: "InternalError".to_owned(), reason: failed.reason }
}

/// Runs what blocks where blocking is allowed.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "a blocking task broke off");
        ApiError::new(ErrorKind::Service, "The platform failed; its log says why.")
    })
}

pub(crate) fn answer(status: StatusCode, body: Bytes, content_type: &'static str) -> Answer {
    let mut answer = Response::new(AnswerBody::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

pub(crate) fn json_answer(status: StatusCode, body: &impl Serialize) -> Result<Answer, ApiError> {
    match serde_json::to_vec(body) {
        Ok(body) => Ok(answer(status, body.into(), "application/json")),
        Err(error) => Err(ApiError::new(ErrorKind::Service, error.to_string())),
    }
}

pub(crate) fn error_answer(error: &ApiError) -> Answer {
    let mut answer = answer(error.kind().status(), error.body().into(), "application/json");
    answer.headers_mut().insert(ERROR_TYPE, HeaderValue::from_static(error.kind().code()));
    answer
}

impl Call<'_> {
    pub fn tenant(&self) -> TenantId {
        self.key.tenant
    }

    /// Whether the caller's key is one that ends by itself.
    pub fn is_temporary(&self) -> bool {
        self.parts.headers.contains_key("x-amz-security-token")
    }

    pub fn query(&self, name: &str) -> Option<String> {
        canonical::query_value(self.parts.uri.query()?, name).map(|value| value.into_owned())
    }

    /// Every value of a parameter that may be there many times.
    pub fn query_all(&self, name: &str) -> Vec<String> {
        let query = self.parts.uri.query().unwrap_or("");
        canonical::query_values(query, name).map(|value| value.into_owned()).collect()
    }
}
