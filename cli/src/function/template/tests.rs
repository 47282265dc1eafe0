//! Templates as people write them, and what is said of those that cannot be carried out.

use super::super::source::Content;
use super::*;
use std::fs;

/// Reads a template beside `src/app.py` and a layer's directory.
fn read_text(name: &str, text: &str, given: &Given) -> anyhow::Result<Vec<Item>> {
    let folder = std::env::temp_dir().join(format!("peek-template-{}-{name}", std::process::id()));
    fs::create_dir_all(folder.join("src")).expect("made");
    fs::create_dir_all(folder.join("deps")).expect("made");
    fs::write(folder.join("src/app.py"), "def handler(e, c): pass").expect("written");
    fs::write(folder.join("template.yaml"), text).expect("written");
    let items = read(&folder.join("template.yaml"), given);
    fs::remove_dir_all(folder).expect("removed");
    items
}

const WHOLE: &str = "
Transform: AWS::Serverless-2016-10-31
Parameters:
  Stage: {Type: String, Default: dev}
Globals:
  Function:
    Runtime: python3.11
    Timeout: 7
    Environment: {Variables: {STAGE: !Ref Stage, BOTH: globals}}
Resources:
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: src/
      Handler: app.handler
      MemorySize: 256
      Policies: [AmazonS3ReadOnlyAccess]
      Environment: {Variables: {BOTH: own, PEER: !GetAtt Other.Arn}}
      Layers: [!Ref Deps]
      FunctionUrlConfig: {AuthType: NONE, Cors: {AllowOrigins: ['*'], MaxAge: 5}}
      Events:
        Often: {Type: Schedule, Properties: {Schedule: rate(5 minutes), Input: '{}'}}
  Other:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: !Sub 'other-${Stage}'
      Handler: index.handler
      InlineCode: |
        def handler(e, c):
            return 1
  Deps:
    Type: AWS::Serverless::LayerVersion
    Properties: {ContentUri: deps/}
";

// What is carried out of a template is all that it says: globals and own values, names worked out, layers, URL, schedule.
#[test]
fn whole_templates_are_read() {
    let given = Given {
        parameters: vec!["Stage=test".to_owned()],
        region: "us-east-1".to_owned(),
        ..Given::default()
    };
    let items = read_text("whole", WHOLE, &given).expect("read");
    let [hello, other] = items.as_slice() else { panic!("{items:?}") };
    let plan = &hello.plan;
    assert_eq!((plan.name.as_str(), plan.handler.as_str()), ("Hello", "app.handler"));
    assert_eq!(
        (plan.memory_mib, plan.timeout_s, plan.runtime.as_deref()),
        (Some(256), Some(7), Some("python3.11"))
    );
    let expected = [
        ("BOTH", "own"),
        ("PEER", "arn:aws:lambda:us-east-1:123456789012:function:other-test"),
        ("STAGE", "test"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(plan.environment, Some(BTreeMap::from(expected)));
    assert!(hello.layers[0].ends_with("deps/"), "{:?}", hello.layers);
    assert_eq!(plan.url.as_ref().map(|url| url.auth.as_str()), Some("NONE"));
    assert_eq!(plan.schedules[0].expression, "rate(5 minutes)");
    assert!(
        hello.notes.iter().any(|note| note.starts_with("Policies has no meaning")),
        "{:?}",
        hello.notes
    );
    assert_eq!(other.plan.name, "other-test");
    assert!(
        matches!(&other.source.content, Content::Text(file, text) if file == "index.py" && text.contains("return 1"))
    );
}

// What cannot be carried out is refused with its line and what to do; it is passed over where that is asked for.
#[test]
fn other_templates_are_refused() {
    let function = "  F:\n    Type: AWS::Serverless::Function\n    Properties: {CodeUri: src, Handler: app.handler, Runtime: python3.11";
    for (text, expected) in [
        (
            format!("Resources:\n  T:\n    Type: AWS::DynamoDB::Table\n{function}}}\n"),
            "resource T is a AWS::DynamoDB::Table",
        ),
        (format!("Resources:\n{function}, PackageType: Image}}\n"), "build a zip instead"),
        (
            format!("Resources:\n{function}, Events: {{A: {{Type: HttpApi}}}}}}\n"),
            "FunctionUrlConfig",
        ),
        (
            format!("Resources:\n{function}, Events: {{Q: {{Type: SQS}}}}}}\n"),
            "event Q (SQS) is not supported",
        ),
    ] {
        let error =
            format!("{:#}", read_text("refused", &text, &Given::default()).expect_err("refused"));
        assert!(error.contains(expected) && error.contains("--skip-unsupported"), "{error}");
        let given = Given { skips: Skips::Unsupported, ..Given::default() };
        assert_eq!(read_text("skipped", &text, &given).expect("passed over").len(), 1);
    }
    for (text, expected) in [
        ("Resources: {}", "no Resources"),
        ("Resources:\n  T: {Type: AWS::Logs::LogGroup}", "no AWS::Serverless::Function"),
    ] {
        let error =
            format!("{:#}", read_text("empty", text, &Given::default()).expect_err("refused"));
        assert!(error.contains(expected), "{error}");
    }
}
