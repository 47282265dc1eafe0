//! The canonical form of a request, over which Signature Version 4 is computed.
//!
//! Works on the target as it arrived, never on a decoded one. Source: AWS General Reference, "Create a signed AWS API
//! request" (2026-11); Lambda, like every service but S3, has its path encoded once more and normalized. Deliberately
//! knows nothing of keys.

use http::header::{HOST, HeaderMap, HeaderName};
use http::request::Parts;
use std::borrow::Cow;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// SHA-256 of nothing, as the payload hash of a request without a body.
pub(crate) const EMPTY_SHA256: &str =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The canonical request; `signed_headers` is the list as the client sent it, `payload_hash` the last line.
///
/// The query parameter `X-Amz-Signature` is left out, as presigned requests need it. A signed header that is not there
/// counts as empty, so that the signature does not match.
pub(crate) fn request(parts: &Parts, signed_headers: &str, payload_hash: &str) -> String {
    let mut text = String::with_capacity(512);
    text.push_str(parts.method.as_str());
    text.push('\n');
    push_path(&mut text, parts.uri.path());
    text.push('\n');
    push_query(&mut text, parts.uri.query().unwrap_or(""));
    text.push('\n');
    for name in signed_headers.split(';') {
        text.push_str(name);
        text.push(':');
        push_header(&mut text, parts, name);
        text.push('\n');
    }
    text.push('\n');
    text.push_str(signed_headers);
    text.push('\n');
    text.push_str(payload_hash);
    text
}

/// Value of the host header: HTTP/2 has it in its authority.
pub(crate) fn host(parts: &Parts) -> Option<&str> {
    match parts.headers.get(HOST) {
        Some(host) => host.to_str().ok(),
        None => parts.uri.authority().map(|authority| authority.as_str()),
    }
}

/// The value of a query parameter, decoded; the first one where there are many.
pub(crate) fn query_value<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    query_values(query, name).next()
}

/// All values of a query parameter, decoded.
pub(crate) fn query_values<'a>(query: &'a str, name: &str) -> impl Iterator<Item = Cow<'a, str>> {
    pairs(query).filter(move |(key, _)| decoded(key) == name.as_bytes()).map(|(_, value)| {
        match decoded(value) {
            Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    })
}

/// Text with `%XX` decoded; what is not UTF-8 or no such code stays recognizably wrong.
pub(crate) fn decode_path(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    Cow::Owned(String::from_utf8_lossy(&decode(text.as_bytes())).into_owned())
}

/// Appends `bytes` percent-encoded, but for RFC 3986's unreserved characters.
pub(crate) fn push_encoded(text: &mut String, bytes: &[u8]) {
    for &byte in bytes {
        push_byte(text, byte);
    }
}

fn push_byte(text: &mut String, byte: u8) {
    if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
        text.push(char::from(byte));
    } else {
        text.push('%');
        text.push(char::from(HEX[usize::from(byte >> 4)]));
        text.push(char::from(HEX[usize::from(byte & 15)]));
    }
}

fn push_path(text: &mut String, path: &str) {
    let mut kept: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            part => kept.push(part),
        }
    }
    for part in &kept {
        text.push('/');
        push_encoded(text, part.as_bytes());
    }
    let ends_in_slash = matches!(path.rsplit('/').next(), Some("" | "." | ".."));
    if kept.is_empty() || ends_in_slash {
        text.push('/');
    }
}

fn push_query(text: &mut String, query: &str) {
    let encoded = |part: &str| {
        let mut out = String::with_capacity(part.len());
        push_encoded(&mut out, &decoded(part));
        out
    };
    let mut sorted: Vec<_> = pairs(query)
        .map(|(name, value)| (encoded(name), encoded(value)))
        .filter(|(name, _)| name != "X-Amz-Signature")
        .collect();
    sorted.sort();
    for (index, (name, value)) in sorted.iter().enumerate() {
        if index > 0 {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        text.push_str(value);
    }
}

fn push_header(text: &mut String, parts: &Parts, name: &str) {
    if name == "host" {
        text.push_str(host(parts).unwrap_or("").trim());
        return;
    }
    for (index, value) in values(&parts.headers, name).enumerate() {
        if index > 0 {
            text.push(',');
        }
        let value = String::from_utf8_lossy(value);
        for (index, word) in value.split(' ').filter(|word| !word.is_empty()).enumerate() {
            if index > 0 {
                text.push(' ');
            }
            text.push_str(word);
        }
    }
}

fn values<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a [u8]> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok();
    name.into_iter().flat_map(|name| headers.get_all(name).iter().map(|value| value.as_bytes()))
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// A query's name or value, decoded: `+` is a space, as the AWS clients send and sign it.
fn decoded(part: &str) -> Cow<'_, [u8]> {
    if !part.contains(['%', '+']) {
        return Cow::Borrowed(part.as_bytes());
    }
    Cow::Owned(decode(part.replace('+', " ").as_bytes()))
}

fn decode(bytes: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        if let (b'%', [high, low, after @ ..]) = (*first, tail)
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            out.push(high << 4 | low);
            rest = after;
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use sha2::{Digest, Sha256};

    fn canonical(method: &str, target: &str, headers: &[(&str, &str)], signed: &str) -> String {
        let mut builder = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let (parts, ()) = builder.body(()).expect("a request").into_parts();
        request(&parts, signed, EMPTY_SHA256)
    }

    // The worked example of the AWS General Reference gives the hash that is printed there.
    #[test]
    fn the_reference_example_has_its_hash() {
        let text = canonical(
            "GET",
            "/?Action=ListUsers&Version=2010-05-08",
            &[
                ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
                ("host", "iam.amazonaws.com"),
                ("x-amz-date", "20150830T123600Z"),
            ],
            "content-type;host;x-amz-date",
        );
        let hash = hex::encode(Sha256::digest(text.as_bytes()));
        assert_eq!(hash, "f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59");
    }

    // Paths are normalized and encoded once more; queries are sorted, decoded and encoded; headers joined and trimmed.
    #[test]
    fn each_part_has_its_form() {
        let line = |target, at| {
            let text = canonical("GET", target, &[("host", "h")], "host");
            text.lines().nth(at).map(str::to_owned).expect("a line")
        };
        assert_eq!(line("/a//b/./c/../d%3A/", 1), "/a/b/d%253A/");
        assert_eq!((line("/..", 1).as_str(), line("/a/b/..", 1).as_str()), ("/", "/a/"));
        assert_eq!(line("/?b=2&a=%7e&a=1&B&&c=x+y=z", 2), "B=&a=1&a=~&b=2&c=x%20y%3Dz");
        let headers = [("host", "h"), ("x-amz-a", " two   words "), ("x-amz-a", "more")];
        let text = canonical("GET", "/", &headers, "host;x-amz-a");
        assert!(text.contains("\nx-amz-a:two words,more\n"), "{text}");
    }

    // Decoding never fails: what is no code stays as it is.
    #[test]
    fn decoding_never_fails() {
        assert_eq!(decode_path("a%3Ab%"), "a:b%");
        assert_eq!(decode_path("%zz%2"), "%zz%2");
        assert_eq!(query_value("a=1&q=%24L%C3%A9&q=2", "q").as_deref(), Some("$Lé"));
        assert_eq!(query_value("a=1", "q"), None);
    }
}
