//! Who sent a request: Signature Version 4 in the `Authorization` header or in the query of a presigned URL.
//!
//! The signature itself is computed by AWS's crate; keys with a session token are opened by `session`. Deliberately knows
//! nothing of operations, and keeps no clock: the caller says what time it is.

use crate::body::BodyHash;
use crate::canonical;
use crate::error::{ApiError, ErrorKind};
use crate::service::Service;
use crate::session::SessionKeys;
use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use http::header::AUTHORIZATION;
use http::request::Parts;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use model::TenantId;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

/// An access key and whose it is.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// Its id, as in `AKIA…`.
    pub id: String,
    /// Its secret.
    pub secret: String,
    /// Who acts by it.
    pub tenant: TenantId,
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey").field("id", &self.id).field("tenant", &self.tenant).finish()
    }
}

/// The access keys that are let in.
#[derive(Debug)]
pub struct Credentials {
    keys: BTreeMap<String, Arc<AccessKey>>,
    /// Whose a request without a signature is; None where such are refused.
    unsigned: Option<Arc<AccessKey>>,
    pub(crate) sessions: SessionKeys,
    signing_keys: RwLock<BTreeMap<SigningScope, [u8; 32]>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SigningScope {
    key: String,
    date: String,
    region: String,
    service: Service,
}

impl SigningScope {
    /// The scope as it stands in a credential, after the key.
    fn suffix(&self) -> String {
        format!("{}/{}/{}/aws4_request", self.date, self.region, self.service.signing_name())
    }
}

/// What a request says of its signature, of which only key and date were checked so far.
#[derive(Debug)]
pub(crate) struct Claim {
    key: Arc<AccessKey>,
    pub service: Service,
    /// Whether there is a signature to be checked.
    pub is_signed: bool,
    date_time: String,
    time: SystemTime,
    region: String,
    signed_headers: String,
    signature: String,
}

impl Claim {
    /// Whose the request is, if its signature is right.
    pub fn tenant(&self) -> TenantId {
        self.key.tenant
    }
}

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// How far the client's clock may be off (AWS General Reference, 2026-11).
const SKEW: Duration = Duration::from_secs(5 * 60);
/// Longest life of a presigned URL: seven days.
const PRESIGNED_MAX_S: u64 = 7 * 24 * 3600;
/// Life of the URLs that [`Credentials::presign`] makes, as of GetFunction's at AWS: ten minutes.
const PRESIGN_S: u64 = 600;
/// Signing keys that are kept: one per access key, day and region in use.
const SIGNING_KEYS_MAX: usize = 1024;
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

impl Credentials {
    /// Lets these keys in, and temporary ones made from `session_secret`.
    pub fn new(keys: Vec<AccessKey>, session_secret: [u8; 32]) -> Self {
        let keys = keys.into_iter().map(|key| (key.id.clone(), Arc::new(key))).collect();
        let sessions = SessionKeys::new(session_secret);
        Self { keys, unsigned: None, sessions, signing_keys: RwLock::new(BTreeMap::new()) }
    }

    /// Takes requests that nobody signed, or that are signed by a key that nobody knows, as this key's. Others are
    /// checked as ever.
    pub fn with_unsigned(mut self, key: Option<AccessKey>) -> Self {
        self.unsigned = key.map(Arc::new);
        self
    }

    /// The claim of a request that needs no signature here; None where it has to be checked.
    fn unsigned(&self, parts: &Parts) -> Option<Claim> {
        let key = self.unsigned.as_ref()?;
        let query = parts.uri.query().unwrap_or("");
        let fields = match parts.headers.get(AUTHORIZATION) {
            Some(value) => Fields::from_header(value.to_str().unwrap_or(""), parts).ok(),
            None if query.contains("X-Amz-") => Fields::from_query(query).ok(),
            None => None,
        };
        let mut scope = fields.iter().flat_map(|fields| fields.credential.split('/'));
        let id = scope.next().unwrap_or_default();
        let has_token = fields.as_ref().is_some_and(|fields| fields.token.is_some());
        if has_token || self.keys.contains_key(id) {
            return None;
        }
        let service = scope.nth(2).and_then(Service::from_name).unwrap_or(Service::Lambda);
        Some(Claim {
            key: key.clone(),
            service,
            is_signed: false,
            date_time: String::new(),
            time: SystemTime::UNIX_EPOCH,
            region: String::new(),
            signed_headers: String::new(),
            signature: String::new(),
        })
    }

    /// The key of this id: a lasting one, or, with a session token, a temporary one.
    fn key(
        &self,
        id: &str,
        token: Option<&str>,
        now: SystemTime,
    ) -> Result<Arc<AccessKey>, ApiError> {
        let Some(token) = token else {
            return self.keys.get(id).cloned().ok_or_else(|| unknown_key(""));
        };
        if self.keys.contains_key(id) {
            return Err(unknown_key(
                " This access key has no session token: unset AWS_SESSION_TOKEN.",
            ));
        }
        self.sessions.open(id, token, now).map(Arc::new)
    }

