"""Extensions beside functions, in layers as users bring them; and inits that are tried again."""

import json
import re
import textwrap
import time

import boto3
import pytest
from botocore.config import Config
from conftest import PYTHON, SLOW, wait_until, zipped

# What the extensions are written with.
EXTENSION = """#!/usr/bin/python3 -u
import http.client, json, os, signal, sys, time
NAME = os.path.basename(sys.argv[0])
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
identifier = None
def call(method, path, body=None, **headers):
    api.request(method, path, body, headers)
    answer = api.getresponse()
    return answer, json.loads(answer.read())
def register(*events):
    global identifier
    answer, body = call("POST", "/2020-01-01/extension/register", json.dumps({"events": events}),
        **{"Lambda-Extension-Name": NAME, "Lambda-Extension-Accept-Feature": "accountId"})
    identifier = answer.headers["Lambda-Extension-Identifier"]
    return body
def ask():
    return call("GET", "/2020-01-01/extension/event/next", **{"Lambda-Extension-Identifier": identifier})[1]
"""

WATCHER = """
told = register("INVOKE", "SHUTDOWN")
print("registered", told["functionName"], told["functionVersion"], told["handler"], len(told["accountId"]))
while True:
    event = ask()
    if event["eventType"] == "SHUTDOWN":
        print("shutdown", event["shutdownReason"])
        sys.exit(0)
    print("saw", event["requestId"])
    time.sleep(float(os.environ.get("DELAY", "0")))
    print("done")
"""

FUNCTION = """
import os, signal, sys, time
def end(*_):
    print("runtime told to end", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("init of the function")
def handler(event, context):
    if event == "exit": os._exit(4)
    if event == "sleep": time.sleep(600)
    return os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
"""


def publish(platform, name, extensions):
    """A layer with these extensions; its version's ARN."""
    files = {f"extensions/{file}": EXTENSION + textwrap.dedent(code) for file, code in extensions.items()}
    layer = platform.client.publish_layer_version(LayerName=name, Content={"ZipFile": zipped(files)})
    return layer["LayerVersionArn"]


def deploy(platform, name, extensions, code=FUNCTION, **settings):
    layers = [publish(platform, name, extensions)]
    platform.deploy(name, code, Layers=layers, **settings)


@pytest.fixture(scope="module")
def lines(platform):
    """All that the log of a function holds, in order."""
    said = platform.credentials
    client = boto3.client(
        "logs",
        endpoint_url=platform.endpoint,
        region_name="us-east-1",
        aws_access_key_id=said["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=said["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"max_attempts": 0}, inject_host_prefix=False),
    )

    def read(name):
        pages = client.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{name}")
        return [event["message"].rstrip("\n") for page in pages for event in page["events"]]

    return read


def update(platform, name):
    """Gives a function other settings, which ends its instances."""
    platform.client.update_function_configuration(FunctionName=name, Description=str(time.time()))
    platform.client.get_waiter("function_updated_v2").wait(FunctionName=name)


# An extension of a layer starts before the runtime, sees each invocation, is paid for, and hears of the end after the runtime.
def test_a_whole_life(platform, lines):
    deploy(platform, "watched", {"watcher": WATCHER}, Environment={"Variables": {"DELAY": "0.3"}})
    payload, error, log = platform.invoke("watched")
    assert error is None and payload.startswith("20"), payload
    wait_until(lambda: any(it.startswith("REPORT") for it in lines("watched")))
    said = lines("watched")
    places = [
        next(at for at, line in enumerate(said) if re.match(pattern, line))
        for pattern in [
            "INIT_START",
            r"registered watched \$LATEST app.handler 12$",
            "init of the function",
            r"EXTENSION\tName: watcher\tState: Ready\tEvents: \[INVOKE, SHUTDOWN\]",
            "START ",
            "saw ",
            "done",
            "END ",
            "REPORT ",
        ]
    ]
    assert places == sorted(places), said
    report = re.search(r"\tDuration: ([\d.]+) ms\tBilled Duration: (\d+) ms", said[-1])
    assert float(report[1]) >= 300 and int(report[2]) >= 300, said[-1]
    update(platform, "watched")
    assert wait_until(lambda: "shutdown spindown" in lines("watched")), lines("watched")
    said = lines("watched")
    assert said.index("runtime told to end") < said.index("shutdown spindown")


