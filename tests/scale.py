"""Many of everything: functions deployed, functions stored, instances that are idle, a burst, and a long mixed load with faults."""

import concurrent.futures
import json
import os
import pathlib
import random
import re
import select
import socket
import statistics
import tempfile
import threading
import time

from botocore.exceptions import ClientError, ConnectionError, HTTPClientError
from conftest import ROLE, Platform, left_over, wait_until, zipped

NATIVE = {"Runtime": "provided.al2023", "Handler": "bootstrap", "MemorySize": 128}
SOAK_SECONDS = float(os.environ.get("PEEK_SOAK_SECONDS", "600"))
SOAK_SEED = int(os.environ.get("PEEK_SOAK_SEED", "2018"))


class Scale:
    """The measurements; the tools are the helpers of bench.py."""

    def __init__(self, hello, row, signed, invocations, rss_kib, available_kib, descriptors):
        self.hello, self.row, self.signed, self.invocations = hello, row, signed, invocations
        self.rss_kib, self.available_kib, self.descriptors = rss_kib, available_kib, descriptors

    def functions(self):
        """1,000 functions deployed and each invoked once: what the last hundred cost against the first."""
        count, part = 1000, 100
        print(f"{count:,} functions, one after the other; the time of the last {part} against the first {part}")
        with tempfile.TemporaryDirectory() as folder:
            platform = Platform(pathlib.Path(folder) / "data")
            code = zipped({"bootstrap": self.hello})
            lambdas = platform.client

            def active(name):
                lambdas.create_function(FunctionName=name, Role=ROLE, Code={"ZipFile": code}, **NATIVE)
                while lambdas.get_function_configuration(FunctionName=name)["State"] != "Active":
                    time.sleep(0.001)

            def listed(name):
                lambdas.list_functions(MaxItems=50)

            steps = {
                "created and active": active,
                "invoked, cold": lambda name: self.invoked(lambdas, name),
                "configured anew": lambda name: lambdas.update_function_configuration(FunctionName=name, Timeout=9),
                "listed, a page of 50": listed,
                "published": lambda name: lambdas.publish_version(FunctionName=name),
                "deleted": lambda name: lambdas.delete_function(FunctionName=name),
            }
            try:
                for what, step in steps.items():
                    times = [timed(step, f"f{number:04}") for number in range(count)]
                    first, last = (statistics.median(it) for it in (times[:part], times[-part:]))
                    self.row(what, f"{first * 1e3:.2f} -> {last * 1e3:.2f} ms")
                    self.row("  ratio", f"{last / first:.2f} x", "near 1: no step slower than linear")
            finally:
                platform.stop()

    def invoked(self, lambdas, name):
        answer = lambdas.invoke(FunctionName=name, Payload=b"{}")
        assert "FunctionError" not in answer, answer["Payload"].read()

    def stored(self):
        """A start with 10,000 functions stored, after an orderly end and after a kill."""
        count = 10_000
        print(f"start with {count:,} functions stored")
        with tempfile.TemporaryDirectory() as folder:
            platform = Platform(pathlib.Path(folder) / "data")
            code = zipped({"bootstrap": self.hello})
            lambdas = platform.client

            def create(number):
                lambdas.create_function(FunctionName=f"f{number:05}", Role=ROLE, Code={"ZipFile": code}, **NATIVE)

            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                chunks = []
                for begin in range(0, count, 1000):
                    chunks.append(timed(lambda begin: list(pool.map(create, range(begin, begin + 1000))), begin))
            self.row("1,000 created by 8 clients, the first and the last",
                     f"{chunks[0]:.2f} / {chunks[-1]:.2f} s", "near 1: no step slower than linear")
            lambdas.get_waiter("function_active_v2").wait(FunctionName=f"f{count - 1:05}")
            for what, end in (("after an orderly end", platform.stop), ("after a kill", platform.kill)):
                end()
                took = timed(lambda _: platform.start(), None)
                self.row(f"start {what}, until it is ready", f"{took:.2f} s", "at most 1 s")
                self.row("  resident", f"{self.rss_kib(platform.process.pid) / 1024:.0f} MiB")
                self.invoked(platform.client, f"f{count // 2:05}")
            platform.stop()

    def burst500(self):
        """From nothing to 500 requests at once of a function that takes 100 ms."""
        count, hold_ms = 500, 100
        print(f"0 to {count} concurrent invocations of a native function of {hold_ms} ms")
        with tempfile.TemporaryDirectory() as folder:
            platform = Platform(pathlib.Path(folder) / "data")
            try:
                rounds = []
                for number in range(3):
                    name = f"burst{number}"
                    platform.deploy(name, {"bootstrap": self.hello}, **NATIVE)
                    rounds.append(self.at_once(platform, name, count, hold_ms))
                    platform.client.delete_function(FunctionName=name)
                    time.sleep(3)
                p99 = [sorted(it)[int(len(it) * 0.99)] for it in rounds]
                self.row("p99, median of 3 bursts; errors", f"{statistics.median(p99):.2f} s; 0", "at most 3 s; 0")
            finally:
                platform.stop()

    def at_once(self, platform, name, count, hold_ms):
        """Seconds that each of `count` simultaneous requests took; all must succeed."""
        body = json.dumps({"hold_ms": hold_ms}).encode()
        headers = self.signed(platform, self.invocations(name), body)
        host, port = platform.endpoint.removeprefix("http://").split(":")
        request = f"POST {self.invocations(name)} HTTP/1.1\r\nContent-Length: {len(body)}\r\n"
        request += "".join(f"{key}: {value}\r\n" for key, value in headers.items())
        request = (request + f"Host: {host}:{port}\r\n\r\n").encode() + body
        waiting = {socket.create_connection((host, int(port))): b"" for _ in range(count)}
        poller = select.poll()
        by_number = {connection.fileno(): connection for connection in waiting}
        for connection in waiting:
            poller.register(connection, select.POLLIN)
        began, times = time.monotonic(), []
        for connection in waiting:
            connection.sendall(request)
        while waiting and time.monotonic() < began + 90:
            for number, _ in poller.poll(5000):
                connection = by_number[number]
                waiting[connection] += connection.recv(65536)
                head, _, rest = waiting[connection].partition(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", head)
                if length and len(rest) >= int(length[1]):
                    assert b" 200 " in head.split(b"\r\n")[0], waiting[connection]
                    assert b"x-amz-function-error" not in head.lower(), waiting[connection]
                    times.append(time.monotonic() - began)
                    poller.unregister(number)
                    del waiting[connection]
                    connection.close()
        assert len(times) == count, f"{len(times)} of {count} answered"
        return times

    def many(self):
        """2,000 idle native instances at once."""
        functions, each = 20, 100
        count = functions * each
        print(f"{count:,} idle native instances at once")
        with tempfile.TemporaryDirectory() as folder:
            platform = Platform(pathlib.Path(folder) / "data")
            try:
                pid = platform.process.pid
                before = self.available_kib(), self.rss_kib(pid), self.descriptors(pid)
                times = []
                for number in range(functions):
                    platform.deploy(f"many{number}", {"bootstrap": self.hello}, **NATIVE)
                    times.append(max(self.at_once(platform, f"many{number}", each, 2500)) - 2.5)
                alive = bootstraps(pid)
                assert alive >= count, f"{alive} of {count} instances are there"
                time.sleep(2)
                after = self.available_kib(), self.rss_kib(pid), self.descriptors(pid)
                self.row("instances alive", f"{alive:,}", f"at least {count:,}")
                self.row(f"  {each} more, the first and the last", f"{times[0]:.2f} / {times[-1]:.2f} s")
                self.row("  available memory each", f"{(before[0] - after[0]) / alive:.0f} KiB")
                self.row("  in the server each", f"{(after[1] - before[1]) / alive:.0f} KiB", "at most 32 KiB")
                self.row("  descriptors in the server each", f"{(after[2] - before[2]) / alive:.1f}", "at most 6")
                warm = [timed(lambda name: self.invoked(platform.client, name), f"many{it % functions}") for it in range(200)]
                self.row("  a warm invocation among them, median", f"{statistics.median(warm) * 1e3:.2f} ms")
                assert bootstraps(pid) == alive, "warm invocations started instances"
                took = timed(lambda _: platform.stop(), None)
                self.row("  an orderly end of them all", f"{took:.2f} s")
            finally:
                platform.stop()
            assert not left_over(), left_over()

    def soak(self):
        """A mixed load with faults, for minutes: what is held at its end is what was held after its first quarter."""
        print(f"mixed load with faults for {SOAK_SECONDS:.0f} s, seed {SOAK_SEED}")
        with tempfile.TemporaryDirectory() as folder:
            data = pathlib.Path(folder) / "data"
            profile = pathlib.Path(folder) / "profile.toml"
            text = (pathlib.Path(__file__).parent.parent / "profiles" / "local.toml").read_text()
            # Instances come and go all the time.
            profile.write_text(text.replace("limit_s = 600.0", "limit_s = 2.0", 1))
            platform = Platform(data, "--profile", str(profile))
            try:
                # With its sandboxes prepared, and nothing running.
                time.sleep(3)
                bare = len(family(platform.process.pid))
                load = Load(platform, self.hello)
                seen = []
                while load.elapsed() < SOAK_SECONDS:
                    time.sleep(SOAK_SECONDS / 8)
                    load.pause()
                    seen.append(self.held(platform, data, bare))
                    load.go_on()
                load.stop()
                assert not load.faults, load.faults[:5]
                self.row("calls; of them faults on purpose", f"{load.calls:,}; {load.on_purpose:,}")
                early, late = seen[1], seen[-1]
                for what in early:
                    self.row(f"  {what}, after a quarter and at the end", f"{early[what]:,} / {late[what]:,}", "flat")
            finally:
                platform.stop()
            assert not left_over(), left_over()

    def held(self, platform, data, bare):
        """What the platform holds once everything that was idle has gone."""
        pid = platform.process.pid
        wait_until(lambda: len(family(pid)) <= bare, 30)
        time.sleep(1)
        groups = sum(
            1 for top, folders, _ in os.walk("/sys/fs/cgroup") for it in folders if "peek" in os.path.join(top, it)
        )
        disk = sum(it.stat().st_blocks for it in data.rglob("*") if it.is_file()) // 2
        return {
            "resident KiB": self.rss_kib(pid),
            "descriptors": self.descriptors(pid),
            "processes": len(family(pid)),
            "control groups": groups,
            "mounts": sum("peek" in line for line in open("/proc/self/mountinfo")),
            "disk KiB": disk,
        }


class Load:
    """Threads that call a platform in every way, some of them wrongly, until told to stop."""

    def __init__(self, platform, hello):
        self.platform, self.hello = platform, hello
        self.calls, self.on_purpose, self.faults = 0, 0, []
        self.is_over, self.may_go = threading.Event(), threading.Event()
        self.began = time.monotonic()
        platform.deploy("native", {"bootstrap": hello}, **NATIVE)
        platform.deploy("python", FAULTY, MemorySize=128, Timeout=1)
        self.may_go.set()
        self.lock = threading.Lock()
        self.threads = [
            threading.Thread(target=self.repeat, args=(ask, random.Random(SOAK_SEED + number)))
            for number, ask in enumerate(
                [self.native, self.native, self.python, self.python, self.event, self.deploy, self.wrong])
        ]
        for thread in self.threads:
            thread.start()

    def elapsed(self):
        return time.monotonic() - self.began

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
                for _ in range(64): file.write(bytes(1 << 20))
        finally:
            os.remove("/tmp/full")
    if event == "eat": return len(bytearray(os.urandom(1)) * (1 << 30))
    if event == "talk":
        for number in range(500): print("line", number)
    return event
"""


def timed(call, argument):
    began = time.perf_counter()
    call(argument)
    return time.perf_counter() - began


def bootstraps(server):
    """How many native functions a server runs."""
    count = 0
    for pid in family(server):
        try:
            count += pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "bootstrap"
        except OSError:
            continue
    return count


def family(pid):
    """A process and all that come from it."""
    parents = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
    found, more = set(), {pid}
    while more:
        found |= more
        more = {child for child, parent in parents.items() if parent in more} - found
    return found
