//! What holds for any bytes, cut anywhere.

use bytes::Bytes;
use proptest::prelude::*;
use runtime_api::{Closing, Event, Happened, ResponseMode, RuntimeApi};

fn event(response: ResponseMode) -> Event {
    Event {
        request_id: "r1".into(),
        payload: Bytes::from_static(b"{\"a\":1}"),
        deadline_unix_ms: 1,
        function_arn: "arn".into(),
        trace_id: "trace".into(),
        client_context: None,
        response,
    }
}

/// Feeds `input` cut into pieces of the given sizes, with an event whenever one can be handed over. Returns what
/// happened, pieces of one stream as one, and what was answered.
fn run(input: &[u8], cuts: &[usize], mode: ResponseMode) -> (Vec<Happened>, Vec<u8>) {
    let mut api = RuntimeApi::new();
    let id = api.open().expect("first connection");
    let (mut happened, mut answers) = (Vec::new(), Vec::new());
    let mut cuts = cuts.iter().copied().cycle();
    let mut rest = input;
    loop {
        while let Some(next) = api.poll_happened() {
            match (happened.last_mut(), next) {
                (Some(Happened::StreamPiece(sofar)), Happened::StreamPiece(more)) => {
                    *sofar = [&sofar[..], &more].concat().into();
                }
                (_, next) => happened.push(next),
            }
        }
        api.resume_stream();
        if api.is_ready() && api.invoke(event(mode)).is_ok() {
            continue;
        }
        let output = api.output(id).concat();
        if !output.is_empty() {
            api.wrote(id, output.len());
            answers.extend(output);
            continue;
        }
        let space = api.space(id);
        let count = space.len().min(rest.len()).min(cuts.next().unwrap_or(1).max(1));
        if count == 0 {
            break;
        }
        space[..count].copy_from_slice(&rest[..count]);
        rest = &rest[count..];
        api.filled(id, count);
    }
    api.close(id, Closing::Ended);
    (happened, answers)
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let body = proptest::collection::vec(any::<u8>(), 0..5000);
    let path = prop_oneof![
        Just("invocation/r1/response"),
        Just("invocation/r1/error"),
        Just("invocation/r2/response"),
        Just("init/error"),
        Just("elsewhere"),
    ];
    prop_oneof![
        Just(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nA: b\r\n\r\n".to_vec()),
        (path.clone(), body.clone()).prop_map(|(path, body)| {
            let length = body.len();
            let mut bytes = format!(
                "POST /2018-06-01/runtime/{path} HTTP/1.1\r\nContent-Length: {length}\r\n\r\n"
            )
            .into_bytes();
            bytes.extend(body);
            bytes
        }),
        (path, proptest::collection::vec(body, 0..4), any::<bool>()).prop_map(|(path, chunks, streams)| {
            let mode = if streams { "Lambda-Runtime-Function-Response-Mode: streaming\r\n" } else { "" };
            let mut bytes = format!(
                "POST /2018-06-01/runtime/{path} HTTP/1.1\r\n{mode}Transfer-Encoding: chunked\r\n\r\n"
            )
            .into_bytes();
            for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
                bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                bytes.extend(chunk);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
            bytes
        }),
    ]
}

fn mode() -> impl Strategy<Value = ResponseMode> {
    prop_oneof![Just(ResponseMode::Buffered), Just(ResponseMode::Streaming)]
}

proptest! {
    // The same bytes mean the same, however the network cuts them.
    #[test]
    fn cuts_change_nothing(
        requests in proptest::collection::vec(request(), 0..12),
        cuts in proptest::collection::vec(1_usize..4000, 1..20),
        mode in mode(),
    ) {
        let input = requests.concat();
        let whole = run(&input, &[usize::MAX], mode);
        prop_assert_eq!(&whole, &run(&input, &cuts, mode));
        prop_assert_eq!(&whole, &run(&input, &[1], mode));
    }

    // Nothing that a function sends can make the server panic, or make it collect without end.
    #[test]
    fn hostile_bytes_are_survived(
        requests in proptest::collection::vec(request(), 0..4),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        noise in proptest::collection::vec(any::<u8>(), 0..300),
        cuts in proptest::collection::vec(1_usize..3000, 1..9),
        mode in mode(),
    ) {
        let mut input = requests.concat();
        input.extend(noise);
        for (at, byte) in flips {
            if !input.is_empty() {
                let at = at.index(input.len());
                input[at] = byte;
            }
        }
        run(&input, &cuts, mode);
    }
}
