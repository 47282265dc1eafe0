"""Placement by contention on this machine: what hosts are busy with is measured, and shunned."""

import pathlib
import textwrap
import threading
import time

from conftest import ROOT

PROFILE = ROOT / "profiles" / "study.toml"

POLICY = """policy = "least_contention"
max_hosts = 4
# Low, since this machine may be busy with something else.
load_limit = 0.1
memory_weight = 1.0
cpu_weight = 1.0
disk_weight = 1.0
network_weight = 1.0
disk_mib_s = 200.0
network_mbit_s = 1000.0
"""

CODE = textwrap.dedent(
    """
    import time
    def handler(event, context):
        end = time.monotonic() + (event or {}).get("busy_s", 0)
        while time.monotonic() < end:
            pass
        return open("/proc/sys/kernel/random/boot_id").read()
    """
)


# A function keeps its host busy. New instances, which bin-packing would put beside it, go to another host; when it is done,
# its host is as good as any other.
def test_busy_hosts_are_shunned(fresh, tmp_path):
    text = PROFILE.read_text()
    assert text.count('policy = "bin_pack"\n') == 1
    profile = pathlib.Path(tmp_path / "apart.toml")
    profile.write_text(text.replace('policy = "bin_pack"\n', POLICY))
    platform = fresh("--profile", str(profile))
    names = [f"f{number}" for number in range(12)]
    for name in names:
        platform.deploy(name, CODE)
    host, error, _ = platform.invoke("f0")
    assert error is None, host
    answers = []
    busy = threading.Thread(target=lambda: answers.append(platform.invoke("f0", {"busy_s": 8})))
    busy.start()
    # A start counts until it is measured; this is longer, so that what is measured decides.
    busy.join(3)
    others = [platform.invoke(name)[0] for name in names[1:3]]
    assert busy.is_alive(), "it was busy all the time"
    assert host not in others, "new instances go elsewhere"
    busy.join()
    assert answers[0][0] == host, "it was on its host"
    for name in names[3:]:
        # Two measurements see that it is over.
        time.sleep(0.5)
        if platform.invoke(name)[0] == host:
            return
    raise AssertionError("what is over counts no more")
