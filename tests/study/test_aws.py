"""The target `aws:REGION` as far as it can be had without an account: its own ways to credentials, region and endpoint,
with our platform behind them."""

import json
import os
import subprocess

import pytest
from conftest import BINARY

ROLE = "arn:aws:iam::123456789012:role/measured"


def environment(platform, **more):
    """What AWS's own tools read, and nothing that this machine has of it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    clean |= {name: os.devnull for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")}
    keys = {name: platform.credentials[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    return clean | {"AWS_EC2_METADATA_DISABLED": "true"} | keys | more


def study(platform, *arguments, **more):
    command = [BINARY, "study", "--target", "aws:us-east-1", *arguments]
    return subprocess.run(
        command, env=environment(platform, **more), capture_output=True, text=True, timeout=300
    )


# A study runs by the SDK's ways: keys and endpoint from the environment, either variable; what it deployed is removed.
@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL_LAMBDA", "AWS_ENDPOINT_URL"])
def test_study(fresh, tmp_path, variable):
    platform = fresh()
    out = tmp_path / "out"
    done = study(
        platform, "--role", ROLE, "--quick", "--experiments", "exposure", "--out", str(out), **{variable: platform.endpoint}
    )
    assert done.returncode == 0, done.stderr
    findings = json.loads((out / "findings.json").read_text())
    assert findings["target"]["kind"] == "aws" and findings["target"]["uri"] == "aws:us-east-1"
    (count, *_) = [it for it in findings["findings"] if it["metric"] == "exposure.count"]
    assert count["value"] > 0, findings["problems"]
    assert platform.client.list_functions()["Functions"] == []


# Without what it needs it says in one line what to give, before anything is deployed.
def test_what_is_missing_is_told(fresh, tmp_path):
    platform = fresh()
    out = ("--quick", "--experiments", "exposure", "--out", str(tmp_path / "out"))
    endpoint = {"AWS_ENDPOINT_URL_LAMBDA": platform.endpoint}
    for arguments, more, words in [
        (out, endpoint, "role"),
        ((*out, "--role", ROLE), {"AWS_ENDPOINT_URL_LAMBDA": "not a url"}, "AWS_ENDPOINT_URL_LAMBDA"),
    ]:
        done = study(platform, *arguments, **more)
        assert done.returncode != 0 and words in done.stderr, (words, done.stderr)
        assert len(done.stderr.strip().splitlines()) <= 2, done.stderr
    assert platform.client.list_functions()["Functions"] == []
