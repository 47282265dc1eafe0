"""Function URLs: configured by boto3, asked by plain HTTP."""

import http.client
import json
import urllib.parse

import pytest

PYTHON = """
def handler(event, context):
    if event["rawPath"] == "/fail":
        raise ValueError("no")
    if event["rawPath"] == "/full":
        return {"statusCode": 201, "headers": {"X-Method": event["requestContext"]["http"]["method"]},
                "cookies": ["a=1", "b=2"], "body": event.get("body", "")}
    return {"path": event["rawPath"], "query": event.get("queryStringParameters"), "arn": context.invoked_function_arn}
"""

NODE = """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  const metadata = { statusCode: 202, headers: { "content-type": "text/event-stream", "x-path": event.rawPath } };
  stream = awslambda.HttpResponseStream.from(stream, metadata);
  for (let i = 0; i < 3; i++) {
    stream.write(`data: ${i}\\n\\n`);
    await new Promise((done) => setTimeout(done, 300));
  }
  if (event.rawPath === "/fail") throw new Error("half way");
  stream.end("data: end\\n\\n");
});
"""


def allow(client, name):
    """Opens a function's URL to all, as AWS wants it since October 2025."""
    for statement, action, condition in [
        ("url", "lambda:InvokeFunctionUrl", {"FunctionUrlAuthType": "NONE"}),
        ("invoke", "lambda:InvokeFunction", {"InvokedViaFunctionUrl": True}),
    ]:
        client.add_permission(FunctionName=name, StatementId=statement, Action=action, Principal="*", **condition)


def create(client, name, **arguments):
    """Host and port of a URL that is open to all, and the host that it is known by."""
    answer = client.create_function_url_config(FunctionName=name, AuthType="NONE", **arguments)
    try:
        allow(client, name)
    except client.exceptions.ResourceConflictException:
        pass  # It was, since the policy outlives the URL.
    client.get_waiter("function_active_v2").wait(FunctionName=name)
    url = urllib.parse.urlparse(answer["FunctionUrl"])
    return answer, url.netloc


def ask(platform, host, method, path, body=None, headers=()):
    """As a client that resolves *.localhost would."""
    api = urllib.parse.urlparse(platform.endpoint)
    connection = http.client.HTTPConnection(api.hostname, api.port, timeout=60)
    connection.request(method, path, body, {"Host": host, **dict(headers)})
    return connection.getresponse()


# Without a word in the function's policy, a URL is closed, whatever its AuthType says.
def test_closed_url(platform, client, make, python):
    name = make(python, {"app.py": PYTHON})["FunctionName"]
    url = client.create_function_url_config(FunctionName=name, AuthType="NONE")["FunctionUrl"]
    host = urllib.parse.urlparse(url).netloc
    closed = ask(platform, host, "GET", "/")
    assert (closed.status, json.loads(closed.read())) == (403, {"Message": "Forbidden"})
    allow(client, name)
    assert ask(platform, host, "GET", "/").status == 200
    client.remove_permission(FunctionName=name, StatementId="invoke")
    assert ask(platform, host, "GET", "/").status == 403


# What a function gives becomes an HTTP answer, whichever way the URL was named.
def test_url(platform, client, make, python):
    made = make(python, {"app.py": PYTHON})
    config, host = create(client, made["FunctionName"])
    answer = ask(platform, host, "GET", "/a/b?x=1&x=2")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    got = json.loads(answer.read())
    assert got == {"path": "/a/b", "query": {"x": "1,2"}, "arn": made["FunctionArn"]}
    text = {"Content-Type": "text/plain"}
    full = ask(platform, host, "PATCH", "/full", "grüß".encode(), text)
    assert (full.status, full.headers["X-Method"], full.read().decode()) == (201, "PATCH", "grüß")
    assert full.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    failed = ask(platform, host, "GET", "/fail")
    assert (failed.status, failed.read()) == (502, b"Internal Server Error")
    identifier = host.split(".")[0]
    api = urllib.parse.urlparse(platform.endpoint)
    by_path = ask(platform, api.netloc, "GET", f"/lambda-url/{identifier}/a")
    assert json.loads(by_path.read())["path"] == "/a"
    shown = client.get_function_url_config(FunctionName=made["FunctionName"])
    assert shown["FunctionUrl"] == config["FunctionUrl"] and shown["InvokeMode"] == "BUFFERED"
    client.delete_function_url_config(FunctionName=made["FunctionName"])
    assert ask(platform, host, "GET", "/a").status == 403
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_function_url_config(FunctionName=made["FunctionName"])


# With RESPONSE_STREAM the first piece is there while the function goes on, behind its status and headers.
def test_streamed_url(platform, client, make, node):
    name = make(node, {"app.js": NODE}, MemorySize=512, Timeout=30)["FunctionName"]
    _, host = create(client, name, InvokeMode="RESPONSE_STREAM")
    answer = ask(platform, host, "GET", "/x")
    assert (answer.status, answer.headers["X-Path"]) == (202, "/x")
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.read() == b"data: 0\n\ndata: 1\n\ndata: 2\n\ndata: end\n\n"
    broken = ask(platform, host, "GET", "/fail")
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        broken.read()


# A URL that is made again has the same address; there is one at a time, and it is listed.
def test_urls_are_kept(client, make, python):
    name = make(python, {"app.py": PYTHON})["FunctionName"]
    first, _ = create(client, name)
    client.delete_function_url_config(FunctionName=name)
    second, _ = create(client, name)
    assert first["FunctionUrl"] == second["FunctionUrl"]
    with pytest.raises(client.exceptions.ResourceConflictException):
        create(client, name)
    configs = client.list_function_url_configs(FunctionName=name)["FunctionUrlConfigs"]
    assert [it["FunctionUrl"] for it in configs] == [first["FunctionUrl"]]
