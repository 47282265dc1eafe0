//! Function URLs: configurations, events, answers, signatures, browsers.

use crate::support::{Answer, Server, Signer, sign_request};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

const URLS: &str = "/2021-10-31/functions";

/// A server with the function `f`, and the id of its URL, which is open to all where nobody must sign.
async fn with_url(config: Value) -> (Server, String) {
    let is_open = config["AuthType"] == "NONE";
    let (server, id) = with_closed_url(config).await;
    if is_open {
        allow(&server, "lambda:InvokeFunctionUrl", json!({ "FunctionUrlAuthType": "NONE" })).await;
        allow(&server, "lambda:InvokeFunction", json!({ "InvokedViaFunctionUrl": true })).await;
    }
    (server, id)
}

/// Lets everyone do something, under conditions.
async fn allow(server: &Server, action: &str, conditions: Value) {
    let mut statement =
        json!({ "StatementId": action.replace(':', "-"), "Action": action, "Principal": "*" });
    let members = statement.as_object_mut().expect("an object");
    members.extend(conditions.as_object().expect("an object").clone());
    let added = server.ask_json("POST", "/2015-03-31/functions/f/policy", statement).await;
    assert_eq!(added.status, 201, "{}", added.text());
}

/// The same without a word in its policy.
async fn with_closed_url(config: Value) -> (Server, String) {
    let server = Server::start().await;
    server.create("f").await;
    let answer = server.ask_json("POST", &format!("{URLS}/f/url"), config).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let url = answer.json()["FunctionUrl"].as_str().expect("a URL").to_owned();
    let id = url.strip_prefix("http://").and_then(|rest| rest.split('.').next());
    let id = id.expect("an id").to_owned();
    let port = server.address.port();
    assert_eq!(url, format!("http://{id}.lambda-url.us-east-1.localhost:{port}/"));
    (server, id)
}

fn request(server: &Server, method: &str, target: &str, body: &str) -> Request<Full<Bytes>> {
    server.request(method, target, body.to_owned().into())
}

/// Asks by path.
async fn ask(server: &Server, id: &str, method: &str, path: &str, body: &Value) -> Answer {
    let target = format!("/lambda-url/{id}{path}");
    let mut request = request(server, method, &target, &body.to_string());
    let json = "application/json".parse().expect("a value");
    request.headers_mut().insert("content-type", json);
    server.send(request).await
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).map_or("", |value| value.to_str().expect("text"))
}

// A URL is created once, shown, changed, listed and deleted; what is wrong is said.
#[tokio::test]
async fn configurations() {
    let (server, id) = with_url(json!({ "AuthType": "AWS_IAM" })).await;
    let path = format!("{URLS}/f/url");
    let again = server.ask_json("POST", &path, json!({ "AuthType": "NONE" })).await;
    assert_eq!(
        (again.status.as_u16(), header(&again, "x-amzn-errortype")),
        (409, "ResourceConflictException")
    );
    let got = server.ask("GET", &path, "").await.json();
    assert_eq!(got["AuthType"], "AWS_IAM");
    assert_eq!(got["InvokeMode"], "BUFFERED");
    assert!(got["FunctionUrl"].as_str().is_some_and(|url| url.contains(&id)));
    let cors = json!({ "AllowOrigins": ["*"], "MaxAge": 5 });
    let change = json!({ "InvokeMode": "RESPONSE_STREAM", "Cors": cors });
    let changed = server.ask_json("PUT", &path, change).await.json();
    assert_eq!(changed["AuthType"], "AWS_IAM");
    assert_eq!(changed["Cors"]["MaxAge"], 5);
    let list = server.ask("GET", &format!("{URLS}/f/urls"), "").await.json();
    assert_eq!(list["FunctionUrlConfigs"][0]["InvokeMode"], "RESPONSE_STREAM");
    for (body, word) in [
        (json!({}), "authType"),
        (json!({ "AuthType": "OPEN" }), "[NONE, AWS_IAM]"),
        (json!({ "AuthType": "NONE", "InvokeMode": "x" }), "RESPONSE_STREAM"),
        (json!({ "AuthType": "NONE", "Cors": { "MaxAge": 86_401 } }), "86400"),
    ] {
        let answer = server.ask_json("POST", &path, body).await;
        assert_eq!(answer.status, 400);
        assert!(answer.text().contains(word), "{}", answer.text());
    }
    assert_eq!(server.ask("GET", &format!("{path}?Qualifier=none"), "").await.status, 404);
    assert_eq!(server.ask("GET", &format!("{path}?Qualifier=1"), "").await.status, 400);
    assert_eq!(server.ask("DELETE", &path, "").await.status, 204);
    assert_eq!(server.ask("GET", &path, "").await.status, 404);
    assert_eq!(server.ask("DELETE", &path, "").await.status, 404);
    assert_eq!(ask(&server, &id, "GET", "/", &json!({})).await.status, 403);
}

