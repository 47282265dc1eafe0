//! Targets `aws:REGION`: AWS Lambda, with credentials from wherever AWS's own tools find them.

use crate::endpoint::{Endpoint, OpenError, Options};
use crate::uri::Uri;

#[cfg(not(feature = "aws"))]
pub(crate) async fn open(uri: &Uri, _: &str, _: &Options) -> Result<Endpoint, OpenError> {
    Err(OpenError::LeftOut(uri.clone()))
}

#[cfg(feature = "aws")]
pub(crate) async fn open(
    uri: &Uri,
    region: &str,
    options: &Options,
) -> Result<Endpoint, OpenError> {
    use crate::endpoint::MEMORY_RANGE_MIB;
    use crate::{Clock, Facts, accounts, lambda};

    if options.roles.is_empty() {
        return Err(OpenError::Role(uri.clone()));
    }
    let config = aws_config::defaults(aws_config::BehaviorVersion::latest())
        .http_client(crate::control::http_client())
        .region(aws_config::Region::new(region.to_owned()))
        .load()
        .await;
    let provider =
        config.credentials_provider().ok_or_else(|| OpenError::Credentials(uri.clone()))?;
    let mut accounts = vec![provider];
    for name in &options.accounts {
        accounts.push(further(name, region).await.ok_or_else(|| OpenError::Account {
            name: name.clone(),
            path: accounts::path(),
            reason: "no credentials can be had from it".to_owned(),
        })?);
    }
    let url = match named_endpoint(&config) {
        Some(text) => text.parse().map_err(OpenError::Endpoint)?,
        None => own_endpoint(region),
    };
    Ok(Endpoint {
        region: region.to_owned(),
        roles: options.roles.clone(),
        pace: lambda::PACE,
        memory_range_mib: MEMORY_RANGE_MIB,
        facts: Facts {
            // Each instance has a Firecracker microVM (AWS Lambda security overview, 2026-11).
            sandbox: "microvm".to_owned(),
            tenants: u32::try_from(accounts.len()).unwrap_or(u32::MAX),
            roles: u32::try_from(options.roles.len()).unwrap_or(u32::MAX),
            clock: Clock::Apart,
            sent: lambda::sent(&url).to_owned(),
            ..Facts::default()
        },
        url,
        accounts,
        platform: None,
    })
}

/// The endpoint that the user names, as AWS's own tools let it be named: one in a private network, for example.
#[cfg(feature = "aws")]
fn named_endpoint(config: &aws_config::SdkConfig) -> Option<String> {
    let own = std::env::var("AWS_ENDPOINT_URL_LAMBDA").ok().filter(|url| !url.is_empty());
    own.or_else(|| config.endpoint_url().map(str::to_owned))
}

/// AWS's own endpoint in a region.
#[cfg(feature = "aws")]
fn own_endpoint(region: &str) -> crate::uri::Url {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    let host = format!("lambda.{region}.{domain}");
    crate::uri::Url { scheme: crate::uri::Scheme::Https, host, port: 443 }
}

/// Where the credentials of a named profile come from, as AWS's own tools find them.
#[cfg(feature = "aws")]
async fn further(
    name: &str,
    region: &str,
) -> Option<aws_credential_types::provider::SharedCredentialsProvider> {
    let config = aws_config::defaults(aws_config::BehaviorVersion::latest())
        .http_client(crate::control::http_client())
        .region(aws_config::Region::new(region.to_owned()))
        .profile_name(name)
        .credentials_provider(
            aws_config::profile::ProfileFileCredentialsProvider::builder()
                .profile_name(name)
                .build(),
        )
        .load()
        .await;
    config.credentials_provider()
}
