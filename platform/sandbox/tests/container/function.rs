//! Whole functions through the seam: prepare, start, invoke, rest, stop.

use crate::support::{HOST, World, invocation, is_root, settings};
use model::{InstanceId, MemoryMib};
use sandbox::runtime::{FunctionVariables, function_environment};
use sandbox::{
    Identity, Instance, Kind, Outcome, Package, Phase, PrepareError, Settings, ShutdownReason,
};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

fn function(runtime: &str, handler: &str) -> Settings {
    let environment = function_environment(&FunctionVariables {
        name: "f",
        version: "$LATEST",
        runtime,
        handler,
        memory: MemoryMib(256),
        region: "eu-west-1",
        log_group: "/aws/lambda/f",
        log_level: None,
        credentials: None,
        own: &BTreeMap::new(),
    });
    Settings {
        runtime: runtime.to_owned(),
        handler: handler.to_owned(),
        environment: environment.expect("no reserved names"),
        ..settings()
    }
}

/// Invokes an instance of the package's function some times, with rests between. Returns the last answer.
async fn serve(world: &World, number: u64, settings: &Settings) -> String {
    serve_with(world, number, settings, None).await
}

/// The same with layers.
async fn serve_with(
    world: &World,
    number: u64,
    settings: &Settings,
    layers: Option<&Path>,
) -> String {
    let layers = layers.map(Path::to_owned);
    let package = Package { digest: "d".into(), directory: world.package(), layers };
    let image = world.container.prepare(&package, settings).await.expect("prepares");
    let identity = Identity {
        instance: InstanceId(number),
        host: HOST,
        environment: BTreeMap::new(),
        log: None,
        phase: Phase::Init,
    };
    let started = world.container.start(&image, settings, identity).await;
    let mut instance = started.expect("starts").instance;
    let mut answer = String::new();
    for _ in 0..3 {
        let mut outcome = None;
        let invoked = instance.invoke(invocation(r#"{"x": 20}"#), |it| outcome = Some(it)).await;
        invoked.expect("asks for its next event");
        let Some(Outcome::Response { payload, .. }) = outcome else { panic!("{outcome:?}") };
        answer = String::from_utf8(payload.to_vec()).expect("text");
        instance.rest().await;
    }
    instance.stop(ShutdownReason::Spindown).await;
    answer
}

// Functions in each interpreter of this machine, and an OS-only one, answer from their sandboxes.
#[tokio::test]
async fn functions_answer() {
    if !is_root() {
        return;
    }
    let world = World::new("function").await;
    world.file("app.py", "def handler(event, context):\n    return event['x'] + 1\n");
    world.file("app.js", "exports.handler = async (event) => event.x + 2;\n");
    world.script(
        "bootstrap",
        r#"#!/usr/bin/python3
import os, urllib.request
api = 'http://%s/2018-06-01/runtime/invocation/' % os.environ['AWS_LAMBDA_RUNTIME_API']
while True:
    event = urllib.request.urlopen(api + 'next')
    event.read()
    urllib.request.urlopen(api + event.headers['Lambda-Runtime-Aws-Request-Id'] + '/response', b'23').read()
"#,
    );
    let mut expected = vec![("provided.al2023".to_owned(), "23")];
    for name in world.container.runtimes() {
        if name.starts_with("python") {
            expected.push((name, "21"));
        } else if name.starts_with("nodejs") {
            expected.push((name, "22"));
        }
    }
    for (number, (runtime, answer)) in (1..).zip(expected) {
        let settings = function(&runtime, "app.handler");
        assert_eq!(serve(&world, number, &settings).await, answer, "{runtime}");
    }
    world.close().await;
}

/// A layer's tree, as the catalog would have it: with a module, a program, a library and a bootstrap.
fn layer() -> tempfile::TempDir {
    let layer = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    for directory in ["python", "bin", "lib", "nodejs/node_modules"] {
        fs::create_dir_all(layer.path().join(directory)).expect("a directory");
    }
    for (path, text) in [
        ("python/shared.py", "number = 30\n"),
        ("bin/ask", "#!/bin/sh\necho 5\n"),
        ("nodejs/node_modules/shared.js", "exports.number = 40;\n"),
        (
            "bootstrap",
            "#!/bin/sh\nexec /usr/bin/python3 -c 'import os\nos.environ[\"FROM\"] = \"layer\"\n\
             exec(open(\"/var/task/app.txt\").read())'\n",
        ),
    ] {
        fs::write(layer.path().join(path), text).expect("a file");
    }
    for path in ["bin/ask", "bootstrap"] {
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(layer.path().join(path), mode).expect("executable");
    }
    for path in ["", "python", "bin", "lib", "nodejs", "nodejs/node_modules"] {
        let path = layer.path().join(path);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("open to all");
        chown(path, Some(0), Some(0)).expect("root's");
    }
    layer
}

// Layers are seen at /opt: modules are found there, programs by PATH, a bootstrap where the package has none; and nothing
// there can be written, not even by who made it so.
#[tokio::test]
async fn layers_are_seen_and_not_written() {
    if !is_root() {
        return;
    }
    let world = World::new("layers").await;
    let layer = layer();
    world.file(
        "app.py",
        "import errno, os, subprocess, sys\nimport shared\n\
         def handler(event, context):\n\
         \x20   for path in ['/opt/new', '/opt/python/shared.py']:\n\
         \x20       try:\n\
         \x20           open(path, 'w')\n\
         \x20           return path\n\
         \x20       except OSError as error:\n\
         \x20           if error.errno != errno.EROFS: return str(error)\n\
         \x20   asked = int(subprocess.check_output(['ask']))\n\
         \x20   in_library_path = '/opt/lib' in os.environ['LD_LIBRARY_PATH'].split(':')\n\
         \x20   return event['x'] + shared.number + asked + in_library_path\n",
    );
    world.file(
        "app.js",
        "const shared = require('shared');\nexports.handler = async (event) => event.x + shared.number;\n",
    );
    world.file(
        "app.txt",
        r#"
import os, urllib.request
api = 'http://%s/2018-06-01/runtime/invocation/' % os.environ['AWS_LAMBDA_RUNTIME_API']
while True:
    event = urllib.request.urlopen(api + 'next')
    event.read()
    answer = os.environ['FROM'].encode()
    urllib.request.urlopen(api + event.headers['Lambda-Runtime-Aws-Request-Id'] + '/response', answer).read()
"#,
    );
    let mut expected = vec![("provided.al2023".to_owned(), "layer")];
    for name in world.container.runtimes() {
        if name.starts_with("python") {
            expected.push((name, "56"));
        } else if name.starts_with("nodejs") {
            expected.push((name, "60"));
        }
    }
    for (number, (runtime, answer)) in (1..).zip(expected) {
        let settings = function(&runtime, "app.handler");
        let answered = serve_with(&world, number, &settings, Some(layer.path())).await;
        assert_eq!(answered, answer, "{runtime}");
    }
    world.close().await;
}

// A runtime that is not here is refused, with what there is.
#[tokio::test]
async fn missing_runtimes_are_refused() {
    if !is_root() {
        return;
    }
    let world = World::new("noruntime").await;
    let package = Package { digest: "d".into(), directory: world.package(), layers: None };
    let settings = function("python2.7", "app.handler");
    let error = world.container.prepare(&package, &settings).await.expect_err("no such runtime");
    let PrepareError::NoRuntime { runtime, found } = error else { panic!("{error:?}") };
    assert_eq!(runtime, "python2.7");
    assert!(found.contains("provided.al2023"), "{found}");
    world.close().await;
}
