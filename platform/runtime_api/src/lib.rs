//! The Runtime API (version 2018-06-01), the Extensions API (2020-01-01) and the subscriptions of the Telemetry API
//! (2022-07-01) and Logs API (2020-08-15) of AWS Lambda as a state machine: bytes in, bytes and events out.
//!
//! Deliberately holds no socket and no clock, and knows nothing of sandboxes. A driver owns one [`RuntimeApi`] per
//! function instance, opens a connection in it for each one it accepts, feeds what it reads, writes what it is given,
//! and drains [`RuntimeApi::poll_happened`].
//!
//! In the order in which bytes pass through: `head` and `body` read one request, `connection` strings requests
//! together, `api` and, of extensions, `extension` and `subscription` decide, `answer` writes.

mod answer;
mod api;
mod body;
mod connection;
mod event;
mod extension;
mod head;
mod subscription;

pub use api::{Closing, ConnectionId, Happened, NotReady, RuntimeApi};
pub use body::{RESPONSE_LIMIT, STREAM_LIMIT};
pub use connection::CONNECTIONS_LIMIT;
pub use event::{Event, ResponseMode};
pub use extension::{EXTENSIONS_LIMIT, Place, Registered, Setup, ShutdownReason};
pub use head::HEAD_LIMIT;
pub use subscription::{Api, Buffering, Destination, Protocol, Stream, Subscription};
