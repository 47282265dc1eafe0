//! The share of a CPU, by clock readings on busy threads.
//!
//! A thread that runs reads the clock every few tens of nanoseconds; a longer gap is time in which it did not. So
//! both what it got (by its thread clock) and when (by its gaps) are known. Deliberately judges nothing.

use crate::clock::{monotonic_ns, thread_cpu_ns, unix_ns};
use crate::handler::nanos;
use probe::{Cpu, CpuResult};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Gaps at least this long count as time without a CPU. Interrupts take a few us, the shortest time slice of the
/// kernel's scheduler about a millisecond.
const GAP_NS: u64 = 100_000;
/// A gap from which the thread comes back as a quota's period begins is at least this long.
const THROTTLED_NS: u64 = 1_000_000;
/// The period of a quota (Linux's default, which platforms keep). Who has burnt for that long has spent what it saved up
/// while it was idle; before that, a window of whole periods would hold up to a quota too much. A gap may also be a
/// neighbour's turn on the same CPU, and then says nothing of periods: from then on it need not.
const PERIOD_NS: u64 = 100_000_000;
/// How long the beginning of a quota's period is waited for: two periods and some.
const SEARCH_NS: u64 = 250_000_000;
/// Limits of what may be asked.
const WINDOW_LIMIT_NS: u64 = 900_000_000_000;
const THREAD_LIMIT: u32 = 256;
/// At most so many pairs of [`CpuResult::ran`].
const PAIRS: usize = 4096;

/// The beginning of the window on both clocks, once the first thread has found it; 0 before.
#[derive(Default)]
struct Begin {
    monotonic: AtomicU64,
    unix: AtomicU64,
}

/// What one thread got.
#[derive(Default)]
struct Share {
    cpu_ns: u64,
    running_ns: u64,
    ticks: u64,
    ran: Vec<(u64, u64)>,
}

pub fn measure(cpu: &Cpu) -> io::Result<CpuResult> {
    let window_ns = nanos(cpu.window_ms);
    let threads = if cpu.threads == 0 { allowed_cpus()? } else { cpu.threads };
    if !(1..=WINDOW_LIMIT_NS).contains(&window_ns) {
        let (window, limit) = (cpu.window_ms, WINDOW_LIMIT_NS / 1_000_000);
        return Err(io::Error::other(format!("window of {window} ms, limit is {limit} ms")));
    }
    if threads > THREAD_LIMIT {
        return Err(io::Error::other(format!("{threads} threads, limit is {THREAD_LIMIT}")));
    }
    let begin = Arc::new(Begin::default());
    let mut others = Vec::new();
    for _ in 1..threads {
        let theirs = Arc::clone(&begin);
        let follow = move || burn(window_ns, &theirs, Role::Follow);
        match std::thread::Builder::new().spawn(follow) {
            Ok(thread) => others.push(thread),
            Err(error) => {
                // Those that run already would wait for a beginning forever.
                begin.monotonic.store(1, Ordering::Release);
                return Err(error);
            }
        }
    }
    let first = burn(window_ns, &begin, Role::Lead);
    let mut result = CpuResult {
        window_ns,
        started_unix_ns: begin.unix.load(Ordering::Acquire),
        threads,
        cpu_ns: first.cpu_ns,
        running_ns: first.running_ns,
        gap_ns: GAP_NS,
        ticks: first.ticks,
        ran: first.ran,
    };
    for thread in others {
        let share = thread.join().map_err(|_| io::Error::other("a busy thread ended early"))?;
        result.cpu_ns += share.cpu_ns;
        result.running_ns += share.running_ns;
    }
    Ok(result)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Finds the beginning.
    Lead,
    /// Takes the leader's.
    Follow,
}

/// Reads clocks until the window is over.
fn burn(window_ns: u64, begin: &Begin, role: Role) -> Share {
    let start = await_begin(begin, role);
    let end = start.saturating_add(window_ns);
    let mut share = Share::default();
    let (mut last, mut from, mut next_tick) = (start, start, start);
    // The first reading after the beginning: nothing was used between the two if the thread was off in between.
    let cpu_begin = thread_cpu_ns();
    let lead = role == Role::Lead;
    loop {
        let now = monotonic_ns();
        let inside = now.min(end);
        let off = now.saturating_sub(last) >= GAP_NS;
        if !off {
            share.running_ns += inside.saturating_sub(last);
        }
        if lead && (off || now >= end) {
            let to = if off { last } else { inside };
            if to > from && share.ran.len() < PAIRS {
                share.ran.push((from - start, to - start));
            }
            from = inside;
        }
        if now >= end {
            share.cpu_ns = thread_cpu_ns().saturating_sub(cpu_begin);
            return share;
        }
        if now >= next_tick {
            share.ticks += 1;
            next_tick = now - now.saturating_sub(start) % 1_000_000 + 1_000_000;
        }
        last = now;
    }
}

/// Burns until the window begins; returns that moment, which may have passed for those that follow.
fn await_begin(begin: &Begin, role: Role) -> u64 {
    let searched_from = monotonic_ns();
    let mut last = searched_from;
    loop {
        let now = monotonic_ns();
        let burnt = now - searched_from;
        if role == Role::Follow {
            match begin.monotonic.load(Ordering::Acquire) {
                0 => std::hint::spin_loop(),
                start => return start,
            }
        } else if (burnt >= PERIOD_NS && now - last >= THROTTLED_NS) || burnt >= SEARCH_NS {
            begin.unix.store(unix_ns(), Ordering::Release);
            begin.monotonic.store(now, Ordering::Release);
            return now;
        }
        last = now;
    }
}

/// CPUs that this process may run on.
fn allowed_cpus() -> io::Result<u32> {
    // SAFETY: a cpu_set_t is an array of numbers, for which zeros are valid.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is valid for writes of its size; 0 is the calling thread.
    if unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `set` was filled in above.
    Ok(u32::try_from(unsafe { libc::CPU_COUNT(&set) }).unwrap_or(1).max(1))
}
