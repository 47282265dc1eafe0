//! One thread, no waiting: a future is run to its end, and whenever it can go no further the world takes a step.
//!
//! Deliberately knows nothing of time: the world does, and decides what its next step is.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// What came of asking the world for a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Something happened. Whoever waited for it was woken.
    Taken,
    /// Nothing will ever happen again.
    Nothing,
}

/// A future waits for what will never happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("deadlock in virtual time: the future waits, and nothing is left to happen")]
pub struct Deadlock;

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs a future to its end. Concurrency is the future's own, by joining others.
///
/// Each time the future waits and nothing has woken it, `step` is asked to let the next thing happen.
///
/// # Errors
/// [`Deadlock`] where the future waits and there is no next thing.
pub fn block_on<F: Future>(main: F, mut step: impl FnMut() -> Step) -> Result<F::Output, Deadlock> {
    let flag = Arc::new(Flag(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&flag));
    let mut context = Context::from_waker(&waker);
    let mut main = pin!(main);
    loop {
        if flag.0.swap(false, Ordering::Relaxed) {
            if let Poll::Ready(output) = main.as_mut().poll(&mut context) {
                return Ok(output);
            }
        } else if step() == Step::Nothing {
            return Err(Deadlock);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::future::{pending, poll_fn, ready};

    // A future that is ready needs no step.
    #[test]
    fn ready_is_ready() {
        assert_eq!(block_on(ready(7), || Step::Nothing), Ok(7));
    }

    // A future that waits for nothing is an error rather than an endless loop.
    #[test]
    fn waiting_for_nothing_is_an_error() {
        let left = Cell::new(3);
        let step = || {
            left.set(left.get() - 1);
            if left.get() == 0 { Step::Nothing } else { Step::Taken }
        };
        let error = block_on(pending::<()>(), step).expect_err("it never ends");
        assert_eq!(left.get(), 0);
        assert!(error.to_string().starts_with("deadlock in virtual time"));
    }

    // The world steps only while the future waits, and a future that is woken is asked again.
    #[test]
    fn steps_wake_futures() {
        let waiting: Cell<Option<Waker>> = Cell::new(None);
        let steps = Cell::new(0);
        let main = poll_fn(|context| {
            if steps.get() == 5 {
                return Poll::Ready(steps.get());
            }
            waiting.set(Some(context.waker().clone()));
            Poll::Pending
        });
        let step = || {
            steps.set(steps.get() + 1);
            if let Some(waker) = waiting.take() {
                waker.wake();
            }
            Step::Taken
        };
        assert_eq!(block_on(main, step), Ok(5));
    }
}
