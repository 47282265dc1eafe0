//! How much the limits experiment does.

use super::Basis;

/// Scope of the limits experiment. Each range is searched by halving, in steps; a limit beyond its end is only bounded.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitsScope {
    /// Timeouts of a function, s.
    pub timeout_s: (u64, u64),
    /// Memory sizes of a function, MiB, and the step.
    pub memory_mib: (u64, u64),
    /// Memory sizes are multiples of this on every platform that we know (the paper: 64 MB on AWS, 128 MB on Google).
    pub memory_step_mib: u64,
    /// Sizes of a request, KiB.
    pub payload_kib: (u64, u64),
    /// What is asked of /tmp at most, MiB.
    pub disk_mib: u64,
    /// Rounds of filling /tmp.
    pub disk_rounds: u32,
}

impl LimitsScope {
    /// The same everywhere: configuration costs nothing, and requests are few.
    pub(super) fn of(basis: &Basis) -> Self {
        Self {
            timeout_s: (1, 86_400),
            memory_mib: (u64::from(basis.memory_range_mib.0), 65_536),
            memory_step_mib: 64,
            payload_kib: (1, 16 << 10),
            disk_mib: 16 << 10,
            disk_rounds: basis.scale.pick(1, 2, 5),
        }
    }
}
