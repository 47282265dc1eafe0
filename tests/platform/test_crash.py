"""Kill -9 at seeded points of a mixed load, and a full disk: what was acknowledged is there, and nothing stray is left.

PEEK_CRASH_ROUNDS sets how often (100), PEEK_CRASH_SEED with which seed; a failure prints the one that it had.
"""

import json
import os
import pathlib
import random
import re
import signal
import subprocess
import threading
import time

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionError, HTTPClientError, ReadTimeoutError
from collector import TELLS, Collector
from conftest import PYTHON, ROLE, ROOT, SLOW, Platform, left_over, wait_until, zipped

ROUNDS = int(os.environ.get("PEEK_CRASH_ROUNDS", "100"))
SEED = int(os.environ.get("PEEK_CRASH_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
CODE = zipped({"app.py": TELLS})
# Errors of the platform that a caller may see when something was killed or is full; all say what happened.
CLEAN = {"ServiceException", "ServiceUnavailableException", "TooManyRequestsException", "ResourceConflictException",
         "CodeStorageExceededException", "ResourceNotFoundException"}


class Acknowledged:
    """What the platform has answered for; each thread adds to its own part."""

    def __init__(self):
        self.events = set()
        self.functions = set()
        self.rules = set()
        self.removed = set()
        # Functions whose deletion got no answer: they may be there or not.
        self.unknown = set()
        self.description = 0
        self.faults = []


class Load:
    """Clients that ask for one thing after the other until told to stop or the server is gone."""

    def __init__(self, platform, acknowledged, number):
        self.platform, self.acknowledged, self.number = platform, acknowledged, number
        self.client, self.rules = client(platform, "lambda"), client(platform, "events")
        self.is_over = threading.Event()
        asks = [self.send, self.send, self.invoke, self.deploy, self.configure, self.schedule]
        self.threads = [threading.Thread(target=self.repeat, args=(ask,)) for ask in asks]
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.is_over.set()
        for thread in self.threads:
            thread.join()

    def repeat(self, ask):
        count = 0
        while not self.is_over.is_set():
            try:
                ask(count)
            except ReadTimeoutError as error:
                self.acknowledged.faults.append(f"{ask.__name__} hung: {error}")
                return
            except ClientError as error:
                if error.response["Error"]["Code"] not in CLEAN:
                    self.acknowledged.faults.append(f"{ask.__name__}: {error}")
                time.sleep(0.01)
            except (ConnectionError, HTTPClientError):
                return  # the server is gone
            count += 1

    def send(self, count):
        answer = self.client.invoke(FunctionName="f", InvocationType="Event", Payload=json.dumps(count))
        assert answer["StatusCode"] == 202
        self.acknowledged.events.add(answer["ResponseMetadata"]["RequestId"])

    def invoke(self, count):
        answer = self.client.invoke(FunctionName="f", Payload=json.dumps({"sync": count}))
        body = json.loads(answer["Payload"].read())
        if body != {"told": {"sync": count}}:
            # A sandbox that was killed under it.
            assert answer.get("FunctionError"), body

    def deploy(self, count):
        name = f"g{self.number}-{count}"
        self.client.create_function(
            FunctionName=name, Role=ROLE, Runtime=PYTHON, Handler="app.handler", Code={"ZipFile": CODE})
        self.acknowledged.functions.add(name)
        if count % 2:
            self.acknowledged.functions.discard(name)
            self.acknowledged.unknown.add(name)
            self.client.delete_function(FunctionName=name)
            self.acknowledged.unknown.discard(name)
            self.acknowledged.removed.add(name)

    def configure(self, _):
        number = self.acknowledged.description + 1
        self.client.update_function_configuration(FunctionName="kept", Description=str(number))
        self.acknowledged.description = number

    def schedule(self, count):
        name = f"r{self.number}-{count}"
        self.rules.put_rule(Name=name, ScheduleExpression="rate(1 day)")
        self.acknowledged.rules.add(name)


def client(platform, name):
    keys = platform.credentials
    return boto3.client(
        name,
        endpoint_url=platform.endpoint,
        region_name="us-east-1",
        aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"max_attempts": 0}, read_timeout=60 * SLOW),
    )


def check(platform, acknowledged):
    """Everything that was acknowledged is there; what was removed is not."""
    assert not acknowledged.faults, acknowledged.faults
    pages = platform.client.get_paginator("list_functions").paginate()
    functions = {it["FunctionName"]: it for page in pages for it in page["Functions"]}
    assert acknowledged.functions <= set(functions), acknowledged.functions - set(functions)
    assert not acknowledged.removed & set(functions), acknowledged.removed & set(functions)
    description = int(functions["kept"]["Description"])
    # The last change may have been made and not answered.
    assert description in (acknowledged.description, acknowledged.description + 1)
    acknowledged.description = description
    rules, token = set(), {}
    while True:
        page = client(platform, "events").list_rules(**token)
        rules |= {it["Name"] for it in page["Rules"]}
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert acknowledged.rules <= rules, acknowledged.rules - rules