// A request becomes an event of format 2.0, by host as by path.
#[tokio::test]
async fn events() {
    let (server, id) = with_url(json!({ "AuthType": "NONE" })).await;
    let port = server.address.port();
    for (host, path) in [
        (format!("{id}.lambda-url.us-east-1.localhost:{port}"), String::new()),
        (server.address.to_string(), format!("/lambda-url/{id}")),
    ] {
        let target = format!("{path}/a%20b/c?x=1&y=%C3%BC&x=2&z");
        let mut request = request(&server, "PUT", &target, "h\u{e9}llo");
        for (name, value) in [
            ("host", host.as_str()),
            ("content-type", "text/plain; charset=utf-8"),
            ("cookie", "one=1; two=2"),
            ("user-agent", "test"),
            ("x-many", "a"),
        ] {
            request.headers_mut().insert(name, value.parse().expect("a value"));
        }
        request.headers_mut().append("x-many", "b".parse().expect("a value"));
        let answer = server.send(request).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(header(&answer, "content-type"), "application/json");
        let event = answer.json();
        assert_eq!(event["version"], "2.0");
        assert_eq!(event["rawPath"], "/a b/c");
        assert_eq!(event["rawQueryString"], "x=1&y=%C3%BC&x=2&z");
        assert_eq!(event["queryStringParameters"], json!({ "x": "1,2", "y": "\u{fc}", "z": "" }));
        assert_eq!(event["cookies"], json!(["one=1", "two=2"]));
        assert_eq!(event["headers"]["x-many"], "a,b");
        assert_eq!(event["headers"]["x-forwarded-for"], "127.0.0.1");
        assert_eq!(event["headers"]["x-forwarded-proto"], "http");
        assert_eq!(event["headers"].get("cookie"), None);
        assert_eq!(
            (&event["body"], &event["isBase64Encoded"]),
            (&json!("h\u{e9}llo"), &json!(false))
        );
        let context = &event["requestContext"];
        assert_eq!(context["http"]["method"], "PUT");
        assert_eq!(context["http"]["sourceIp"], "127.0.0.1");
        assert_eq!(context["http"]["userAgent"], "test");
        assert_eq!(context["accountId"], "anonymous");
        assert_eq!(context["apiId"], *id);
        assert_eq!(context["requestId"], header(&answer, "x-amzn-requestid"));
        assert!(context["timeEpoch"].as_u64().is_some_and(|ms| ms > 1_700_000_000_000));
    }
    let mut binary = request(&server, "POST", &format!("/lambda-url/{id}"), "\u{0}\u{1}");
    binary.headers_mut().insert("content-type", "image/png".parse().expect("a value"));
    let event = server.send(binary).await.json();
    assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!("AAE="), &json!(true)));
    assert_eq!(event["rawPath"], "/");
}

// What a function answers becomes status, headers, cookies and body; without a status it is the body.
#[tokio::test]
async fn answers() {
    let (server, id) = with_url(json!({ "AuthType": "NONE" })).await;
    let answered = |answer: Value| {
        let (server, id) = (&server, &id);
        async move { ask(server, id, "POST", "/", &json!({ "do": "answer", "answer": answer })).await }
    };
    let full = answered(json!({
        "statusCode": 201,
        "headers": { "Content-Type": "text/html", "X-A": "1", "content-length": "99" },
        "cookies": ["a=1", "b=2; Secure"],
        "body": "<p>",
    }))
    .await;
    assert_eq!((full.status.as_u16(), &full.body[..]), (201, &b"<p>"[..]));
    assert_eq!((header(&full, "content-type"), header(&full, "x-a")), ("text/html", "1"));
    let cookies: Vec<_> = full.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2; Secure"]);
    let encoded =
        answered(json!({ "statusCode": "200", "body": "AAE=", "isBase64Encoded": true })).await;
    assert_eq!(&encoded.body[..], [0, 1]);
    for plain in [json!({ "a": 1 }), json!("text"), json!(null)] {
        let answer = answered(plain.clone()).await;
        assert_eq!((answer.status.as_u16(), answer.body), (200, plain.to_string().into()));
    }
    for wrong in [
        json!({ "statusCode": 99 }),
        json!({ "statusCode": [] }),
        json!({ "statusCode": 200, "headers": { "bad name": "x" } }),
        json!({ "statusCode": 200, "body": "%", "isBase64Encoded": true }),
    ] {
        assert_eq!(answered(wrong.clone()).await.status, 502, "{wrong}");
    }
}

