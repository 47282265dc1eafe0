"""A long mixed load with faults: what a platform holds at its end is what it held early on."""

import json
import os
import pathlib
import random
import socket
import tempfile
import threading
import time

from botocore.exceptions import ClientError, ConnectionError, HTTPClientError
from conftest import ROOT, SLOW, Platform, left_over
from usage import descriptors, family, rss_kib

NATIVE = {"Runtime": "provided.al2023", "Handler": "bootstrap", "MemorySize": 128}
# Pauses of the load, in which is counted what is held; the first is early, when everything was there once.
PAUSES = 8
# By how much may grow what is held: an allocator keeps a little more, lines of logs are kept up to a bound.
RESIDENT_KIB, DISK_KIB = 6 << 10, 64 << 10
# A few connections of clients and prepared sandboxes come and go; what each of hundreds of instances left would be more.
FEW = 16


def soak(hello, seconds, seed, pauses=PAUSES):
    """Runs the load; what was held early and late, and how many calls there were, those that failed on purpose among them."""
    before = left_over()
    with tempfile.TemporaryDirectory() as folder:
        data = pathlib.Path(folder) / "data"
        profile = pathlib.Path(folder) / "profile.toml"
        text = (ROOT / "profiles" / "local.toml").read_text()
        # Instances come and go all the time.
        profile.write_text(text.replace("limit_s = 600.0", "limit_s = 2.0", 1))
        platform = Platform(data, "--profile", str(profile))
        try:
            load = Load(platform, hello, seed)
            seen = []
            for _ in range(pauses):
                time.sleep(seconds / pauses)
                load.pause()
                seen.append(held(platform, data))
                load.go_on()
            load.stop()
        finally:
            platform.stop()
    assert not load.faults, f"seed {seed}: {load.faults[:5]}"
    early, late = seen[(pauses - 1) // 4], seen[-1]
    allowed = {"resident KiB": RESIDENT_KIB, "disk KiB": DISK_KIB}
    allowed |= dict.fromkeys(["descriptors", "processes", "control groups"], FEW)
    more = {what: (early[what], late[what]) for what in early if late[what] > early[what] + allowed.get(what, 0)}
    assert not more, f"seed {seed}: more is held at the end than early on: {more}"
    assert not left_over() - before, left_over() - before
    return early, late, load.calls, load.on_purpose


def held(platform, data):
    """What the platform holds once everything that was idle has gone."""
    pid = platform.process.pid
    # Idle instances go after 2 s, those that hang after 3 s, and what was sent asynchronously is run by then.
    time.sleep(10 * SLOW)
    # Of this server, not of others that run beside it.
    own = f"peek-{(data / 'server-id').read_text().strip()}"
    groups = sum(1 for top, folders, _ in os.walk("/sys/fs/cgroup") for it in folders if own in os.path.join(top, it))
    disk = sum(it.stat().st_blocks for it in data.rglob("*") if it.is_file()) // 2
    return {
        "resident KiB": rss_kib(pid),
        "descriptors": descriptors(pid),
        "processes": len(family(pid)),
        "control groups": groups,
        "mounts": sum(own in line for line in open("/proc/self/mountinfo")),
        "disk KiB": disk,
    }


class Load:
    """Threads that call a platform in every way, some of them wrongly, until told to stop."""

    def __init__(self, platform, hello, seed):
        self.platform, self.hello = platform, hello
        self.calls, self.on_purpose, self.faults = 0, 0, []
        self.is_over, self.may_go = threading.Event(), threading.Event()
        platform.deploy("native", {"bootstrap": hello}, **NATIVE)
        platform.deploy("python", FAULTY, MemorySize=512, Timeout=3)
        self.may_go.set()
        self.lock = threading.Lock()
        self.threads = [
            threading.Thread(target=self.repeat, args=(ask, random.Random(seed + number)))
            for number, ask in enumerate(
                [self.native, self.native, self.python, self.python, self.event, self.deploy, self.wrong])
        ]
        for thread in self.threads:
            thread.start()

    def pause(self):
        self.may_go.clear()

    def go_on(self):
        self.may_go.set()

    def stop(self):
        self.is_over.set()
        self.may_go.set()
        for thread in self.threads:
            thread.join()

    def repeat(self, ask, chance):
        while not self.is_over.is_set():
            self.may_go.wait()
            try:
                on_purpose = ask(chance)
                with self.lock:
                    self.calls += 1
                    self.on_purpose += bool(on_purpose)
            except (AssertionError, ClientError, ConnectionError, HTTPClientError) as error:
                self.faults.append(f"{ask.__name__}: {error!r}")
            time.sleep(chance.uniform(0, 0.02))

    def native(self, chance):
        answer = self.platform.client.invoke(FunctionName="native", Payload=b'{"hold_ms": %d}' % chance.randrange(5))
        assert "FunctionError" not in answer, answer["Payload"].read()

    def python(self, chance):
        """A function that works, fails, dies, hangs, fills /tmp or its memory, or says much."""
        ask = chance.choice(["work"] * 6 + ["raise", "exit", "hang", "fill", "eat", "talk"])
        answer = self.platform.client.invoke(FunctionName="python", Payload=json.dumps(ask).encode())
        body = answer["Payload"].read()
        fails = ask in ("raise", "exit", "hang", "eat")
        assert ("FunctionError" in answer) == fails, (ask, body)
        return fails

    def event(self, chance):
        answer = self.platform.client.invoke(
            FunctionName="native", InvocationType="Event", Payload=b'{"hold_ms": 1}')
        assert answer["StatusCode"] == 202

    def deploy(self, chance):
        """A function's whole life."""
        name, client = f"short{chance.randrange(1 << 30)}", self.platform.client
        self.platform.deploy(name, {"app.py": f"def handler(event, context): return {chance.random()}"})
        client.publish_version(FunctionName=name)
        assert "FunctionError" not in client.invoke(FunctionName=name, Payload=b"1")
        client.delete_function(FunctionName=name)

    def wrong(self, chance):
        """A client that goes away in the middle, at any byte."""
        host, port = self.platform.endpoint.removeprefix("http://").split(":")
        whole = b"POST /2015-03-31/functions/native/invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{}"
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(whole[: chance.randrange(1, len(whole))])
        return True


FAULTY = """
import os, sys, time
def handler(event, context):
    if event == "raise": raise ValueError("on purpose")
    if event == "exit": os._exit(7)
    if event == "hang": time.sleep(60)
    if event == "fill":
        try:
            with open("/tmp/full", "wb") as file:
                for _ in range(32): file.write(bytes(1 << 20))
        finally:
            os.remove("/tmp/full")
    if event == "eat": return len(bytearray(os.urandom(1)) * (1 << 30))
    if event == "talk":
        for number in range(500): print("line", number)
    return event
"""
