//! What any kind of target comes down to: an endpoint of the Lambda API, who may use it, and what is known of it.

use crate::local::{LocalCommand, LocalError};
use crate::uri::{Uri, Url};
use crate::{Facts, aws, lambda, local};
use aws_credential_types::provider::SharedCredentialsProvider;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// How a target is to be opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The study's id, a part of function names: 1 to 24 lower-case letters, digits and hyphens.
    pub study: String,
    /// Seed of the plan's random choices.
    pub seed: u64,
    /// ARNs of the roles that functions may have. Where it is empty, names of roles are made up, which AWS refuses.
    pub roles: Vec<String>,
    /// Profiles of the AWS credentials file with further accounts, for targets `lambda` and `aws`: only accounts that the
    /// user owns.
    pub accounts: Vec<String>,
    /// The program that is the platform of the target `local`; not needed for others.
    pub local: Option<LocalCommand>,
    /// Where to listen as a sink for the probe's network measurement, as instances reach it; None for none but on the
    /// target `local`, which has its own.
    pub sink: Option<SocketAddr>,
}

/// Why a target could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The study's id cannot be a part of function names.
    #[error("study id {0:?} is not 1 to 24 lower-case letters, digits and hyphens")]
    Study(String),
    /// No key in the environment.
    #[error(
        "no credentials for {0}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to what the platform printed"
    )]
    Credentials(Uri),
    /// A profile of the credentials file that cannot be used.
    #[error("profile {name} of {path}: {reason}", path = path.display())]
    Account {
        /// Name of the profile.
        name: String,
        /// The credentials file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The endpoint that the environment, or the AWS configuration, names is none.
    #[error("AWS_ENDPOINT_URL_LAMBDA or AWS_ENDPOINT_URL: {0}")]
    Endpoint(#[source] crate::uri::UriError),
    /// AWS needs roles that exist.
    #[error(
        "{0} needs the ARN of a role that its functions may have, with Lambda as trusted service"
    )]
    Role(Uri),
    /// The embedded platform did not start.
    #[error("cannot start the local platform: {0}")]
    Local(#[from] LocalError),
    /// No command was given for it.
    #[error("target local needs the command that starts the platform")]
    LocalCommand,
    /// It has no endpoint.
    #[error("{0} runs in virtual time and has no endpoint; there is nothing to clean up either")]
    Emulated(Uri),
    /// This build leaves the kind out.
    #[error("{0} is left out of this build: build the crate target with its feature aws")]
    LeftOut(Uri),
    /// The endpoint could not be reached, or does not speak the Lambda API as expected.
    #[error("{uri} cannot be used: {reason}")]
    Unusable {
        /// The target.
        uri: Uri,
        /// What it said.
        reason: String,
    },
    /// It was reached, and does not let us in.
    #[error("{uri} refuses the access key: {reason}; look at {place}")]
    Refused {
        /// The target.
        uri: Uri,
        /// What it said.
        reason: String,
        /// Where the key comes from: variables or a profile.
        place: String,
    },
    /// The sink cannot listen.
    #[error("cannot listen at {address} as a sink")]
    Sink {
        /// Where it should.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// No thread for the clock.
    #[error("cannot start the clock's thread")]
    Clock(#[source] io::Error),
}

/// One endpoint of the Lambda API.
pub(crate) struct Endpoint {
    pub(crate) url: Url,
    pub(crate) region: String,
    /// One for each tenant.
    pub(crate) accounts: Vec<SharedCredentialsProvider>,
    /// ARNs; the index is the plan's role.
    pub(crate) roles: Vec<String>,
    pub(crate) pace: Pace,
    pub(crate) memory_range_mib: (u32, u32),
    pub(crate) facts: Facts,
    /// Where a sink can listen for instances to reach it; None where they cannot, or nobody knows.
    pub(crate) sink: Option<SocketAddr>,
    /// The platform's process, where we started it. It ends when this is dropped.
    pub(crate) platform: Option<local::Platform>,
}

/// How fast control operations may follow each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pace {
    pub(crate) per_s: f64,
    pub(crate) burst: f64,
}

/// Memory sizes of a Lambda function that every account has, MiB. AWS allows up to 10,240 in accounts where it
/// raised the limit (AWS documentation, Lambda quotas, 2026-11).
pub(crate) const MEMORY_RANGE_MIB: (u32, u32) = (128, 3008);

impl Endpoint {
    /// Finds, or starts, what `uri` names.
    pub(crate) async fn open(uri: &Uri, options: &Options) -> Result<Self, OpenError> {
        let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        if !(1..=24).contains(&options.study.len()) || !options.study.bytes().all(allowed) {
            return Err(OpenError::Study(options.study.clone()));
        }
        match uri {
            Uri::Local => local::open(options).await,
            Uri::Lambda(url) => lambda::open(uri, url, options),
            Uri::Aws(region) => aws::open(uri, region, options).await,
            Uri::Emulated(_) => Err(OpenError::Emulated(uri.clone())),
        }
    }
}

/// The roles asked for, or made-up names where an endpoint does not check them.
pub(crate) fn roles_or_made_up(options: &Options) -> Vec<String> {
    if options.roles.is_empty() {
        (0..4).map(|number| format!("arn:aws:iam::123456789012:role/peek-{number}")).collect()
    } else {
        options.roles.clone()
    }
}
