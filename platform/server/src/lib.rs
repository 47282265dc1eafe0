//! The live platform: gateway, catalog, scheduler, worker and sandbox joined on tokio.
//!
//! Carries out what the scheduler decides. Deliberately knows nothing of how anything is measured.

pub mod accounts;
mod busy_poll;
mod environment;
mod identity;
mod journal;
mod load;
mod memory;
mod metrics;
mod observe;
mod platform;
mod reply;
mod running;
mod secrecy;
mod serve;
mod spans;
mod tls;

pub use identity::{Keys, lock, server_id_in};
pub use logs::Bounds as LogBounds;
pub use observe::Observe;
pub use running::{Running, running};
pub use secrecy::is_root;
pub use serve::{Network, Options, Ready, Unsigned, check, serve};
pub use spans::OtlpEndpoint;
pub use tls::Tls;
