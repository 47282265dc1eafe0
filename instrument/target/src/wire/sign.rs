//! Signed requests as bytes that are ready to be sent.

use crate::uri::Url;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use std::time::{Duration, SystemTime};
use tokio::sync::Mutex;

/// The name by which Lambda is signed for.
const SERVICE: &str = "lambda";
/// Credentials that end sooner than this are fetched anew.
const RENEW_BEFORE: Duration = Duration::from_secs(300);

/// One account's credentials, kept until they are about to end, and the region they sign for.
#[derive(Debug)]
pub(crate) struct Keys {
    region: String,
    provider: SharedCredentialsProvider,
    current: Mutex<Option<Credentials>>,
}

/// One POST request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Post<'a> {
    pub(crate) url: &'a Url,
    /// Path and query, percent-encoded.
    pub(crate) path: &'a str,
    /// Beside `host`, `content-length` and those of the signature.
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a [u8],
}

/// Why a request could not be signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignError {
    #[error("no credentials: {0}")]
    Credentials(#[from] CredentialsError),
    #[error("cannot sign: {0}")]
    Parameters(#[from] v4::signing_params::BuildError),
    #[error("cannot sign: {0}")]
    Sign(#[from] aws_sigv4::http_request::SigningError),
}

impl Keys {
    pub(crate) fn new(region: String, provider: SharedCredentialsProvider) -> Self {
        Self { region, provider, current: Mutex::default() }
    }

    /// The signed request, whole. It is to be sent within five minutes.
    pub(crate) async fn sign(&self, post: Post<'_>) -> Result<Vec<u8>, SignError> {
        let identity = self.credentials().await?.into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(SERVICE)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let uri = format!("{}{}", post.url, post.path);
        let body = SignableBody::Bytes(post.body);
        let request = SignableRequest::new("POST", uri, post.headers.iter().copied(), body)?;
        let (signature, _) = sign(request, &parameters)?.into_parts();
        let own = [("host", post.url.authority()), ("content-length", post.body.len().to_string())];
        let mut bytes = Vec::with_capacity(1024 + post.body.len());
        bytes.extend_from_slice(format!("POST {} HTTP/1.1\r\n", post.path).as_bytes());
        let own = own.iter().map(|(name, value)| (*name, value.as_str()));
        for (name, value) in own.chain(post.headers.iter().copied()).chain(signature.headers()) {
            for part in [name, ": ", value, "\r\n"] {
                bytes.extend_from_slice(part.as_bytes());
            }
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(post.body);
        Ok(bytes)
    }

    async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        let mut current = self.current.lock().await;
        let soon = SystemTime::now() + RENEW_BEFORE;
        match &*current {
            Some(have) if have.expiry().is_none_or(|end| end > soon) => Ok(have.clone()),
            _ => Ok(current.insert(self.provider.provide_credentials().await?).clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The bytes are a whole HTTP/1.1 request, with the signature over host and date and the body untouched.
    #[tokio::test]
    async fn signed_requests_are_whole() {
        let key = Credentials::from_keys("AKIDEXAMPLE", "secret", Some("token".to_owned()));
        let keys = Keys::new("us-east-1".to_owned(), SharedCredentialsProvider::new(key));
        let url: Url = "http://127.0.0.1:9000".parse().expect("a URL");
        let headers = [("x-amz-log-type", "Tail")];
        let post = Post { url: &url, path: "/a/b?c=d", headers: &headers, body: b"{}" };
        let bytes = keys.sign(post).await.expect("signed");
        let text = String::from_utf8(bytes).expect("text");
        assert!(text.starts_with("POST /a/b?c=d HTTP/1.1\r\nhost: 127.0.0.1:9000\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\n{}"));
        let signed =
            "SignedHeaders=host;x-amz-date;x-amz-log-type;x-amz-security-token, Signature=";
        assert!(text.contains(signed), "{text}");
        assert!(text.contains("x-amz-security-token: token\r\n"));
        assert_eq!(text.matches("host:").count(), 1);
    }
}
