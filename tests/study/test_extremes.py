"""Each metric at both ends: two emulated platforms of which one has little of everything and the other much, measured and judged.

The judge is that of `peek calibrate`. What is found is also held against the numbers written here, so that a judge which was
told something else would be noticed.
"""

import json
import subprocess

import pytest
from conftest import BINARY, ROOT

AWS = "".join(line for line in (ROOT / "profiles" / "aws-2018.toml").open() if not line.startswith("#"))

# What the profile says, and what it says of a platform with little and of one with much.
CHANGES = [
    ("memory_mib = 3328\n", "memory_mib = 1664\n", "memory_mib = 13312\n"),
    ('sharing = "per_tenant"', 'sharing = "per_tenant"', 'sharing = "shared"'),
    (
        'policy = "halving"\ninterval_s = 300.0\nfloor = 2\nlimit_s = 1620.0',
        'policy = "fixed"\nlimit_s = 80.0',
        'policy = "halving"\ninterval_s = 1500.0\nfloor = 2\nlimit_s = 6300.0',
    ),
    ("lifetime_cap_s = 29880.0", "lifetime_cap_s = 7000.0", "lifetime_cap_s = 80000.0"),
    ('lifetime = "lognormal"\nlifetime_median_s = 22320.0\nlifetime_sigma = 0.18\n', "", ""),
    (
        "[updates]\nwindow_s = 6.0\nreuse_chance = 0.018\nstart_chance = 0.0204\n",
        "",
        "[updates]\nwindow_s = 5.0\nreuse_chance = 0.95\nstart_chance = 0.9\n",
    ),
    ("full_mib = 1664", "full_mib = 3300", "full_mib = 640"),
    ("[limits]\n", "[scaling]\nmax_instances = 60\n[limits]\n", "[limits]\n"),
    ("account_concurrency = 1000", "account_concurrency = 400", "account_concurrency = 3000"),
    ("timeout_max_s = 300.0", "timeout_max_s = 240.0", "timeout_max_s = 900.0"),
    ("memory_max_mib = 1536", "memory_max_mib = 1024", "memory_max_mib = 10240"),
    ('grain_ms = 100.0\ninit = "free"', 'grain_ms = 1.0\ninit = "billed"', 'grain_ms = 100.0\ninit = "free"'),
    (
        "out = { median_ms = 0.5, sd_ms = 0.2, min_ms = 0.25, max_ms = 20.0 }\n"
        "back = { median_ms = 0.5, sd_ms = 0.2, min_ms = 0.25, max_ms = 20.0 }",
        "out = { median_ms = 0.1, sd_ms = 0.02, min_ms = 0.05, max_ms = 2.0 }\n"
        "back = { median_ms = 0.1, sd_ms = 0.02, min_ms = 0.05, max_ms = 2.0 }",
        "out = { median_ms = 60.0, sd_ms = 5.0, min_ms = 50.0, max_ms = 200.0 }\n"
        "back = { median_ms = 60.0, sd_ms = 5.0, min_ms = 50.0, max_ms = 200.0 }",
    ),
    (
        "median_ms = 24.5, sd_ms = 12.0, min_ms = 15.0",
        "median_ms = 2.0, sd_ms = 0.5, min_ms = 1.0",
        "median_ms = 400.0, sd_ms = 40.0, min_ms = 300.0",
    ),
    (
        "median_ms = 171.0, sd_ms = 60.0, min_ms = 135.0",
        "median_ms = 12.0, sd_ms = 3.0, min_ms = 8.0",
        "median_ms = 1500.0, sd_ms = 200.0, min_ms = 1200.0",
    ),
    (
        "serial_ms = 59.7\npackage_ms_per_mib = 10.0",
        "serial_ms = 0.0\npackage_ms_per_mib = 0.0",
        "serial_ms = 200.0\npackage_ms_per_mib = 40.0",
    ),
    (
        "write_mib_s = 80.0\nread_mib_s = 120.0",
        "write_mib_s = 10.0\nread_mib_s = 15.0",
        "write_mib_s = 1200.0\nread_mib_s = 2000.0",
    ),
    ("mbit_s = 560.0", "mbit_s = 60.0", "mbit_s = 9000.0"),
    ('instance_root_id = "host"', 'instance_root_id = "nothing"', 'instance_root_id = "host"'),
    ("for_s = 0.0", "for_s = 0.0", "for_s = 4.0"),
    ("offset_ms = 1.5", "offset_ms = -2000.0", "offset_ms = 2000.0"),
    ("payload_mib = 6.0\ndisk_mib = 512", "payload_mib = 1.0\ndisk_mib = 256", "payload_mib = 12.0\ndisk_mib = 2048"),
]

