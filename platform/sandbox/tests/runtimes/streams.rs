//! Node.js functions that stream their responses.

use super::{invoke, nodejs};
use bytes::Bytes;
use sandbox::container::ContainerInstance;
use sandbox::{Instance, Invocation, Log, Outcome, ShutdownReason, Sink};
use serde_json::{Value, json};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;

/// What one invocation streamed: type, bytes, and how it ended.
struct Streamed {
    content_type: Option<String>,
    body: Vec<u8>,
    outcome: Outcome,
}

async fn stream<I: Instance>(instance: &mut I, payload: &str) -> Streamed {
    let (pieces, mut received) = mpsc::channel::<Bytes>(1);
    let content_type = Arc::new(OnceLock::new());
    let invocation = Invocation {
        request_id: "8476a536-e9f4-11e8-9739-2dfe598c3fcd".into(),
        payload: payload.to_owned().into(),
        function_arn: "arn:aws:lambda:eu-west-1:000000000001:function:f".into(),
        trace_id: "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700".into(),
        client_context: None,
        deadline: SystemTime::now() + Duration::from_secs(60),
        log: Log::Drop,
        stream: Some(Sink { content_type: content_type.clone(), pieces }),
    };
    let mut outcome = None;
    let read = async {
        let mut body = Vec::new();
        while let Some(piece) = received.recv().await {
            body.extend_from_slice(&piece);
        }
        body
    };
    let (ended, body) = tokio::join!(instance.invoke(invocation, |it| outcome = Some(it)), read);
    assert_eq!(ended, Ok(()));
    let content_type = content_type.get().and_then(|it| it.as_deref()).map(str::to_owned);
    Streamed { content_type, body, outcome: outcome.expect("responded") }
}

async fn stop(instance: ContainerInstance<super::process::Process>) {
    instance.stop(ShutdownReason::Spindown).await;
}

// What is written goes out as it is, with the type that was set, again and again; a whole response is whole still.
#[tokio::test]
async fn writes_go_out() {
    let Some(function) = nodejs(
        "exports.handler = awslambda.streamifyResponse(async (event, stream, context) => {\n\
           stream.setContentType('text/x');\n\
           for (let i = 0; i < event; i++) if (!stream.write(String(i % 10).repeat(50000)))\n\
             await new Promise((done) => stream.once('drain', done));\n\
           stream.end(context.awsRequestId.slice(0, 4));\n\
         })",
    ) else {
        return;
    };
    let mut instance = function.start().await.expect("starts");
    for count in [40, 0, 3] {
        let got = stream(&mut instance, &count.to_string()).await;
        assert_eq!(got.content_type.as_deref(), Some("text/x"));
        let mut expected: Vec<u8> =
            (0..count).flat_map(|it| vec![b'0' + (it % 10) as u8; 50_000]).collect();
        expected.extend_from_slice(b"8476");
        assert!(got.body == expected);
        assert!(matches!(got.outcome, Outcome::Streamed { .. }), "{:?}", got.outcome);
    }
    let (whole, _) = invoke(&mut instance, "0").await;
    assert_eq!(whole, Ok(json!(8476)));
    stop(instance).await;
}

// `HttpResponseStream.from` puts its metadata and eight zero bytes before the body, also before an empty one.
#[tokio::test]
async fn metadata_comes_first() {
    let Some(function) = nodejs(
        "exports.handler = awslambda.streamifyResponse(async (event, stream) => {\n\
           stream = awslambda.HttpResponseStream.from(stream, { statusCode: 201, headers: { a: 'ü' } });\n\
           if (event) stream.write(event);\n\
           stream.end();\n\
         })",
    ) else {
        return;
    };
    let mut instance = function.start().await.expect("starts");
    for body in ["hello", ""] {
        let got = stream(&mut instance, &json!(body).to_string()).await;
        let expected = Some("application/vnd.awslambda.http-integration-response");
        assert_eq!(got.content_type.as_deref(), expected);
        let prelude = "{\"statusCode\":201,\"headers\":{\"a\":\"ü\"}}\0\0\0\0\0\0\0\0";
        assert_eq!(String::from_utf8_lossy(&got.body), format!("{prelude}{body}"));
    }
    stop(instance).await;
}

// An error before the first write is an error, one after it ends the stream as one, and one after the end is nothing.
#[tokio::test]
async fn errors() {
    let Some(function) = nodejs(
        "exports.handler = awslambda.streamifyResponse(async (event, stream) => {\n\
           if (event > 0) stream.write('some');\n\
           if (event > 1) stream.end();\n\
           throw new TypeError('at ' + event);\n\
         })",
    ) else {
        return;
    };
    let mut instance = function.start().await.expect("starts");
    for (event, body) in [(0, ""), (1, "some"), (2, "some"), (0, "")] {
        let got = stream(&mut instance, &event.to_string()).await;
        assert_eq!(String::from_utf8_lossy(&got.body), body, "{event}");
        match got.outcome {
            Outcome::Streamed { .. } => assert_eq!(event, 2),
            Outcome::Error { payload, .. } => {
                let error: Value = serde_json::from_slice(&payload).expect("JSON");
                assert_eq!(error["errorType"], "TypeError");
                assert_eq!(error["errorMessage"], format!("at {event}"));
                assert!(event < 2);
            }
            Outcome::Response { .. } | Outcome::Ended { .. } => panic!("{event}: no such end"),
        }
    }
    stop(instance).await;
}

// A handler that forgets to end its stream, with nothing left to wait for, ends it.
#[tokio::test]
async fn forgotten_ends() {
    let Some(function) = nodejs(
        "exports.handler = awslambda.streamifyResponse(async (event, stream) => { stream.write('x') })",
    ) else {
        return;
    };
    let mut instance = function.start().await.expect("starts");
    let got = stream(&mut instance, "{}").await;
    assert_eq!((&got.body[..], matches!(got.outcome, Outcome::Streamed { .. })), (&b"x"[..], true));
    stop(instance).await;
}
