//! Versions, aliases, tags, policies and concurrency: what is answered, what is refused, what it does to invocations.

use crate::support::{Answer, FUNCTIONS, Server, Signer, listen, send, sign_request, zip_base64};
use gateway::Limits;
use insta::assert_snapshot;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const ARN: &str = "arn:aws:lambda:us-east-1:123456789012:function:f";
const CONCURRENCY: &str = "/2017-10-31/functions/f/concurrency";
const PROVISIONED: &str = "/2019-09-30/functions/f/provisioned-concurrency";

fn at(what: &str) -> String {
    format!("{FUNCTIONS}/f/{what}")
}

/// Status, type and message of a refusal in one line.
fn line(answer: &Answer) -> String {
    let kind = answer.headers.get("x-amzn-errortype").map(|v| v.to_str().expect("text").to_owned());
    let body = answer.json();
    let message = body["message"].as_str().or(body["Message"].as_str()).unwrap_or("").to_owned();
    format!("{} {}: {message}", answer.status.as_u16(), kind.unwrap_or_default())
}

impl Server {
    async fn publish(&self, body: Value) -> Value {
        let answer = self.ask_json("POST", &at("versions"), body).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    }

    async fn alias(&self, body: Value) -> Value {
        let answer = self.ask_json("POST", &at("aliases"), body).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    }

    async fn new_code(&self, content: &str) -> Value {
        let request = json!({ "ZipFile": zip_base64(content) });
        self.ask_json("PUT", &at("code"), request).await.json()
    }
}

