//! The function's clocks.

use std::time::Duration;

/// The wall clock, nanoseconds since 1970.
pub fn unix_ns() -> u64 {
    read(libc::CLOCK_REALTIME)
}

/// The monotonic clock, nanoseconds.
pub fn monotonic_ns() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

/// CPU time of the calling thread, nanoseconds.
pub fn thread_cpu_ns() -> u64 {
    read(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the whole call. All three clocks exist on every Linux.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Sleeps until a moment of the wall clock, also where that clock is set meanwhile.
pub fn sleep_until_unix_ns(at: u64) {
    /// How long a set clock may go unnoticed.
    const STEP_NS: u64 = 1_000_000_000;
    loop {
        match at.saturating_sub(unix_ns()) {
            0 => return,
            left => std::thread::sleep(Duration::from_nanos(left.min(STEP_NS))),
        }
    }
}
