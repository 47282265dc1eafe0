//! Containers: one Linux sandbox of namespaces, control groups and filters per instance.
//!
//! `Container` asks the `client`, which asks the `starter`, a process of its own, which forks a `child`, which becomes a
//! sandbox. Deliberately knows nothing of schedulers or of the Lambda API.

mod cgroup;
mod channel;
mod child;
mod client;
mod control;
mod handle;
mod image;
mod init;
mod instance;
mod kind;
pub mod left;
mod mounts;
pub mod network;
mod networks;
mod proc_view;
mod processes;
mod protocol;
mod rootfs;
mod seccomp;
pub mod starter;
mod system;
mod tmp;
mod warden;

pub use control::ContainerControl;
pub use handle::{Beside, Cause, Control, Exit, Running};
pub use image::ContainerImage;
pub use instance::ContainerInstance;
pub use kind::{Container, ContainerConfig, Network, OpenError, Program, Reveal};
pub use processes::Processes;
pub use protocol::Process;
