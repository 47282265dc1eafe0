//! Layers: published and shown, on functions, and of another account.

use crate::errors::line;
use crate::support::{FUNCTIONS, Server, create_request, zip_base64};
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

const LAYERS: &str = "/2018-10-31/layers";
const ARN: &str = "arn:aws:lambda:us-east-1:123456789012:layer:l";
const OTHER: &str = "arn:aws:lambda:us-east-1:210987654321:layer:l";

fn versions(layer: &str) -> String {
    format!("{LAYERS}/{layer}/versions")
}

fn encoded(arn: &str) -> String {
    arn.replace(':', "%3A")
}

impl Server {
    async fn publish_layer(&self, layer: &str, content: &str, more: Value) -> Value {
        let mut request = json!({ "Content": { "ZipFile": zip_base64(content) } });
        let members = request.as_object_mut().expect("an object");
        members.extend(more.as_object().expect("an object").clone());
        let answer = self.ask_json("POST", &versions(layer), request).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    }

    /// What becomes of a function with these layers.
    async fn with_layers(&self, name: &str, layers: Value) -> String {
        let request = create_request(name, json!({ "Layers": layers }));
        line(self.ask_json("POST", FUNCTIONS, request).await)
    }
}

// What is published is shown by name, by ARN and in both lists, as it was given, and downloaded by its owner.
#[tokio::test]
async fn layers_are_published_and_shown() {
    let server = Server::start().await;
    let more = json!({
        "Description": "d", "LicenseInfo": "MIT", "CompatibleRuntimes": ["python3.11", "nodejs22.x"],
        "CompatibleArchitectures": ["x86_64"],
    });
    let published = server.publish_layer("l", "one", more).await;
    assert_eq!(published["LayerArn"], ARN);
    assert_eq!(published["LayerVersionArn"], format!("{ARN}:1"));
    assert_eq!(published["Version"], 1);
    for (member, value) in [("Description", "d"), ("LicenseInfo", "MIT")] {
        assert_eq!(published[member], value);
    }
    assert_eq!(published["CompatibleRuntimes"], json!(["python3.11", "nodejs22.x"]));
    assert_eq!(published["CompatibleArchitectures"], json!(["x86_64"]));
    server
        .publish_layer(&encoded(ARN), "two", json!({ "CompatibleRuntimes": ["nodejs22.x"] }))
        .await;
    server.publish_layer("m", "one", json!({})).await;
    let without_url = |mut shown: Value| {
        shown["Content"]["Location"].take();
        shown
    };
    for target in [
        format!("{}/1", versions("l")),
        format!("{}/1", versions(&encoded(ARN))),
        format!("{LAYERS}?find=LayerVersion&Arn={}", encoded(&format!("{ARN}:1"))),
    ] {
        let shown = server.ask("GET", &target, "").await;
        assert_eq!(shown.status, 200, "{target}: {}", shown.text());
        assert_eq!(without_url(shown.json()), without_url(published.clone()), "{target}");
    }
    let location = published["Content"]["Location"].as_str().expect("a URL");
    let target = &location[location.find("/packages").expect("a path")..];
    let host = server.address.to_string();
    let request = Request::builder().uri(target).header("host", host).body(Full::default());
    let zip = server.send(request.expect("a request")).await;
    assert_eq!(
        (zip.status.as_u16(), zip.body.len() as u64),
        (200, published["Content"]["CodeSize"].as_u64().expect("bytes"))
    );
}

