//! Any JSON, and what is none, as the body of any operation: an answer that is JSON or empty, and never an internal error.

#![no_main]

use fuzz::front::World;
use gateway::Unsigned;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

/// Where operations take bodies or parameters; `f` may exist or not, by what came before.
const TARGETS: &[(&str, &str)] = &[
    ("POST", "/2015-03-31/functions"),
    ("GET", "/2015-03-31/functions"),
    ("PUT", "/2015-03-31/functions/f/code"),
    ("PUT", "/2015-03-31/functions/f/configuration"),
    ("POST", "/2015-03-31/functions/f/invocations"),
    ("POST", "/2014-11-13/functions/f/invoke-async"),
    ("PUT", "/2019-09-25/functions/f/event-invoke-config"),
    ("POST", "/2021-10-31/functions/f/url"),
    ("PUT", "/2021-10-31/functions/f/url"),
    ("POST", "/2015-03-31/functions/f/versions"),
    ("POST", "/2015-03-31/functions/f/aliases"),
    ("PUT", "/2015-03-31/functions/f/aliases/a"),
    ("POST", "/2017-03-31/tags/arn:aws:lambda:us-east-1:123456789012:function:f"),
    ("POST", "/2015-03-31/functions/f/policy"),
    ("PUT", "/2017-10-31/functions/f/concurrency"),
    ("PUT", "/2019-09-30/functions/f/provisioned-concurrency"),
    ("DELETE", "/2015-03-31/functions/f"),
];

static WORLD: LazyLock<World> = LazyLock::new(|| World::new(Unsigned::First));

fuzz_target!(|input: &[u8]| {
    let Some((which, rest)) = input.split_first() else { return };
    let (method, target) = TARGETS[usize::from(*which) % TARGETS.len()];
    // What stands before the first line break are parameters of the query.
    let (query, body) = match rest.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&rest[..end], &rest[end + 1..]),
        None => (&[][..], rest),
    };
    // Nothing but what may stand there: what may not is refused by the server of HTTP, which speaks no JSON.
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%&=:/".contains(&byte);
    let query: String =
        query.iter().map(|&byte| if fits(byte) { char::from(byte) } else { '+' }).collect();
    let (status, answer) = WORLD.ask(method, &format!("{target}?{query}"), body);
    assert_ne!(status, 500, "{method} {target}: {}", answer.escape_ascii());
    if !target.ends_with("/invocations") && !answer.is_empty() {
        let parsed = serde_json::from_slice::<serde_json::Value>(&answer);
        assert!(parsed.is_ok(), "{method} {target}: {status} {}", answer.escape_ascii());
    }
});
