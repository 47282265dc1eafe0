"""The speed of the platform beside peers and limits, all measured in this one run; prints ratios.

Usage: tests/bench [start] [scheduler] [replay] [warm] [cold] [burst] [async] [idle] [emulator] [functions] [stored] [burst500]
[many] [soak]; all without arguments. The soak takes ten minutes, or PEEK_SOAK_SECONDS; PEEK_SOAK_SEED chooses its load.
"""

import http.client
import json
import os
import pathlib
import re
import select
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import intake  # noqa: E402
import replay_peer  # noqa: E402
import scale  # noqa: E402
import soak  # noqa: E402
from conftest import BINARY, ROOT, Platform  # noqa: E402
from usage import available_kib, descriptors, rss_kib  # noqa: E402

HELLO = ROOT / "tests" / "functions" / "hello"
ROUNDS = 3
SECONDS = 5
SOAK_SECONDS = float(os.environ.get("PEEK_SOAK_SECONDS", "600"))
SOAK_SEED = int(os.environ.get("PEEK_SOAK_SEED", "2018"))


def hello_binary():
    """The function of the official Rust runtime, built."""
    target = HELLO / "target"
    subprocess.run(["cargo", "build", "--release", "--quiet", "--locked", "--target-dir", target], cwd=HELLO, check=True)
    return (target / "release" / "hello").read_bytes()


