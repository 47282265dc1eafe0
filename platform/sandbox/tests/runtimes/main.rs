//! Our clients of the Runtime API under the interpreters of this machine, over a plain process.

#[path = "../instance/process.rs"]
mod process;
mod streams;

use model::{MemoryMib, Span};
use process::Process;
use sandbox::container::ContainerInstance;
use sandbox::runtime::{FunctionVariables, Language, Runtimes, function_environment};
use sandbox::{End, Instance, Invocation, Log, Outcome, Settings, ShutdownReason, StartError};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

/// Names and texts of a package's files.
type Files<'a> = &'a [(&'a str, &'a str)];

/// A function of one file, installed with the clients; removed when dropped.
struct Function {
    directory: tempfile::TempDir,
    runtimes: Runtimes,
    runtime: String,
    handler: String,
}

impl Function {
    /// None where this machine has no interpreter of that language.
    fn new(language: Language, files: &[(&str, &str)], handler: &str) -> Option<Self> {
        let directory = tempfile::tempdir().expect("temporary directory");
        let mut runtimes = Runtimes::discover(&[]);
        runtimes.install(directory.path(), directory.path()).expect("installs");
        let task = directory.path().join("task");
        for (name, text) in files {
            let path = task.join(name);
            std::fs::create_dir_all(path.parent().expect("in task")).expect("creates");
            std::fs::write(path, text).expect("writes");
        }
        let found = runtimes.interpreters().find(|found| found.language == language)?;
        let runtime = found.name.clone();
        Some(Self { directory, runtimes, runtime, handler: handler.to_owned() })
    }

    async fn start(&self) -> Result<ContainerInstance<Process>, StartError> {
        let task = self.directory.path().join("task");
        let launch = self.runtimes.launch(&self.runtime, &task).expect("installed");
        let mut command = Command::new(launch.program);
        command.args(launch.arguments).env_clear().envs(environment(&self.runtime, &self.handler));
        command.env("LAMBDA_TASK_ROOT", &task).env("HOME", "/").current_dir(&task);
        let settings = settings(&self.runtime, &self.handler);
        ContainerInstance::start(Process::spawn(command), &settings, Instant::now()).await
    }

    /// One invocation of a fresh instance: the result, or the error, and the log.
    async fn run(&self, payload: &str) -> (Result<Value, Value>, String) {
        let mut instance = self.start().await.expect("starts");
        let result = invoke(&mut instance, payload).await;
        instance.stop(ShutdownReason::Spindown).await;
        result
    }

    /// The error of an init that fails.
    async fn init_error(&self) -> Value {
        match self.start().await.expect_err("fails") {
            StartError::Ended { end: End::InitError(payload), .. } => parse(&payload),
            other => panic!("{other:?}"),
        }
    }
}

fn environment(runtime: &str, handler: &str) -> std::collections::BTreeMap<String, String> {
    function_environment(&FunctionVariables {
        name: "f",
        version: "$LATEST",
        runtime,
        handler,
        memory: MemoryMib(128),
        region: "eu-west-1",
        log_group: "/aws/lambda/f",
        log_level: None,
        credentials: None,
        own: &Default::default(),
    })
    .expect("nothing reserved")
}

fn settings(runtime: &str, handler: &str) -> Settings {
    Settings {
        runtime: runtime.to_owned(),
        handler: handler.to_owned(),
        environment: Default::default(),
        memory: MemoryMib(128),
        cpu_ceiling_milli: None,
        cpu_weight: 100,
        tmp: MemoryMib(512),
        init_timeout: Span::from_secs(60),
        account: String::new(),
    }
}

