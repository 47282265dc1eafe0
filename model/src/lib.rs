//! The nouns that every crate of Peek shares: time, sizes and names.
//!
//! Deliberately knows nothing of clocks, files, sockets or any other crate of ours.

mod isolation;
mod name;
mod size;
mod time;
mod variable;

pub use isolation::{Isolation, IsolationError};
pub use name::{FunctionId, HostId, InstanceId, InvocationId, RoleId, TenantId, TenantIdError};
pub use size::MemoryMib;
pub use time::{Span, Time};
pub use variable::RESERVED_VARIABLES;
