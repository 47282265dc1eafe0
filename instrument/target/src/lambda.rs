//! Targets `lambda:URL`: any endpoint that speaks the Lambda API, with the key that the environment holds.

use crate::accounts;
use crate::endpoint::{Endpoint, MEMORY_RANGE_MIB, OpenError, Options, Pace, roles_or_made_up};
use crate::uri::{Scheme, Uri, Url};
use crate::{Clock, Facts};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use std::env;

/// The region that is signed for where the environment names none.
pub(crate) const REGION: &str = "us-east-1";

/// Half of what AWS grants for all control operations together: 15 per second (AWS documentation, Lambda quotas,
/// 2026-11). An endpoint that is not AWS may have the same.
pub(crate) const PACE: Pace = Pace { per_s: 7.5, burst: 10.0 };
/// On this machine there is no quota to share, only a bound that keeps a fault from becoming a storm.
pub(crate) const PACE_LOCAL: Pace = Pace { per_s: 200.0, burst: 200.0 };

pub(crate) fn open(uri: &Uri, url: &Url, options: &Options) -> Result<Endpoint, OpenError> {
    let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let (Some(key), Some(secret)) =
        (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"))
    else {
        return Err(OpenError::Credentials(uri.clone()));
    };
    let credentials = Credentials::from_keys(key, secret, variable("AWS_SESSION_TOKEN"));
    let region = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
    let here = matches!(url.host.as_str(), "localhost" | "[::1]") || url.host.starts_with("127.");
    let roles = roles_or_made_up(options);
    let mut accounts = vec![SharedCredentialsProvider::new(credentials)];
    for name in &options.accounts {
        accounts.push(SharedCredentialsProvider::new(accounts::stored(name)?));
    }
    Ok(Endpoint {
        url: url.clone(),
        region: region.unwrap_or_else(|| REGION.to_owned()),
        pace: if here { PACE_LOCAL } else { PACE },
        memory_range_mib: MEMORY_RANGE_MIB,
        facts: Facts {
            tenants: u32::try_from(accounts.len()).unwrap_or(u32::MAX),
            roles: u32::try_from(roles.len()).unwrap_or(u32::MAX),
            clock: if here { Clock::Same } else { Clock::Apart },
            sent: sent(url).to_owned(),
            ..Facts::default()
        },
        accounts,
        roles,
        sink: None,
        platform: None,
    })
}

/// What the moment of sending is, in words.
pub(crate) const fn sent(url: &Url) -> &'static str {
    match url.scheme {
        Scheme::Http => {
            "the request, signed before, is handed to the kernel in one write on an open TCP connection"
        }
        Scheme::Https => {
            "the request, signed before, is handed to an established TLS session on an open connection"
        }
    }
}
