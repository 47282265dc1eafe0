//! The gateway over real connections, with a made-up engine behind it.

mod contract;
mod errors;
mod hostile;
mod lifecycle;
mod signatures;
mod slow;
mod support;
