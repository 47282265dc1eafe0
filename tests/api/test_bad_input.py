"""Each bad input gets the error that AWS gives, one by one."""

import concurrent.futures
import datetime
import io
import urllib.error
import urllib.request
import zipfile

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from .conftest import ECHO_PYTHON, REGION, ROLE, package, unique


def refused(call, **arguments):
    """Status, code and message of the error that a call ends in."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response = caught.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"], response["Error"]["Message"]


def good(runtime, **change):
    request = {
        "FunctionName": unique(), "Role": ROLE, "Runtime": runtime, "Handler": "app.handler",
        "Code": {"ZipFile": package({"app.py": ECHO_PYTHON})},
    }
    return request | change


def linked(target):
    """A zip with a symbolic link."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("app.py", ECHO_PYTHON)
        info = zipfile.ZipInfo("link")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        archive.writestr(info, target)
    return buffer.getvalue()


def bomb():
    """A zip of some 260 KB that unpacks to 251 MiB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("zeros", "w", force_zip64=True) as entry:
            for _ in range(251):
                entry.write(bytes(1 << 20))
    return buffer.getvalue()


VALIDATION = {
    "memory below": ({"MemorySize": 127}, "Value '127' at 'memorySize' failed to satisfy constraint: "
                     "Member must have value greater than or equal to 128"),
    "memory above": ({"MemorySize": 10241}, "Member must have value less than or equal to 10240"),
    "timeout below": ({"Timeout": 0}, "Value '0' at 'timeout'"),
    "timeout above": ({"Timeout": 901}, "Value '901' at 'timeout'"),
    "storage below": ({"EphemeralStorage": {"Size": 511}}, "'ephemeralStorage.size'"),
    "role": ({"Role": "somebody"}, "Value 'somebody' at 'role'"),
    "handler": ({"Handler": "a b"}, "Value 'a b' at 'handler'"),
    "name": ({"FunctionName": "a b"}, "Value 'a b' at 'functionName'"),
    "long name": ({"FunctionName": "x" * 65}, "Member must have length less than or equal to 64"),
    "architecture": ({"Architectures": ["riscv"]}, "'architectures'"),
}


# Values out of range or pattern are ValidationException, naming the value, the member and the limit.
@pytest.mark.parametrize("change, words", VALIDATION.values(), ids=VALIDATION.keys())
def test_validation(unchecked, python, change, words):
    status, code, message = refused(unchecked.create_function, **good(python, **change))
    assert (status, code) == (400, "ValidationException")
    assert "1 validation error detected" in message and words in message


PARAMETERS = {
    "no runtime": ({"Runtime": "cobol85"}, "at 'runtime' failed to satisfy constraint"),
    "no handler": ({"Handler": None}, "Runtime and Handler are mandatory parameters"),
    "no code": ({"Code": {}}, "Please provide a source for function code."),
    "code elsewhere": ({"Code": {"S3Bucket": "bucket", "S3Key": "key"}}, "S3Bucket is not supported"),
    "reserved variable": ({"Environment": {"Variables": {"AWS_REGION": "x"}}}, "Reserved keys used in this request: AWS_REGION"),
    "large environment": ({"Environment": {"Variables": {"BIG": "x" * 4096}}}, "exceeded the 4KB limit"),
    "layers": ({"Layers": ["arn:aws:lambda:us-east-1:123456789012:layer:l:1"]}, "layer:l:1 does not exist."),
    "not a zip": ({"Code": {"ZipFile": b"hello"}}, "Could not unzip uploaded file"),
    "empty zip": ({"Code": {"ZipFile": package({})}}, "non-empty zip"),
    "zip that climbs": ({"Code": {"ZipFile": package({"../x": ""})}}, '"../x" is not a path inside the package'),
    "zip from the root": ({"Code": {"ZipFile": package({"/etc/x": ""})}}, "is not a path inside the package"),
    "link out": ({"Code": {"ZipFile": linked("/etc/passwd")}}, "/etc/passwd"),
    "link up": ({"Code": {"ZipFile": linked("../x")}}, "which is not inside the package"),
}


# What cannot be used is InvalidParameterValueException, saying what it is.
@pytest.mark.parametrize("change, words", PARAMETERS.values(), ids=PARAMETERS.keys())
def test_parameters(unchecked, python, change, words):
    request = {k: v for k, v in good(python, **change).items() if v is not None}
    status, code, message = refused(unchecked.create_function, **request)
    assert (status, code) == (400, "InvalidParameterValueException")
    assert words in message


# A zip that is too large unpacked is refused by what it unpacks to.
def test_bomb(client, python):
    status, code, message = refused(client.create_function, **good(python, Code={"ZipFile": bomb()}))
    assert (status, code) == (400, "InvalidParameterValueException")
    assert message == "Unzipped size must be smaller than 262144000 bytes"


# After every refusal nothing is left: the name is free.
def test_refusals_leave_nothing(client, python):
    request = good(python, Code={"ZipFile": b"hello"})
    refused(client.create_function, **request)
    assert refused(client.get_function, FunctionName=request["FunctionName"])[1] == "ResourceNotFoundException"


# A function that is not there is ResourceNotFoundException with its ARN, whatever is asked of it.
def test_missing_function(client):
    calls = [
        (client.get_function, {}), (client.get_function_configuration, {}), (client.delete_function, {}),
        (client.invoke, {}), (client.update_function_configuration, {"Timeout": 3}),
        (client.update_function_code, {"ZipFile": package({"a": ""})}),
    ]
    for call, more in calls:
        status, code, message = refused(call, FunctionName="none", **more)
        assert (status, code) == (404, "ResourceNotFoundException")
        assert message.startswith("Function not found: arn:aws:lambda:us-east-1:")
        assert message.endswith(":function:none")


# Versions and aliases that are not there are not taken for $LATEST.
def test_missing_version(client, make, python):
    name = make(python, {"app.py": ECHO_PYTHON})["FunctionName"]
    for qualifier in ["1", "live"]:
        status, code, message = refused(client.invoke, FunctionName=name, Qualifier=qualifier)
        assert (status, code) == (404, "ResourceNotFoundException")
        assert message.endswith(f":function:{name}:{qualifier}")


# A payload above the limit, or that is no JSON, never reaches the function.
def test_payloads(client, make, python):
    name = make(python, {"app.py": ECHO_PYTHON})["FunctionName"]
    large = b'"' + b"x" * (6 * 1024 * 1024 - 1) + b'"'
    status, code, _ = refused(client.invoke, FunctionName=name, Payload=large)
    assert (status, code) == (413, "RequestTooLargeException")
    for payload in [b"hello", b"{", b"{} {}", b"'single'", b'"\xff"']:
        status, code, message = refused(client.invoke, FunctionName=name, Payload=payload)
        assert (status, code) == (400, "InvalidRequestContentException")
        assert message.startswith("Could not parse request body into json: ")


# Invocation types and contexts that cannot be are refused.
def test_invoke_options(unchecked, make, python):
    name = make(python, {"app.py": ECHO_PYTHON})["FunctionName"]
    assert refused(unchecked.invoke, FunctionName=name, InvocationType="Later")[:2] == (400, "ValidationException")
    assert refused(unchecked.invoke, FunctionName=name, LogType="Head")[:2] == (400, "ValidationException")
    assert refused(unchecked.invoke, FunctionName=name, ClientContext="{}")[:2] == (400, "InvalidRequestContentException")


# Operations that this platform does not have say so.
def test_absent_operations(client, make, python):
    name = make(python, {"app.py": ECHO_PYTHON})["FunctionName"]
    signing = "arn:aws:lambda:us-east-1:123456789012:code-signing-config:csc-0123456789abcdef0"
    calls = [
        (client.get_function_code_signing_config, {}), (client.get_runtime_management_config, {}),
        (client.put_function_code_signing_config, {"CodeSigningConfigArn": signing}),
        (client.put_function_recursion_config, {"RecursiveLoop": "Allow"}),
        (client.create_event_source_mapping, {"EventSourceArn": "arn:aws:sqs:us-east-1:123456789012:queue"}),
    ]
    for call, more in calls:
        status, code, message = refused(call, FunctionName=name, **more)
        assert (status, code) == (501, "NotImplementedException")
        assert "is not implemented by this platform" in message


# A wrong secret, an unknown key, and no signature at all are told apart.
def test_signatures(platform):
    def client(key, secret):
        return boto3.client("lambda", endpoint_url=platform.endpoint, region_name=REGION, aws_access_key_id=key,
                            aws_secret_access_key=secret, config=Config(retries={"max_attempts": 0}))

    wrong = refused(client(platform.key, "wrong").list_functions)
    assert wrong[:2] == (403, "InvalidSignatureException")
    assert wrong[2].startswith("The request signature we calculated does not match")
    unknown = refused(client("AKIANOBODY", platform.secret).list_functions)
    assert unknown[:2] == (403, "UnrecognizedClientException")
    with pytest.raises(urllib.error.HTTPError) as unsigned:
        urllib.request.urlopen(f"{platform.endpoint}/2015-03-31/functions/", timeout=30)
    assert unsigned.value.code == 403
    assert unsigned.value.headers["x-amzn-ErrorType"] == "MissingAuthenticationTokenException"


# A clock that is off by more than five minutes is told so.
@pytest.mark.parametrize("minutes, words", [(-6, "Signature expired"), (6, "Signature not yet current")])
def test_clock_skew(platform, minutes, words):
    request = botocore.awsrequest.AWSRequest("GET", f"{platform.endpoint}/2015-03-31/functions/")
    signer = botocore.auth.SigV4Auth(botocore.credentials.Credentials(platform.key, platform.secret), "lambda", REGION)
    then = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)
    stamp = then.strftime("%Y%m%dT%H%M%SZ")
    request.context["timestamp"] = stamp
    request.headers["X-Amz-Date"] = stamp
    signer._inject_signature_to_request(
        request, signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    )
    prepared = request.prepare()
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(prepared.url, headers=dict(prepared.headers)), timeout=30)
    assert caught.value.code == 403
    assert caught.value.headers["x-amzn-ErrorType"] == "InvalidSignatureException"
    assert words in caught.value.read().decode()


# Refusals under load leave the good ones alone.
def test_bad_and_good_together(client, make, python):
    name = make(python, {"app.py": ECHO_PYTHON})["FunctionName"]

    def one(number):
        if number % 2:
            return refused(client.invoke, FunctionName=name, Payload=b"{")[1]
        return client.invoke(FunctionName=name, Payload=b"1")["StatusCode"]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(one, range(64)))
    assert outcomes == [200, "InvalidRequestContentException"] * 32
