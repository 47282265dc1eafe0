"""Layers with boto3: published, used by functions of Python and of their own, shared with an account and with it alone."""

import base64
import hashlib
import json
import urllib.request

import pytest
from botocore.exceptions import ClientError

from .conftest import ECHO_PYTHON, ROLE, Platform, package, unique

ASKS = "import shared\ndef handler(event, context):\n    return shared.said\n"
NATIVE = """#!/bin/sh
set -e
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
while :; do
  id=$(curl -sS -o /tmp/event -D - "$api/next" | tr -d '\\r' | sed -n 's/^[Ll]ambda-[Rr]untime-[Aa]ws-[Rr]equest-[Ii]d: //p')
  curl -sS "$api/$id/response" -d "\\"$(greet) $(cat /opt/share/word)\\"" > /dev/null
done
"""


def layer(client, files, name=None, **more):
    """Publishes a layer and answers the ARN of its version."""
    return client.publish_layer_version(
        LayerName=name or unique(), Content={"ZipFile": package(files)}, **more
    )["LayerVersionArn"]


def answer(client, name):
    said = client.invoke(FunctionName=name)
    payload = json.loads(said["Payload"].read())
    assert "FunctionError" not in said, payload
    return payload


def change(client, name, **settings):
    client.update_function_configuration(FunctionName=name, **settings)
    client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})


# A module of a layer is imported, also from the place that is for one version of Python; later layers win, in their order.
def test_python(client, make, python):
    first = layer(client, {"python/shared.py": "said = 'first'\n", "python/one.py": ""}, CompatibleRuntimes=[python])
    second = layer(client, {"python/shared.py": "said = 'second'\n"})
    named = layer(client, {f"python/lib/{python}/site-packages/shared.py": "said = 'named'\n"})
    created = make(python, {"app.py": ASKS}, Layers=[first, second])
    name = created["FunctionName"]
    assert [it["Arn"] for it in created["Layers"]] == [first, second]
    assert all(it["CodeSize"] > 0 for it in created["Layers"])
    assert answer(client, name) == "second"
    change(client, name, Layers=[second, first])
    assert answer(client, name) == "first"
    change(client, name, Layers=[named])
    assert answer(client, name) == "named"
    change(client, name, Layers=[])
    assert "Layers" not in client.get_function_configuration(FunctionName=name)
    assert "No module named 'shared'" in json.loads(client.invoke(FunctionName=name)["Payload"].read())["errorMessage"]


# A function without an interpreter finds programs in /opt/bin and files below /opt, or its bootstrap in a layer.
def test_native(client, make):
    program = ("#!/bin/sh\necho hello\n", 0o755)
    tools = layer(client, {"bin/greet": program, "share/word": "world\n"})
    name = make("provided.al2023", {"bootstrap": (NATIVE, 0o755)}, handler="x", Layers=[tools])["FunctionName"]
    assert answer(client, name) == "hello world"
    runtime = layer(client, {"bootstrap": (NATIVE, 0o755)})
    name = make("provided.al2023", {"data": "x"}, handler="x", Layers=[tools, runtime])["FunctionName"]
    assert answer(client, name) == "hello world"


# /opt is read-only and a module of node is found there.
def test_node(client, make, node):
    modules = layer(client, {"nodejs/node_modules/shared/index.js": "exports.said = 'node';\n"})
    code = (
        "const fs = require('fs'), shared = require('shared');\n"
        "exports.handler = async () => {\n"
        "  try { fs.writeFileSync('/opt/nodejs/x', ''); return 'written'; }\n"
        "  catch (error) { return shared.said + ' ' + error.code; }\n"
        "};\n"
    )
    name = make(node, {"app.js": code}, Layers=[modules])["FunctionName"]
    assert answer(client, name) == "node EROFS"