// Lists have one latest version of each layer, or all of one, of those that fit, in pages.
#[tokio::test]
async fn layers_are_listed() {
    let server = Server::start().await;
    for (layer, runtime) in
        [("a", "python3.11"), ("a", "nodejs22.x"), ("b", "python3.11"), ("c", "ruby3.4")]
    {
        server.publish_layer(layer, runtime, json!({ "CompatibleRuntimes": [runtime] })).await;
    }
    let list = async |query: &str| {
        let answer = server.ask("GET", &format!("{LAYERS}?{query}"), "").await.json();
        let layers = answer["Layers"].as_array().expect("a list").iter();
        let names: Vec<String> = layers
            .map(|layer| {
                format!(
                    "{}:{}",
                    layer["LayerName"].as_str().expect("a name"),
                    layer["LatestMatchingVersion"]["Version"]
                )
            })
            .collect();
        (names.join(" "), answer["NextMarker"].as_str().map(str::to_owned))
    };
    assert_eq!(list("").await, ("a:2 b:1 c:1".to_owned(), None));
    assert_eq!(list("CompatibleRuntime=python3.11").await, ("a:1 b:1".to_owned(), None));
    assert_eq!(list("CompatibleArchitecture=arm64").await.0, "");
    let (first, marker) = list("MaxItems=2").await;
    assert_eq!(first, "a:2 b:1");
    let marker = marker.expect("there is more").replace('=', "%3D");
    assert_eq!(list(&format!("MaxItems=2&Marker={marker}")).await, ("c:1".to_owned(), None));
    let of_a = server.ask("GET", &format!("{}?MaxItems=1", versions("a")), "").await.json();
    assert_eq!(of_a["LayerVersions"][0]["Version"], 2);
    let marker = of_a["NextMarker"].as_str().expect("there is more").replace('=', "%3D");
    let rest = server.ask("GET", &format!("{}?Marker={marker}", versions("a")), "").await.json();
    assert_eq!(
        (&rest["LayerVersions"][0]["Version"], &rest["NextMarker"]),
        (&json!(1), &Value::Null)
    );
    assert_eq!(
        server.ask("GET", &versions("none"), "").await.json(),
        json!({ "LayerVersions": [] })
    );
}

// A function shows its layers with their sizes, keeps one that is deleted, and gives up what it is told to.
#[tokio::test]
async fn functions_have_layers() {
    let server = Server::start().await;
    let size = server.publish_layer("l", "one", json!({})).await["Content"]["CodeSize"].clone();
    server.publish_layer("m", "two", json!({})).await;
    let (l, m) = (format!("{ARN}:1"), "arn:aws:lambda:us-east-1:123456789012:layer:m:1");
    let created = server.create_with("f", json!({ "Layers": [m, l], "Publish": true })).await;
    assert_eq!(created["Layers"][1], json!({ "Arn": l, "CodeSize": size }));
    assert_eq!(created["Layers"][0]["Arn"], m);
    let gone = server.ask("DELETE", &format!("{}/1", versions("l")), "").await;
    assert_eq!(gone.status, 204);
    assert_eq!(server.ask("DELETE", &format!("{}/1", versions("l")), "").await.status, 204);
    let missing = server.ask("GET", &format!("{}/1", versions("l")), "").await;
    assert_eq!(
        line(missing),
        format!("404 ResourceNotFoundException: Layer version {l} does not exist.")
    );
    assert_eq!(server.invoke("f", &[], "{}").await.status, 200);
    let configuration = format!("{FUNCTIONS}/f/configuration");
    let changed =
        server.ask_json("PUT", &configuration, json!({ "Description": "x" })).await.json();
    assert_eq!(changed["Layers"], created["Layers"], "what is not named stays");
    let refused = server.ask_json("PUT", &configuration, json!({ "Layers": [l] })).await;
    assert_eq!(
        line(refused),
        format!("400 InvalidParameterValueException: Layer version {l} does not exist.")
    );
    let bare = server.ask_json("PUT", &configuration, json!({ "Layers": [] })).await.json();
    assert_eq!(bare.get("Layers"), None);
    let version = server.ask("GET", &format!("{configuration}?Qualifier=1"), "").await.json();
    assert_eq!(version["Layers"], created["Layers"], "a version keeps its own");
}

