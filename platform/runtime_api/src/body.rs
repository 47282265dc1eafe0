//! The body of one request: collected up to a limit, counted beyond it.

use crate::event::ResponseMode;
use crate::head::Length;
use base64::Engine;
use bytes::Bytes;

/// Most bytes of a response: 6 MiB and 100 bytes, as AWS' error message says (Lambda quotas, 2026-11).
pub const RESPONSE_LIMIT: u64 = 6_291_556;
/// Most bytes of a streamed response: 200 MiB (Lambda quotas, "Maximum response size for streamed responses", 200 MB,
/// 2026-11).
pub const STREAM_LIMIT: u64 = 200 << 20;
/// A body of more bytes is large: only one at a time is collected, or a function could fill the server's memory.
const LARGE_SIZE: u64 = 64 << 10;
/// Most bytes of a body that are read to be thrown away; then the connection is closed.
const DRAIN_LIMIT: u64 = 64 << 20;
/// Most bytes of a chunk's size line, extensions included.
const LINE_LIMIT: usize = 256;
/// Most bytes of a chunked body's trailers, which carry the error of a response that failed half way.
const TRAILERS_LIMIT: usize = 64 << 10;

/// A body being read.
#[derive(Debug)]
pub(crate) struct Body {
    bytes: Vec<u8>,
    /// How much of `bytes` is there; `bytes` itself has its whole length from the start where that is known.
    filled: usize,
    collecting: Collecting,
    stage: Stage,
    /// How many bytes were thrown away.
    dropped: u64,
}

/// What becomes of a body's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Collecting {
    /// They are kept.
    Small,
    /// They are kept, and there are many.
    Large,
    /// They are handed on as they come; this many so far.
    Streaming(u64),
    /// They are thrown away: there are more than the limit, this many as far as it is known.
    TooLarge { size: u64, limit: u64 },
    /// They are thrown away: another large body is being kept.
    Refused,
}

#[derive(Debug)]
enum Stage {
    /// Bytes still to come, of a known length.
    Known(u64),
    /// The same, of a body whose room grows with it.
    Growing(u64),
    Chunk(Chunk),
    Complete(Complete),
}

#[derive(Debug)]
enum Chunk {
    Size(Vec<u8>),
    Data(u64),
    DataEnd(u8),
    Trailers(Vec<u8>),
}

/// A body that was read to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Complete {
    pub bytes: Bytes,
    /// The error that a streamed response ended with, as JSON.
    pub error: Option<Bytes>,
}

