"""A study of the real platform, from the command line to the report."""

import json
import os
import pathlib
import re
import signal
import subprocess

import pytest
from conftest import BINARY, left_over, wait_until

EXPERIMENTS = [
    "identity", "isolation", "hosts", "exposure", "coldstart", "scaling", "placement", "idle", "cpu", "consistency", "lifetime",
    "disk", "network",
    "accounting", "limits",
]
UNITS = {
    "s", "ms", "us", "MiB", "MiB/s", "Mbit/s", "fraction", "ratio", "count", "instances", "usd", "word", "bool",
}


def peek(*arguments, **options):
    return subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=600, **options)


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """A quick study of everything: its directory and what it printed."""
    before = left_over()
    out = tmp_path_factory.mktemp("study") / "out"
    done = peek("study", "--quick", "--seed", "7", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert wait_until(lambda: left_over() <= before), left_over() - before
    return out, done.stdout


@pytest.fixture(scope="module")
def findings(quick):
    return json.loads((quick[0] / "findings.json").read_text())


def found(findings, metric, **setting):
    """The finding of this metric and setting."""
    matching = [
        finding
        for finding in findings["findings"]
        if finding["metric"] == metric and setting.items() <= finding.get("setting", {}).items()
    ]
    assert matching, f"no finding {metric} {setting}; problems: {findings['problems']}"
    return matching[0]


# Findings keep the schema that others' checks rely on.
def test_schema(findings):
    assert findings["schema"] == 1
    assert findings["target"] == {"uri": "local", "kind": "local", "seed": 7}
    assert findings["instances_launched"] > 100
    for finding in findings["findings"]:
        assert finding["unit"] in UNITS, finding
        assert finding["experiment"] and finding["metric"] and finding["method"], finding
        if finding["value"] is None:
            assert any(it["experiment"] == finding["experiment"] for it in findings["problems"])
        ends = finding.get("ci95")
        if ends and None not in ends:
            assert ends[0] <= ends[1], finding


# The words of the study profile are found, and nothing else.
@pytest.mark.parametrize("metric", ["identity.host_id_source", "placement.policy"])
def test_words(findings, metric):
    finding = found(findings, metric)
    assert finding["value"] == finding["truth"], findings["problems"]


# How idle instances go is found by the clock: a busy machine may hide it, and then it is unknown, never another word.
def test_idle_policy(findings):
    finding = found(findings, "idle.policy")
    assert finding["value"] in (finding["truth"], "unknown"), finding
    limit = found(findings, "idle.max_idle_s")
    assert limit["truth"] == 6.0 and 0.9 * limit["truth"] < limit["value"] < 1.1 * limit["truth"]


# What the platform's own journal counted is what was found, exactly.
def test_realised_truth(findings):
    realised = [it for it in findings["findings"] if it.get("truth_kind") == "realised"]
    assert realised
    for finding in realised:
        assert finding["value"] == finding["truth"], finding


# Cold starts of every runtime are there, and dearer than warm ones.
def test_cold_and_warm(findings):
    runtimes = {
        it["setting"]["runtime"]
        for it in findings["findings"]
        if it["metric"] == "coldstart.latency_ms.p50"
    }
    assert "provided.al2023" in runtimes and any(it.startswith("python") for it in runtimes)
    for runtime in runtimes:
        cold = found(findings, "coldstart.latency_ms.p50", runtime=runtime)
        warm = found(findings, "warmstart.latency_ms.p50", runtime=runtime)
        assert 0 < warm["value"] < cold["value"]


# The report holds itself: nothing is loaded from elsewhere, and every plot and table is also a file.
def test_report(quick):
    out, printed = quick
    page = (out / "report.html").read_text()
    assert str(out / "report.html") in printed
    for experiment in EXPERIMENTS:
        assert experiment in page
    assert not re.search(r'(src|href)="https?://', page)
    assert list((out / "plots").glob("*.svg")) and list((out / "csv").glob("*.csv"))


# The report is drawn again from the records alone, to the same numbers.
def test_report_again(quick, findings):
    out, _ = quick
    (out / "findings.json").unlink()
    (out / "report.html").unlink()
    done = peek("report", str(out))
    assert done.returncode == 0, done.stderr
    assert json.loads((out / "findings.json").read_text()) == findings
    assert (out / "report.html").exists()


# A browser draws the report, on a desktop and on a phone, without a line that is wider than the screen.
@pytest.mark.parametrize("width", [1280, 390])
def test_report_in_a_browser(quick, width, tmp_path):
    browser = next(
        path for path in ("/usr/bin/chromium", "/usr/bin/chromium-browser") if os.path.exists(path)
    )
    page = tmp_path / "page.html"
    probe = "<script>document.title = 'width ' + document.documentElement.scrollWidth</script>"
    page.write_text((quick[0] / "report.html").read_text().replace("</body>", probe + "</body>"))
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--no-first-run",
         f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={max(width, 500)},2000",
         "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=120,
    )
    scroll = int(re.search(r"<title>width (\d+)</title>", done.stdout)[1])
    # Headless Chromium has no window narrower than 500.
    assert scroll <= max(width, 500)


