"""What functions wrote, asked for by boto3 and by both AWS CLIs as a user asks."""

import json
import os
import re
import subprocess
import sys
import time
import pathlib

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from conftest import SLOW, Platform, wait_until

TALKER = """
import sys, os
print('in init')
def handler(event, context):
    print('hello', event.get('n'))
    print('to stderr', event.get('n'), file=sys.stderr)
    if event.get('json'):
        print('{"level": "%s", "n": %d}' % (event['json'], event['n']))
    if event.get('exit'):
        print('last words')
        os._exit(int(event['exit']))
    if event.get('sleep'):
        print('going to sleep', flush=True)
        import time; time.sleep(event['sleep'])
    if event.get('flood'):
        for n in range(event['flood']): print('flood', n)
    return event
"""


def logs_client(platform, key=None, secret=None):
    said = platform.credentials
    return boto3.client(
        "logs",
        endpoint_url=platform.endpoint,
        region_name="us-east-1",
        aws_access_key_id=key or said["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=secret or said["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"max_attempts": 0}, inject_host_prefix=False),
    )


@pytest.fixture(scope="module")
def talker(platform):
    platform.deploy("talker", TALKER)
    return "/aws/lambda/talker"


@pytest.fixture(scope="module")
def logs(platform):
    return logs_client(platform)


def messages(logs, group, **members):
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group, **members)
    return [event["message"] for page in pages for event in page["events"]]


def lines_of(logs, group, request_id):
    """The messages of the stream that has this invocation, from its START to its REPORT."""
    def whole():
        streams = [page["events"] for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group)]
        events = [event for page in streams for event in page]
        starts = [event for event in events if event["message"].startswith(f"START RequestId: {request_id}")]
        if not starts:
            return None
        lines = [e["message"] for e in events if e["logStreamName"] == starts[-1]["logStreamName"]]
        begin = max(i for i, line in enumerate(lines) if line.startswith(f"START RequestId: {request_id}"))
        ends = [i for i, line in enumerate(lines) if line.startswith(f"REPORT RequestId: {request_id}")]
        return lines[begin : ends[-1] + 1] if ends else None

    found = wait_until(whole)
    assert found, f"no whole log of {request_id}"
    return found


def invoke(platform, name, event):
    answer = platform.client.invoke(FunctionName=name, Payload=json.dumps(event).encode())
    answer["Payload"].read()
    return answer["ResponseMetadata"]["RequestId"]


# Every invocation has its lines between START and END, and a report with what it really took, also where no tail was
# asked for; lines of the init come before, in a stream named as the service names it.
def test_lines_of_an_invocation(platform, logs, talker):
    request_id = invoke(platform, "talker", {"n": 1})
    lines = lines_of(logs, talker, request_id)
    assert lines[0] == f"START RequestId: {request_id} Version: $LATEST\n"
    assert lines[1:3] == ["hello 1\n", "to stderr 1\n"]
    assert lines[3] == f"END RequestId: {request_id}\n"
    report = re.fullmatch(
        rf"REPORT RequestId: {request_id}\tDuration: (\d+\.\d\d) ms\tBilled Duration: (\d+) ms\t"
        r"Memory Size: 128 MB\tMax Memory Used: (\d+) MB\tInit Duration: (\d+\.\d\d) ms\t\n",
        lines[4],
    )
    assert report, lines[4]
    assert 1 <= int(report[3]) <= 128 and float(report[4]) > 1
    assert len(lines) == 5
    stream = logs.describe_log_streams(logGroupName=talker)["logStreams"][0]
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", stream["logStreamName"])
    first = logs.get_log_events(logGroupName=talker, logStreamName=stream["logStreamName"], startFromHead=True)
    texts = [event["message"] for event in first["events"]]
    assert texts[0].startswith("INIT_START Runtime Version: python3.")
    assert texts[1] == "in init\n"
    again = invoke(platform, "talker", {"n": 2})
    assert "Init Duration" not in lines_of(logs, talker, again)[-1]


