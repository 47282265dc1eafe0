"""Many of everything: functions deployed, functions stored, instances that are idle, a burst."""

import concurrent.futures
import contextlib
import json
import pathlib
import re
import select
import socket
import statistics
import tempfile
import time

from conftest import ROLE, Platform, left_over, zipped
from usage import available_kib, descriptors, family, rss_kib

NATIVE = {"Runtime": "provided.al2023", "Handler": "bootstrap", "MemorySize": 128}


@contextlib.contextmanager
def fresh():
    """A platform with nothing on it, which ends with the block."""
    with tempfile.TemporaryDirectory() as folder:
        platform = Platform(pathlib.Path(folder) / "data")
        try:
            yield platform
        finally:
            platform.stop()


class Scale:
    """The measurements; the tools are the helpers of bench.py."""

    def __init__(self, hello, row, signed, invocations):
        self.hello, self.row, self.signed, self.invocations = hello, row, signed, invocations

    def functions(self):
        """1,000 functions deployed and each invoked once: what the last hundred cost against the first."""
        count, part = 1000, 100
        print(f"{count:,} functions, one after the other; the time of the last {part} against the first {part}")
        with fresh() as platform:
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
            for what, step in steps.items():
                times = [timed(step, f"f{number:04}") for number in range(count)]
                first, last = (statistics.median(it) for it in (times[:part], times[-part:]))
                self.row(what, f"{first * 1e3:.2f} -> {last * 1e3:.2f} ms")
                self.row("  ratio", f"{last / first:.2f} x", "near 1: no step slower than linear")

    def invoked(self, lambdas, name):
        answer = lambdas.invoke(FunctionName=name, Payload=b"{}")
        assert "FunctionError" not in answer, answer["Payload"].read()

    def stored(self):
        """A start with 10,000 functions stored, after an orderly end and after a kill."""
        count = 10_000
        print(f"start with {count:,} functions stored")
        with fresh() as platform:
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
                self.row("  resident", f"{rss_kib(platform.process.pid) / 1024:.0f} MiB")
                self.invoked(platform.client, f"f{count // 2:05}")

    def burst500(self):
        """From nothing to 500 requests at once of a function that takes 100 ms."""
        count, hold_ms = 500, 100
        print(f"0 to {count} concurrent invocations of a native function of {hold_ms} ms")
        with fresh() as platform:
            rounds = []
            for number in range(3):
                name = f"burst{number}"
                platform.deploy(name, {"bootstrap": self.hello}, **NATIVE)
                rounds.append(self.at_once(platform, name, count, hold_ms))
                platform.client.delete_function(FunctionName=name)
                time.sleep(3)
            p99 = [sorted(it)[int(len(it) * 0.99)] for it in rounds]
            self.row("p99, median of 3 bursts; errors", f"{statistics.median(p99):.2f} s; 0", "at most 3 s; 0")

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
        was_there = left_over()
        with fresh() as platform:
            pid = platform.process.pid
            before = available_kib(), rss_kib(pid), descriptors(pid)
            times = []
            for number in range(functions):
                platform.deploy(f"many{number}", {"bootstrap": self.hello}, **NATIVE)
                times.append(max(self.at_once(platform, f"many{number}", each, 2500)) - 2.5)
            alive = bootstraps(pid)
            assert alive >= count, f"{alive} of {count} instances are there"
            time.sleep(2)
            after = available_kib(), rss_kib(pid), descriptors(pid)
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
            assert not left_over() - was_there, left_over() - was_there


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
