"""Profiles from the command line: listed, explained, refused with their line."""

import subprocess

import pytest
from conftest import BINARY, ROOT

AWS = (ROOT / "profiles" / "aws-2018.toml").read_text()


def profile(*arguments):
    return subprocess.run([BINARY, "profile", *map(str, arguments)], capture_output=True, text=True, timeout=60)


# Each profile that is listed is explained in words that begin with its name.
def test_list():
    listed = profile("list")
    assert listed.returncode == 0, listed.stderr
    names = [line.split()[0] for line in listed.stdout.splitlines() if line.startswith("  ")]
    assert {"aws-2018", "local", "study"} <= set(names)
    for name in names:
        checked = profile("check", name)
        assert checked.returncode == 0, checked.stderr
        assert checked.stdout.startswith(f"{name}: ")


# A file of one's own is explained as it is.
def test_file(tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text(AWS.replace("limit_s = 1620.0", "limit_s = 60.0"))
    checked = profile("check", mine)
    assert checked.returncode == 0, checked.stderr
    assert "these after 60.0 s" in checked.stdout


# What is wrong is told with line, key and limit, or with the name that is near; nothing is printed as a result.
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("lost_reply = 0.0", "lost_reply = 2.0", "emulated.faults.lost_reply is 2, must be from 0 to 1"),
        ("overcommit =", "overcomit =", "`overcomit` is not known, `overcommit` is near"),
        ('policy = "halving"', 'policy = "halfing"', "`halfing` is not known, `halving` is near"),
        ("[emulated.disk]", "[emulated.disc]", "`disc` is not known, `disk` is near"),
        ("floor = 2", "", "keep_alive.floor is missing, keep_alive.policy halving needs it"),
    ],
)
def test_wrong_files(tmp_path, old, new, said):
    mine = tmp_path / "mine.toml"
    mine.write_text(AWS.replace(old, new, 1))
    line = AWS[: AWS.index(old)].count("\n") + 1
    checked = profile("check", mine)
    assert checked.returncode == 1
    assert checked.stdout == ""
    assert said in checked.stderr
    if new:
        assert f"line {line}: " in checked.stderr


# A name that is none says which is near, and a file that is not there says so.
def test_wrong_names(tmp_path):
    assert 'there is no profile "aws-2017", "aws-2018" is near' in profile("check", "aws-2017").stderr
    assert "cannot read profile" in profile("check", tmp_path / "absent.toml").stderr
