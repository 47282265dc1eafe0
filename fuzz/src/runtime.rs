//! Any bytes as what a runtime sends: no panic, no event lost or handed over twice at once, and memory within bounds.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use runtime_api::{Closing, Event, ResponseMode, RuntimeApi};

fn event() -> Event {
    Event {
        request_id: "r1".into(),
        payload: Bytes::from_static(b"{}"),
        deadline_unix_ms: 1,
        function_arn: "arn".into(),
        trace_id: "trace".into(),
        client_context: None,
        response: ResponseMode::Streaming,
    }
}

fuzz_target!(|input: &[u8]| {
    // The first byte says how large the pieces are in which the rest arrives, and how many connections it comes over.
    let Some((first, mut rest)) = input.split_first() else { return };
    let (piece, lanes) = (usize::from(first >> 2) + 1, usize::from(first & 3) + 1);
    let mut api = RuntimeApi::new();
    let open: Vec<_> = (0..lanes).map(|_| api.open().expect("below the limit")).collect();
    let mut turn = 0;
    while !rest.is_empty() {
        let id = open[turn % lanes];
        turn += 1;
        while api.poll_happened().is_some() {}
        api.resume_stream();
        if api.is_ready() {
            api.invoke(event()).expect("one that is ready takes an event");
            assert!(!api.is_ready(), "an event is in its hands");
        }
        let written = api.output(id).concat().len();
        api.wrote(id, written);
        let space = api.space(id);
        let count = space.len().min(rest.len()).min(piece);
        if count == 0 {
            // This connection takes nothing more; the byte is lost on it.
            rest = &rest[1..];
            continue;
        }
        space[..count].copy_from_slice(&rest[..count]);
        rest = &rest[count..];
        api.filled(id, count);
    }
    for id in open {
        api.close(id, Closing::Reset);
    }
});