# What is then true of each: of a metric, at a setting if it has several.
TRUE = [
    ("identity.host_id_source", "", "boot_id", "instance_root_id"),
    ("isolation.cross_tenant_coresident", "", 0, 1),
    ("placement.policy", "", "bin_pack", "bin_pack"),
    ("placement.host_memory_mib", "", 1664, 13312),
    ("placement.max_colevel", "memory_mib 128", 1664 // 128, 13312 // 128),
    ("scaling.max_concurrent_instances", "", 60, 200),
    ("idle.policy", "", "fixed", "halving"),
    ("idle.first_loss_s", "python2.7", 80, 6300),
    ("idle.max_idle_s", "python2.7", 80, 6300),
    ("idle.busy_host_max_idle_s", "", 80, 6300),
    ("lifetime.max_s", "interval_s 30.0", 7000, 80000),
    ("cpu.share", "memory_mib 128", 128 / 3300, 128 / 640),
    ("disk.throughput_mib_s", "colevel 1, memory_mib 128", 10, 1200),
    ("network.throughput_mbit_s", "colevel 1, memory_mib 128", 60, 9000),
    ("consistency.outdated_fraction", "code", 0, 0.95),
    ("consistency.safe_wait_s", "", 0, 6),
    ("accounting.background_s", "", 0, 4),
    ("limits.memory_mib", "", 1024, 10240),
    ("limits.timeout_s", "", 240, 900),
    ("limits.payload_mib", "", 1, 12),
    ("limits.disk_mib", "", 256, 2048),
    ("clock.offset_ms", "", -2000, 2000),
    ("coldstart.package_extra_ms", "package_mib 20", 0, 800),
    ("coldstart.overhead_ms.p50", 'memory_mib 128, runtime "python2.7"', 12, 1500 + 60),
    ("warmstart.overhead_ms.p50", "python2.7", 2 + 0.2, 400 + 120),
]

# An answer is found where it is off by no more than a tenth; of nothing, by no more than milliseconds.
WITHIN = 0.10
NOTHING = 5.0

# What the default scale cannot know there: who never meets has no number of attempts, on hosts that hold a whole burst nobody
# is apart, and a dozen rounds hide 20 ms in latencies that vary by 200.
UNKNOWN = {
    "isolation.attempts_to_coreside",
    "identity.coresidency_specificity",
    "coldstart.first_code_extra_ms",
    "coldstart.new_host_extra_ms",
}


def peek(*arguments):
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module", params=[1, 2], ids=["little", "much"])
def judged(request, tmp_path_factory):
    """Which of both it is, and its findings by metric."""
    directory = tmp_path_factory.mktemp("extremes")
    text = AWS
    for change in CHANGES:
        assert change[0] in text, change
        text = text.replace(change[0], change[request.param], 1)
    (directory / "platform.toml").write_text(text)
    done = peek("study", "--target", f"emulated:{directory / 'platform.toml'}", "--seed", 1, "--out", directory / "out")
    assert done.returncode == 0, done.stderr
    judge = peek("calibrate", "--json", "--study", directory / "out")
    assert judge.returncode == 0, judge.stdout + judge.stderr
    (study,) = json.loads(judge.stdout)
    return request.param, study["findings"]


# Nothing is wrong, and all but what cannot be known there is known.
def test_nothing_is_wrong(judged):
    _, findings = judged
    assert not [row for row in findings if row["verdict"] == "wrong"]
    assert {row["metric"] for row in findings if row["verdict"] == "unknown"} <= UNKNOWN
    assert len({row["metric"] for row in findings}) >= 60


# What was found is what the platform was told to be.
@pytest.mark.parametrize(("metric", "setting", "little", "much"), TRUE)
def test_truth_is_found(judged, metric, setting, little, much):
    which, findings = judged
    true = (little, much)[which - 1]
    rows = [row for row in findings if row["metric"] == metric and setting in row["setting"]]
    assert rows, metric
    for found in (row["found"] for row in rows):
        if isinstance(true, str):
            assert found == true
        else:
            assert abs(found - true) <= (WITHIN * abs(true) or NOTHING), (metric, found)


# Of pools that shrink, how fast: there are none where a single limit ends all.
def test_halving_is_found(judged):
    which, findings = judged
    found = [row["found"] for row in findings if row["metric"] == "idle.halving_interval_s"]
    assert len(found) == which - 1
    assert all(abs(it - 1500) <= WITHIN * 1500 for it in found)
