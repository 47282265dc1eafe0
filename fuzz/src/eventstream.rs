//! Any response of a function in pieces of any length: AWS's own decoder reads from the event stream what the function wrote.

#![no_main]

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use bytes::BytesMut;
use fuzz::front::World;
use gateway::Unsigned;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let world = World::new(Unsigned::First);
    // A program of one byte.
    let zip = "UEsDBBQAAAAAAAAAIQCDFtyMAQAAAAEAAAAJAAAAYm9vdHN0cmFweFBLAQIUAxQAAAAAAAAAIQCDFtyMAQAAAAEAAAAJAAAAAAAAAAAAAADtAQAAAABib290c3RyYXBQSwUGAAAAAAEAAQA3AAAAKAAAAAAA";
    let body = format!(
        r#"{{"FunctionName":"f","Runtime":"provided.al2023","Handler":"h","Role":"arn:aws:iam::123456789012:role/r",
        "Code":{{"ZipFile":"{zip}"}}}}"#
    );
    let (status, said) = world.ask("POST", "/2015-03-31/functions", body.as_bytes());
    assert_eq!(status, 201, "{}", said.escape_ascii());
    world
});

/// The bytes of a body in chunks.
fn joined(mut body: &[u8]) -> BytesMut {
    let mut whole = BytesMut::new();
    loop {
        let end = body.windows(2).position(|it| it == b"\r\n").expect("a chunk's length");
        let digits = std::str::from_utf8(&body[..end]).expect("digits");
        let length = usize::from_str_radix(digits, 16).expect("digits");
        if length == 0 {
            return whole;
        }
        whole.extend_from_slice(&body[end + 2..end + 2 + length]);
        body = &body[end + 4 + length..];
    }
}

fuzz_target!(|input: &[u8]| {
    // An event has to be JSON: a string of what the fuzzer says.
    let event = serde_json::to_vec(&String::from_utf8_lossy(input)).expect("JSON");
    let target = "/2021-11-15/functions/f/response-streaming-invocations";
    let (status, said) = WORLD.ask("POST", target, &event);
    assert_eq!(status, 200, "{}", said.escape_ascii());
    let mut frames = joined(&said);
    let (mut written, mut is_complete) = (Vec::new(), false);
    let mut decoder = MessageFrameDecoder::new();
    while let DecodedFrame::Complete(message) = decoder.decode_frame(&mut frames).expect("a frame")
    {
        let kind = message.headers().iter().find(|it| it.name().as_str() == ":event-type");
        let kind = kind.and_then(|it| it.value().as_string().ok()).map(|it| it.as_str());
        match kind {
            Some("PayloadChunk") => written.extend_from_slice(message.payload()),
            Some("InvokeComplete") => is_complete = true,
            other => panic!("a frame of type {other:?}"),
        }
    }
    assert!(is_complete && frames.is_empty(), "what is left: {}", frames.escape_ascii());
    assert_eq!(written, event);
});
