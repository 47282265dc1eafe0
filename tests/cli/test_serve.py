"""`peek serve` as other emulators are met: unsigned on loopback, through TLS, with keys of one's own."""

import http.client
import json
import socket
import ssl
import subprocess
import urllib.error
import urllib.request

import boto3
from botocore.config import Config

from conftest import BINARY

from .conftest import clean_environment, run

ANY = "/2015-03-31/functions/function/invocations"
CODE = "def handler(event, context): return ['{name}', event]"


def post(url, body=b"{}", context=None):
    """(status, JSON) of a POST without a signature."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=60, context=context) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


# The address of cargo-lambda and of AWS's emulator works without a signature, is the only function there is, and says which
# there are when there are several; clients with made-up keys get in too, and a known key is still checked.
def test_no_auth(fresh):
    platform = fresh("--no-auth")
    platform.deploy("one", CODE.format(name="one"))
    assert post(platform.endpoint + ANY, b'{"n": 1}') == (200, ["one", {"n": 1}])
    platform.deploy("two", CODE.format(name="two"))
    status, answer = post(platform.endpoint + ANY)
    assert status == 404 and "one, two" in answer["Message"]
    assert post(platform.endpoint + ANY.replace("/function/", "/two/")) == (200, ["two", {}])
    made_up = boto3.client(
        "lambda", endpoint_url=platform.endpoint, region_name="eu-west-1",
        aws_access_key_id="test", aws_secret_access_key="test", config=Config(retries={"max_attempts": 0}),
    )
    assert {it["FunctionName"] for it in made_up.list_functions()["Functions"]} == {"one", "two"}
    wrong = {**platform.credentials, "AWS_SECRET_ACCESS_KEY": "wrong", "AWS_ENDPOINT_URL": platform.endpoint}
    done = run("fn", "ls", **wrong)
    assert done.returncode == 2 and "signature" in done.stderr.lower()


# Without the flag such requests are refused; with it, whoever would be reachable from elsewhere is refused with words.
def test_no_auth_is_for_loopback(fresh, tmp_path):
    platform = fresh()
    assert post(platform.endpoint + ANY)[0] == 403
    done = run("serve", "--no-auth", "--listen", "0.0.0.0:0", "--data", tmp_path / "x")
    assert done.returncode == 1 and "--no-auth" in done.stderr and "127.0.0.1" in done.stderr
    assert not (tmp_path / "x").exists()


# A function behind a URL is told that it was asked over TLS.
def test_url_over_tls(fresh, tmp_path):
    platform = fresh("--tls-self-signed")
    bundle = platform.credentials["AWS_CA_BUNDLE"]
    client = boto3.client("lambda", verify=bundle, **{
        "endpoint_url": platform.endpoint, "region_name": "us-east-1",
        "aws_access_key_id": platform.credentials["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": platform.credentials["AWS_SECRET_ACCESS_KEY"],
    })
    (tmp_path / "app.py").write_text("def handler(event, context):\n    return event['headers']\n")
    done = run("fn", "deploy", str(tmp_path / "app.py"), "--name", "f", PEEK_DATA=str(platform.data))
    assert done.returncode == 0, done.stderr
    url = client.create_function_url_config(FunctionName="f", AuthType="NONE")["FunctionUrl"]
    for action, condition in [
        ("InvokeFunctionUrl", {"FunctionUrlAuthType": "NONE"}), ("InvokeFunction", {"InvokedViaFunctionUrl": True}),
    ]:
        client.add_permission(
            FunctionName="f", StatementId=action, Action=f"lambda:{action}", Principal="*", **condition
        )
    host, port = platform.endpoint.removeprefix("https://").split(":")
    context = ssl.create_default_context(cafile=bundle)
    connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=60)
    assert url.startswith("https://")
    connection.request("GET", "/", headers={"Host": url.removeprefix("https://").rstrip("/")})
    answer = connection.getresponse()
    headers = json.loads(answer.read())
    assert (answer.status, headers["x-forwarded-proto"], headers["x-forwarded-port"]) == (200, "https", port)


# A certificate of the server's own is named, trusted by boto3 and by `peek fn` from it alone, and speaks HTTP/1.1 and 2.
def test_tls_self_signed(fresh):
    platform = fresh("--tls-self-signed")
    assert platform.endpoint.startswith("https://127.0.0.1:")
    bundle = platform.credentials["AWS_CA_BUNDLE"]
    client = boto3.client(
        "lambda", endpoint_url=platform.endpoint, region_name="us-east-1", verify=bundle,
        aws_access_key_id=platform.credentials["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=platform.credentials["AWS_SECRET_ACCESS_KEY"],
    )
    assert client.list_functions()["Functions"] == []
    assert run("fn", "ls", PEEK_DATA=str(platform.data)).returncode == 0
    exported = {**platform.credentials, "AWS_ENDPOINT_URL": platform.endpoint}
    assert run("fn", "ls", **exported).returncode == 0
    exported.pop("AWS_CA_BUNDLE")
    done = run("fn", "ls", "--data", "/nonexistent", "--endpoint", platform.endpoint, **exported)
    assert done.returncode == 2 and "certificate" in done.stderr.lower()
    for protocol, expected in (("h2", "h2"), ("http/1.1", "http/1.1")):
        context = ssl.create_default_context(cafile=bundle)
        context.set_alpn_protocols([protocol])
        host, port = platform.endpoint.removeprefix("https://").split(":")
        with socket.create_connection((host, int(port))) as plain:
            with context.wrap_socket(plain, server_hostname=host) as stream:
                assert stream.selected_alpn_protocol() == expected
    first = open(bundle).read()
    platform.stop()
    platform.start()
    assert open(bundle).read() == first


# A certificate of the user's is used as it is; what cannot be used is refused before anything runs.
def test_tls_files(fresh, tmp_path):
    platform = fresh("--tls-self-signed")
    certificate, key = platform.data / "tls-certificate.pem", platform.data / "tls-key.pem"
    second = fresh("--tls-cert", str(certificate), "--tls-key", str(key))
    assert "AWS_CA_BUNDLE" not in second.credentials
    context = ssl.create_default_context(cafile=str(certificate))
    with urllib.request.urlopen(second.endpoint + "/healthz", context=context) as answer:
        assert answer.read() == b"ok\n"
    done = run("serve", "--tls-cert", key, "--tls-key", key, "--listen", "127.0.0.1:0", "--data", tmp_path / "y")
    assert done.returncode == 1 and "tls-key.pem" in done.stderr
    done = run("serve", "--tls-cert", certificate, "--data", tmp_path / "y")
    assert done.returncode == 2 and "--tls-key" in done.stderr


# An API in the open that others can reach is served, with a warning, as JSON where that is asked for.
def test_open_api_is_warned_of(tmp_path):
    data = tmp_path / "peek-data"
    command = [BINARY, "serve", "--listen", "0.0.0.0:0", "--data", data, "--log-format", "json", "--network", "none"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_environment()
    )
    for line in process.stdout:
        if line.strip() == "ready":
            break
    process.terminate()
    _, stderr = process.communicate(timeout=60)
    said = [json.loads(line) for line in stderr.splitlines()]
    [warning] = [it for it in said if "--tls-self-signed" in it["fields"]["message"]]
    assert warning["level"] == "WARN"


# Keys of one's own: from a file that is nobody else's, or one key from a variable, which the starter never sees.
def test_own_keys(fresh, tmp_path):
    key = {"access_key_id": "MINE", "secret_access_key": "s" * 30, "account": "111122223333"}
    file = tmp_path / "keys.json"
    file.write_text(json.dumps([key]))
    file.chmod(0o644)
    done = run("serve", "--credentials", file, "--listen", "127.0.0.1:0", "--data", tmp_path / "z")
    assert done.returncode == 1 and "chmod 600" in done.stderr
    file.chmod(0o600)
    platform = fresh("--credentials", str(file))
    assert platform.credentials["AWS_ACCESS_KEY_ID"] == "MINE"
    assert run("fn", "ls", PEEK_DATA=str(platform.data)).returncode == 0
    done = run("fn", "ls", AWS_ENDPOINT_URL=platform.endpoint, AWS_ACCESS_KEY_ID="MINE", AWS_SECRET_ACCESS_KEY="s" * 30)
    assert done.returncode == 0, done.stderr


# A key from a variable is the only one, is written nowhere, and is out of sight of the processes that run functions.
def test_key_from_a_variable(fresh, monkeypatch):
    secret = "only-in-a-variable-000000"
    monkeypatch.setenv("PEEK_SERVE_ACCESS_KEY_ID", "VARIED")
    monkeypatch.setenv("PEEK_SERVE_SECRET_ACCESS_KEY", secret)
    platform = fresh()
    assert platform.credentials["AWS_SECRET_ACCESS_KEY"] == secret
    assert not (platform.data / "credentials.json").exists()
    children = open(f"/proc/{platform.process.pid}/task/{platform.process.pid}/children").read().split()
    environments = [open(f"/proc/{pid}/environ").read() for pid in children]
    assert environments and not any(secret in it for it in environments)


# `--port` takes the place of the address's port: a free one for 0, the one that is named, which says so where it is taken.
def test_port(fresh):
    port = int(fresh("--port", "0").endpoint.rsplit(":", 1)[1])
    assert port not in (0, 9470)
    done = run("serve", "--listen", "127.0.0.1:0", "--port", str(port))
    assert done.returncode != 0 and f"127.0.0.1:{port}" in done.stderr
