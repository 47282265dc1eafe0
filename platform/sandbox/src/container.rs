//! Containers: one Linux sandbox of namespaces, cgroups and filters per instance.
//!
//! Deliberately knows nothing of schedulers or of the Lambda API.

mod cgroup;
mod channel;
mod child;
mod handle;
mod init;
mod instance;
mod mounts;
pub mod network;
mod proc_view;
mod protocol;
mod rootfs;
mod seccomp;
pub mod starter;
mod system;
mod tmp;

pub use handle::{Control, Exit, Running};
pub use instance::ContainerInstance;
