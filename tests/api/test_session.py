"""Temporary access keys: who am I, and a key for a while, with the real clients."""

import datetime
import json
import os
import subprocess
import sys

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from .conftest import REGION

ACCOUNT = "123456789012"


def client(platform, service, key, secret, token=None):
    return boto3.client(
        service,
        endpoint_url=platform.endpoint,
        region_name=REGION,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token,
        config=Config(retries={"max_attempts": 0}),
    )


@pytest.fixture(scope="module")
def sts(platform):
    return client(platform, "sts", platform.key, platform.secret)


@pytest.fixture(scope="module")
def session(sts):
    return sts.get_session_token(DurationSeconds=900)["Credentials"]


def refused(call, **parameters):
    with pytest.raises(ClientError) as error:
        call(**parameters)
    return error.value.response["Error"]


# Whoever asks is told its account, by a lasting key and by a temporary one.
def test_who_am_i(platform, sts, session):
    lasting = sts.get_caller_identity()
    assert (lasting["Account"], lasting["Arn"]) == (ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root")
    keys = (session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"])
    assert client(platform, "sts", *keys).get_caller_identity()["Account"] == ACCOUNT


# A temporary key does what its account may do, and says when it ends.
def test_temporary_keys_work(platform, session, make, python):
    left = session["Expiration"] - datetime.datetime.now(datetime.timezone.utc)
    assert 800 < left.total_seconds() <= 900
    name = make(python, {"app.py": "def handler(event, context): return event"})["FunctionName"]
    keys = (session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"])
    answer = client(platform, "lambda", *keys).invoke(FunctionName=name, Payload=b'{"n": 1}')
    assert json.load(answer["Payload"]) == {"n": 1}


# A token that was changed, that belongs to another key or that goes with a lasting key opens nothing.
def test_wrong_tokens_are_refused(platform, sts, session):
    other = sts.get_session_token()["Credentials"]
    token = session["SessionToken"]
    changed = token[:20] + ("A" if token[20] != "A" else "B") + token[21:]
    for key, secret, token in [
        (session["AccessKeyId"], session["SecretAccessKey"], changed),
        (session["AccessKeyId"], session["SecretAccessKey"], other["SessionToken"]),
        (session["AccessKeyId"], session["SecretAccessKey"], None),
        (platform.key, platform.secret, session["SessionToken"]),
    ]:
        error = refused(client(platform, "lambda", key, secret, token).list_functions)
        assert error["Code"] == "UnrecognizedClientException", error


# A temporary key makes no further ones, lives within the service's bounds, and what is not here says so.
def test_bounds(platform, sts, session):
    keys = (session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"])
    assert refused(client(platform, "sts", *keys).get_session_token)["Code"] == "AccessDenied"
    assert "900 to 129600" in refused(sts.get_session_token, DurationSeconds=129_601)["Message"]
    role = {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/any", "RoleSessionName": "any"}
    assert "AssumeRole is not implemented" in refused(sts.assume_role, **role)["Message"]


# The AWS CLI's first question is answered.
def test_command_line(platform):
    done = subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), "aws"), "sts", "get-caller-identity"],
        env=platform.environment() | {"AWS_ENDPOINT_URL": platform.endpoint},
        capture_output=True, text=True, timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["Account"] == ACCOUNT
