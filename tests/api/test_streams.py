"""InvokeWithResponseStream as boto3 reads it: pieces as they come, errors, logs, limits."""

import base64
import json
import threading
import time

import botocore.exceptions
import pytest

# Writes its pieces one after the other, waiting for /tmp/go-N in between where it is told to.
STREAM_NODE = """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  const write = (data) => new Promise((done) => stream.write(data, done));
  if (event.type) stream.setContentType(event.type);
  console.log("streaming");
  for (let i = 0; i < event.count; i++) {
    await write("x".repeat(event.bytes));
    if (event.pause) await new Promise((done) => setTimeout(done, event.pause));
  }
  if (event.fail) throw new RangeError("half way");
  if (event.exit) process.exit(event.exit);
  stream.end(event.last);
});
"""

ECHO = "def handler(event, context):\n    if event == 'fail': raise ValueError('no')\n    return event\n"


def stream(client, name, event, **arguments):
    """Answer, payload and the last event."""
    answer = client.invoke_with_response_stream(
        FunctionName=name, Payload=json.dumps(event).encode(), **arguments
    )
    pieces, complete = [], None
    for part in answer["EventStream"]:
        assert complete is None, "InvokeComplete is the last"
        pieces.append(part.get("PayloadChunk", {}).get("Payload", b""))
        complete = part.get("InvokeComplete")
    assert complete is not None
    return answer, b"".join(pieces), complete


@pytest.fixture
def streaming(make, node):
    return make(node, {"app.js": STREAM_NODE}, MemorySize=512, Timeout=30)["FunctionName"]


# What a function streams arrives whole, with the log in the last event where it was asked for.
def test_stream(client, streaming):
    event = {"count": 100, "bytes": 10_000, "last": "end"}
    answer, payload, complete = stream(client, streaming, event, LogType="Tail")
    assert answer["StatusCode"] == 200 and answer["ExecutedVersion"] == "$LATEST"
    assert answer["ResponseStreamContentType"] == "application/vnd.amazon.eventstream"
    assert payload == b"x" * 1_000_000 + b"end"
    log = base64.b64decode(complete["LogResult"]).decode()
    assert "streaming" in log and log.startswith("START") and "REPORT" in log
    assert stream(client, streaming, event)[2] == {}


# The first piece is there while the function goes on; it is billed until its stream ends.
def test_pieces_come_while_the_function_runs(client, streaming):
    event = {"count": 3, "bytes": 10, "pause": 700}
    answer = client.invoke_with_response_stream(
        FunctionName=streaming, Payload=json.dumps(event).encode(), LogType="Tail"
    )
    times, complete = [], None
    for part in answer["EventStream"]:
        times.append(time.monotonic())
        complete = part.get("InvokeComplete", complete)
    # Pieces may arrive together, but not all of them before the function has paused three times.
    assert times[-1] - times[0] >= 1.4
    log = base64.b64decode(complete["LogResult"]).decode()
    assert int(log.split("Billed Duration: ")[1].split(" ms")[0]) >= 2100


# A response larger than Invoke allows passes, and at a client's pace: memory of the server stays where it is.
def test_large_stream(client, streaming):
    event = {"count": 1000, "bytes": 65536}
    _, payload, complete = stream(client, streaming, event)
    assert len(payload) == 65_536_000 and complete == {}
    with_invoke = client.invoke(FunctionName=streaming, Payload=json.dumps(event).encode())
    assert "Function.ResponseSizeTooLarge" in with_invoke["Payload"].read().decode()


# Beyond 200 MiB a stream ends with the service's error.
def test_too_large_stream(client, streaming):
    _, payload, complete = stream(client, streaming, {"count": 210, "bytes": 1 << 20})
    assert len(payload) <= 200 << 20
    assert complete["ErrorCode"] == "Unhandled"
    assert json.loads(complete["ErrorDetails"])["errorType"] == "Function.ResponseSizeTooLarge"
    # Its instance, or another, serves on.
    assert stream(client, streaming, {"count": 1, "bytes": 1})[1] == b"x"


# Invoke gets the whole response of a function that streams.
def test_invoke_gets_it_whole(client, streaming):
    answer = client.invoke(FunctionName=streaming, Payload=b'{"count": 3, "bytes": 4, "last": "!"}')
    assert "FunctionError" not in answer
    assert answer["Payload"].read() == b"xxxxxxxxxxxx!"


# A function that does not stream answers in one go, its error in the last event.
def test_functions_that_do_not_stream(client, make, python):
    name = make(python, {"app.py": ECHO})["FunctionName"]
    _, payload, complete = stream(client, name, {"a": [1]})
    assert (json.loads(payload), complete) == ({"a": [1]}, {})
    _, payload, complete = stream(client, name, "fail")
    assert payload == b"" and complete["ErrorCode"] == "Unhandled"
    assert json.loads(complete["ErrorDetails"])["errorType"] == "ValueError"


# A function that fails, exits or takes too long in the middle: what it wrote arrives, then how it ended.
def test_ends_in_the_middle(client, streaming, make, node):
    _, payload, complete = stream(client, streaming, {"count": 2, "bytes": 5, "fail": True})
    assert payload == b"x" * 10
    assert json.loads(complete["ErrorDetails"])["errorType"] == "RangeError"
    _, payload, complete = stream(client, streaming, {"count": 2, "bytes": 5, "exit": 3})
    details = json.loads(complete["ErrorDetails"])
    assert details["errorType"] == "Runtime.ExitError" and "exit status 3" in details["errorMessage"]
    short = make(node, {"app.js": STREAM_NODE}, MemorySize=512, Timeout=1)["FunctionName"]
    event = {"count": 100, "bytes": 5, "pause": 100}
    _, payload, complete = stream(client, short, event)
    assert 0 < len(payload) < 500
    assert json.loads(complete["ErrorDetails"])["errorType"] == "Sandbox.Timedout"


# A client that goes away in the middle disturbs nobody: the function ends, and serves others.
def test_client_that_goes_away(client, make, node):
    name = make(node, {"app.js": STREAM_NODE}, MemorySize=512, Timeout=30)["FunctionName"]
    for _ in range(3):
        answer = client.invoke_with_response_stream(
            FunctionName=name, Payload=b'{"count": 500, "bytes": 65536}'
        )
        next(iter(answer["EventStream"]))
        answer["EventStream"].close()
    assert stream(client, name, {"count": 1, "bytes": 2})[1] == b"xx"


# Many streams at once, each whole.
def test_streams_at_once(client, streaming):
    results = []

    def one(index):
        results.append(stream(client, streaming, {"count": 20 + index, "bytes": 30_000})[1])

    threads = [threading.Thread(target=one, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(len, results)) == [30_000 * (20 + index) for index in range(8)]


# Errors of the API come before the stream.
def test_errors(client, streaming):
    for arguments in [{"FunctionName": "none"}, {"FunctionName": streaming, "Qualifier": "99"}]:
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            client.invoke_with_response_stream(**arguments)
    with pytest.raises(botocore.exceptions.ClientError, match="Could not parse request body"):
        client.invoke_with_response_stream(FunctionName=streaming, Payload=b"{")
    answer = client.invoke_with_response_stream(FunctionName=streaming, InvocationType="DryRun")
    assert answer["StatusCode"] == 204
