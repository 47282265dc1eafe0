"""The real boto3 and AWS CLI against a running platform.

With PEEK_ENDPOINT, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY set, that platform is used. Otherwise PEEK_BINARY is
started with a data directory of its own (default: target/release/peek, then target/debug/peek).
"""

import io
import os
import pathlib
import re
import subprocess
import threading
import uuid
import zipfile

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

ROLE = "arn:aws:iam::123456789012:role/peek-test"
REGION = "us-east-1"
START_LIMIT_S = 60
ROOT = pathlib.Path(__file__).resolve().parents[2]

ECHO_PYTHON = "def handler(event, context):\n    return event\n"


class Platform:
    """An endpoint and who may use it."""

    def __init__(self, endpoint, key, secret):
        self.endpoint, self.key, self.secret = endpoint, key, secret

    def client(self, **config):
        """A boto3 client without retries, so that each answer is seen."""
        settings = {"retries": {"max_attempts": 0}, "read_timeout": 120, "max_pool_connections": 64}
        return boto3.client(
            "lambda",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            aws_session_token="",
            config=Config(**(settings | config)),
        )

    def environment(self):
        """Environment for the AWS CLI."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        return clean | {
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_ENDPOINT_URL_LAMBDA": self.endpoint,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_PAGER": "",
        }


def find_binary():
    named = os.environ.get("PEEK_BINARY")
    candidates = [named] if named else [ROOT / "target/release/peek", ROOT / "target/debug/peek"]
    for path in candidates:
        if os.access(path, os.X_OK):
            return str(path)
    pytest.exit(f"no peek binary at {candidates}: build one, or set PEEK_BINARY or PEEK_ENDPOINT", 2)


def read_start(process):
    """Endpoint and credentials from the lines that `peek serve` prints."""
    found = {}
    patterns = {
        "endpoint": r"\bendpoint\s+(http://\S+)",
        "key": r"AWS_ACCESS_KEY_ID=(\S+)",
        "secret": r"AWS_SECRET_ACCESS_KEY=(\S+)",
    }
    limit = threading.Timer(START_LIMIT_S, process.kill)
    limit.start()
    try:
        for line in process.stdout:
            for name, pattern in patterns.items():
                match = re.search(pattern, line)
                if match:
                    found.setdefault(name, match.group(1))
            if len(found) == len(patterns):
                return found
    finally:
        limit.cancel()
    pytest.exit(f"peek serve ended or said only {sorted(found)} within {START_LIMIT_S} s", 2)


@pytest.fixture(scope="session")
def platform(tmp_path_factory):
    endpoint = os.environ.get("PEEK_ENDPOINT")
    if endpoint:
        key, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
        yield Platform(endpoint, key, secret)
        return
    data = tmp_path_factory.mktemp("data")
    command = [find_binary(), "serve", "--listen", "127.0.0.1:0", "--data", str(data)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    started = read_start(process)
    drain = threading.Thread(target=process.stdout.read, daemon=True)
    drain.start()
    yield Platform(started["endpoint"], started["key"], started["secret"])
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


@pytest.fixture(scope="session")
def client(platform):
    return platform.client()


@pytest.fixture(scope="session")
def unchecked(platform):
    """A client that sends what it is given, so that the platform has to refuse it."""
    return platform.client(parameter_validation=False)


@pytest.fixture(scope="session")
def runtimes(client):
    """What is installed, as the platform itself says."""
    with pytest.raises(ClientError) as refused:
        client.create_function(
            FunctionName=unique(), Role=ROLE, Runtime="none", Handler="h.h", Code={"ZipFile": package({"h": ""})}
        )
    return re.search(r"\[(.*)\]", refused.value.response["Error"]["Message"]).group(1).split(", ")


@pytest.fixture(scope="session")
def python(runtimes):
    return first(runtimes, "python3.")


@pytest.fixture(scope="session")
def node(runtimes):
    return first(runtimes, "nodejs")


def first(runtimes, prefix):
    found = [name for name in runtimes if name.startswith(prefix)]
    if not found:
        pytest.skip(f"the platform has no {prefix} runtime, only {runtimes}")
    return found[0]


@pytest.fixture
def make(client):
    """Creates functions and removes them after the test."""
    names = []

    def create(runtime, files, handler="app.handler", wait=True, **settings):
        name = settings.pop("FunctionName", None) or unique()
        names.append(name)
        answer = client.create_function(
            FunctionName=name, Role=ROLE, Runtime=runtime, Handler=handler,
            Code={"ZipFile": package(files)}, **settings,
        )
        if wait:
            client.get_waiter("function_active_v2").wait(
                FunctionName=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 300}
            )
        return answer

    yield create
    for name in names:
        try:
            client.delete_function(FunctionName=name)
        except client.exceptions.ResourceNotFoundException:
            pass


def unique():
    return f"test-{uuid.uuid4().hex[:12]}"


def package(files):
    """A zip of name to text, bytes, or (content, mode)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            content, mode = content if isinstance(content, tuple) else (content, 0o644)
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (0o100000 | mode) << 16
            archive.writestr(info, content)
    return buffer.getvalue()
