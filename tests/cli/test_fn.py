"""`peek fn`: functions without an AWS CLI, from whatever stands on disk."""

import json
import os
import shutil
import subprocess

import pytest

from conftest import PYTHON, ROOT, zipped

from .conftest import run

HELLO = "def handler(event, context):\n    print('seen', event)\n    return {'hello': event}\n"


# A directory becomes a layer beside the function that names it, and so does one that a template names.
def test_layers(peek, tmp_path):
    for path, text in {
        "with_layer/app.py": "import shared\ndef handler(e, c): return shared.said", "words/python/shared.py": "said = 'layer'",
        "template.yaml": (
            "Transform: AWS::Serverless-2016-10-31\nResources:\n"
            "  Words: {Type: 'AWS::Serverless::LayerVersion', Properties: {LayerName: words, ContentUri: words/}}\n"
            "  Sam:\n    Type: AWS::Serverless::Function\n    Properties:\n      FunctionName: of-template\n"
            f"      Runtime: {PYTHON}\n      Handler: app.handler\n      CodeUri: with_layer/\n      Layers: [!Ref Words]\n"
        ),
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    for what in [
        ("deploy", tmp_path / "with_layer", "--name", "with-layer", "--layer", tmp_path / "words"),
        ("deploy", tmp_path / "template.yaml"),
    ]:
        done = peek("fn", *what)
        assert done.returncode == 0, done.stderr
        assert ":layer:words:" in done.stderr
    for name in "with-layer", "of-template":
        assert json.loads(peek("fn", "invoke", name).stdout) == "layer"
    peek("fn", "rm", "with-layer", "of-template")


@pytest.fixture
def hello(peek, tmp_path):
    """A deployed function of its own name."""
    name = f"hello-{tmp_path.name}".replace("_", "-")[:60]
    file = tmp_path / "app.py"
    file.write_text(HELLO)
    done = peek("fn", "deploy", file, "--name", name)
    assert done.returncode == 0, done.stderr
    yield name
    peek("fn", "rm", name)


# With nothing exported, a directory becomes a function: what was guessed is said, the endpoint and the keys are found in
# the data directory, and the whole life of a function needs no other program.
def test_the_whole_life_of_a_function(peek, tmp_path):
    folder = tmp_path / "greeter"
    folder.mkdir()
    (folder / "app.py").write_text(HELLO)
    done = peek("fn", "deploy", folder)
    assert done.returncode == 0, done.stderr
    assert "python, handler app.handler" in done.stderr
    assert done.stdout.startswith(f"created greeter: {PYTHON}, handler app.handler, 128 MiB, 3 s")
    done = peek("fn", "invoke", "greeter", '{"n": 1}')
    assert (done.returncode, json.loads(done.stdout)) == (0, {"hello": {"n": 1}})
    done = peek("fn", "ls")
    assert done.returncode == 0 and "greeter" in done.stdout and done.stdout.startswith("NAME")
    names = [it["FunctionName"] for it in json.loads(peek("fn", "ls", "--output", "json").stdout)["Functions"]]
    assert "greeter" in names
    done = peek("fn", "rm", "greeter", "absent")
    assert (done.returncode, done.stdout) == (2, "removed greeter\n")
    assert "cannot remove absent: ResourceNotFoundException" in done.stderr
    assert "greeter" not in peek("fn", "ls").stdout


# A second deployment changes what differs and nothing else; new code runs as soon as the command has returned.
def test_deploying_again_changes_what_differs(peek, tmp_path):
    folder = tmp_path / "again"
    folder.mkdir()
    (folder / "app.py").write_text("def handler(e, c): return 1")

    def deploy(*flags):
        done = peek("fn", "deploy", folder, "--output", "json", *flags)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    first = deploy("--memory", "256", "--timeout", "9", "--env", "A1=x")
    assert first["Action"] == "created"
    assert deploy()["Action"] == "unchanged"
    (folder / "app.py").write_text("import os\ndef handler(e, c): return [2, os.environ.get('B2')]")
    (tmp_path / "env").write_text("# ours\nexport B2='from file'\n")
    second = deploy("--env-file", str(tmp_path / "env"))
    assert second["Action"] == "updated"
    configuration = second["Configuration"]
    assert (configuration["MemorySize"], configuration["Timeout"]) == (256, 9)
    assert configuration["Environment"]["Variables"] == {"B2": "from file"}
    assert json.loads(peek("fn", "invoke", "again").stdout) == [2, "from file"]
    peek("fn", "rm", "again")


# The event comes from the command line, a file or standard input, and text that is no JSON is refused before it is sent.
def test_payloads(peek, hello, tmp_path):
    (tmp_path / "event.json").write_text('{"from": "file"}')
    assert json.loads(peek("fn", "invoke", hello, f"@{tmp_path}/event.json").stdout) == {"hello": {"from": "file"}}
    assert json.loads(peek("fn", "invoke", hello, "-", stdin="[1, 2]").stdout) == {"hello": [1, 2]}
    assert json.loads(peek("fn", "invoke", hello).stdout) == {"hello": {}}
    done = peek("fn", "invoke", hello, "text")
    assert done.returncode == 2 and "no JSON" in done.stderr and "@FILE" in done.stderr


# The status tells a script who failed: the function (1), or what stands before it (2). The log's tail is for people.
def test_statuses_and_log(peek, hello, tmp_path):
    done = peek("fn", "invoke", hello, '"x"', "--log")
    assert done.returncode == 0 and json.loads(done.stdout) == {"hello": "x"}
    assert "START RequestId: " in done.stderr and "seen x" in done.stderr and "REPORT " in done.stderr
    (tmp_path / "bad.py").write_text("def handler(e, c): raise KeyError('lost')")
    assert peek("fn", "deploy", tmp_path / "bad.py").returncode == 0
    done = peek("fn", "invoke", "bad")
    assert done.returncode == 1 and "the function failed: KeyError" in done.stderr
    done = peek("fn", "invoke", "bad", "--output", "json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["FunctionError"], answer["StatusCode"]) == (1, "Unhandled", 200)
    assert answer["Payload"]["errorType"] == "KeyError"
    done = peek("fn", "invoke", "absent")
    assert done.returncode == 2 and "ResourceNotFoundException" in done.stderr
    done = peek("fn", "invoke", hello, "--no-such-flag")
    assert done.returncode == 2
    peek("fn", "rm", "bad")


# Whatever form a function is in, it is deployed as it is: a zip, a script in JavaScript, a shell script, a compiled program
# where cargo lambda build leaves one.
def test_forms(peek, tmp_path):
    (tmp_path / "zipped.zip").write_bytes(zipped({"lambda_function.py": "def lambda_handler(e, c): return 'zip'"}))
    (tmp_path / "scripted").write_text(
        '#!/bin/sh\nwhile :; do\n'
        '  exec 3<>/dev/null\n'
        '  /usr/bin/python3 - <<EOF\n'
        'import os, urllib.request as u\n'
        'base = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"\n'
        'n = u.urlopen(base + "next")\n'
        'u.urlopen(u.Request(base + n.headers["Lambda-Runtime-Aws-Request-Id"] + "/response", b\'"sh"\'))\n'
        'EOF\ndone\n'
    )
    cases = [("zipped.zip", [], "zip"), ("scripted", [], "sh")]
    if shutil.which("node"):
        (tmp_path / "index.mjs").write_text("export const handler = async () => 'js'")
        cases.append(("index.mjs", ["--name", "noded"], "js"))
    for file, flags, expected in cases:
        done = peek("fn", "deploy", tmp_path / file, *flags, "--timeout", "20", "--output", "json")
        assert done.returncode == 0, done.stderr
        name = json.loads(done.stdout)["Configuration"]["FunctionName"]
        done = peek("fn", "invoke", name)
        assert (done.returncode, done.stdout) == (0, f'"{expected}"\n'), done.stderr
        peek("fn", "rm", name)


# What cannot become a function is refused with what to do; nothing is created.
def test_refusals_say_what_to_do(peek, tmp_path):
    (tmp_path / "app.py").write_text("def run(e, c): pass")
    done = peek("fn", "deploy", tmp_path / "app.py")
    assert done.returncode == 2 and "--handler FILE.FUNCTION" in done.stderr
    (tmp_path / "rust").mkdir()
    (tmp_path / "rust" / "Cargo.toml").write_text("[package]\nname = 'x'\n")
    done = peek("fn", "deploy", tmp_path / "rust")
    assert done.returncode == 2 and "cargo lambda build" in done.stderr
    done = peek("fn", "deploy", tmp_path / "app.py", "--handler", "app.run", "--runtime", "python9.9")
    assert done.returncode == 2 and PYTHON in done.stderr
    assert peek("fn", "ls", "--output", "json").returncode == 0


# A machine on which no platform runs says how to start or name one; a platform that was named and is not there is named.
def test_no_platform(tmp_path):
    done = run("fn", "ls", PEEK_DATA=str(tmp_path))
    assert done.returncode == 2 and "no `peek serve` runs" in done.stderr and "--endpoint" in done.stderr
    done = run("fn", "ls", "--endpoint", "http://127.0.0.1:9", AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b")
    assert done.returncode == 2 and "cannot reach http://127.0.0.1:9" in done.stderr


# The variables of every other client work too, and the file that holds endpoint and keys is its owner's alone.
def test_exported_variables(platform):
    exported = {**platform.credentials, "AWS_ENDPOINT_URL": platform.endpoint}
    done = run("fn", "ls", **exported)
    assert done.returncode == 0, done.stderr
    done = run("fn", "ls", **{**exported, "AWS_SECRET_ACCESS_KEY": "wrong"})
    assert done.returncode == 2 and "signature" in done.stderr.lower()
    for file in ("endpoint.json", "credentials.json"):
        assert os.stat(platform.data / file).st_mode & 0o777 == 0o600


# A program of the official Rust runtime is taken from where cargo lambda build leaves it, under its own name, and runs.
def test_output_of_cargo_lambda(peek, tmp_path):
    folder = ROOT / "tests" / "functions" / "hello"
    environment = {name: value for name, value in os.environ.items() if name != "CARGO_TARGET_DIR"}
    subprocess.run(["cargo", "build", "--release", "--quiet", "--locked"], cwd=folder, env=environment, check=True)
    place = tmp_path / "project" / "target" / "lambda" / "rusty"
    place.mkdir(parents=True)
    (tmp_path / "project" / "Cargo.toml").write_text("[package]\nname = 'rusty'\n")
    shutil.copy(folder / "target" / "release" / "hello", place / "bootstrap")
    done = peek("fn", "deploy", tmp_path / "project", "--output", "json")
    assert done.returncode == 0, done.stderr
    configuration = json.loads(done.stdout)["Configuration"]
    assert (configuration["FunctionName"], configuration["Runtime"]) == ("rusty", "provided.al2023")
    assert json.loads(peek("fn", "invoke", "rusty", '{"n": 1}').stdout)["event"] == {"n": 1}
    peek("fn", "rm", "rusty")
