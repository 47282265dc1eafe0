"""Functions are created, shown, listed, changed and deleted by boto3 as at AWS."""

import base64
import concurrent.futures
import hashlib
import json
import urllib.request

import pytest
from botocore.exceptions import ClientError

from .conftest import ECHO_PYTHON, ROLE, package, unique


def error_of(call, **arguments):
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    return refused.value.response


# A function is Pending when it is created, and Active soon after: the SDK's waiters see it.
def test_create_and_wait(client, make, python):
    created = make(python, {"app.py": ECHO_PYTHON}, wait=False)
    assert created["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert created["State"] == "Pending"
    assert created["Version"] == "$LATEST"
    name = created["FunctionName"]
    client.get_waiter("function_active_v2").wait(FunctionName=name)
    configuration = client.get_function_configuration(FunctionName=name)
    assert (configuration["State"], configuration["LastUpdateStatus"]) == ("Active", "Successful")
    client.get_waiter("function_exists").wait(FunctionName=name)


# Every setting comes back as it was given, and the hash is that of the zip.
def test_settings_come_back(client, make, python):
    settings = {
        "Description": "grüß",
        "Timeout": 17,
        "MemorySize": 192,
        "Environment": {"Variables": {"ONE": "1", "EMPTY": ""}},
        "EphemeralStorage": {"Size": 700},
        "TracingConfig": {"Mode": "PassThrough"},
        "Tags": {"team": "a"},
        "Architectures": None,
    }
    settings.pop("Architectures")
    created = make(python, {"app.py": ECHO_PYTHON}, **settings)
    got = client.get_function(FunctionName=created["FunctionName"])
    configuration = got["Configuration"]
    for name in ["Description", "Timeout", "MemorySize", "Environment", "EphemeralStorage", "TracingConfig"]:
        assert configuration[name] == settings[name], name
    assert got["Tags"] == {"team": "a"}
    assert configuration["Role"] == ROLE
    code = package({"app.py": ECHO_PYTHON})
    assert configuration["CodeSha256"] == base64.b64encode(hashlib.sha256(code).digest()).decode()
    assert configuration["CodeSize"] == len(code)


# The URL that GetFunction gives downloads the zip, with no client of AWS.
def test_code_can_be_downloaded(client, make, python):
    name = make(python, {"app.py": ECHO_PYTHON})["FunctionName"]
    location = client.get_function(FunctionName=name)["Code"]["Location"]
    with urllib.request.urlopen(location, timeout=30) as answer:
        assert answer.read() == package({"app.py": ECHO_PYTHON})


# The paginator finds every function once, over several pages.
def test_list_pages(client, make, python):
    names = {make(python, {"app.py": ECHO_PYTHON}, wait=False)["FunctionName"] for _ in range(5)}
    pages = client.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 2})
    listed = [f["FunctionName"] for page in pages for f in page["Functions"]]
    assert names <= set(listed)
    assert len(listed) == len(set(listed))


# New code runs from the answer on, for every invocation.
def test_update_code(client, make, python):
    name = make(python, {"app.py": "def handler(e, c): return 0"})["FunctionName"]
    for number in range(1, 6):
        code = package({"app.py": f"def handler(e, c): return {number}"})
        updated = client.update_function_code(FunctionName=name, ZipFile=code)
        assert updated["CodeSize"] == len(code)
        assert json.load(client.invoke(FunctionName=name)["Payload"]) == number
        client.get_waiter("function_updated_v2").wait(FunctionName=name)


# A dry run checks and changes nothing.
def test_update_code_dry_run(client, make, python):
    created = make(python, {"app.py": ECHO_PYTHON})
    code = package({"app.py": "other"})
    client.update_function_code(FunctionName=created["FunctionName"], ZipFile=code, DryRun=True)
    now = client.get_function_configuration(FunctionName=created["FunctionName"])
    assert now["CodeSha256"] == created["CodeSha256"]


# New settings are what the next invocation sees; what is not named stays.
def test_update_configuration(client, make, python):
    code = "import os\ndef handler(e, c): return [os.environ.get('ONE'), c.memory_limit_in_mb]"
    name = make(python, {"app.py": code}, Environment={"Variables": {"ONE": "1"}})["FunctionName"]
    invoke = lambda: json.load(client.invoke(FunctionName=name)["Payload"])
    assert [str(x) for x in invoke()] == ["1", "128"]
    client.update_function_configuration(FunctionName=name, MemorySize=256, Timeout=9)
    client.get_waiter("function_updated_v2").wait(FunctionName=name)
    assert [str(x) for x in invoke()] == ["1", "256"]
    client.update_function_configuration(FunctionName=name, Environment={"Variables": {"ONE": "2"}})
    assert [str(x) for x in invoke()] == ["2", "256"]
    assert client.get_function_configuration(FunctionName=name)["Timeout"] == 9


# An update by an old revision is refused; by the latest it is done.
def test_revisions(client, make, python):
    name = make(python, {"app.py": ECHO_PYTHON})["FunctionName"]
    latest = client.get_function_configuration(FunctionName=name)["RevisionId"]
    change = {"FunctionName": name, "RevisionId": latest, "Description": "new"}
    after = client.update_function_configuration(**change)
    assert after["RevisionId"] != latest
    refused = error_of(client.update_function_configuration, **change)
    assert refused["Error"]["Code"] == "PreconditionFailedException"
    assert refused["ResponseMetadata"]["HTTPStatusCode"] == 412


# A function answers to its name, and to part and all of its ARN.
def test_names(client, make, python):
    created = make(python, {"app.py": ECHO_PYTHON})
    arn, name = created["FunctionArn"], created["FunctionName"]
    account = arn.split(":")[4]
    for text in [name, arn, f"{account}:function:{name}", f"{arn}:$LATEST", f"{name}:$LATEST"]:
        qualifier = ":$LATEST" if text.endswith(":$LATEST") else ""
        assert client.get_function(FunctionName=text)["Configuration"]["FunctionArn"] == arn + qualifier
        assert client.invoke(FunctionName=text)["ExecutedVersion"] == "$LATEST"
    assert client.get_function(FunctionName=name, Qualifier="$LATEST")


# A deleted function is gone at once, and its name is free.
def test_delete(client, make, python):
    name = make(python, {"app.py": "def handler(e, c): return 1"})["FunctionName"]
    client.invoke(FunctionName=name)
    client.delete_function(FunctionName=name)
    for call in [client.get_function, client.invoke, client.delete_function]:
        refused = error_of(call, FunctionName=name)
        assert refused["Error"]["Code"] == "ResourceNotFoundException"
        assert f":function:{name}" in refused["Error"]["Message"]
    make(python, {"app.py": "def handler(e, c): return 2"}, FunctionName=name)
    assert json.load(client.invoke(FunctionName=name)["Payload"]) == 2


# A name is taken once, however many ask for it at the same time.
def test_one_of_many_creates_wins(client, make, python):
    name = unique()

    def create(_):
        try:
            make(python, {"app.py": ECHO_PYTHON}, wait=False, FunctionName=name)
            return "created"
        except ClientError as error:
            return error.response["Error"]["Code"]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        outcomes = sorted(pool.map(create, range(8)))
    assert outcomes == ["ResourceConflictException"] * 7 + ["created"]


# The account's limits and holdings are told.
def test_account_settings(client, make, python):
    make(python, {"app.py": ECHO_PYTHON})
    settings = client.get_account_settings()
    assert settings["AccountLimit"]["CodeSizeUnzipped"] == 262_144_000
    assert settings["AccountUsage"]["FunctionCount"] >= 1
