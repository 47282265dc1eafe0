"""What belongs to an installation: completions, manual pages, the unit, the package, the version."""

import json
import os
import pathlib
import shutil
import subprocess

import pytest

from conftest import BINARY, ROOT, Platform, left_over, wait_until

from .conftest import run


def need(program):
    """The path of a program that `./run test` installs."""
    return shutil.which(program) or pytest.fail(f"no {program}: ./run test installs it")


def complete(words, tmp_path):
    """What a real bash offers after these words."""
    script = tmp_path / "peek.bash"
    script.write_text(run("completions", "bash").stdout)
    line = (
        f"source {script}; COMP_WORDS=({' '.join(words[:-1])} '{words[-1]}'); COMP_CWORD={len(words) - 1}; "
        f"_peek peek '{words[-1]}' '{words[-2]}'; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    done = subprocess.run(["bash", "--norc", "-c", line], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


# A real bash completes commands, commands of commands, flags and values with the script that is printed.
def test_bash_completes(tmp_path):
    assert "serve" in complete(["peek", "se"], tmp_path)
    assert complete(["peek", "fn", "dep"], tmp_path) == ["deploy"]
    assert "--tls-self-signed" in complete(["peek", "serve", "--tls"], tmp_path)
    assert set(complete(["peek", "fn", "ls", "--output", ""], tmp_path)) == {"text", "json"}


# The scripts for other shells are ones that these read, where they are there.
@pytest.mark.parametrize("shell, check", [("zsh", ["-n"]), ("fish", ["--no-execute"])])
def test_other_shells_read_theirs(shell, check, tmp_path):
    script = tmp_path / shell
    script.write_text(run("completions", shell).stdout)
    assert "tls-self-signed" in script.read_text()
    if program := shutil.which(shell):
        done = subprocess.run([program, *check, script], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


# There is a manual page for each command, which groff sets without a complaint.
def test_manual_pages(tmp_path):
    assert run("man", "--out", tmp_path).returncode == 0
    pages = {page.name for page in tmp_path.iterdir()}
    assert {"peek.1", "peek-serve.1", "peek-fn-deploy.1", "peek-dev.1"} <= pages and "peek-starter.1" not in pages
    for page in pages:
        done = subprocess.run(
            [need("groff"), "-man", "-Tutf8", "-ww", tmp_path / page], capture_output=True, text=True
        )
        assert done.returncode == 0 and done.stderr == "", done.stderr
    assert ".TH peek-serve 1" in run("man", "serve").stdout
    assert run("man", "nonsense").returncode == 1


# The unit is one that systemd takes, starts this program, and delegates control groups.
def test_unit(tmp_path):
    unit = run("unit").stdout
    assert f"ExecStart={BINARY} serve" in unit
    for setting in ("Delegate=yes", "KillMode=mixed", "StateDirectory=peek", "LimitNOFILE="):
        assert setting in unit
    if program := shutil.which("systemd-analyze"):
        (tmp_path / "peek.service").write_text(unit)
        done = subprocess.run([program, "verify", "--man=no", tmp_path / "peek.service"], capture_output=True, text=True)
        said = [line for line in done.stderr.splitlines() if "peek.service" in line]
        assert said == [], done.stderr


# The version says what this program is, for people and for programs.
def test_version():
    it = json.loads(run("version", "--json").stdout)
    assert it["version"] == run("--version").stdout.split()[1]
    assert it["target"].endswith("-linux-gnu") and {"serve", "tls"} <= set(it["features"]) and "commit" in it


# The package installs into an empty system and goes from it without leaving anything but what is to be kept.
def test_package(tmp_path):
    command, quick = [ROOT / "packaging" / "deb.sh", BINARY], {**os.environ, "COMPRESSION": "gzip"}
    made = subprocess.run([*command, tmp_path], capture_output=True, text=True, env=quick)
    assert made.returncode == 0, made.stderr
    package = pathlib.Path(made.stdout.strip())
    root = tmp_path / "root"
    for folder in ("var/lib/dpkg/info", "var/lib/dpkg/updates"):
        (root / folder).mkdir(parents=True)
    for file in ("status", "available"):
        (root / "var/lib/dpkg" / file).touch()
    dpkg = ["dpkg", f"--root={root}", f"--log={tmp_path}/log", "--force-depends", "--force-script-chrootless"]
    files = subprocess.run(["dpkg", "-c", package], capture_output=True, text=True).stdout
    for file in (
        "./usr/bin/peek", "./usr/lib/systemd/system/peek.service", "./etc/peek/peek.toml",
        "./usr/share/man/man1/peek-serve.1.gz", "./usr/share/bash-completion/completions/peek",
        "./usr/share/zsh/vendor-completions/_peek", "./usr/share/fish/vendor_completions.d/peek.fish",
        "./usr/share/peek/profiles/local.toml", "./usr/share/doc/peek/copyright",
    ):
        assert f" {file}\n" in files, file
    subprocess.run([*dpkg, "-i", package], check=True, capture_output=True)
    installed = subprocess.run([root / "usr/bin/peek", "--config", root / "etc/peek/peek.toml", "version"])
    assert installed.returncode == 0
    subprocess.run([*dpkg, "-r", "peek"], check=True, capture_output=True)
    assert not (root / "usr/bin/peek").exists() and (root / "etc/peek/peek.toml").exists()
    subprocess.run([*dpkg, "-P", "peek"], check=True, capture_output=True)
    left = [path for path in root.rglob("*") if path.is_file() and "var/lib/dpkg" not in str(path)]
    assert left == []
    again = subprocess.run([*command, tmp_path / "again"], capture_output=True, text=True, env=quick)
    assert pathlib.Path(again.stdout.strip()).read_bytes() == package.read_bytes()


# What a killed server left goes by the name of its data directory; one that runs is refused, and left out of what --all sees.
def test_clean_removes_what_the_dead_left(tmp_path):
    if os.getuid() != 0:
        pytest.skip("control groups and links of a server are root's")
    before = left_over()
    dead = Platform(tmp_path / "peek-dead")
    dead.deploy("f", "def handler(e, c): return 1")
    dead.invoke("f")
    refused = run("clean", "--data", dead.data)
    assert refused.returncode == 1 and "another peek serve" in refused.stderr
    identity = (dead.data / "server-id").read_text().strip()
    seen = run("clean", "--all", "--dry-run").stdout
    assert str(dead.data) in seen and "remove control group" not in "".join(
        line for line in seen.splitlines() if identity in line
    )
    # Both at once, so that neither cleans up after the other.
    starters = open(f"/proc/{dead.process.pid}/task/{dead.process.pid}/children").read().split()
    os.kill(dead.process.pid, 19)
    for pid in starters:
        os.kill(int(pid), 9)
    dead.kill()
    assert wait_until(lambda: left_over() > before)
    done = run("clean", "--data", dead.data)
    assert done.returncode == 0 and "removed control groups" in done.stdout, done.stdout + done.stderr
    assert wait_until(lambda: left_over() <= before)