// Failures look as those of the real URLs.
#[tokio::test]
async fn failures() {
    let (server, id) = with_url(json!({ "AuthType": "NONE" })).await;
    let failed = ask(&server, &id, "POST", "/", &json!({ "do": "fail" })).await;
    assert_eq!((failed.status.as_u16(), &failed.body[..]), (502, &b"Internal Server Error"[..]));
    for (what, status) in [("reserved", 429), ("account", 429), ("gone", 403), ("unavailable", 503)]
    {
        assert_eq!(ask(&server, &id, "POST", "/", &json!({ "do": what })).await.status, status);
    }
    let nobody = ask(&server, "nobody", "GET", "/", &json!({})).await;
    assert_eq!((nobody.status.as_u16(), nobody.json()), (403, json!({ "Message": "Forbidden" })));
    let large = "x".repeat((6 << 20) + 1);
    let large = server.send(request(&server, "POST", &format!("/lambda-url/{id}/"), &large)).await;
    assert_eq!(large.status, 413);
}

// A URL for which nobody must sign is open once the policy allows both actions by it, and until then closed.
#[tokio::test]
async fn open_urls_need_a_policy() {
    let (server, id) = with_closed_url(json!({ "AuthType": "NONE" })).await;
    let status = async || ask(&server, &id, "GET", "/", &json!({})).await.status.as_u16();
    assert_eq!(status().await, 403);
    allow(&server, "lambda:InvokeFunctionUrl", json!({ "FunctionUrlAuthType": "NONE" })).await;
    assert_eq!(status().await, 403);
    allow(&server, "lambda:InvokeFunction", json!({ "InvokedViaFunctionUrl": true })).await;
    assert_eq!(status().await, 200);
    let removed = "/2015-03-31/functions/f/policy/lambda-InvokeFunctionUrl";
    assert_eq!(server.ask("DELETE", removed, "").await.status, 204);
    assert_eq!(status().await, 403);
    allow(&server, "lambda:InvokeFunctionUrl", json!({ "FunctionUrlAuthType": "AWS_IAM" })).await;
    assert_eq!(status().await, 403, "the permission is for the other kind");
}

// With AWS_IAM only who signs as the function's account gets in, or as one that the policy lets in, and the function is told
// who it is.
#[tokio::test]
async fn signatures() {
    let (server, id) = with_url(json!({ "AuthType": "AWS_IAM" })).await;
    let signed = |key: &'static str, secret: &'static str| {
        let mut request = request(&server, "POST", &format!("/lambda-url/{id}/x"), "{}");
        sign_request(&mut request, &Signer { key, secret, ..Signer::default() });
        request
    };
    let Signer { key, secret, .. } = Signer::default();
    let event = server.send(signed(key, secret)).await.json();
    assert_eq!(event["requestContext"]["accountId"], "123456789012");
    assert_eq!(event["requestContext"]["authorizer"]["iam"]["accessKey"], key);
    for refused in [signed(key, "wrong"), signed("AKIDOTHER", secret), signed("AKIDNONE", secret)] {
        let answer = server.send(refused).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()),
            (403, json!({ "Message": "Forbidden" }))
        );
        assert_eq!(header(&answer, "x-amzn-errortype"), "AccessDeniedException");
    }
    assert_eq!(ask(&server, &id, "GET", "/", &json!({})).await.status, 403);
    allow(&server, "lambda:InvokeFunctionUrl", json!({ "FunctionUrlAuthType": "AWS_IAM" })).await;
    allow(&server, "lambda:InvokeFunction", json!({ "InvokedViaFunctionUrl": true })).await;
    let event = server.send(signed("AKIDOTHER", secret)).await.json();
    assert_eq!(event["requestContext"]["accountId"], "210987654321", "let in by the policy");
    assert_eq!(ask(&server, &id, "GET", "/", &json!({})).await.status, 403);
}

