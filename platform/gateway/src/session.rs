//! Temporary access keys with a session token, made from one secret of the server's and checked by it: none is stored.
//!
//! A token says whose it is and until when, under a message authentication code; id and secret of its key follow from
//! it. Deliberately knows nothing of requests, and keeps no clock.

use crate::error::{ApiError, ErrorKind};
use crate::signature::{AccessKey, is_equal, unknown_key};
use aws_sigv4::sign::v4::calculate_signature;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use model::TenantId;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// Makes temporary keys and opens them again.
pub(crate) struct SessionKeys {
    secret: [u8; 32],
}

/// A temporary key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TemporaryKey {
    /// Id, secret and tenant.
    pub key: AccessKey,
    /// What must be sent with each request.
    pub token: String,
    /// When it ends, to the second.
    pub expires: SystemTime,
}

/// What a token holds before its code: its form, its end in seconds since 1970, the account, and what makes it unique.
const PAYLOAD_BYTES: usize = 1 + 8 + 8 + 16;
/// Form of the token.
const VERSION: u8 = 1;

impl fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionKeys").finish_non_exhaustive()
    }
}

impl SessionKeys {
    /// Keys made from this secret. Whoever has it can act as any tenant.
    pub fn new(secret: [u8; 32]) -> Self {
        Self { secret }
    }

    /// A new key for `tenant` that ends after `life`, rounded down to the second.
    pub fn issue(&self, tenant: TenantId, now: SystemTime, life: Duration) -> TemporaryKey {
        let end = (now + life).duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut payload = Vec::with_capacity(PAYLOAD_BYTES + 32);
        payload.push(VERSION);
        payload.extend_from_slice(&end.to_be_bytes());
        payload.extend_from_slice(&tenant.number().to_be_bytes());
        payload.extend_from_slice(Uuid::new_v4().as_bytes());
        let key = self.key(&payload, tenant);
        let code = self.code("token", &payload);
        payload.extend_from_slice(&hex::decode(code).unwrap_or_default());
        let token = BASE64_STANDARD.encode(&payload);
        TemporaryKey { key, token, expires: UNIX_EPOCH + Duration::from_secs(end) }
    }

    /// The key of this id and token, where both are ours and still hold.
    pub fn open(&self, id: &str, token: &str, now: SystemTime) -> Result<AccessKey, ApiError> {
        let bytes = BASE64_STANDARD.decode(token).unwrap_or_default();
        if bytes.len() != PAYLOAD_BYTES + 32 || bytes[0] != VERSION {
            return Err(unknown_key(" The session token is none of this platform's."));
        }
        let (payload, code) = bytes.split_at(PAYLOAD_BYTES);
        if !is_equal(self.code("token", payload).as_bytes(), hex::encode(code).as_bytes()) {
            return Err(unknown_key(" The session token is none of this platform's."));
        }
        let number =
            |at: usize| u64::from_be_bytes(payload[at..at + 8].try_into().unwrap_or([0; 8]));
        let end = UNIX_EPOCH + Duration::from_secs(number(1));
        if now >= end {
            let message = "The security token included in the request is expired";
            return Err(ApiError::new(ErrorKind::ExpiredToken, message));
        }
        let key = self.key(payload, TenantId::from_number(number(9)));
        if !is_equal(key.id.as_bytes(), id.as_bytes()) {
            return Err(unknown_key(" The session token belongs to another access key."));
        }
        Ok(key)
    }

    fn key(&self, payload: &[u8], tenant: TenantId) -> AccessKey {
        let id = format!("ASIA{}", self.code("id", payload)[..16].to_uppercase());
        let secret = self.code("secret", payload)[..40].to_owned();
        AccessKey { id, secret, tenant }
    }

    /// HMAC-SHA-256 of the payload, apart for each use, lower-case hexadecimal.
    fn code(&self, usage: &str, payload: &[u8]) -> String {
        calculate_signature(self.secret, &[usage.as_bytes(), b"\0", payload].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn issued() -> (SessionKeys, TemporaryKey, SystemTime) {
        let keys = SessionKeys::new([7; 32]);
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let key = keys.issue(TenantId::from_number(123), now, Duration::from_secs(900));
        (keys, key, now)
    }

    // A key that was given out is opened to the same id, secret and tenant until its last second, and not after it.
    #[test]
    fn keys_hold_until_their_end() {
        let (keys, key, now) = issued();
        let open = |after| keys.open(&key.key.id, &key.token, now + Duration::from_secs(after));
        assert_eq!(open(0), Ok(key.key.clone()));
        assert_eq!(open(899), Ok(key.key.clone()));
        assert_eq!(open(900).map_err(|error| error.kind()), Err(ErrorKind::ExpiredToken));
    }

    // Neither another server's secret nor another key's id opens a token.
    #[test]
    fn keys_are_this_servers() {
        let (keys, key, now) = issued();
        let other = keys.issue(key.key.tenant, now, Duration::from_secs(900));
        assert_ne!(other.key, key.key);
        assert!(keys.open(&other.key.id, &key.token, now).is_err());
        assert!(SessionKeys::new([8; 32]).open(&key.key.id, &key.token, now).is_err());
    }

    proptest! {
        // A token in which anything was changed, and any text at all, is refused without a panic.
        #[test]
        fn changed_tokens_are_refused(at in 0..(PAYLOAD_BYTES + 32), bit in 0..8_u8, text in ".{0,120}") {
            let (keys, key, now) = issued();
            let mut bytes = BASE64_STANDARD.decode(&key.token).expect("Base64");
            bytes[at] ^= 1 << bit;
            prop_assert!(keys.open(&key.key.id, &BASE64_STANDARD.encode(&bytes), now).is_err());
            prop_assert!(keys.open(&key.key.id, &text, now).is_err());
        }
    }
}
