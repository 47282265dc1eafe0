//! The live clock: monotonic time since the run began, and sleeping until a moment with microseconds to spare.
//!
//! Tokio's own timers have a grain of one millisecond, which is as much as a send may lag. A thread that sleeps on
//! the kernel's fine timer wakes the sleepers instead.

use model::Time;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Monotonic time since this was made, and the wall clock at that moment.
#[derive(Debug)]
pub(crate) struct Clock {
    origin: Instant,
    epoch_unix_ns: u64,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    next_sleep: AtomicU64,
}

/// Who is to be woken when: keyed by the moment (nanoseconds since the origin) and the sleep's number.
type Sleepers = BTreeMap<(u64, u64), Waker>;

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    sleepers: Sleepers,
    ended: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock {
    /// Starts at zero now. Errors: no thread can be made.
    pub(crate) fn start() -> std::io::Result<Self> {
        let (origin, epoch_unix_ns) = read_both();
        let shared = Arc::new(Shared::default());
        let thread = std::thread::Builder::new().name("alarm".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || run(origin, &shared)
        })?;
        let next_sleep = AtomicU64::new(0);
        Ok(Self { origin, epoch_unix_ns, shared, thread: Some(thread), next_sleep })
    }

    pub(crate) fn now(&self) -> Time {
        Time::from_nanos(nanos_since(self.origin))
    }

    pub(crate) fn epoch_unix_ns(&self) -> u64 {
        self.epoch_unix_ns
    }

    /// Returns at `at`, or at once where that has passed.
    pub(crate) fn sleep_until(&self, at: Time) -> Sleep<'_> {
        let number = self.next_sleep.fetch_add(1, Ordering::Relaxed);
        Sleep { clock: self, key: (at.as_nanos(), number) }
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // It cannot panic, and nothing could be done about it here.
            drop(thread.join());
        }
    }
}

/// A sleep until one moment.
#[derive(Debug)]
pub(crate) struct Sleep<'a> {
    clock: &'a Clock,
    key: (u64, u64),
}

impl Future for Sleep<'_> {
    type Output = ();
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.clock.now().as_nanos() >= self.key.0 {
            return Poll::Ready(());
        }
        let mut state = self.clock.shared.lock();
        state.sleepers.insert(self.key, context.waker().clone());
        let first = state.sleepers.keys().next() == Some(&self.key);
        drop(state);
        if first {
            self.clock.shared.changed.notify_one();
        }
        Poll::Pending
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        self.clock.shared.lock().sleepers.remove(&self.key);
    }
}

/// Wakes sleepers as their time comes, until the clock is dropped.
fn run(origin: Instant, shared: &Shared) {
    // SAFETY: PR_SET_TIMERSLACK takes one number, in nanoseconds, and concerns this thread only.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_000_u64) };
    let mut state = shared.lock();
    while !state.ended {
        let now = nanos_since(origin);
        let later = state.sleepers.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut state.sleepers, later);
        if !due.is_empty() {
            drop(state);
            due.into_values().for_each(Waker::wake);
            state = shared.lock();
            continue;
        }
        let next = state.sleepers.keys().next().map(|(at, _)| Duration::from_nanos(at - now));
        state = match next {
            Some(wait) => {
                shared.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0
            }
            None => shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
        };
    }
}

fn nanos_since(origin: Instant) -> u64 {
    u64::try_from(origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Both clocks at one moment: of several readings the one whose bracket is narrowest.
fn read_both() -> (Instant, u64) {
    let read = || {
        let before = Instant::now();
        let wall = SystemTime::now();
        let width = before.elapsed();
        (width, before + width / 2, wall)
    };
    let (_, instant, wall) =
        (0..16).map(|_| read()).fold(read(), |a, b| if b.0 < a.0 { b } else { a });
    let unix = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
    (instant, u64::try_from(unix.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Span;

    // Sleeps end, and never early, also where a nearer one is asked for while the alarm waits for a farther one.
    #[tokio::test]
    async fn sleeps_end_and_not_early() {
        let clock = Clock::start().expect("a thread");
        let base = clock.now() + Span::from_millis(5);
        let sleeps = [3_u64, 1, 2, 0].map(|step| {
            let (clock, at) = (&clock, base + Span::from_millis(step));
            async move {
                clock.sleep_until(at).await;
                assert!(clock.now() >= at, "woke early");
            }
        });
        futures::future::join_all(sleeps).await;
        clock.sleep_until(Time::ZERO).await;
    }

    // A sleep that is given up leaves nothing behind.
    #[tokio::test]
    async fn abandoned_sleeps_are_forgotten() {
        let clock = Clock::start().expect("a thread");
        let sleep = clock.sleep_until(Time::MAX);
        let given_up = tokio::time::timeout(Duration::from_millis(1), sleep).await;
        assert!(given_up.is_err());
        assert!(clock.shared.lock().sleepers.is_empty());
    }
}
