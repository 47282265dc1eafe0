//! External extensions beside a runtime, in their sandbox.

use crate::support::{HOST, World, invocation, is_root};
use model::{InstanceId, Span};
use sandbox::container::{Container, ContainerControl, ContainerInstance};
use sandbox::{
    DroppedLines, End, Extension, Identity, Instance, Kind, LogLine, LogSink, Outcome, Package,
    Phase, Settings, ShutdownReason, StartError, Started,
};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What extensions are written with: `register(*events)`, `ask()` and `fail(where, kind)`.
const EXTENSION: &str = "#!/usr/bin/python3 -u
import http.client, json, os, signal, sys, time
NAME = os.path.basename(sys.argv[0])
api = http.client.HTTPConnection(os.environ['AWS_LAMBDA_RUNTIME_API'])
identifier = None
def call(method, path, body=None, **headers):
    api.request(method, '/2020-01-01/extension/' + path, body, headers)
    answer = api.getresponse()
    return answer, json.loads(answer.read())
def register(*events):
    global identifier
    answer, body = call('POST', 'register', json.dumps({'events': events}), **{'Lambda-Extension-Name': NAME})
    identifier = answer.headers['Lambda-Extension-Identifier']
    return body
def ask():
    return call('GET', 'event/next', **{'Lambda-Extension-Identifier': identifier})[1]
def fail(where, kind):
    return call('POST', where + '/error', '{}', **{'Lambda-Extension-Identifier': identifier,
        'Lambda-Extension-Function-Error-Type': kind})
";

/// A runtime that answers each event with itself, says when it is told to end, and obeys `exit`.
const BOOTSTRAP: &str = "#!/usr/bin/python3 -u
import http.client, os, signal, sys
print('runtime up')
def end(*_):
    print('runtime told to end')
    os._exit(0)
signal.signal(signal.SIGTERM, end)
api = http.client.HTTPConnection(os.environ['AWS_LAMBDA_RUNTIME_API'])
while True:
    api.request('GET', '/2018-06-01/runtime/invocation/next')
    answer = api.getresponse()
    event = answer.read()
    if event == b'\"exit\"': os._exit(5)
    api.request('POST', '/2018-06-01/runtime/invocation/' + answer.headers['Lambda-Runtime-Aws-Request-Id'] + '/response', event)
    api.getresponse().read()
";

#[derive(Debug, Default)]
struct Kept(Mutex<Vec<String>>);

impl LogSink for Kept {
    fn line(&self, line: &LogLine<'_>) {
        self.0.lock().expect("no panic").push(String::from_utf8_lossy(line.text).into_owned());
    }
    fn dropped(&self, _: &DroppedLines<'_>) {}
}

fn settings() -> Settings {
    let mut settings = crate::support::settings();
    let api = ("AWS_LAMBDA_RUNTIME_API".to_owned(), "127.0.0.1:9001".to_owned());
    settings.environment.extend([api]);
    settings
}

struct Stage {
    world: World,
    layers: TempDir,
    log: Arc<Kept>,
}

impl Stage {
    async fn new(name: &str) -> Self {
        let world = World::new(name).await;
        world.script("bootstrap", BOOTSTRAP);
        let layers = TempDir::new().expect("layers");
        let mode = PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(layers.path(), mode).expect("layers are readable");
        std::fs::create_dir(layers.path().join("extensions")).expect("directory");
        Self { world, layers, log: Arc::default() }
    }

    /// Adds an extension, which is EXTENSION and this.
    fn extension(&self, name: &str, code: &str) {
        self.file(name, &format!("{EXTENSION}{code}"), 0o755);
    }

    fn file(&self, name: &str, text: &str, mode: u32) {
        let path = self.layers.path().join("extensions").join(name);
        std::fs::write(&path, text).expect("extension");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("permissions");
    }

    async fn start(
        &self,
        number: u64,
    ) -> Result<Started<ContainerInstance<ContainerControl>>, StartError> {
        self.start_with(number, &settings()).await
    }

    async fn start_with(
        &self,
        number: u64,
        settings: &Settings,
    ) -> Result<Started<ContainerInstance<ContainerControl>>, StartError> {
        let layers = Some(self.layers.path().to_owned());
        let package = Package { digest: "d".into(), directory: self.world.package(), layers };
        let image = self.world.container.prepare(&package, settings).await.expect("prepares");
        let log = Some(Arc::clone(&self.log) as Arc<dyn LogSink>);
        let environment = BTreeMap::new();
        let instance = InstanceId(number);
        let identity = Identity { instance, host: HOST, environment, log, phase: Phase::Init };
        <Container as Kind>::start(&self.world.container, &image, settings, identity).await
    }

