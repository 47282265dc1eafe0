//! Requests as an attacker makes them: any bytes, well signed or not. None may break the gateway.

use crate::support::{FUNCTIONS, Server, Signer, sign_request};
use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Targets near those that mean something.
fn target() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("2015-03-31".to_owned()),
        Just("functions".to_owned()),
        Just("invocations".to_owned()),
        Just("..".to_owned()),
        Just(String::new()),
        Just("arn%3Aaws%3Alambda".to_owned()),
        "[!-~&&[^#?/ \"<>`{}|\\\\^]]{0,12}",
        "(%[0-9a-fA-F]{2}){0,6}",
        "%[g-z]?",
    ];
    let query = prop_oneof![
        Just(String::new()),
        "\\?([A-Za-z+%=&.~]{0,20})",
        "\\?Qualifier=(%[2-7][0-9a-f]|[a-z$]){0,8}",
        "\\?MaxItems=[-0-9]{0,22}&Marker=[A-Za-z0-9%=+]{0,12}",
        "\\?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=[0-9]{0,22}&X-Amz-Date=[0-9TZ]{0,18}",
    ];
    (prop::collection::vec(part, 0..6), query)
        .prop_map(|(parts, query)| format!("/{}{query}", parts.join("/")))
}

fn runner() -> TestRunner {
    TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })
}

/// Whether every signer reads the query in one way: bytes that are no UTF-8 are lost by some.
fn is_text(target: &str) -> bool {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    query.split('%').skip(1).all(|code| code.starts_with(|c: char| ('0'..'8').contains(&c)))
}

// Whatever AWS's own crate signs is let in, wherever it leads; and never breaks anything.
#[test]
fn what_is_signed_is_let_in() {
    let method = prop::sample::select(vec!["GET", "POST", "PUT", "DELETE", "PATCH"]);
    let body = prop::collection::vec(any::<u8>(), 0..64);
    let runtime = runtime();
    let server = runtime.block_on(Server::start());
    let cases = (method, target(), "[ -~\t]{0,40}", body);
    let result = runner().run(&cases, |(method, target, value, body)| {
        prop_assume!(target.parse::<http::Uri>().is_ok());
        prop_assume!(!target.contains("X-Amz") && is_text(&target));
        runtime.block_on(async {
            let mut request = server.request(method, &target, Bytes::from(body));
            let value = value.trim().parse().expect("printable");
            request.headers_mut().insert("x-amz-meta", value);
            sign_request(&mut request, &Signer::default());
            let answer = server.send(request).await;
            let kind = answer.headers.get("x-amzn-errortype");
            let kind = kind.map_or("", |kind| kind.to_str().expect("text"));
            prop_assert_ne!(kind, "InvalidSignatureException", "{}", target);
            prop_assert_ne!(answer.status.as_u16(), 500, "{}", answer.text());
            Ok(())
        })
    });
    result.expect("each request is let in");
}

// Any bytes on the wire end in an answer or a closed connection, and the next client is served.
#[test]
fn any_bytes_do_no_harm() {
    let tail = prop::collection::vec(any::<u8>(), 0..200);
    let runtime = runtime();
    let server = runtime.block_on(Server::start());
    let result = runner().run(&(target(), "[ -~]{0,120}", tail), |(target, fields, tail)| {
        runtime.block_on(async {
            let mut bytes = format!(
                "POST {target} HTTP/1.1\r\nhost: x\r\nauthorization: AWS4-HMAC-SHA256 {fields}\r\n\
                 x-amz-date: 20261120T000000Z\r\n"
            )
            .into_bytes();
            bytes.extend_from_slice(&tail);
            let mut stream = TcpStream::connect(server.address).await.expect("connected");
            // The server may close before it has read all: that is as good an end as any.
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            prop_assert!(!answer.starts_with(b"HTTP/1.1 500"));
            prop_assert_eq!(server.ask("GET", FUNCTIONS, "").await.status.as_u16(), 200);
            Ok(())
        })
    });
    result.expect("no bytes do harm");
}
