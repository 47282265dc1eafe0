"""A platform whose idle rule changes in mid-study: found as it then was, or unknown, and never as it no longer is."""

import json
import subprocess

import pytest
from conftest import BINARY, ROOT

AWS = "".join(line for line in (ROOT / "profiles" / "aws-2018.toml").open() if not line.startswith("#"))

HALVING = 'policy = "halving"\ninterval_s = 300.0\nfloor = 2\nlimit_s = 1620.0\n'
BY_CHANCE = 'policy = "memoryless"\nmean_s = 900.0\n'
NONE = 'policy = "none"\n'

# Idle instances are searched until about 7,200 s after the beginning, and watched until about 9,600 s.
BEFORE, WITHIN, AFTER = 1.0, 3_000.0, 20_000.0


def word(rule, at_s, directory):
    """What the default study says of a platform that keeps instances by this rule, and for 3,000 s from that moment on."""
    assert HALVING in AWS
    change = f"[emulated.change]\nat_s = {at_s}\nidle_limit_s = 3000.0\n[emulated.control]"
    (directory / "platform.toml").write_text(AWS.replace(HALVING, rule).replace("[emulated.control]", change))
    target = f"emulated:{directory / 'platform.toml'}"
    command = [BINARY, "study", "--target", target, "--experiments", "idle", "--seed", "1", "--out", directory / "out"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    findings = json.loads((directory / "out" / "findings.json").read_text())["findings"]
    (found,) = [finding["value"] for finding in findings if finding["metric"] == "idle.policy"]
    return found


@pytest.mark.parametrize(
    ("rule", "at_s", "words"),
    [
        (HALVING, BEFORE, {"fixed"}),
        (BY_CHANCE, BEFORE, {"fixed"}),
        (HALVING, WITHIN, {"fixed", "unknown"}),
        (BY_CHANCE, WITHIN, {"unknown"}),
        (NONE, WITHIN, {"unknown"}),
        (HALVING, AFTER, {"halving"}),
        (BY_CHANCE, AFTER, {"random"}),
    ],
)
def test_words_are_of_the_moment(rule, at_s, words, tmp_path):
    assert word(rule, at_s, tmp_path) in words
