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
    ("account_concurrency = 1000", "account_concurrency = 400", "account_concurrency = 3000"),
    ("timeout_max_s = 300.0", "timeout_max_s = 60.0", "timeout_max_s = 900.0"),
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
    ("median_ms = 24.5, sd_ms = 12.0, min_ms = 15.0", "median_ms = 2.0, sd_ms = 0.5, min_ms = 1.0", "median_ms = 400.0, sd_ms = 40.0, min_ms = 300.0"),
    ("median_ms = 171.0, sd_ms = 60.0, min_ms = 135.0", "median_ms = 12.0, sd_ms = 3.0, min_ms = 8.0", "median_ms = 1500.0, sd_ms = 200.0, min_ms = 1200.0"),
    ("serial_ms = 59.7\npackage_ms_per_mib = 10.0", "serial_ms = 0.0\npackage_ms_per_mib = 0.0", "serial_ms = 200.0\npackage_ms_per_mib = 40.0"),
    ("write_mib_s = 80.0\nread_mib_s = 120.0", "write_mib_s = 10.0\nread_mib_s = 15.0", "write_mib_s = 1200.0\nread_mib_s = 2000.0"),
    ("mbit_s = 560.0", "mbit_s = 60.0", "mbit_s = 9000.0"),
    ("instance_root_id = \"host\"\n", "instance_root_id = \"nothing\"\n", "instance_root_id = \"host\"\n"),
    ("for_s = 0.0", "for_s = 0.0", "for_s = 4.0"),
    ("offset_ms = 1.5", "offset_ms = -2000.0", "offset_ms = 2000.0"),
    ("payload_mib = 6.0\ndisk_mib = 512", "payload_mib = 1.0\ndisk_mib = 256", "payload_mib = 12.0\ndisk_mib = 2048"),
]
