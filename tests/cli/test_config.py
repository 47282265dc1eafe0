"""Flags from files and the environment: which one holds, and how mistakes are told."""

import json

from .conftest import run


def value(command, flag, cwd, **environment):
    """(value, origin) of a flag, as `peek config` says."""
    done = run("config", *command.split(), "--output", "json", cwd=cwd, **environment)
    assert done.returncode == 0, done.stderr
    [row] = [row for row in json.loads(done.stdout) if (row["command"], row["flag"]) == (command, flag)]
    return row["value"], row["from"]


# A flag wins over a variable, a command's own variable over a shared one, a variable over a file, a file over the default.
def test_precedence(tmp_path):
    assert value("serve", "listen", tmp_path) == ("127.0.0.1:9470", "default")
    (tmp_path / "peek.toml").write_text('data = "/shared"\n[serve]\nlisten = "127.0.0.1:1"\n[fn.deploy]\nmemory = 512\n')
    assert value("serve", "listen", tmp_path) == ("127.0.0.1:1", "peek.toml:3")
    assert value("fn deploy", "memory", tmp_path) == (512, "peek.toml:5")
    assert value("fn ls", "data", tmp_path) == ("/shared", "peek.toml:1")
    assert value("serve", "listen", tmp_path, PEEK_LISTEN="127.0.0.1:2") == ("127.0.0.1:2", "PEEK_LISTEN")
    both = {"PEEK_LISTEN": "127.0.0.1:2", "PEEK_SERVE_LISTEN": "127.0.0.1:3"}
    assert value("serve", "listen", tmp_path, **both) == ("127.0.0.1:3", "PEEK_SERVE_LISTEN")
    # What really holds, not only what is shown: the endpoint that is asked is the one of the strongest.
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    (tmp_path / "peek.toml").write_text('endpoint = "http://127.0.0.1:1"\n')
    asked = lambda *flags, **variables: run("fn", "ls", *flags, cwd=tmp_path, **keys, **variables).stderr
    assert "cannot reach http://127.0.0.1:1:" in asked()
    assert "cannot reach http://127.0.0.1:2:" in asked(PEEK_ENDPOINT="http://127.0.0.1:2")
    assert "cannot reach http://127.0.0.1:3:" in asked("--endpoint", "http://127.0.0.1:3", PEEK_ENDPOINT="http://127.0.0.1:2")
    assert "no `peek serve` runs" in asked("--config", "none", "--data", str(tmp_path))


# A key that stands for nothing, a variable too, and a value that its flag does not take: each is told with its place.
def test_mistakes_are_told(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('[serve]\nlisten = "127.0.0.1:1"\ntenant = 2\n')
    done = run("serve", "--config", file)
    assert done.returncode == 1
    assert f"{file} line 3: `tenant` is not known in [serve], `tenants` is near" in done.stderr
    file.write_text('[serve]\nlisten = "nowhere"\n')
    done = run("serve", "--config", file)
    assert done.returncode == 2 and f"--listen comes from {file} line 2" in done.stderr
    done = run("fn", "ls", PEEK_FN_LS_OUTPT="json")
    assert done.returncode == 1 and "PEEK_FN_LS_OUTPT stands for no flag; PEEK_FN_LS_OUTPUT is near" in done.stderr
    done = run("fn", "ls", "--config", tmp_path / "absent.toml")
    assert done.returncode == 1 and "absent.toml" in done.stderr


# What `peek config` prints is a file that says the same.
def test_config_shows_origins(tmp_path):
    (tmp_path / "peek.toml").write_text('[serve]\ntenants = 3\nallow = ["127.0.0.1:5", "127.0.0.1:6"]\n')
    shown = run("config", "serve", cwd=tmp_path).stdout
    assert "tenants = 3 # peek.toml:2" in shown and 'allow = ["127.0.0.1:5","127.0.0.1:6"] # peek.toml:3' in shown
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "peek.toml").write_text(shown)
    again = run("config", "serve", "--set", cwd=tmp_path / "again").stdout
    assert "tenants = 3" in again and '"127.0.0.1:6"' in again
