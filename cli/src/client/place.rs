//! Where the endpoint is, and whose keys sign: flags, the environment, or what a `peek serve` of this machine left in its
//! data directory.

use super::call::Service;
use anyhow::{Context, bail};
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use serde::Deserialize;
use std::env;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

/// Region that is signed for where none is named.
const REGION: &str = "us-east-1";

/// Where to send requests.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Where {
    /// Endpoint of the Lambda API [default: AWS_ENDPOINT_URL_LAMBDA, AWS_ENDPOINT_URL, else the `peek serve` of DIR].
    #[arg(long, value_name = "URL", env = "PEEK_ENDPOINT", help_heading = "Where")]
    pub endpoint: Option<String>,
    /// Data directory of a `peek serve` on this machine: its endpoint and keys are found there [default: /var/lib/peek as
    /// root, ~/.local/share/peek else].
    #[arg(long, value_name = "DIR", env = "PEEK_DATA", help_heading = "Where")]
    pub data: Option<PathBuf>,
    /// Region to sign for [default: AWS_REGION, AWS_DEFAULT_REGION, else us-east-1].
    #[arg(long, value_name = "REGION", help_heading = "Where")]
    pub region: Option<String>,
    /// Profile of the AWS credentials file whose keys sign [default: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, else the
    /// keys in DIR where DIR is the endpoint's].
    #[arg(long, value_name = "NAME", help_heading = "Where")]
    pub aws_profile: Option<String>,
}

/// An endpoint, and the keys that it is asked with.
#[derive(Clone, Debug)]
pub struct Place {
    /// `http://HOST:PORT`, without a slash at its end.
    pub endpoint: String,
    /// Region that is signed for.
    pub region: String,
    /// Keys; None where there are none: requests go unsigned then.
    pub keys: Option<Credentials>,
    /// Certificate that is trusted beside the system's.
    pub ca: Option<PathBuf>,
}

/// What a running server says of itself in its data directory, in `endpoint.json`.
#[derive(Debug, Deserialize)]
struct Running {
    endpoint: String,
    region: String,
    #[serde(default)]
    ca: Option<PathBuf>,
    /// The file with its keys; None where they were given in another way.
    credentials: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct StoredKey {
    access_key_id: String,
    secret_access_key: String,
}

/// Where `peek serve` keeps its data unless it is told.
pub fn default_data() -> anyhow::Result<PathBuf> {
    if Path::new("/var/lib").metadata().is_ok() && server::is_root() {
        return Ok(PathBuf::from("/var/lib/peek"));
    }
    let home = env::var_os("HOME").context("no HOME is set: say where with --data DIR")?;
    Ok(PathBuf::from(home).join(".local/share/peek"))
}

impl Where {
    /// Finds the endpoint and the keys. Errors say which flag or variable to set.
    pub async fn find(&self) -> anyhow::Result<Place> {
        let named = self.endpoint.clone().or_else(|| variable("AWS_ENDPOINT_URL_LAMBDA"));
        let named = named.or_else(|| variable("AWS_ENDPOINT_URL")).filter(|_| {
            // A data directory that is named names its endpoint too, unless a flag does.
            self.endpoint.is_some() || self.data.is_none()
        });
        let data = match &self.data {
            Some(data) => data.clone(),
            None => default_data()?,
        };
        let region = self.region.clone().or_else(|| variable("AWS_REGION"));
        let region = region.or_else(|| variable("AWS_DEFAULT_REGION"));
        let running = running(&data);
        let Some(named) = named else {
            let running = running?;
            let keys = match &self.aws_profile {
                Some(name) => Some(profile(name).await?),
                None => Some(stored(&running)?),
            };
            let Running { endpoint, region: own, ca, .. } = running;
            return Ok(Place { endpoint, region: self.region.clone().unwrap_or(own), keys, ca });
        };
        let endpoint = checked(&named)?;
        let running = running.ok().filter(|running| running.endpoint == endpoint);
        let region = region.unwrap_or_else(|| REGION.to_owned());
        let keys = self.keys(&endpoint, &region, running.as_ref()).await?;
        Ok(Place { endpoint, region, keys, ca: running.and_then(|running| running.ca) })
    }

    async fn keys(
        &self,
        endpoint: &str,
        region: &str,
        own: Option<&Running>,
    ) -> anyhow::Result<Option<Credentials>> {
        if let Some(name) = &self.aws_profile {
            return profile(name).await.map(Some);
        }
        if let (Some(id), Some(secret)) =
            (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"))
        {
            let token = variable("AWS_SESSION_TOKEN");
            return Ok(Some(Credentials::from_keys(id, secret, token)));
        }
        if let Some(running) = own {
            return stored(running).map(Some);
        }
        if let Some(name) = variable("AWS_PROFILE") {
            return profile(&name).await.map(Some);
        }
        if endpoint.contains(".amazonaws.com") {
            return chain(region).await.map(Some);
        }
        Ok(None)
    }
}

impl Place {
    /// The endpoint of a service: AWS has one for each, named alike; this platform has one for all.
    pub fn endpoint_of(&self, service: Service) -> String {
        match service {
            Service::Lambda => self.endpoint.clone(),
            Service::Logs => variable("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS")
                .unwrap_or_else(|| self.endpoint.replacen("://lambda.", "://logs.", 1)),
            Service::Scheduler => variable("AWS_ENDPOINT_URL_SCHEDULER")
                .unwrap_or_else(|| self.endpoint.replacen("://lambda.", "://scheduler.", 1)),
        }
    }

    /// Whether it is AWS itself.
    pub fn is_aws(&self) -> bool {
        self.endpoint.contains(".amazonaws.com")
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The endpoint without a slash at its end. Errors: it is none.
fn checked(text: &str) -> anyhow::Result<String> {
    let url = text.trim_end_matches('/');
    let uri: http::Uri = url.parse().with_context(|| format!("endpoint {text:?} is no URL"))?;
    let is_plain = matches!(uri.path(), "" | "/") && uri.query().is_none();
    if !matches!(uri.scheme_str(), Some("http" | "https")) || !is_plain {
        bail!("endpoint {text:?} is not http://HOST:PORT or https://HOST[:PORT], without a path");
    }
    Ok(url.to_owned())
}

/// What the server of this data directory says of itself. Errors: none runs.
fn running(data: &Path) -> anyhow::Result<Running> {
    let none = || {
        format!(
            "no `peek serve` runs with the data directory {}: start one, or name an endpoint with --endpoint or \
             AWS_ENDPOINT_URL",
            data.display()
        )
    };
    // A server holds the lock as long as it lives: what a killed one wrote is not taken for a running one's.
    let lock = File::open(data.join("lock")).with_context(none)?;
    match lock.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {}
        Ok(()) => bail!(none()),
        Err(TryLockError::Error(error)) => return Err(error).with_context(none),
    }
    let path = data.join("endpoint.json");
    let text = fs::read_to_string(&path).with_context(|| {
        format!("the server of {} is not ready yet: cannot read {}", data.display(), path.display())
    })?;
    serde_json::from_str(&text).with_context(|| format!("{} says no endpoint", path.display()))
}

/// The first key of a server on this machine.
fn stored(running: &Running) -> anyhow::Result<Credentials> {
    let path = running.credentials.as_ref().with_context(|| {
        format!(
            "{} keeps its keys to itself: set AWS_ENDPOINT_URL to it, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            running.endpoint
        )
    })?;
    let text = fs::read_to_string(path).with_context(|| {
        format!(
            "cannot read {}: only its owner may; or name keys with --aws-profile",
            path.display()
        )
    })?;
    let keys: Vec<StoredKey> = serde_json::from_str(&text)
        .with_context(|| format!("{} is not a list of access keys", path.display()))?;
    let key = keys.into_iter().next();
    let key = key.with_context(|| format!("{} holds no key", path.display()))?;
    Ok(Credentials::from_keys(key.access_key_id, key.secret_access_key, None))
}

/// The keys of a profile of AWS's shared files.
async fn profile(name: &str) -> anyhow::Result<Credentials> {
    let provider =
        aws_config::profile::ProfileFileCredentialsProvider::builder().profile_name(name).build();
    let keys = provider.provide_credentials().await;
    keys.with_context(|| format!("cannot have the keys of the AWS profile {name}"))
}

/// The keys that AWS's own tools would find.
async fn chain(region: &str) -> anyhow::Result<Credentials> {
    use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let config = aws_config::defaults(aws_config::BehaviorVersion::latest())
        .http_client(http)
        .region(aws_config::Region::new(region.to_owned()))
        .load()
        .await;
    let provider = config.credentials_provider().context("no AWS credentials were found")?;
    provider.provide_credentials().await.context("cannot have AWS credentials")
}

#[cfg(test)]
mod tests {
    use super::*;

    // An endpoint is taken with or without a slash at its end, and refused where it is none.
    #[test]
    fn endpoints_are_checked() {
        assert_eq!(checked("http://127.0.0.1:9470/").expect("one"), "http://127.0.0.1:9470");
        for wrong in ["127.0.0.1:9470", "ftp://x", "http://x/path", ""] {
            assert!(checked(wrong).is_err(), "{wrong}");
        }
    }

    // The data directory of a server that was killed is not taken for a running one's, whatever it left there.
    #[test]
    fn dead_servers_are_not_asked() {
        let data = tempdir();
        let said = r#"{"endpoint": "http://127.0.0.1:1", "region": "us-east-1"}"#;
        fs::write(data.join("endpoint.json"), said).expect("written");
        let lock = File::create(data.join("lock")).expect("a file");
        assert!(
            running(&data).expect_err("none runs").to_string().contains("no `peek serve` runs")
        );
        lock.lock().expect("locked");
        assert_eq!(running(&data).expect("one runs").endpoint, "http://127.0.0.1:1");
        fs::remove_dir_all(data).expect("removed");
    }

    fn tempdir() -> PathBuf {
        let path = env::temp_dir().join(format!("peek-place-{}", std::process::id()));
        fs::create_dir_all(&path).expect("made");
        path
    }
}