# Without extensions nothing is waited for, and the runtime is not told; with an internal one it is.
def test_the_end_of_a_runtime_alone(platform, lines):
    platform.deploy("alone", FUNCTION)
    platform.invoke("alone")
    internal = """
import http.client, json, os, threading
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
def call(method, path, body=None, **headers):
    api.request(method, "/2020-01-01/extension/" + path, body, headers)
    answer = api.getresponse()
    answer.read()
    return answer
answer = call("POST", "register", json.dumps({"events": ["INVOKE"]}), **{"Lambda-Extension-Name": "inner"})
identifier = answer.headers["Lambda-Extension-Identifier"]
def watch():
    while True: call("GET", "event/next", **{"Lambda-Extension-Identifier": identifier})
threading.Thread(target=watch, daemon=True).start()
"""
    platform.deploy("inner", internal + FUNCTION)
    assert platform.invoke("inner")[1] is None
    for name in ["alone", "inner"]:
        update(platform, name)
    assert wait_until(lambda: "runtime told to end" in lines("inner"))
    assert "EXTENSION\tName: inner\tState: Ready\tEvents: [INVOKE]" in lines("inner")
    assert "runtime told to end" not in lines("alone")


# An invocation that fails or takes too long ends its instance; extensions are told why.
def test_reasons(platform, lines):
    deploy(platform, "reasons", {"watcher": WATCHER}, Timeout=int(1 * SLOW))
    payload, error, _ = platform.invoke("reasons", "exit")
    assert (error, payload["errorType"]) == ("Unhandled", "Runtime.ExitError")
    assert wait_until(lambda: "shutdown failure" in lines("reasons"))
    payload, error, _ = platform.invoke("reasons", "sleep")
    assert (error, payload["errorType"]) == ("Unhandled", "Sandbox.Timedout")
    assert wait_until(lambda: "shutdown timeout" in lines("reasons"))


# An extension that crashes fails the invocation, whenever it does so, in the service's words.
def test_crashes(platform, lines):
    crash = 'register("INVOKE")\nif os.environ.get("LATE"): ask()\nos._exit(3)\n'
    deploy(platform, "early-crash", {"bad": crash})
    payload, error, _ = platform.invoke("early-crash")
    assert error == "Unhandled" and payload["errorType"] == "Extension.Crash"
    assert re.fullmatch(r"RequestId: [0-9a-f-]{36} Error: exit status 3", payload["errorMessage"])
    wait_until(lambda: any(it.startswith("REPORT") for it in lines("early-crash")))
    said = lines("early-crash")
    for phase in ["init", "invoke"]:
        pattern = rf"INIT_REPORT Init Duration: [\d.]+ ms\tPhase: {phase}\tStatus: error\tError Type: Extension.Crash\t"
        assert [line for line in said if re.fullmatch(pattern, line)], said
    assert said[-1].endswith("\tStatus: error\tError Type: Extension.Crash\t")
    deploy(
        platform, "late-crash", {"bad": crash}, "import time\ndef handler(*_): time.sleep(9)",
        Environment={"Variables": {"LATE": "1"}},
    )
    payload, error, _ = platform.invoke("late-crash")
    assert (error, payload["errorType"]) == ("Unhandled", "Extension.Crash")
    layer = platform.client.publish_layer_version(
        LayerName="no-program", Content={"ZipFile": zipped({"extensions/broken": "no program"})}
    )
    platform.deploy("no-program", FUNCTION, Layers=[layer["LayerVersionArn"]])
    payload, error, _ = platform.invoke("no-program")
    assert (error, payload["errorType"]) == ("Unhandled", "Extension.LaunchError")
    assert payload["errorMessage"].endswith("Error: fork/exec /opt/extensions/broken: exec format error")


# Extensions of ill will: one that never comes to the end of an invocation costs its function its time, one that ignores all
# signals is gone all the same, one that floods and forks is bounded; the neighbour is well.
def test_ill_will(platform, lines):
    platform.deploy("neighbour", "def handler(event, context): return 'well'")
    timeout = int(2 * SLOW)
    deploy(platform, "never-asks", {"bad": 'register("INVOKE", "SHUTDOWN")\nask()\ntime.sleep(600)\n'}, Timeout=timeout)
    first, error, _ = platform.invoke("never-asks")
    assert error is None
    said = wait_until(lambda: [it for it in lines("never-asks") if it.startswith("REPORT")], 30)
    assert f"\tDuration: {timeout * 1000}.00 ms\t" in said[0], said
    assert int(re.search(r"Billed Duration: (\d+) ms", said[0])[1]) >= timeout * 1000, said
    assert said[0].endswith("\tStatus: timeout\t")
    second, error, _ = platform.invoke("never-asks")
    assert error is None and second != first, "another instance"
    bomb = """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        register("INVOKE", "SHUTDOWN")
        ask()
        for _ in range(3000):
            try:
                if os.fork() == 0:
                    os.setsid()
                    while True: print("flood" * 100)
            except OSError:
                break
        ask()
        time.sleep(600)
        """
    deploy(platform, "bomb", {"bad": bomb}, Timeout=timeout, MemorySize=512)
    platform.invoke("bomb")
    assert platform.invoke("neighbour")[0] == "well"
    platform.client.delete_function(FunctionName="bomb")
    assert platform.invoke("neighbour")[0] == "well"


