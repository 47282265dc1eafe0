//! A vantage that remembers what it created, so that everything is removed however a unit ends.
//!
//! Deliberately knows nothing of experiments.

use crate::bench::CONTROL_CONCURRENCY;
use crate::vantage::{Change, Function, FunctionSpec, Sent, Vantage, VantageError};
use futures::StreamExt;
use model::{Span, Time};
use probe::Request;
use record::Record;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Passes everything on, and keeps account of the functions that exist.
pub(crate) struct Ledger<'a, V> {
    vantage: &'a V,
    alive: RefCell<BTreeMap<String, Function>>,
    /// A function removed since this was last asked, by which to see whether removed ones still answer.
    removed: RefCell<Option<Function>>,
}

impl<'a, V: Vantage> Ledger<'a, V> {
    pub fn new(vantage: &'a V) -> Self {
        Self { vantage, alive: RefCell::default(), removed: RefCell::default() }
    }

    /// Removes what is left. Returns what went wrong; those functions stay on the account.
    pub async fn clear(&self) -> Vec<VantageError> {
        let left: Vec<Function> = self.alive.borrow().values().cloned().collect();
        let removed: Vec<Result<(), VantageError>> = futures::stream::iter(left)
            .map(|function| self.remove(function))
            .buffered(CONTROL_CONCURRENCY)
            .collect()
            .await;
        removed.into_iter().filter_map(Result::err).collect()
    }

    /// The last function that was removed since this was last asked.
    pub fn last_removed(&self) -> Option<Function> {
        self.removed.borrow_mut().take()
    }
}

impl<V: Vantage> Vantage for Ledger<'_, V> {
    fn now(&self) -> Time {
        self.vantage.now()
    }

    fn epoch_unix_ns(&self) -> u64 {
        self.vantage.epoch_unix_ns()
    }

    async fn sleep_until(&self, at: Time) {
        self.vantage.sleep_until(at).await;
    }

    fn random(&self) -> u64 {
        self.vantage.random()
    }

    async fn deploy(&self, spec: FunctionSpec) -> Result<Function, VantageError> {
        let function = self.vantage.deploy(spec).await?;
        self.alive.borrow_mut().insert(function.name.clone(), function.clone());
        Ok(function)
    }

    async fn update(&self, function: &mut Function, change: Change) -> Result<(), VantageError> {
        self.vantage.update(function, change).await
    }

    async fn remove(&self, function: Function) -> Result<(), VantageError> {
        self.vantage.remove(function.clone()).await?;
        self.alive.borrow_mut().remove(&function.name);
        self.removed.replace(Some(function));
        Ok(())
    }

    async fn invoke(&self, function: &Function, request: &Request, sent: Sent) -> Record {
        self.vantage.invoke(function, request, sent).await
    }

    fn runtimes(&self) -> Vec<String> {
        self.vantage.runtimes()
    }

    fn memory_range_mib(&self) -> (u32, u32) {
        self.vantage.memory_range_mib()
    }

    fn sink(&self) -> Option<String> {
        self.vantage.sink()
    }

    fn idle_cpu(&self) -> Option<Span> {
        self.vantage.idle_cpu()
    }
}
