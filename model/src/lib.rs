//! The nouns that every crate of Peek shares: time, sizes and names; and what both drivers in virtual time go by.
//!
//! Deliberately knows nothing of clocks, files, sockets or any other crate of ours.

mod agenda;
mod fetch;
mod isolation;
mod name;
mod size;
mod time;
mod variable;

pub use agenda::Agenda;
pub use fetch::fetch;
pub use isolation::{Isolation, IsolationError};
pub use name::{FunctionId, HostId, InstanceId, InvocationId, RoleId, TenantId, TenantIdError};
pub use size::MemoryMib;
pub use time::{Span, Time};
pub use variable::RESERVED_VARIABLES;
