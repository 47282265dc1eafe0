"""A real platform, started by the real binary, and clients that a user would use."""

import base64
import io
import json
import os
import pathlib
import re
import signal
import subprocess
import time
import zipfile

import boto3
import pytest
from botocore.config import Config

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = os.environ.get("PEEK_BINARY", str(ROOT / "target" / "release" / "peek"))
ROLE = "arn:aws:iam::123456789012:role/test"
PYTHON = next(
    (
        f"python3.{minor}"
        for minor in range(14, 8, -1)
        if pathlib.Path(f"/usr/bin/python3.{minor}").exists()
    ),
    "python3.11",
)


# How many times longer than usual things may take: machines that are emulated have no time of their own.
SLOW = float(os.environ.get("PEEK_SLOW", "1"))

# Control group of a server: its id has eight hexadecimal digits.
SERVER_GROUP = re.compile(r"peek-[0-9a-f]{8}")


class Platform:
    """One `peek serve`, with a client."""

    def __init__(self, data, *flags):
        self.data = pathlib.Path(data)
        self.flags = flags
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [BINARY, "serve", "--listen", "127.0.0.1:0", "--data", str(self.data), *self.flags],
            stdout=subprocess.PIPE,
            text=True,
        )
        said = {}
        self.host_address = None
        for line in self.process.stdout:
            line = line.strip()
            if line.startswith("endpoint "):
                self.endpoint = line.split(" ", 1)[1]
            elif line.startswith("host_address "):
                self.host_address = line.split(" ", 1)[1]
            elif line.startswith("AWS_") and "=" in line:
                key, value = line.split("=", 1)
                said[key] = value
            if line == "ready":
                break
        else:
            raise RuntimeError(f"peek serve ended with {self.process.wait()}")
        self.credentials = said
        self.client = boto3.client(
            "lambda",
            endpoint_url=self.endpoint,
            region_name=said.get("AWS_DEFAULT_REGION", "us-east-1"),
            aws_access_key_id=said["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=said["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"max_attempts": 0}, read_timeout=120 * SLOW, max_pool_connections=300),
        )

    @property
    def environment(self):
        """Environment for a client in a process of its own."""
        return {**os.environ, **self.credentials, "AWS_ENDPOINT_URL": self.endpoint}

    def deploy(self, name, code, **settings):
        """Creates a function, of Python unless settings say otherwise, and waits until it is active."""
        settings = {"Runtime": PYTHON, "Handler": "app.handler", "Timeout": min(900, int(30 * SLOW)), **settings}
        files = code if isinstance(code, dict) else {"app.py": code}
        self.client.create_function(
            FunctionName=name, Role=ROLE, Code={"ZipFile": zipped(files)}, **settings
        )
        self.client.get_waiter("function_active_v2").wait(FunctionName=name)

    def invoke(self, name, event=None):
        """The answer of one invocation: (payload, function error or None, log)."""
        answer = self.client.invoke(
            FunctionName=name, Payload=json.dumps(event).encode(), LogType="Tail"
        )
        log = base64.b64decode(answer.get("LogResult", "")).decode(errors="replace")
        return json.loads(answer["Payload"].read() or b"null"), answer.get("FunctionError"), log

    def stop(self):
        """Ends the server as a service manager would; returns its status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30 * SLOW)

    def kill(self):
        """Ends the server as a crash would."""
        self.process.kill()
        self.process.wait()


def zipped(files):
    """A zip with these files, each executable."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o755 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def left_over():
    """The set of everything that a platform could have left on this machine: cgroups, mounts, namespaces, loop devices."""
    left = []
    for top, folders, _ in os.walk("/sys/fs/cgroup"):
        left += [os.path.join(top, it) for it in folders if SERVER_GROUP.fullmatch(it)]
    left += [line for line in open("/proc/self/mountinfo") if "peek" in line]
    if os.path.isdir("/run/netns"):
        left += [name for name in os.listdir("/run/netns") if "peek" in name]
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True).stdout
    left += [line for line in links.splitlines() if "peek" in line or ": pk" in line]
    for device in pathlib.Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            backing = device.read_text()
        except OSError:
            continue
        if "peek" in backing or "pytest" in backing:
            left.append(f"{device} {backing}")
    return set(left)


def wait_until(condition, seconds=15):
    """Waits for something that must come; says what it was last when it did not."""
    deadline = time.monotonic() + seconds * SLOW
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            return value
        time.sleep(0.05)


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    """A platform for all tests of one file."""
    platform = Platform(tmp_path_factory.mktemp("peek-data"))
    yield platform
    platform.stop()


@pytest.fixture
def fresh(tmp_path):
    """Starts a platform of one's own; each is ended with the test."""
    started = []

    def start(*flags):
        started.append(Platform(tmp_path / f"peek-data-{len(started)}", *flags))
        return started[-1]

    yield start
    for platform in started:
        if platform.process.poll() is None:
            platform.stop()


@pytest.fixture(scope="session")
def hello():
    """A function built with the official `lambda_runtime`, as `cargo lambda build` does."""
    folder = ROOT / "tests" / "functions" / "hello"
    subprocess.run(["cargo", "build", "--release", "--quiet", "--locked"], cwd=folder, check=True)
    return (folder / "target" / "release" / "hello").read_bytes()