    /// Reads what the request says of its signature, and refuses what needs no body to be refused: no signature, an
    /// unknown key, a clock that is off.
    pub(crate) fn claim(&self, parts: &Parts, now: SystemTime) -> Result<Claim, ApiError> {
        if let Some(claim) = self.unsigned(parts) {
            return Ok(claim);
        }
        let fields = match parts.headers.get(AUTHORIZATION) {
            Some(value) => Fields::from_header(value.to_str().unwrap_or(""), parts)?,
            None => Fields::from_query(parts.uri.query().unwrap_or(""))?,
        };
        let mut scope = fields.credential.split('/');
        let (Some(id), Some(date), Some(region), Some(service), Some("aws4_request"), None) =
            (scope.next(), scope.next(), scope.next(), scope.next(), scope.next(), scope.next())
        else {
            return Err(incomplete(format!(
                "Credential must have exactly 5 slash-delimited elements, e.g. \
                 keyid/date/region/service/term, got '{}'",
                fields.credential
            )));
        };
        let key = self.key(id, fields.token.as_deref(), now)?;
        let Some(service) = Service::from_name(service) else {
            // As Lambda's own endpoint says it, whichever others are served here beside it.
            let message = "Credential should be scoped to correct service: 'lambda'.";
            return Err(invalid(message));
        };
        let Some(time) = parse_time(&fields.date_time) else {
            return Err(incomplete(format!(
                "Date must be in ISO-8601 'basic format'. Got '{}'. See \
                 http://en.wikipedia.org/wiki/ISO_8601",
                fields.date_time
            )));
        };
        if !fields.date_time.starts_with(date) || date.len() != 8 {
            return Err(invalid(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date \
                 from HTTP: '{date}' != '{}', from '{}'.",
                fields.date_time.get(..8).unwrap_or(""),
                fields.date_time
            )));
        }
        check_clock(time, &fields, now)?;
        check_signed_headers(parts, &fields.signed_headers)?;
        let region = region.to_owned();
        let Fields { date_time, signed_headers, signature, .. } = fields;
        let is_signed = true;
        Ok(Claim { key, service, is_signed, date_time, time, region, signed_headers, signature })
    }

    /// Checks the signature of a request with this body. Returns the key that made it.
    pub(crate) fn verify(
        &self,
        claim: Claim,
        parts: &Parts,
        body: &BodyHash,
    ) -> Result<Arc<AccessKey>, ApiError> {
        if !claim.is_signed {
            return Ok(claim.key);
        }
        let hash = payload_hash(parts, body)?;
        let canonical = canonical::request(parts, &claim.signed_headers, hash);
        let scope = SigningScope {
            key: claim.key.id.clone(),
            date: claim.date_time[..8].to_owned(),
            region: claim.region,
            service: claim.service,
        };
        let cached = self.read_signing_key(&scope);
        let signing_key = cached.unwrap_or_else(|| derive(&claim.key, claim.time, &scope));
        let expected = sign(&signing_key, &claim.date_time, &scope, &canonical);
        if !is_equal(expected.as_bytes(), claim.signature.as_bytes()) {
            return Err(invalid(
                "The request signature we calculated does not match the signature you provided. \
                 Check your AWS Secret Access Key and signing method. Consult the service \
                 documentation for details.",
            ));
        }
        if cached.is_none() {
            let mut keys = self.signing_keys.write().unwrap_or_else(PoisonError::into_inner);
            if keys.len() >= SIGNING_KEYS_MAX {
                keys.clear();
            }
            keys.insert(scope, signing_key);
        }
        Ok(claim.key)
    }

    /// A URL of `path` at `host` that whoever holds it may GET for ten minutes, in the name of `key`.
    pub(crate) fn presign(&self, key: &AccessKey, target: &Presign<'_>) -> String {
        let stamp = Timestamp::try_from(target.now).unwrap_or_default();
        let date_time = stamp.strftime("%Y%m%dT%H%M%SZ").to_string();
        let scope = SigningScope {
            key: key.id.clone(),
            date: date_time[..8].to_owned(),
            region: target.region.to_owned(),
            service: Service::Lambda,
        };
        let credential = format!("{}/{}", key.id, scope.suffix());
        let mut query = format!("X-Amz-Algorithm={ALGORITHM}&X-Amz-Credential=");
        canonical::push_encoded(&mut query, credential.as_bytes());
        query.push_str(&format!(
            "&X-Amz-Date={date_time}&X-Amz-Expires={PRESIGN_S}&X-Amz-SignedHeaders=host"
        ));
        let text = format!(
            "GET\n{}\n{query}\nhost:{}\n\nhost\n{}",
            target.path,
            target.host,
            canonical::EMPTY_SHA256
        );
        let signing_key = derive(key, target.now, &scope);
        let signature = sign(&signing_key, &date_time, &scope, &text);
        format!(
            "{}://{}{}?{query}&X-Amz-Signature={signature}",
            target.scheme, target.host, target.path
        )
    }