# An init that fails is tried again in the invocation that waits for it, under that invocation's time limit.
def test_an_init_is_tried_again(platform, lines):
    platform.deploy("broken", "import nothing_of_that_name")
    payload, error, log = platform.invoke("broken")
    assert (error, payload["errorType"]) == ("Unhandled", "Runtime.ImportModuleError")
    wait_until(lambda: any(it.startswith("REPORT") for it in lines("broken")))
    said = lines("broken")
    kinds = [re.match(r"INIT_REPORT.*Phase: (\w+)|(INIT_START|START|END|REPORT)", it) for it in said]
    kinds = [it[1] or it[2] for it in kinds if it]
    assert kinds == ["INIT_START", "init", "invoke", "START", "END", "REPORT"], said
    assert "Init Duration" not in said[-1]
    # At AWS the first init has ten seconds, whatever the function's limit; the second has that limit.
    platform.deploy("slow", "import time\ntime.sleep(12)\ndef handler(event, context): return 'at last'", Timeout=60)
    platform.deploy("slower", "import time\ntime.sleep(60)", Timeout=int(1 * SLOW))
    began = time.monotonic()
    assert platform.invoke("slow")[:2] == ("at last", None)
    assert time.monotonic() - began >= 22
    wait_until(lambda: any(it.startswith("REPORT") for it in lines("slow")))
    said = lines("slow")
    assert [it for it in said if re.fullmatch(r"INIT_REPORT Init Duration: [\d.]+ ms\tPhase: init\tStatus: timeout\t", it)]
    duration = re.search(r"\tDuration: ([\d.]+) ms", said[-1])
    assert float(duration[1]) >= 12_000 and "Init Duration" not in said[-1]
    payload, error, _ = platform.invoke("slower")
    assert (error, payload["errorType"]) == ("Unhandled", "Sandbox.Timedout")
    assert payload["errorMessage"].endswith(f"Task timed out after {SLOW:.2f} seconds")
    wait_until(lambda: any(it.startswith("REPORT") for it in lines("slower")))
    said = lines("slower")
    again = [it for it in said if "Phase: invoke\tStatus: timeout" in it]
    assert len(again) == 1 and said.index(again[0]) < next(at for at, it in enumerate(said) if it.startswith("START"))


# Telemetry reaches who subscribed: phases, lines, and the report of an invocation by the time of the next.
def test_telemetry(platform, lines):
    listener = """
import http.server, threading
class Listener(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        for event in json.loads(self.rfile.read(int(self.headers["Content-Length"]))):
            print("got " + json.dumps(event))
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_): pass
server = http.server.HTTPServer(("sandbox.localdomain", 8080), Listener)
threading.Thread(target=server.serve_forever, daemon=True).start()
register("INVOKE", "SHUTDOWN")
answer, body = call("PUT", "/2022-07-01/telemetry", json.dumps({
    "schemaVersion": "2022-12-13", "types": ["platform", "function"], "buffering": {"timeoutMs": 25},
    "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:8080"}}),
    **{"Lambda-Extension-Identifier": identifier})
assert (answer.status, body) == (200, "OK"), (answer.status, body)
while ask()["eventType"] == "INVOKE": time.sleep(0.2)
time.sleep(0.3)
"""
    deploy(platform, "measured", {"listener": listener})
    for _ in range(2):
        assert platform.invoke("measured")[1] is None
    update(platform, "measured")

    def events():
        return [json.loads(it[4:]) for it in lines("measured") if it.startswith("got ")]

    wait_until(lambda: sum(it["type"] == "platform.report" for it in events()) == 2)
    of = lambda kind: [it["record"] for it in events() if it["type"] == kind]
    assert of("platform.initStart")[0]["initializationType"] == "on-demand"
    assert of("platform.initReport")[0]["status"] == "success"
    assert "init of the function" in of("function")
    reports = of("platform.report")
    assert len(reports) == 2 and "initDurationMs" in reports[0]["metrics"], reports
    started, done = of("platform.start"), of("platform.runtimeDone")
    assert [it["requestId"] for it in started] == [it["requestId"] for it in done] == [it["requestId"] for it in reports]
    for report, runtime in zip(reports, done):
        # The extension goes on for longer than the runtime, which is billed.
        assert report["metrics"]["durationMs"] >= 200 > runtime["metrics"]["durationMs"], (report, runtime)
        assert report["metrics"]["billedDurationMs"] >= 200
        assert report["metrics"]["memorySizeMB"] == 128
