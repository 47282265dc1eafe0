"""What of the Lambda API is here: docs/LAMBDA_API.md, made of botocore's service model, and each operation called.

With PEEK_WRITE_DOCS=1 the page is written again instead of compared.
"""

import base64
import hashlib
import json
import os
import re

import botocore.session
import pytest
from botocore.exceptions import ClientError

from .conftest import ECHO_PYTHON, ROOT, ROLE, package, unique

MODEL = botocore.session.get_session().get_service_model("lambda")
PAGE = ROOT / "docs" / "LAMBDA_API.md"
GATEWAY = ROOT / "platform" / "gateway" / "src"
# Operations, as the gateway's two tables have them: those that are here, and those that are known and refused.
SUPPORTED = re.findall(r'^    (\w+):\s+"', (GATEWAY / "route.rs").read_text(), re.M)
ABSENT = re.findall(r'^    \(\s*"(\w+)",', (GATEWAY / "absent.rs").read_text(), re.M)

SETTINGS = {
    "VpcConfig": "instances have the machine's network",
    "KMSKeyArn": "there is no key service; the store is readable by its owner alone",
    "FileSystemConfigs": "there are no network file systems",
    "ImageConfig": "there are no container images",
    "CodeSigningConfigArn": "there is no code signing",
    "SnapStart": "there are no snapshots; `None` is accepted",
    "CapacityProviderConfig": "there are no capacity providers",
    "PublishTo": "there are no capacity providers",
    "DurableConfig": "there are no durable executions",
    "TenancyConfig": "there is no isolation by tenants of a function",
    "RuntimeConfig": "runtimes are those of the machine",
    "AcceleratorConfig": "there are no accelerators",
    "SourceKMSKeyArn": "there is no key service",
}
if "dead_letter_config: Option<Value>" in (GATEWAY / "shape.rs").read_text():
    SETTINGS["DeadLetterConfig"] = "use PutFunctionEventInvokeConfig with a destination on failure"
ELSEWHERE = "code comes as ZipFile"
REFUSED = {
    "CreateFunction": SETTINGS | {"PackageType": "`Image`: there are no container images; `Zip` is accepted"},
    "UpdateFunctionConfiguration": SETTINGS,
    "UpdateFunctionCode": {name: SETTINGS[name] for name in ["PublishTo", "SourceKMSKeyArn"]}
    | {"S3Bucket": ELSEWHERE, "S3Key": ELSEWHERE, "ImageUri": "there are no container images"},
    "PublishVersion": {"PublishTo": SETTINGS["PublishTo"]},
    "Invoke": {
        "TenantId": SETTINGS["TenancyConfig"], "DurableExecutionName": SETTINGS["DurableConfig"],
    },
    "InvokeWithResponseStream": {"TenantId": SETTINGS["TenancyConfig"]},
}
IGNORED = {
    "UpdateFunctionCode": {
        "S3ObjectVersion": "says nothing without S3Bucket", "S3ObjectStorageMode": "says nothing without S3Bucket",
    },
}


def rows(operation):
    shape = MODEL.operation_model(operation).input_shape
    for name in shape.members if shape else []:
        for what, table in [("refused", REFUSED), ("ignored", IGNORED)]:
            if name in table.get(operation, {}):
                yield name, f"{what}: {table[operation][name]}"
                break
        else:
            yield name, "supported"


def page():
    lines = [
        "# The Lambda API",
        "",
        f"Every operation of the service model `lambda/{MODEL.api_version}` and every parameter. This page is made of the",
        "model by `tests/api/test_lambda_api.py`, which fails where it is out of date, and calls each supported operation.",
        "A refused parameter is an error that names it, an absent operation 501 NotImplementedException with its name.",
        "",
        f"## Supported: {len(SUPPORTED)} of {len(MODEL.operation_names)} operations",
    ]
    for operation in sorted(SUPPORTED):
        lines += ["", f"### {operation}", ""]
        found = list(rows(operation))
        if not found:
            lines.append("No parameters.")
            continue
        lines += ["| parameter | here |", "|---|---|"]
        lines += [f"| `{name}` | {what} |" for name, what in found]
    lines += ["", "## Absent, and refused by name", ""]
    lines += [f"- {operation}" for operation in sorted(ABSENT)]
    return "\n".join(lines) + "\n"


# The page says what the model and the gateway's tables say, and every operation of the model is in just one of them.
def test_the_page_is_up_to_date():
    assert sorted(SUPPORTED + ABSENT) == sorted(MODEL.operation_names)
    for table in [REFUSED, IGNORED]:
        for operation, names in table.items():
            known = MODEL.operation_model(operation).input_shape.members
            for name in names:
                # A few settings are members of one operation only.
                assert name in known or table[operation] is SETTINGS or operation == "CreateFunction", (operation, name)
    if os.environ.get("PEEK_WRITE_DOCS"):
        PAGE.write_text(page())
    assert PAGE.read_text() == page(), "write it again: PEEK_WRITE_DOCS=1 pytest tests/api/test_lambda_api.py"