# A deleted version is gone for all but the functions and versions that have it; its number is not given out again.
def test_delete_while_used(client, make, python):
    layer_name = unique()
    arn = layer(client, {"python/shared.py": "said = 'kept'\n"}, name=layer_name)
    name = make(python, {"app.py": ASKS}, Layers=[arn])["FunctionName"]
    client.publish_version(FunctionName=name)
    client.delete_layer_version(LayerName=layer_name, VersionNumber=1)
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_layer_version_by_arn(Arn=arn)
    assert client.list_layer_versions(LayerName=layer_name)["LayerVersions"] == []
    assert layer_name not in [it["LayerName"] for it in client.list_layers()["Layers"]]
    assert answer(client, name) == "kept"
    # Another instance, of code that came after the layer went.
    client.update_function_code(FunctionName=name, ZipFile=package({"app.py": ASKS + "\n"}))
    client.get_waiter("function_updated_v2").wait(FunctionName=name)
    assert answer(client, name) == "kept"
    change(client, name, Layers=[])
    assert answer(client, f"{name}:1") == "kept"
    with pytest.raises(client.exceptions.InvalidParameterValueException, match="does not exist"):
        client.update_function_configuration(FunctionName=name, Layers=[arn])
    assert layer(client, {"x": ""}, name=layer_name).endswith(f":layer:{layer_name}:2")


# The zip that was published is what is downloaded; code and layers are measured together.
def test_code(client, unchecked, python):
    code = package({"python/shared.py": "said = 1\n"})
    published = client.publish_layer_version(LayerName=unique(), Content={"ZipFile": code})
    assert published["Content"]["CodeSha256"] == base64.b64encode(hashlib.sha256(code).digest()).decode()
    with urllib.request.urlopen(published["Content"]["Location"]) as download:
        assert download.read() == code
    half = layer(client, {"zeros": bytes(130 << 20)})
    request = {
        "FunctionName": unique(), "Runtime": python, "Role": ROLE, "Handler": "app.handler", "Layers": [half],
        "Code": {"ZipFile": package({"app.py": ECHO_PYTHON, "zeros": bytes(130 << 20)})},
    }
    with pytest.raises(ClientError, match="Function code combined with layers exceeds the maximum allowed size of 262144000 bytes"):
        unchecked.create_function(**request)


# Another account uses the version whose policy names it, and only while it does; its functions keep what they have.
def test_other_account(fresh, python):
    platform = fresh("--tenants", "2")
    keys = json.loads((platform.data / "credentials.json").read_text())
    own, others = sorted(keys, key=lambda key: key["access_key_id"] != platform.credentials["AWS_ACCESS_KEY_ID"])
    owner, other = platform.client, Platform(platform.endpoint, others["access_key_id"], others["secret_access_key"]).client()
    layer_name = unique()
    allowed, kept_back = (
        layer(owner, {"python/shared.py": f"said = '{said}'\n"}, name=layer_name) for said in ["one", "two"]
    )
    function = {
        "FunctionName": unique(), "Runtime": python, "Role": ROLE, "Handler": "app.handler",
        "Code": {"ZipFile": package({"app.py": ASKS})},
    }
    for arn in allowed, kept_back:
        with pytest.raises(ClientError, match="AccessDenied"):
            other.create_function(Layers=[arn], **function)
    owner.add_layer_version_permission(
        LayerName=layer_name, VersionNumber=1, StatementId="s", Action="lambda:GetLayerVersion",
        Principal=others["account"],
    )
    with pytest.raises(ClientError, match="AccessDenied"):
        other.get_layer_version_by_arn(Arn=kept_back)
    with urllib.request.urlopen(other.get_layer_version_by_arn(Arn=allowed)["Content"]["Location"]) as download:
        assert download.read()[:2] == b"PK"
    other.create_function(Layers=[allowed], **function)
    other.get_waiter("function_active_v2").wait(FunctionName=function["FunctionName"])
    owner.remove_layer_version_permission(LayerName=layer_name, VersionNumber=1, StatementId="s")
    with pytest.raises(ClientError, match="AccessDenied"):
        other.get_layer_version_by_arn(Arn=allowed)
    assert answer(other, function["FunctionName"]) == "one"