impl Body {
    /// A body of this length. One that may be streamed takes no room before its bytes are there.
    pub fn new(length: Length, mode: ResponseMode) -> Result<Self, &'static str> {
        let mut body = Self {
            bytes: Vec::new(),
            filled: 0,
            collecting: Collecting::Small,
            stage: Stage::Chunk(Chunk::Size(Vec::new())),
            dropped: 0,
        };
        match length {
            Length::Known(0) => body.stage = Stage::Complete(Complete::default()),
            Length::Known(length) if mode == ResponseMode::Streaming => {
                body.stage = Stage::Growing(length);
            }
            Length::Known(length) => {
                body.stage = Stage::Known(length);
                if length > DRAIN_LIMIT {
                    return Err("request body is larger than 64 MiB");
                }
                if length > RESPONSE_LIMIT {
                    body.collecting = Collecting::TooLarge { size: length, limit: RESPONSE_LIMIT };
                } else {
                    if length > LARGE_SIZE {
                        body.collecting = Collecting::Large;
                    }
                    // Fresh zeroed pages, not touched before bytes come.
                    body.bytes = vec![0; length as usize];
                }
            }
            Length::Chunked => {}
        }
        Ok(body)
    }

    /// What becomes of its bytes, as far as it is known.
    pub fn collecting(&self) -> Collecting {
        self.collecting
    }

    /// Throws away what was kept and what comes.
    pub fn refuse(&mut self) {
        self.dropped = self.bytes.len() as u64;
        self.collecting = Collecting::Refused;
        self.bytes = Vec::new();
    }

    /// Hands its bytes on from now on: see [`Self::take_piece`].
    pub fn stream(&mut self) {
        self.collecting = Collecting::Streaming(0);
    }

    /// What came since this was called last, where it is streamed.
    pub fn take_piece(&mut self) -> Option<Bytes> {
        let streams = matches!(self.collecting, Collecting::Streaming(_));
        (streams && !self.bytes.is_empty()).then(|| std::mem::take(&mut self.bytes).into())
    }

    fn is_kept(&self) -> bool {
        matches!(self.collecting, Collecting::Small | Collecting::Large)
    }

    /// Whether bytes may be read into [`Self::space`]. Otherwise they must come through [`Self::feed`].
    pub fn is_direct(&self) -> bool {
        matches!(self.stage, Stage::Known(_)) && self.is_kept()
    }

    /// Where bytes may be read to without a copy, where [`Self::is_direct`].
    pub fn space(&mut self) -> &mut [u8] {
        &mut self.bytes[self.filled..]
    }

    /// The first `count` bytes of [`Self::space`] were filled.
    pub fn filled(&mut self, count: usize) {
        if let Stage::Known(left) = &mut self.stage {
            self.filled += count;
            *left -= count as u64;
            if *left == 0 {
                self.complete(None);
            }
        }
    }

    /// Takes in bytes. Returns how many belong to this body.
    pub fn feed(&mut self, input: &[u8]) -> Result<usize, &'static str> {
        let kept = self.is_kept();
        let mut at = 0;
        while at < input.len() {
            match &mut self.stage {
                Stage::Complete(_) => break,
                Stage::Known(left) => {
                    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len() - at);
                    if kept {
                        self.bytes[self.filled..][..count].copy_from_slice(&input[at..at + count]);
                        self.filled(count);
                    } else {
                        *left -= count as u64;
                        if *left == 0 {
                            self.complete(None);
                        }
                    }
                    at += count;
                }
                Stage::Growing(left) => {
                    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len() - at);
                    *left -= count as u64;
                    let ended = *left == 0;
                    self.append(&input[at..at + count])?;
                    at += count;
                    if ended {
                        self.complete(None);
                    }
                }
                Stage::Chunk(_) => at += self.feed_chunk(&input[at..])?,
            }
        }
        Ok(at)
    }

    /// The body, once it is there.
    pub fn take(&mut self) -> Option<Complete> {
        match &mut self.stage {
            Stage::Complete(complete) => Some(std::mem::take(complete)),
            _ => None,
        }
    }

    fn complete(&mut self, error: Option<Bytes>) {
        // The last piece of a stream is taken as one.
        let bytes = match self.collecting {
            Collecting::Streaming(_) => Bytes::new(),
            _ => std::mem::take(&mut self.bytes).into(),
        };
        self.stage = Stage::Complete(Complete { bytes, error });
    }

    fn feed_chunk(&mut self, input: &[u8]) -> Result<usize, &'static str> {
        let Stage::Chunk(chunk) = &mut self.stage else { return Ok(0) };
        match chunk {
            Chunk::Size(line) => {
                let count = take_line(line, input, LINE_LIMIT).ok_or("chunk size is too long")?;
                if line.ends_with(b"\n") {
                    *chunk = match chunk_size(line).ok_or("chunk size is not a number")? {
                        0 => Chunk::Trailers(Vec::new()),
                        size => Chunk::Data(size),
                    };
                }
                Ok(count)
            }
            Chunk::Data(left) => {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= count as u64;
                if *left == 0 {
                    *chunk = Chunk::DataEnd(b'\r');
                }
                self.append(&input[..count])?;
                Ok(count)
            }
            Chunk::DataEnd(expected) => {
                match (input[0], &expected) {
                    (b'\r', b'\r') => *chunk = Chunk::DataEnd(b'\n'),
                    (b'\n', _) => *chunk = Chunk::Size(Vec::new()),
                    _ => return Err("chunk does not end where its size says"),
                }
                Ok(1)
            }
            Chunk::Trailers(lines) => {
                let mut line = lines.split_off(line_start(lines));
                let limit = TRAILERS_LIMIT - lines.len().min(TRAILERS_LIMIT);
                let count = take_line(&mut line, input, limit).ok_or("trailers are too long")?;
                let ended = matches!(line.as_slice(), b"\r\n" | b"\n");
                lines.append(&mut line);
                if ended {
                    let error = trailers_error(lines)?;
                    self.complete(error);
                }
                Ok(count)
            }
        }
    }

    fn append(&mut self, data: &[u8]) -> Result<(), &'static str> {
        let size = (self.bytes.len() + data.len()) as u64;
        match &mut self.collecting {
            Collecting::TooLarge { size, .. } => {
                *size += data.len() as u64;
                return self.drop_bytes(data);
            }
            Collecting::Refused => return self.drop_bytes(data),
            Collecting::Streaming(streamed) => {
                *streamed += data.len() as u64;
                if *streamed > STREAM_LIMIT {
                    self.collecting = Collecting::TooLarge { size: *streamed, limit: STREAM_LIMIT };
                    self.bytes = Vec::new();
                    return self.drop_bytes(data);
                }
            }
            Collecting::Small | Collecting::Large if size > RESPONSE_LIMIT => {
                self.collecting = Collecting::TooLarge { size, limit: RESPONSE_LIMIT };
                self.bytes = Vec::new();
                return Ok(());
            }
            Collecting::Small if size > LARGE_SIZE => self.collecting = Collecting::Large,
            Collecting::Small | Collecting::Large => {}
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    fn drop_bytes(&mut self, data: &[u8]) -> Result<(), &'static str> {
        self.dropped += data.len() as u64;
        if self.dropped > DRAIN_LIMIT {
            return Err("request body goes on for 64 MiB after it was refused");
        }
        Ok(())
    }
}

