//! A running sandbox in the server's hands.
//!
//! Deliberately knows nothing of the Runtime API.

use super::cgroup::{FreezerWords, GroupName, Meter};
use super::channel::{Channel, Received};
use super::client::{Connection, Starter, receive};
use super::handle::{Cause, Control, Exit};
use super::protocol::{self, Request, Status};
use crate::{Grace, Usage};
use std::fs::File;
use std::future::{Future, poll_fn};
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;
use tokio::io::unix::AsyncFd;

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
    pub(super) status: AsyncFd<Channel>,
    pub(super) exit: OnceLock<Exit>,
    pub(super) left: Left,
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

    fn exit_of(&self, wait_status: i32) -> Exit {
        let signal = libc::WIFSIGNALED(wait_status).then(|| libc::WTERMSIG(wait_status));
        let status = libc::WIFEXITED(wait_status).then(|| libc::WEXITSTATUS(wait_status));
        let cause = if status != Some(0) && self.connection.cgroups.was_out_of_memory(&self.group) {
            Cause::Memory
        } else {
            Cause::Own
        };
        Exit { status, signal, cause }
    }

    /// The exit of a sandbox whose starter has died. A frozen one would outlive that.
    fn orphaned(&self) -> Exit {
        // Where its group is gone, so is all that was in it.
        let _gone = self.thaw();
        Exit { status: None, signal: Some(libc::SIGKILL), cause: Cause::Owner }
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

    async fn exited(&self) -> Exit {
        let mut buffer = [0; 256];
        loop {
            if let Some(exit) = self.exit.get() {
                return *exit;
            }
            let received = {
                let mut received = pin!(receive(&self.status, &mut buffer));
                let mut closed = pin!(self.connection.closed());
                poll_fn(|cx| match received.as_mut().poll(cx) {
                    Poll::Pending => closed.as_mut().poll(cx).map(|()| Ok(Received::End)),
                    received => received,
                })
                .await
            };
            let exit = match received {
                Ok(Received::Message(length, _)) => {
                    match protocol::decode::<Status>(&buffer[..length]) {
                        Ok((Status::Exited(wait_status), _)) => self.exit_of(wait_status),
                        _ => continue,
                    }
                }
                // Without a report, the first process was killed, and all others with it. A starter that dies closes
                // its connection before its sandboxes are killed for it.
                Ok(Received::End) | Err(_) if self.connection.is_closed() => self.orphaned(),
                Ok(Received::End) | Err(_) => self.exit_of(libc::SIGKILL),
            };
            return *self.exit.get_or_init(|| exit);
        }
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
