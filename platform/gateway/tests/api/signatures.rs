//! Who is let in, and what those are told who are not.

use crate::support::{FUNCTIONS, Server, Signer, sign_request};
use aws_sigv4::http_request::{PayloadChecksumKind, SignatureLocation, SigningSettings};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use insta::assert_snapshot;
use std::time::{Duration, SystemTime};

const LIST: &str = "/2015-03-31/functions?MaxItems=5&Marker=";

async fn ask(server: &Server, signer: &Signer) -> String {
    let mut request = server.request("GET", LIST, "".into());
    sign_request(&mut request, signer);
    server.send(request).await.text()
}

async fn ask_changed(server: &Server, change: impl FnOnce(&mut Request<Full<Bytes>>)) -> String {
    let mut request = server.signed("POST", &format!("{FUNCTIONS}/f/invocations"), "{}".into());
    change(&mut request);
    server.send(request).await.text()
}

// No signature, an unknown key, a wrong secret, another service: each is its own error.
#[tokio::test]
async fn who_is_not_let_in() {
    let server = Server::start().await;
    let unsigned = server.request("GET", LIST, "".into());
    assert_snapshot!(server.send(unsigned).await.text(), @r#"
    403 Forbidden
    content-type: application/json
    x-amzn-errortype: MissingAuthenticationTokenException
    x-amzn-requestid: (uuid)
    {
      "message": "Missing Authentication Token"
    }
    "#);
    let unknown = Signer { key: "AKIDNOBODY", ..Signer::default() };
    assert_snapshot!(ask(&server, &unknown).await, @r#"
    403 Forbidden
    content-type: application/json
    x-amzn-errortype: UnrecognizedClientException
    x-amzn-requestid: (uuid)
    {
      "message": "The security token included in the request is invalid."
    }
    "#);
    let wrong = Signer { secret: "wrong", ..Signer::default() };
    assert_snapshot!(ask(&server, &wrong).await, @r#"
    403 Forbidden
    content-type: application/json
    x-amzn-errortype: InvalidSignatureException
    x-amzn-requestid: (uuid)
    {
      "message": "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
    }
    "#);
    let service = Signer { service: "s3", ..Signer::default() };
    assert_snapshot!(ask(&server, &service).await, @r#"
    403 Forbidden
    content-type: application/json
    x-amzn-errortype: InvalidSignatureException
    x-amzn-requestid: (uuid)
    {
      "message": "Credential should be scoped to correct service: 'lambda'."
    }
    "#);
    let token = Signer { token: Some("stale"), ..Signer::default() };
    assert_snapshot!(ask(&server, &token).await, @r#"
    403 Forbidden
    content-type: application/json
    x-amzn-errortype: UnrecognizedClientException
    x-amzn-requestid: (uuid)
    {
      "message": "The security token included in the request is invalid. This access key has no session token: unset AWS_SESSION_TOKEN."
    }
    "#);
}

// A clock that is off by more than five minutes is told so, in either direction; less is let in.
#[tokio::test]
async fn clocks() {
    let server = Server::start().await;
    let now = SystemTime::now();
    for (seconds, ahead, wanted) in [
        (270, false, "200 OK"),
        (330, false, "Signature expired: "),
        (270, true, "200 OK"),
        (330, true, "Signature not yet current: "),
    ] {
        let off = Duration::from_secs(seconds);
        let time = if ahead { now + off } else { now - off };
        let text = ask(&server, &Signer { time, ..Signer::default() }).await;
        assert!(text.contains(wanted), "{text}");
        assert_eq!(text.contains("InvalidSignatureException"), wanted != "200 OK", "{text}");
    }
}

// Any region's signature is taken, since clients are configured for one or another.
#[tokio::test]
async fn any_region() {
    let server = Server::start().await;
    let text = ask(&server, &Signer { region: "eu-central-1", ..Signer::default() }).await;
    assert!(text.starts_with("200 OK"), "{text}");
}

// A request that was changed after it was signed is refused, whatever was changed.
#[tokio::test]
async fn changed_requests() {
    let server = Server::start().await;
    server.create("f").await;
    let wrong = "403 Forbidden";
    assert!(ask_changed(&server, |_| {}).await.starts_with("200 OK"));
    let text = ask_changed(&server, |request| *request.body_mut() = Full::new("[]".into())).await;
    assert!(text.starts_with(wrong), "{text}");
    let other = format!("{FUNCTIONS}/g/invocations");
    let text = ask_changed(&server, |r| *r.uri_mut() = other.parse().expect("a path")).await;
    assert!(text.starts_with(wrong), "{text}");
    let query = format!("{FUNCTIONS}/f/invocations?Qualifier=1");
    let text = ask_changed(&server, |r| *r.uri_mut() = query.parse().expect("a path")).await;
    assert!(text.starts_with(wrong), "{text}");
    let text = ask_changed(&server, |r| *r.method_mut() = http::Method::DELETE).await;
    assert!(text.starts_with(wrong), "{text}");
    let text = ask_changed(&server, |request| {
        request.headers_mut().insert("host", "elsewhere".parse().expect("a host"));
    })
    .await;
    assert!(text.starts_with(wrong), "{text}");
    let text = ask_changed(&server, |request| {
        request.headers_mut().insert("x-amz-log-type", "Tail".parse().expect("a value"));
    })
    .await;
    assert!(text.contains("'x-amz-log-type' must be a 'SignedHeader'"), "{text}");
    let text = ask_changed(&server, |request| {
        request.headers_mut().insert("x-amzn-trace-id", "Root=1".parse().expect("a value"));
    })
    .await;
    assert!(text.starts_with("200 OK"), "what a proxy adds is no harm: {text}");
}

// The payload's hash may be sent; it must be right, or say that it is not there.
#[tokio::test]
async fn payload_hashes() {
    let server = Server::start().await;
    server.create("f").await;
    let mut settings = SigningSettings::default();
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    let signer = Signer { settings, ..Signer::default() };
    let target = format!("{FUNCTIONS}/f/invocations");
    let signed = || {
        let mut request = server.request("POST", &target, "[1]".into());
        sign_request(&mut request, &signer);
        request
    };
    assert_eq!(server.send(signed()).await.status, 200);
    let mut changed = signed();
    *changed.body_mut() = Full::new("[2]".into());
    assert_snapshot!(server.send(changed).await.text(), @r#"
    403 Forbidden
    content-type: application/json
    x-amzn-errortype: InvalidSignatureException
    x-amzn-requestid: (uuid)
    {
      "message": "The provided 'x-amz-content-sha256' header does not match what was computed."
    }
    "#);
}

// A presigned URL opens until it expires, and only what it names.
#[tokio::test]
async fn presigned_urls() {
    let server = Server::start().await;
    let presigned = |age: u64| {
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(Duration::from_secs(1000));
        let time = SystemTime::now() - Duration::from_secs(age);
        let mut request = server.request("GET", LIST, "".into());
        sign_request(&mut request, &Signer { settings, time, ..Signer::default() });
        request
    };
    assert_eq!(server.send(presigned(900)).await.status, 200);
    let expired = server.send(presigned(1100)).await.text();
    assert!(expired.contains("Signature expired: "), "{expired}");
    let mut changed = presigned(0);
    let target = changed.uri().to_string().replace("MaxItems=5", "MaxItems=6");
    *changed.uri_mut() = target.parse().expect("a target");
    assert_eq!(server.send(changed).await.status, 403);
}

// Each tenant sees its own functions only.
#[tokio::test]
async fn tenants_see_their_own() {
    let server = Server::start().await;
    server.create("f").await;
    let mut request = server.request("GET", &format!("{FUNCTIONS}/f"), "".into());
    sign_request(&mut request, &Signer { key: "AKIDOTHER", ..Signer::default() });
    assert_snapshot!(server.send(request).await.text(), @r#"
    404 Not Found
    content-type: application/json
    x-amzn-errortype: ResourceNotFoundException
    x-amzn-requestid: (uuid)
    {
      "Type": "User",
      "Message": "Function not found: arn:aws:lambda:us-east-1:210987654321:function:f"
    }
    "#);
}

// Authorization headers that are cut off, doubled or nonsense are refused, and say what is missing.
#[tokio::test]
async fn broken_authorization() {
    let server = Server::start().await;
    let whole = server.signed("GET", LIST, "".into()).headers()["authorization"].clone();
    let whole = whole.to_str().expect("text").to_owned();
    let mut texts = vec![
        "Bearer x".to_owned(),
        "AWS4-HMAC-SHA256".to_owned(),
        whole.replace("Credential=", "Credentials="),
        whole.replace("/aws4_request", ""),
        whole.replace(", Signature=", ", Signatur="),
    ];
    let mut lines = Vec::new();
    for text in texts.drain(..) {
        let mut request = server.signed("GET", LIST, "".into());
        request.headers_mut().insert("authorization", text.parse().expect("a value"));
        let answer = server.send(request).await;
        lines.push(format!("{} {}", answer.status.as_u16(), answer.json()["message"]));
    }
    let mut undated = server.signed("GET", LIST, "".into());
    undated.headers_mut().remove("x-amz-date");
    lines.push(server.send(undated).await.json()["message"].to_string());
    let shown =
        lines.join("\n").replace(&jiff::Timestamp::now().strftime("%Y%m%d").to_string(), "(date)");
    assert_snapshot!(shown, @r#"
    403 "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter."
    403 "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter."
    403 "Authorization header requires 'Credential' parameter."
    403 "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got 'AKIDEXAMPLE/(date)/us-east-1/lambda'"
    403 "Authorization header requires 'Signature' parameter."
    "Authorization header requires existence of an 'X-Amz-Date' header."
    "#);
}
