//! Links, addresses, routes and neighbours by raw rtnetlink: many changes in one message, one answer each.

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

// linux/veth.h, linux/if_link.h, linux/neighbour.h and linux/rtnetlink.h, Linux 6.18.
const VETH_INFO_PEER: u16 = 1;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const NUD_PERMANENT: u16 = 0x80;
const RTNH_F_ONLINK: u32 = 4;
const NLA_F_NESTED: u16 = 1 << 15;

const IF_OPER_UP: u8 = 6;

/// How often a link is asked whether it is up, and how long apart: half a second at most.
const UP_ATTEMPTS: u32 = 1000;
const UP_INTERVAL: Duration = Duration::from_micros(500);
/// Most bytes of the kernel's answers to one batch.
const ANSWERS_SIZE: usize = 16 << 10;

/// Opens a socket to change the network namespace that the calling thread is in.
pub(super) fn open() -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// Returns once a link of the socket's namespace carries packets: after its other end came up the kernel says so in the
/// background, and drops what is sent until then. Asking makes kernels since 6.8 do it now; others are asked again.
pub(super) fn await_up(socket: &OwnedFd, index: u32) -> io::Result<()> {
    for _ in 0..UP_ATTEMPTS {
        let mut question = Batch::default();
        let message = question.begin("ask for the link", libc::RTM_GETLINK, 0);
        question.push_link_header(index, 0);
        question.end(message);
        // An answer is all that is wanted, no acknowledgement after it.
        let flags = (libc::NLM_F_REQUEST as u16).to_ne_bytes();
        question.bytes[6..8].copy_from_slice(&flags);
        rustix::net::send(socket, &question.bytes, SendFlags::empty())?;
        let mut answer = vec![0; ANSWERS_SIZE];
        let (size, _) = rustix::net::recv(socket, &mut answer[..], RecvFlags::empty())?;
        if operational_state(&answer[..size]) == Some(IF_OPER_UP) {
            return Ok(());
        }
        std::thread::sleep(UP_INTERVAL);
    }
    Err(io::Error::other("the link does not come up"))
}

/// The state of the link that an answer describes (RFC 2863).
fn operational_state(message: &[u8]) -> Option<u8> {
    let mut rest = message.get(32..)?;
    while let [low, high, kind_low, kind_high, value, ..] = *rest {
        let size = usize::from(u16::from_ne_bytes([low, high]));
        if u16::from_ne_bytes([kind_low, kind_high]) == libc::IFLA_OPERSTATE {
            return Some(value);
        }
        rest = rest.get(size.max(4).next_multiple_of(4)..)?;
    }
    None
}

/// One end of a veth pair.
#[derive(Clone, Copy, Debug)]
pub(super) struct End<'a> {
    pub name: &'a str,
    /// Interface index, chosen by us so that it need not be asked for; 0, at both ends, to let the kernel choose.
    pub index: u32,
    pub mac: [u8; 6],
}

/// Changes to be made together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    /// What each change is, for errors.
    changes: Vec<&'static str>,
}

impl Batch {
    /// Creates a veth pair: `near`, up, in the socket's namespace, and `far`, which cannot be brought up before both
    /// are there, in another.
    pub fn add_veth(&mut self, near: End<'_>, far: End<'_>, far_namespace: BorrowedFd<'_>) {
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        let message = self.begin("create the veth pair", libc::RTM_NEWLINK, flags);
        self.push_link_header(near.index, libc::IFF_UP);
        self.push_end(near);
        let info = self.begin_attribute(libc::IFLA_LINKINFO | NLA_F_NESTED);
        self.push_attribute(IFLA_INFO_KIND, b"veth");
        let data = self.begin_attribute(IFLA_INFO_DATA | NLA_F_NESTED);
        let peer = self.begin_attribute(VETH_INFO_PEER | NLA_F_NESTED);
        self.push_link_header(far.index, 0);
        self.push_end(far);
        let namespace = far_namespace.as_raw_fd();
        self.push_attribute(libc::IFLA_NET_NS_FD, &namespace.to_ne_bytes());
        for attribute in [peer, data, info] {
            self.end_attribute(attribute);
        }
        self.end(message);
    }

    /// Deletes a link by name.
    pub fn delete_link(&mut self, name: &str) {
        let message = self.begin("delete the link", libc::RTM_DELLINK, 0);
        self.bytes.extend([0; 16]);
        self.push_name(name);
        self.end(message);
    }

    /// Brings a link up.
    pub fn set_up(&mut self, index: u32) {
        let message = self.begin("bring the link up", libc::RTM_NEWLINK, 0);
        self.push_link_header(index, libc::IFF_UP);
        self.end(message);
    }

    /// Gives a link an address.
    pub fn add_address(&mut self, index: u32, address: Ipv4Addr, prefix: u8) {
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        let message = self.begin("add the address", libc::RTM_NEWADDR, flags);
        self.bytes.extend([libc::AF_INET as u8, prefix, 0, libc::RT_SCOPE_UNIVERSE]);
        self.bytes.extend(index.to_ne_bytes());
        self.push_attribute(libc::IFA_LOCAL, &address.octets());
        self.push_attribute(libc::IFA_ADDRESS, &address.octets());
        self.end(message);
    }

