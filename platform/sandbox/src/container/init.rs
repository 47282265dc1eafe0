//! The first process of a sandbox: reaps, hands SIGTERM on, and reports how the runtime ended.
//!
//! A runtime that is itself the first process ignores SIGTERM and turns abort into a segmentation fault. Deliberately
//! knows nothing of how the sandbox was made.

use super::channel::Channel;
use super::protocol::{self, Status};
use super::system;

/// Signals that are blocked and waited for.
pub(super) const SIGNALS: [i32; 2] = [libc::SIGCHLD, libc::SIGTERM];

/// Bytes of the longest report of an end.
const REPORT_LIMIT: usize = 64;

/// Looks after the sandbox until the runtime `pid` ends, reports that, and ends; with it the kernel ends all others.
///
/// It lets go of the starter's heap, a fifth of a MiB per instance, and so must not allocate.
pub(super) fn look_after(runtime: i32, status: &Channel) -> ! {
    system::unmap_heap();
    let mut space = [0; REPORT_LIMIT];
    loop {
        while let Some((pid, ended)) = system::reap() {
            if pid == runtime {
                // A server that is gone needs no report.
                let _gone = protocol::encode_into(&mut space, &Status::Exited(ended))
                    .and_then(|report| status.send(&[report], &[]));
                system::exit(0);
            }
        }
        if system::wait_signal(&SIGNALS) == libc::SIGTERM {
            system::signal_process(runtime, libc::SIGTERM);
        }
    }
}