def signed(platform, path, body, more=()):
    """Headers for one POST; they hold for five minutes, as signatures do."""
    request = AWSRequest("POST", platform.endpoint + path, data=body)
    request.headers["Content-Type"] = "application/json"
    for name, value in dict(more).items():
        request.headers[name] = value
    keys = platform.credentials
    SigV4Auth(
        Credentials(keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"]),
        "lambda",
        keys.get("AWS_DEFAULT_REGION", "us-east-1"),
    ).add_auth(request)
    return dict(request.headers)


def invocations(name):
    return f"/2015-03-31/functions/{name}/invocations"


def row(what, value, bar=""):
    print(f"  {what:<62} {value:>20}  {bar}", flush=True)


def wrk(url, headers, body, connections):
    """Throughput per second and p99 in ms, by wrk."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f'wrk.method = "POST"\nwrk.body = [[{body}]]\n')
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--latency", "-s", script.name]
        for name, value in headers.items():
            command += ["-H", f"{name}: {value}"]
        said = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in said, said
    per_second = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])
    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)\b", said).groups()
    return per_second, float(number) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit]


class CargoLambda:
    """`cargo lambda watch`: no sandbox at all."""

    def __init__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [str(ROOT / ".venv/bin/cargo-lambda"), "lambda", "watch", "--release", "--ignore-changes",
             "-A", "127.0.0.1", "-P", str(self.port)],
            cwd=HELLO, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )
        self.url = f"http://127.0.0.1:{self.port}{invocations('hello')}"
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=200)
                connection.request("POST", invocations("hello"), b"{}")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                time.sleep(0.2)
        raise RuntimeError("cargo lambda watch did not answer")

    def stop(self):
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait()


def warm(platform):
    print("warm invocations of one native function, signed, against `cargo lambda watch`")
    peer = CargoLambda()
    try:
        for connections in (1, 16):
            ours, theirs = [], []
            for _ in range(ROUNDS):
                headers = signed(platform, invocations("hello"), b"{}")
                ours.append(wrk(platform.endpoint + invocations("hello"), headers, "{}", connections))
                theirs.append(wrk(peer.url, {}, "{}", connections))
            per_second = [statistics.median(it[0] for it in them) for them in (ours, theirs)]
            p99 = [statistics.median(it[1] for it in them) for them in (ours, theirs)]
            row(f"{connections} connections, throughput, ours / peer",
                f"{per_second[0]:,.0f} / {per_second[1]:,.0f} /s")
            row("  ratio", f"{per_second[0] / per_second[1]:.2f} x", "at least 1.3")
            row("  p99, ours / peer", f"{p99[0]:.2f} / {p99[1]:.2f} ms", "ours lower")
    finally:
        peer.stop()


def cold_starts(platform, name, count, pause):
    """Round trips of first invocations, ms; each is made cold by an update of the environment."""
    times = []
    address = platform.endpoint.removeprefix("http://")
    for number in range(count):
        platform.client.update_function_configuration(
            FunctionName=name, Environment={"Variables": {"ROUND": str(number)}}
        )
        platform.client.get_waiter("function_updated_v2").wait(FunctionName=name)
        time.sleep(pause)
        headers = signed(platform, invocations(name), b"{}")
        connection = http.client.HTTPConnection(address, timeout=60)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began = time.perf_counter()
        connection.request("POST", invocations(name), b"{}", headers)
        answer = connection.getresponse()
        answer.read()
        times.append((time.perf_counter() - began) * 1e3)
        assert answer.status == 200 and not answer.getheader("X-Amz-Function-Error")
    return times


def cold(platform):
    print("cold starts through the HTTP API, 300 ms apart")
    times = cold_starts(platform, "hello", 60, 0.3)
    row("native (1769 MiB), median", f"{statistics.median(times):.2f} ms", "at most 5 ms")
    row("native, p95", f"{sorted(times)[int(len(times) * 0.95)]:.2f} ms")
    platform.deploy("python", "def handler(event, context): return 1", MemorySize=1769)
    ours, bare = [], []
    for _ in range(5):
        ours += cold_starts(platform, "python", 8, 0.3)
        for _ in range(8):
            time.sleep(0.3)
            began = time.perf_counter()
            subprocess.run(["/usr/bin/python3", "-c", "pass"], check=True)
            bare.append((time.perf_counter() - began) * 1e3)
    row("Python without imports, median", f"{statistics.median(ours):.1f} ms")
    row("  `/usr/bin/python3 -c pass`, median", f"{statistics.median(bare):.1f} ms")
    row("  ratio", f"{statistics.median(ours) / statistics.median(bare):.2f} x", "at most 2.5")


def burst_of(platform, name, count, hold_ms):
    """Seconds from the first send until the last of `count` instances ran its handler."""
    body = json.dumps({"hold_ms": hold_ms}).encode()
    headers = signed(platform, invocations(name), body)
    host, port = platform.endpoint.removeprefix("http://").split(":")
    request = f"POST {invocations(name)} HTTP/1.1\r\nContent-Length: {len(body)}\r\n"
    request += "".join(f"{key}: {value}\r\n" for key, value in headers.items())
    request = (request + f"Host: {host}:{port}\r\n\r\n").encode() + body
    sockets = [socket.create_connection((host, int(port))) for _ in range(count)]
    began = time.time_ns()
    for connection in sockets:
        connection.sendall(request)
    last, done = 0, 0
    waiting = {connection: b"" for connection in sockets}
    deadline = time.monotonic() + 60
    while waiting and time.monotonic() < deadline:
        for connection in select.select(list(waiting), [], [], 5)[0]:
            waiting[connection] += connection.recv(65536)
            head, _, rest = waiting[connection].partition(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            if length and len(rest) >= int(length[1]):
                assert b" 200 " in head.split(b"\r\n")[0], waiting[connection]
                last = max(last, json.loads(rest)["started_unix_ns"])
                done += 1
                del waiting[connection]
                connection.close()
    assert done == count, f"{done} of {count} answered"
    return (last - began) / 1e9


def burst(platform):
    print("200 concurrent invocations of one function that holds: time until the last instance runs")
    for name, code, bar in (("burst", None, 1.0), ("burst-python", BURST_PYTHON, 2.5)):
        times = []
        for _ in range(ROUNDS):
            if code is None:
                platform.deploy(name, {"bootstrap": HELLO_BYTES}, Runtime="provided.al2023", MemorySize=128)
            else:
                platform.deploy(name, code, MemorySize=128)
            times.append(burst_of(platform, name, 200, 4000))
            platform.client.delete_function(FunctionName=name)
            time.sleep(3)
        row(f"{'native' if code is None else 'Python'}, median of {ROUNDS}",
            f"{statistics.median(times):.2f} s", f"at most {bar} s")


BURST_PYTHON = """
import time
def handler(event, context):
    started = time.time_ns()
    time.sleep(event["hold_ms"] / 1000)
    return {"started_unix_ns": started}
"""


def idle():
    print("what idleness costs")
    count = 100
    with tempfile.TemporaryDirectory() as data:
        platform = Platform(pathlib.Path(data) / "data")
        try:
            time.sleep(2)
            row("peek serve, idle, resident", f"{rss_kib(platform.process.pid) / 1024:.1f} MiB", "at most 30 MiB")
            platform.deploy("hello", {"bootstrap": HELLO_BYTES}, Runtime="provided.al2023", MemorySize=128)
            burst_of(platform, "hello", 10, 500)
            time.sleep(2)
            pid = platform.process.pid
            before = available_kib(), rss_kib(pid), descriptors(pid)
            platform.deploy("many", {"bootstrap": HELLO_BYTES}, Runtime="provided.al2023", MemorySize=128)
            burst_of(platform, "many", count, 2000)
            time.sleep(2)
            after = available_kib(), rss_kib(pid), descriptors(pid)
            own = statistics.median(own_kib(pid) for pid in pids_of("bootstrap"))
            each = (before[0] - after[0]) / count
            row("an idle native instance, available memory", f"{each:.0f} KiB")
            row("  of it the function's own (private pages, page tables)", f"{own:.0f} KiB")
            row("  beside the function's own", f"{each - own:.0f} KiB", "at most 320 KiB")
            row("  in the server", f"{(after[1] - before[1]) / count:.0f} KiB", "at most 32 KiB")
            row("  descriptors in the server", f"{(after[2] - before[2]) / count:.1f}", "at most 6")
        finally:
            platform.stop()


def pids_of(name):
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "comm").read_text().strip() == name:
                    yield entry.name
            except OSError:
                continue


def own_kib(pid):
    """What a process costs wherever it runs: its private pages and its page tables."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    private = sum(int(it) for it in re.findall(r"Private_(?:Clean|Dirty):\s+(\d+)", text))
    return private + int(re.search(r"VmPTE:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])


def emulated(profile, scale, out):
    """Seconds, peak MiB and findings of one study in virtual time, report included."""
    command = [BINARY, "study", "--target", f"emulated:{profile}", "--seed", "1", "--out", out, *scale]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    assert process.returncode == 0, f"{command}: {process.returncode}"
    findings = json.loads((pathlib.Path(out) / "findings.json").read_text())
    study = json.loads((pathlib.Path(out) / "study.json").read_text())
    return seconds, used.ru_maxrss / 1024, findings, study["virtual_ms"] / 3.6e6


def emulator():
    print("studies of emulated platforms, report included")
    for size, platforms, bar in (
        (["--quick"], ("aws-2018", "azure-2018", "google-2018", "aws-documented"), "at most 3 s"),
        (["--full"], ("aws-2018", "azure-2018", "google-2018"), ""),
    ):
        all_seconds, peak = 0.0, 0.0
        for profile in platforms:
            with tempfile.TemporaryDirectory() as out:
                seconds, mib, findings, hours = emulated(profile, size, out)
            all_seconds, peak = all_seconds + seconds, max(peak, mib)
            row(f"{profile} {size[0]}", f"{seconds:.2f} s", bar)
            row("  virtual time; instances; invocations",
                f"{hours:,.1f} h; {findings['instances_launched']:,}; {findings['invocations']:,}")
        if size == ["--full"]:
            row("the three --full together", f"{all_seconds:.1f} s", "at most 60 s")
            row("  most resident memory", f"{peak:.0f} MiB", "at most 1024 MiB")


def mixed_load():
    print(f"mixed load with faults for {SOAK_SECONDS:.0f} s, seed {SOAK_SEED}")
    early, late, calls, on_purpose = soak.soak(HELLO_BYTES, SOAK_SECONDS, SOAK_SEED)
    row("calls; of them faults on purpose", f"{calls:,}; {on_purpose:,}")
    for what in early:
        row(f"  {what}, after a quarter and at the end", f"{early[what]:,} / {late[what]:,}", "flat")


def main():
    global HELLO_BYTES
    chosen = sys.argv[1:] or EACH
    unknown = sorted(set(chosen) - set(EACH))
    if unknown:
        sys.exit(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(EACH)}")
    for name, crate, bench in (("start", "sandbox", "start"), ("scheduler", "scheduler", "events"),
                               ("replay", "replay", "invocations")):
        if name in chosen:
            subprocess.run(["cargo", "bench", "--quiet", "--locked", "-p", crate, "--bench", bench],
                           cwd=ROOT, check=True)
    if "replay" in chosen:
        replay_peer.compare(BINARY, row)
    if "emulator" in chosen:
        emulator()
    if not set(LIVE) & set(chosen):
        return
    HELLO_BYTES = hello_binary()
    if {"warm", "cold", "burst"} & set(chosen):
        with tempfile.TemporaryDirectory() as data:
            platform = Platform(pathlib.Path(data) / "data")
            try:
                platform.deploy("hello", {"bootstrap": HELLO_BYTES}, Runtime="provided.al2023", MemorySize=1769)
                for name, what in (("warm", warm), ("cold", cold), ("burst", burst)):
                    if name in chosen:
                        what(platform)
            finally:
                platform.stop()
    if "async" in chosen:
        local = (ROOT / "profiles" / "local.toml").read_text()
        intake.measure(Platform, HELLO_BYTES, local, (row, signed, wrk, invocations, SECONDS))
    if "idle" in chosen:
        idle()
    sizes = scale.Scale(HELLO_BYTES, row, signed, invocations)
    for name in SCALE:
        if name in chosen:
            getattr(sizes, name)()
    if "soak" in chosen:
        mixed_load()


HELLO_BYTES = b""
SCALE = ["functions", "stored", "burst500", "many"]
LIVE = ["warm", "cold", "burst", "async", "idle", *SCALE, "soak"]
EACH = ["start", "scheduler", "replay", *LIVE, "emulator"]

if __name__ == "__main__":
    main()
