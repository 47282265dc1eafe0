//! Control operations on functions, through the AWS SDK: create, update, delete, list.
//!
//! The SDK's own retries are off; ours are bounded, and paced by a token bucket that all operations share.

use crate::clock::Clock;
use crate::endpoint::Pace;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::retry::RetryConfig;
use aws_sdk_lambda::config::timeout::TimeoutConfig;
use aws_sdk_lambda::config::{
    BehaviorVersion, Region, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_sdk_lambda::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{Architecture, Environment, FunctionCode, LastUpdateStatus, State};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use model::{Span, Time};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Attempts of one control operation, the first included.
const ATTEMPTS: u32 = 6;
/// Wait before the second attempt; it doubles with each further one.
const BACKOFF: Span = Span::from_millis(100);
/// How long a function may take to become active, or an update to become complete.
const SETTLE_LIMIT: Span = Span::from_secs(120);
/// Wait before a state is asked for the second time; it doubles up to [`SETTLE_POLL_MOST`].
const SETTLE_POLL: Span = Span::from_millis(5);
const SETTLE_POLL_MOST: Span = Span::from_millis(500);
/// Limit of one attempt.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(60);

/// The tag by which functions of studies are known.
pub(crate) const TAG: &str = "peek";
/// The environment variable that tells an update from its predecessor.
pub(crate) const MARK: &str = "PEEK_MARK";

/// One account's control operations.
pub(crate) struct Control {
    client: Client,
    bucket: Bucket,
    clock: Arc<Clock>,
}

/// Tokens that are filled up by time and taken by operations.
struct Bucket {
    pace: Pace,
    /// Tokens at a moment; below zero, they are owed by operations that wait.
    level: Mutex<(f64, Time)>,
}

/// A function to create.
pub(crate) struct Creation<'a> {
    pub(crate) name: &'a str,
    pub(crate) study: &'a str,
    pub(crate) runtime: &'a str,
    pub(crate) handler: &'a str,
    pub(crate) settings: Settings<'a>,
    pub(crate) timeout_s: i32,
    pub(crate) zip: Vec<u8>,
}

/// What of a function is configuration.
#[derive(Clone, Copy)]
pub(crate) struct Settings<'a> {
    pub(crate) mark: &'a str,
    pub(crate) memory_mib: u32,
    pub(crate) role: &'a str,
}

/// Why an operation was not carried out.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The error's type, as in `ResourceConflictException`; empty where there was no answer.
    pub(crate) code: String,
    /// In words.
    pub(crate) message: String,
    /// HTTP status; None where there was no answer.
    status: Option<u16>,
    again: Again,
}

impl Refusal {
    /// A function has come to a state in which it is of no use.
    fn of_state(message: String) -> Self {
        Self { code: String::new(), message, status: None, again: Again::Useless }
    }

    /// Whether whoever asks may not: the key is wrong, or it opens nothing here. AWS answers all such with 403 (AWS
    /// documentation, Lambda API, common errors, 2026-11), other endpoints some with 401.
    pub(crate) fn is_of_access(&self) -> bool {
        matches!(self.status, Some(401 | 403))
    }

    /// Whether the key itself is wrong, rather than what its owner may do.
    fn is_of_key(&self) -> bool {
        self.is_of_access() && self.code != "AccessDeniedException"
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    Worthwhile,
    Useless,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.code.is_empty() {
            write!(f, "{}: ", self.code)?;
        }
        f.write_str(&self.message)
    }
}

/// The HTTP client under the SDK: rustls on ring, the one TLS stack of the program.
pub(crate) fn http_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https()
}

