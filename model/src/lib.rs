//! The nouns that every crate of Peek shares: time, sizes and names; and how things are kept by time.
//!
//! Deliberately knows nothing of clocks, files, sockets or any other crate of ours.

mod agenda;
mod fetch;
mod isolation;
mod name;
mod size;
mod time;
mod variable;
mod wheel;

pub use agenda::Agenda;
pub use fetch::fetch;
pub use isolation::{Isolation, IsolationError};
pub use name::{FunctionId, HostId, InstanceId, InvocationId, RoleId, TenantId, TenantIdError};
pub use size::MemoryMib;
pub use time::{Span, Time};
pub use variable::RESERVED_VARIABLES;
pub use wheel::Wheel;
