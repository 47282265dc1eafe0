//! The answer to a write: waited for by a thread, or by a task.
//!
//! Deliberately knows nothing of what was written.

use super::StoreError;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Tells, once, how a write went. May be dropped: the write is made all the same.
#[must_use = "a write is not known to be durable before its receipt says so"]
#[derive(Debug)]
pub struct Receipt(Arc<Slot>);

/// The other end of a [`Receipt`]. Dropped without an answer, as when the writer panics, it says that the store is closed.
#[derive(Debug)]
pub(super) struct Answer(Arc<Slot>);

#[derive(Debug, Default)]
struct Slot {
    state: Mutex<State>,
    done: Condvar,
}

#[derive(Debug, Default)]
struct State {
    result: Option<Result<(), StoreError>>,
    is_settled: bool,
    waker: Option<Waker>,
}

/// A receipt and the means to answer it.
pub(super) fn receipt() -> (Answer, Receipt) {
    let slot = Arc::new(Slot::default());
    (Answer(Arc::clone(&slot)), Receipt(slot))
}

impl Receipt {
    /// Blocks until the write is durable, or failed. Call it where blocking is allowed.
    pub fn wait(self) -> Result<(), StoreError> {
        let mut state = self.0.lock();
        loop {
            if let Some(result) = state.result.take() {
                return result;
            }
            state = self.0.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Future for Receipt {
    type Output = Result<(), StoreError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.lock();
        match state.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Answer {
    /// Answers the receipt.
    pub fn send(self, result: Result<(), StoreError>) {
        self.0.settle(result);
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.0.settle(Err(StoreError::Closed));
    }
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first answer counts.
    fn settle(&self, result: Result<(), StoreError>) {
        let mut state = self.lock();
        if state.is_settled {
            return;
        }
        state.is_settled = true;
        state.result = Some(result);
        let waker = state.waker.take();
        drop(state);
        self.done.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