# A runtime that ends, and one that runs into the time limit, leave the service's lines and a status in the report.
def test_failures(platform, logs):
    platform.deploy("failing", TALKER, Timeout=1)
    request_id = invoke(platform, "failing", {"n": 3, "exit": 7})
    lines = lines_of(logs, "/aws/lambda/failing", request_id)
    assert "last words\n" in lines
    said = f"RequestId: {request_id} Error: Runtime exited with error: exit status 7\nRuntime.ExitError\n"
    assert lines[-3] == said and lines[-2] == f"END RequestId: {request_id}\n"
    assert lines[-1].endswith("\tStatus: error\tError Type: Runtime.ExitError\t\n")
    request_id = invoke(platform, "failing", {"n": 4, "sleep": 30})
    lines = lines_of(logs, "/aws/lambda/failing", request_id)
    assert "going to sleep\n" in lines
    assert re.fullmatch(rf"\S+Z {request_id} Task timed out after 1.00 seconds\n\n", lines[-3])
    assert "\tDuration: 1000.00 ms\t" in lines[-1] and lines[-1].endswith("\tStatus: timeout\t\n")
    platform.deploy("no-init", "import sys\nprint('before')\nsys.exit(3)")
    request_id = invoke(platform, "no-init", {})
    group = "/aws/lambda/no-init"
    assert lines_of(logs, group, request_id)[-1].endswith("\tStatus: error\tError Type: Runtime.ExitError\t\n")
    everything = messages(logs, group)
    assert "before\n" in everything
    assert [line for line in everything if re.match(r"INIT_REPORT Init Duration: [\d.]+ ms\tPhase: init\tStatus: error", line)]