// What cannot be a function's layers is refused, saying why.
#[tokio::test]
async fn layers_that_cannot_be() {
    let server = Server::start().await;
    for n in 1..=6 {
        server.publish_layer(&format!("l{n}"), "x", json!({})).await;
    }
    server.publish_layer("l1", "y", json!({})).await;
    let arn = |n: u32, version: u32| {
        format!("arn:aws:lambda:us-east-1:123456789012:layer:l{n}:{version}")
    };
    let six: Vec<String> = (1..=6).map(|n| arn(n, 1)).collect();
    assert_eq!(
        server.with_layers("f", json!(six)).await,
        "400 InvalidParameterValueException: Cannot reference more than 5 layers."
    );
    let twice = server.with_layers("f", json!([arn(1, 1), arn(2, 1), arn(1, 2)])).await;
    assert_eq!(
        twice,
        format!(
            "400 InvalidParameterValueException: Two different versions of the same layer are not allowed to be referenced in the same function. {} and {} versions are both referenced.",
            arn(1, 1),
            arn(1, 2)
        )
    );
    let elsewhere =
        server.with_layers("f", json!(["arn:aws:lambda:eu-west-1:123456789012:layer:l1:1"])).await;
    assert_eq!(
        elsewhere,
        "400 InvalidParameterValueException: Layers are not in the same region as the function. Layers are expected to be in region us-east-1."
    );
    for none in [arn(9, 1), arn(1, 3), "arn:aws:lambda:::awslayer:AmazonLinux1803".to_owned()] {
        let refused = server.with_layers("f", json!([none])).await;
        assert_eq!(
            refused,
            format!("400 InvalidParameterValueException: Layer version {none} does not exist.")
        );
    }
    for misfit in [
        "l1",
        "arn:aws:lambda:us-east-1:123456789012:layer:l1",
        "arn:aws:lambda:us-east-1:123456789012:function:f:1",
    ] {
        let refused = server.with_layers("f", json!([misfit])).await;
        assert!(refused.starts_with(&format!("400 ValidationException: 1 validation error detected: Value '[{misfit}]' at 'layers'")), "{refused}");
    }
    assert!(server.with_layers("f", json!(six[..5])).await.starts_with("201"));
}

// What a layer is said to be is held to the service's limits.
#[tokio::test]
async fn layers_that_cannot_be_published() {
    let server = Server::start().await;
    let content = json!({ "ZipFile": zip_base64("x") });
    let mut lines = Vec::new();
    for (layer, request) in [
        ("a.b", json!({ "Content": content })),
        ("l", json!({})),
        ("l", json!({ "Content": {} })),
        ("l", json!({ "Content": { "S3Bucket": "b", "S3Key": "k" } })),
        ("l", json!({ "Content": { "ZipFile": "bm8gemlw" } })),
        ("l", json!({ "Content": content, "LicenseInfo": "x".repeat(513) })),
        ("l", json!({ "Content": content, "CompatibleRuntimes": ["cobol85"] })),
        ("l", json!({ "Content": content, "CompatibleArchitectures": ["mips"] })),
        ("l", json!({ "Content": content, "Description": "x".repeat(257) })),
        (&encoded(OTHER), json!({ "Content": content })),
    ] {
        let line = line(server.ask_json("POST", &versions(layer), request).await);
        lines.push(line.chars().take(150).collect::<String>());
    }
    for (line, start) in lines.iter().zip([
        "400 ValidationException: 1 validation error detected: Value 'a.b' at 'layerName' failed",
        "400 ValidationException: 1 validation error detected: Value null at 'content' failed",
        "400 InvalidParameterValueException: Please provide a source for layer code.",
        "400 InvalidParameterValueException: S3Bucket is not supported by this platform",
        "400 InvalidParameterValueException: Could not unzip uploaded file.",
        "400 ValidationException: 1 validation error detected: Value 'xxx",
        "400 ValidationException: 1 validation error detected: Value '[cobol85]' at 'compatibleRuntimes' failed",
        "400 ValidationException: 1 validation error detected: Value '[mips]' at 'compatibleArchitectures' failed",
        "400 ValidationException: 1 validation error detected: Value 'xxx",
        "403 AccessDeniedException: User: arn:aws:iam::123456789012:root is not authorized to perform: lambda:PublishLayerVersion",
    ]) {
        assert!(line.starts_with(start), "{line}");
    }
    for number in ["0", "x", "-1"] {
        let refused = line(server.ask("GET", &format!("{}/{number}", versions("l")), "").await);
        assert!(refused.contains("Layer Version Cannot be less than 1"), "{refused}");
    }
    assert_eq!(
        server.ask("GET", LAYERS, "").await.json(),
        json!({ "Layers": [] }),
        "nothing is left"
    );
}

