"""The real AWS CLI, command by command."""

import json
import pathlib
import shutil
import subprocess
import sys

import pytest

from .conftest import ROLE, package, unique

LIMIT_S = 120


@pytest.fixture
def aws(platform):
    """Runs `aws lambda …`; returns its output read as JSON, or None where it has none."""
    beside = pathlib.Path(sys.executable).parent / "aws"
    program = str(beside) if beside.exists() else shutil.which("aws")
    if program is None:
        pytest.skip("no aws command: install tests/requirements.txt")

    def run(*arguments, fails=False):
        done = subprocess.run([program, "lambda", *arguments, "--output", "json"], env=platform.environment(),
                              capture_output=True, text=True, timeout=LIMIT_S)
        if fails:
            assert done.returncode != 0, done.stdout
            return done.stderr
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    return run


# A function's whole life: the commands that a user types.
def test_life_of_a_function(aws, python, tmp_path):
    name, code, out = unique(), tmp_path / "code.zip", tmp_path / "out.json"
    code.write_bytes(package({"app.py": "def handler(e, c):\n    print('seen')\n    return e"}))
    created = aws("create-function", "--function-name", name, "--runtime", python, "--role", ROLE,
                  "--handler", "app.handler", "--zip-file", f"fileb://{code}", "--timeout", "10",
                  "--environment", "Variables={ONE=1,TWO=2}", "--tags", "team=a")
    assert (created["FunctionName"], created["State"]) == (name, "Pending")
    aws("wait", "function-active-v2", "--function-name", name)
    invoked = aws("invoke", "--function-name", name, "--payload", '{"a": "grüß"}', "--log-type", "Tail", str(out))
    assert (invoked["StatusCode"], invoked["ExecutedVersion"]) == (200, "$LATEST")
    assert json.loads(out.read_text()) == {"a": "grüß"}
    assert name in [f["FunctionName"] for f in aws("list-functions")["Functions"]]
    assert aws("get-function", "--function-name", name)["Tags"] == {"team": "a"}
    updated = aws("update-function-configuration", "--function-name", name, "--memory-size", "256")
    assert updated["MemorySize"] == 256
    aws("wait", "function-updated-v2", "--function-name", name)
    code.write_bytes(package({"app.py": "def handler(e, c): return 'new'"}))
    aws("update-function-code", "--function-name", name, "--zip-file", f"fileb://{code}")
    aws("invoke", "--function-name", created["FunctionArn"], str(out))
    assert json.loads(out.read_text()) == "new"
    aws("delete-function", "--function-name", name)
    gone = aws("get-function", "--function-name", name, fails=True)
    assert "(ResourceNotFoundException)" in gone and f":function:{name}" in gone


# A function error is shown as one, and is no failure of the command.
def test_function_error(aws, python, tmp_path):
    name, code, out = unique(), tmp_path / "code.zip", tmp_path / "out.json"
    code.write_bytes(package({"app.py": "def handler(e, c): raise KeyError('k')"}))
    aws("create-function", "--function-name", name, "--runtime", python, "--role", ROLE,
        "--handler", "app.handler", "--zip-file", f"fileb://{code}")
    assert aws("invoke", "--function-name", name, str(out))["FunctionError"] == "Unhandled"
    assert json.loads(out.read_text())["errorType"] == "KeyError"
    aws("delete-function", "--function-name", name)


# An unknown runtime's error names what is installed.
def test_unknown_runtime(aws, runtimes, tmp_path):
    code = tmp_path / "code.zip"
    code.write_bytes(package({"app.py": ""}))
    error = aws("create-function", "--function-name", unique(), "--runtime", "ruby9", "--role", ROLE,
                "--handler", "app.handler", "--zip-file", f"fileb://{code}", fails=True)
    assert "(InvalidParameterValueException)" in error
    assert all(name in error for name in runtimes)
