//! Frames of `application/vnd.amazon.eventstream`, as the SDKs of AWS read them.
//!
//! A frame is: its length and that of its headers, both 4 bytes, and their CRC-32; headers; payload; CRC-32 of all before
//! it. All numbers are big-endian. Source: the specification of the encoding in Smithy ("Amazon Event Stream
//! Specification", 2026). Deliberately knows nothing of invocations.

use bytes::Bytes;

/// Length, length of headers, and their checksum.
const PRELUDE_BYTES: usize = 12;
/// Checksum of the frame.
const CHECKSUM_BYTES: usize = 4;
/// Type of a header whose value is a string.
const STRING: u8 = 7;

/// One frame with these headers.
///
/// Panics where a name has more than 255 bytes, a value more than 65,535, or the frame 4 GiB: ours have not.
pub(crate) fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Bytes {
    let headers_bytes: usize =
        headers.iter().map(|(name, value)| 1 + name.len() + 1 + 2 + value.len()).sum();
    let size = PRELUDE_BYTES + headers_bytes + payload.len() + CHECKSUM_BYTES;
    let mut frame = Vec::with_capacity(size);
    let number = |count: usize| u32::try_from(count).expect("below 4 GiB").to_be_bytes();
    frame.extend_from_slice(&number(size));
    frame.extend_from_slice(&number(headers_bytes));
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    for (name, value) in headers {
        frame.push(u8::try_from(name.len()).expect("a short name"));
        frame.extend_from_slice(name.as_bytes());
        frame.push(STRING);
        let length = u16::try_from(value.len()).expect("a short value");
        frame.extend_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(value.as_bytes());
    }
    frame.extend_from_slice(payload);
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame.into()
}

/// A frame with an event of this type.
pub(crate) fn event(kind: &str, content_type: &str, payload: &[u8]) -> Bytes {
    let headers =
        [(":message-type", "event"), (":event-type", kind), (":content-type", content_type)];
    frame(&headers, payload)
}

/// A frame that ends a stream with an error of the API.
pub(crate) fn exception(kind: &str, payload: &[u8]) -> Bytes {
    let headers = [
        (":message-type", "exception"),
        (":exception-type", kind),
        (":content-type", "application/json"),
    ];
    frame(&headers, payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Headers and payload.
    type Frame = (Vec<(String, String)>, Vec<u8>);

    /// A decoder that shares nothing with the encoder but the specification, its checksum included.
    fn decode(mut bytes: &[u8]) -> Vec<Frame> {
        let mut frames = Vec::new();
        while !bytes.is_empty() {
            let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("4"));
            let (size, headers_size) = (word(0) as usize, word(4) as usize);
            assert_eq!(word(8), crc32(&bytes[..8]), "prelude");
            assert_eq!(word(size - 4), crc32(&bytes[..size - 4]), "frame");
            let mut rest = &bytes[12..12 + headers_size];
            let mut headers = Vec::new();
            while let [length, more @ ..] = rest {
                let (name, more) = more.split_at(usize::from(*length));
                let [7, high, low, more @ ..] = more else { panic!("not a string") };
                let (value, more) = more.split_at(usize::from(u16::from_be_bytes([*high, *low])));
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
                headers.push((text(name), text(value)));
                rest = more;
            }
            frames.push((headers, bytes[12 + headers_size..size - 4].to_vec()));
            bytes = &bytes[size..];
        }
        frames
    }

    /// CRC-32 (IEEE 802.3), bit by bit.
    fn crc32(bytes: &[u8]) -> u32 {
        let mut crc = u32::MAX;
        for byte in bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
            }
        }
        !crc
    }

    proptest! {
        // Whatever goes in comes out of an independent decoder, frame by frame, with both checksums right.
        #[test]
        fn frames_are_read_back(
            messages in proptest::collection::vec(
                (
                    proptest::collection::vec(("[!-~]{1,40}", "\\PC{0,300}"), 0..5),
                    proptest::collection::vec(any::<u8>(), 0..2000),
                ),
                0..5,
            ),
        ) {
            let mut bytes = Vec::new();
            for (headers, payload) in &messages {
                let headers: Vec<_> =
                    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                bytes.extend_from_slice(&frame(&headers, payload));
            }
            prop_assert_eq!(decode(&bytes), messages);
        }
    }

    // The known checksum of the known text, and an empty frame as the specification's test vectors have it.
    #[test]
    fn known_values() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let empty = frame(&[], b"");
        assert_eq!(hex::encode(&empty), "000000100000000005c248eb7d98c8ff");
    }
}
