//! A second thread for the records of a study in virtual time: it writes them to their files and reads them for the
//! findings, while the first one measures.
//!
//! What is finished is on the disk at the end, not before: a study in virtual time that was stopped is done again as a
//! whole. Deliberately knows nothing of what is measured.

use super::keeper::Keeper;
use crate::reading::{Reading, Taking};
use anyhow::{anyhow, bail};
use record::{Durability, Record};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

/// Messages that wait at most: a part has up to 8,192 records of half a KiB.
const WAITING: usize = 8;

/// The way to the other thread.
pub(super) struct Beside(SyncSender<Message>);

struct Message {
    experiment: String,
    unit: String,
    records: Vec<Record>,
    is_last: bool,
}

impl Beside {
    /// Begins the thread. It ends once this is dropped.
    pub(super) fn begin<'scope>(
        scope: &'scope Scope<'scope, '_>,
        records: PathBuf,
    ) -> (Self, ScopedJoinHandle<'scope, anyhow::Result<Reading>>) {
        let (sender, receiver) = sync_channel(WAITING);
        let keeper = Keeper::new(records, Durability::Left);
        (Self(sender), scope.spawn(move || take(keeper, &receiver)))
    }

    pub(super) fn part(
        &self,
        experiment: &str,
        unit: &str,
        records: Vec<Record>,
    ) -> anyhow::Result<()> {
        self.send(experiment, unit, records, false)
    }

    pub(super) fn finished(
        &self,
        experiment: &str,
        unit: &str,
        records: Vec<Record>,
    ) -> anyhow::Result<()> {
        self.send(experiment, unit, records, true)
    }

    fn send(
        &self,
        experiment: &str,
        unit: &str,
        records: Vec<Record>,
        is_last: bool,
    ) -> anyhow::Result<()> {
        let (experiment, unit) = (experiment.to_owned(), unit.to_owned());
        let message = Message { experiment, unit, records, is_last };
        // What the thread ended with is its own result.
        self.0.send(message).map_err(|_| anyhow!("records are no longer written"))
    }
}

/// Waits for the end of the thread; what it was sent is written and read then.
pub(super) fn end(
    thread: ScopedJoinHandle<'_, anyhow::Result<Reading>>,
) -> anyhow::Result<Reading> {
    match thread.join() {
        Ok(read) => read,
        Err(_) => bail!("the thread that writes records panicked"),
    }
}

fn take(mut keeper: Keeper, messages: &Receiver<Message>) -> anyhow::Result<Reading> {
    let mut taking = Taking::default();
    for Message { experiment, unit, records, is_last } in messages {
        match is_last {
            true => keeper.finished(&experiment, &unit, &records)?,
            false => keeper.part(&experiment, &unit, &records)?,
        }
        records.into_iter().for_each(|record| taking.take(record));
    }
    Ok(taking.finish_sorted())
}