ODD = {
    "VpcConfig": {"SubnetIds": ["subnet-1"]}, "KMSKeyArn": "arn:aws:kms:us-east-1:123456789012:key/k",
    "FileSystemConfigs": [{"Arn": "arn", "LocalMountPath": "/mnt/x"}], "ImageConfig": {"Command": ["x"]},
    "CodeSigningConfigArn": "arn", "SnapStart": {"ApplyOn": "PublishedVersions"},
    "CapacityProviderConfig": {"LambdaManagedInstancesCapacityProviderConfig": {"CapacityProviderArn": "arn"}}, "PublishTo": "LATEST_PUBLISHED", "DurableConfig": {"ExecutionTimeout": 1},
    "TenancyConfig": {"TenantIsolationMode": "PER_TENANT"}, "RuntimeConfig": {"RuntimeArn": "arn"}, "AcceleratorConfig": {"AcceleratorMemorySize": 1},
    "SourceKMSKeyArn": "arn", "DeadLetterConfig": {"TargetArn": "arn:aws:sqs:us-east-1:123456789012:q"},
    "PackageType": "Image", "S3Bucket": "b", "S3Key": "k", "ImageUri": "u", "TenantId": "t", "DurableExecutionName": "d",
}


# Each parameter that the page calls refused is refused, by its name.
@pytest.mark.parametrize("operation", REFUSED)
def test_refused_parameters(platform, make, python, operation):
    client = platform.client(parameter_validation=False)
    name = make(python, {"app.py": ECHO_PYTHON})["FunctionName"]
    call = getattr(client, botocore.xform_name(operation))
    known = MODEL.operation_model(operation).input_shape.members
    for parameter in [name for name in REFUSED[operation] if name in known]:
        request = {"FunctionName": name, parameter: ODD[parameter]}
        if operation == "CreateFunction":
            request |= {
                "FunctionName": unique(), "Runtime": python, "Role": ROLE, "Handler": "app.handler",
                "Code": {"ZipFile": package({"app.py": ""})},
            }
        if operation == "UpdateFunctionCode" and parameter not in ("S3Bucket", "S3Key", "ImageUri"):
            request["ZipFile"] = package({"app.py": ""})
        with pytest.raises(ClientError) as refused:
            call(**request)
        answer = refused.value.response
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400, (parameter, answer)
        words = {"S3Key": "S3Bucket"}.get(parameter, parameter)
        assert words in answer["Error"]["Message"], (parameter, answer)


KINDS = {
    "string": str, "integer": int, "long": int, "boolean": bool, "double": (int, float), "float": (int, float),
    "list": list, "map": dict, "structure": dict,
}


def check_shape(shape, value, at):
    """Holds a member of an answer against the model: its type, its required members, its values where they are listed."""
    if shape.serialization.get("eventstream"):
        return  # Its frames are read by who calls.
    kind = KINDS.get(shape.type_name)
    if kind is not None:
        assert isinstance(value, kind), f"{at} is {type(value).__name__}, not {shape.type_name}"
    if shape.type_name == "structure" and isinstance(value, dict):
        assert set(shape.required_members) <= set(value), f"{at} lacks {set(shape.required_members) - set(value)}"
        for name, member in value.items():
            if name in shape.members:
                check_shape(shape.members[name], member, f"{at}.{name}")
    elif shape.type_name == "list":
        for number, member in enumerate(value):
            check_shape(shape.member, member, f"{at}[{number}]")
    elif shape.type_name == "map":
        for key, member in value.items():
            check_shape(shape.value, member, f"{at}[{key}]")
    elif getattr(shape, "enum", None):
        assert value in shape.enum, f"{at} is {value}, not one of {shape.enum}"


class Checked:
    """A client whose answers are held against the model, and which remembers what was asked of it."""

    def __init__(self, client):
        self.client, self.called = client, set()

    def __call__(self, operation, status=None, **request):
        answer = getattr(self.client, botocore.xform_name(operation))(**request)
        model = MODEL.operation_model(operation)
        expected = status or model.http.get("responseCode", 200)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == expected, operation
        if model.output_shape is not None:
            check_shape(model.output_shape, answer, operation)
        self.called.add(operation)
        return answer