    /// What was written so far, sorted; and forgets it.
    fn lines(&self) -> Vec<String> {
        let mut lines = std::mem::take(&mut *self.log.0.lock().expect("no panic"));
        lines.sort();
        lines
    }

    async fn close(self) {
        self.world.close().await;
    }
}

async fn invoke(
    instance: &mut impl Instance,
    payload: &'static str,
) -> (Option<Outcome>, Result<(), End>) {
    let mut outcome = None;
    let ended = instance.invoke(invocation(payload), |it| outcome = Some(it)).await;
    (outcome, ended)
}

// An extension is started before the runtime, sees every invocation and the end, has time for it after the runtime was told,
// and is frozen in between.
#[tokio::test]
async fn a_whole_life() {
    if !is_root() {
        return;
    }
    let stage = Stage::new("extension").await;
    stage.extension(
        "watcher",
        "
print('up', os.getcwd(), '_HANDLER' in os.environ, os.environ['MINE'])
print(json.dumps(register('INVOKE', 'SHUTDOWN')))
while True:
    event = ask()
    if event['eventType'] == 'SHUTDOWN':
        print('end', event['shutdownReason'], 0 < event['deadlineMs'] / 1000 - time.time() < 2)
        sys.exit(0)
    print('saw', event['requestId'])
    time.sleep(0.2)
",
    );
    let mut settings = settings();
    let variables = [("MINE", "1"), ("_HANDLER", "app.handler")];
    settings.environment.extend(variables.map(|(name, value)| (name.into(), value.into())));
    let Started { mut instance, extensions, .. } =
        stage.start_with(1, &settings).await.expect("starts");
    let events = vec!["INVOKE".to_owned(), "SHUTDOWN".to_owned()];
    assert_eq!(extensions, [Extension { name: "watcher".into(), events }]);
    let lines = stage.lines();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines.contains(&"up / False 1".to_owned()), "{lines:?}");
    assert!(
        lines[2].starts_with("{\"functionName\"")
            || lines.iter().any(|it| it.contains("functionName"))
    );
    for _ in 0..2 {
        let (outcome, ended) = invoke(&mut instance, "1").await;
        assert!(matches!(outcome, Some(Outcome::Response { .. })), "{outcome:?}");
        assert_eq!(ended, Ok(()));
        let extensions = instance.usage().extensions;
        assert!(
            (Span::from_millis(150)..Span::from_secs(20)).contains(&extensions),
            "{extensions}"
        );
        instance.rest().await;
        assert_eq!(stage.lines(), ["saw 8476a536-e9f4-11e8-9739-2dfe598c3fcd"]);
    }
    instance.stop(ShutdownReason::Spindown).await;
    assert_eq!(stage.lines(), ["end spindown True", "runtime told to end"]);
    stage.close().await;
}

// Extensions that end, say that they fail, cannot be started, or never register end the init, each with its own error; the
// runtime is not started before all have registered. One that has registered hears of the failure.
#[tokio::test]
async fn failures_in_init() {
    if !is_root() {
        return;
    }
    let stage = Stage::new("failing").await;
    let settings = Settings { init_timeout: Span::from_millis(2500), ..settings() };
    let listener = "register('SHUTDOWN')\nprint(ask()['shutdownReason'])\n";
    stage.extension("listener", listener);
    let crash = |status, signal| End::ExtensionExited { name: "other".into(), status, signal };
    let fails = |kind, reason: &str| End::Extension {
        name: "other".into(),
        kind,
        reason: reason.to_owned(),
    };
    let wait = "time.sleep(0.5)\n";
    let cases = [
        ("sys.exit(3)", crash(Some(3), None)),
        ("os.kill(os.getpid(), 9)", crash(None, Some(9))),
        (
            "register()\ntime.sleep(0.7)\nfail('init', 'Extension.NoRoom')\ntime.sleep(9)",
            fails("Extension.InitError", "Extension.NoRoom"),
        ),
        (
            "register()\ntime.sleep(0.7)\nfail('exit', 'Extension.Bug')\ntime.sleep(9)",
            fails("Extension.ExitError", "Extension.Bug"),
        ),
        ("time.sleep(60)", End::InitTimedOut),
    ];
    for (number, (code, expected)) in cases.into_iter().enumerate() {
        stage.extension("other", &format!("{wait}{code}\n"));
        let number = u64::try_from(number).expect("few");
        let error = stage.start_with(number, &settings).await.expect_err("fails");
        let StartError::Ended { end, .. } = error else { panic!("{error:?}") };
        assert_eq!(end, expected, "{code}");
        let lines = stage.lines();
        assert!(lines.contains(&"failure".to_owned()), "{code}: {lines:?}");
        assert_eq!(
            lines.contains(&"runtime up".to_owned()),
            code.starts_with("register"),
            "{code}: {lines:?}"
        );
    }
    for (text, mode, words) in [
        ("#!/bin/sh\n", 0o644, "fork/exec /opt/extensions/other: permission denied"),
        ("no program", 0o755, "fork/exec /opt/extensions/other: exec format error"),
    ] {
        stage.file("other", text, mode);
        let error = stage.start_with(9, &settings).await.expect_err("fails");
        let StartError::Ended { end, .. } = error else { panic!("{error:?}") };
        assert_eq!(end, fails("Extension.LaunchError", words));
    }
    stage.close().await;
}

