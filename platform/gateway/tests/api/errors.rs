//! What each bad input is answered with: as AWS Lambda answers it, or saying clearly what is not there.

use crate::support::{FUNCTIONS, Server, create_request, zip_base64};
use insta::assert_snapshot;
use serde_json::{Value, json};

/// One line for an answer: status, error type, message.
async fn create(server: &Server, more: Value) -> String {
    line(server.ask_json("POST", FUNCTIONS, create_request("f", more)).await)
}

pub fn line(answer: crate::support::Answer) -> String {
    let kind = answer.headers.get("x-amzn-errortype").map(|value| value.to_str().expect("text"));
    let Some(kind) = kind else { return format!("{} {}", answer.status.as_u16(), answer.text()) };
    let body = answer.json();
    let message = body["message"].as_str().or(body["Message"].as_str()).unwrap_or("(none)");
    format!("{} {kind}: {message}", answer.status.as_u16())
}

// A function that is not there, in the form that each operation gives.
#[tokio::test]
async fn missing_function() {
    let server = Server::start().await;
    assert_snapshot!(server.invoke("none", &[], "{}").await.text(), @r#"
    404 Not Found
    content-type: application/json
    x-amzn-errortype: ResourceNotFoundException
    x-amzn-requestid: (uuid)
    {
      "Type": "User",
      "Message": "Function not found: arn:aws:lambda:us-east-1:123456789012:function:none"
    }
    "#);
    for (method, path) in
        [("GET", ""), ("GET", "/configuration"), ("DELETE", ""), ("PUT", "/configuration")]
    {
        let answer = server.ask(method, &format!("{FUNCTIONS}/none{path}"), "").await;
        let wanted = "404 ResourceNotFoundException: Function not found: \
                      arn:aws:lambda:us-east-1:123456789012:function:none";
        assert_eq!(line(answer), wanted, "{method} {path}");
    }
    server.create("f").await;
    let version = server.ask("GET", &format!("{FUNCTIONS}/f?Qualifier=7"), "").await;
    assert_snapshot!(line(version), @"404 ResourceNotFoundException: Function not found: arn:aws:lambda:us-east-1:123456789012:function:f:7");
    let version = server.invoke("f:live", &[], "{}").await;
    assert_snapshot!(line(version), @"404 ResourceNotFoundException: Function not found: arn:aws:lambda:us-east-1:123456789012:function:f:live");
}

// A payload that is no JSON.
#[tokio::test]
async fn payload_is_not_json() {
    let server = Server::start().await;
    server.create("f").await;
    assert_snapshot!(server.invoke("f", &[], "hello").await.text(), @r#"
    400 Bad Request
    content-type: application/json
    x-amzn-errortype: InvalidRequestContentException
    x-amzn-requestid: (uuid)
    {
      "Type": "User",
      "message": "Could not parse request body into json: expected value at line 1 column 1"
    }
    "#);
    assert_snapshot!(line(server.invoke("f", &[], "{\"a\":1} x").await), @"400 InvalidRequestContentException: Could not parse request body into json: trailing characters at line 1 column 9");
    let target = format!("{FUNCTIONS}/f/invocations");
    let bytes = b"\"\xff\"".to_vec();
    assert_snapshot!(line(server.ask("POST", &target, bytes).await), @"400 InvalidRequestContentException: Could not parse request body into json: invalid utf-8 sequence of 1 bytes from index 1");
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let answer = server.ask("POST", &format!("{FUNCTIONS}/none/invocations"), deep).await;
    assert_eq!(answer.status, 404);
}

// A payload one byte over the limit is refused, at the limit it is not.
#[tokio::test]
async fn payload_too_large() {
    let server = Server::start().await;
    server.create("f").await;
    let sized = |size: usize| format!("\"{}\"", "x".repeat(size - 2));
    assert_snapshot!(server.invoke("f", &[], &sized(6_291_457)).await.text(), @r#"
    413 Payload Too Large
    content-type: application/json
    x-amzn-errortype: RequestTooLargeException
    x-amzn-requestid: (uuid)
    {
      "Type": "User",
      "message": "Request must be smaller than 6291456 bytes for the InvokeFunction operation"
    }
    "#);
    assert_eq!(server.invoke("f", &[], &sized(6_291_456)).await.body.len(), 6_291_456);
}

// Headers of Invoke that cannot be.
#[tokio::test]
async fn invoke_headers() {
    let server = Server::start().await;
    server.create("f").await;
    let long = "A".repeat(3584);
    let mut lines = Vec::new();
    for header in [
        ("x-amz-invocation-type", "Later"),
        ("x-amz-log-type", "Head"),
        ("x-amz-client-context", "{}"),
        ("x-amz-client-context", "bm8ganNvbg=="),
        ("x-amz-client-context", &long),
        ("x-amz-tenant-id", "t"),
        ("x-amz-durable-execution-name", "d"),
    ] {
        lines.push(line(server.invoke("f", &[header], "{}").await));
    }
    assert_snapshot!(lines.join("\n"), @"
    400 ValidationException: 1 validation error detected: Value 'Later' at 'invocationType' failed to satisfy constraint: Member must satisfy enum value set: [Event, RequestResponse, DryRun]
    400 ValidationException: 1 validation error detected: Value 'Head' at 'logType' failed to satisfy constraint: Member must satisfy enum value set: [None, Tail]
    400 InvalidRequestContentException: Client context must be a valid Base64-encoded JSON object.
    400 InvalidRequestContentException: Client context must be a valid Base64-encoded JSON object.
    400 InvalidRequestContentException: Client context is 3584 bytes in Base64, must be at most 3583 bytes.
    400 InvalidParameterValueException: Not supported by this platform, leave it out: TenantId.
    400 InvalidParameterValueException: Not supported by this platform, leave it out: DurableExecutionName.
    ");
}

// Failures of the engine, each as AWS words it.
#[tokio::test]
async fn engine_failures() {
    let server = Server::start().await;
    server.create("f").await;
    assert_snapshot!(server.invoke("f", &[], r#"{"do":"reserved"}"#).await.text(), @r#"
    429 Too Many Requests
    content-type: application/json
    x-amzn-errortype: TooManyRequestsException
    x-amzn-requestid: (uuid)
    {
      "Reason": "ReservedFunctionConcurrentInvocationLimitExceeded",
      "Type": "User",
      "message": "Rate Exceeded."
    }
    "#);
    assert_snapshot!(server.invoke("f", &[], r#"{"do":"unavailable"}"#).await.text(), @r#"
    500 Internal Server Error
    content-type: application/json
    x-amzn-errortype: ServiceException
    x-amzn-requestid: (uuid)
    {
      "Type": "Service",
      "Message": "no host"
    }
    "#);
    let mut lines = Vec::new();
    for what in ["account", "gone"] {
        lines.push(line(server.invoke("f", &[], &json!({ "do": what }).to_string()).await));
    }
    assert_snapshot!(lines.join("\n"), @"
    429 TooManyRequestsException: Rate Exceeded.
    404 ResourceNotFoundException: Function not found: arn:aws:lambda:us-east-1:123456789012:function:f
    ");
}

// Settings out of range or pattern, one by one and together.
#[tokio::test]
async fn settings_out_of_range() {
    let server = Server::start().await;
    let mut lines = Vec::new();
    for more in [
        json!({ "MemorySize": 127 }),
        json!({ "MemorySize": 10241 }),
        json!({ "Timeout": 0 }),
        json!({ "Timeout": 901 }),
        json!({ "EphemeralStorage": { "Size": 511 } }),
        json!({ "EphemeralStorage": { "Size": 10241 } }),
        json!({ "Role": "somebody" }),
        json!({ "Handler": "a b" }),
        json!({ "Handler": "h".repeat(129) }),
        json!({ "Description": "d".repeat(257) }),
        json!({ "FunctionName": "a b" }),
        json!({ "FunctionName": "x".repeat(65) }),
        json!({ "FunctionName": null, "Role": null, "Code": null }),
        json!({ "TracingConfig": { "Mode": "Sometimes" } }),
        json!({ "Architectures": ["riscv64"] }),
        json!({ "Environment": { "Variables": { "1A": "x" } } }),
        json!({ "MemorySize": 1, "Timeout": 1000 }),
    ] {
        lines.push(create(&server, more).await);
    }
    assert_snapshot!(lines.join("\n"), @r#"
    400 ValidationException: 1 validation error detected: Value '127' at 'memorySize' failed to satisfy constraint: Member must have value greater than or equal to 128
    400 ValidationException: 1 validation error detected: Value '10241' at 'memorySize' failed to satisfy constraint: Member must have value less than or equal to 10240
    400 ValidationException: 1 validation error detected: Value '0' at 'timeout' failed to satisfy constraint: Member must have value greater than or equal to 1
    400 ValidationException: 1 validation error detected: Value '901' at 'timeout' failed to satisfy constraint: Member must have value less than or equal to 900
    400 ValidationException: 1 validation error detected: Value '511' at 'ephemeralStorage.size' failed to satisfy constraint: Member must have value greater than or equal to 512
    400 ValidationException: 1 validation error detected: Value '10241' at 'ephemeralStorage.size' failed to satisfy constraint: Member must have value less than or equal to 10240
    400 ValidationException: 1 validation error detected: Value 'somebody' at 'role' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+
    400 ValidationException: 1 validation error detected: Value 'a b' at 'handler' failed to satisfy constraint: Member must satisfy regular expression pattern: [^\s]+
    400 ValidationException: 1 validation error detected: Value 'hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh' at 'handler' failed to satisfy constraint: Member must have length less than or equal to 128
    400 ValidationException: 1 validation error detected: Value 'ddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd' at 'description' failed to satisfy constraint: Member must have length less than or equal to 256
    400 ValidationException: 1 validation error detected: Value 'a b' at 'functionName' failed to satisfy constraint: Member must satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?
    400 ValidationException: 1 validation error detected: Value 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' at 'functionName' failed to satisfy constraint: Member must have length less than or equal to 64
    400 ValidationException: 3 validation errors detected: Value null at 'functionName' failed to satisfy constraint: Member must not be null; Value null at 'role' failed to satisfy constraint: Member must not be null; Value null at 'code' failed to satisfy constraint: Member must not be null
    400 ValidationException: 1 validation error detected: Value 'Sometimes' at 'tracingConfig.mode' failed to satisfy constraint: Member must satisfy enum value set: [Active, PassThrough]
    400 ValidationException: 1 validation error detected: Value '[riscv64]' at 'architectures' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64], Member must not be null]
    400 ValidationException: 1 validation error detected: Value '1A' at 'environment.variables' failed to satisfy constraint: Map keys must satisfy constraint: [Member must satisfy regular expression pattern: [a-zA-Z]([a-zA-Z0-9_])+]
    400 ValidationException: 2 validation errors detected: Value '1000' at 'timeout' failed to satisfy constraint: Member must have value less than or equal to 900; Value '1' at 'memorySize' failed to satisfy constraint: Member must have value greater than or equal to 128
    "#);
}

// Settings that are in range and yet cannot be.
#[tokio::test]
async fn settings_that_cannot_be() {
    let server = Server::start().await;
    let many: Value = (0..51).map(|n| (format!("k{n}"), json!("v"))).collect();
    let mut lines = Vec::new();
    for more in [
        json!({ "Runtime": "cobol85" }),
        json!({ "Runtime": null }),
        json!({ "Handler": null }),
        json!({ "Environment": { "Variables": { "AWS_REGION": "x", "_HANDLER": "y" } } }),
        json!({ "Architectures": ["arm64"] }),
        json!({ "PackageType": "Image" }),
        json!({ "FunctionName": "f:1" }),
        json!({ "FunctionName": "eu-west-1:123456789012:function:f" }),
        json!({ "FunctionName": "210987654321:function:f" }),
        json!({ "Layers": ["arn:aws:lambda:us-east-1:123456789012:layer:l:1"] }),
        json!({ "VpcConfig": { "SubnetIds": ["subnet-1"] }, "SnapStart": { "ApplyOn": "PublishedVersions" } }),
        json!({ "LoggingConfig": { "SystemLogLevel": "WARN" } }),
        json!({ "Tags": many }),
        json!({ "MemorySize": "much" }),
    ] {
        lines.push(create(&server, more).await);
    }
    assert_snapshot!(lines.join("\n"), @r#"
    400 InvalidParameterValueException: Value cobol85 at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [provided.al2023, python3.11]. These are the runtimes installed here.
    400 InvalidParameterValueException: Runtime and Handler are mandatory parameters for functions created with deployment packages.
    400 InvalidParameterValueException: Runtime and Handler are mandatory parameters for functions created with deployment packages.
    400 InvalidParameterValueException: Lambda was unable to configure your environment variables because the environment variables you have provided contains reserved keys that are currently not supported for modification. Reserved keys used in this request: AWS_REGION, _HANDLER
    400 InvalidParameterValueException: Architecture arm64 cannot run on this platform, which is x86_64.
    400 InvalidParameterValueException: PackageType Image is not supported by this platform: send a zip.
    400 InvalidParameterValueException: FunctionName f:1 names a version: leave the qualifier out.
    404 ResourceNotFoundException: Functions from 'eu-west-1' are not reachable in this region ('us-east-1')
    403 AccessDeniedException: User: arn:aws:iam::123456789012:root is not authorized to access functions of account 210987654321
    400 InvalidParameterValueException: Layer version arn:aws:lambda:us-east-1:123456789012:layer:l:1 does not exist.
    400 InvalidParameterValueException: Not supported by this platform, leave it out: VpcConfig, SnapStart.
    400 InvalidParameterValueException: LogLevel is not supported when LogFormat is set to "Text". Remove LogLevel from your request or change the LogFormat to "JSON" and try again.
    400 InvalidParameterValueException: Number of tags exceeds resource tag limit.
    400 SerializationException: invalid type: string "much", expected i64 at line 1 column 354
    "#);
    let fits = json!({ "Environment": { "Variables": { "BIG": "x".repeat(4086) } } });
    assert!(create(&server, fits).await.starts_with("201"));
    let target = format!("{FUNCTIONS}/f/configuration");
    let over = json!({ "Environment": { "Variables": { "BIG": "x".repeat(4087) } } });
    let over = line(server.ask_json("PUT", &target, over).await);
    assert!(over.contains("exceeded the 4KB limit. String measured: {\"BIG\":\"xxx"), "{over}");
}

// Code that cannot be used.
#[tokio::test]
async fn code_that_cannot_be_used() {
    let server = Server::start().await;
    let mut lines = Vec::new();
    for code in [
        json!({}),
        json!({ "ZipFile": "" }),
        json!({ "ZipFile": "not Base64!" }),
        json!({ "ZipFile": "bm90IGEgemlw" }),
        json!({ "ZipFile": "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA==" }),
        json!({ "S3Bucket": "b", "S3Key": "k" }),
        json!({ "ImageUri": "i" }),
        json!({ "ZipFile": zip_base64("x"), "SourceKMSKeyArn": "arn:aws:kms:::k" }),
    ] {
        lines.push(create(&server, json!({ "Code": code })).await);
    }
    assert_snapshot!(lines.join("\n"), @"
    400 InvalidParameterValueException: Please provide a source for function code.
    400 InvalidParameterValueException: Uploaded file must be a non-empty zip
    400 SerializationException: ZipFile is not Base64: Invalid symbol 32, offset 3.
    400 InvalidParameterValueException: Could not unzip uploaded file. Please check your file, then try to upload again. (invalid Zip archive: Could not find EOCD)
    400 InvalidParameterValueException: Uploaded file must be a non-empty zip
    400 InvalidParameterValueException: S3Bucket is not supported by this platform: send the code as ZipFile.
    400 InvalidParameterValueException: ImageUri is not supported by this platform: send the code as ZipFile.
    400 InvalidParameterValueException: Not supported by this platform, leave it out: SourceKMSKeyArn.
    ");
    assert!(server.seen().is_empty(), "nothing was deployed");
    let left = std::fs::read_dir(server.data.path().join("packages")).expect("a directory");
    assert_eq!(left.count(), 0);
}

// Conflicts: a name that is taken, a revision that is old, a version that cannot be deleted.
#[tokio::test]
async fn conflicts() {
    let server = Server::start().await;
    server.create("f").await;
    assert_snapshot!(server.ask_json("POST", FUNCTIONS, create_request("f", json!({}))).await.text(), @r#"
    409 Conflict
    content-type: application/json
    x-amzn-errortype: ResourceConflictException
    x-amzn-requestid: (uuid)
    {
      "Type": "User",
      "message": "Function already exist: f"
    }
    "#);
    let code = json!({ "ZipFile": zip_base64("new"), "RevisionId": "stale" });
    let stale = server.ask_json("PUT", &format!("{FUNCTIONS}/f/code"), code).await;
    assert_snapshot!(stale.text(), @r#"
    412 Precondition Failed
    content-type: application/json
    x-amzn-errortype: PreconditionFailedException
    x-amzn-requestid: (uuid)
    {
      "Type": "User",
      "message": "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id"
    }
    "#);
    let mut lines = Vec::new();
    for (method, target) in
        [("DELETE", "f?Qualifier=%24LATEST"), ("GET", "f?Qualifier=1"), ("GET", "f:1?Qualifier=2")]
    {
        lines.push(line(server.ask(method, &format!("{FUNCTIONS}/{target}"), "").await));
    }
    assert_snapshot!(lines.join("\n"), @"
    400 InvalidParameterValueException: $LATEST version cannot be deleted without deleting the function.
    404 ResourceNotFoundException: Function not found: arn:aws:lambda:us-east-1:123456789012:function:f:1
    400 InvalidParameterValueException: The derived qualifier from the function name does not match the specified qualifier.
    ");
}

// Lists that cannot be.
#[tokio::test]
async fn bad_pages() {
    let server = Server::start().await;
    let mut lines = Vec::new();
    for query in ["MaxItems=0", "MaxItems=10001", "MaxItems=x", "Marker=%25"] {
        lines.push(line(server.ask("GET", &format!("{FUNCTIONS}?{query}"), "").await));
    }
    assert_snapshot!(lines.join("\n"), @"
    400 ValidationException: 1 validation error detected: Value '0' at 'maxItems' failed to satisfy constraint: Member must have value greater than or equal to 1
    400 ValidationException: 1 validation error detected: Value '10001' at 'maxItems' failed to satisfy constraint: Member must have value less than or equal to 10000
    400 SerializationException: MaxItems must be a number, got 'x'
    400 InvalidParameterValueException: Marker '%' is not valid.
    ");
}

// Bodies that are no JSON, of the wrong type, or too large.
#[tokio::test]
async fn bad_bodies() {
    let server = Server::start().await;
    let mut lines = vec![
        line(server.ask("POST", FUNCTIONS, "{").await),
        line(server.ask("POST", FUNCTIONS, "[]").await),
        line(server.ask("POST", FUNCTIONS, "").await),
    ];
    let target = format!("{FUNCTIONS}/f/configuration");
    lines.push(line(server.ask("PUT", &target, vec![b' '; (1 << 20) + 1]).await));
    assert_snapshot!(lines.join("\n"), @"
    400 InvalidRequestContentException: Could not parse request body into json: EOF while parsing an object at line 1 column 1
    400 SerializationException: Expected a JSON object, got an array.
    400 ValidationException: 3 validation errors detected: Value null at 'functionName' failed to satisfy constraint: Member must not be null; Value null at 'role' failed to satisfy constraint: Member must not be null; Value null at 'code' failed to satisfy constraint: Member must not be null
    413 RequestEntityTooLargeException: Request must be smaller than 1048576 bytes for the requested operation
    ");
}

// Operations that are not here are never taken for a success, and what is no operation is told so.
#[tokio::test]
async fn absent_operations() {
    let server = Server::start().await;
    server.create("f").await;
    assert_snapshot!(server.ask("GET", "/2020-04-22/code-signing-configs", "{}").await.text(), @r#"
    501 Not Implemented
    content-type: application/json
    x-amzn-errortype: NotImplementedException
    x-amzn-requestid: (uuid)
    {
      "Type": "Service",
      "message": "ListCodeSigningConfigs is not implemented by this platform."
    }
    "#);
    let mut lines = Vec::new();
    for (method, target) in [
        ("POST", "/2025-11-30/capacity-providers"),
        ("PUT", "/2024-08-31/functions/f/recursion-config"),
        ("GET", "/2025-12-01/durable-executions/arn%3Aaws%3Alambda/history"),
        ("GET", "/2015-03-31/event-source-mappings/"),
        ("GET", "/"),
        ("PATCH", "/2015-03-31/functions/f"),
        ("GET", "/packages/none"),
    ] {
        lines.push(line(server.ask(method, target, "").await));
    }
    assert_snapshot!(lines.join("\n"), @"
    501 NotImplementedException: CreateCapacityProvider is not implemented by this platform.
    501 NotImplementedException: PutFunctionRecursionConfig is not implemented by this platform.
    501 NotImplementedException: GetDurableExecutionHistory is not implemented by this platform.
    501 NotImplementedException: ListEventSourceMappings is not implemented by this platform.
    404 UnknownOperationException: GET / is no operation of Lambda.
    404 UnknownOperationException: PATCH /2015-03-31/functions/f is no operation of Lambda.
    404 ResourceNotFoundException: Function not found: arn:aws:lambda:us-east-1:123456789012:function:none
    ");
}
