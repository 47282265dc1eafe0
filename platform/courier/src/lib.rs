//! Asynchronous invocation carried out: events kept in the store, run, retried and delivered as the queue decides, and
//! the ticks of schedules, which are events too.
//!
//! A [`Letter`] is an event with its payload and its address. Deliberately knows nothing of HTTP, schedulers, sandboxes
//! or how a function is found and run: a [`Runner`] does that.

mod courier;
mod letter;
mod lineage;
mod post;
mod record;
mod runner;
mod settle;
mod ticker;

pub use courier::{AcceptError, Backlog, Courier};
pub use letter::{Address, Letter};
pub use lineage::{LINEAGE_MAX, Lineage, LoopError};
pub use runner::{Ended, Ran, Runner, Standing};
pub use ticker::Ticker;