# Ctrl-C leaves a directory that --resume finishes; no unit of work is done twice.
def test_resume(tmp_path):
    before = left_over()
    out = tmp_path / "out"
    command = [BINARY, "study", "--quick", "--experiments", "scaling,coldstart", "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert wait_until(lambda: list(out.glob("records/*/*.parquet")), 60)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "--resume" in said, said
    assert wait_until(lambda: left_over() <= before), left_over() - before
    first = {path: path.stat().st_mtime_ns for path in out.glob("records/*/*.parquet")}
    done = peek("study", "--resume", str(out))
    assert done.returncode == 0, done.stderr
    after = {path: path.stat().st_mtime_ns for path in out.glob("records/*/*.parquet")}
    assert first.items() <= after.items() and len(after) > len(first)
    assert (out / "report.html").exists()


# A study that is killed outright leaves no platform behind, and can be resumed all the same.
def test_killed(tmp_path):
    before = left_over()
    out = tmp_path / "out"
    command = [BINARY, "study", "--quick", "--experiments", "coldstart", "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert wait_until(lambda: list(out.glob("records/*/*.parquet")), 60)
    process.kill()
    process.wait()
    assert wait_until(lambda: left_over() <= before, 30), left_over() - before
    assert peek("study", "--resume", str(out)).returncode == 0


# The plan is known before anything is measured.
def test_dry_run():
    done = peek("study", "--dry-run")
    assert done.returncode == 0, done.stderr
    for name in EXPERIMENTS:
        assert re.search(rf"^{name} +\d+ +\d+ +\d+", done.stdout, re.M), done.stdout


# Experiments and targets have names, and wrong ones are refused with the right ones.
def test_names():
    listed = peek("study", "--list").stdout
    for name in [*EXPERIMENTS, "local", "aws:REGION"]:
        assert name in listed
    wrong = peek("study", "--experiments", "coldstarts")
    assert wrong.returncode == 1 and "coldstart" in wrong.stderr.replace("coldstarts", "")
    wrong = peek("study", "--target", "azure")
    assert wrong.returncode == 2 and "aws:REGION" in wrong.stderr
    wrong = peek("study", "--resume", "/nowhere")
    assert wrong.returncode == 1 and "/nowhere" in wrong.stderr


# Without root a study runs too, and says in its report what could not be enforced.
@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests run without root already")
def test_rootless(tmp_path):
    out = pathlib.Path("/tmp") / f"peek-rootless-{os.getpid()}"
    binary = pathlib.Path("/tmp") / f"peek-binary-{os.getpid()}"
    binary.write_bytes(pathlib.Path(BINARY).read_bytes())
    binary.chmod(0o755)
    out.mkdir()
    os.chown(out, 65534, 65534)
    try:
        done = subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", str(binary), "study",
             "--quick", "--experiments", "coldstart,scaling", "--out", str(out / "study")],
            capture_output=True, text=True, timeout=300,
            env={"PATH": "/usr/bin:/bin", "HOME": str(out)}, cwd=out,
        )
        assert done.returncode == 0, done.stderr
        study = json.loads((out / "study" / "study.json").read_text())
        assert any("memory" in it for it in study["limitations"]), study["limitations"]
        page = (out / "study" / "report.html").read_text()
        for limitation in study["limitations"]:
            assert limitation.split(":")[0][:40] in page.replace("&#39;", "'"), limitation
    finally:
        subprocess.run(["rm", "-rf", str(out), str(binary)], check=True)


# A busy port costs nothing and is one clear line.
def test_busy_port(tmp_path):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = peek("serve", "--listen", address, "--data", str(tmp_path / "data"))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and address in done.stderr and "--listen" in done.stderr


# The doctor says one line for each thing, and what to do about what is missing.
def test_doctor():
    done = peek("doctor")
    lines = done.stdout.splitlines()
    assert len(lines) >= 10
    for line in lines:
        assert line.startswith(("ok ", "lacking ", "fatal ")), line
        assert line.startswith("ok ") or "remedy:" in line, line


# Instances of the local target reach the study's sink where they have a network; elsewhere the finding is null with the reason.
def test_network_reaches_the_sink(findings):
    network = found(findings, "network.throughput_mbit_s", colevel=1)
    if os.geteuid() == 0:
        assert network["value"] and network["value"] > 1, findings["problems"]
    else:
        assert network["value"] is None
        assert any("no sink" in it["text"] for it in findings["problems"])
    disk = found(findings, "disk.throughput_mib_s", colevel=1)
    assert disk["value"] > 1


# Updates of code, memory, environment and role are found to be atomic: nothing outdated of all that was sent after the
# acknowledgement, as the profile says. The few rounds of this scale give no interval; the default's ten do.
def test_updates_are_found_atomic(findings):
    outdated = [it for it in findings["findings"] if it["metric"] == "consistency.outdated_fraction"]
    assert {it["setting"]["kind"] for it in outdated} == {"code", "memory", "env", "role"}
    for finding in outdated:
        assert (finding["value"], finding["truth"]) == (0, 0), finding
        assert finding["n"] > 0
        assert finding["ci95"] is None or finding["ci95"][0] == 0 < finding["ci95"][1] < 1, finding