// An end in an invocation, of the extension or of the runtime, is that invocation's; the others hear of it.
#[tokio::test]
async fn failures_in_invocations() {
    if !is_root() {
        return;
    }
    let stage = Stage::new("crashing").await;
    stage.extension("listener", "register('SHUTDOWN')\nprint(ask()['shutdownReason'])\n");
    stage.extension("watcher", "register('INVOKE')\nask()\ntime.sleep(0.3)\nos._exit(7)\n");
    let mut instance = stage.start(1).await.expect("starts").instance;
    let (outcome, ended) = invoke(&mut instance, "1").await;
    assert!(matches!(outcome, Some(Outcome::Response { .. })), "answered before: {outcome:?}");
    let crashed = End::ExtensionExited { name: "watcher".into(), status: Some(7), signal: None };
    assert_eq!(ended, Err(crashed));
    instance.stop(ShutdownReason::Failure).await;
    assert_eq!(stage.lines(), ["failure", "runtime told to end", "runtime up"]);

    let mut instance = stage.start(2).await.expect("starts").instance;
    let (outcome, ended) = invoke(&mut instance, "\"exit\"").await;
    let exited = End::Exited { status: Some(5), signal: None };
    assert_eq!(ended, Err(exited.clone()));
    assert!(matches!(outcome, Some(Outcome::Ended { end, .. }) if end == exited));
    instance.stop(ShutdownReason::Failure).await;
    assert_eq!(stage.lines(), ["failure", "runtime up"]);
    stage.close().await;
}

// The end takes at most two seconds, whatever extensions and runtime ignore, and nothing without extensions.
#[tokio::test]
async fn the_end_has_a_bound() {
    if !is_root() {
        return;
    }
    let stage = Stage::new("stubborn").await;
    stage.world.script("bootstrap", &BOOTSTRAP.replace("os._exit(0)", "return"));
    stage.extension(
        "stubborn",
        "
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    time.sleep(600)
register('INVOKE', 'SHUTDOWN')
print(ask()['eventType'])
time.sleep(600)
",
    );
    let mut instance = stage.start(1).await.expect("starts").instance;
    instance.rest().await;
    let began = Instant::now();
    instance.stop(ShutdownReason::Timeout).await;
    let took = began.elapsed();
    assert!((Duration::from_secs(2)..Duration::from_secs(20)).contains(&took), "{took:?}");
    assert_eq!(stage.lines(), ["SHUTDOWN", "runtime told to end", "runtime up"]);
    stage.close().await;
}

// An extension that ends the process that looks after it ends its own sandbox, and no more.
#[tokio::test]
async fn a_killed_warden_ends_the_sandbox() {
    if !is_root() {
        return;
    }
    let stage = Stage::new("warden").await;
    stage.extension(
        "killer",
        "register('INVOKE')\nask()\nos.kill(os.getppid(), 9)\ntime.sleep(600)\n",
    );
    let mut instance = stage.start(1).await.expect("starts").instance;
    let (_, ended) = invoke(&mut instance, "1").await;
    assert_eq!(ended, Err(End::Exited { status: None, signal: Some(9) }));
    instance.stop(ShutdownReason::Failure).await;
    stage.close().await;
}

/// Listeners for telemetry: each says what it gets. The first request is refused.
const LISTENER: &str = r#"
import http.server, socketserver, threading
def say(*words):
    # One write, as others write to the same pipe.
    os.write(1, (' '.join(map(str, (NAME, *words))) + '\n').encode())