# Each supported operation is called, with its status, its required members and the types of all that it answers.
def test_every_operation(platform, python):
    call = Checked(platform.client())
    name, code = unique(), package({"app.py": ECHO_PYTHON})
    created = call(
        "CreateFunction", FunctionName=name, Runtime=python, Role=ROLE, Handler="app.handler", Code={"ZipFile": code},
        Tags={"a": "b"}, Publish=True,
    )
    assert created["CodeSha256"] == base64.b64encode(hashlib.sha256(code).digest()).decode()
    f, arn = {"FunctionName": name}, created["FunctionArn"]
    try:
        call.client.get_waiter("function_active_v2").wait(**f)
        call.client.get_waiter("published_version_active").wait(Qualifier="1", **f)
        assert call("GetFunction", **f)["Configuration"]["LastUpdateStatus"] == "Successful"
        call("UpdateFunctionConfiguration", Description="d", **f)
        call.client.get_waiter("function_updated_v2").wait(**f)
        call("UpdateFunctionCode", ZipFile=package({"app.py": ECHO_PYTHON + "\n"}), **f)
        call.client.get_waiter("function_updated_v2").wait(**f)
        assert call("GetFunctionConfiguration", **f)["State"] == "Active"
        call("ListFunctions", FunctionVersion="ALL")
        call("GetAccountSettings")
        call_versions(call, f)
        call_attachments(call, f, arn)
        call_invocations(call, f)
        call_urls(call, f)
        call_layers(call, f)
    finally:
        # The model says 200 for all of its ways; the service answers 204 for a function without a capacity provider.
        call("DeleteFunction", status=204, **f)
    assert sorted(call.called) == sorted(SUPPORTED)


def call_versions(call, f):
    call("PublishVersion", **f)
    call("ListVersionsByFunction", **f)
    call("CreateAlias", Name="live", FunctionVersion="1", **f)
    call("UpdateAlias", Name="live", RoutingConfig={"AdditionalVersionWeights": {"2": 0.1}}, **f)
    call("GetAlias", Name="live", **f)
    call("ListAliases", **f)
    q = f | {"Qualifier": "1"}
    call("PutProvisionedConcurrencyConfig", ProvisionedConcurrentExecutions=1, **q)
    call("GetProvisionedConcurrencyConfig", **q)
    call("ListProvisionedConcurrencyConfigs", **f)
    call("DeleteProvisionedConcurrencyConfig", **q)
    call("DeleteAlias", Name="live", **f)


def call_attachments(call, f, arn):
    call("TagResource", Resource=arn, Tags={"c": "d"})
    call("UntagResource", Resource=arn, TagKeys=["a"])
    call("ListTags", Resource=arn)
    call("AddPermission", StatementId="s", Action="lambda:InvokeFunction", Principal="*", **f)
    assert json.loads(call("GetPolicy", **f)["Policy"])["Version"] == "2012-10-17"
    call("RemovePermission", StatementId="s", **f)
    call("PutFunctionConcurrency", ReservedConcurrentExecutions=5, **f)
    call("GetFunctionConcurrency", **f)
    call("DeleteFunctionConcurrency", **f)
    call("PutFunctionEventInvokeConfig", MaximumRetryAttempts=0, **f)
    call("UpdateFunctionEventInvokeConfig", MaximumEventAgeInSeconds=60, **f)
    call("GetFunctionEventInvokeConfig", **f)
    call("ListFunctionEventInvokeConfigs", **f)
    call("DeleteFunctionEventInvokeConfig", **f)


def call_invocations(call, f):
    assert json.loads(call("Invoke", Payload=b"[1]", **f)["Payload"].read()) == [1]
    call("InvokeAsync", InvokeArgs=b"{}", **f)
    stream = call("InvokeWithResponseStream", Payload=b"[2]", **f)["EventStream"]
    assert b"".join(event["PayloadChunk"]["Payload"] for event in stream if "PayloadChunk" in event) == b"[2]"


def call_urls(call, f):
    url = call("CreateFunctionUrlConfig", AuthType="NONE", **f)["FunctionUrl"]
    assert call("GetFunctionUrlConfig", **f)["FunctionUrl"] == url
    call("UpdateFunctionUrlConfig", AuthType="AWS_IAM", Cors={"AllowOrigins": ["*"]}, **f)
    assert [it["FunctionUrl"] for it in call("ListFunctionUrlConfigs", **f)["FunctionUrlConfigs"]] == [url]
    call("DeleteFunctionUrlConfig", **f)


def call_layers(call, f):
    layer = {"LayerName": unique()}
    arn = call("PublishLayerVersion", Content={"ZipFile": package({"x": ""})}, LicenseInfo="MIT", **layer)["LayerVersionArn"]
    v = layer | {"VersionNumber": 1}
    assert call("GetLayerVersion", **v)["LayerVersionArn"] == arn
    assert call("GetLayerVersionByArn", Arn=arn)["Version"] == 1
    call("UpdateFunctionConfiguration", Layers=[arn], **f)
    assert call("GetFunctionConfiguration", **f)["Layers"][0]["Arn"] == arn
    assert layer["LayerName"] in [it["LayerName"] for it in call("ListLayers")["Layers"]]
    call("ListLayerVersions", **layer)
    call("AddLayerVersionPermission", StatementId="s", Action="lambda:GetLayerVersion", Principal="*", **v)
    assert json.loads(call("GetLayerVersionPolicy", **v)["Policy"])["Statement"][0]["Sid"] == "s"
    call("RemoveLayerVersionPermission", StatementId="s", **v)
    call("DeleteLayerVersion", **v)
