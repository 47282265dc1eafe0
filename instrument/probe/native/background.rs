//! Work that goes on after the response, and its signs of life.

use crate::clock::{monotonic_ns, thread_cpu_ns, unix_ns};
use probe::BackgroundResult;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A pause this long ends it: the instance was put to rest meanwhile.
const PAUSE_NS: u64 = 500_000_000;

/// A busy thread that says how far it has come.
pub struct Work {
    signs: Arc<Signs>,
    started_unix_ns: u64,
}

#[derive(Default)]
struct Signs {
    last_unix_ns: AtomicU64,
    longest_gap_ns: AtomicU64,
    cpu_ns: AtomicU64,
    finished: AtomicBool,
    stop: AtomicBool,
}

impl Work {
    pub fn start(for_ns: u64) -> io::Result<Self> {
        let signs = Arc::new(Signs::default());
        let started_unix_ns = unix_ns();
        signs.last_unix_ns.store(started_unix_ns, Ordering::Relaxed);
        let started_ns = monotonic_ns();
        std::thread::Builder::new().spawn({
            let signs = Arc::clone(&signs);
            move || burn(&signs, started_ns, started_ns.saturating_add(for_ns))
        })?;
        Ok(Self { signs, started_unix_ns })
    }

    /// What it managed; ends it where it has not ended.
    pub fn stop(self) -> BackgroundResult {
        self.signs.stop.store(true, Ordering::Relaxed);
        BackgroundResult {
            started_unix_ns: self.started_unix_ns,
            last_unix_ns: self.signs.last_unix_ns.load(Ordering::Relaxed),
            longest_gap_ns: self.signs.longest_gap_ns.load(Ordering::Relaxed),
            cpu_ns: self.signs.cpu_ns.load(Ordering::Relaxed),
            finished: self.signs.finished.load(Ordering::Relaxed),
        }
    }
}

fn burn(signs: &Signs, started_ns: u64, end_ns: u64) {
    let mut last = started_ns;
    while !signs.stop.load(Ordering::Relaxed) {
        let now = monotonic_ns();
        signs.longest_gap_ns.fetch_max(now - last, Ordering::Relaxed);
        if now - last >= PAUSE_NS {
            return;
        }
        signs.last_unix_ns.store(unix_ns(), Ordering::Relaxed);
        signs.cpu_ns.store(thread_cpu_ns(), Ordering::Relaxed);
        if now >= end_ns {
            signs.finished.store(true, Ordering::Relaxed);
            return;
        }
        last = now;
    }
}
