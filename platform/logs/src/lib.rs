//! What functions and the platform write about invocations: kept in bounds on disk, found again by time and pattern.
//!
//! A line goes through a [`Stream`] into its group's buffer, twice a second from there as a frame (`frame`) to the end of
//! a segment file (`segment`) of its group (`group`), and oldest segments go where bounds are exceeded (`store`). Queries
//! read frames back in the order of time (`scan`) and answer as CloudWatch Logs does (`query`). Deliberately knows nothing
//! of HTTP, sandboxes or schedulers.

mod bounds;
mod error;
mod files;
mod frame;
mod group;
pub mod lines;
pub mod pattern;
mod query;
mod scan;
mod segment;
mod store;
mod stream;

pub use bounds::Bounds;
pub use error::LogsError;
pub use lines::{Format, SystemLevel};
pub use query::{
    Describe, Event, Events, Filter, Get, GroupDescription, Order, Page, Position,
    StreamDescription,
};
pub use store::{Counts, Logs};
pub use stream::Stream;