def tidy(platform, acknowledged):
    """Keeps the state small, so that rounds stay short."""
    for name in acknowledged.functions | acknowledged.unknown:
        try:
            platform.client.delete_function(FunctionName=name)
        except ClientError:
            pass
    rules = client(platform, "events")
    for name in acknowledged.rules:
        rules.delete_rule(Name=name)
    acknowledged.functions, acknowledged.rules = set(), set()
    acknowledged.unknown, acknowledged.removed = set(), set()


def descendants(pid):
    """Processes below the server, by their command lines: its starter, and that one's helpers."""
    parents = {}
    for entry in pathlib.Path("/proc").iterdir():
        try:
            parent = int(re.search(r"PPid:\s+(\d+)", (entry / "status").read_text())[1])
            parents.setdefault(parent, []).append(int(entry.name))
        except (OSError, TypeError, ValueError):
            continue
    starters = parents.get(pid, [])
    return starters, [it for starter in starters for it in parents.get(starter, [])]


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def profile(folder):
    """The platform's own profile with short delays, so that what was interrupted is tried again soon."""
    path = folder / "crash.toml"
    text = (ROOT / "profiles" / "local.toml").read_text()
    path.write_text(text + "\n[events]\nretry_delays_s = [0.2]\nbackoff_min_s = 0.1\nbackoff_max_s = 0.5\nrunning_max = 8\n")
    return str(path)


@pytest.fixture
def collector():
    collector = Collector()
    yield collector
    collector.close()


def begin(data, collector, tmp_path):
    platform = Platform(data, "--profile", profile(tmp_path), *collector.flags())
    if platform.host_address is None:
        platform.stop()
        pytest.skip("instances have no network here")
    for name in ("f", "kept"):
        platform.deploy(name, TELLS, Environment=collector.environment(platform), Description="0")
    return platform


def all_ran(collector, acknowledged):
    return acknowledged.events <= {it["id"] for it in list(collector.told)}


# Whatever is killed and whenever, everything that was acknowledged is there, every accepted event is run at least once,
# callers are told or cut off, and nothing stray is left.
def test_kills_lose_nothing(tmp_path, collector):
    print(f"PEEK_CRASH_SEED={SEED}")
    choose = random.Random(SEED)
    before = left_over()
    acknowledged = Acknowledged()
    platform = begin(tmp_path / "peek-data", collector, tmp_path)
    try:
        for number in range(ROUNDS):
            load = Load(platform, acknowledged, number)
            time.sleep(choose.uniform(0.02, 0.7))
            starters, helpers = descendants(platform.process.pid)
            what = choose.choices(["server", "starter", "helper"], [8, 1, 1])[0]
            if what == "server":
                platform.kill()
            else:
                for pid in starters if what == "starter" else choose.sample(helpers, min(1, len(helpers))):
                    kill(pid)
                time.sleep(0.1)
            load.stop()
            if what == "server":
                platform.start()
            check(platform, acknowledged)
            if number % 10 == 9:
                tidy(platform, acknowledged)
        sent = len(acknowledged.events)
        assert sent > ROUNDS, "the load was none"
        assert wait_until(lambda: all_ran(collector, acknowledged), 120), "accepted, and never run"
    finally:
        platform.stop()
    assert wait_until(lambda: left_over() <= before, 30), left_over() - before
    print(f"{ROUNDS} rounds, {sent} events accepted, {len(collector.told)} invocations")


# On a disk that fills up, and is killed while it is full, what was acknowledged is there all the same.
def test_full_disks_lose_nothing(tmp_path, collector):
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    print(f"PEEK_CRASH_SEED={SEED}")
    choose = random.Random(SEED)
    disk = tmp_path / "peek-small-disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", disk], check=True)
    acknowledged = Acknowledged()
    try:
        platform = begin(disk / "data", collector, tmp_path)
        for number in range(max(1, ROUNDS // 20)):
            load = Load(platform, acknowledged, number)
            time.sleep(choose.uniform(0.1, 0.5))
            fill(disk / "filler")
            time.sleep(choose.uniform(0.1, 0.5))
            if choose.random() < 0.5:
                platform.kill()
            load.stop()
            (disk / "filler").unlink()
            if platform.process.poll() is not None:
                platform.start()
            check(platform, acknowledged)
            tidy(platform, acknowledged)
        assert acknowledged.events
        assert wait_until(lambda: all_ran(collector, acknowledged), 120), "accepted, and never run"
        assert platform.stop() == 0
    finally:
        if platform.process.poll() is None:
            platform.kill()
        subprocess.run(["umount", "--lazy", disk], check=True)


def fill(path):
    """Takes all that is left of the disk."""
    with open(path, "wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass
