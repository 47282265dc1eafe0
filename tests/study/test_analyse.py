"""Other people's measurements, from their table to findings and a report."""

import csv
import json
import subprocess

import pytest
from conftest import BINARY

MAP = """
kind = "latencies"
[columns]
latency = "ms"
cold = "cold"
instance = "id"
[constants]
runtime = "python3.8"
memory_mib = 256
"""


def analyse(*arguments):
    return subprocess.run([BINARY, "analyse", *map(str, arguments)], capture_output=True, text=True, timeout=120)


@pytest.fixture
def table(tmp_path):
    """200 instances with a cold and a warm row each, and one row that is none."""
    path = tmp_path / "rows.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "cold", "ms"])
        for number in range(200):
            rows.writerow([f"i{number}", "true", 250 + number])
            rows.writerow([f"i{number}", "false", 20])
        rows.writerow(["i200", "true", "soon"])
    (tmp_path / "map.toml").write_text(MAP)
    return path


# Findings are those of the rows, the row that cannot be read is named with its line, and a report is left.
def test_analyse(table, tmp_path):
    out = tmp_path / "out"
    done = analyse("--map", tmp_path / "map.toml", table, "--json", "--out", out)
    assert done.returncode == 0, done.stderr
    assert 'line 402: latency is "soon", must be a number of ms' in done.stderr
    findings = json.loads(done.stdout)
    found = {finding["metric"]: finding for finding in findings["findings"]}
    assert found["coldstart.latency_ms.p50"]["value"] == 349.5
    assert found["warmstart.latency_ms.p50"]["value"] == 20
    assert found["coldstart.latency_ms.p50"]["setting"] == {"runtime": "python3.8", "memory_mib": 256}
    assert any("line 402" in problem["text"] for problem in findings["problems"])
    assert json.loads((out / "findings.json").read_text()) == findings
    assert "Cold and warm start" in (out / "report.html").read_text()


# The report can be drawn again from what was left.
def test_report_again(table, tmp_path):
    out = tmp_path / "out"
    assert analyse("--map", tmp_path / "map.toml", table, "--out", out).returncode == 0
    before = (out / "report.html").read_text()
    (out / "report.html").unlink()
    subprocess.run([BINARY, "report", str(out)], check=True, capture_output=True)
    assert (out / "report.html").read_text() == before


# Wrong maps and tables are one line with what to change.
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace('"ms"', '"milliseconds"'), "no column"),
        (lambda text: text.replace("latency =", "latensy ="), "latensy"),
        (lambda text: text.replace('cold = "cold"\n', "").replace('instance = "id"\n', ""), "columns.cold"),
    ],
)
def test_wrong_map(table, tmp_path, change, said):
    path = tmp_path / "map.toml"
    path.write_text(change(MAP))
    done = analyse("--map", path, table)
    assert done.returncode == 1
    assert said in done.stderr and done.stderr.startswith("peek: "), done.stderr


# Nothing readable is an error, never an empty report.
def test_nothing_readable(tmp_path):
    (tmp_path / "map.toml").write_text(MAP)
    (tmp_path / "rows.csv").write_text("id,cold,ms\na,true,never\n")
    done = analyse("--map", tmp_path / "map.toml", tmp_path / "rows.csv", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "none of 1 rows could be read" in done.stderr
    assert not (tmp_path / "out").exists()
