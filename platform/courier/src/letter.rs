//! An event as it is stored: who it is for, and what it says.

use bytes::Bytes;
use model::{FunctionId, TenantId};
use queue::{EventId, Lane};
use serde::{Deserialize, Serialize};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Which function an event is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Address {
    /// Whose function.
    pub tenant: TenantId,
    /// Its name.
    pub name: String,
    /// The function itself: one that is made later under the same name is another.
    pub function: FunctionId,
    /// The version or alias that was named, if any was.
    pub qualifier: Option<String>,
}

/// An event on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// Who it is for.
    pub address: Address,
    /// Request id (UUID), the same at every try.
    pub request_id: String,
    /// X-Ray trace header, the lineage in it.
    pub trace_id: String,
    /// Client context, decoded JSON.
    pub client_context: Option<String>,
    /// When it was accepted: nanoseconds since 1970.
    pub accepted_unix_ns: u64,
    /// Errors of the function so far.
    pub failures: u32,
    /// When it is to be run: nanoseconds since 1970.
    pub due_unix_ns: u64,
    /// The payload: JSON.
    #[serde(skip)]
    pub payload: Bytes,
    /// Bytes of the payload, where it is stored apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    apart_bytes: Option<u64>,
}

/// Payloads up to this size are stored with the rest, which spares a second entry; larger ones apart, so that a restart
/// needs not read them.
const TOGETHER_BYTES: usize = 4096;
/// Bytes that an event is taken to need beside its payload.
const ENVELOPE_BYTES: u64 = 512;

impl Address {
    /// The lane of its events.
    pub fn lane(&self) -> Lane {
        // Two functions that share a number only wait for each other.
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        Lane(hasher.finish())
    }
}

impl Letter {
    /// A letter that nobody has accepted yet.
    pub fn new(address: Address, request_id: String, trace_id: String, payload: Bytes) -> Self {
        Self {
            address,
            request_id,
            trace_id,
            client_context: None,
            accepted_unix_ns: 0,
            failures: 0,
            due_unix_ns: 0,
            payload,
            apart_bytes: None,
        }
    }

    /// Bytes that it counts for in the queue.
    pub fn bytes(&self) -> u64 {
        let payload = self.apart_bytes.unwrap_or(self.payload.len() as u64);
        payload.saturating_add(ENVELOPE_BYTES)
    }

    /// What is stored under its key, and what is stored apart. The first is the length of its head in four bytes, its
    /// head as JSON, and the payload unless that is stored apart.
    pub(crate) fn encode(&self) -> (Vec<u8>, Option<Bytes>) {
        let is_apart = self.payload.len() > TOGETHER_BYTES;
        let head = Self {
            apart_bytes: is_apart.then_some(self.payload.len() as u64),
            payload: Bytes::new(),
            ..self.clone()
        };
        let mut bytes = vec![0; 4];
        serde_json::to_writer(&mut bytes, &head).expect("a head is strings and numbers");
        let length =
            u32::try_from(bytes.len() - 4).expect("a head is as small as a request's header");
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        if is_apart {
            return (bytes, Some(self.payload.clone()));
        }
        bytes.extend_from_slice(&self.payload);
        (bytes, None)
    }

    /// Reads what [`Self::encode`] has written; the payload is empty where it is stored apart. None where it is none.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (head, payload) = rest.split_at_checked(length)?;
        let mut letter: Self = serde_json::from_slice(head).ok()?;
        letter.payload = Bytes::copy_from_slice(payload);
        Some(letter)
    }

    /// Whether its payload is stored apart.
    pub(crate) fn is_apart(&self) -> bool {
        self.apart_bytes.is_some() || self.payload.len() > TOGETHER_BYTES
    }

    /// Whether its payload is stored apart and not here.
    pub(crate) fn lacks_payload(&self) -> bool {
        self.apart_bytes.is_some() && self.payload.is_empty()
    }
}

/// An event's key in the store: events in their order.
pub(crate) fn key(event: EventId) -> [u8; 8] {
    event.0.to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    // What is stored is read again, small payloads with the rest and large ones apart, and damage is no letter.
    #[test]
    fn letters_are_read_as_written() {
        for size in [0, 10, TOGETHER_BYTES, TOGETHER_BYTES + 1] {
            let address = Address {
                tenant: TenantId::from_number(1),
                name: "f".to_owned(),
                function: FunctionId(7),
                qualifier: Some("live".to_owned()),
            };
            let payload = Bytes::from(vec![b'1'; size]);
            let letter = Letter::new(address, "r".to_owned(), "t".to_owned(), payload.clone());
            let (bytes, apart) = letter.encode();
            let mut read = Letter::decode(&bytes).expect("it was written");
            assert_eq!(apart.is_some(), size > TOGETHER_BYTES);
            assert_eq!(read.lacks_payload(), apart.is_some());
            assert_eq!(read.bytes(), letter.bytes());
            if let Some(apart) = apart {
                read.payload = apart;
            }
            assert_eq!((read.payload, read.request_id), (payload, letter.request_id.clone()));
            assert_eq!(Letter::decode(&bytes[..20]), None);
        }
    }
}
