//! Busy polling: for a moment after each message the thread asks the kernel for the next one again and again, where it
//! would sleep otherwise.
//!
//! To put a thread to sleep and to wake it takes the kernel longer than most of what the server does for an invocation, and
//! whoever wakes it waits for part of that. A client that invokes one function after the other, and its function, both answer
//! within microseconds. Deliberately knows nothing of what is awaited.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::Notify;

/// How long the next message is awaited wide awake: warm invocations one after the other take 100 to 150 us each, so that
/// their messages are less than this apart. It is the most that a lone invocation costs in CPU time, twice: for its
/// response, and for what comes after that.
const WINDOW: Duration = Duration::from_micros(100);

/// Whether the server's thread is awake, and until when.
#[derive(Debug)]
pub(crate) struct BusyPoll {
    began: Instant,
    /// Nanoseconds after `began`; 0 for not at all.
    until: AtomicU64,
    is_asleep: AtomicBool,
    wake: Notify,
}

impl BusyPoll {
    /// Of a server that sleeps.
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            until: AtomicU64::new(0),
            is_asleep: AtomicBool::new(true),
            wake: Notify::new(),
        }
    }

    /// A message was sent, and so many invocations run now. Where several do, the thread has work without this, and
    /// functions need the CPU.
    pub fn expect(&self, running: usize) {
        if running > 1 {
            self.until.store(0, Ordering::Relaxed);
            return;
        }
        self.until.store(self.now().saturating_add(nanos(WINDOW)), Ordering::Relaxed);
        if self.is_asleep.swap(false, Ordering::AcqRel) {
            self.wake.notify_one();
        }
    }

    /// Stays awake whenever something is expected. Never returns.
    pub async fn watch(&self) {
        if !is_worth_it() {
            return std::future::pending().await;
        }
        loop {
            self.wake.notified().await;
            while self.now() < self.until.load(Ordering::Relaxed) {
                // With nothing else to do, the runtime looks for messages before it comes back.
                tokio::task::yield_now().await;
            }
            self.is_asleep.store(true, Ordering::Release);
            if self.now() < self.until.load(Ordering::Relaxed) {
                // It was expected while this fell asleep.
                self.is_asleep.store(false, Ordering::Relaxed);
                self.wake.notify_one();
            }
        }
    }

    fn now(&self) -> u64 {
        nanos(self.began.elapsed())
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Whether there is a CPU for functions beside the one that is kept busy, and just one thread of the server: another one
/// would sleep in the kernel for all and be woken all the same.
fn is_worth_it() -> bool {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    cpus > 1 && Handle::current().metrics().num_workers() == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn is_awake(poll: &BusyPoll) -> bool {
        poll.now() < poll.until.load(Ordering::Relaxed)
    }

    // One invocation keeps the thread awake for the window, several do not keep it awake at all.
    #[test]
    fn several_invocations_let_it_sleep() {
        let poll = BusyPoll::new();
        assert!(!is_awake(&poll));
        let before = poll.now();
        poll.expect(1);
        assert!(poll.until.load(Ordering::Relaxed) >= before + nanos(WINDOW));
        poll.expect(2);
        assert!(!is_awake(&poll));
        poll.expect(0);
        assert!(poll.until.load(Ordering::Relaxed) >= before + nanos(WINDOW));
    }

    // It falls asleep once the window is over, and is woken by what is expected next, also while it falls asleep.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn it_sleeps_and_wakes() {
        let poll = Arc::new(BusyPoll::new());
        let watching = tokio::spawn({
            let poll = Arc::clone(&poll);
            async move { poll.watch().await }
        });
        for _ in 0..200 {
            poll.expect(1);
            tokio::time::timeout(Duration::from_secs(20), async {
                while !poll.is_asleep.load(Ordering::Acquire) && is_worth_it() {
                    tokio::time::sleep(Duration::from_micros(50)).await;
                }
            })
            .await
            .expect("it falls asleep");
        }
        watching.abort();
    }
}
