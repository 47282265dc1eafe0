"""LoggingConfig: what functions and the platform write as JSON, from which level on, and where to."""

import json
import pathlib
import subprocess

import pytest
from botocore.exceptions import ClientError
from conftest import wait_until

from .test_logs import logs_client

PYTHON_CODE = """
import logging
logger = logging.getLogger('mine')
def handler(event, context):
    print('plain')
    logger.debug('too little')
    logger.info('about %s', event['n'], extra={'more': {'n': 1}})
    logger.warning({'whole': True})
    try:
        raise ValueError('caught')
    except ValueError:
        logger.exception('oh')
    if event.get('raise'): raise KeyError('out')
"""

NODE_CODE = """
exports.handler = async (event) => {
  console.debug('too little');
  console.info('about %s', event.n);
  console.warn({ whole: true });
  console.error('oh', new TypeError('caught'));
  if (event.raise) throw new RangeError('out');
};
"""


def lines(platform, group, kind):
    """Events of a group once a line of this kind is there; objects where they are JSON."""
    logs = logs_client(platform)

    def read():
        try:
            texts = [it["message"] for it in logs.filter_log_events(logGroupName=group)["events"]]
        except ClientError:
            return None
        return texts if any(kind in text for text in texts) else None

    found = wait_until(read)
    assert found, f"no {kind} in {group}"
    return [json.loads(text) if text.startswith("{") else text.rstrip() for text in found]


def told(found, message):
    return next(it for it in found if isinstance(it, dict) and message(it))


# Python's log is JSON from the level on that was asked for, with what was put into it, in the group that was named; what is
# printed stays as it is, and the platform's own lines are JSON too.
def test_python(platform):
    config = {"LogFormat": "JSON", "ApplicationLogLevel": "INFO", "LogGroup": "our/group"}
    platform.deploy("json-python", PYTHON_CODE, LoggingConfig=config)
    shown = platform.client.get_function_configuration(FunctionName="json-python")["LoggingConfig"]
    assert shown == config | {"SystemLogLevel": "INFO"}
    platform.invoke("json-python", {"n": 7, "raise": True})
    found = lines(platform, "our/group", "platform.report")
    assert "plain" in found and not any("too little" in str(it) for it in found)
    about = told(found, lambda it: it.get("message") == "about 7")
    assert (about["level"], about["logger"], about["more"]) == ("INFO", "mine", {"n": 1})
    start = told(found, lambda it: it.get("type") == "platform.start")
    assert about["requestId"] == start["record"]["requestId"]
    assert told(found, lambda it: it.get("level") == "WARNING")["message"] == {"whole": True}
    caught = told(found, lambda it: it.get("message") == "oh")
    assert (caught["errorType"], caught["errorMessage"]) == ("ValueError", "caught") and caught["stackTrace"]
    out = told(found, lambda it: it.get("errorType") == "KeyError")
    assert (out["level"], out["requestId"]) == ("ERROR", about["requestId"])
    assert "platform.initStart" in [it.get("type") for it in found if isinstance(it, dict)]


# So is Node.js's, with objects as they are.
@pytest.mark.skipif(not pathlib.Path("/usr/bin/node").exists(), reason="no /usr/bin/node: apt-get install nodejs")
def test_node(platform):
    config = {"LogFormat": "JSON", "ApplicationLogLevel": "WARN", "SystemLogLevel": "INFO"}
    version = subprocess.run(["/usr/bin/node", "--version"], capture_output=True, text=True, check=True).stdout
    runtime = f"nodejs{version.lstrip('v').split('.')[0]}.x"
    platform.deploy("json-node", {"app.js": NODE_CODE}, Runtime=runtime, LoggingConfig=config)
    platform.invoke("json-node", {"n": 7, "raise": True})
    found = lines(platform, "/aws/lambda/json-node", "platform.report")
    assert not any("about" in str(it) or "too little" in str(it) for it in found)
    assert told(found, lambda it: it.get("level") == "WARN")["message"] == {"whole": True}
    caught = told(found, lambda it: it.get("errorType") == "TypeError")
    assert caught["errorMessage"] == "caught" and caught["message"].startswith("oh TypeError: caught")
    out = told(found, lambda it: isinstance(it.get("message"), dict) and it["message"].get("errorType") == "RangeError")
    assert (out["level"], out["message"]["errorMessage"]) == ("ERROR", "out") and out["message"]["stackTrace"]


# With SystemLogLevel WARN the platform says nothing of an invocation that went well; back to text, all is as ever.
def test_levels_and_back(platform):
    client = platform.client
    platform.deploy("quiet", "def handler(event, context): print('here')", LoggingConfig={"LogFormat": "JSON", "SystemLogLevel": "WARN"})
    platform.invoke("quiet", {})
    assert lines(platform, "/aws/lambda/quiet", "here") == ["here"]
    with pytest.raises(client.exceptions.InvalidParameterValueException, match="LogLevel is not supported"):
        client.update_function_configuration(FunctionName="quiet", LoggingConfig={"LogFormat": "Text", "SystemLogLevel": "WARN"})
    client.update_function_configuration(FunctionName="quiet", LoggingConfig={"LogFormat": "Text"})
    client.get_waiter("function_updated_v2").wait(FunctionName="quiet")
    assert "ApplicationLogLevel" not in client.get_function_configuration(FunctionName="quiet")["LoggingConfig"]
    _, _, log = platform.invoke("quiet", {})
    assert log.startswith("START RequestId: ") and "REPORT RequestId: " in log