    fn read_signing_key(&self, scope: &SigningScope) -> Option<[u8; 32]> {
        let keys = self.signing_keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.get(scope).copied()
    }
}

/// What a presigned URL is to name; `path` has only unreserved characters and slashes.
pub(crate) struct Presign<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    pub host: &'a str,
    pub path: &'a str,
    pub region: &'a str,
    pub now: SystemTime,
}

/// The parts of a signature as they arrived.
struct Fields {
    credential: String,
    signed_headers: String,
    signature: String,
    date_time: String,
    token: Option<String>,
    /// Seconds, of a presigned URL.
    expires_s: Option<u64>,
}

impl Fields {
    fn from_header(value: &str, parts: &Parts) -> Result<Self, ApiError> {
        let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let date_time = header("x-amz-date");
        let fields = value.strip_prefix(ALGORITHM).unwrap_or("");
        let field = |name: &str| {
            fields.split(',').find_map(|field| {
                field.trim().strip_prefix(name).and_then(|rest| rest.strip_prefix('='))
            })
        };
        let found = (field("Credential"), field("SignedHeaders"), field("Signature"), date_time);
        let (Some(credential), Some(signed_headers), Some(signature), Some(date_time)) = found
        else {
            let mut message = String::new();
            let names =
                [("Credential", found.0), ("Signature", found.2), ("SignedHeaders", found.1)];
            for (name, _) in names.iter().filter(|(_, value)| value.is_none()) {
                message.push_str(&format!("Authorization header requires '{name}' parameter. "));
            }
            if date_time.is_none() {
                message.push_str(
                    "Authorization header requires existence of an 'X-Amz-Date' header. ",
                );
            }
            return Err(incomplete(message.trim_end()));
        };
        Ok(Self {
            credential: credential.to_owned(),
            signed_headers: signed_headers.to_owned(),
            signature: signature.to_owned(),
            date_time: date_time.to_owned(),
            token: header("x-amz-security-token").map(str::to_owned),
            expires_s: None,
        })
    }

    fn from_query(query: &str) -> Result<Self, ApiError> {
        let value = |name| canonical::query_value(query, name).map(Cow::into_owned);
        let Some(algorithm) = value("X-Amz-Algorithm") else {
            let message = "Missing Authentication Token";
            return Err(ApiError::new(ErrorKind::MissingAuthenticationToken, message));
        };
        let needed = |name| {
            value(name).ok_or_else(|| {
                incomplete(format!("AWS query-string parameters must include '{name}'."))
            })
        };
        if algorithm != ALGORITHM {
            let message = format!("Unsupported AWS 'algorithm': '{algorithm}', use {ALGORITHM}.");
            return Err(incomplete(message));
        }
        let expires = needed("X-Amz-Expires")?;
        let expires_s = expires.parse().ok().filter(|seconds| *seconds <= PRESIGNED_MAX_S);
        let Some(expires_s) = expires_s else {
            return Err(incomplete(format!(
                "X-Amz-Expires must be a number of seconds of at most {PRESIGNED_MAX_S}, got \
                 '{expires}'."
            )));
        };
        Ok(Self {
            credential: needed("X-Amz-Credential")?,
            signed_headers: needed("X-Amz-SignedHeaders")?,
            signature: needed("X-Amz-Signature")?,
            date_time: needed("X-Amz-Date")?,
            token: value("X-Amz-Security-Token"),
            expires_s: Some(expires_s),
        })
    }
}

fn check_clock(time: SystemTime, fields: &Fields, now: SystemTime) -> Result<(), ApiError> {
    let basic = |time: SystemTime| {
        let stamp = Timestamp::try_from(time).unwrap_or_default();
        stamp.strftime("%Y%m%dT%H%M%SZ").to_string()
    };
    let life = fields.expires_s.map_or(SKEW, Duration::from_secs);
    if now.duration_since(time).is_ok_and(|age| age > life) {
        let (limit, said) = (basic(now - life), &fields.date_time);
        let margin = match fields.expires_s {
            None => "5 min.".to_owned(),
            Some(seconds) => format!("{seconds} s"),
        };
        return Err(invalid(format!(
            "Signature expired: {said} is now earlier than {limit} ({} - {margin})",
            basic(now)
        )));
    }
    if time.duration_since(now).is_ok_and(|ahead| ahead > SKEW) {
        return Err(invalid(format!(
            "Signature not yet current: {} is still later than {} ({} + 5 min.)",
            fields.date_time,
            basic(now + SKEW),
            basic(now)
        )));
    }
    Ok(())
}

