//! Network throughput to a sink.

use crate::clock::{monotonic_ns, unix_ns};
use crate::handler::nanos;
use probe::{Network, NetworkResult};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// Bytes of one write.
const BLOCK: usize = 128 << 10;
const WINDOW_LIMIT_NS: u64 = 900_000_000_000;
/// How long a connection, a write that is stuck, or the sink's close may take.
const PATIENCE: Duration = Duration::from_secs(5);

pub fn measure(network: &Network) -> io::Result<NetworkResult> {
    let window_ns = nanos(network.window_ms);
    if !(1..=WINDOW_LIMIT_NS).contains(&window_ns) {
        let (window, limit) = (network.window_ms, WINDOW_LIMIT_NS / 1_000_000);
        return Err(io::Error::other(format!("window of {window} ms, limit is {limit} ms")));
    }
    let wrong = |error| io::Error::other(format!("sink {}: {error}", network.sink));
    // No names: a resolver would double the size of the program, and so its cold start.
    let address: SocketAddr = network.sink.parse().map_err(|_| {
        io::Error::other(format!(
            "sink {:?} is not ADDRESS:PORT with a numeric address",
            network.sink
        ))
    })?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(wrong)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let block = vec![0x5a; BLOCK];
    let (started_unix_ns, started_ns) = (unix_ns(), monotonic_ns());
    let mut sent_bytes = 0;
    while monotonic_ns() - started_ns < window_ns {
        sent_bytes += stream.write(&block).map_err(wrong)? as u64;
    }
    stream.shutdown(Shutdown::Write)?;
    // The sink closes when it has read to the end: what waits in buffers is not counted before it is there.
    while stream.read(&mut [0; 64]).map_err(wrong)? > 0 {}
    Ok(NetworkResult { sent_bytes, duration_ns: monotonic_ns() - started_ns, started_unix_ns })
}
