//! A running sandbox in the server's hands.
//!
//! Deliberately knows nothing of the Runtime API.

use super::cgroup::{FreezerWords, GroupName, Meter};
use super::client::{Connection, Ending, HowEnded, Starter};
use super::handle::{Cause, Control, Exit};
use super::processes::{Ended, Processes};
use super::protocol::{Process, Request};
use crate::{Grace, Usage};
use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

/// A running sandbox. Freezing and thawing are single writes to a file that is kept open.
#[derive(Debug)]
pub struct ContainerControl {
    pub(super) starter: Arc<Starter>,
    pub(super) connection: Arc<Connection>,
    pub(super) instance: model::InstanceId,
    pub(super) group: GroupName,
    pub(super) meter: Meter,
    /// None where there are no control groups.
    pub(super) freezer: Option<File>,
    pub(super) words: FreezerWords,
    pub(super) ceiling_milli: Option<u32>,
    pub(super) ending: Arc<Ending>,
    pub(super) exit: OnceLock<Exit>,
    pub(super) left: Left,
    /// Where it has extensions.
    pub(super) processes: Option<Arc<Processes>>,
}

/// What is left of a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    Everything,
    Nothing,
}

impl ContainerControl {
    fn set_freezer(&self, word: &str) -> io::Result<()> {
        match &self.freezer {
            Some(file) => file.write_all_at(word.as_bytes(), 0),
            None => Ok(()),
        }
    }

    fn exit_of(&self, process: Process, wait_status: i32) -> Exit {
        let signal = libc::WIFSIGNALED(wait_status).then(|| libc::WTERMSIG(wait_status));
        let status = libc::WIFEXITED(wait_status).then(|| libc::WEXITSTATUS(wait_status));
        let cause = if status != Some(0) && self.connection.cgroups.was_out_of_memory(&self.group) {
            Cause::Memory
        } else {
            Cause::Own
        };
        Exit { process, status, signal, cause }
    }

    /// The exit of a sandbox whose starter has died. A frozen one would outlive that.
    fn orphaned(&self) -> Exit {
        // Where its group is gone, so is all that was in it.
        let _gone = self.thaw();
        let signal = Some(libc::SIGKILL);
        Exit { process: Process::Runtime, status: None, signal, cause: Cause::Owner }
    }
}

impl Control for ContainerControl {
    fn freeze(&self) -> io::Result<()> {
        self.meter.close();
        self.set_freezer(self.words.freeze)
    }

    fn thaw(&self) -> io::Result<()> {
        self.set_freezer(self.words.thaw)
    }

    fn apply_ceiling(&self) -> io::Result<()> {
        let Some(milli_cpus) = self.ceiling_milli else { return Ok(()) };
        self.connection
            .cgroups
            .set_ceiling(&self.group, milli_cpus)
            .map_err(|failure| io::Error::new(failure.error().kind(), failure.step))
    }

    fn usage(&self) -> Usage {
        self.meter.read(&self.connection.cgroups, &self.group)
    }

    fn processes(&self) -> Option<&Arc<Processes>> {
        self.processes.as_ref()
    }

    async fn exited(&self) -> Exit {
        if let Some(exit) = self.exit.get() {
            return *exit;
        }
        let first = |context: &mut Context<'_>| {
            let processes = self.processes.as_ref();
            if let Some(Poll::Ready(first)) = processes.map(|it| it.poll_first(context)) {
                return Poll::Ready(Err(first));
            }
            self.ending.poll(context).map(Ok)
        };
        let exit = match poll_fn(first).await {
            Err((process, Ended::Exited(wait_status))) => self.exit_of(process, wait_status),
            Err((process, Ended::NotStarted(errno))) => {
                Exit { process, status: None, signal: None, cause: Cause::NotStarted(errno) }
            }
            Ok(HowEnded::Reported(wait_status)) => self.exit_of(Process::Runtime, wait_status),
            Ok(HowEnded::Killed) => self.exit_of(Process::Runtime, libc::SIGKILL),
            Ok(HowEnded::Orphaned) => self.orphaned(),
        };
        *self.exit.get_or_init(|| exit)
    }

    async fn destroy(mut self, grace: Grace) {
        // A starter that is gone has taken its instances along.
        let _gone = self.thaw();
        if grace.0 > model::Span::ZERO && self.exit.get().is_none() {
            let told = self.connection.tell(&Request::Terminate(self.instance)).await;
            if told.is_ok() {
                // Either way it is removed next.
                let _ended = tokio::time::timeout(Duration::from(grace.0), self.exited()).await;
            }
        }
        self.connection.remove(self.instance).await;
        if !self.connection.is_alive() {
            // Its successor has removed what it left; where there is none, the next start says why.
            let _recovered = self.starter.recover().await;
        }
        self.left = Left::Nothing;
    }
}

impl Drop for ContainerControl {
    fn drop(&mut self) {
        if self.left == Left::Everything {
            self.connection.remove_unseen(self.instance);
        }
    }
}