// A published version is ready when it is answered, and its ARN has its number; publishing again answers the same one.
#[tokio::test]
async fn publish_version() {
    let server = Server::start().await;
    server.create("f").await;
    let answer = server.ask_json("POST", &at("versions"), json!({ "Description": "one" })).await;
    assert_snapshot!(answer.text(), @r#"
    201 Created
    content-type: application/json
    x-amzn-requestid: (uuid)
    {
      "FunctionName": "f",
      "FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:f:1",
      "Runtime": "python3.11",
      "Role": "arn:aws:iam::123456789012:role/r",
      "Handler": "app.handler",
      "CodeSize": "(bytes)",
      "Description": "one",
      "Timeout": 3,
      "MemorySize": 128,
      "LastModified": "(time)",
      "CodeSha256": "(hash)",
      "Version": "1",
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
    assert_eq!(server.publish(json!({})).await, answer.json());
    let updated = server.new_code("two").await;
    let two = server.publish(json!({ "CodeSha256": updated["CodeSha256"] })).await;
    assert_eq!((&two["Version"], &two["CodeSha256"]), (&json!("2"), &updated["CodeSha256"]));
}

// A stale revision and other code are refused, and a function that is not there.
#[tokio::test]
async fn publish_refused() {
    let server = Server::start().await;
    server.create("f").await;
    let mut lines = Vec::new();
    for body in [json!({ "RevisionId": "stale" }), json!({ "PublishTo": "LATEST_PUBLISHED" })] {
        lines.push(line(&server.ask_json("POST", &at("versions"), body).await));
    }
    let none = server.ask_json("POST", &format!("{FUNCTIONS}/none/versions"), json!({})).await;
    lines.push(line(&none));
    assert_snapshot!(lines.join("\n"), @"
    412 PreconditionFailedException: The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id
    400 InvalidParameterValueException: Not supported by this platform, leave it out: PublishTo.
    404 ResourceNotFoundException: Function not found: arn:aws:lambda:us-east-1:123456789012:function:none
    ");
    let other = server.ask_json("POST", &at("versions"), json!({ "CodeSha256": "AAAA" })).await;
    assert!(line(&other).starts_with(
        "400 InvalidParameterValueException: CodeSHA256 (AAAA) is different from current CodeSHA256 in $LATEST ("
    ));
}

// Publish of CreateFunction and UpdateFunctionCode answers the version; lists show each state under its own ARN.
#[tokio::test]
async fn publish_flags_and_lists() {
    let server = Server::start().await;
    let created = server.create_with("f", json!({ "Publish": true })).await;
    assert_eq!((&created["Version"], &created["FunctionArn"]), (&json!("1"), &json!(ARN)));
    server.invoke("f:1", &[], "{}").await;
    let request = json!({ "ZipFile": zip_base64("two"), "Publish": true });
    let updated = server.ask_json("PUT", &at("code"), request).await.json();
    assert_eq!(updated["FunctionArn"], format!("{ARN}:2"));
    let first = server.ask("GET", &at("versions?MaxItems=2"), "").await.json();
    let arns = |list: &Value| -> Vec<String> {
        let all = list.as_array().expect("a list").iter();
        all.map(|f| f["FunctionArn"].as_str().expect("an ARN").to_owned()).collect()
    };
    assert_eq!(arns(&first["Versions"]), [format!("{ARN}:$LATEST"), format!("{ARN}:1")]);
    let marker = first["NextMarker"].as_str().expect("more").replace('=', "%3D");
    let rest = server.ask("GET", &at(&format!("versions?Marker={marker}")), "").await.json();
    assert_eq!((arns(&rest["Versions"]), rest.get("NextMarker")), (vec![format!("{ARN}:2")], None));
    server.create("g").await;
    let (mut all, mut marker) = (Vec::new(), String::new());
    loop {
        let target = format!("{FUNCTIONS}?FunctionVersion=ALL&MaxItems=2&Marker={marker}");
        let page = server.ask("GET", &target, "").await.json();
        all.extend(arns(&page["Functions"]));
        match page["NextMarker"].as_str() {
            Some(next) => marker = next.replace('=', "%3D"),
            None => break,
        }
    }
    let names: Vec<_> =
        all.iter().map(|arn| arn.split(":function:").nth(1).expect("a name")).collect();
    assert_eq!(names, ["f:$LATEST", "f:1", "f:2", "g:$LATEST"]);
    let odd = server.ask("GET", &format!("{FUNCTIONS}?FunctionVersion=SOME"), "").await;
    assert_eq!(odd.status, 400);
}

// Invocations name the version that ran, by number and by alias, and keep to it whatever $LATEST becomes.
#[tokio::test]
async fn qualifiers_run_their_version() {
    let server = Server::start().await;
    server.create("f").await;
    server.publish(json!({})).await;
    let settings = json!({ "MemorySize": 256 });
    server.ask_json("PUT", &at("configuration"), settings).await;
    server.alias(json!({ "Name": "live", "FunctionVersion": "1" })).await;
    for (name, version, memory) in [
        ("f", "$LATEST", 256),
        ("f:$LATEST", "$LATEST", 256),
        ("f:1", "1", 128),
        ("f:live", "1", 128),
    ] {
        let answer = server.invoke(name, &[], r#"{"do":"describe"}"#).await;
        assert_eq!(answer.headers["x-amz-executed-version"], version, "{name}");
        let said = answer.json();
        assert_eq!(said["memory"], memory, "{name}");
        let qualifier = name.strip_prefix('f').expect("its name");
        assert_eq!(said["arn"], format!("{ARN}{qualifier}"));
    }
    let shown = server.ask("GET", &at("configuration?Qualifier=live"), "").await.json();
    assert_eq!(
        (&shown["FunctionArn"], &shown["Version"]),
        (&json!(format!("{ARN}:live")), &json!("1"))
    );
}

// An alias is created, shown, changed, listed and deleted; its version goes once no alias means it.
#[tokio::test]
async fn aliases() {
    let server = Server::start().await;
    server.create("f").await;
    server.publish(json!({})).await;
    server.new_code("two").await;
    server.publish(json!({})).await;
    let body = json!({
        "Name": "live", "FunctionVersion": "1", "Description": "d",
        "RoutingConfig": { "AdditionalVersionWeights": { "2": 0.25 } },
    });
    let created = server.ask_json("POST", &at("aliases"), body).await;
    assert_snapshot!(created.text(), @r#"
    201 Created
    content-type: application/json
    x-amzn-requestid: (uuid)
    {
      "AliasArn": "arn:aws:lambda:us-east-1:123456789012:function:f:live",
      "Name": "live",
      "FunctionVersion": "1",
      "Description": "d",
      "RoutingConfig": {
        "AdditionalVersionWeights": {
          "2": 0.25
        }
      },
      "RevisionId": "(uuid)"
    }
    "#);
    let update = json!({ "FunctionVersion": "2", "RoutingConfig": {}, "RevisionId": created.json()["RevisionId"] });
    let updated = server.ask_json("PUT", &at("aliases/live"), update).await.json();
    assert_eq!((&updated["FunctionVersion"], updated.get("RoutingConfig")), (&json!("2"), None));
    assert_eq!(server.ask("GET", &at("aliases/live"), "").await.json(), updated);
    server.alias(json!({ "Name": "old", "FunctionVersion": "1" })).await;
    let listed = server.ask("GET", &at("aliases?FunctionVersion=1"), "").await.json();
    assert_eq!(
        (listed["Aliases"].as_array().map(Vec::len), &listed["Aliases"][0]["Name"]),
        (Some(1), &json!("old"))
    );
    for _ in 0..2 {
        assert_eq!(server.ask("DELETE", &at("aliases/live"), "").await.status, 204);
    }
    assert_eq!(server.ask("DELETE", &format!("{FUNCTIONS}/f?Qualifier=2"), "").await.status, 204);
    assert_eq!(server.invoke("f:2", &[], "{}").await.status, 404);
    assert!(server.seen().contains(&"remove f".to_owned()));
}

// What an alias cannot be is refused in Lambda's words, and so is the end of a version that one means.
#[tokio::test]
async fn aliases_refused() {
    let server = Server::start().await;
    server.create("f").await;
    server.publish(json!({})).await;
    server.new_code("two").await;
    server.publish(json!({})).await;
    let body = json!({ "Name": "live", "FunctionVersion": "1",
        "RoutingConfig": { "AdditionalVersionWeights": { "2": 0.25 } } });
    server.alias(body.clone()).await;
    let mut lines = vec![line(&server.ask_json("POST", &at("aliases"), body).await)];
    for body in [
        json!({}),
        json!({ "Name": "7", "FunctionVersion": "x" }),
        json!({ "Name": "a", "FunctionVersion": "9" }),
        json!({ "Name": "a", "FunctionVersion": "1", "RoutingConfig": { "AdditionalVersionWeights": { "1": 0.5 } } }),
        json!({ "Name": "a", "FunctionVersion": "$LATEST", "RoutingConfig": { "AdditionalVersionWeights": { "1": 0.5 } } }),
        json!({ "Name": "a", "FunctionVersion": "1", "RoutingConfig": { "AdditionalVersionWeights": { "2": 1.5 } } }),
        json!({ "Name": "a", "FunctionVersion": "1", "RoutingConfig": { "AdditionalVersionWeights": { "1": 0.5, "2": 0.5 } } }),
    ] {
        lines.push(line(&server.ask_json("POST", &at("aliases"), body).await));
    }
    lines.push(line(&server.ask_json("PUT", &at("aliases/none"), json!({})).await));
    lines.push(line(
        &server.ask_json("PUT", &at("aliases/live"), json!({ "RevisionId": "stale" })).await,
    ));
    lines.push(line(&server.ask("GET", &at("aliases/none"), "").await));
    lines.push(line(&server.ask("DELETE", &format!("{FUNCTIONS}/f?Qualifier=2"), "").await));
    lines.push(line(&server.ask("DELETE", &format!("{FUNCTIONS}/f?Qualifier=live"), "").await));
    assert_snapshot!(lines.join("\n"), @r#"
    409 ResourceConflictException: Alias already exists: arn:aws:lambda:us-east-1:123456789012:function:f:live
    400 ValidationException: 2 validation errors detected: Value null at 'name' failed to satisfy constraint: Member must not be null; Value null at 'functionVersion' failed to satisfy constraint: Member must not be null
    400 ValidationException: 2 validation errors detected: Value '7' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+); Value 'x' at 'functionVersion' failed to satisfy constraint: Member must satisfy regular expression pattern: (\$LATEST(\.PUBLISHED)?|[0-9]+)
    404 ResourceNotFoundException: Function not found: arn:aws:lambda:us-east-1:123456789012:function:f:9
    400 InvalidParameterValueException: Invalid function version 1. Function version 1 is already included in routing configuration.
    400 InvalidParameterValueException: $LATEST is not supported for an alias pointing to more than 1 version
    400 ValidationException: 1 validation error detected: Value '{2=1.5}' at 'routingConfig.additionalVersionWeights' failed to satisfy constraint: Map value must satisfy constraint: [Member must have value less than or equal to 1.0, Member must have value greater than or equal to 0.0, Member must not be null]
    400 InvalidParameterValueException: Number of items in AdditionalVersionWeights cannot be greater than 1
    404 ResourceNotFoundException: Alias not found: arn:aws:lambda:us-east-1:123456789012:function:f:none
    412 PreconditionFailedException: The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id
    404 ResourceNotFoundException: Cannot find alias arn: arn:aws:lambda:us-east-1:123456789012:function:f:none
    409 ResourceConflictException: Version 2 of function f cannot be deleted: these aliases mean it: live. Update or delete them first.
    400 InvalidParameterValueException: Deletion of aliases is not currently supported by DeleteFunction: use DeleteAlias.
    "#);
}

// An alias with weights sends each version about its share: 200 invocations at one half, within five deviations.
#[tokio::test]
async fn weights_divide_invocations() {
    let server = Server::start().await;
    server.create("f").await;
    server.publish(json!({})).await;
    server.new_code("two").await;
    server.publish(json!({})).await;
    let routing = json!({ "AdditionalVersionWeights": { "2": 0.5 } });
    server.alias(json!({ "Name": "live", "FunctionVersion": "1", "RoutingConfig": routing })).await;
    let mut counts = BTreeMap::<String, u32>::new();
    for _ in 0..200 {
        let answer = server.invoke("f:live", &[], "{}").await;
        let version = answer.headers["x-amz-executed-version"].to_str().expect("text").to_owned();
        *counts.entry(version).or_default() += 1;
    }
    assert_eq!(counts.len(), 2, "{counts:?}");
    assert!(counts.values().all(|count| (65..=135).contains(count)), "{counts:?}");
}

// Tags are added, replaced, removed and listed by the function's ARN; the limit holds over all of them.
#[tokio::test]
async fn tags() {
    let server = Server::start().await;
    server.create_with("f", json!({ "Tags": { "a": "1" } })).await;
    let target = format!("/2017-03-31/tags/{}", ARN.replace(':', "%3A"));
    let tag = |tags: Value| server.ask_json("POST", &target, json!({ "Tags": tags }));
    assert_eq!(tag(json!({ "a": "2", "b": "3" })).await.status, 204);
    let listed = server.ask("GET", &target, "").await.json();
    assert_eq!(listed, json!({ "Tags": { "a": "2", "b": "3" } }));
    let untag = server.ask("DELETE", &format!("{target}?tagKeys=a&tagKeys=c"), "").await;
    assert_eq!(untag.status, 204, "{}", untag.text());
    let got = server.ask("GET", &format!("{FUNCTIONS}/f"), "").await.json();
    assert_eq!(got["Tags"], json!({ "b": "3" }));
    let many: Value = (0..50).map(|n| (format!("k{n}"), json!("v"))).collect();
    let mut lines = vec![line(&tag(many).await), line(&server.ask("DELETE", &target, "").await)];
    lines.push(line(&server.ask("GET", &format!("{target}%3A1"), "").await));
    lines.push(line(&server.ask("GET", "/2017-03-31/tags/f", "").await));
    assert_snapshot!(lines.join("\n"), @r#"
    400 InvalidParameterValueException: Number of tags exceeds resource tag limit.
    400 ValidationException: 1 validation error detected: Value null at 'tagKeys' failed to satisfy constraint: Member must not be null
    400 InvalidParameterValueException: Tags on function aliases and versions are not supported. Please specify a function ARN.
    400 ValidationException: 1 validation error detected: Value 'f' at 'resource' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:(function:[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?|code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|(capacity-provider|network-connector):[a-zA-Z0-9-_]{1,64})
    "#);
}

async fn as_other(server: &Server, target: &str) -> Answer {
    server.ask_as_other("POST", target, "{}").await
}

// Another account may invoke just the qualifier whose policy lets it, by the whole ARN, and nothing else of the function.
#[tokio::test]
async fn policies_let_others_in() {
    let server = Server::start().await;
    server.create("f").await;
    server.publish(json!({})).await;
    let invoke =
        |qualifier: &str| format!("{FUNCTIONS}/{}{qualifier}/invocations", ARN.replace(':', "%3A"));
    let closed = as_other(&server, &invoke("%3A1")).await;
    let missing = as_other(&server, &invoke("x")).await;
    assert_eq!((closed.status.as_u16(), missing.status.as_u16()), (403, 403));
    assert_eq!(line(&closed).replace(":f:1", ":fx"), line(&missing), "nobody learns what is there");
    let body = json!({ "StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "210987654321" });
    let added = server.ask_json("POST", &at("policy?Qualifier=1"), body.clone()).await;
    assert_eq!(added.status, 201, "{}", added.text());
    let statement: Value =
        serde_json::from_str(added.json()["Statement"].as_str().expect("text")).expect("JSON");
    assert_eq!(statement["Principal"], json!({ "AWS": "arn:aws:iam::210987654321:root" }));
    assert_eq!(statement["Resource"], format!("{ARN}:1"));
    let open = as_other(&server, &invoke("%3A1")).await;
    assert_eq!(open.status, 200, "{}", open.text());
    let mut event = server.request("POST", &invoke("%3A1"), "{}".into());
    event.headers_mut().insert("x-amz-invocation-type", "Event".parse().expect("a value"));
    sign_request(&mut event, &Signer { key: "AKIDOTHER", ..Signer::default() });
    assert_eq!(server.send(event).await.status, 202);
    let accepted = server.seen().pop().expect("an event");
    assert!(accepted.starts_with("accept 123456789012 f Some(\"1\")"), "the owner's: {accepted}");
    assert_eq!(as_other(&server, &invoke("")).await.status, 403);
    let got = server.ask("GET", &at("policy?Qualifier=1"), "").await.json();
    let policy: Value = serde_json::from_str(got["Policy"].as_str().expect("text")).expect("JSON");
    assert_eq!(policy["Statement"], json!([statement]));
    let mut lines = vec![
        line(&server.ask_json("POST", &at("policy?Qualifier=1"), body.clone()).await),
        line(&server.ask_json("POST", &at("policy?Qualifier=%24LATEST"), body).await),
        line(&server.ask("GET", &at("policy"), "").await),
        line(&server.ask("DELETE", &at("policy/t?Qualifier=1"), "").await),
        line(&server.ask("DELETE", &at("policy/s?Qualifier=1&RevisionId=x"), "").await),
    ];
    let odd = json!({ "StatementId": "a b", "Action": "s3:Get", "Principal": "" });
    lines.push(line(&server.ask_json("POST", &at("policy"), odd).await));
    assert_eq!(server.ask("DELETE", &at("policy/s?Qualifier=1"), "").await.status, 204);
    lines.push(line(&server.ask("DELETE", &at("policy/s?Qualifier=1"), "").await));
    assert_snapshot!(lines.join("\n"), @r#"
    409 ResourceConflictException: The statement id (s) provided already exists. Please provide a new statement id, or remove the existing statement.
    400 InvalidParameterValueException: We currently do not support adding policies for $LATEST.
    404 ResourceNotFoundException: The resource you requested does not exist.
    404 ResourceNotFoundException: Statement t is not found in resource policy.
    412 PreconditionFailedException: The RevisionId provided does not match the latest RevisionId. Call the GetPolicy API to retrieve the latest RevisionId
    400 ValidationException: 3 validation errors detected: Value 'a b' at 'statementId' failed to satisfy constraint: Member must satisfy regular expression pattern: ([a-zA-Z0-9-_]+); Value 's3:Get' at 'action' failed to satisfy constraint: Member must satisfy regular expression pattern: (lambda:[*]|lambda:[a-zA-Z]+|[*]); Value '' at 'principal' failed to satisfy constraint: Member must satisfy regular expression pattern: [^\s]+
    404 ResourceNotFoundException: No policy is associated with the given resource.
    "#);
    assert_eq!(as_other(&server, &invoke("%3A1")).await.status, 403);
}

// Reserved concurrency is told to the engine, shown, and leaves 100 to the others; so does what is provisioned.
#[tokio::test]
async fn concurrency_is_set_aside() {
    let server = Server::start().await;
    for name in ["f", "g"] {
        server.create(name).await;
    }
    let reserve = |count: i64| {
        server.ask_json("PUT", CONCURRENCY, json!({ "ReservedConcurrentExecutions": count }))
    };
    assert_eq!(reserve(900).await.json(), json!({ "ReservedConcurrentExecutions": 900 }));
    assert!(server.seen().iter().any(|seen| seen.contains("reserved_concurrency: Some(900)")));
    let got = server.ask("GET", &format!("{FUNCTIONS}/f"), "").await.json();
    assert_eq!(got["Concurrency"], json!({ "ReservedConcurrentExecutions": 900 }));
    let account = server.ask("GET", "/2016-08-19/account-settings/", "").await.json();
    assert_eq!(account["AccountLimit"]["UnreservedConcurrentExecutions"], 100);
    let others = CONCURRENCY.replace("/f/", "/g/");
    let body = json!({ "ReservedConcurrentExecutions": 1 });
    let mut lines =
        vec![line(&reserve(901).await), line(&server.ask_json("PUT", &others, body).await)];
    lines.push(line(&reserve(-1).await));
    lines.push(line(
        &server
            .ask_json(
                "PUT",
                &CONCURRENCY.replace("/f/", "/f%3A1/"),
                json!({ "ReservedConcurrentExecutions": 1 }),
            )
            .await,
    ));
    assert_snapshot!(lines.join("\n"), @r#"
    400 InvalidParameterValueException: Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [100].
    400 InvalidParameterValueException: Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [100].
    400 ValidationException: 1 validation error detected: Value '-1' at 'reservedConcurrentExecutions' failed to satisfy constraint: Member must have value greater than or equal to 0
    400 InvalidParameterValueException: This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. Please specify either a function name or an unqualified function ARN.
    "#);
    assert_eq!(server.ask("DELETE", CONCURRENCY, "").await.status, 204);
    let none = server.ask("GET", "/2019-09-30/functions/f/concurrency", "").await;
    assert_eq!(none.json(), json!({}));
}

// Provisioned concurrency of a version and of an alias, its numbers from the engine, and what it refuses.
#[tokio::test]
async fn provisioned_concurrency() {
    let server = Server::start().await;
    server.create("f").await;
    server.publish(json!({})).await;
    server.new_code("two").await;
    server.publish(json!({})).await;
    server.alias(json!({ "Name": "live", "FunctionVersion": "2" })).await;
    let put = |qualifier: &str, count: i64| {
        let target = format!("{PROVISIONED}?Qualifier={qualifier}");
        let body = json!({ "ProvisionedConcurrentExecutions": count });
        let server = &server;
        async move { server.ask_json("PUT", &target, body).await }
    };
    let mut answer = put("live", 3).await.json();
    answer["LastModified"].take();
    assert_eq!(
        answer,
        json!({
            "RequestedProvisionedConcurrentExecutions": 3,
            "AvailableProvisionedConcurrentExecutions": 3,
            "AllocatedProvisionedConcurrentExecutions": 3,
            "Status": "READY", "LastModified": null,
        })
    );
    let mut lines = vec![
        line(&put("2", 1).await),
        line(&put("%24LATEST", 1).await),
        line(&put("9", 1).await),
        line(&put("1", 0).await),
        line(&put("1", 898).await),
        line(&server.ask("GET", &format!("{PROVISIONED}?Qualifier=1"), "").await),
        line(&server.ask("GET", PROVISIONED, "").await),
    ];
    let body = json!({ "ReservedConcurrentExecutions": 2 });
    lines.push(line(&server.ask_json("PUT", CONCURRENCY, body).await));
    assert_snapshot!(lines.join("\n"), @r#"
    409 ResourceConflictException: Version is pointed by a Provisioned Concurrency alias
    400 InvalidParameterValueException: Provisioned Concurrency Configs cannot be applied to unpublished function versions.
    404 ResourceNotFoundException: Function not found: arn:aws:lambda:us-east-1:123456789012:function:f:9
    400 ValidationException: 1 validation error detected: Value '0' at 'provisionedConcurrentExecutions' failed to satisfy constraint: Member must have value greater than or equal to 1
    400 InvalidParameterValueException: Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [100].
    404 ProvisionedConcurrencyConfigNotFoundException: No Provisioned Concurrency Config found for this function
    400 ValidationException: 1 validation error detected: Value null at 'qualifier' failed to satisfy constraint: Member must not be null
    400 InvalidParameterValueException: ReservedConcurrentExecutions 2 should not be lower than function's total provisioned concurrency [3].
    "#);
    let listed = server.ask("GET", &format!("{PROVISIONED}?List=ALL"), "").await.json();
    assert_eq!(listed["ProvisionedConcurrencyConfigs"][0]["FunctionArn"], format!("{ARN}:live"));
    server.ask_json("PUT", &at("aliases/live"), json!({ "FunctionVersion": "1" })).await;
    assert_eq!(
        server.ask("DELETE", &format!("{PROVISIONED}?Qualifier=live"), "").await.status,
        204
    );
    let provisions: Vec<_> =
        server.seen().into_iter().filter(|seen| seen.starts_with("provision")).collect();
    assert_eq!(provisions.len(), 4, "to 2; from 2 to 1; from 1: {provisions:?}");
}

// Code of all versions together has a bound.
#[tokio::test]
async fn code_storage_is_bounded() {
    let limits = Limits { code_bytes: 400, ..Limits::default() };
    let server = Server::start_with(limits).await;
    server.create("f").await;
    let size = server.ask("GET", &at("configuration"), "").await.json()["CodeSize"].as_u64();
    assert!(size.is_some_and(|size| (134..400).contains(&size)), "{size:?}");
    let mut last = 201;
    for content in ["one", "two", "three", "four"] {
        let answer = server.ask_json("POST", &at("versions"), json!({})).await;
        last = answer.status.as_u16();
        if last != 201 {
            assert!(
                line(&answer)
                    .starts_with("400 CodeStorageExceededException: Code storage limit exceeded:"),
                "{}",
                line(&answer)
            );
            break;
        }
        server.new_code(content).await;
    }
    assert_eq!(last, 400);
}

// Versions, aliases, policies and what is kept ready come back after a restart, and the engine is told.
#[tokio::test]
async fn all_of_it_outlives_a_restart() {
    let server = Server::start().await;
    server.create("f").await;
    server.publish(json!({})).await;
    server.alias(json!({ "Name": "live", "FunctionVersion": "1" })).await;
    server.ask_json("PUT", CONCURRENCY, json!({ "ReservedConcurrentExecutions": 7 })).await;
    let body = json!({ "ProvisionedConcurrentExecutions": 2 });
    server.ask_json("PUT", &format!("{PROVISIONED}?Qualifier=live"), body).await;
    let copy = tempfile::tempdir().expect("a directory");
    let status = std::process::Command::new("cp")
        .arg("-a")
        .arg(server.data.path().join("."))
        .arg(copy.path())
        .status()
        .expect("cp runs");
    assert!(status.success());
    let before = server.seen().len();
    let address = listen(copy.path(), server.engine.clone(), Limits::default()).await;
    let told = server.seen().split_off(before).join("\n");
    assert!(
        told.contains("reserved_concurrency: Some(7)") && told.contains("provision "),
        "{told}"
    );
    let mut request =
        server.request("POST", &format!("{FUNCTIONS}/f:live/invocations"), "{}".into());
    request.headers_mut().insert("host", address.to_string().parse().expect("a value"));
    sign_request(&mut request, &Signer::default());
    let answer = send(address, request).await;
    assert_eq!(answer.headers["x-amz-executed-version"], "1", "{}", answer.text());
}
