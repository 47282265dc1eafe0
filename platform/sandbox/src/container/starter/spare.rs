//! The spare: a process that has what every sandbox has, and waits to be made any of them.
//!
//! A prepared sandbox is of one cell, with limits and a /tmp; where none fits, the spare still takes half of the work from a
//! start. Deliberately knows nothing of what becomes of it.

use super::super::cgroup::Cgroups;
use super::super::channel::{Channel, Received};
use super::super::child::{self, Birth};
use super::super::networks::{Network, Networks};
use super::super::protocol::{self, Failure, ProcView, Report, Step};
use super::super::system::{self, Forked};
use super::{Source, Starter};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A process in its first stage.
#[derive(Debug)]
pub(super) struct Newborn {
    pub(super) pid: i32,
    pub(super) pidfd: OwnedFd,
    pub(super) channel: Channel,
    /// The network that was made for it.
    pub(super) network: Option<Network>,
    pub(super) proc_view: ProcView,
    /// What came beside the report of its birth, where it is through.
    pub(super) born: Option<Vec<OwnedFd>>,
}

impl Starter {
    /// Whether a spare can be kept, and there is none. On v2 a process is born into its group.
    pub(super) fn is_spare_missing(&self) -> bool {
        self.spare.is_none() && !matches!(self.equipment.cgroups, Cgroups::V2(_))
    }

    /// Makes the spare.
    pub(super) fn make_spare(&mut self, proc_view: ProcView) -> Result<(), Failure> {
        self.spare = Some(self.bear(proc_view, None)?);
        Ok(())
    }

    /// The spare, where it has this view.
    pub(super) fn take_spare(&mut self, proc_view: ProcView) -> Option<Newborn> {
        self.spare.take_if(|spare| spare.proc_view == proc_view)
    }

    /// Takes in that the spare is through its first stage. One that fails is given up.
    pub(super) fn hear_spare(&mut self, pid: i32) -> Result<(), Failure> {
        let Some(spare) = self.spare.as_mut().filter(|spare| spare.pid == pid) else {
            return Ok(());
        };
        let mut buffer = [0; 4096];
        let cannot = || "cannot make a spare".to_owned();
        let ended = || Failure { step: cannot(), errno: 0 };
        let heard = match spare.channel.try_receive(&mut buffer).step(cannot) {
            Ok(None) => return Ok(()),
            Ok(Some(Received::Message(length, beside))) => {
                match protocol::decode::<Report>(&buffer[..length]).step(cannot) {
                    Ok((Report::Born, _)) => {
                        spare.born = Some(beside);
                        return Ok(());
                    }
                    Ok((Report::Failed(failure), _)) | Err(failure) => failure,
                    Ok((Report::Prepared, _)) => ended(),
                }
            }
            Ok(Some(Received::End)) => ended(),
            Err(failure) => failure,
        };
        self.end_spare();
        Err(heard)
    }

    /// Ends the spare, and waits for that.
    pub(super) fn end_spare(&mut self) {
        if let Some(spare) = self.spare.take() {
            system::signal_pidfd(spare.pidfd.as_fd(), libc::SIGKILL);
            system::wait_for(spare.pid);
        }
    }

    /// Forks a process that has nothing yet, on v2 into its `group`.
    pub(super) fn bear(
        &mut self,
        proc_view: ProcView,
        group: Option<BorrowedFd<'_>>,
    ) -> Result<Newborn, Failure> {
        let (ours, theirs) = Channel::pair().step(|| "cannot connect a sandbox".to_owned())?;
        let network = self.equipment.networks.as_mut().and_then(Networks::take);
        let birth = Birth {
            channel: theirs,
            template: &self.equipment.template.namespace,
            network: network.as_ref(),
            refused: &self.equipment.refused,
            closed: &self.equipment.closed,
            privilege: self.equipment.privilege,
            proc_view,
        };
        let forked = system::fork(libc::CLONE_NEWPID as u64, group).step(|| {
            "cannot fork a sandbox (limits: sysctl kernel.pid_max, kernel.threads-max, and the \
             server's own pids limit)"
                .to_owned()
        })?;
        let (pid, pidfd) = match forked {
            Forked::Child => child::run(birth),
            Forked::Parent { pid, pidfd } => (pid, pidfd),
        };
        drop(birth);
        if let Err(failure) = self.watch(&ours, Source::Sandbox(pid)) {
            system::signal_pidfd(pidfd.as_fd(), libc::SIGKILL);
            return Err(failure);
        }
        Ok(Newborn { pid, pidfd, channel: ours, network, proc_view, born: None })
    }
}