/// Moves bytes up to and with the first line feed from `input` into `line`. Returns how many; None beyond `limit`.
fn take_line(line: &mut Vec<u8>, input: &[u8], limit: usize) -> Option<usize> {
    let count = input.iter().position(|byte| *byte == b'\n').map_or(input.len(), |at| at + 1);
    if line.len() + count > limit {
        return None;
    }
    line.extend_from_slice(&input[..count]);
    Some(count)
}

fn line_start(lines: &[u8]) -> usize {
    lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
}

/// Hexadecimal digits up to an extension or the line's end.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?.trim_ascii();
    if digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// The error that the trailers of a streamed response carry: JSON, base64-encoded by the runtime.
fn trailers_error(lines: &[u8]) -> Result<Option<Bytes>, &'static str> {
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let Ok(httparse::Status::Complete((_, trailers))) =
        httparse::parse_headers(lines, &mut headers)
    else {
        return Err("trailers are not HTTP headers");
    };
    let find = |name: &str| trailers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
    let kind = find("lambda-runtime-function-error-type");
    let body = find("lambda-runtime-function-error-body");
    if kind.is_none() && body.is_none() {
        return Ok(None);
    }
    let decoded = body.and_then(|body| {
        base64::engine::general_purpose::STANDARD.decode(body.value.trim_ascii()).ok()
    });
    let error = decoded.unwrap_or_else(|| {
        let plain = |byte: &u8| (b' '..=b'~').contains(byte) && !b"\"\\".contains(byte);
        let kind: String = kind
            .map_or(b"Runtime.StreamError".as_slice(), |kind| kind.value)
            .iter()
            .copied()
            .filter(plain)
            .map(char::from)
            .collect();
        format!(
            "{{\"errorType\":\"{kind}\",\"errorMessage\":\"the response ended with an error\"}}"
        )
        .into_bytes()
    });
    Ok(Some(Bytes::from(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(length: Length, input: &[u8]) -> Result<(Option<Complete>, usize), &'static str> {
        let mut body = Body::new(length, ResponseMode::Buffered)?;
        let count = body.feed(input)?;
        Ok((body.take(), count))
    }

    // Chunks, their extensions and what follows the body are told apart.
    #[test]
    fn chunks() {
        let text = b"4;x=1\r\nWiki\r\n5\r\npedia\r\n0\r\n\r\nGET";
        let (complete, count) = collect(Length::Chunked, text).expect("well-formed");
        assert_eq!(complete.expect("complete").bytes, "Wikipedia");
        assert_eq!(count, text.len() - 3);
        for bad in ["x\r\n", "4\r\nWikipedia\r\n", "\r\n", "ffffffffffffffffff\r\n"] {
            assert!(collect(Length::Chunked, bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    // A streamed response that failed half way is an error, not a result.
    #[test]
    fn trailers_carry_an_error() {
        let text = b"1\r\nx\r\n0\r\nLambda-Runtime-Function-Error-Type: Boom\r\n\
            Lambda-Runtime-Function-Error-Body: eyJhIjoxfQ==\r\n\r\n";
        let (complete, _) = collect(Length::Chunked, text).expect("well-formed");
        assert_eq!(complete.expect("complete").error, Some(Bytes::from_static(b"{\"a\":1}")));
    }

    // Beyond the limit nothing is kept, and the size is told.
    #[test]
    fn oversize_is_counted_not_kept() {
        let mut body = Body::new(Length::Known(RESPONSE_LIMIT + 1), ResponseMode::Buffered)
            .expect("within the drain");
        let (size, limit) = (RESPONSE_LIMIT + 1, RESPONSE_LIMIT);
        assert_eq!(body.collecting(), Collecting::TooLarge { size, limit });
        assert!(!body.is_direct());
        let block = vec![0; RESPONSE_LIMIT as usize + 1];
        assert_eq!(body.feed(&block), Ok(block.len()));
        assert_eq!(body.take().expect("complete").bytes, "");
        assert!(Body::new(Length::Known(u64::MAX), ResponseMode::Buffered).is_err());
    }
}
