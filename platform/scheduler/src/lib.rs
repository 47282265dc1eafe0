//! The one brain of the platform: events and time in, actions out, and "wake me at".
//!
//! Owns placement, keep-alive, scaling, concurrency limits, versions, deadlines and billing. Deliberately holds no
//! clock, socket, thread, lock or unordered map, and never learns which driver it has.

mod action;
mod event;

pub use action::{Action, Rejection, StopReason};
pub use event::{Epoch, Event, FunctionSettings};
