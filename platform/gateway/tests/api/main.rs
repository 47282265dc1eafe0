//! The gateway over real connections, with a made-up engine behind it.

mod contract;
mod errors;
mod events;
mod faults;
mod hostile;
mod layers;
mod lifecycle;
mod limits;
mod raw;
mod signatures;
mod slow;
mod streams;
mod support;
mod urls;
mod versions;