async fn invoke(
    instance: &mut ContainerInstance<Process>,
    payload: &str,
) -> (Result<Value, Value>, String) {
    let invocation = Invocation {
        request_id: "8476a536-e9f4-11e8-9739-2dfe598c3fcd".into(),
        payload: payload.to_owned().into(),
        function_arn: "arn:aws:lambda:eu-west-1:000000000001:function:f".into(),
        trace_id: "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700".into(),
        client_context: Some(r#"{"client":{"app_title":"ü"},"custom":{"k":"v"},"env":{}}"#.into()),
        deadline: SystemTime::now() + Duration::from_secs(60),
        log: Log::Tail,
        stream: None,
    };
    let mut outcome = None;
    let ended = instance.invoke(invocation, |given| outcome = Some(given)).await;
    let (result, log) = match outcome.expect("responded") {
        Outcome::Response { payload, tail } => (Ok(parse(&payload)), tail.log),
        Outcome::Error { payload, tail } => (Err(parse(&payload)), tail.log),
        Outcome::Streamed { .. } => panic!("nothing was asked to stream"),
        Outcome::Ended { end, tail } => panic!("{end:?}: {}", String::from_utf8_lossy(&tail.log)),
    };
    if result.is_ok() {
        assert_eq!(ended, Ok(()));
    }
    (result, String::from_utf8_lossy(&log).into_owned())
}

fn parse(payload: &[u8]) -> Value {
    serde_json::from_slice(payload)
        .unwrap_or_else(|_| panic!("not JSON: {}", String::from_utf8_lossy(payload)))
}

fn python(code: &str) -> Option<Function> {
    Function::new(Language::Python, &[("app.py", code)], "app.handler")
}

fn nodejs(code: &str) -> Option<Function> {
    Function::new(Language::Nodejs, &[("app.js", code)], "app.handler")
}

// Python: JSON of every shape goes through unchanged, and again on the next event.
#[tokio::test]
async fn python_echo() {
    let Some(function) = python("def handler(event, context):\n  return event") else { return };
    let mut instance = function.start().await.expect("starts");
    for payload in [
        r#"{"a": [1, -2.5, 1e300, true, false, null, "\u00fc\n\"", {}], "ü😀": "日本"}"#,
        "123456789012345678901234567890",
        "\"text\"",
        "  [ ]  ",
        "",
    ] {
        let sent = if payload.is_empty() { json!({}) } else { parse(payload.as_bytes()) };
        assert_eq!(invoke(&mut instance, payload).await.0, Ok(sent), "{payload}");
    }
    let (result, _) = invoke(&mut instance, "{oops").await;
    assert_eq!(result.expect_err("not JSON")["errorType"], "Runtime.UnmarshalError");
    instance.stop(ShutdownReason::Spindown).await;
}

// Python: a handler sees the context and the environment that Lambda documents.
#[tokio::test]
async fn python_context() {
    let code = "import os\ndef handler(event, context):\n  c = context\n  return [c.aws_request_id, c.function_name, \
                c.memory_limit_in_mb, c.invoked_function_arn, c.client_context.custom['k'], \
                c.client_context.client.app_title, 50000 < c.get_remaining_time_in_millis() <= 60000, \
                os.environ['_X_AMZN_TRACE_ID'], os.environ['AWS_EXECUTION_ENV'][:10], c.log_group_name]";
    let Some(function) = python(code) else { return };
    let expected = json!([
        "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
        "f",
        "128",
        "arn:aws:lambda:eu-west-1:000000000001:function:f",
        "v",
        "ü",
        true,
        "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700",
        "AWS_Lambda",
        "/aws/lambda/f"
    ]);
    assert_eq!(function.run("{}").await.0, Ok(expected));
}

// Python: what is printed and logged is in the tail, before the response, line end or not.
#[tokio::test]
async fn python_logs() {
    let code = "import logging, sys\nlogging.getLogger().setLevel('INFO')\ndef handler(event, context):\n  \
                logging.info('hello')\n  print('out', end='')\n  print('err', file=sys.stderr)";
    let Some(function) = python(code) else { return };
    let (result, log) = function.run("{}").await;
    assert_eq!(result, Ok(Value::Null));
    assert!(
        log.contains("[INFO]\t") && log.contains("\t8476a536-e9f4-11e8-9739-2dfe598c3fcd\thello\n")
    );
    assert!(log.contains("out") && log.contains("err\n"), "{log}");
}

// Python: an exception becomes Lambda's error JSON, with the frames of user code only, and the instance serves on.
#[tokio::test]
async fn python_errors() {
    let code = "def inner():\n  raise KeyError('ü')\ndef handler(event, context):\n  \
                if event == 1: return {1, 2}\n  if event == 2: return 'fine'\n  inner()";
    let Some(function) = python(code) else { return };
    let mut instance = function.start().await.expect("starts");
    let (result, log) = invoke(&mut instance, "{}").await;
    let error = result.expect_err("raises");
    assert_eq!(error["errorType"], "KeyError");
    assert_eq!(error["errorMessage"], "'ü'");
    assert_eq!(error["requestId"], "8476a536-e9f4-11e8-9739-2dfe598c3fcd");
    let stack = error["stackTrace"].as_array().expect("frames");
    assert_eq!(stack.len(), 2, "{stack:?}");
    assert!(stack[0].as_str().is_some_and(|frame| frame.contains("line 6, in handler\n")));
    assert!(
        log.starts_with("[ERROR] KeyError: 'ü'\nTraceback (most recent call last):\n"),
        "{log}"
    );
    let error = invoke(&mut instance, "1").await.0.expect_err("no JSON");
    assert_eq!(error["errorType"], "Runtime.MarshalError");
    assert_eq!(
        error["errorMessage"],
        "Unable to marshal response: Object of type set is not JSON serializable"
    );
    assert_eq!(invoke(&mut instance, "2").await.0, Ok(json!("fine")));
    instance.stop(ShutdownReason::Spindown).await;
}

// Python: each way in which a handler cannot be loaded has Lambda's name for it.
#[tokio::test]
async fn python_init_errors() {
    for (code, handler, kind, message) in [
        (
            "import no_such",
            "app.handler",
            "Runtime.ImportModuleError",
            "Unable to import module 'app': No module named 'no_such'",
        ),
        (
            "",
            "other.handler",
            "Runtime.ImportModuleError",
            "Unable to import module 'other': No module named 'other'",
        ),
        (
            "def handler(:",
            "app.handler",
            "Runtime.UserCodeSyntaxError",
            "Syntax error in module 'app': invalid syntax (app.py, line 1)",
        ),
        (
            "x = 1",
            "app.handler",
            "Runtime.HandlerNotFound",
            "Handler 'handler' missing on module 'app'",
        ),
        (
            "",
            "handler",
            "Runtime.MalformedHandlerName",
            "Bad handler 'handler': not enough values to unpack (expected 2, got 1)",
        ),
        ("1 / 0", "app.handler", "ZeroDivisionError", "division by zero"),
    ] {
        let Some(function) = Function::new(Language::Python, &[("app.py", code)], handler) else {
            return;
        };
        let error = function.init_error().await;
        assert_eq!(error["errorType"], kind);
        assert_eq!(error["errorMessage"], message);
    }
}

// Python: a handler may lie in a directory, and json imported by user code is the real one.
#[tokio::test]
async fn python_nested_module() {
    let code = "import json\ndef handler(event, context):\n  return json.loads(json.dumps(event))";
    let files = [("a/b/app.py", code)];
    for handler in ["a/b/app.handler", "a.b.app.handler"] {
        let Some(function) = Function::new(Language::Python, &files, handler) else { return };
        assert_eq!(function.run("{\"a\":1.0}").await.0, Ok(json!({"a": 1.0})));
    }
}

// Python: exiting is an exit, with its status.
#[tokio::test]
async fn python_exit() {
    let code = "import sys\ndef handler(event, context):\n  sys.exit(4)";
    let Some(function) = python(code) else { return };
    let mut instance = function.start().await.expect("starts");
    let mut outcome = None;
    let invocation = Invocation {
        request_id: "r".into(),
        payload: "{}".into(),
        function_arn: "arn".into(),
        trace_id: "trace".into(),
        client_context: None,
        deadline: SystemTime::now(),
        log: Log::Drop,
        stream: None,
    };
    let ended = instance.invoke(invocation, |given| outcome = Some(given)).await;
    assert_eq!(ended, Err(End::Exited { status: Some(4), signal: None }));
    instance.stop(ShutdownReason::Spindown).await;
}

// Node.js: handlers of every style answer: async, callback, promise, none at all, streamed.
#[tokio::test]
async fn nodejs_styles() {
    for (code, expected) in [
        ("exports.handler = async (event) => event", json!({"a": "ü"})),
        (
            "exports.handler = (event, context, callback) => setTimeout(() => callback(null, event.a), 5)",
            json!("ü"),
        ),
        (
            "exports.handler = (event) => new Promise((done) => setImmediate(() => done([1])))",
            json!([1]),
        ),
        ("exports.handler = (event, context) => context.succeed(7)", json!(7)),
        (
            "exports.handler = (event, context, callback) => { \
          context.callbackWaitsForEmptyEventLoop = false; setInterval(() => {}, 1000); callback(null, 8) }",
            json!(8),
        ),
        ("exports.handler = () => {}", Value::Null),
        ("exports.handler = () => new Promise(() => {})", Value::Null),
        (
            "exports.handler = awslambda.streamifyResponse(async (event, stream) => { \
          stream.write('[1,'); stream.write('2]'); stream.end() })",
            json!([1, 2]),
        ),
        (
            "exports.handler = async (event, context) => [context.awsRequestId, context.functionName, \
          context.memoryLimitInMB, context.clientContext.client.app_title, \
          context.getRemainingTimeInMillis() > 50000, process.env._X_AMZN_TRACE_ID.slice(0, 5)]",
            json!(["8476a536-e9f4-11e8-9739-2dfe598c3fcd", "f", "128", "ü", true, "Root="]),
        ),
    ] {
        let Some(function) = nodejs(code) else { return };
        let mut instance = function.start().await.expect("starts");
        for _ in 0..3 {
            let (result, log) = invoke(&mut instance, "{\"a\":\"ü\"}").await;
            assert_eq!(result.as_ref(), Ok(&expected), "{code}: {log}");
        }
        instance.stop(ShutdownReason::Spindown).await;
    }
}

// Node.js: both kinds of modules load, in directories and by nested names.
#[tokio::test]
async fn nodejs_modules() {
    const ESM: &str = "export const handler = async () => 'esm'";
    let cases: [(Files<'_>, &str, &str); 5] = [
        (&[("app.mjs", ESM)], "app.handler", "esm"),
        (&[("app.js", ESM), ("package.json", "{\"type\":\"module\"}")], "app.handler", "esm"),
        (&[("d/app.cjs", "exports.handler = async () => 'cjs'")], "d/app.handler", "cjs"),
        (&[("app.js", "exports.a = { b: async () => 'nested' }")], "app.a.b", "nested"),
        (&[("app/index.js", "exports.handler = async () => 'index'")], "app.handler", "index"),
    ];
    for (files, handler, expected) in cases {
        let Some(function) = Function::new(Language::Nodejs, files, handler) else { return };
        assert_eq!(function.run("{}").await.0, Ok(json!(expected)), "{handler}");
    }
}

// Node.js: errors keep their type, message and trace, and console lines reach the tail.
#[tokio::test]
async fn nodejs_errors() {
    for (code, kind, message) in [
        (
            "exports.handler = async () => { console.log('seen'); throw new TypeError('no') }",
            "TypeError",
            "no",
        ),
        (
            "exports.handler = (event, context, callback) => { console.log('seen'); callback('text') }",
            "string",
            "text",
        ),
        (
            "exports.handler = (event, context) => { console.log('seen'); context.fail(new Error('f')) }",
            "Error",
            "f",
        ),
        (
            "exports.handler = async () => { console.log('seen'); return 1n }",
            "Runtime.MarshalError",
            "Unable to marshal response: Do not know how to serialize a BigInt",
        ),
        (
            "exports.handler = () => { console.log('seen'); setImmediate(() => { throw new Error('late') }) }",
            "Error",
            "late",
        ),
        (
            "exports.handler = () => { console.log('seen'); Promise.reject(new Error('lost')); \
          return new Promise(() => {}) }",
            "Runtime.UnhandledPromiseRejection",
            "Error: lost",
        ),
    ] {
        let Some(function) = nodejs(code) else { return };
        let (result, log) = function.run("{}").await;
        let error = result.expect_err(code);
        assert_eq!(error["errorType"], kind, "{error}");
        assert_eq!(error["errorMessage"], message);
        assert!(error["trace"].is_array());
        assert!(log.contains("\t8476a536-e9f4-11e8-9739-2dfe598c3fcd\tINFO\tseen\n"), "{log}");
    }
}

// Node.js: each way in which a handler cannot be loaded has Lambda's name for it.
#[tokio::test]
async fn nodejs_init_errors() {
    for (code, handler, kind, message) in [
        (
            "require('no-such')",
            "app.handler",
            "Runtime.ImportModuleError",
            "Cannot find module 'no-such'",
        ),
        ("", "other.handler", "Runtime.ImportModuleError", "Cannot find module"),
        ("exports.handler = (", "app.handler", "Runtime.UserCodeSyntaxError", "SyntaxError: "),
        (
            "exports.x = 1",
            "app.handler",
            "Runtime.HandlerNotFound",
            "app.handler is undefined or not exported",
        ),
        ("", "handler", "Runtime.MalformedHandlerName", "Bad handler"),
        ("throw new RangeError('init')", "app.handler", "RangeError", "init"),
    ] {
        let Some(function) = Function::new(Language::Nodejs, &[("app.js", code)], handler) else {
            return;
        };
        let error = function.init_error().await;
        assert_eq!(error["errorType"], kind, "{error}");
        assert!(
            error["errorMessage"].as_str().is_some_and(|text| text.contains(message)),
            "{error}"
        );
    }
}

// The interpreters found are programs that instances can see, and never shims.
#[test]
fn interpreters_are_programs() {
    for found in Runtimes::discover(&[]).interpreters() {
        assert!(!found.path.starts_with("/root") && !found.path.starts_with("/home"), "{found:?}");
        assert!(found.path.is_absolute() && Path::new(&found.path).is_file());
        assert!(found.name.starts_with("python") || found.name.starts_with("nodejs"));
    }
}