    /// Routes one address to a link.
    pub fn add_host_route(&mut self, index: u32, destination: Ipv4Addr) {
        let message = self.begin_route("add the route", 32, libc::RT_SCOPE_LINK, 0);
        self.push_attribute(libc::RTA_DST, &destination.octets());
        self.push_attribute(libc::RTA_OIF, &index.to_ne_bytes());
        self.end(message);
    }

    /// Routes everything else to a gateway that is on the link, whatever the link's own addresses are.
    pub fn add_default_route(&mut self, index: u32, gateway: Ipv4Addr) {
        let scope = libc::RT_SCOPE_UNIVERSE;
        let message = self.begin_route("add the default route", 0, scope, RTNH_F_ONLINK);
        self.push_attribute(libc::RTA_GATEWAY, &gateway.octets());
        self.push_attribute(libc::RTA_OIF, &index.to_ne_bytes());
        self.end(message);
    }

    /// Says for good who has an address: no lookups, and no entry in the neighbour table's count.
    pub fn add_neighbour(&mut self, index: u32, address: Ipv4Addr, mac: [u8; 6]) {
        let flags = libc::NLM_F_CREATE | libc::NLM_F_REPLACE;
        let message = self.begin("add the neighbour", libc::RTM_NEWNEIGH, flags);
        self.bytes.extend([libc::AF_INET as u8, 0, 0, 0]);
        self.bytes.extend(index.to_ne_bytes());
        self.bytes.extend(NUD_PERMANENT.to_ne_bytes());
        self.bytes.extend([0, libc::RTN_UNICAST]);
        self.push_attribute(NDA_DST, &address.octets());
        self.push_attribute(NDA_LLADDR, &mac);
        self.end(message);
    }

    /// Makes the changes, all of them even where one fails. Errors: the first that failed, and why.
    pub fn apply(self, socket: &OwnedFd) -> Result<(), (&'static str, io::Error)> {
        rustix::net::send(socket, &self.bytes, SendFlags::empty())
            .map_err(|error| ("send to the kernel", error.into()))?;
        let mut answered = 0;
        let mut failed = None;
        let mut answers = vec![0; ANSWERS_SIZE];
        while answered < self.changes.len() {
            let (size, _) = rustix::net::recv(socket, &mut answers[..], RecvFlags::empty())
                .map_err(|error| ("read the kernel's answer", error.into()))?;
            let mut rest = &answers[..size];
            while let Some((sequence, code, next)) = split_answer(rest) {
                rest = next;
                answered += 1;
                if code != 0 && failed.is_none() {
                    let change = self.changes.get(sequence as usize).copied();
                    let error = io::Error::from_raw_os_error(-code);
                    failed = Some((change.unwrap_or("change the network"), error));
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn begin(&mut self, change: &'static str, kind: u16, flags: i32) -> usize {
        let start = self.bytes.len();
        let flags = (flags | libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
        let sequence = self.changes.len() as u32;
        self.changes.push(change);
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(flags.to_ne_bytes());
        self.bytes.extend(sequence.to_ne_bytes());
        self.bytes.extend([0; 4]);
        start
    }

    fn end(&mut self, start: usize) {
        let size = (self.bytes.len() - start) as u32;
        self.bytes[start..start + 4].copy_from_slice(&size.to_ne_bytes());
    }

    fn begin_route(&mut self, change: &'static str, prefix: u8, scope: u8, flags: u32) -> usize {
        let create = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        let message = self.begin(change, libc::RTM_NEWROUTE, create);
        let table = libc::RT_TABLE_MAIN;
        let (origin, kind) = (libc::RTPROT_STATIC, libc::RTN_UNICAST);
        self.bytes.extend([libc::AF_INET as u8, prefix, 0, 0, table, origin, scope, kind]);
        self.bytes.extend(flags.to_ne_bytes());
        message
    }

    fn push_link_header(&mut self, index: u32, flags: i32) {
        self.bytes.extend([0; 4]);
        self.bytes.extend(index.to_ne_bytes());
        // The flags, and which of them are to change.
        self.bytes.extend(flags.to_ne_bytes());
        self.bytes.extend(flags.to_ne_bytes());
    }

    fn push_end(&mut self, end: End<'_>) {
        self.push_name(end.name);
        self.push_attribute(libc::IFLA_ADDRESS, &end.mac);
    }

    fn push_name(&mut self, name: &str) {
        let mut bytes = name.as_bytes().to_vec();
        bytes.push(0);
        self.push_attribute(libc::IFLA_IFNAME, &bytes);
    }

    fn push_attribute(&mut self, kind: u16, value: &[u8]) {
        let start = self.begin_attribute(kind);
        self.bytes.extend(value);
        self.end_attribute(start);
    }

    fn begin_attribute(&mut self, kind: u16) -> usize {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend(kind.to_ne_bytes());
        start
    }

    fn end_attribute(&mut self, start: usize) {
        let size = (self.bytes.len() - start) as u16;
        self.bytes[start..start + 2].copy_from_slice(&size.to_ne_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// Sequence number and code of the first answer in `bytes`, and what follows it.
fn split_answer(bytes: &[u8]) -> Option<(u32, i32, &[u8])> {
    let number = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let size = number(0)? as usize;
    let code = number(16)? as i32;
    let next = bytes.get(size.max(20).next_multiple_of(4)..).unwrap_or(&[]);
    Some((number(8)?, code, next))
}