class Listener(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        events = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
        global refused
        if not refused:
            refused = True
            self.send_response(500)
        else:
            for event in events: say(self.path, json.dumps(event))
            self.send_response(200)
        self.end_headers()
    def log_message(self, *_): pass
class Lines(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            event = json.loads(line)
            # Once of each kind: what is said is an event itself.
            if event['type'] not in seen:
                seen.add(event['type'])
                say(json.dumps(event))
refused, seen = False, set()
def serve(kind, port):
    server = socketserver.ThreadingTCPServer(('sandbox.localdomain', port), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
def subscribe(path, **body):
    api.request('PUT', path, json.dumps(body), {'Lambda-Extension-Identifier': identifier})
    answer = api.getresponse()
    say('subscribed', answer.status, answer.read().decode())
"#;

const BY_REQUESTS: &str = r#"
serve(Listener, 8081)
register('INVOKE', 'SHUTDOWN')
subscribe('/2022-07-01/telemetry', schemaVersion='2022-12-13', types=['platform', 'function'],
    buffering={'timeoutMs': 25}, destination={'protocol': 'HTTP', 'URI': 'http://sandbox.localdomain:8081/in'})
"#;

const BY_LINES: &str = r#"
serve(Lines, 8082)
register('SHUTDOWN')
subscribe('/2020-08-15/logs', types=['platform', 'extension'], buffering={'timeoutMs': 25},
    destination={'protocol': 'TCP', 'port': 8082})
subscribe('/2022-07-01/telemetry', schemaVersion='2022-07-01', types=['platform'],
    destination={'protocol': 'TCP', 'port': 8082})
"#;

const UNTIL_THE_END: &str = "
while True:
    event = ask()
    if event['eventType'] == 'SHUTDOWN': break
time.sleep(0.5)
";

// Who subscribes is sent what happens, what is written, and the platform's report: in batches, from within the sandbox, the
// last of it before the end; by either API, as requests or as lines.
#[tokio::test]
async fn telemetry() {
    if !is_root() {
        return;
    }
    let stage = Stage::new("telemetry").await;
    stage.extension("http", &format!("{LISTENER}{BY_REQUESTS}{UNTIL_THE_END}"));
    stage.extension("tcp", &format!("{LISTENER}{BY_LINES}{UNTIL_THE_END}"));
    let mut instance = stage.start(1).await.expect("starts").instance;
    let (outcome, ended) = invoke(&mut instance, "[1, 2]").await;
    assert!(matches!(outcome, Some(Outcome::Response { .. })) && ended == Ok(()));
    instance.tell(r#"{"time": "t", "type": "platform.report", "record": {"requestId": "r"}}"#);
    instance.rest().await;
    instance.stop(ShutdownReason::Spindown).await;
    let lines = stage.lines();
    assert!(lines.contains(&"http subscribed 200 \"OK\"".to_owned()), "{lines:?}");
    let refused = lines
        .iter()
        .any(|it| it.starts_with("tcp subscribed 400") && it.contains("ValidationError"));
    assert!(refused, "{lines:?}");
    let of = |name: &str| -> Vec<serde_json::Value> {
        let events = lines.iter().filter_map(|line| line.strip_prefix(name));
        events.map(|json| serde_json::from_str(json).expect("an event")).collect()
    };
    let http = of("http /in ");
    let kinds: std::collections::BTreeSet<_> =
        http.iter().map(|event| event["type"].as_str().expect("a type").to_owned()).collect();
    let expected = [
        "function",
        "platform.extension",
        "platform.initReport",
        "platform.initRuntimeDone",
        "platform.initStart",
        "platform.report",
        "platform.runtimeDone",
        "platform.start",
        "platform.telemetrySubscription",
    ];
    assert_eq!(kinds.iter().collect::<Vec<_>>(), expected, "{lines:?}");
    let find = |kind: &str| http.iter().find(|it| it["type"] == kind).expect("it is there");
    assert_eq!(find("function")["record"], "runtime up");
    let start = find("platform.initStart");
    assert_eq!(
        (&start["record"]["phase"], &start["record"]["runtimeVersion"]),
        (&"init".into(), &"provided.al2023".into())
    );
    let done = find("platform.runtimeDone");
    assert_eq!(done["record"]["status"], "success");
    assert_eq!(done["record"]["metrics"]["producedBytes"], 6);
    assert!(done["record"]["metrics"]["durationMs"].as_f64().is_some_and(|it| it > 0.0));
    assert_eq!(
        find("platform.start")["record"]["requestId"],
        "8476a536-e9f4-11e8-9739-2dfe598c3fcd"
    );
    assert_eq!(find("platform.extension")["record"]["state"], "Ready");
    said_by_lines(&lines);
    stage.close().await;
}

/// What the subscriber of the Logs API got.
fn said_by_lines(lines: &[String]) {
    let tcp: Vec<_> = lines.iter().filter(|it| it.starts_with("tcp {")).collect();
    let has = |kind: &str| tcp.iter().any(|it| it.contains(&format!("\"type\": \"{kind}\"")));
    for kind in [
        "platform.start",
        "platform.end",
        "platform.report",
        "platform.logsSubscription",
        "extension",
    ] {
        assert!(has(kind), "{kind} in {tcp:?}");
    }
    assert!(
        !has("platform.runtimeDone") && !has("platform.initStart") && !has("function"),
        "{tcp:?}"
    );
}
