//! Requests as bytes, for clients that break off, dawdle, or contradict themselves.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

/// The head of a request, with these lines first. The body is left to the caller.
pub fn head(request: &Request<Full<Bytes>>, framing: &str) -> String {
    let mut head = format!("{} {} HTTP/1.1\r\n{framing}\r\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        head.push_str(&format!("{name}: {}\r\n", value.to_str().expect("text")));
    }
    head + "\r\n"
}

/// A request with its body, whose length it states.
pub fn whole(request: &Request<Full<Bytes>>, body: &str) -> Vec<u8> {
    (head(request, &format!("content-length: {}", body.len())) + body).into_bytes()
}

/// HTTP/2: what a client opens a connection with, and no settings of its own.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// HTTP/2: type of a frame that resets a stream, and its code for a stream that was not begun (RFC 9113, 6.4 and 7).
pub const RST_STREAM: u8 = 3;
pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;

/// HTTP/2: a frame with a request's header, whose body is to follow; nothing in it is compressed (RFC 7541, 6.2.2).
pub fn headers_frame(stream: u32, request: &Request<Full<Bytes>>) -> Vec<u8> {
    let mut block = Vec::new();
    let authority = request.headers()["host"].as_bytes();
    let target = request.uri().path_and_query().expect("a target").as_str();
    field(&mut block, b":method", request.method().as_str().as_bytes());
    field(&mut block, b":scheme", b"http");
    field(&mut block, b":authority", authority);
    field(&mut block, b":path", target.as_bytes());
    for (name, value) in request.headers().iter().filter(|(name, _)| *name != "host") {
        field(&mut block, name.as_str().as_bytes(), value.as_bytes());
    }
    // HEADERS, with END_HEADERS and without END_STREAM.
    frame(1, 4, stream, &block)
}

/// HTTP/2: a frame with all of a request's body.
pub fn data_frame(stream: u32, body: &[u8]) -> Vec<u8> {
    frame(0, 1, stream, body)
}

/// HTTP/2: the client gives a stream up.
pub fn reset_frame(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn field(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    block.push(0);
    for text in [name, value] {
        // A length in seven bits, and what is beyond them in further groups of seven.
        match text.len() {
            short @ 0..127 => block.push(u8::try_from(short).expect("short")),
            long => {
                block.push(127);
                let mut rest = long - 127;
                while rest >= 128 {
                    block.push(u8::try_from(rest % 128 + 128).expect("seven bits"));
                    rest /= 128;
                }
                block.push(u8::try_from(rest).expect("seven bits"));
            }
        }
        block.extend_from_slice(text);
    }
}
