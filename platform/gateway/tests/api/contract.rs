//! What each operation answers when all is well: status, headers, body.

use crate::support::{FUNCTIONS, Server, create_request, send_http2, zip, zip_base64};
use insta::assert_snapshot;
use serde_json::json;

// CreateFunction answers 201 with the whole configuration, Pending as at AWS.
#[tokio::test]
async fn create_function() {
    let server = Server::start().await;
    let more = json!({
        "Description": "as told",
        "Timeout": 30,
        "MemorySize": 256,
        "Environment": { "Variables": { "ONE": "1" } },
        "EphemeralStorage": { "Size": 1024 },
        "TracingConfig": { "Mode": "Active" },
        "Tags": { "team": "a" },
        "Architectures": ["x86_64"],
        "Publish": false,
        "VpcConfig": { "SubnetIds": [], "SecurityGroupIds": [] },
        "Layers": [],
        "LoggingConfig": { "LogFormat": "Text" },
        "SnapStart": { "ApplyOn": "None" },
    });
    let answer = server.ask_json("POST", FUNCTIONS, create_request("f", more)).await;
    assert_snapshot!(answer.text(), @r#"
    201 Created
    content-type: application/json
    x-amzn-requestid: (uuid)
    {
      "FunctionName": "f",
      "FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:f",
      "Runtime": "python3.11",
      "Role": "arn:aws:iam::123456789012:role/r",
      "Handler": "app.handler",
      "CodeSize": "(bytes)",
      "Description": "as told",
      "Timeout": 30,
      "MemorySize": 256,
      "LastModified": "(time)",
      "CodeSha256": "(hash)",
      "Version": "$LATEST",
      "Environment": {
        "Variables": {
          "ONE": "1"
        }
      },
      "TracingConfig": {
        "Mode": "Active"
      },
      "RevisionId": "(uuid)",
      "State": "Pending",
      "StateReason": "The function is being created.",
      "StateReasonCode": "Creating",
      "PackageType": "Zip",
      "Architectures": [
        "x86_64"
      ],
      "EphemeralStorage": {
        "Size": 1024
      },
      "SnapStart": {
        "ApplyOn": "None",
        "OptimizationStatus": "Off"
      },
      "LoggingConfig": {
        "LogFormat": "Text",
        "LogGroup": "/aws/lambda/f"
      }
    }
    "#);
}

// GetFunction answers configuration, code and tags; the code's URL needs no further signature.
#[tokio::test]
async fn get_function() {
    let server = Server::start().await;
    server.create_with("f", json!({ "Tags": { "team": "a" } })).await;
    let answer = server.ask("GET", &format!("{FUNCTIONS}/f"), "").await;
    assert_snapshot!(answer.text(), @r#"
    200 OK
    content-type: application/json
    x-amzn-requestid: (uuid)
    {
      "Configuration": {
        "FunctionName": "f",
        "FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:f",
        "Runtime": "python3.11",
        "Role": "arn:aws:iam::123456789012:role/r",
        "Handler": "app.handler",
        "CodeSize": "(bytes)",
        "Description": "",
        "Timeout": 3,
        "MemorySize": 128,
        "LastModified": "(time)",
        "CodeSha256": "(hash)",
        "Version": "$LATEST",
        "TracingConfig": {
          "Mode": "PassThrough"
        },
        "RevisionId": "(uuid)",
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "PackageType": "Zip",
        "Architectures": [
          "x86_64"
        ],
        "EphemeralStorage": {
          "Size": 512
        },
        "SnapStart": {
          "ApplyOn": "None",
          "OptimizationStatus": "Off"
        },
        "LoggingConfig": {
          "LogFormat": "Text",
          "LogGroup": "/aws/lambda/f"
        }
      },
      "Code": {
        "RepositoryType": "S3",
        "Location": "(host)/packages/f?(signature)"
      },
      "Tags": {
        "team": "a"
      }
    }
    "#);
    let location = answer.json()["Code"]["Location"].as_str().expect("a URL").to_owned();
    let target = location.strip_prefix(&format!("http://{}", server.address)).expect("this host");
    let package = server.send(server.request("GET", target, "".into())).await;
    assert_eq!(package.status, 200, "{}", package.text());
    assert_eq!(package.body, zip("def handler(event, context): return event\n"));
}

// A function answers to its name, each form of its ARN, and $LATEST.
#[tokio::test]
async fn every_form_of_a_name() {
    let server = Server::start().await;
    server.create("f").await;
    for name in [
        "f",
        "f:$LATEST",
        "f:%24LATEST",
        "123456789012:function:f",
        "arn:aws:lambda:us-east-1:123456789012:function:f",
        "arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Af",
        "arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Af%3A%24LATEST",
    ] {
        let target = format!("{FUNCTIONS}/{name}/configuration?Qualifier=%24LATEST");
        let answer = server.ask("GET", &target, "").await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        let invoked = server.invoke(name, &[], r#"{"do":"describe"}"#).await;
        let with = name.contains("LATEST");
        let arn = invoked.json()["arn"].as_str().expect("an ARN").to_owned();
        assert_eq!(arn.ends_with(":$LATEST"), with, "{name}: {arn}");
    }
}

// GetFunctionConfiguration answers the configuration alone.
#[tokio::test]
async fn get_function_configuration() {
    let server = Server::start().await;
    server.create("f").await;
    let answer = server.ask("GET", &format!("{FUNCTIONS}/f/configuration"), "").await;
    assert_snapshot!(answer.text(), @r#"
    200 OK
    content-type: application/json
    x-amzn-requestid: (uuid)
    {
      "FunctionName": "f",
      "FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:f",
      "Runtime": "python3.11",
      "Role": "arn:aws:iam::123456789012:role/r",
      "Handler": "app.handler",
      "CodeSize": "(bytes)",
      "Description": "",
      "Timeout": 3,
      "MemorySize": 128,
      "LastModified": "(time)",
      "CodeSha256": "(hash)",
      "Version": "$LATEST",
      "TracingConfig": {
        "Mode": "PassThrough"
      },
      "RevisionId": "(uuid)",
      "State": "Active",
      "LastUpdateStatus": "Successful",
      "PackageType": "Zip",
      "Architectures": [
        "x86_64"
      ],
      "EphemeralStorage": {
        "Size": 512
      },
      "SnapStart": {
        "ApplyOn": "None",
        "OptimizationStatus": "Off"
      },
      "LoggingConfig": {
        "LogFormat": "Text",
        "LogGroup": "/aws/lambda/f"
      }
    }
    "#);
}

// ListFunctions pages by a marker, and leaves the state out.
#[tokio::test]
async fn list_functions() {
    let server = Server::start().await;
    for name in ["b", "a", "c"] {
        server.create(name).await;
    }
    let first = server.ask("GET", &format!("{FUNCTIONS}?MaxItems=2"), "").await.json();
    let marker = first["NextMarker"].as_str().expect("there are more");
    assert_eq!(first["Functions"][1]["FunctionName"], "b");
    let target = format!("{FUNCTIONS}/?MaxItems=2&Marker={}", marker.replace('=', "%3D"));
    let rest = server.ask("GET", &target, "").await;
    assert_snapshot!(rest.text(), @r#"
    200 OK
    content-type: application/json
    x-amzn-requestid: (uuid)
    {
      "Functions": [
        {
          "FunctionName": "c",
          "FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:c",
          "Runtime": "python3.11",
          "Role": "arn:aws:iam::123456789012:role/r",
          "Handler": "app.handler",
          "CodeSize": "(bytes)",
          "Description": "",
          "Timeout": 3,
          "MemorySize": 128,
          "LastModified": "(time)",
          "CodeSha256": "(hash)",
          "Version": "$LATEST",
          "TracingConfig": {
            "Mode": "PassThrough"
          },
          "RevisionId": "(uuid)",
          "PackageType": "Zip",
          "Architectures": [
            "x86_64"
          ],
          "EphemeralStorage": {
            "Size": 512
          },
          "SnapStart": {
            "ApplyOn": "None",
            "OptimizationStatus": "Off"
          },
          "LoggingConfig": {
            "LogFormat": "Text",
            "LogGroup": "/aws/lambda/c"
          }
        }
      ]
    }
    "#);
}

// UpdateFunctionCode answers once the new code is what runs.
#[tokio::test]
async fn update_function_code() {
    let server = Server::start().await;
    let created = server.create("f").await;
    let request = json!({ "ZipFile": zip_base64("new"), "RevisionId": created["RevisionId"] });
    let answer = server.ask_json("PUT", &format!("{FUNCTIONS}/f/code"), request).await;
    assert_snapshot!(answer.text(), @r#"
    200 OK
    content-type: application/json
    x-amzn-requestid: (uuid)
    {
      "FunctionName": "f",
      "FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:f",
      "Runtime": "python3.11",
      "Role": "arn:aws:iam::123456789012:role/r",
      "Handler": "app.handler",
      "CodeSize": "(bytes)",
      "Description": "",
      "Timeout": 3,
      "MemorySize": 128,
      "LastModified": "(time)",
      "CodeSha256": "(hash)",
      "Version": "$LATEST",
      "TracingConfig": {
        "Mode": "PassThrough"
      },
      "RevisionId": "(uuid)",
      "State": "Active",
      "LastUpdateStatus": "Successful",
      "PackageType": "Zip",
      "Architectures": [
        "x86_64"
      ],
      "EphemeralStorage": {
        "Size": 512
      },
      "SnapStart": {
        "ApplyOn": "None",
        "OptimizationStatus": "Off"
      },
      "LoggingConfig": {
        "LogFormat": "Text",
        "LogGroup": "/aws/lambda/f"
      }
    }
    "#);
    assert_ne!(answer.json()["CodeSha256"], created["CodeSha256"]);
    assert_ne!(answer.json()["RevisionId"], created["RevisionId"]);
    server.invoke("f", &[], "{}").await;
    assert_eq!(server.seen(), ["deploy f 1", "deploy f 2", "invoke f 2"]);
}

// A dry run of UpdateFunctionCode checks the code and changes nothing.
#[tokio::test]
async fn update_function_code_dry_run() {
    let server = Server::start().await;
    let created = server.create("f").await;
    let target = format!("{FUNCTIONS}/f/code");
    let request = json!({ "ZipFile": zip_base64("new"), "DryRun": true });
    let answer = server.ask_json("PUT", &target, request).await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()["CodeSha256"].clone()),
        (200, created["CodeSha256"].clone())
    );
    let broken =
        server.ask_json("PUT", &target, json!({ "ZipFile": "AAAA", "DryRun": true })).await;
    assert_eq!(broken.status, 400);
    assert_eq!(server.seen(), ["deploy f 1"]);
}

// UpdateFunctionConfiguration changes what is named and leaves the rest.
#[tokio::test]
async fn update_function_configuration() {
    let server = Server::start().await;
    server.create_with("f", json!({ "Environment": { "Variables": { "ONE": "1" } } })).await;
    let target = format!("{FUNCTIONS}/f/configuration");
    let request = json!({ "MemorySize": 512, "Timeout": 60, "Description": "new" });
    let answer = server.ask_json("PUT", &target, request).await;
    assert_snapshot!(answer.text(), @r#"
    200 OK
    content-type: application/json
    x-amzn-requestid: (uuid)
    {
      "FunctionName": "f",
      "FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:f",
      "Runtime": "python3.11",
      "Role": "arn:aws:iam::123456789012:role/r",
      "Handler": "app.handler",
      "CodeSize": "(bytes)",
      "Description": "new",
      "Timeout": 60,
      "MemorySize": 512,
      "LastModified": "(time)",
      "CodeSha256": "(hash)",
      "Version": "$LATEST",
      "Environment": {
        "Variables": {
          "ONE": "1"
        }
      },
      "TracingConfig": {
        "Mode": "PassThrough"
      },
      "RevisionId": "(uuid)",
      "State": "Active",
      "LastUpdateStatus": "Successful",
      "PackageType": "Zip",
      "Architectures": [
        "x86_64"
      ],
      "EphemeralStorage": {
        "Size": 512
      },
      "SnapStart": {
        "ApplyOn": "None",
        "OptimizationStatus": "Off"
      },
      "LoggingConfig": {
        "LogFormat": "Text",
        "LogGroup": "/aws/lambda/f"
      }
    }
    "#);
    let cleared = server.ask_json("PUT", &target, json!({ "Environment": {} })).await.json();
    assert!(cleared.get("Environment").is_none(), "{cleared}");
    assert_eq!(cleared["MemorySize"], 512);
}

// DeleteFunction answers 204 without a body, and the function is gone.
#[tokio::test]
async fn delete_function() {
    let server = Server::start().await;
    server.create("f").await;
    let answer = server.ask("DELETE", &format!("{FUNCTIONS}/f"), "").await;
    assert_snapshot!(answer.text(), @"
    204 No Content
    x-amzn-requestid: (uuid)
    ");
    assert_eq!(server.seen(), ["deploy f 1", "remove f"]);
    let gone = server.ask("GET", &format!("{FUNCTIONS}/f"), "").await;
    assert_eq!(gone.status, 404);
    let packages = std::fs::read_dir(server.data.path().join("packages")).expect("a directory");
    assert_eq!(packages.count(), 0, "its package is gone too");
}

// Invoke answers the payload and which version ran.
#[tokio::test]
async fn invoke() {
    let server = Server::start().await;
    server.create("f").await;
    let answer = server.invoke("f", &[], r#"{"a": 1}"#).await;
    assert_snapshot!(answer.text(), @r#"
    200 OK
    content-type: application/json
    x-amz-executed-version: $LATEST
    x-amzn-requestid: (uuid)
    {
      "a": 1
    }
    "#);
    assert_eq!(&answer.body[..], br#"{"a": 1}"#, "the bytes are untouched");
}

// An empty payload is the event {}.
#[tokio::test]
async fn invoke_without_payload() {
    let server = Server::start().await;
    server.create("f").await;
    assert_eq!(&server.invoke("f", &[], "").await.body[..], b"{}");
}

// The log's tail comes in Base64 where it is asked for, and only there.
#[tokio::test]
async fn invoke_with_log() {
    let server = Server::start().await;
    server.create("f").await;
    let answer = server.invoke("f", &[("x-amz-log-type", "Tail")], "{}").await;
    assert_snapshot!(answer.text(), @"
    200 OK
    content-type: application/json
    x-amz-executed-version: $LATEST
    x-amz-log-result: U1RBUlQgUmVxdWVzdElkOiB4IFZlcnNpb246ICRMQVRFU1QK
    x-amzn-requestid: (uuid)
    {}
    ");
    let without = server.invoke("f", &[("x-amz-log-type", "None")], "{}").await;
    assert!(!without.headers.contains_key("x-amz-log-result"));
}

// A function error is 200 with a header, not an error of the API.
#[tokio::test]
async fn invoke_with_function_error() {
    let server = Server::start().await;
    server.create("f").await;
    assert_snapshot!(server.invoke("f", &[], r#"{"do":"fail"}"#).await.text(), @r#"
    200 OK
    content-type: application/json
    x-amz-executed-version: $LATEST
    x-amz-function-error: Unhandled
    x-amzn-requestid: (uuid)
    {
      "errorMessage": "no",
      "errorType": "E"
    }
    "#);
}

// A dry run of Invoke answers 204 and runs nothing.
#[tokio::test]
async fn invoke_dry_run() {
    let server = Server::start().await;
    server.create("f").await;
    let answer = server.invoke("f", &[("x-amz-invocation-type", "DryRun")], "{}").await;
    assert_snapshot!(answer.text(), @"
    204 No Content
    x-amzn-requestid: (uuid)
    ");
    assert_eq!(server.seen(), ["deploy f 1"]);
}

// Client context and trace header reach the function.
#[tokio::test]
async fn invoke_with_context() {
    let server = Server::start().await;
    server.create("f").await;
    let headers = [
        ("x-amz-client-context", "eyJjdXN0b20iOnsiYSI6MX19"),
        ("x-amzn-trace-id", "Root=1-5759e988-bd862e3fe1be46a994272793"),
    ];
    assert_snapshot!(server.invoke("f", &headers, r#"{"do":"describe"}"#).await.text(), @r#"
    200 OK
    content-type: application/json
    x-amz-executed-version: $LATEST
    x-amzn-requestid: (uuid)
    {
      "arn": "arn:aws:lambda:us-east-1:123456789012:function:f",
      "context": "{\"custom\":{\"a\":1}}",
      "trace": "Root=1-5759e988-bd862e3fe1be46a994272793",
      "memory": 128
    }
    "#);
}

// GetAccountSettings tells limits and what is there.
#[tokio::test]
async fn get_account_settings() {
    let server = Server::start().await;
    server.create("f").await;
    assert_snapshot!(server.ask("GET", "/2016-08-19/account-settings", "").await.text(), @r#"
    200 OK
    content-type: application/json
    x-amzn-requestid: (uuid)
    {
      "AccountLimit": {
        "TotalCodeSize": "(bytes)",
        "CodeSizeUnzipped": 262144000,
        "CodeSizeZipped": 52428800,
        "ConcurrentExecutions": 1000,
        "UnreservedConcurrentExecutions": 1000
      },
      "AccountUsage": {
        "TotalCodeSize": "(bytes)",
        "FunctionCount": 1
      }
    }
    "#);
}

// The same requests work over HTTP/2, where the host is the authority.
#[tokio::test]
async fn http2() {
    let server = Server::start().await;
    server.create("f").await;
    let target = format!("{FUNCTIONS}/f/invocations");
    let request = server.signed("POST", &target, "[1]".into());
    assert_snapshot!(send_http2(server.address, request).await.text(), @"
    200 OK
    content-type: application/json
    x-amz-executed-version: $LATEST
    x-amzn-requestid: (uuid)
    [
      1
    ]
    ");
}

// The health check needs no signature.
#[tokio::test]
async fn health() {
    let server = Server::start().await;
    assert_snapshot!(server.send(server.request("GET", "/healthz", "".into())).await.text(), @"
    200 OK
    content-type: text/plain
    ok
    ");
}
