"""Real runtimes in real sandboxes: ours, the official Rust one, and awslambdaric."""

import base64
import json
import pathlib
import subprocess
import sys
import textwrap
import time

import pytest
from conftest import PYTHON, ROLE, zipped

NODE = pathlib.Path("/usr/bin/node")


def node_runtime():
    version = subprocess.run([NODE, "--version"], capture_output=True, text=True).stdout
    return f"nodejs{version.strip().lstrip('v').split('.')[0]}.x"


# A binary with the official Rust runtime runs unchanged: results, errors, context.
def test_rust(platform, hello):
    platform.deploy("rust", {"bootstrap": hello}, Runtime="provided.al2023", Handler="ignored")
    payload, error, log = platform.invoke("rust", {"n": 1})
    assert error is None and payload["event"] == {"n": 1}
    assert payload["arn"] == "arn:aws:lambda:us-east-1:123456789012:function:rust"
    assert f"START RequestId: {payload['request_id']} Version: $LATEST" in log
    assert "Init Duration" in log
    payload, error, _ = platform.invoke("rust", {"fail": "on purpose"})
    assert error == "Unhandled" and payload["errorMessage"] == "on purpose"
    assert "Init Duration" not in platform.invoke("rust", {})[2]


# The environment and the context are those that Lambda's documentation promises.
def test_python_environment(platform):
    code = """
    import os
    def handler(event, context):
        print("said by the function")
        return {
            "environment": dict(os.environ),
            "name": context.function_name,
            "version": context.function_version,
            "arn": context.invoked_function_arn,
            "memory": context.memory_limit_in_mb,
            "request_id": context.aws_request_id,
            "group": context.log_group_name,
            "stream": context.log_stream_name,
            "left_ms": context.get_remaining_time_in_millis(),
            "client": context.client_context and context.client_context.custom,
            "cwd": os.getcwd(),
        }
    """
    platform.deploy(
        "environment",
        textwrap.dedent(code),
        Environment={"Variables": {"MINE": "its value"}},
        MemorySize=256,
        Timeout=9,
    )
    payload, error, log = platform.invoke("environment")
    assert error is None, payload
    environment = payload["environment"]
    expected = {
        "MINE": "its value",
        "AWS_LAMBDA_FUNCTION_NAME": "environment",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/environment",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{PYTHON}",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "LAMBDA_TASK_ROOT": "/var/task",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "_HANDLER": "app.handler",
        "TZ": ":UTC",
    }
    assert expected.items() <= environment.items()
    for name in ("AWS_LAMBDA_RUNTIME_API", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
                 "AWS_SESSION_TOKEN", "PATH", "LD_LIBRARY_PATH", "LANG", "_X_AMZN_TRACE_ID"):
        assert environment.get(name), name
    assert environment["AWS_LAMBDA_LOG_STREAM_NAME"] == payload["stream"]
    assert (payload["name"], payload["version"], str(payload["memory"])) == ("environment", "$LATEST", "256")
    assert payload["group"] == "/aws/lambda/environment" and 0 < payload["left_ms"] <= 9000
    assert payload["cwd"] == "/var/task"
    assert "said by the function" in log and payload["request_id"] in log
    answer = platform.client.invoke(
        FunctionName="environment",
        ClientContext=base64.b64encode(json.dumps({"custom": {"k": "v"}}).encode()).decode(),
    )
    assert json.loads(answer["Payload"].read())["client"] == {"k": "v"}
    assert answer["ExecutedVersion"] == "$LATEST"


# Python errors have type, message and trace as at AWS, and do not end the instance.
def test_python_errors(platform):
    code = """
    import uuid
    me = str(uuid.uuid4())
    def handler(event, context):
        if event == "fail":
            raise ValueError("what was wrong")
        if event == "unserialisable":
            return object()
        return me
    """
    platform.deploy("errors", textwrap.dedent(code))

    first = platform.invoke("errors")[0]
    payload, error, _ = platform.invoke("errors", "fail")
    assert error == "Unhandled"
    assert (payload["errorType"], payload["errorMessage"]) == ("ValueError", "what was wrong")
    assert payload["stackTrace"] and "handler" in payload["stackTrace"][-1]
    payload, error, _ = platform.invoke("errors", "unserialisable")
    assert error == "Unhandled" and payload["errorType"] == "Runtime.MarshalError"
    assert platform.invoke("errors")[0] == first


@pytest.mark.skipif(not NODE.exists(), reason="no /usr/bin/node: apt-get install nodejs")
@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("cjs", {"app.js": "exports.handler = async (event, context) => ({ event, left: context.getRemainingTimeInMillis() > 0 })"}),
        ("esm", {"app.mjs": "export const handler = async (event) => ({ event, left: true })"}),
        ("callback", {"app.js": "exports.handler = (event, context, done) => setTimeout(() => done(null, { event, left: true }), 10)"}),
    ],
)
def test_node(platform, name, files):
    platform.deploy(f"node-{name}", files, Runtime=node_runtime(), MemorySize=512)
    payload, error, _ = platform.invoke(f"node-{name}", {"n": 1})
    assert (payload, error) == ({"event": {"n": 1}, "left": True}, None)


# awslambdaric, AWS's own client, runs unchanged from a package's bootstrap.
def test_awslambdaric(platform, tmp_path):
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
         "--target", tmp_path, "--python-version", PYTHON.removeprefix("python"),
         "--only-binary", ":all:", "awslambdaric"],
        check=True,
    )
    files = {
        str(path.relative_to(tmp_path)): path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file()
    }
    files["app.py"] = "def handler(event, context): return {'echo': event, 'id': context.aws_request_id}"
    files["bootstrap"] = f"#!/bin/sh\nexec /usr/bin/{PYTHON} -m awslambdaric app.handler\n"
    platform.deploy("ric", files, Runtime="provided.al2023", MemorySize=512)
    payload, error, _ = platform.invoke("ric", {"n": 1})
    assert error is None and payload["echo"] == {"n": 1} and len(payload["id"]) == 36


# A runtime that is not installed is refused with what is, never mapped to another.
def test_unknown_runtime(platform):
    with pytest.raises(platform.client.exceptions.InvalidParameterValueException) as refusal:
        platform.client.create_function(
            FunctionName="old", Role=ROLE, Runtime="python2.7", Handler="a.b",
            Code={"ZipFile": zipped({"a.py": ""})},
        )
    assert PYTHON in str(refusal.value)


# After the response an instance is frozen: a thread that would go on working does so for milliseconds, not for the second
# until the next invocation.
def test_no_unpaid_work(platform):
    code = """
    import threading, time
    stamps = []
    def work():
        while True:
            stamps.append(time.monotonic())
            time.sleep(0.001)
    threading.Thread(target=work, daemon=True).start()
    answered = None
    def handler(event, context):
        global answered
        if answered is None:
            answered = time.monotonic()
            return None
        now = time.monotonic()
        after = [answered] + [stamp for stamp in stamps if answered < stamp < now] + [now]
        gap, since = max((later - earlier, earlier) for earlier, later in zip(after, after[1:]))
        return {"worked_s": since - answered, "frozen_s": gap}
    """
    platform.deploy("worker", textwrap.dedent(code), MemorySize=1769)
    platform.invoke("worker")
    time.sleep(2)
    seen = platform.invoke("worker")[0]
    # 10 ms are promised; a busy machine may take longer to look, but not most of the pause.
    assert seen["frozen_s"] > 1 and seen["worked_s"] < 0.5, seen
