"""Asynchronous invocation and schedules, with boto3 and the AWS CLI: what is accepted is run, retried and told of."""

import datetime
import json
import subprocess
import sys
import time

import boto3
import pytest
from botocore.exceptions import ClientError
from collector import TELLS, Collector
from conftest import ROLE, ROOT, wait_until

# The platform's own delays, shortened from minutes.
PROFILE_CHANGES = """
[events]
retry_delays_s = [0.2, 0.4]
backoff_min_s = 0.1
backoff_max_s = 0.5
held_max = 120
running_max = 8
"""


@pytest.fixture(scope="module")
def collector():
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture
def told(fresh, collector, tmp_path):
    """A platform with a function `f` that tells the collector."""
    profile = tmp_path / "profile.toml"
    profile.write_text((ROOT / "profiles" / "local.toml").read_text() + PROFILE_CHANGES)
    platform = fresh("--profile", str(profile), *collector.flags())
    if platform.host_address is None:
        pytest.skip("instances have no network here")
    collector.told.clear()
    platform.deploy("f", TELLS, Environment=collector.environment(platform))
    return platform


def service(platform, name):
    keys = platform.credentials
    return boto3.client(
        name,
        endpoint_url=platform.endpoint,
        region_name="us-east-1",
        aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
    )


def send(platform, event, name="f", **more):
    answer = platform.client.invoke(
        FunctionName=name, InvocationType="Event", Payload=json.dumps(event).encode(), **more
    )
    assert answer["StatusCode"] == 202
    assert answer["Payload"].read() == b""
    return answer["ResponseMetadata"]["RequestId"]


# An event is answered with 202 and nothing else, and run under the request id of that answer.
def test_events_are_run(told, collector):
    ids = [send(told, {"n": number}) for number in range(5)]
    assert wait_until(lambda: len(collector.of("f")) >= 5)
    assert sorted(it["id"] for it in collector.of("f")) == sorted(ids)
    assert "Lineage=" in collector.of("f")[0]["trace"]
    deprecated = told.client.invoke_async(FunctionName="f", InvokeArgs=b'{"old": 1}')
    assert deprecated["Status"] == 202
    assert wait_until(lambda: {"old": 1} in [it["event"] for it in collector.of("f")])


