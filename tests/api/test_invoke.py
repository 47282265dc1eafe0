"""Functions run as at AWS: payloads, logs, context, errors."""

import base64
import concurrent.futures
import importlib.util
import json
import pathlib
import re
import subprocess
import sys

import pytest

from .conftest import ECHO_PYTHON

CONTEXT_PYTHON = """
import os
def handler(event, context):
    custom = context.client_context.custom if context.client_context else None
    return {
        "request": context.aws_request_id,
        "name": context.function_name,
        "version": context.function_version,
        "arn": context.invoked_function_arn,
        "memory": int(context.memory_limit_in_mb),
        "left": context.get_remaining_time_in_millis(),
        "custom": custom,
        "environment": dict(os.environ),
    }
"""

BOOTSTRAP = """#!/usr/bin/python3
import http.client, os
api = os.environ["AWS_LAMBDA_RUNTIME_API"]
connection = http.client.HTTPConnection(api)
while True:
    connection.request("GET", "/2018-06-01/runtime/invocation/next")
    event = connection.getresponse()
    body = event.read()
    request = event.headers["Lambda-Runtime-Aws-Request-Id"]
    connection.request("POST", f"/2018-06-01/runtime/invocation/{request}/response", body)
    connection.getresponse().read()
"""


NOTHING = object()


def invoke(client, name, payload=NOTHING, **arguments):
    if payload is not NOTHING:
        arguments["Payload"] = json.dumps(payload).encode()
    answer = client.invoke(FunctionName=name, **arguments)
    return answer, json.loads(answer["Payload"].read() or "null")


# Any JSON goes in and comes out.
@pytest.mark.parametrize("event", [{}, {"a": [1, None, "grüß \u2028 😀"]}, [1, 2], "text", 1.5, True, None])
def test_events_come_back(client, make, python, event):
    name = make(python, {"app.py": ECHO_PYTHON})["FunctionName"]
    answer, result = invoke(client, name, event)
    assert answer["StatusCode"] == 200 and "FunctionError" not in answer
    assert answer["ExecutedVersion"] == "$LATEST"
    assert result == event


# No payload is the event {}.
def test_no_payload_is_an_empty_event(client, make, python):
    name = make(python, {"app.py": ECHO_PYTHON})["FunctionName"]
    assert invoke(client, name)[1] == {}


# A payload near the limit comes back whole.
def test_large_payload(client, make, python):
    name = make(python, {"app.py": ECHO_PYTHON}, MemorySize=512, Timeout=30)["FunctionName"]
    event = "x" * (6 * 1024 * 1024 - 200)
    assert invoke(client, name, event)[1] == event


# The same functions run on Node.js.
def test_node(client, make, node):
    code = "exports.handler = async (event, context) => ({ event, request: context.awsRequestId });"
    name = make(node, {"app.js": code})["FunctionName"]
    answer, result = invoke(client, name, {"a": 1})
    assert result == {"event": {"a": 1}, "request": answer["ResponseMetadata"]["RequestId"]}


# A Node.js error has its type and message.
def test_node_error(client, make, node):
    code = "exports.handler = async () => { throw new RangeError('too far'); };"
    answer, error = invoke(client, make(node, {"app.js": code})["FunctionName"])
    assert answer["FunctionError"] == "Unhandled"
    assert (error["errorType"], error["errorMessage"]) == ("RangeError", "too far")


# An executable named bootstrap is a runtime.
def test_custom_runtime(client, make):
    files = {"bootstrap": (BOOTSTRAP, 0o755)}
    name = make("provided.al2023", files, handler="anything")["FunctionName"]
    for number in range(3):
        assert invoke(client, name, number)[1] == number


