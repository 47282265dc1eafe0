//! A socket that carries whole messages, with descriptors beside them.
//!
//! Deliberately knows nothing of what the messages mean.

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Longest message in bytes; larger ones are an error. Below the kernel's default `net.core.wmem_max` of 212,992.
pub(super) const MESSAGE_LIMIT: usize = 128 << 10;

/// Most descriptors beside one message.
pub(super) const DESCRIPTOR_LIMIT: usize = 16;

/// One end of a connection. Message boundaries are kept (`SOCK_SEQPACKET`).
#[derive(Debug)]
pub(super) struct Channel(OwnedFd);

/// What was received.
#[derive(Debug)]
pub(super) enum Received {
    /// A message of so many bytes, in the buffer, and its descriptors (close-on-exec).
    Message(usize, Vec<OwnedFd>),
    /// The other end is closed.
    End,
}

impl Channel {
    /// Both ends of a new connection.
    pub(super) fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok((Self(one), Self(other)))
    }

    /// An end that was made elsewhere.
    pub(super) fn from_descriptor(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }

    /// The descriptor alone.
    pub(super) fn into_descriptor(self) -> OwnedFd {
        self.0
    }

    /// Has the event loop watch it for what comes.
    pub(super) fn watched(self) -> io::Result<AsyncFd<Self>> {
        // SAFETY: the descriptor is owned by the channel, is never replaced, and is closed only when it is dropped.
        unsafe { AsyncFd::register_with_interest(self, Interest::READABLE) }.map_err(Into::into)
    }

    /// Sends one message, made of `parts`, with descriptors.
    pub(super) fn send<const PARTS: usize>(
        &self,
        parts: &[&[u8]; PARTS],
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        self.send_with(parts, descriptors, SendFlags::NOSIGNAL)
    }

    /// As [`Channel::send`], or an error of kind `WouldBlock` where there is no room.
    pub(super) fn try_send<const PARTS: usize>(
        &self,
        parts: &[&[u8]; PARTS],
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        self.send_with(parts, descriptors, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
    }

    fn send_with<const PARTS: usize>(
        &self,
        parts: &[&[u8]; PARTS],
        descriptors: &[BorrowedFd<'_>],
        flags: SendFlags,
    ) -> io::Result<()> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if length > MESSAGE_LIMIT || descriptors.len() > DESCRIPTOR_LIMIT {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "message of {length} bytes and {} descriptors, limits are {MESSAGE_LIMIT} and \
                     {DESCRIPTOR_LIMIT}: make arguments and environment smaller",
                    descriptors.len()
                ),
            ));
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTOR_LIMIT))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        // Not a vector: the first process of a sandbox sends when it has no heap any more.
        let slices = parts.map(IoSlice::new);
        loop {
            match rustix::net::sendmsg(&self.0, &slices, &mut control, flags) {
                Err(rustix::io::Errno::INTR) => {}
                sent => return Ok(sent.map(drop)?),
            }
        }
    }

    /// Receives one message into `buffer`, which must hold [`MESSAGE_LIMIT`] for any message to fit.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        self.receive_with(buffer, RecvFlags::CMSG_CLOEXEC)
    }

    /// As [`Channel::receive`], or None where no message is there yet.
    pub(super) fn try_receive(&self, buffer: &mut [u8]) -> io::Result<Option<Received>> {
        match self.receive_with(buffer, RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            received => received.map(Some),
        }
    }

    fn receive_with(&self, buffer: &mut [u8], flags: RecvFlags) -> io::Result<Received> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTOR_LIMIT))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let mut slices = [IoSliceMut::new(buffer)];
            match rustix::net::recvmsg(&self.0, &mut slices, &mut control, flags) {
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::CONNRESET) => return Ok(Received::End),
                received => break received?,
            }
        };
        let descriptors = control
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                _ => None,
            })
            .flatten()
            .collect();
        if received.bytes == 0 {
            return Ok(Received::End);
        }
        Ok(Received::Message(received.bytes, descriptors))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Channel {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Messages keep their boundaries and carry descriptors; a closed end is seen as such.
    #[test]
    fn messages_arrive_whole() {
        let (one, other) = Channel::pair().expect("socket pair");
        let file = std::fs::File::open("/dev/null").expect("null device");
        one.send(&[b"ab", b"c"], &[file.as_fd()]).expect("first");
        one.send(&[b"d"], &[]).expect("second");
        let mut buffer = [0; 16];
        let Ok(Received::Message(3, descriptors)) = other.receive(&mut buffer) else {
            panic!("no first message");
        };
        assert_eq!((&buffer[..3], descriptors.len()), (&b"abc"[..], 1));
        assert!(matches!(other.receive(&mut buffer), Ok(Received::Message(1, _))));
        assert!(matches!(other.try_receive(&mut buffer), Ok(None)));
        drop(one);
        assert!(matches!(other.receive(&mut buffer), Ok(Received::End)));
    }

    // A message that is too long is refused by name of its limit, and not cut.
    #[test]
    fn long_messages_are_refused() {
        let (one, _other) = Channel::pair().expect("socket pair");
        let error = one.send(&[&vec![1; MESSAGE_LIMIT + 1]], &[]).expect_err("too long");
        assert!(error.to_string().contains("131072"), "{error}");
    }
}
