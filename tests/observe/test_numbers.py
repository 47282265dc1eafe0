"""Metrics as Prometheus reads them, and bills: what was billed beside what was really used."""

import json
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from conftest import BINARY, SLOW, Platform, wait_until

WORKER = """
import threading, time
def burn(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end: pass
def handler(event, context):
    if event.get('raise'): raise ValueError('no')
    if event.get('behind'): threading.Thread(target=burn, args=(event['behind'],), daemon=True).start()
    if event.get('take'): block = bytearray(event['take'] << 20)
    burn(event.get('burn', 0))
    time.sleep(event.get('sleep', 0))
    return event
"""


class Measured(Platform):
    """A platform with metrics."""

    def __init__(self, data, *flags):
        super().__init__(data, "--metrics-listen", "127.0.0.1:0", *flags)

    def start(self):
        self.process = subprocess.Popen(
            [BINARY, "serve", "--listen", "127.0.0.1:0", "--data", str(self.data), *self.flags],
            stdout=subprocess.PIPE, text=True,
        )
        # The lines before the ones that the other reads.
        head, real = [], self.process.stdout
        for line in real:
            head.append(line)
            if line.strip() == "ready":
                break
        self.metrics = next(line.split()[1] for line in head if line.startswith("metrics "))
        said = dict(line.strip().split("=", 1) for line in head if line.startswith("AWS_"))
        self.credentials = said
        self.endpoint = next(line.split()[1] for line in head if line.startswith("endpoint "))
        import boto3
        from botocore.config import Config
        self.client = boto3.client(
            "lambda", endpoint_url=self.endpoint, region_name="us-east-1",
            aws_access_key_id=said["AWS_ACCESS_KEY_ID"], aws_secret_access_key=said["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"max_attempts": 0}, read_timeout=120 * SLOW),
        )

    def scrape(self, token=None):
        request = urllib.request.Request(self.metrics)
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        with urllib.request.urlopen(request, timeout=30 * SLOW) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            text = answer.read().decode()
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


def bill(data, *arguments):
    command = [BINARY, "bill", "--data", str(data), "--output", "json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60 * SLOW)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    platform = Measured(tmp_path_factory.mktemp("measured"))
    platform.deploy("worker", WORKER, MemorySize=1769)
    yield platform
    platform.stop()


def invoke(platform, name, event):
    return platform.client.invoke(FunctionName=name, Payload=json.dumps(event).encode())["Payload"].read()


# Prometheus's own parser reads every line, and the numbers are those of what was done.
def test_metrics(measured):
    for event in ({"burn": 0.05}, {"burn": 0.05}, {"raise": True}):
        invoke(measured, "worker", event)
    account = measured.client.get_function(FunctionName="worker")["Configuration"]["FunctionArn"].split(":")[4]
    labels = (("function", "worker"), ("tenant", account))
    read = lambda name: wait_until(lambda: measured.scrape()).get((f"peek_function_{name}", labels))
    assert wait_until(lambda: (read("invocations_total") or 0) >= 3)
    assert (read("errors_total"), read("cold_starts_total"), read("throttles_total")) == (1, 1, 0)
    assert read("duration_seconds_count") == 3 and read("duration_seconds_sum") >= 0.1
    assert read("queue_seconds_count") == 3 and read("init_seconds_count") == 1
    assert read("cpu_seconds_total") >= 0.1
    assert read("memory_peak_bytes_sum") > 3 * 1_000_000
    samples = measured.scrape()
    bounds = [labels for name, labels in samples if name == "peek_function_duration_seconds_bucket"]
    assert len(bounds) == 18
    value = lambda name, **labels: samples[(name, tuple(sorted(labels.items())))]
    assert sum(value("peek_instances", state=state) for state in ("idle", "resting", "busy", "finishing")) >= 1
    assert value("peek_hosts", state="ready") >= 1
    assert 0 < value("peek_hosts_fullest_ratio") <= 1
    assert value("peek_scheduler_invoked_total") >= 3
    assert value("process_resident_memory_bytes") > 1_000_000 and value("process_open_fds") > 3
    assert abs(value("process_start_time_seconds") - time.time()) < 600 * SLOW


# Asynchronous events are told while they are held, with the age of the oldest, and gone when they are done.
def test_events_are_told(measured):
    read = lambda name: measured.scrape()[(f"peek_events_{name}", ())]
    assert (read("held"), read("held_bytes"), read("oldest_age_seconds")) == (0, 0, 0)
    for _ in range(2):
        measured.client.invoke(FunctionName="worker", InvocationType="Event", Payload=b'{"sleep": 2}')
    assert wait_until(lambda: read("running") == 2)
    assert read("held") == 2 and read("held_bytes") > 20
    assert wait_until(lambda: read("oldest_age_seconds") > 0.5)
    assert wait_until(lambda: read("held") == 0) and read("oldest_age_seconds") == 0


# Metrics are at their own address only; an address that others reach needs a token, and only that opens.
def test_who_may_read(measured, tmp_path):
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(measured.endpoint + "/metrics")
    assert refused.value.code in (403, 404)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(measured.metrics + "/other")
    assert refused.value.code == 404
    command = [BINARY, "serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "none"), "--metrics-listen", "0.0.0.0:0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60 * SLOW)
    assert done.returncode != 0 and "--metrics-token" in done.stderr
    token = tmp_path / "token"
    token.write_text("0123456789abcdef0123456789abcdef\n")
    platform = Measured(tmp_path / "data", "--metrics-token", str(token))
    try:
        for wrong in (None, "0123456789abcdef0123456789abcdee"):
            with pytest.raises(urllib.error.HTTPError) as refused:
                platform.scrape(wrong)
            assert refused.value.code == 401
        assert platform.scrape(token.read_text().strip())
    finally:
        platform.stop()


# A bill has what was billed and what was really used; what is asked for together adds up, also after a restart and a kill.
def test_bill(tmp_path):
    platform = Platform(tmp_path / "data")
    try:
        platform.deploy("worker", WORKER, MemorySize=1769)
        invoke(platform, "worker", {"burn": 0.3, "take": 64})
        invoke(platform, "worker", {"sleep": 0.3})
        row = wait_until(lambda: next((row for row in bill(platform.data) if row["invocations"] == 2), None))
        assert row and row["function"] == "worker" and len(row["tenant"]) == 12 and len(row["day"]) == 10
        assert row["billed_s"] >= 0.6
        assert row["billed_gib_s"] == pytest.approx(row["billed_s"] * 1769 / 1024)
        assert 0.3 <= row["cpu_s"] < row["billed_s"]
        assert 64 <= row["memory_peak_mib"] <= 1769
        assert row["cost_usd"] == pytest.approx(2 * 0.2e-6 + row["billed_gib_s"] * 0.0000166667)
        platform.kill()
        platform.start()
        invoke(platform, "worker", {"burn": 0.1})
        assert platform.stop() == 0
        total = bill(platform.data, "--by", "tenant")
        assert [row["invocations"] for row in total] == [3] and "function" not in total[0]
        assert bill(platform.data, "--since", "2999-01-01") == []
        profile = tmp_path / "own.toml"
        text = (__import__("pathlib").Path(__file__).parents[2] / "profiles" / "local.toml").read_text()
        profile.write_text(text + "\n[prices]\nmillion_invocations_usd = 1000000\ngib_second_usd = 0\n")
        assert bill(platform.data, "--by", "tenant", "--profile", str(profile))[0]["cost_usd"] == pytest.approx(3)
        table = subprocess.run([BINARY, "bill", "--data", str(platform.data)], capture_output=True, text=True)
        assert table.stdout.split()[:3] == ["tenant", "function", "day"] and "worker" in table.stdout
        wrong = subprocess.run([BINARY, "bill", "--data", str(tmp_path / "nothing")], capture_output=True, text=True)
        assert wrong.returncode != 0 and "--data" in wrong.stderr
    finally:
        if platform.process.poll() is None:
            platform.stop()


# Nothing runs unpaid: work that is left behind a response stands still a few milliseconds later, and the little that it
# did is in the account.
def test_nothing_runs_unpaid(tmp_path):
    platform = Platform(tmp_path / "data")
    try:
        platform.deploy("worker", WORKER, MemorySize=1769)
        invoke(platform, "worker", {"behind": 60})
        time.sleep(3)
        assert platform.stop() == 0
        (row,) = bill(platform.data)
        # Three seconds passed, in which it would have burnt three; the init's CPU time is in here too.
        assert row["cpu_s"] + row["cpu_unbilled_s"] < 1.5, row
    finally:
        if platform.process.poll() is None:
            platform.stop()