# The AWS CLI too.
def test_the_cli_sends_events(told, collector, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "awscli", "lambda", "invoke", "--function-name", "f", "--invocation-type",
               "Event", "--payload", '{"by": "cli"}', str(out)]
    done = subprocess.run(command, env=told.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["StatusCode"] == 202
    assert wait_until(lambda: [it["event"] for it in collector.of("f")] == [{"by": "cli"}])


# What cannot be taken in is refused by name: too large, no JSON, no function; and a limit on how much waits.
def test_refusals(told):
    with pytest.raises(ClientError) as refused:
        send(told, "x" * (1 << 20))
    assert refused.value.response["Error"]["Code"] == "RequestTooLargeException"
    assert "limit 1048576 bytes" in refused.value.response["Error"]["Message"]
    send(told, "x" * ((1 << 20) - 2))
    with pytest.raises(told.client.exceptions.InvalidRequestContentException):
        told.client.invoke(FunctionName="f", InvocationType="Event", Payload=b"{")
    with pytest.raises(told.client.exceptions.ResourceNotFoundException):
        send(told, {}, "none")
    with pytest.raises(told.client.exceptions.TooManyRequestsException) as refused:
        for _ in range(100):
            send(told, {"sleep": 5})
    assert "wait to be run" in refused.value.response["Error"]["Message"]


# A function that fails is run three times in all, with one request id; one that is fine is not held up meanwhile.
def test_errors_are_retried(told, collector):
    failing = send(told, {"fail": True})
    fine = send(told, {})
    ran = lambda id: len([it for it in collector.of("f") if it["id"] == id])  # noqa: E731
    assert wait_until(lambda: ran(failing) >= 3 and ran(fine) == 1)
    time.sleep(1)
    assert (ran(failing), ran(fine)) == (3, 1)


# A function that invokes itself is stopped: what it is given as its trace header, its software kit hands on.
def test_a_loop_is_stopped(told, collector):
    header = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0"
    told.client.meta.events.register(
        "before-sign.lambda.Invoke", lambda request, **_: request.headers.add_header("X-Amzn-Trace-Id", header)
    )
    for count in range(1, 17):
        send(told, {"n": count})
        assert wait_until(lambda: len(collector.of("f")) == count)
        header = collector.of("f")[-1]["trace"]
        assert f":{count}" in header
    with pytest.raises(ClientError) as refused:
        send(told, {})
    assert refused.value.response["Error"]["Code"] == "RecursiveInvocationException"


# Events outlive a kill, and run with their own request ids in the next life.
def test_a_kill_loses_no_event(told, collector):
    ids = {send(told, {"sleep": 0.05, "n": number}) for number in range(30)}
    told.kill()
    told.start()
    assert wait_until(lambda: ids <= {it["id"] for it in collector.of("f")}), "accepted, and never run"


# SIGTERM waits for what runs and keeps what does not.
def test_a_stop_keeps_events(told, collector):
    slow = send(told, {"sleep": 1})
    assert wait_until(lambda: collector.of("f"))
    rest = {send(told, {"sleep": 0.2, "n": number}) for number in range(20)}
    assert told.stop() == 0
    told.start()
    assert wait_until(lambda: rest <= {it["id"] for it in collector.of("f")})
    assert len([it for it in collector.of("f") if it["id"] == slow]) == 1, "it had ended before the stop"


# A rule of EventBridge is made, shown, switched, and removed, and refuses what is not here by name.
def test_rules(told):
    events = service(told, "events")
    arn = told.client.get_function(FunctionName="f")["Configuration"]["FunctionArn"]
    made = events.put_rule(Name="r", ScheduleExpression="rate(5 minutes)", Description="d")
    assert made["RuleArn"].endswith(":rule/r")
    assert events.put_targets(Rule="r", Targets=[{"Id": "1", "Arn": arn, "Input": '{"by": "rule"}'}])["FailedEntryCount"] == 0
    described = events.describe_rule(Name="r")
    assert (described["State"], described["ScheduleExpression"]) == ("ENABLED", "rate(5 minutes)")
    assert events.list_targets_by_rule(Rule="r")["Targets"] == [{"Id": "1", "Arn": arn, "Input": '{"by": "rule"}'}]
    events.disable_rule(Name="r")
    assert [it["State"] for it in events.list_rules(NamePrefix="r")["Rules"]] == ["DISABLED"]
    events.enable_rule(Name="r")
    for words, call in [
        ("has targets", lambda: events.delete_rule(Name="r")),
        ("EventPattern", lambda: events.put_rule(Name="p", EventPattern="{}")),
        ("InputPath", lambda: events.put_targets(Rule="r", Targets=[{"Id": "2", "Arn": arn, "InputPath": "$.x"}])),
        ("functions of the own account", lambda: events.put_targets(
            Rule="r", Targets=[{"Id": "2", "Arn": "arn:aws:sqs:us-east-1:1:q"}])),
        ("cron(0 12 * * * *)", lambda: events.put_rule(Name="p", ScheduleExpression="cron(0 12 * * * *)")),
        ("does not exist", lambda: events.describe_rule(Name="none")),
        ("PutEvents is not implemented", lambda: events.put_events(
            Entries=[{"Source": "s", "DetailType": "d", "Detail": "{}"}])),
    ]:
        with pytest.raises(ClientError) as refused:
            call()
        assert words.replace("cron(0 12 * * * *)", "day-of-month") in refused.value.response["Error"]["Message"]
    told.kill()
    told.start()
    events = service(told, "events")
    assert events.describe_rule(Name="r")["State"] == "ENABLED"
    events.remove_targets(Rule="r", Ids=["1"])
    events.delete_rule(Name="r")
    assert events.list_rules()["Rules"] == []


# A schedule of EventBridge Scheduler runs its function once at its time, with what EventBridge sends, and goes after that.
def test_schedules(told, collector):
    scheduler = service(told, "scheduler")
    arn = told.client.get_function(FunctionName="f")["Configuration"]["FunctionArn"]
    soon = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=2)).strftime("%Y-%m-%dT%H:%M:%S")
    common = {"FlexibleTimeWindow": {"Mode": "OFF"}, "Target": {"Arn": arn, "RoleArn": ROLE}}
    scheduler.create_schedule(
        Name="once", ScheduleExpression=f"at({soon})", ActionAfterCompletion="DELETE", **common)
    scheduler.create_schedule(
        Name="daily", ScheduleExpression="cron(0 12 * * ? *)", ScheduleExpressionTimezone="Europe/Berlin", **common)
    with pytest.raises(scheduler.exceptions.ConflictException):
        scheduler.create_schedule(Name="daily", ScheduleExpression="rate(1 day)", **common)
    with pytest.raises(scheduler.exceptions.ValidationException, match="FLEXIBLE"):
        scheduler.create_schedule(
            Name="x", ScheduleExpression="rate(1 day)", Target=common["Target"],
            FlexibleTimeWindow={"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 5})
    found = scheduler.get_schedule(Name="daily")
    assert found["ScheduleExpressionTimezone"] == "Europe/Berlin" and found["Target"]["Arn"] == arn
    scheduler.update_schedule(Name="daily", ScheduleExpression="cron(0 13 * * ? *)", State="DISABLED", **common)
    assert [it["Name"] for it in scheduler.list_schedules(State="DISABLED")["Schedules"]] == ["daily"]
    assert wait_until(lambda: collector.of("f"))
    event = collector.of("f")[0]["event"]
    assert event["detail-type"] == "Scheduled Event" and event["time"] == soon + "Z", event
    assert event["resources"] == [f"arn:aws:scheduler:us-east-1:{arn.split(':')[4]}:schedule/default/once"]
    assert wait_until(lambda: [it["Name"] for it in scheduler.list_schedules()["Schedules"]] == ["daily"])
    scheduler.delete_schedule(Name="daily")
    with pytest.raises(scheduler.exceptions.ResourceNotFoundException):
        scheduler.get_schedule(Name="daily")
    assert len(collector.of("f")) == 1


# A schedule that begins with a rate is due at once, in the AWS CLI's words as well.
def test_the_cli_makes_schedules(told, collector):
    arn = told.client.get_function(FunctionName="f")["Configuration"]["FunctionArn"]
    command = [sys.executable, "-m", "awscli", "scheduler", "create-schedule", "--name", "often",
               "--schedule-expression", "rate(1 hour)", "--flexible-time-window", "Mode=OFF",
               "--target", json.dumps({"Arn": arn, "RoleArn": ROLE, "Input": '{"by": "cli"}'})]
    done = subprocess.run(command, env=told.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert wait_until(lambda: [it["event"] for it in collector.of("f")] == [{"by": "cli"}])


# A key signed for one service opens no other one's door.
def test_services_are_apart(told):
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials
    import urllib.request

    keys = told.credentials
    request = AWSRequest("GET", told.endpoint + "/schedules")
    credentials = Credentials(keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"])
    SigV4Auth(credentials, "lambda", "us-east-1").add_auth(request)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(request.url, headers=dict(request.headers)))
    assert refused.value.code == 404


# How events are treated is said by function, version and alias: kept, changed, listed and removed; destinations are functions
# only, and others are refused with what to do instead.
def test_event_invoke_config(told):
    client = told.client
    told.deploy("sink", TELLS)
    arn = client.get_function(FunctionName="sink")["Configuration"]["FunctionArn"]
    with pytest.raises(client.exceptions.ResourceNotFoundException, match="EventInvokeConfig"):
        client.get_function_event_invoke_config(FunctionName="f")
    put = client.put_function_event_invoke_config(
        FunctionName="f", MaximumRetryAttempts=1, DestinationConfig={"OnFailure": {"Destination": arn}})
    assert put["FunctionArn"].endswith(":function:f:$LATEST")
    assert put["DestinationConfig"]["OnFailure"] == {"Destination": arn}
    assert "MaximumEventAgeInSeconds" not in put
    client.update_function_event_invoke_config(FunctionName="f", MaximumEventAgeInSeconds=60)
    got = client.get_function_event_invoke_config(FunctionName="f")
    assert (got["MaximumRetryAttempts"], got["MaximumEventAgeInSeconds"]) == (1, 60)
    listed = client.list_function_event_invoke_configs(FunctionName="f")["FunctionEventInvokeConfigs"]
    assert [it["FunctionArn"] for it in listed] == [put["FunctionArn"]]
    for destination in ("arn:aws:sqs:us-east-1:123456789012:q", arn.replace("sink", "none")):
        with pytest.raises(client.exceptions.InvalidParameterValueException):
            client.put_function_event_invoke_config(
                FunctionName="f", DestinationConfig={"OnSuccess": {"Destination": destination}})
    with pytest.raises(client.exceptions.InvalidParameterValueException, match="OnFailure"):
        client.update_function_configuration(
            FunctionName="f", DeadLetterConfig={"TargetArn": "arn:aws:sqs:us-east-1:123456789012:q"})
    client.delete_function_event_invoke_config(FunctionName="f")
    assert client.list_function_event_invoke_configs(FunctionName="f")["FunctionEventInvokeConfigs"] == []


# Destinations are told of success and failure in Lambda's words, and no retries means none.
def test_destinations(told, collector):
    told.deploy("sink", TELLS, Environment=collector.environment(told))
    arn = told.client.get_function(FunctionName="sink")["Configuration"]["FunctionArn"]
    told.client.put_function_event_invoke_config(
        FunctionName="f", MaximumRetryAttempts=0,
        DestinationConfig={"OnSuccess": {"Destination": arn}, "OnFailure": {"Destination": arn}})
    fine = send(told, {"n": 1})
    bad = send(told, {"fail": True})
    assert wait_until(lambda: len(collector.of("sink")) == 2)
    records = {it["event"]["requestContext"]["requestId"]: it["event"] for it in collector.of("sink")}
    assert records[fine]["requestContext"]["condition"] == "Success"
    assert records[fine]["requestPayload"] == {"n": 1}
    assert records[fine]["responsePayload"] == {"told": {"n": 1}}
    assert records[bad]["requestContext"]["condition"] == "RetriesExhausted"
    assert records[bad]["requestContext"]["approximateInvokeCount"] == 1
    assert records[bad]["responseContext"]["functionError"] == "Unhandled"
    assert records[bad]["responsePayload"]["errorMessage"] == "as told"
    assert records[bad]["version"] == "1.0"


# A function that may have no instances at all keeps no events: each goes to the destination on failure at once, without a
# run, and what comes later is run as ever.
def test_no_concurrency_keeps_no_events(told, collector):
    told.deploy("sink", TELLS, Environment=collector.environment(told))
    arn = told.client.get_function(FunctionName="sink")["Configuration"]["FunctionArn"]
    told.client.put_function_event_invoke_config(
        FunctionName="f", DestinationConfig={"OnFailure": {"Destination": arn}})
    told.client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=0)
    barred = send(told, {"n": 1})
    assert wait_until(lambda: collector.of("sink"))
    context = collector.of("sink")[0]["event"]["requestContext"]
    assert (context["requestId"], context["condition"]) == (barred, "RetriesExhausted")
    assert context["approximateInvokeCount"] == 0 and collector.of("f") == []
    told.client.delete_function_concurrency(FunctionName="f")
    ran = send(told, {"n": 2})
    assert wait_until(lambda: [it["id"] for it in collector.of("f")] == [ran])
    assert len(collector.of("sink")) == 1
