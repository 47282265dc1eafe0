//! A TCP sink that reads and discards, for the probe's network measurement.
//!
//! Deliberately counts nothing: the sender's count is the finding, and it is the sender that is measured.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// Bytes read at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// A running sink. It ends when this is dropped.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    task: AbortHandle,
}

impl Sink {
    /// Listens at `address` (port 0: any) and discards what arrives. Needs a tokio runtime.
    ///
    /// Errors: the address cannot be listened at.
    pub async fn start(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { address, task: tokio::spawn(accept(listener)).abort_handle() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener) {
    let mut readers = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(readers.spawn(discard(stream))),
            // No descriptors left, most likely: some come free when a reader ends.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
        while readers.try_join_next().is_some() {}
    }
}

async fn discard(mut stream: TcpStream) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    // Everything that is sent is taken in, by several senders at once.
    #[tokio::test]
    async fn takes_all_that_is_sent() {
        let sink = Sink::start(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
        let sends = (0..3).map(|_| async {
            let mut stream = TcpStream::connect(sink.address()).await?;
            stream.write_all(&vec![7; 8 << 20]).await?;
            stream.shutdown().await?;
            // The sink closes only after it has read to the end.
            stream.read(&mut [0]).await
        });
        for read in futures::future::join_all(sends).await {
            assert_eq!(read.expect("an orderly end"), 0);
        }
    }
}
