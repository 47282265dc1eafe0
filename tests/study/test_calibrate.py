"""The instrument's own score: experiments on random platforms of known truth."""

import csv
import json
import subprocess

import pytest
from conftest import BINARY

# As many as fit in five minutes of two cores. The seed is fixed, and the same seeds give the same score: what is met here is
# met on every machine.
PROFILES = 100
SEED = 1


def calibrate(*arguments):
    command = [BINARY, "calibrate", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=1500)


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    out = tmp_path_factory.mktemp("score")
    done = calibrate("--profiles", PROFILES, "--seed", SEED, "--json", "--out", out)
    assert done.stdout, done.stderr
    return done, json.loads(done.stdout), out


def told(metric, out):
    """What is not met, on which platforms, and how to measure each of them again."""
    with open(out / "judged.csv") as lines:
        rows = [row for row in csv.DictReader(lines) if row["metric"] == metric["metric"]]
    culprits = [row for row in rows if row["wrong"] == "true" or row["covered"] == "false"]
    if not culprits:
        culprits = [row for row in rows if row["knowable"] == "yes" and not row["found"]]
    if not culprits:
        culprits = [row for row in rows if int(row["seed"]) == metric["worst"]["seed"]]
    seeds = sorted({int(row["seed"]) for row in culprits})
    lines = [f"{metric['metric']}: {'; '.join(metric['unmet'])}"]
    return "\n".join(lines + [f"  peek calibrate --profiles 1 --seed {seed} --out again" for seed in seeds])


# Every metric meets its criterion; the status says whether any does not. Where one does not, the platforms that were wrong are
# named by their seeds.
def test_criteria(scored):
    done, score, out = scored
    unmet = [told(metric, out) for metric in score["metrics"] if not metric["met"]]
    assert not unmet, "\n" + "\n".join(unmet)
    assert done.returncode == 0
    assert score["profiles"] == PROFILES
    assert len(score["metrics"]) >= 80


# The directory has every judgement, every platform's profile, and the same score.
def test_out(scored):
    _, score, out = scored
    assert json.loads((out / "score.json").read_text()) == score
    with open(out / "judged.csv") as lines:
        seeds = {int(row["seed"]) for row in csv.DictReader(lines)}
    assert seeds == set(range(SEED, SEED + PROFILES))
    checked = subprocess.run([BINARY, "profile", "check", out / "random-7.toml"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


# The same seeds give the same score, however the platforms are shared out over threads.
def test_again():
    first, second = (calibrate("--profiles", 6, "--seed", 40, "--json") for _ in range(2))
    assert first.stdout == second.stdout
    assert json.loads(first.stdout)["profiles"] == 6


# What is told of a metric that is not met has the seed of each platform that was wrong, and the line that measures it again.
def test_seeds_are_told(tmp_path):
    head = "seed,metric,setting,class,knowable,found,truth,low,high,ci_method,error,covered,wrong\n"
    rows = ["7,idle.policy,,word,yes,fixed,random,,,,,,true", "8,idle.policy,,word,yes,fixed,fixed,,,,,,false"]
    (tmp_path / "judged.csv").write_text(head + "\n".join(rows))
    metric = {"metric": "idle.policy", "unmet": ["1 of 2 are wrong"], "worst": None}
    said = told(metric, tmp_path)
    assert said.splitlines() == ["idle.policy: 1 of 2 are wrong", "  peek calibrate --profiles 1 --seed 7 --out again"]
