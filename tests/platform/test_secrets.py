"""Secrets stay where they belong: files of mode 0600 and the server's own memory."""

import json
import os
import pathlib
import stat
import subprocess

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from conftest import BINARY


def secrets(platform):
    """What nobody but the server may hold."""
    keys = json.loads((platform.data / "credentials.json").read_text())
    session = (platform.data / "session-secret").read_text().strip()
    return [*(key["secret_access_key"] for key in keys), session]


def holds(pid, needles):
    """Which of these the memory of a process holds; a mapping that cannot be read holds nothing."""
    found = set()
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            first, last = (int(it, 16) for it in line.split()[0].split("-"))
            try:
                memory.seek(first)
                bytes_ = memory.read(last - first)
            except (OSError, OverflowError, ValueError):
                continue
            found |= {needle for needle in needles if needle in bytes_}
    return found


def processes_of(platform):
    """All processes below the server's."""
    children = {}
    for status in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(status.parent.name))
    found, rest = [], [platform.process.pid]
    while rest:
        below = children.get(rest.pop(), [])
        found += below
        rest += below
    return found


# Keys, and what temporary ones are made from, lie in files that only their owner may read.
def test_files(platform):
    for name in ("credentials.json", "session-secret", "catalog.redb"):
        assert stat.S_IMODE(os.stat(platform.data / name).st_mode) == 0o600, name


# The starter, its helpers and the instances hold neither: only the server itself does.
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look into other processes")
def test_memory_of_other_processes(platform):
    platform.deploy("quiet", "def handler(event, context): return event")
    platform.invoke("quiet", 1)
    needles = [secret.encode() for secret in secrets(platform)][:-1]
    assert needles and holds(platform.process.pid, needles) == set(needles)
    others = processes_of(platform)
    assert len(others) >= 2, others
    for pid in others:
        try:
            assert holds(pid, needles) == set(), pid
        except OSError:
            # It has ended meanwhile.
            assert not pathlib.Path(f"/proc/{pid}").exists()


# With the most talkative log, neither secrets nor a function's variables are written, also when requests are refused.
def test_log(tmp_path):
    said = tmp_path / "log"
    with open(said, "w") as log:
        process = subprocess.Popen(
            [BINARY, "serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data")],
            stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, "PEEK_LOG": "trace"},
        )
        try:
            lines = dict(
                line.strip().split("=", 1) for line in iter(process.stdout.readline, "ready\n") if line.startswith("AWS_")
            )

            def client(secret):
                return boto3.client(
                    "lambda", endpoint_url=lines["AWS_ENDPOINT_URL"], region_name="us-east-1",
                    aws_access_key_id=lines["AWS_ACCESS_KEY_ID"], aws_secret_access_key=secret,
                    config=Config(retries={"max_attempts": 0}),
                )

            with pytest.raises(ClientError):
                client("wrong").list_functions()
            with pytest.raises(ClientError) as refused:
                client(lines["AWS_SECRET_ACCESS_KEY"]).create_function(
                    FunctionName="f", Runtime="provided.al2023", Handler="h", Code={"ZipFile": b"no zip"},
                    Role="arn:aws:iam::123456789012:role/any",
                    Environment={"Variables": {"PASSWORD": "hunter2hunter2"}},
                )
            assert "hunter2" not in str(refused.value)
            client(lines["AWS_SECRET_ACCESS_KEY"]).list_functions()
        finally:
            process.terminate()
            process.wait(60)
    text = said.read_text()
    assert text, "trace says something"
    for secret in (lines["AWS_SECRET_ACCESS_KEY"], (tmp_path / "data/session-secret").read_text(), "hunter2"):
        assert secret not in text
