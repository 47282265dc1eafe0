//! Network namespaces made ahead, each with the Runtime API's listener in it.
//!
//! A namespace takes the kernel longer than anything else that a sandbox has, and is the same for all; so a process of its
//! own makes a few before they are asked for. Deliberately knows nothing of sandboxes, links and addresses.

use super::channel::{Channel, Received};
use super::child;
use super::protocol::{self, Failure, Step};
use super::system::{self, Forked};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How many are kept ready: one for a start, and one for the next while it is replaced.
const READY: usize = 2;

/// A namespace with nothing in it but a loopback that is up.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) namespace: OwnedFd,
    /// Listens at [`child::RUNTIME_API`]; nonblocking.
    pub(super) listener: OwnedFd,
}

/// The maker's client, and what is ready.
#[derive(Debug)]
pub(super) struct Networks {
    pid: i32,
    pidfd: OwnedFd,
    channel: Channel,
    ready: Vec<Network>,
    requested: usize,
}

impl Networks {
    /// Starts the maker, and asks it for the first.
    pub(super) fn start() -> Result<Self, Failure> {
        let cannot = || "cannot start the maker of networks".to_owned();
        let (ours, theirs) = Channel::pair().step(cannot)?;
        match system::fork(0, None).step(cannot)? {
            Forked::Child => serve(&theirs),
            Forked::Parent { pid, pidfd } => {
                let mut networks =
                    Self { pid, pidfd, channel: ours, ready: Vec::new(), requested: 0 };
                networks.restock()?;
                Ok(networks)
            }
        }
    }

    /// Ends the maker, and waits for it.
    pub(super) fn end(self) {
        system::signal_pidfd(self.pidfd.as_fd(), libc::SIGKILL);
        system::wait_for(self.pid);
    }

    /// Asks for as many as should be ready.
    pub(super) fn restock(&mut self) -> Result<(), Failure> {
        for _ in (self.ready.len() + self.requested)..READY {
            self.channel.send(&[b"one"], &[]).step(|| "cannot ask for a network".to_owned())?;
            self.requested += 1;
        }
        Ok(())
    }

    /// Takes one that is ready.
    pub(super) fn take(&mut self) -> Option<Network> {
        self.ready.pop()
    }

    /// Takes in what the maker has made.
    pub(super) fn receive(&mut self) -> Result<(), Failure> {
        let cannot = || "the maker of networks has ended".to_owned();
        let mut buffer = [0; 4096];
        while let Some(received) = self.channel.try_receive(&mut buffer).step(cannot)? {
            let Received::Message(length, descriptors) = received else {
                return Err(Failure { step: cannot(), errno: 0 });
            };
            self.requested = self.requested.saturating_sub(1);
            let (failure, _) =
                protocol::decode::<Option<Failure>>(&buffer[..length]).step(cannot)?;
            if let Some(failure) = failure {
                return Err(failure);
            }
            let mut descriptors = descriptors.into_iter();
            if let (Some(namespace), Some(listener)) = (descriptors.next(), descriptors.next()) {
                self.ready.push(Network { namespace, listener });
            }
        }
        Ok(())
    }
}

impl AsFd for Networks {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

/// Makes namespaces until the starter is gone.
fn serve(channel: &Channel) -> ! {
    const NUMBER: i32 = child::CHANNEL;
    let placed = system::place_at(channel.as_fd(), NUMBER)
        .and_then(|()| system::close_from(NUMBER + 1))
        .and_then(|()| system::process_control(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64));
    let (Ok(()), Ok(home)) = (placed, current()) else { system::exit(1) };
    let channel = Channel::from_descriptor(system::adopt(NUMBER));
    let mut buffer = [0; 16];
    while let Ok(Received::Message(..)) = channel.receive(&mut buffer) {
        let made = make(home.as_fd());
        let sent = match &made {
            Ok(Network { namespace, listener }) => channel.send(
                &[&protocol::encode(&None::<Failure>)],
                &[namespace.as_fd(), listener.as_fd()],
            ),
            Err(failure) => channel.send(&[&protocol::encode(&Some(failure))], &[]),
        };
        if sent.is_err() {
            break;
        }
    }
    system::exit(0)
}

/// Makes one, and comes back: a namespace lives as long as a process is in it.
fn make(home: BorrowedFd<'_>) -> Result<Network, Failure> {
    let cannot = || "cannot make a network (see sysctl user.max_net_namespaces)".to_owned();
    system::unshare(libc::CLONE_NEWNET).step(cannot)?;
    let made = current()
        .and_then(|namespace| Ok(Network { namespace, listener: child::listen()?.into() }));
    system::enter_namespace(home, libc::CLONE_NEWNET).step(cannot)?;
    made
}

/// The namespace that this process is in.
fn current() -> Result<OwnedFd, Failure> {
    let own = "/proc/self/ns/net";
    File::open(own).map(OwnedFd::from).step(|| format!("cannot open {own}"))
}