// Another account sees and uses just the version whose policy lets it, by its ARN; without, it learns nothing, not even
// whether there is one. A function keeps what it was allowed to use.
#[tokio::test]
async fn policies_let_others_use_a_version() {
    let server = Server::start().await;
    for content in ["one", "two"] {
        server.publish_layer("l", content, json!({})).await;
    }
    let (first, second) = (format!("{ARN}:1"), format!("{ARN}:2"));
    let get = |arn: &str| format!("{LAYERS}?find=LayerVersion&Arn={}", encoded(arn));
    let denied = |arn: &str| {
        format!(
            "403 AccessDeniedException: User: arn:aws:iam::210987654321:root is not authorized to perform: \
             lambda:GetLayerVersion on resource: {arn} because no resource-based policy allows the \
             lambda:GetLayerVersion action"
        )
    };
    for arn in [&first, &second, &format!("{ARN}:9")] {
        assert_eq!(line(server.ask_as_other("GET", &get(arn), "").await), denied(arn));
    }
    let policy = format!("{}/1/policy", versions("l"));
    let none = line(server.ask("GET", &policy, "").await);
    assert_eq!(
        none,
        "404 ResourceNotFoundException: No policy is associated with the given resource."
    );
    let permission = json!({ "StatementId": "s", "Action": "lambda:GetLayerVersion", "Principal": "210987654321" });
    let added = server.ask_json("POST", &policy, permission.clone()).await;
    assert_eq!(added.status, 201, "{}", added.text());
    let revision = added.json()["RevisionId"].clone();
    let shown = server.ask("GET", &policy, "").await.json();
    assert_eq!(shown["RevisionId"], revision);
    let statements: Value =
        serde_json::from_str(shown["Policy"].as_str().expect("text")).expect("JSON");
    assert_eq!(
        statements["Statement"],
        json!([{
            "Sid": "s", "Effect": "Allow", "Principal": { "AWS": "arn:aws:iam::210987654321:root" },
            "Action": "lambda:GetLayerVersion", "Resource": first,
        }])
    );
    assert!(
        line(server.ask_json("POST", &policy, permission).await)
            .starts_with("409 ResourceConflictException")
    );
    assert_eq!(server.ask_as_other("GET", &get(&first), "").await.json()["LayerVersionArn"], first);
    assert_eq!(line(server.ask_as_other("GET", &get(&second), "").await), denied(&second));
    let new = |layers: Value| create_request("f", json!({ "Layers": layers })).to_string();
    let refused = server.ask_as_other("POST", FUNCTIONS, new(json!([second]))).await;
    assert_eq!(line(refused), denied(&second));
    let created = server.ask_as_other("POST", FUNCTIONS, new(json!([first]))).await;
    assert_eq!(created.status, 201, "{}", created.text());
    for (method, target) in [("GET", &policy), ("DELETE", &format!("{}/1", versions("l")))] {
        let own = target.replace("/l/", &format!("/{}/", encoded(ARN)));
        let refused = line(server.ask_as_other(method, &own, "").await);
        assert!(refused.starts_with("403 AccessDeniedException"), "{refused}");
    }
    let stale = server.ask("DELETE", &format!("{policy}/s?RevisionId=stale"), "").await;
    assert!(line(stale).starts_with("412 PreconditionFailedException"));
    assert_eq!(server.ask("DELETE", &format!("{policy}/s"), "").await.status, 204);
    assert_eq!(line(server.ask_as_other("GET", &get(&first), "").await), denied(&first));
    assert_eq!(
        server.ask_as_other("POST", &format!("{FUNCTIONS}/f/invocations"), "{}").await.status,
        200
    );
}

// A policy of a version that is not there, and one that would allow more than to use it.
#[tokio::test]
async fn policies_that_cannot_be() {
    let server = Server::start().await;
    server.publish_layer("l", "one", json!({})).await;
    let add = async |number: u32, action: &str, principal: &str| {
        let request = json!({ "StatementId": "s", "Action": action, "Principal": principal });
        let target = format!("{}/{number}/policy", versions("l"));
        line(server.ask_json("POST", &target, request).await)
    };
    let absent = add(9, "lambda:GetLayerVersion", "*").await;
    assert_eq!(
        absent,
        format!("404 ResourceNotFoundException: Layer version {ARN}:9 does not exist.")
    );
    assert!(add(1, "lambda:*", "*").await.contains("at 'action' failed to satisfy"));
    assert!(
        add(1, "lambda:GetLayerVersion", "me").await.contains("at 'principal' failed to satisfy")
    );
}
