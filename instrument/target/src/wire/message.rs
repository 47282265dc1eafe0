//! Reading one HTTP/1.1 response from bytes. Sans-IO.

/// The largest response that is taken in: Lambda's limit of 6 MiB, a log tail, and room to spare.
const LIMIT_BYTES: usize = 8 << 20;
const HEADERS: usize = 96;

/// A complete response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether the connection can carry another request.
    pub(crate) reusable: bool,
}

/// Why bytes are no response.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum MessageError {
    #[error("response is not HTTP/1.1: {0}")]
    Head(httparse::Error),
    #[error("content-length {0:?} is no number")]
    Length(String),
    #[error("chunk size is not hexadecimal")]
    Chunk,
    #[error("response is longer than {LIMIT_BYTES} bytes")]
    TooLong,
    #[error("connection ended after {0} bytes of a response")]
    Short(usize),
}

impl Reply {
    /// The value of a header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }
}

/// Takes in bytes as they come and says when the response is complete.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    bytes: Vec<u8>,
    head: Option<Head>,
}

#[derive(Debug)]
struct Head {
    reply: Reply,
    body_at: usize,
    framing: Framing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    UntilEnd,
}

impl Reader {
    /// Where the next bytes go, and no more than a few at a time.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        self.bytes.reserve(16 << 10);
        &mut self.bytes
    }

    /// The response, once it is complete; call after each addition to the buffer.
    pub(crate) fn poll(&mut self) -> Result<Option<Reply>, MessageError> {
        if self.bytes.len() > LIMIT_BYTES {
            return Err(MessageError::TooLong);
        }
        while self.head.is_none() {
            match parse_head(&self.bytes)? {
                None => return Ok(None),
                // 1xx: an interim response; the real one follows.
                Some(head) if head.reply.status < 200 => drop(self.bytes.drain(..head.body_at)),
                Some(head) => self.head = Some(head),
            }
        }
        let Some(head) = &self.head else { return Ok(None) };
        let rest = &self.bytes[head.body_at..];
        let body = match head.framing {
            Framing::Length(length) if length > LIMIT_BYTES => return Err(MessageError::TooLong),
            Framing::Length(length) => rest.get(..length).map(<[u8]>::to_vec),
            Framing::Chunked => unchunk(rest)?,
            Framing::UntilEnd => None,
        };
        Ok(body.and_then(|body| self.finish(body)))
    }

    /// The peer closed the connection.
    pub(crate) fn end(mut self) -> Result<Reply, MessageError> {
        let length = self.bytes.len();
        match &self.head {
            Some(head) if head.framing == Framing::UntilEnd => {
                let body = self.bytes[head.body_at..].to_vec();
                self.finish(body).ok_or(MessageError::Short(length))
            }
            _ => Err(MessageError::Short(length)),
        }
    }

    fn finish(&mut self, body: Vec<u8>) -> Option<Reply> {
        self.head.take().map(|head| Reply { body, ..head.reply })
    }
}

fn parse_head(bytes: &[u8]) -> Result<Option<Head>, MessageError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(body_at) = response.parse(bytes).map_err(MessageError::Head)?
    else {
        return Ok(None);
    };
    let headers: Vec<_> = response
        .headers
        .iter()
        .map(|header| {
            (header.name.to_ascii_lowercase(), String::from_utf8_lossy(header.value).into_owned())
        })
        .collect();
    let status = response.code.unwrap_or_default();
    let mut reply = Reply { status, headers, body: Vec::new(), reusable: false };
    let says =
        |name, word| reply.header(name).is_some_and(|v| v.to_ascii_lowercase().contains(word));
    let framing = if status < 200 || matches!(status, 204 | 304) {
        Framing::Length(0)
    } else if says("transfer-encoding", "chunked") {
        Framing::Chunked
    } else if let Some(length) = reply.header("content-length") {
        Framing::Length(length.trim().parse().map_err(|_| MessageError::Length(length.to_owned()))?)
    } else {
        Framing::UntilEnd
    };
    reply.reusable = framing != Framing::UntilEnd
        && !says("connection", "close")
        && (response.version == Some(1) || says("connection", "keep-alive"));
    Ok(Some(Head { reply, body_at, framing }))
}

/// The content of a complete chunked body; None where more is to come. Trailers are passed over.
fn unchunk(mut rest: &[u8]) -> Result<Option<Vec<u8>>, MessageError> {
    let mut body = Vec::new();
    loop {
        let status = httparse::parse_chunk_size(rest).map_err(|_| MessageError::Chunk)?;
        let httparse::Status::Complete((at, size)) = status else { return Ok(None) };
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size > LIMIT_BYTES {
            return Err(MessageError::TooLong);
        }
        rest = &rest[at..];
        if size == 0 {
            let mut none = [httparse::EMPTY_HEADER; HEADERS];
            let trailers = httparse::parse_headers(rest, &mut none).map_err(MessageError::Head)?;
            return Ok(trailers.is_complete().then_some(body));
        }
        let Some(chunk) = rest.get(..size + 2) else { return Ok(None) };
        body.extend_from_slice(&chunk[..size]);
        rest = &rest[size + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(bytes: &[u8], step: usize) -> Result<Option<Reply>, MessageError> {
        let mut reader = Reader::default();
        let mut done = None;
        for piece in bytes.chunks(step) {
            assert!(done.is_none(), "complete before its end");
            reader.buffer().extend_from_slice(piece);
            done = reader.poll()?;
        }
        Ok(done)
    }

    // However the bytes are cut, the response is complete with its last byte and not before.
    #[test]
    fn responses_in_pieces() {
        let texts: [&[u8]; 4] = [
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Amzn-RequestId: r\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        ];
        for text in texts {
            for step in [1, 2, 7, text.len()] {
                let reply = feed(text, step).expect("a response").expect("complete");
                assert_eq!((reply.status, reply.body.as_slice()), (200, b"hello".as_slice()));
                assert!(reply.reusable);
            }
        }
    }

    // A body without a length ends with its connection, which then carries nothing else; a shorter one is an error.
    #[test]
    fn ends_of_connections() {
        let mut reader = Reader::default();
        reader.buffer().extend_from_slice(b"HTTP/1.1 500 x\r\n\r\nhel");
        assert_eq!(reader.poll(), Ok(None));
        let reply = reader.end().expect("a response");
        assert_eq!((reply.status, reply.reusable), (500, false));
        let mut reader = Reader::default();
        reader.buffer().extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
        assert_eq!(reader.poll(), Ok(None));
        assert!(matches!(reader.end(), Err(MessageError::Short(_))));
    }

    // What is no response, or is too long, is an error and never a panic.
    #[test]
    fn wrong_bytes_are_errors() {
        for text in [
            b"SSH-2.0-x\r\n\r\n".as_slice(),
            b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        ] {
            assert!(feed(text, text.len()).is_err(), "{}", String::from_utf8_lossy(text));
        }
    }
}
