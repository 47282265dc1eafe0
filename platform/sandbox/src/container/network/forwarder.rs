//! A forwarder of name queries: takes them from instances in the router's namespace, asks the host's resolvers.
//!
//! Deliberately reads no more of a query than its number, keeps nothing, and serves UDP only. It is a process of its
//! own, since its owner has one thread and waits for other things.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Instant;

/// Most queries under way.
const PENDING_LIMIT: usize = 1024;
/// Most queries under way of one instance.
const PENDING_LIMIT_EACH: usize = 64;
/// A query without answer is forgotten after this many milliseconds; `resolv.conf(5)` gives up after 5 s.
const PENDING_MS: u64 = 5_000;
/// A resolver that has not answered a query for this many milliseconds makes way for the next.
const SWITCH_MS: u64 = 2_000;
/// Bytes of the largest query or answer (RFC 6891 lets a client ask for more than 512).
const MESSAGE_SIZE: usize = 4096;
/// Most resolvers, as in `resolv.conf(5)`.
const RESOLVERS_LIMIT: usize = 3;
/// User and group that nobody's processes have.
const NOBODY: u32 = 65534;

/// A running forwarder. Ends when dropped, and with its parent.
#[derive(Debug)]
pub(super) struct Forwarder {
    process: Pid,
}

impl Forwarder {
    /// Starts it. `listener` is bound in the router's namespace; resolvers are asked from that of the calling thread.
    pub fn start(listener: UdpSocket, resolvers: &[IpAddr]) -> io::Result<Self> {
        let mut upstreams = Vec::new();
        for resolver in resolvers.iter().take(RESOLVERS_LIMIT) {
            let any: IpAddr = match resolver {
                IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            let socket = UdpSocket::bind((any, 0))?;
            if socket.connect(SocketAddr::new(*resolver, 53)).is_ok() {
                socket.set_nonblocking(true)?;
                upstreams.push(socket);
            }
        }
        listener.set_nonblocking(true)?;
        let mut forwarding = Forwarding {
            listener,
            upstreams,
            current: 0,
            random: File::open("/dev/urandom")?,
            pending: vec![None; PENDING_LIMIT],
            started: Instant::now(),
        };
        // SAFETY: the child allocates nothing and takes no lock: it polls, reads and writes descriptors, and exits.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                confine(&forwarding);
                forwarding.run();
                // SAFETY: ends this process at once.
                unsafe { libc::_exit(0) }
            }
            process => Pid::from_raw(process)
                .map(|process| Self { process })
                .ok_or_else(|| io::Error::other("fork gave no process id")),
        }
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        let _gone = kill_process(self.process, Signal::KILL);
        let _reaped = waitpid(Some(self.process), WaitOptions::empty());
    }
}

/// Takes from the child all that it does not need: descriptors, identity, signals' dispositions.
fn confine(forwarding: &Forwarding) {
    let mut kept = [i32::MAX; RESOLVERS_LIMIT + 2];
    let sockets = forwarding.upstreams.iter().map(AsRawFd::as_raw_fd);
    let others = [forwarding.listener.as_raw_fd(), forwarding.random.as_raw_fd()];
    for (slot, descriptor) in kept.iter_mut().zip(sockets.chain(others)) {
        *slot = descriptor;
    }
    kept.sort_unstable();
    // SAFETY: plain system calls on this process, which has one thread and uses none of the descriptors closed.
    unsafe {
        let mut from = 0;
        for descriptor in kept {
            if descriptor > from {
                libc::syscall(libc::SYS_close_range, from, descriptor - 1, 0);
            }
            from = descriptor.saturating_add(1);
        }
        libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>());
        libc::syscall(libc::SYS_setresgid, NOBODY, NOBODY, NOBODY);
        libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY);
        // After the change of identity, which clears it.
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::prctl(libc::PR_SET_NAME, c"peek dns".as_ptr());
        libc::signal(libc::SIGTERM, libc::SIG_IGN);
        libc::signal(libc::SIGINT, libc::SIG_IGN);
    }
}

