//! One event as the Runtime API hands it to a runtime.

use bytes::Bytes;
use std::fmt::Write;
use std::sync::Arc;

/// One event for the runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Request id, as in `Lambda-Runtime-Aws-Request-Id`.
    pub request_id: Arc<str>,
    /// The event itself.
    pub payload: Bytes,
    /// When the function must have answered: milliseconds since 1970.
    pub deadline_unix_ms: u64,
    /// ARN of the function as invoked.
    pub function_arn: Arc<str>,
    /// X-Ray trace header. Always sent: the Swift runtime ends without it.
    pub trace_id: Arc<str>,
    /// Client context, JSON.
    pub client_context: Option<Arc<str>>,
    /// Whether whoever invoked takes the response in pieces; the runtime is not told.
    pub response: ResponseMode,
}

/// How a response goes: whole, or in pieces as they come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResponseMode {
    /// Whole, once it is there.
    #[default]
    Buffered,
    /// In pieces.
    Streaming,
}

impl Event {
    /// Writes the answer to `next` up to its empty line. No value can add a header: see [`push_value`].
    pub(crate) fn write_head(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: ",
        );
        push_value(out, &self.request_id);
        out.extend_from_slice(b"\r\nLambda-Runtime-Deadline-Ms: ");
        push_number(out, self.deadline_unix_ms);
        out.extend_from_slice(b"\r\nLambda-Runtime-Invoked-Function-Arn: ");
        push_value(out, &self.function_arn);
        out.extend_from_slice(b"\r\nLambda-Runtime-Trace-Id: ");
        push_value(out, &self.trace_id);
        if let Some(context) = &self.client_context {
            out.extend_from_slice(b"\r\nLambda-Runtime-Client-Context: ");
            push_value(out, context);
        }
        out.extend_from_slice(b"\r\nContent-Length: ");
        push_number(out, self.payload.len() as u64);
        out.extend_from_slice(b"\r\n\r\n");
    }
}

/// Appends a header value in visible ASCII: control characters become spaces, others JSON escapes, so that a client
/// context in any script arrives as the JSON that was sent.
fn push_value(out: &mut Vec<u8>, text: &str) {
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let mut escaped = String::with_capacity(text.len() * 2);
    for character in text.chars() {
        match character {
            ' '..='~' => escaped.push(character),
            '\0'..='\x1f' | '\x7f' => escaped.push(' '),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    // Writing to a string cannot fail.
                    let _ = write!(escaped, "\\u{unit:04x}");
                }
            }
        }
    }
    out.extend_from_slice(escaped.as_bytes());
}

/// Appends a number in decimal digits.
pub(crate) fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    // A client context with line breaks and foreign letters stays one header, and the same JSON.
    #[test]
    fn values_never_add_headers() {
        let mut out = Vec::new();
        push_value(&mut out, "{\r\n\"k\": \"ü😀\"}");
        assert_eq!(out, b"{  \"k\": \"\\u00fc\\ud83d\\ude00\"}");
    }

    // Numbers are written as everyone else writes them.
    #[test]
    fn numbers() {
        for number in [0, 7, 10, 1_732_000_000_123, u64::MAX] {
            let mut out = Vec::new();
            push_number(&mut out, number);
            assert_eq!(out, number.to_string().as_bytes());
        }
    }
}
