//! Asynchronous invocations: 202 once the engine has the event, and each refusal as Lambda words it.

use crate::support::Server;
use insta::assert_snapshot;
use serde_json::json;

const EVENT: (&str, &str) = ("x-amz-invocation-type", "Event");

// The answer is 202 with an empty body; the engine is given the event, nothing counting as {}, and the trace header.
#[tokio::test]
async fn events_are_accepted() {
    let server = Server::start().await;
    server.create("f").await;
    let answer = server.invoke("f", &[EVENT, ("x-amzn-trace-id", "Root=1-2-3")], "").await;
    assert_snapshot!(answer.text(), @r"
    202 Accepted
    x-amzn-requestid: (uuid)
    ");
    let target = "/2014-11-13/functions/f/invoke-async/";
    let answer = server.ask("POST", target, r#"{"a":1}"#).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (202, 0));
    let seen: Vec<_> = server.seen().into_iter().filter(|it| it.starts_with("accept")).collect();
    assert_eq!(
        seen,
        [
            r#"accept 123456789012 f None Some("Root=1-2-3") b"{}""#,
            r#"accept 123456789012 f None None b"{\"a\":1}""#
        ]
    );
}

// What the engine does not take is told by the error that clients know for it; what is too large never reaches it.
#[tokio::test]
async fn events_are_refused() {
    let server = Server::start().await;
    server.create("f").await;
    let mut told = Vec::new();
    for why in ["gone", "loop", "full", "store"] {
        let answer = server.invoke("f", &[EVENT], &json!({ "do": why }).to_string()).await;
        let code = answer.headers["x-amzn-errortype"].to_str().expect("a name").to_owned();
        told.push(format!("{} {code} {}", answer.status.as_u16(), answer.json()));
    }
    let large = format!("\"{}\"", "x".repeat((1 << 20) - 1));
    let answer = server.invoke("f", &[EVENT], &large).await;
    told.push(format!("{} {}", answer.status.as_u16(), answer.json()));
    assert_snapshot!(told.join("\n"), @r#"
    404 ResourceNotFoundException {"Type":"User","Message":"Function not found: arn:aws:lambda:us-east-1:123456789012:function:f"}
    400 RecursiveInvocationException {"Type":"User","Message":"invoked 16 times"}
    429 TooManyRequestsException {"Reason":"FunctionInvocationRateLimitExceeded","Type":"User","message":"7 events wait"}
    500 ServiceException {"Type":"Service","Message":"the disk is full"}
    413 {"Type":"User","message":"1048577 byte payload is too large for the Event invocation type (limit 1048576 bytes)"}
    "#);
    let accepted = server.seen().iter().filter(|it| it.starts_with("accept")).count();
    assert_eq!(accepted, 4);
}
