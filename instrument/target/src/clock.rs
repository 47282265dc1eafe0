//! The live clock: monotonic time since the run began, and what is to be done at a moment of it.
//!
//! Tokio's own timers have a grain of one millisecond, which is as much as a send may lag. A thread that sleeps on
//! the kernel's fine timer wakes the sleepers instead, and sends requests itself, those of one moment back to back:
//! a burst does not wait for an executor that is busy with its neighbours. Deliberately knows nothing of what is sent.

use model::Time;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
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

/// What is to be done when: keyed by the moment (nanoseconds since the origin) and a number.
type Dues = BTreeMap<(u64, u64), Due>;

/// Somebody to wake, after a request was sent, if there is one to send.
#[derive(Debug)]
struct Due {
    waker: Waker,
    launch: Option<Arc<Launch>>,
}

/// A request that is ready to be sent on a connection that is open until its future is dropped.
#[derive(Debug)]
struct Launch {
    descriptor: i32,
    bytes: Vec<u8>,
    launched: Mutex<Option<Launched>>,
}

/// A request that was sent.
#[derive(Debug)]
pub(crate) struct Launched {
    /// When its first byte was handed to the kernel.
    pub(crate) at: Time,
    /// How many bytes the kernel took, which may be fewer than there are.
    pub(crate) taken: io::Result<usize>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    dues: Dues,
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
        Sleep { clock: self, key: self.key(at) }
    }

    /// Sends bytes at `at`, or at once where that has passed, in one write that does not wait.
    pub(crate) fn launch<'a>(
        &'a self,
        at: Time,
        socket: BorrowedFd<'a>,
        bytes: Vec<u8>,
    ) -> LaunchAt<'a> {
        let descriptor = socket.as_raw_fd();
        let launch = Arc::new(Launch { descriptor, bytes, launched: Mutex::default() });
        LaunchAt { sleep: self.sleep_until(at), launch, _socket: socket }
    }

    fn key(&self, at: Time) -> (u64, u64) {
        (at.as_nanos(), self.next_sleep.fetch_add(1, Ordering::Relaxed))
    }

    /// Puts down what is to be done; a nearer moment than the alarm waits for wakes the alarm.
    fn put(&self, mut state: MutexGuard<'_, State>, key: (u64, u64), due: Due) {
        state.dues.insert(key, due);
        let first = state.dues.keys().next() == Some(&key);
        drop(state);
        if first {
            self.shared.changed.notify_one();
        }
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
        let due = Due { waker: context.waker().clone(), launch: None };
        self.clock.put(self.clock.shared.lock(), self.key, due);
        Poll::Pending
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        self.clock.shared.lock().dues.remove(&self.key);
    }
}

/// A request that is sent at one moment. Dropping it before means that it is not.
#[derive(Debug)]
pub(crate) struct LaunchAt<'a> {
    /// Its drop takes the request from the alarm, which sends only while it has the lock: so the socket, which
    /// outlives this, is open whenever something is sent.
    sleep: Sleep<'a>,
    launch: Arc<Launch>,
    _socket: BorrowedFd<'a>,
}

impl Future for LaunchAt<'_> {
    type Output = (Launched, Vec<u8>);
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Sleep { clock, key } = &this.sleep;
        let mut state = clock.shared.lock();
        if let Some(launched) = this.launch.take() {
            drop(state);
            return Poll::Ready((launched, this.launch.bytes.clone()));
        }
        if clock.now().as_nanos() < key.0 {
            let launch = Some(Arc::clone(&this.launch));
            clock.put(state, *key, Due { waker: context.waker().clone(), launch });
            return Poll::Pending;
        }
        state.dues.remove(key);
        drop(state);
        Poll::Ready((this.launch.send(clock.origin), this.launch.bytes.clone()))
    }
}

impl Launch {
    fn send(&self, origin: Instant) -> Launched {
        let at = Time::from_nanos(nanos_since(origin));
        // SAFETY: the bytes are valid for the whole call; the descriptor is open, as `LaunchAt` explains.
        let taken = unsafe {
            libc::send(
                self.descriptor,
                self.bytes.as_ptr().cast(),
                self.bytes.len(),
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            )
        };
        let taken = match usize::try_from(taken).map_err(|_| io::Error::last_os_error()) {
            Err(full) if full.kind() == io::ErrorKind::WouldBlock => Ok(0),
            taken => taken,
        };
        Launched { at, taken }
    }

    fn take(&self) -> Option<Launched> {
        self.launched.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, launched: Launched) {
        *self.launched.lock().unwrap_or_else(PoisonError::into_inner) = Some(launched);
    }
}

/// Does what is due as its time comes, until the clock is dropped.
fn run(origin: Instant, shared: &Shared) {
    // SAFETY: PR_SET_TIMERSLACK takes one number, in nanoseconds, and concerns this thread only.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_000_u64) };
    // SAFETY: takes three numbers; 0 is the calling thread. Without the right to it, sends lag a little more, which
    // their records show.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -20) };
    let mut state = shared.lock();
    while !state.ended {
        let now = nanos_since(origin);
        let later = state.dues.split_off(&(now, u64::MAX));
        let dues = std::mem::replace(&mut state.dues, later);
        if !dues.is_empty() {
            for launch in dues.values().filter_map(|due| due.launch.as_ref()) {
                launch.put(launch.send(origin));
            }
            drop(state);
            dues.into_values().for_each(|due| due.waker.wake());
            state = shared.lock();
            continue;
        }
        let next = state.dues.keys().next().map(|(at, _)| Duration::from_nanos(at - now));
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
        assert!(clock.shared.lock().dues.is_empty());
    }

    // A request is sent once, whole, at its time or later, and not at all where it was given up before.
    #[tokio::test]
    async fn launches_are_sent_once() {
        use std::io::Read;
        use std::os::fd::AsFd;
        let clock = Clock::start().expect("a thread");
        let (near, mut far) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let later = clock.now() + Span::from_millis(5);
        let (on_time, given_up, past) = (
            clock.launch(later, near.as_fd(), b"one".to_vec()),
            clock.launch(Time::MAX, near.as_fd(), b"never".to_vec()),
            clock.launch(Time::ZERO, near.as_fd(), b"two".to_vec()),
        );
        assert!(tokio::time::timeout(Duration::from_millis(1), given_up).await.is_err());
        let (launched, bytes) = on_time.await;
        assert!(launched.at >= later, "sent early");
        assert_eq!((launched.taken.expect("taken"), bytes.as_slice()), (3, b"one".as_slice()));
        assert_eq!(past.await.0.taken.expect("taken"), 3);
        drop(near);
        let mut all = String::new();
        far.read_to_string(&mut all).expect("text");
        assert_eq!(all, "onetwo");
    }

    // What the other side has closed is an error, and no signal.
    #[tokio::test]
    async fn launches_fail_where_nobody_listens() {
        use std::os::fd::AsFd;
        let clock = Clock::start().expect("a thread");
        let (near, far) = std::os::unix::net::UnixStream::pair().expect("a pair");
        drop(far);
        let (launched, _) = clock.launch(Time::ZERO, near.as_fd(), b"one".to_vec()).await;
        assert_eq!(launched.taken.expect_err("closed").kind(), io::ErrorKind::BrokenPipe);
    }
}
