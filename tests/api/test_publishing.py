"""Versions, aliases, tags, policies and concurrency by boto3, with functions that really run."""

import json

import pytest
from botocore.exceptions import ClientError

from .conftest import ECHO_PYTHON, package

VERSION_PYTHON = """import os
def handler(event, context):
    names = ["AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_LOG_STREAM_NAME", "SAID"]
    return {name: os.environ.get(name) for name in names} | {
        "arn": context.invoked_function_arn, "version": context.function_version}
"""


def said(client, name, **more):
    answer = client.invoke(FunctionName=name, LogType="Tail", **more)
    assert "FunctionError" not in answer, answer["Payload"].read()
    return answer["ExecutedVersion"], json.loads(answer["Payload"].read())


def settle(client, name):
    client.get_waiter("function_updated_v2").wait(FunctionName=name)


# A version keeps code and settings; the function sees its own version, and the alias by which it was invoked.
def test_versions_and_aliases(client, make, python):
    made = make(python, {"app.py": VERSION_PYTHON}, Environment={"Variables": {"SAID": "one"}})
    name, arn = made["FunctionName"], made["FunctionArn"]
    one = client.publish_version(FunctionName=name, Description="first")
    client.get_waiter("published_version_active").wait(FunctionName=name, Qualifier="1")
    assert (one["Version"], one["FunctionArn"], one["State"]) == ("1", f"{arn}:1", "Active")
    client.update_function_configuration(FunctionName=name, Environment={"Variables": {"SAID": "two"}})
    settle(client, name)
    alias = client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    assert alias["AliasArn"] == f"{arn}:live"
    version, tells = said(client, name)
    assert (version, tells["SAID"], tells["version"]) == ("$LATEST", "two", "$LATEST")
    for more in [{"Qualifier": "1"}, {"Qualifier": "live"}]:
        version, tells = said(client, name, **more)
        assert (version, tells["SAID"], tells["version"]) == ("1", "one", "1")
        assert tells["arn"] == f"{arn}:{more['Qualifier']}"
        assert "/[1]" in tells["AWS_LAMBDA_LOG_STREAM_NAME"]
    assert client.publish_version(FunctionName=name)["Version"] == "2"
    client.update_alias(FunctionName=name, Name="live", FunctionVersion="2")
    assert said(client, f"{name}:live")[1]["SAID"] == "two"
    listed = client.get_paginator("list_versions_by_function").paginate(FunctionName=name).build_full_result()
    assert [version["Version"] for version in listed["Versions"]] == ["$LATEST", "1", "2"]
    client.delete_function(FunctionName=name, Qualifier="1")
    with pytest.raises(ClientError):
        client.invoke(FunctionName=name, Qualifier="1")


# Weighted aliases send invocations to both versions.
def test_weights(client, make, python):
    name = make(python, {"app.py": VERSION_PYTHON}, Publish=True)["FunctionName"]
    zipped = package({"app.py": VERSION_PYTHON + "# two\n"})
    assert client.update_function_code(FunctionName=name, ZipFile=zipped, Publish=True)["Version"] == "2"
    routing = {"AdditionalVersionWeights": {"2": 0.5}}
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1", RoutingConfig=routing)
    # Forty times the same has a chance of 2e-12.
    seen = {said(client, name, Qualifier="live")[0] for _ in range(40)}
    assert seen == {"1", "2"}


# Reserved concurrency 0 stops a function, its versions too; without it they run again.
def test_reserved_concurrency(client, make, python):
    name = make(python, {"app.py": ECHO_PYTHON}, Publish=True)["FunctionName"]
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    for qualifier in ["$LATEST", "1"]:
        with pytest.raises(ClientError) as refused:
            client.invoke(FunctionName=name, Qualifier=qualifier)
        assert refused.value.response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    client.delete_function_concurrency(FunctionName=name)
    assert client.invoke(FunctionName=name, Qualifier="1")["StatusCode"] == 200


# Provisioned instances become ready without an invocation.
def test_provisioned_concurrency(client, make, python):
    name = make(python, {"app.py": ECHO_PYTHON}, Publish=True)["FunctionName"]
    client.get_waiter("published_version_active").wait(FunctionName=name, Qualifier="1")
    asked = {"FunctionName": name, "Qualifier": "1"}
    put = client.put_provisioned_concurrency_config(ProvisionedConcurrentExecutions=2, **asked)
    assert put["RequestedProvisionedConcurrentExecutions"] == 2
    for _ in range(600):
        got = client.get_provisioned_concurrency_config(**asked)
        if got["Status"] != "IN_PROGRESS":
            break
    assert (got["Status"], got["AvailableProvisionedConcurrentExecutions"]) == ("READY", 2), got
    client.delete_provisioned_concurrency_config(**asked)
    with pytest.raises(client.exceptions.ProvisionedConcurrencyConfigNotFoundException):
        client.get_provisioned_concurrency_config(**asked)


# Tags and policies come back as they were given.
def test_tags_and_policies(client, make, python):
    made = make(python, {"app.py": ECHO_PYTHON})
    name, arn = made["FunctionName"], made["FunctionArn"]
    client.tag_resource(Resource=arn, Tags={"team": "a", "stage": "b"})
    client.untag_resource(Resource=arn, TagKeys=["stage"])
    assert client.list_tags(Resource=arn)["Tags"] == {"team": "a"}
    client.add_permission(
        FunctionName=name, StatementId="s3", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com",
        SourceArn="arn:aws:s3:::bucket", SourceAccount="123456789012",
    )
    got = client.get_policy(FunctionName=name)
    statement = json.loads(got["Policy"])["Statement"][0]
    assert statement["Principal"] == {"Service": "s3.amazonaws.com"}
    assert statement["Condition"] == {
        "ArnLike": {"AWS:SourceArn": "arn:aws:s3:::bucket"},
        "StringEquals": {"AWS:SourceAccount": "123456789012"},
    }
    client.remove_permission(FunctionName=name, StatementId="s3", RevisionId=got["RevisionId"])
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_policy(FunctionName=name)