impl Control {
    pub(crate) fn new(
        endpoint: &str,
        region: &str,
        pace: Pace,
        (account, clock): (SharedCredentialsProvider, Arc<Clock>),
    ) -> Self {
        let config = aws_sdk_lambda::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(endpoint)
            .region(Region::new(region.to_owned()))
            .credentials_provider(account)
            .http_client(http_client())
            .retry_config(RetryConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT_LIMIT).build(),
            )
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        let bucket = Bucket { pace, level: Mutex::new((pace.burst, clock.now())) };
        Self { client: Client::from_conf(config), bucket, clock }
    }

    /// Creates a function and waits until it is active. Returns its ARN.
    pub(crate) async fn create(&self, creation: Creation<'_>) -> Result<String, Refusal> {
        let Settings { mark, memory_mib, role } = creation.settings;
        let request = self
            .client
            .create_function()
            .function_name(creation.name)
            .runtime(creation.runtime.into())
            .handler(creation.handler)
            .role(role)
            .memory_size(megabytes(memory_mib))
            .timeout(creation.timeout_s)
            .architectures(architecture())
            .environment(Environment::builder().variables(MARK, mark).build())
            .tags(TAG, creation.study)
            .code(FunctionCode::builder().zip_file(Blob::new(creation.zip)).build());
        match self.retried(|| request.clone().send()).await {
            Ok(output) if output.state == Some(State::Active) => {
                return Ok(output.function_arn.unwrap_or_default());
            }
            Ok(_) => {}
            // Its name is ours alone: an attempt whose answer was lost has created it.
            Err(refusal) if refusal.code == "ResourceConflictException" => {}
            Err(refusal) => return Err(refusal),
        }
        self.settle(creation.name).await
    }

    /// Replaces a function's code and waits until the update is complete.
    pub(crate) async fn update_code(&self, name: &str, zip: Vec<u8>) -> Result<(), Refusal> {
        let request =
            self.client.update_function_code().function_name(name).zip_file(Blob::new(zip));
        let output = self.retried(|| request.clone().send()).await?;
        self.settle_update(name, output.last_update_status).await
    }

    /// Replaces a function's configuration and waits until the update is complete.
    pub(crate) async fn configure(
        &self,
        name: &str,
        settings: Settings<'_>,
    ) -> Result<(), Refusal> {
        let request = self
            .client
            .update_function_configuration()
            .function_name(name)
            .memory_size(megabytes(settings.memory_mib))
            .role(settings.role)
            .environment(Environment::builder().variables(MARK, settings.mark).build());
        let output = self.retried(|| request.clone().send()).await?;
        self.settle_update(name, output.last_update_status).await
    }

    /// Removes a function; one that is gone already is no error.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), Refusal> {
        let request = self.client.delete_function().function_name(name);
        match self.retried(|| request.clone().send()).await {
            Err(refusal) if refusal.code != "ResourceNotFoundException" => Err(refusal),
            _ => Ok(()),
        }
    }

    /// Names of all functions of the account that begin with `prefix`.
    pub(crate) async fn list(&self, prefix: &str) -> Result<Vec<String>, Refusal> {
        let mut names = Vec::new();
        let mut marker = None;
        loop {
            let request = self.client.list_functions().set_marker(marker);
            let page = self.retried(|| request.clone().send()).await?;
            let found = page.functions.unwrap_or_default().into_iter();
            names.extend(found.filter_map(|f| f.function_name).filter(|n| n.starts_with(prefix)));
            marker = page.next_marker.filter(|marker| !marker.is_empty());
            if marker.is_none() {
                return Ok(names);
            }
        }
    }

    /// The study that a function was deployed by; None where it has no such tag.
    pub(crate) async fn study(&self, name: &str) -> Result<Option<String>, Refusal> {
        let request = self.client.get_function().function_name(name);
        let output = self.retried(|| request.clone().send()).await?;
        Ok(output.tags.and_then(|mut tags| tags.remove(TAG)))
    }

    /// What the endpoint says when a function of a runtime is asked for that nobody has: it names those that it has.
    ///
    /// Returns an empty text where it created the function, which is removed at once.
    pub(crate) async fn runtimes(
        &self,
        name: &str,
        (role, zip): (&str, Vec<u8>),
    ) -> Result<String, Refusal> {
        let request = self
            .client
            .create_function()
            .function_name(name)
            .runtime("peek.unknown".into())
            .handler("none")
            .role(role)
            .code(FunctionCode::builder().zip_file(Blob::new(zip)).build());
        match self.retried(|| request.clone().send()).await {
            Ok(_) => self.delete(name).await.map(|()| String::new()),
            // Only an answer to what was asked names runtimes.
            Err(refusal) if refusal.is_of_access() || refusal.status.is_none() => Err(refusal),
            Err(refusal) if refusal.again == Again::Useless => Ok(refusal.message),
            Err(refusal) => Err(refusal),
        }
    }

    /// Makes sure that the endpoint knows the key. Listing, with which this is found out, may be forbidden to it.
    pub(crate) async fn check_key(&self) -> Result<(), Refusal> {
        let request = self.client.list_functions().max_items(1);
        match self.retried(|| request.clone().send()).await {
            Err(refusal) if refusal.is_of_key() => Err(refusal),
            _ => Ok(()),
        }
    }

    async fn settle_update(
        &self,
        name: &str,
        status: Option<LastUpdateStatus>,
    ) -> Result<(), Refusal> {
        match status {
            Some(LastUpdateStatus::Successful) => Ok(()),
            _ => self.settle(name).await.map(drop),
        }
    }

    /// Waits until a function is active and its last update complete. Returns its ARN.
    async fn settle(&self, name: &str) -> Result<String, Refusal> {
        let limit = self.clock.now() + SETTLE_LIMIT;
        let mut wait = SETTLE_POLL;
        loop {
            let request = self.client.get_function_configuration().function_name(name);
            let now = self.retried(|| request.clone().send()).await?;
            let failed = |what: &str, reason: Option<String>| {
                let reason = reason.unwrap_or_else(|| "no reason given".to_owned());
                let message = format!("{what} is Failed: {reason}");
                Refusal::of_state(message)
            };
            // An endpoint that knows no states has none that could be pending.
            let state = now.state.unwrap_or(State::Active);
            let update = now.last_update_status.unwrap_or(LastUpdateStatus::Successful);
            match (state, update) {
                (State::Failed, _) => return Err(failed("State", now.state_reason)),
                (_, LastUpdateStatus::Failed) => {
                    return Err(failed("LastUpdateStatus", now.last_update_status_reason));
                }
                (State::Active, LastUpdateStatus::Successful) => {
                    return Ok(now.function_arn.unwrap_or_default());
                }
                (state, update) if self.clock.now() > limit => {
                    let message = format!("still {state} and {update} after {SETTLE_LIMIT}");
                    return Err(Refusal::of_state(message));
                }
                _ => self.clock.sleep_until(self.clock.now() + wait).await,
            }
            wait = (wait + wait).min(SETTLE_POLL_MOST);
        }
    }

    async fn retried<T, E, F>(&self, operation: impl Fn() -> F) -> Result<T, Refusal>
    where
        F: Future<Output = Result<T, SdkError<E>>>,
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let mut wait = BACKOFF;
        for _ in 1..ATTEMPTS {
            match self.attempt(Box::pin(operation())).await {
                Err(refusal) if refusal.again == Again::Worthwhile => {
                    tracing::debug!(%refusal, "control operation again");
                    self.clock.sleep_until(self.clock.now() + wait).await;
                    wait += wait;
                }
                result => return result,
            }
        }
        self.attempt(Box::pin(operation())).await
    }

    async fn attempt<T, E>(
        &self,
        // Boxed: an operation of the SDK is several KiB of future.
        operation: Pin<Box<impl Future<Output = Result<T, SdkError<E>>>>>,
    ) -> Result<T, Refusal>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        self.clock.sleep_until(self.bucket.take(self.clock.now())).await;
        operation.await.map_err(refusal)
    }
}