# The runtime client that AWS ships runs unchanged in a custom runtime.
def test_awslambdaric(client, make):
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    host = subprocess.run(["/usr/bin/python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
                          capture_output=True, text=True, check=False)
    if host.stdout.strip() != own:
        pytest.skip(f"/usr/bin/python3 is {host.stdout.strip() or 'not there'}, this Python is {own}")
    site = pathlib.Path(importlib.util.find_spec("awslambdaric").origin).parents[1]
    files = {"bootstrap": ('#!/bin/sh\nexec /usr/bin/python3 -m awslambdaric "$_HANDLER"\n', 0o755)}
    files["app.py"] = ECHO_PYTHON
    modules = [p for p in site.iterdir() if re.match(r"(awslambdaric|runtime_client|simplejson|snapshot_restore_py)", p.name)]
    for module in modules:
        for path in [module, *module.rglob("*")] if module.is_dir() else [module]:
            if path.is_file() and path.suffix != ".pyc":
                files[str(path.relative_to(site))] = path.read_bytes()
    name = make("provided.al2023", files, MemorySize=512, Timeout=30)["FunctionName"]
    assert invoke(client, name, {"a": 1})[1] == {"a": 1}


# Context and environment hold what Lambda's documentation promises.
def test_context_and_environment(client, make, python):
    created = make(python, {"app.py": CONTEXT_PYTHON}, MemorySize=192, Timeout=20,
                   Environment={"Variables": {"MINE": "m"}})
    context = base64.b64encode(b'{"custom": {"a": "b"}}').decode()
    answer, seen = invoke(client, created["FunctionName"], {}, ClientContext=context)
    assert seen["request"] == answer["ResponseMetadata"]["RequestId"]
    assert (seen["name"], seen["version"]) == (created["FunctionName"], "$LATEST")
    assert (seen["arn"], seen["memory"]) == (created["FunctionArn"], 192)
    assert 0 < seen["left"] <= 20_000
    assert seen["custom"] == {"a": "b"}
    environment = seen["environment"]
    assert environment["MINE"] == "m"
    assert environment["_HANDLER"] == "app.handler"
    assert environment["AWS_REGION"] == environment["AWS_DEFAULT_REGION"] == "us-east-1"
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == created["FunctionName"]
    assert environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "192"
    assert environment["AWS_LAMBDA_FUNCTION_VERSION"] == "$LATEST"
    assert environment["AWS_LAMBDA_LOG_GROUP_NAME"] == f"/aws/lambda/{created['FunctionName']}"
    assert environment["LAMBDA_TASK_ROOT"] == "/var/task"
    assert environment["TZ"] == ":UTC"
    for name in ["AWS_LAMBDA_LOG_STREAM_NAME", "AWS_LAMBDA_RUNTIME_API", "LAMBDA_RUNTIME_DIR",
                 "AWS_LAMBDA_INITIALIZATION_TYPE", "LANG", "PATH", "LD_LIBRARY_PATH"]:
        assert environment.get(name), name


# The log's tail has the function's lines between START, END and REPORT, by the same request id.
def test_log_tail(client, make, python):
    code = "def handler(e, c):\n    print('a line')\n    return 1"
    name = make(python, {"app.py": code}, MemorySize=192)["FunctionName"]
    for is_cold in [True, False]:
        answer, _ = invoke(client, name, {}, LogType="Tail")
        log = base64.b64decode(answer["LogResult"]).decode()
        request = answer["ResponseMetadata"]["RequestId"]
        assert f"START RequestId: {request} Version: $LATEST\n" in log
        assert "a line\n" in log
        assert f"END RequestId: {request}\n" in log
        report = re.search(rf"REPORT RequestId: {request}\tDuration: ([\d.]+) ms\tBilled Duration: (\d+) ms\t"
                           r"Memory Size: 192 MB\tMax Memory Used: (\d+) MB\t(Init Duration: [\d.]+ ms\t)?", log)
        assert report, log
        assert int(report[2]) >= float(report[1])
        assert 0 < int(report[3]) <= 192
        assert bool(report[4]) == is_cold
    assert "LogResult" not in client.invoke(FunctionName=name)


# A long log is cut to its last 4 KiB.
def test_log_tail_is_bounded(client, make, python):
    code = "def handler(e, c):\n    for n in range(2000): print('line', n)\n"
    name = make(python, {"app.py": code})["FunctionName"]
    log = base64.b64decode(invoke(client, name, {}, LogType="Tail")[0]["LogResult"]).decode()
    assert len(log.encode()) <= 4096
    assert "line 1999\n" in log and "REPORT RequestId:" in log


# An exception is a function error with type, message and trace; the instance goes on.
def test_function_error(client, make, python):
    code = "def handler(e, c):\n    if e.get('fail'): raise ValueError('no such thing')\n    return 1"
    name = make(python, {"app.py": code})["FunctionName"]
    answer, error = invoke(client, name, {"fail": True})
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    assert (error["errorType"], error["errorMessage"]) == ("ValueError", "no such thing")
    assert any("app.py" in line for line in error["stackTrace"])
    assert invoke(client, name, {})[1] == 1


# A module or handler that does not exist is the runtime's error, each time.
@pytest.mark.parametrize("handler, kind", [
    ("none.handler", "Runtime.ImportModuleError"),
    ("app.none", "Runtime.HandlerNotFound"),
])
def test_missing_handler(client, make, python, handler, kind):
    name = make(python, {"app.py": ECHO_PYTHON}, handler=handler)["FunctionName"]
    for _ in range(2):
        answer, error = invoke(client, name, {})
        assert answer["FunctionError"] == "Unhandled"
        assert error["errorType"] == kind


# A package without bootstrap cannot start, and says so.
def test_missing_bootstrap(client, make):
    name = make("provided.al2023", {"other": "x"}, handler="h")["FunctionName"]
    answer, error = invoke(client, name, {})
    assert answer["FunctionError"] == "Unhandled"
    assert error["errorType"] == "Runtime.InvalidEntrypoint"


# A function that takes too long is ended at its limit; the next invocation finds a fresh one.
def test_timeout(client, make, python):
    code = "import time\ndef handler(e, c):\n    time.sleep(e.get('sleep', 0))\n    return 1"
    name = make(python, {"app.py": code}, Timeout=1)["FunctionName"]
    answer, error = invoke(client, name, {"sleep": 30})
    request = answer["ResponseMetadata"]["RequestId"]
    assert answer["FunctionError"] == "Unhandled"
    assert error["errorType"] == "Sandbox.Timedout"
    assert error["errorMessage"] == f"RequestId: {request} Error: Task timed out after 1.00 seconds"
    assert invoke(client, name, {})[1] == 1


# A runtime that exits is told as such, at once; the next invocation finds a fresh one.
def test_exit(client, make, python):
    code = "import os\ndef handler(e, c):\n    if 'status' in e: os._exit(e['status'])\n    return 1"
    name = make(python, {"app.py": code}, Timeout=30)["FunctionName"]
    for status, reason in [(0, "Runtime exited without providing a reason"),
                           (7, "Runtime exited with error: exit status 7")]:
        answer, error = invoke(client, name, {"status": status})
        assert answer["FunctionError"] == "Unhandled"
        assert error["errorType"] == "Runtime.ExitError"
        assert error["errorMessage"].endswith(f"Error: {reason}")
    assert invoke(client, name, {})[1] == 1


# A response over the limit is a function error, not half a response.
def test_large_response(client, make, python):
    code = "def handler(e, c): return 'x' * e"
    name = make(python, {"app.py": code}, MemorySize=512, Timeout=30)["FunctionName"]
    answer, error = invoke(client, name, 7 * 1024 * 1024)
    assert answer["FunctionError"] == "Unhandled"
    assert error["errorType"] == "Function.ResponseSizeTooLarge"
    assert invoke(client, name, 3)[1] == "xxx"


# A dry run says that the invocation could be made, and makes none.
def test_dry_run(client, make, python):
    name = make(python, {"app.py": ECHO_PYTHON})["FunctionName"]
    answer = client.invoke(FunctionName=name, InvocationType="DryRun")
    assert answer["StatusCode"] == 204
    assert answer["Payload"].read() == b""


# Invocations at once run in instances of their own, one at a time in each, and each gets its own answer.
def test_concurrent_invocations(client, make, python):
    code = ("import time, uuid\nME = str(uuid.uuid4())\nBUSY = []\n"
            "def handler(e, c):\n    BUSY.append(e)\n    time.sleep(0.3)\n"
            "    alone = len(BUSY) == 1\n    BUSY.clear()\n    return [e, ME, alone]")
    name = make(python, {"app.py": code}, Timeout=30)["FunctionName"]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda n: invoke(client, name, n)[1], range(8)))
    assert [result[0] for result in results] == list(range(8))
    assert all(result[2] for result in results)
    assert len({result[1] for result in results}) > 1


# An invocation sent before the function is Active waits for it.
def test_invoke_at_once(client, make, python):
    for number in range(3):
        created = make(python, {"app.py": f"def handler(e, c): return {number}"}, wait=False)
        assert invoke(client, created["FunctionName"], {})[1] == number
