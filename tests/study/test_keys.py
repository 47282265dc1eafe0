"""Keys that the platform refuses: told at once, in one line, before anything is measured."""

import os
import subprocess

import pytest
from conftest import BINARY

ROLE = "arn:aws:iam::123456789012:role/measured"
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
# What is wrong, and what the platform says of it.
WRONG = [("AWS_SECRET_ACCESS_KEY", "InvalidSignatureException"), ("AWS_ACCESS_KEY_ID", "UnrecognizedClientException")]


def peek(platform, command, kind, *arguments, **more):
    """`peek` on this platform as a target of a kind, with its keys but for `more`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    clean |= {name: os.devnull for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")}
    clean |= {"AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL_LAMBDA": platform.endpoint}
    target = f"lambda:{platform.endpoint}" if kind == "lambda" else "aws:us-east-1"
    role = ["--role", ROLE] if kind == "aws" else []
    return subprocess.run(
        [BINARY, command, "--target", target, *role, *arguments],
        env=clean | {name: platform.credentials[name] for name in KEYS} | more,
        capture_output=True, text=True, timeout=300,
    )


def refused(done, code, *words):
    """It failed with one line that has what was said and where to look."""
    assert done.returncode == 1, (done.returncode, done.stderr)
    assert len(done.stderr.splitlines()) == 1 and done.stdout == "", (done.stdout, done.stderr)
    for word in (code, "refuses the access key", *words):
        assert word in done.stderr, (word, done.stderr)


# A study with a wrong secret, or with an id that nobody has, ends before it begins: no study, no report, no status 0.
@pytest.mark.parametrize("kind", ["lambda", "aws"])
@pytest.mark.parametrize(("variable", "code"), WRONG)
def test_a_study_is_not_begun(platform, tmp_path, kind, variable, code):
    out = tmp_path / "out"
    done = peek(platform, "study", kind, "--quick", "--out", str(out), **{variable: "wrong"})
    refused(done, code, *KEYS)
    assert not out.exists() or list(out.iterdir()) == []


# So does the key of a further account, and the profile that holds it is named.
def test_a_further_account(platform, tmp_path):
    stored = tmp_path / "credentials"
    stored.write_text("[second]\naws_access_key_id = nobody\naws_secret_access_key = wrong\n")
    done = peek(
        platform, "study", "lambda", "--quick", "--account", "second", "--out", str(tmp_path / "out"),
        AWS_SHARED_CREDENTIALS_FILE=str(stored),
    )
    refused(done, "UnrecognizedClientException", "profile second", str(stored))


# Cleaning up with a wrong key says the same.
def test_cleaning(platform):
    refused(peek(platform, "clean", "lambda", AWS_SECRET_ACCESS_KEY="wrong"), "InvalidSignatureException", *KEYS)


# With the right keys, and a further account that the platform knows, the same study is done.
def test_right_keys(fresh, tmp_path):
    platform = fresh("--tenants", "2")
    out = tmp_path / "out"
    done = peek(platform, "study", "lambda", "--quick", "--experiments", "exposure", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert (out / "findings.json").exists()