impl Bucket {
    /// Takes a token; returns the moment from which on it may be used.
    fn take(&self, now: Time) -> Time {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let (tokens, since) = *level;
        let filled =
            (tokens + now.since(since).as_secs_f64() * self.pace.per_s).min(self.pace.burst);
        *level = (filled - 1.0, now);
        now + Span::from_secs_f64((1.0 - filled) / self.pace.per_s)
    }
}

fn refusal<E>(error: SdkError<E>) -> Refusal
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    let code = error.code().unwrap_or_default().to_owned();
    let busy = matches!(
        code.as_str(),
        "TooManyRequestsException" | "ThrottlingException" | "Throttling" | "RequestLimitExceeded"
    );
    // An update that comes while another, or the creation, is under way.
    let in_progress = code == "ResourceConflictException" && is_in_progress(error.message());
    let again = match status {
        None if matches!(error, SdkError::ConstructionFailure(_)) => Again::Useless,
        None | Some(429 | 500..) => Again::Worthwhile,
        Some(_) if busy || in_progress => Again::Worthwhile,
        Some(_) => Again::Useless,
    };
    let message = match error.message() {
        Some(message) => message.to_owned(),
        None => DisplayErrorContext(&error).to_string(),
    };
    Refusal { code, message, status, again }
}

fn is_in_progress(message: Option<&str>) -> bool {
    message.is_some_and(|message| message.contains("in progress") || message.contains("Pending"))
}

fn megabytes(mib: u32) -> i32 {
    i32::try_from(mib).unwrap_or(i32::MAX)
}

/// The architecture that the embedded probe is built for.
const fn architecture() -> Architecture {
    if cfg!(target_arch = "aarch64") { Architecture::Arm64 } else { Architecture::X8664 }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Operations beyond the burst wait their turn at the pace, and time fills the bucket no higher than the burst.
    #[test]
    fn buckets_keep_the_pace() {
        let level = Mutex::new((2.0, Time::ZERO));
        let bucket = Bucket { pace: Pace { per_s: 10.0, burst: 2.0 }, level };
        let taken: Vec<u64> =
            (0..4).map(|_| bucket.take(Time::ZERO).as_nanos() / 1_000_000).collect();
        assert_eq!(taken, [0, 0, 100, 200]);
        let later = Time::from_nanos(100_000_000_000);
        let taken: Vec<_> = (0..3).map(|_| bucket.take(later).since(later)).collect();
        assert_eq!(taken, [Span::ZERO, Span::ZERO, Span::from_millis(100)]);
    }
}
