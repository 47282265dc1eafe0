//! The live platform: gateway, catalog, scheduler, worker and sandbox joined on tokio.
//!
//! Carries out what the scheduler decides. Deliberately knows nothing of how anything is measured.

mod environment;
mod identity;
mod journal;
mod load;
mod memory;
mod platform;
mod reply;
mod running;
mod secrecy;
mod serve;
mod tls;

pub use identity::{Keys, lock, server_id_in};
pub use running::{Running, running};
pub use secrecy::is_root;
pub use serve::{Network, Options, Ready, Unsigned, check, serve};
pub use tls::Tls;
