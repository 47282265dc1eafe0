"""The instrument's own score: experiments on random platforms of known truth."""

import csv
import json
import subprocess

import pytest
from conftest import BINARY

# As many as fit in five minutes of two cores.
PROFILES = 100

# Criteria that are not met yet: the specification says by how much.
NOT_MET_YET = set()


def calibrate(*arguments):
    command = [BINARY, "calibrate", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=1500)


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    out = tmp_path_factory.mktemp("score")
    done = calibrate("--profiles", PROFILES, "--seed", 1, "--json", "--out", out)
    assert done.stdout, done.stderr
    return done, json.loads(done.stdout), out


# Every metric meets its criterion but those that are known not to; the status says whether any does not.
def test_criteria(scored):
    done, score, _ = scored
    unmet = {metric["metric"]: metric["unmet"] for metric in score["metrics"] if not metric["met"]}
    assert set(unmet) <= NOT_MET_YET, unmet
    assert done.returncode == (1 if unmet else 0)
    assert score["profiles"] == PROFILES
    assert len(score["metrics"]) >= 80


# The directory has every judgement, every platform's profile, and the same score.
def test_out(scored):
    _, score, out = scored
    assert json.loads((out / "score.json").read_text()) == score
    with open(out / "judged.csv") as lines:
        seeds = {int(row["seed"]) for row in csv.DictReader(lines)}
    assert seeds == set(range(1, PROFILES + 1))
    checked = subprocess.run([BINARY, "profile", "check", out / "random-7.toml"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


# The same seeds give the same score, however the platforms are shared out over threads.
def test_again():
    first, second = (calibrate("--profiles", 6, "--seed", 40, "--json") for _ in range(2))
    assert first.stdout == second.stdout
    assert json.loads(first.stdout)["profiles"] == 6