// With RESPONSE_STREAM pieces go out as they come, behind status and headers where the function gave some.
#[tokio::test]
async fn streams() {
    let (server, id) =
        with_url(json!({ "AuthType": "NONE", "InvokeMode": "RESPONSE_STREAM" })).await;
    let plain = json!({ "type": "text/event-stream", "pieces": ["a", "b", 100_000] });
    let answer = ask(&server, &id, "POST", "/", &plain).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 100_002));
    assert_eq!(header(&answer, "content-type"), "text/event-stream");
    let prelude = "{\"statusCode\":418,\"headers\":{\"x-a\":\"1\"},\"cookies\":[\"c=1\"]}";
    let (one, two) = prelude.split_at(9);
    let typed = "application/vnd.awslambda.http-integration-response";
    for pieces in [
        json!([one, two, "\0\0\0", "\0\0\0\0\0body", " and more"]),
        json!([format!("{prelude}\0\0\0\0\0\0\0\0body and more")]),
    ] {
        let answer =
            ask(&server, &id, "POST", "/", &json!({ "type": typed, "pieces": pieces })).await;
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (418, &b"body and more"[..]));
        assert_eq!((header(&answer, "x-a"), header(&answer, "set-cookie")), ("1", "c=1"));
    }
    for broken in [json!(["no JSON\0\0\0\0\0\0\0\0"]), json!([prelude]), json!([70_000])] {
        let answer =
            ask(&server, &id, "POST", "/", &json!({ "type": typed, "pieces": broken })).await;
        assert_eq!(answer.status, 502);
    }
    let whole =
        ask(&server, &id, "POST", "/", &json!({ "do": "raw", "raw": "{\"statusCode\":201}" }))
            .await;
    assert_eq!((whole.status.as_u16(), &whole.body[..]), (200, &b"{\"statusCode\":201}"[..]));
}

// A stream that fails half way breaks the connection, so that the client does not take it for whole.
#[tokio::test]
async fn broken_streams() {
    use http_body_util::BodyExt;
    let (server, id) =
        with_url(json!({ "AuthType": "NONE", "InvokeMode": "RESPONSE_STREAM" })).await;
    let body = json!({ "do": "fail", "pieces": vec![64 << 10; 200] }).to_string();
    let mut request = request(&server, "POST", &format!("/lambda-url/{id}/"), &body);
    request.headers_mut().insert("content-type", "application/json".parse().expect("a value"));
    let stream = tokio::net::TcpStream::connect(server.address).await.expect("connected");
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(io).await.expect("HTTP/1.1");
    tokio::spawn(connection);
    let answer = sender.send_request(request).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert!(answer.into_body().collect().await.is_err());
}

// Browsers are told what was configured, without the function; and what the function says of origins gives way.
#[tokio::test]
async fn browsers() {
    let (server, id) = with_url(json!({ "AuthType": "AWS_IAM", "Cors": {
        "AllowOrigins": ["https://a.example"], "AllowMethods": ["PUT"], "AllowHeaders": ["x-a"],
        "ExposeHeaders": ["x-b", "x-c"], "AllowCredentials": true, "MaxAge": 300 } }))
    .await;
    let target = format!("/lambda-url/{id}/");
    let preflight = |origin: &str| {
        let mut request = request(&server, "OPTIONS", &target, "");
        for (name, value) in [("origin", origin), ("access-control-request-method", "PUT")] {
            request.headers_mut().insert(name, value.parse().expect("a value"));
        }
        request
    };
    let before = server.seen().len();
    let answer = server.send(preflight("https://a.example")).await;
    assert_eq!(answer.status, 200);
    for (name, value) in [
        ("access-control-allow-origin", "https://a.example"),
        ("access-control-allow-methods", "PUT"),
        ("access-control-allow-headers", "x-a"),
        ("access-control-allow-credentials", "true"),
        ("access-control-max-age", "300"),
        ("vary", "Origin"),
    ] {
        assert_eq!(header(&answer, name), value, "{name}");
    }
    let other = server.send(preflight("https://b.example")).await;
    assert_eq!(header(&other, "access-control-allow-origin"), "");
    assert_eq!(server.seen().len(), before, "the function was not asked");
    let says = json!({ "do": "answer", "answer": { "statusCode": 200,
        "headers": { "access-control-allow-origin": "*" } } });
    let mut request = request(&server, "PUT", &target, &says.to_string());
    for (name, value) in [("origin", "https://a.example"), ("content-type", "application/json")] {
        request.headers_mut().insert(name, value.parse().expect("a value"));
    }
    sign_request(&mut request, &Signer::default());
    let answer = server.send(request).await;
    assert_eq!(header(&answer, "access-control-allow-origin"), "https://a.example");
    assert_eq!(header(&answer, "access-control-expose-headers"), "x-b,x-c");
}