/// A query under way.
#[derive(Clone, Copy, Debug)]
struct Pending {
    client: SocketAddrV4,
    client_number: u16,
    number: u16,
    resolver: usize,
    sent_ms: u64,
}

#[derive(Debug)]
struct Forwarding {
    listener: UdpSocket,
    upstreams: Vec<UdpSocket>,
    current: usize,
    random: File,
    pending: Vec<Option<Pending>>,
    started: Instant,
}

impl Forwarding {
    fn run(&mut self) {
        loop {
            let mut descriptors: [PollFd<'_>; RESOLVERS_LIMIT + 1] = std::array::from_fn(|at| {
                let socket = at.checked_sub(1).and_then(|at| self.upstreams.get(at));
                PollFd::new(socket.unwrap_or(&self.listener), PollFlags::IN)
            });
            match poll(&mut descriptors[..=self.upstreams.len()], None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
            self.forward_queries();
            self.forward_answers();
        }
    }

    fn forward_queries(&mut self) {
        let mut message = [0; MESSAGE_SIZE];
        // Bounded, so that answers get their turn.
        for _ in 0..64 {
            let Ok((size, SocketAddr::V4(client))) = self.listener.recv_from(&mut message) else {
                return;
            };
            let now_ms = self.now_ms();
            self.switch_resolver(now_ms);
            let (Some(slot), true) = (self.free_slot(client, now_ms), size >= 12) else { continue };
            let Some(socket) = self.upstreams.get(self.current) else { continue };
            // A number of our own, so that answers cannot be guessed by whoever asked.
            let mut number = [0; 2];
            if self.random.read_exact(&mut number).is_err() {
                continue;
            }
            let client_number = u16::from_be_bytes([message[0], message[1]]);
            message[..2].copy_from_slice(&number);
            if socket.send(&message[..size]).is_ok() {
                let number = u16::from_be_bytes(number);
                let (resolver, sent_ms) = (self.current, now_ms);
                self.pending[slot] =
                    Some(Pending { client, client_number, number, resolver, sent_ms });
            }
        }
    }

    fn forward_answers(&mut self) {
        let mut message = [0; MESSAGE_SIZE];
        for resolver in 0..self.upstreams.len() {
            for _ in 0..64 {
                let size = match self.upstreams[resolver].recv(&mut message) {
                    Ok(size) if size >= 12 => size,
                    Ok(_) => continue,
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
                    Err(_) => break,
                };
                let number = u16::from_be_bytes([message[0], message[1]]);
                let asked = |pending: &Option<Pending>| {
                    pending.is_some_and(|pending| {
                        pending.number == number && pending.resolver == resolver
                    })
                };
                let Some(found) = self.pending.iter_mut().find(|pending| asked(pending)) else {
                    continue;
                };
                if let Some(pending) = found.take() {
                    message[..2].copy_from_slice(&pending.client_number.to_be_bytes());
                    // An instance that is gone needs no answer.
                    let _ = self.listener.send_to(&message[..size], pending.client);
                }
            }
        }
    }

    /// Where to keep a query of this client's; None where there are too many.
    fn free_slot(&self, client: SocketAddrV4, now_ms: u64) -> Option<usize> {
        let live = |pending: &&Pending| now_ms.saturating_sub(pending.sent_ms) < PENDING_MS;
        let own = |pending: &&Pending| pending.client.ip() == client.ip();
        let count = self.pending.iter().flatten().filter(live).filter(own).count();
        if count >= PENDING_LIMIT_EACH {
            return None;
        }
        self.pending.iter().position(|slot| slot.as_ref().filter(live).is_none())
    }

    /// Leaves a resolver that owes an answer for too long.
    fn switch_resolver(&mut self, now_ms: u64) {
        let late = |pending: &Pending| {
            let waited = now_ms.saturating_sub(pending.sent_ms);
            pending.resolver == self.current && (SWITCH_MS..PENDING_MS).contains(&waited)
        };
        if self.upstreams.len() > 1 && self.pending.iter().flatten().any(late) {
            self.current = (self.current + 1) % self.upstreams.len();
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
