//! A Runtime API on loopback, as small as it can be: one function, one event at a time.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

/// How an event's bytes are framed.
#[derive(Clone, Copy, Debug)]
pub enum Framing {
    Length,
    Chunked,
    /// With a length, and the connection is closed after it.
    Close,
}

/// What the function posted.
#[derive(Debug)]
pub enum Posted {
    Response(String),
    Error(String),
}

pub struct Platform {
    pub address: SocketAddr,
    events: Sender<(String, Framing)>,
    posted: Receiver<Posted>,
}

impl Platform {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (events, events_out) = channel();
        let (posted_in, posted) = channel();
        let events_out = Arc::new(Mutex::new(events_out));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (events, posted) = (Arc::clone(&events_out), posted_in.clone());
                thread::spawn(move || serve(stream, &events, &posted));
            }
        });
        Self { address, events, posted }
    }

    pub fn invoke(&self, event: &str, framing: Framing) -> Posted {
        self.events.send((event.to_owned(), framing)).expect("the platform lives");
        self.posted.recv().expect("the platform lives")
    }
}

fn serve(stream: TcpStream, events: &Mutex<Receiver<(String, Framing)>>, posted: &Sender<Posted>) {
    let mut reader = BufReader::new(stream);
    while let Some((line, body)) = read_request(&mut reader) {
        let accepted = "HTTP/1.1 202 Accepted\r\nContent-Length: 15\r\n\r\n{\"status\":\"OK\"}";
        let (answer, close) = if line == "GET /2018-06-01/runtime/invocation/next HTTP/1.1" {
            let Ok((event, framing)) = events.lock().expect("no panic").recv() else { return };
            (frame(&event, framing), matches!(framing, Framing::Close))
        } else if line.starts_with("POST /2018-06-01/runtime/invocation/request-1/response ") {
            (accepted.to_owned(), posted.send(Posted::Response(body)).is_err())
        } else if line.starts_with("POST /2018-06-01/runtime/invocation/request-1/error ") {
            (accepted.to_owned(), posted.send(Posted::Error(body)).is_err())
        } else {
            panic!("unknown request {line:?}");
        };
        if reader.get_mut().write_all(answer.as_bytes()).is_err() || close {
            return;
        }
    }
}

fn frame(event: &str, framing: Framing) -> String {
    let head = "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: request-1\r\n";
    let length = event.len();
    match framing {
        Framing::Length => format!("{head}Content-Length: {length}\r\n\r\n{event}"),
        Framing::Close => {
            format!("{head}Connection: close\r\nContent-Length: {length}\r\n\r\n{event}")
        }
        Framing::Chunked => {
            let (first, rest) = event.split_at(length / 2);
            let chunk = |part: &str| format!("{:x}\r\n{part}\r\n", part.len());
            let chunks = format!("{}{}0\r\n\r\n", chunk(first), chunk(rest));
            format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}")
        }
    }
}

/// Request line and body; None at the end of the connection.
fn read_request(reader: &mut BufReader<TcpStream>) -> Option<(String, String)> {
    let mut first = None;
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.parse().expect("a length");
        }
        first.get_or_insert_with(|| line.to_owned());
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((first?, String::from_utf8(body).expect("text")))
}
