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
    use crate::uri::{Scheme, Url};
    use crate::{Clock, Facts, lambda};

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
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    let url = Url { scheme: Scheme::Https, host: format!("lambda.{region}.{domain}"), port: 443 };
    Ok(Endpoint {
        region: region.to_owned(),
        accounts: vec![provider],
        roles: options.roles.clone(),
        pace: lambda::PACE,
        memory_range_mib: MEMORY_RANGE_MIB,
        facts: Facts {
            // Each instance has a Firecracker microVM (AWS Lambda security overview, 2026-11).
            sandbox: "microvm".to_owned(),
            tenants: 1,
            roles: u32::try_from(options.roles.len()).unwrap_or(u32::MAX),
            clock: Clock::Apart,
            sent: lambda::sent(&url).to_owned(),
            ..Facts::default()
        },
        url,
        platform: None,
    })
}
