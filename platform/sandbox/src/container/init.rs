//! The first process of a sandbox: reaps, hands SIGTERM on, and reports how the runtime ended.
//!
//! A runtime that is itself the first process ignores SIGTERM and turns abort into a segmentation fault. Deliberately
//! knows nothing of how the sandbox was made.

use super::system::FirstProcess;

/// Signals that are blocked and waited for.
pub(super) const SIGNALS: [i32; 2] = [libc::SIGCHLD, libc::SIGTERM];

/// Looks after the sandbox until the runtime ends, says so on `channel`, and ends; with it the kernel ends all others.
///
/// It lets go of nearly all its memory first: what it was forked with would cost more than many a function.
pub(super) fn look_after(runtime: i32, channel: i32) -> ! {
    FirstProcess { runtime, channel, signals: &SIGNALS, exited: super::protocol::EXITED }.remain()
}
