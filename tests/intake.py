"""How fast asynchronous events are taken in, each on disk before its answer, beside what the machine's own disk does."""

import os
import pathlib
import tempfile
import time

# Accepted events per second with 16 clients.
BAR = 5000
CONNECTIONS = 16
EVENT = {"X-Amz-Invocation-Type": "Event"}
# One at a time is run, so that the rest of the machine takes events in; nearly nothing is refused.
HELD_BACK = "\n[events]\nrunning_max = 1\nheld_max = 2000000\n"


def flushes_per_second(folder, seconds=2.0):
    """Writes of one page, each flushed, one after the other: what a disk can acknowledge without groups."""
    path = pathlib.Path(folder) / "flushes"
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    page, count = bytes(4096), 0
    os.pwrite(file, bytes(1 << 20), 0)
    os.fsync(file)
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        os.pwrite(file, page, (count % 256) * 4096)
        os.fdatasync(file)
        count += 1
    elapsed = time.perf_counter() - began
    os.close(file)
    path.unlink()
    return count / elapsed


def cpu_seconds(pid):
    """CPU time of a process and of the children it has waited for."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(int(it) for it in fields[11:13]) / os.sysconf("SC_CLK_TCK")


def measure(start, hello, local_profile, tools):
    """Prints the rows. `start(data, *flags)` starts a platform; tools are the helpers of bench.py."""
    row, signed, wrk, invocations, seconds = tools
    print("asynchronous events, 16 clients, each on disk before it is answered")
    target = invocations("hello")
    for what, more in (("while one is run at a time", HELD_BACK), ("while they are run as they come", "")):
        with tempfile.TemporaryDirectory(dir=os.environ.get("PEEK_BENCH_DATA")) as folder:
            flushes = flushes_per_second(folder)
            profile = pathlib.Path(folder) / "profile.toml"
            profile.write_text(local_profile + more)
            platform = start(pathlib.Path(folder) / "data", "--profile", str(profile))
            try:
                platform.deploy("hello", {"bootstrap": hello}, Runtime="provided.al2023", MemorySize=1769)
                wrk(platform.endpoint + target, signed(platform, target, b"{}"), "{}", CONNECTIONS)
                sync, _ = wrk(platform.endpoint + target, signed(platform, target, b"{}"), "{}", CONNECTIONS)
                before = cpu_seconds(platform.process.pid)
                taken, p99 = wrk(
                    platform.endpoint + target, signed(platform, target, b"{}", EVENT), "{}", CONNECTIONS)
                used = cpu_seconds(platform.process.pid) - before
            finally:
                platform.kill()
            row(f"accepted {what}", f"{taken:,.0f} /s", f"at least {BAR:,}" if more else "")
            row("  p99", f"{p99:.2f} ms")
            row("  the server's CPU time", f"{used / taken / seconds * 1e6:.0f} us/event")
            row("  flushes of one page, one after the other, in the same run", f"{flushes:,.0f} /s")
            row("  synchronous invocations in the same run", f"{sync:,.0f} /s")
