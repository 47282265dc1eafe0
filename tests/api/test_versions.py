"""Versions, aliases, tags, policies and concurrency, with the real boto3."""

import base64
import collections
import hashlib
import json
import threading
import time

import pytest
from botocore.exceptions import ClientError

from .conftest import package

ACCOUNT = "123456789012"
VERSION = "import os\ndef handler(event, context):\n    return [{}, os.environ['AWS_LAMBDA_FUNCTION_VERSION'], context.invoked_function_arn]\n"


def error_of(call, **parameters):
    with pytest.raises(ClientError) as refused:
        call(**parameters)
    error = refused.value.response
    return error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Code"], error["Error"]["Message"]


def run(client, name, qualifier=None):
    """What a function answers, and the version that the platform says it ran."""
    answer = client.invoke(FunctionName=name, **({"Qualifier": qualifier} if qualifier else {}))
    assert "FunctionError" not in answer, answer["Payload"].read()
    return json.load(answer["Payload"]), answer["ExecutedVersion"]


def update(client, name, text):
    client.update_function_code(FunctionName=name, ZipFile=package({"app.py": text}))
    client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 300})


@pytest.fixture
def versioned(client, make, python):
    """A function with version 1 published; its name and ARN."""
    created = make(python, {"app.py": VERSION.format(1)})
    client.publish_version(FunctionName=created["FunctionName"], Description="first")
    wait(client, created["FunctionName"], "1")
    return created["FunctionName"], created["FunctionArn"]


def wait(client, name, qualifier):
    client.get_waiter("function_active_v2").wait(
        FunctionName=name, Qualifier=qualifier, WaiterConfig={"Delay": 0.1, "MaxAttempts": 300}
    )


# A published version keeps its code and settings whatever happens to the function, and says its own number everywhere.
def test_versions_stay(client, versioned):
    name, arn = versioned
    update(client, name, VERSION.format(2))
    assert run(client, name)[0] == [2, "$LATEST", arn]
    assert run(client, name, "1") == ([1, "1", f"{arn}:1"], "1")
    assert run(client, f"{arn}:1")[1] == "1"
    second = client.publish_version(FunctionName=name)
    assert (second["Version"], second["FunctionArn"]) == ("2", f"{arn}:2")
    wait(client, name, "2")
    assert run(client, name, "2")[0][0] == 2
    shown = client.list_versions_by_function(FunctionName=name)["Versions"]
    assert [it["Version"] for it in shown] == ["$LATEST", "1", "2"]
    first = client.get_function_configuration(FunctionName=name, Qualifier="1")
    assert (first["Description"], first["State"]) == ("first", "Active")


# Publishing what was published already is the version that is there; a hash or a revision that is not the latest is refused.
def test_publishing_again(client, versioned):
    name, _ = versioned
    assert client.publish_version(FunctionName=name, Description="first")["Version"] == "1"
    zipped = package({"app.py": VERSION.format(9)})
    wrong = base64.b64encode(hashlib.sha256(zipped).digest()).decode()
    assert error_of(client.publish_version, FunctionName=name, CodeSha256=wrong)[:2] == (400, "InvalidParameterValueException")
    stale = error_of(client.publish_version, FunctionName=name, RevisionId="stale")
    assert stale[:2] == (412, "PreconditionFailedException")


# A version that an alias names cannot be deleted; after that it can, and is gone.
def test_deleting_versions(client, versioned):
    name, arn = versioned
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    assert error_of(client.delete_function, FunctionName=name, Qualifier="1")[:2] == (409, "ResourceConflictException")
    client.delete_alias(FunctionName=name, Name="live")
    client.delete_function(FunctionName=name, Qualifier="1")
    assert error_of(client.get_function, FunctionName=name, Qualifier="1")[:2] == (404, "ResourceNotFoundException")
    assert error_of(client.invoke, FunctionName=name, Qualifier="1")[:2] == (404, "ResourceNotFoundException")
    assert run(client, name)[0] == [1, "$LATEST", arn]


# An alias is moved from version to version, is listed with what it names, and an unknown one is told by its ARN.
def test_aliases(client, versioned):
    name, arn = versioned
    made = client.create_alias(FunctionName=name, Name="live", FunctionVersion="1", Description="d")
    assert (made["AliasArn"], made["FunctionVersion"]) == (f"{arn}:live", "1")
    assert run(client, name, "live") == ([1, "1", f"{arn}:live"], "1")
    update(client, name, VERSION.format(2))
    client.publish_version(FunctionName=name)
    wait(client, name, "2")
    moved = client.update_alias(FunctionName=name, Name="live", FunctionVersion="2")
    assert moved["RevisionId"] != made["RevisionId"]
    assert run(client, name, "live")[0][0] == 2
    assert [it["Name"] for it in client.list_aliases(FunctionName=name)["Aliases"]] == ["live"]
    assert client.list_aliases(FunctionName=name, FunctionVersion="1")["Aliases"] == []
    assert error_of(client.create_alias, FunctionName=name, Name="live", FunctionVersion="1")[:2] == (409, "ResourceConflictException")
    status, code, message = error_of(client.get_alias, FunctionName=name, Name="none")
    assert (status, code) == (404, "ResourceNotFoundException") and f"{arn}:none" in message


