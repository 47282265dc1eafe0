//! The Runtime API client: one connection, one request at a time.

use probe::Response;
use serde_json::json;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

const ROOT: &str = "/2018-06-01/runtime/invocation";
/// The largest line of a response's head, and the largest event: what limits are searched up to, and room to spare.
const LINE_LIMIT: u64 = 64 << 10;
const BODY_LIMIT: u64 = 40 << 20;

/// The platform's side of the Runtime API.
pub struct Runtime {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

/// One event.
pub struct Event {
    pub id: String,
    pub body: Vec<u8>,
}

/// Why the function fails, on purpose or for a request that cannot be read.
pub struct Failed {
    pub kind: &'static str,
    pub message: String,
}

#[derive(Default)]
struct Reply {
    status: u16,
    id: Option<String>,
    length: Option<u64>,
    chunked: bool,
    closes: bool,
    body: Vec<u8>,
}

impl Runtime {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// Waits for the next event, for as long as it takes.
    pub fn next(&mut self) -> io::Result<Event> {
        let reply = self.exchange("GET", "/next", b"")?;
        let id = reply.id.ok_or_else(|| io::Error::other("no lambda-runtime-aws-request-id"))?;
        Ok(Event { id, body: reply.body })
    }

    pub fn respond(&mut self, id: &str, response: &Response) -> io::Result<()> {
        let body = serde_json::to_vec(response)?;
        self.exchange("POST", &format!("/{id}/response"), &body).map(drop)
    }

    pub fn fail(&mut self, id: &str, failed: &Failed) -> io::Result<()> {
        let body = json!({"errorMessage": failed.message, "errorType": failed.kind});
        self.exchange("POST", &format!("/{id}/error"), body.to_string().as_bytes()).map(drop)
    }

    fn exchange(&mut self, method: &str, path: &str, body: &[u8]) -> io::Result<Reply> {
        let mut request = format!(
            "{method} {ROOT}{path} HTTP/1.1\r\nhost: {}\r\nuser-agent: peek-probe\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.address,
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        let mut connection = match self.connection.take() {
            Some(open) => open,
            None => {
                let stream = TcpStream::connect(self.address)?;
                stream.set_nodelay(true)?;
                BufReader::new(stream)
            }
        };
        connection.get_mut().write_all(&request)?;
        let reply = read_reply(&mut connection)?;
        if !reply.closes {
            self.connection = Some(connection);
        }
        if (200..300).contains(&reply.status) {
            return Ok(reply);
        }
        let text = String::from_utf8_lossy(&reply.body);
        Err(io::Error::other(format!("{method} {path}: status {}: {text}", reply.status)))
    }
}

fn read_reply(from: &mut impl BufRead) -> io::Result<Reply> {
    let mut reply = read_head(from)?;
    if reply.chunked {
        loop {
            let line = read_line(from)?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).map_err(|_| wrong("chunk size", &line))?;
            read_body(from, size, &mut reply.body)?;
            read_line(from)?;
            if size == 0 {
                return Ok(reply);
            }
        }
    }
    if reply.length.is_none() {
        reply.closes = true;
    }
    // Without a length the body ends with the connection; more than the limit is cut and then is no JSON.
    match reply.length {
        Some(length) => read_body(from, length, &mut reply.body)?,
        None => drop(from.take(BODY_LIMIT).read_to_end(&mut reply.body)?),
    }
    Ok(reply)
}

fn read_head(from: &mut impl BufRead) -> io::Result<Reply> {
    let line = read_line(from)?;
    let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
    let mut reply =
        Reply { status: status.ok_or_else(|| wrong("status", &line))?, ..Reply::default() };
    loop {
        let line = read_line(from)?;
        if line.is_empty() {
            return Ok(reply);
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "lambda-runtime-aws-request-id" => reply.id = Some(value.to_owned()),
            "content-length" => {
                reply.length = Some(value.parse().map_err(|_| wrong("length", &line))?);
            }
            "transfer-encoding" => reply.chunked = value.eq_ignore_ascii_case("chunked"),
            "connection" => reply.closes = value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
}

fn read_line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    from.take(LINE_LIMIT).read_line(&mut line)?;
    match line.strip_suffix('\n') {
        Some(whole) => Ok(whole.trim_end_matches('\r').to_owned()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn read_body(from: &mut impl BufRead, length: u64, body: &mut Vec<u8>) -> io::Result<()> {
    if length > BODY_LIMIT {
        return Err(io::Error::other(format!("event of {length} bytes, limit is {BODY_LIMIT}")));
    }
    let read = from.take(length).read_to_end(body)?;
    if read as u64 == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn wrong(what: &str, line: &str) -> io::Error {
    io::Error::other(format!("no {what} in {line:?}"))
}
