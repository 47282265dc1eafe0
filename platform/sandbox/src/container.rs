//! Containers: one Linux sandbox of namespaces, cgroups and filters per instance.
//!
//! Deliberately knows nothing of schedulers or of the Lambda API.

mod handle;
mod instance;

pub use handle::{Control, Exit, Running};
pub use instance::ContainerInstance;