/// The host and everything that can change what the request means must be signed.
fn check_signed_headers(parts: &Parts, signed: &str) -> Result<(), ApiError> {
    let is_signed = |name: &str| signed.split(';').any(|signed| signed == name);
    let amz = parts.headers.keys().map(|name| name.as_str()).filter(|n| n.starts_with("x-amz-"));
    match std::iter::once("host").chain(amz).find(|name| !is_signed(name)) {
        None => Ok(()),
        Some(name) => {
            Err(invalid(format!("'{name}' must be a 'SignedHeader' in the AWS Authorization.")))
        }
    }
}

/// What the signature takes for the payload: its hash as it arrived, or that it is not signed.
fn payload_hash<'a>(parts: &Parts, body: &'a BodyHash) -> Result<&'a str, ApiError> {
    match parts.headers.get("x-amz-content-sha256").map(|value| value.to_str().unwrap_or("")) {
        None => Ok(body.as_str()),
        Some(UNSIGNED) => Ok(UNSIGNED),
        Some(given) if is_equal(given.as_bytes(), body.as_str().as_bytes()) => Ok(body.as_str()),
        Some(_) => Err(invalid(
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        )),
    }
}

fn derive(key: &AccessKey, time: SystemTime, scope: &SigningScope) -> [u8; 32] {
    let service = scope.service.signing_name();
    let derived = generate_signing_key(&key.secret, time, &scope.region, service);
    derived.as_ref().try_into().expect("HMAC-SHA-256 gives 32 bytes")
}

fn sign(signing_key: &[u8; 32], date_time: &str, scope: &SigningScope, canonical: &str) -> String {
    let hash = hex::encode(Sha256::digest(canonical.as_bytes()));
    let text = format!("{ALGORITHM}\n{date_time}\n{}\n{hash}", scope.suffix());
    calculate_signature(signing_key, text.as_bytes())
}

/// Compares in a time that does not depend on where the two differ.
pub(crate) fn is_equal(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len()
        && std::hint::black_box(left.iter().zip(right).fold(0, |sum, (a, b)| sum | (a ^ b))) == 0
}

/// `20261120T194958Z` as a moment.
fn parse_time(text: &str) -> Option<SystemTime> {
    let bytes = text.as_bytes();
    if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' {
        return None;
    }
    let number = |at: std::ops::Range<usize>| -> Option<i8> {
        bytes[at].iter().try_fold(0_i8, |sum, byte| {
            let digit = byte.is_ascii_digit().then(|| byte - b'0')?;
            sum.checked_mul(10)?.checked_add(i8::try_from(digit).ok()?)
        })
    };
    let year = i16::from(number(0..2)?) * 100 + i16::from(number(2..4)?);
    let (month, day) = (number(4..6)?, number(6..8)?);
    let (hour, minute, second) = (number(9..11)?, number(11..13)?, number(13..15)?);
    let civil = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp().into())
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorKind::InvalidSignature, message)
}

fn incomplete(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorKind::IncompleteSignature, message)
}

pub(crate) fn unknown_key(hint: &str) -> ApiError {
    let message = format!("The security token included in the request is invalid.{hint}");
    ApiError::new(ErrorKind::UnrecognizedClient, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    // The worked example of the AWS General Reference gives the signature that is printed there.
    #[test]
    fn the_reference_example_has_its_signature() {
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let time = parse_time("20150830T123600Z").expect("a time");
        let key = generate_signing_key(secret, time, "us-east-1", "iam");
        let hash = "f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59";
        let text =
            format!("{ALGORITHM}\n20150830T123600Z\n20150830/us-east-1/iam/aws4_request\n{hash}");
        assert_eq!(
            calculate_signature(key, text.as_bytes()),
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        );
    }

    // Times are read to the second, and what is no time is none.
    #[test]
    fn times_are_read_exactly() {
        let time = parse_time("20261120T194958Z").expect("a time");
        let since = time.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        assert_eq!(since.as_secs(), 1_795_204_198);
        for text in
            ["", "20261320T194958Z", "20261120T246060Z", "20261120 194958Z", "2026112+T194958Z"]
        {
            assert!(parse_time(text).is_none(), "{text}");
        }
    }

    // Equality looks at every byte.
    #[test]
    fn equality_is_exact() {
        assert!(is_equal(b"abc", b"abc"));
        assert!(!is_equal(b"abc", b"abd") && !is_equal(b"abc", b"ab") && !is_equal(b"", b"a"));
    }
}
