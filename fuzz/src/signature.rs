//! Any bytes as what a client sends to an API that asks for signatures: an answer or a closed connection, and nobody let in.

#![no_main]

use fuzz::front::World;
use gateway::Unsigned;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static WORLD: LazyLock<World> = LazyLock::new(|| World::new(Unsigned::Refused));

fuzz_target!(|input: &[u8]| {
    // A whole request of the fuzzer's own, or its header lines in a request that is right in all else.
    let request = match input.split_first() {
        Some((b'0', rest)) => rest.to_vec(),
        Some((_, rest)) => {
            let head = b"GET /2015-03-31/functions HTTP/1.1\r\nhost: localhost\r\n".as_slice();
            [head, b"connection: close\r\n", rest, b"\r\n\r\n"].concat()
        }
        None => return,
    };
    let said = WORLD.tell(&request);
    // Whether the server lives is the one thing that it tells everybody.
    if said.starts_with(b"HTTP/1.1 2") {
        assert!(request.windows(8).any(|it| it == b"/healthz"), "{}", said.escape_ascii());
    }
    assert!(!said.starts_with(b"HTTP/1.1 500"), "{}", said.escape_ascii());
});
