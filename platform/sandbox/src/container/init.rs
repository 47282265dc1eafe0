//! The first process of a sandbox: reaps, hands SIGTERM on, and reports how the runtime ended.
//!
//! A runtime that is itself the first process ignores SIGTERM and turns abort into a segmentation fault. Deliberately
//! knows nothing of how the sandbox was made.

use super::system::{self, FirstProcess};
use std::time::Duration;

/// Signals that are blocked and waited for.
pub(super) const SIGNALS: [i32; 2] = [libc::SIGCHLD, libc::SIGTERM];

/// How long it stays as it is.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks after the sandbox until the runtime ends, says so on `channel`, and ends; with it the kernel ends all others.
///
/// It lets go of nearly all its memory: what it was forked with would cost more than many a function. Not at once, since
/// that would take a CPU from those who wait for the function.
pub(super) fn look_after(runtime: i32, channel: i32) -> ! {
    match system::wait_signal_for(&SIGNALS, PAUSE) {
        // Ended children are asked for anyway.
        None | Some(libc::SIGCHLD) => {}
        Some(signal) => system::signal_process(runtime, signal),
    }
    FirstProcess { runtime, channel, signals: &SIGNALS, exited: super::protocol::EXITED }.remain()
}
