//! The first process of a sandbox: reaps, hands SIGTERM on, and reports how the runtime ended.
//!
//! A runtime that is itself the first process ignores SIGTERM and turns abort into a segmentation fault. Deliberately
//! knows nothing of how the sandbox was made.

use super::channel::Channel;
use super::protocol::{self, Status};
use super::system;

/// Signals that are blocked and waited for.
pub(super) const SIGNALS: [i32; 2] = [libc::SIGCHLD, libc::SIGTERM];

/// Looks after the sandbox until the runtime `pid` ends, reports that, and ends; with it the kernel ends all others.
pub(super) fn look_after(runtime: i32, status: &Channel) -> ! {
    loop {
        while let Some((pid, ended)) = system::reap() {
            if pid == runtime {
                // A server that is gone needs no report.
                let _gone = status.send(&[&protocol::encode(&Status::Exited(ended))], &[]);
                system::exit(0);
            }
        }
        if system::wait_signal(&SIGNALS) == libc::SIGTERM {
            system::signal_process(runtime, libc::SIGTERM);
        }
    }
}
