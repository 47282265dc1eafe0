"""What the kernel is told of a running instance, and that it obeys: control groups of version 1 and of version 2."""

import json
import os
import pathlib
import textwrap
import time

import pytest
from conftest import left_over, wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="without root there are no control groups")

# No other function has this size.
MEMORY_MIB = 333
# Counts for as long as it is let.
COUNTER = """
import threading
count = 0
def forever():
    global count
    while True:
        count += 1
def handler(event, context):
    if event == "begin":
        threading.Thread(target=forever, daemon=True).start()
    return count
"""


# Controller and file of each thing, by version.
FILES = {
    "V1": {
        "memory": ("memory", "memory.limit_in_bytes"),
        "processes": ("pids", "pids.max"),
        "members": ("memory", "cgroup.procs"),
        "cpu time": ("cpuacct", "cpuacct.usage"),
        "frozen": ("freezer", "freezer.state"),
    },
    "V2": {
        "memory": ("memory", "memory.max"),
        "processes": ("memory", "pids.max"),
        "members": ("memory", "cgroup.procs"),
        "cpu time": ("memory", "cpu.stat"),
        "frozen": ("memory", "cgroup.events"),
    },
}


class Groups:
    """The control groups of one server, as it notes them for its successor."""

    def __init__(self, platform):
        (note,) = pathlib.Path(platform.data).rglob("groups.json")
        ((self.version, trees),) = json.loads(note.read_text()).items()
        self.trees = {
            controller: pathlib.Path(tree["directory"])
            for tree in (trees if self.version == "V1" else [trees])
            for controller in tree["controllers"]
        }

    def read(self, group, thing):
        controller, name = FILES[self.version][thing]
        return (self.trees[controller] / group / name).read_text()

    def is_frozen(self, group):
        return self.read(group, "frozen") == "FROZEN\n" or "frozen 1" in self.read(group, "frozen")

    def cpu_share(self, group):
        """The ceiling, in CPUs."""
        directory = self.trees["cpu"] / group
        if self.version == "V2":
            quota, period = (directory / "cpu.max").read_text().split()
        else:
            quota, period = ((directory / f"cpu.cfs_{it}_us").read_text() for it in ("quota", "period"))
        return int(quota) / int(period)

    def of_python(self, mib):
        """Names of the groups below the server's that have this limit and run Python: those made ahead run nothing."""
        controller, name = FILES[self.version]["memory"]
        top = self.trees[controller]
        names = [pathlib.Path(it).relative_to(top) for it, _, files in os.walk(top) if name in files]
        return [it for it in names if self.has_python(it, f"{mib << 20}\n")]

    def has_python(self, group, limit):
        try:
            return self.read(group, "memory") == limit and any(
                b"python" in pathlib.Path("/proc", pid, "cmdline").read_bytes()
                for pid in self.read(group, "members").split()
            )
        except OSError:  # it went meanwhile
            return False

    def cpu_time(self, group):
        """In the kernel's own unit."""
        return int(self.read(group, "cpu time").split("user_usec")[0].removeprefix("usage_usec "))


# A running instance has its limits of memory, processes and CPU; at rest all of it stands still, and an invocation has
# it go on; with the server its groups go.
def test_the_life_of_a_group(fresh):
    before = left_over()
    platform = fresh()
    platform.deploy("counter", COUNTER, MemorySize=MEMORY_MIB)
    platform.invoke("counter", "begin")
    groups = Groups(platform)
    (group,) = groups.of_python(MEMORY_MIB)
    assert 0 < int(groups.read(group, "processes")) <= 1024
    # 1769 MiB have one CPU.
    assert groups.cpu_share(group) == pytest.approx(MEMORY_MIB / 1769, rel=0.02)

    assert wait_until(lambda: groups.is_frozen(group)), groups.read(group, "frozen")
    used = groups.cpu_time(group)
    time.sleep(1)
    assert groups.cpu_time(group) == used
    first, _, _ = platform.invoke("counter")
    assert wait_until(lambda: platform.invoke("counter")[0] > first)

    assert platform.stop() == 0
    assert wait_until(lambda: left_over() <= before), left_over() - before
    assert not any(tree.exists() for tree in groups.trees.values())


# The kernel's own count says that a hog was ended by its group's limit, whose peak it reached and did not pass.
def test_memory_ends_at_the_limit(fresh):
    platform = fresh()
    platform.deploy(
        "peak",
        textwrap.dedent(
            """
            def handler(event, context):
                hoard = [bytes([1]) * (1 << 20) for _ in range(event)]
                return len(hoard)
            """
        ),
        MemorySize=MEMORY_MIB,
    )
    assert platform.invoke("peak", 64)[0] == 64
    groups = Groups(platform)
    (group,) = groups.of_python(MEMORY_MIB)
    _, error, log = platform.invoke("peak", 2 * MEMORY_MIB)
    assert error == "Unhandled" and f"Max Memory Used: {MEMORY_MIB} MB" in log, log
    # It went with its instance.
    assert wait_until(lambda: group not in groups.of_python(MEMORY_MIB))
