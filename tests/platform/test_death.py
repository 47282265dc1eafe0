"""Whatever ends the server, nothing acknowledged is lost and nothing stray is left."""

import os
import pathlib
import re
import signal
import threading
import time

import pytest
from conftest import Platform, left_over, wait_until

GOOD = "import time\ndef handler(event, context):\n    time.sleep(event or 0)\n    return 'well'"


# SIGTERM ends the server, its instances and everything they held.
def test_a_stop_leaves_nothing(fresh):
    before = left_over()
    platform = fresh()
    platform.deploy("f", GOOD)
    assert platform.invoke("f")[0] == "well"
    assert platform.stop() == 0
    assert wait_until(lambda: left_over() <= before), left_over() - before


# kill -9 at any point: the catalog is whole, strays are gone, the port answers.
@pytest.mark.parametrize("wait_s", [0.0, 0.02, 0.2])
def test_a_kill_loses_nothing(fresh, wait_s):
    before = left_over()
    platform = fresh()
    platform.deploy("kept", GOOD)
    busy = [threading.Thread(target=quietly, args=(platform, "kept", 5)) for _ in range(5)]
    for thread in busy:
        thread.start()
    acknowledged = []
    deploying = threading.Thread(target=deploy_until_dead, args=(platform, acknowledged))
    deploying.start()
    time.sleep(wait_s + 0.1)
    platform.kill()
    for thread in [*busy, deploying]:
        thread.join()
    platform.start()
    names = {
        function["FunctionName"]
        for page in platform.client.get_paginator("list_functions").paginate()
        for function in page["Functions"]
    }
    assert {"kept", *acknowledged} <= names
    for name in ["kept", *acknowledged]:
        assert platform.invoke(name)[0] == "well"
    assert platform.stop() == 0
    assert wait_until(lambda: left_over() <= before), left_over() - before


# A second server on the same data is refused, and the first goes on.
def test_one_server_for_one_data_directory(fresh):
    platform = fresh()
    with pytest.raises(RuntimeError, match="ended with"):
        Platform(platform.data)
    platform.deploy("f", GOOD)
    assert platform.invoke("f")[0] == "well"


# A starter that dies is noticed at once: what it ran fails, not by the function's fault, and another comes unasked.
def test_a_dead_starter_is_replaced(fresh):
    before = left_over()
    platform = fresh()
    platform.deploy("idle", GOOD)
    platform.deploy("busy", GOOD)
    assert platform.invoke("idle")[0] == "well"
    failed = []
    busy = threading.Thread(target=lambda: failed.append(failure(platform, "busy", 20)))
    busy.start()
    time.sleep(1.5)
    starter = starter_of(platform)
    began = time.monotonic()
    os.kill(starter, signal.SIGKILL)
    busy.join()
    assert failed == ["ServiceException"]
    assert time.monotonic() - began < 5
    assert wait_until(lambda: starter_of(platform) not in (None, starter))
    assert platform.invoke("idle")[0] == "well"
    assert platform.invoke("busy")[0] == "well"
    assert platform.stop() == 0
    assert wait_until(lambda: left_over() <= before), left_over() - before


def starter_of(platform):
    """Process id of a server's starter; None while there is none."""
    for entry in pathlib.Path("/proc").iterdir():
        try:
            parent = re.search(r"PPid:\s+(\d+)", (entry / "status").read_text())[1]
            command = (entry / "cmdline").read_bytes().split(b"\0")
        except (OSError, TypeError):  # no process, or no longer one
            continue
        if int(parent) == platform.process.pid and b"starter" in command:
            return int(entry.name)
    return None


def failure(platform, name, event):
    """Code of the error that an invocation ends with; None where it does not."""
    try:
        platform.invoke(name, event)
    except platform.client.exceptions.ClientError as error:
        return error.response["Error"]["Code"]
    return None


def quietly(platform, name, event):
    try:
        platform.invoke(name, event)
    except Exception:  # the connection breaks with the server
        pass


def deploy_until_dead(platform, acknowledged):
    for number in range(1000):
        try:
            platform.deploy(f"f{number}", GOOD)
        except Exception:  # the connection breaks with the server
            return
        acknowledged.append(f"f{number}")
