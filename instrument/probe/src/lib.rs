//! The measurement function: what it is asked, and what it answers.
//!
//! One request format for every language in which the probe is written. A part that is absent from the request is
//! not measured. Deliberately knows nothing of experiments or platforms.

mod request;
mod response;

pub use request::{Background, Cpu, Disk, Fill, Network, Request};
pub use response::{
    Background as BackgroundResult, Cpu as CpuResult, Disk as DiskResult, DiskCounter, Exposed,
    Fill as FillResult, Identity, Network as NetworkResult, Response,
};

/// What of the host the probe tries to read: one item in each line, a file, a directory, a device, or `env:NAME`.
pub const EXPOSURE_ITEMS: &str = include_str!("../exposure.txt");
