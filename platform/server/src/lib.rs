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
mod secrecy;
mod serve;

pub use secrecy::is_root;
pub use serve::{Network, Options, Ready, check, serve};