# Times, patterns, streams, pages of any size and both directions find what they should, each event once.
def test_filter_and_pages(platform, logs, talker):
    ids = [invoke(platform, "talker", {"n": n, "json": "ERROR" if n % 2 else "INFO"}) for n in range(100, 110)]
    lines_of(logs, talker, ids[-1])
    hello = lambda pattern: [m for m in messages(logs, talker, filterPattern=pattern) if m.startswith("hello")]
    assert hello('"hello 10"') == [f"hello {n}\n" for n in range(100, 110)]
    assert hello("hello -105 -106") == [m for m in hello("hello") if not re.search("10[56]", m)]
    assert len(messages(logs, talker, filterPattern='?"hello 103" ?"hello 104"')) == 2
    assert len(messages(logs, talker, filterPattern='{ $.level = "ERROR" && $.n >= 103 }')) == 4
    whole = [event["eventId"] for event in logs.filter_log_events(logGroupName=talker)["events"]]
    assert len(set(whole)) == len(whole)
    paged, token = [], {}
    while True:
        page = logs.filter_log_events(logGroupName=talker, limit=7, **token)
        paged += [event["eventId"] for event in page["events"]]
        if "nextToken" not in page:
            break
        token = {"nextToken": page["nextToken"]}
    assert paged == whole
    latest = logs.filter_log_events(logGroupName=talker, limit=3, startFromHead=False)
    assert [event["eventId"] for event in latest["events"]] == whole[:-4:-1]
    events = logs.filter_log_events(logGroupName=talker)["events"]
    middle = events[len(events) // 2]["timestamp"]
    part = logs.filter_log_events(logGroupName=talker, startTime=middle, endTime=middle)["events"]
    assert part and all(event["timestamp"] == middle for event in part)
    for pattern, word in [("%x%", "regular expressions"), ("{ $.a = }", "a value"), ("[a]", "space-delimited")]:
        with pytest.raises(ClientError, match="InvalidParameterException.*" + word):
            logs.filter_log_events(logGroupName=talker, filterPattern=pattern)


# GetLogEvents goes both ways, and its tokens stay the same at the ends, by which clients know to stop.
def test_get_events(platform, logs, talker):
    lines_of(logs, talker, invoke(platform, "talker", {"n": 5}))
    stream = logs.describe_log_streams(logGroupName=talker, orderBy="LastEventTime", descending=True, limit=1)
    name = stream["logStreams"][0]["logStreamName"]
    ask = lambda **members: logs.get_log_events(logGroupName=talker, logStreamName=name, limit=4, **members)
    forward, page = [], ask(startFromHead=True)
    while page["events"]:
        forward += page["events"]
        before, page = page, ask(nextToken=page["nextForwardToken"], startFromHead=True)
    assert page["nextForwardToken"] == before["nextForwardToken"]
    backward, page = [], ask()
    while page["events"]:
        backward = page["events"] + backward
        before, page = page, ask(nextToken=page["nextBackwardToken"])
    assert page["nextBackwardToken"] == before["nextBackwardToken"]
    assert forward == backward and len(forward) > 8
    assert [event["timestamp"] for event in forward] == sorted(event["timestamp"] for event in forward)


# Groups are made, described, given a retention and removed; what is not here is refused by its name.
def test_groups(platform, logs, talker):
    logs.create_log_group(logGroupName="own/group")
    with pytest.raises(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName="own/group")
    logs.put_retention_policy(logGroupName="own/group", retentionInDays=3)
    described = logs.describe_log_groups(logGroupNamePrefix="own/")["logGroups"]
    assert [(group["logGroupName"], group["retentionInDays"]) for group in described] == [("own/group", 3)]
    assert re.fullmatch(r"arn:aws:logs:us-east-1:\d{12}:log-group:own/group:\*", described[0]["arn"])
    assert logs.filter_log_events(logGroupIdentifier=described[0]["arn"])["events"] == []
    logs.delete_retention_policy(logGroupName="own/group")
    assert "retentionInDays" not in logs.describe_log_groups(logGroupNamePrefix="own/")["logGroups"][0]
    logs.delete_log_group(logGroupName="own/group")
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.filter_log_events(logGroupName="own/group")
    pages = logs.get_paginator("describe_log_groups").paginate(PaginationConfig={"PageSize": 1})
    assert talker in [group["logGroupName"] for page in pages for group in page["logGroups"]]
    with pytest.raises(ClientError, match="NotImplementedException.*StartLiveTail"):
        logs.start_live_tail(logGroupIdentifiers=[f"arn:aws:logs:us-east-1:123456789012:log-group:{talker}"])
    with pytest.raises(ClientError, match="NotImplementedException.*PutLogEvents"):
        logs.put_log_events(logGroupName=talker, logStreamName="x", logEvents=[{"timestamp": 1, "message": "x"}])
    with pytest.raises(ClientError, match="InvalidParameterException.*leave it out: kmsKeyId"):
        logs.create_log_group(logGroupName="sealed", kmsKeyId="arn:aws:kms:us-east-1:1:key/x")
    with pytest.raises(ClientError, match="InvalidParameterException.*retentionInDays"):
        logs.put_retention_policy(logGroupName=talker, retentionInDays=2)
    with pytest.raises(ClientError, match="InvalidParameterException.*nextToken"):
        logs.filter_log_events(logGroupName=talker, nextToken="f/1/s")


# A stream that is removed is gone with its events, and the others stay.
def test_remove_a_stream(platform, logs):
    platform.deploy("two-streams", TALKER)
    group = "/aws/lambda/two-streams"
    lines_of(logs, group, invoke(platform, "two-streams", {"n": 1}))
    platform.client.update_function_configuration(FunctionName="two-streams", Description="new")
    platform.client.get_waiter("function_updated_v2").wait(FunctionName="two-streams")
    lines_of(logs, group, invoke(platform, "two-streams", {"n": 2}))
    streams = logs.describe_log_streams(logGroupName=group, orderBy="LastEventTime")["logStreams"]
    assert len(streams) == 2
    logs.delete_log_stream(logGroupName=group, logStreamName=streams[0]["logStreamName"])
    assert len(logs.describe_log_streams(logGroupName=group)["logStreams"]) == 1
    everything = messages(logs, group)
    assert "hello 2\n" in everything and "hello 1\n" not in everything


# Tenants see their own, whatever they name.
def test_tenants_are_apart(fresh):
    platform = fresh("--tenants", "2")
    keys = json.loads((platform.data / "credentials.json").read_text())
    keys.sort(key=lambda key: key["access_key_id"] != platform.credentials["AWS_ACCESS_KEY_ID"])
    platform.deploy("talker", TALKER)
    own, other = (logs_client(platform, key["access_key_id"], key["secret_access_key"]) for key in keys)
    lines_of(own, "/aws/lambda/talker", invoke(platform, "talker", {"n": 1}))
    assert other.describe_log_groups()["logGroups"] == []
    arn = own.describe_log_groups()["logGroups"][0]["logGroupArn"]
    for ask in ({"logGroupName": "/aws/lambda/talker"}, {"logGroupIdentifier": arn}):
        with pytest.raises(other.exceptions.ResourceNotFoundException):
            other.filter_log_events(**ask)
    with pytest.raises(other.exceptions.ResourceNotFoundException):
        other.delete_log_group(logGroupName="/aws/lambda/talker")
    with pytest.raises(ClientError, match="InvalidSignature"):
        logs_client(platform, keys[0]["access_key_id"], "wrong").describe_log_groups()


# A flood is cut to what is kept per second, and the log says how much was dropped; the answer comes all the same.
def test_a_flood_is_cut(platform, logs):
    platform.deploy("flood", TALKER, MemorySize=1769)
    request_id = invoke(platform, "flood", {"n": 1, "flood": 300_000})
    lines = lines_of(logs, "/aws/lambda/flood", request_id)
    dropped = [int(match[1]) for line in lines if (match := re.match(r"\[peek\] (\d+) lines \(\d+ bytes\) dropped", line))]
    kept = sum(line.startswith("flood ") for line in lines)
    assert dropped and 80_000 <= kept < 300_000
    assert sum(dropped) + kept == 300_000


# A stopped server has lost nothing of its logs; a killed one at most its last moment, and goes on.
def test_restarts(tmp_path):
    platform = Platform(tmp_path / "data")
    try:
        platform.deploy("talker", TALKER)
        group = "/aws/lambda/talker"
        request_id = invoke(platform, "talker", {"n": 1})
        assert platform.stop() == 0
        platform.start()
        logs = logs_client(platform)
        before = lines_of(logs, group, request_id)
        second = invoke(platform, "talker", {"n": 2})
        lines_of(logs, group, second)
        platform.kill()
        platform.start()
        logs = logs_client(platform)
        assert lines_of(logs, group, request_id) == before
        third = invoke(platform, "talker", {"n": 3})
        assert "hello 3\n" in lines_of(logs, group, third)
    finally:
        platform.stop()


def cli(program, platform, *arguments):
    clean = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    environment = {
        **clean,
        **{key: value for key, value in platform.credentials.items() if not key.startswith("AWS_ENDPOINT")},
        "AWS_PAGER": "",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    command = [program, "--endpoint-url", platform.endpoint, "logs", *arguments]
    return command, environment


# The AWS CLI of version 1 and boto3 share their code; its commands print what is there.
def test_cli_of_version_1(platform, logs, talker):
    lines_of(logs, talker, invoke(platform, "talker", {"n": 77}))
    beside = pathlib.Path(sys.executable).parent / "aws"
    command, environment = cli(str(beside), platform, "filter-log-events", "--log-group-name", talker,
                               "--filter-pattern", '"hello 77"', "--output", "json")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60 * SLOW)
    assert done.returncode == 0, done.stderr
    assert [event["message"] for event in json.loads(done.stdout)["events"]] == ["hello 77\n"]


# `aws logs tail` of the AWS CLI of version 2 shows what was written, and with --follow what is written from then on.
def test_tail_of_version_2(platform, logs, talker):
    program = "/usr/bin/aws"
    if not os.path.exists(program):
        pytest.skip("no AWS CLI of version 2: install the package awscli of Debian")
    lines_of(logs, talker, invoke(platform, "talker", {"n": 88}))
    command, environment = cli(program, platform, "tail", talker, "--since", "1h", "--format", "short")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120 * SLOW)
    assert done.returncode == 0, done.stderr
    assert "hello 88" in done.stdout and "REPORT RequestId" in done.stdout
    follow = subprocess.Popen([*command, "--follow"], env=environment, stdout=subprocess.PIPE, text=True)
    try:
        lines = iter(follow.stdout.readline, "")
        assert any("hello 88" in line for line in lines)
        invoke(platform, "talker", {"n": 99})
        deadline = time.monotonic() + 60 * SLOW
        seen = next((line for line in lines if "hello 99" in line or time.monotonic() > deadline), "")
        assert "hello 99" in seen
    finally:
        follow.terminate()
        follow.wait(timeout=30 * SLOW)