# A weighted alias sends about as many invocations to its second version as it says, and the answer says which ran.
def test_weights(client, versioned):
    name, _ = versioned
    update(client, name, VERSION.format(2))
    client.publish_version(FunctionName=name)
    wait(client, name, "2")
    client.create_alias(
        FunctionName=name, Name="split", FunctionVersion="1", RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}}
    )
    seen = collections.Counter()
    for _ in range(60):
        (number, version, _), executed = run(client, name, "split")
        assert str(number) == version == executed
        seen[executed] += 1
    # One of 60 fair coins shows fewer than 10 heads, or tails, once in thirty million runs.
    assert set(seen) == {"1", "2"} and min(seen.values()) >= 10, seen


# Tags are set, listed and removed by the function's ARN, and bounded.
def test_tags(client, versioned):
    _, arn = versioned
    client.tag_resource(Resource=arn, Tags={"team": "a", "stage": "b"})
    client.untag_resource(Resource=arn, TagKeys=["stage", "none"])
    assert client.list_tags(Resource=arn)["Tags"] == {"team": "a"}
    assert client.get_function(FunctionName=arn)["Tags"] == {"team": "a"}
    many = {f"k{number}": "v" for number in range(51)}
    assert error_of(client.tag_resource, Resource=arn, Tags=many)[1] == "InvalidParameterValueException"
    status, code, message = error_of(client.tag_resource, Resource=arn, Tags={"peek:isolation": "moon"})
    assert (status, code) == (400, "InvalidParameterValueException") and "tenant" in message
    assert client.list_tags(Resource=arn)["Tags"] == {"team": "a"}


# A policy grows and shrinks by its statements, and is one JSON document.
def test_policies(client, versioned):
    name, arn = versioned
    assert error_of(client.get_policy, FunctionName=name)[:2] == (404, "ResourceNotFoundException")
    grant = {"StatementId": "s1", "Action": "lambda:InvokeFunction", "Principal": "210987654321"}
    said = json.loads(client.add_permission(FunctionName=name, **grant)["Statement"])
    assert (said["Sid"], said["Effect"], said["Resource"]) == ("s1", "Allow", arn)
    policy = json.loads(client.get_policy(FunctionName=name)["Policy"])
    assert [it["Sid"] for it in policy["Statement"]] == ["s1"]
    assert error_of(client.add_permission, FunctionName=name, **grant)[:2] == (409, "ResourceConflictException")
    client.remove_permission(FunctionName=name, StatementId="s1")
    assert error_of(client.get_policy, FunctionName=name)[1] == "ResourceNotFoundException"


# Reserved concurrency refuses the invocation beyond it by the service's reason, shows everywhere, and goes again.
def test_reserved_concurrency(client, make, python):
    name = make(python, {"app.py": "import time\ndef handler(e, c):\n    time.sleep(e)\n"}, Timeout=30)["FunctionName"]
    before = client.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    assert client.get_function_concurrency(FunctionName=name)["ReservedConcurrentExecutions"] == 1
    assert client.get_function(FunctionName=name)["Concurrency"]["ReservedConcurrentExecutions"] == 1
    after = client.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
    assert after == before - 1

    def hold():
        # Until it is the one that runs: what comes at the same moment may be faster.
        while True:
            try:
                return client.invoke(FunctionName=name, Payload=b"4")
            except ClientError:
                time.sleep(0.02)

    first = threading.Thread(target=hold)
    first.start()
    deadline = time.monotonic() + 30
    while True:
        try:
            client.invoke(FunctionName=name, Payload=b"0")
        except ClientError as refused:
            error = refused.response
            break
        assert time.monotonic() < deadline, "never refused"
        time.sleep(0.1)
    first.join()
    assert error["Error"]["Code"] == "TooManyRequestsException"
    assert error["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded", error
    client.delete_function_concurrency(FunctionName=name)
    assert "ReservedConcurrentExecutions" not in client.get_function_concurrency(FunctionName=name)
    too_many = error_of(client.put_function_concurrency, FunctionName=name, ReservedConcurrentExecutions=before - 99)
    assert too_many[1] == "InvalidParameterValueException" and "100" in too_many[2]


# Provisioned instances are there before anybody asks: READY comes by itself, and the first invocation is no cold one.
def test_provisioned_concurrency(client, make, python):
    code = "import os\nmade = os.environ['AWS_LAMBDA_INITIALIZATION_TYPE']\ndef handler(e, c): return made\n"
    name = make(python, {"app.py": code})["FunctionName"]
    client.publish_version(FunctionName=name)
    wait(client, name, "1")
    refused = error_of(
        client.put_provisioned_concurrency_config, FunctionName=name, Qualifier="$LATEST", ProvisionedConcurrentExecutions=1
    )
    assert refused[1] == "InvalidParameterValueException"
    client.put_provisioned_concurrency_config(FunctionName=name, Qualifier="1", ProvisionedConcurrentExecutions=2)
    deadline = time.monotonic() + 60
    while True:
        shown = client.get_provisioned_concurrency_config(FunctionName=name, Qualifier="1")
        if shown["Status"] == "READY" or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    assert (shown["Status"], shown["AvailableProvisionedConcurrentExecutions"]) == ("READY", 2), shown
    assert run(client, name, "1")[0] == "provisioned-concurrency"
    assert run(client, name)[0] == "on-demand"
    listed = client.list_provisioned_concurrency_configs(FunctionName=name)["ProvisionedConcurrencyConfigs"]
    assert [it["RequestedProvisionedConcurrentExecutions"] for it in listed] == [2]
    client.delete_provisioned_concurrency_config(FunctionName=name, Qualifier="1")
    gone = error_of(client.get_provisioned_concurrency_config, FunctionName=name, Qualifier="1")
    assert gone[1] == "ProvisionedConcurrencyConfigNotFoundException"
