"""Run on another machine, or in another system's root, as root: that `peek` measures itself there and leaves nothing.

Uses what every Python 3 has. Arguments: the binary, a directory for the study, experiments.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import time

SERVER_GROUP = re.compile(r"peek-[0-9a-f]{8}")


def left_over():
    """Control groups and mounts of platforms that have ended; those of one that lives hold its processes."""
    left = set()
    for top, folders, _ in os.walk("/sys/fs/cgroup"):
        left |= {os.path.join(top, it) for it in folders if SERVER_GROUP.fullmatch(it)}
    with open("/proc/self/mountinfo") as mounts:
        strays = {line for line in mounts if SERVER_GROUP.search(line)}
    return strays | {group for group in left if not processes(group)}


def processes(group):
    """The processes in a group and those below it."""
    found = []
    for top, _, files in os.walk(group):
        if "cgroup.procs" in files:
            try:
                found += pathlib.Path(top, "cgroup.procs").read_text().split()
            except OSError:  # it went meanwhile
                pass
    return found


def gone(before):
    """What is left and was not there before, once it has had time to go."""
    for _ in range(100):
        left = left_over() - before
        if not left:
            break
        time.sleep(0.1)
    return left


def run(*command):
    print("+", " ".join(command), flush=True)
    return subprocess.run(command, check=True)


def main(binary, out, experiments):
    before = left_over()
    run(binary, "doctor")
    run(binary, "study", "--quick", "--seed", "7", "--experiments", experiments, "--out", out)
    findings = json.loads((pathlib.Path(out) / "findings.json").read_text())
    # As root, control groups and loop devices limit everything, whatever their version.
    said = json.loads((pathlib.Path(out) / "study.json").read_text())["limitations"]
    assert not [it for it in said if "limited" in it or "/tmp is memory" in it], said
    by_metric = {}
    for finding in findings["findings"]:
        by_metric.setdefault(finding["metric"], []).append(finding)
    for finding in by_metric["failures.fraction"]:
        assert finding["value"] == 0, finding
    for source in by_metric.get("identity.host_id_source", []):
        assert source["value"] == source["truth"] == "boot_id", source
    assert "identity.host_id_source" in by_metric, findings["problems"]
    runtimes = {it["setting"]["runtime"] for it in by_metric.get("coldstart.latency_ms.p50", [])}
    if "coldstart" in experiments:
        own = f"python3.{sys.version_info.minor}"
        assert {"provided.al2023", own} <= runtimes, (own, runtimes)
        for finding in by_metric["coldstart.latency_ms.p50"]:
            assert finding["value"] is not None, finding
    for finding in findings["findings"]:
        if finding.get("truth_kind") == "realised":
            assert finding["value"] == finding["truth"], finding
    assert not gone(before), left_over() - before
    print("inside: all is well", sorted(runtimes), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
