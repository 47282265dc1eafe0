"""`peek dev`: what is saved runs, what it logs is seen, and nothing is left when it ends."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import time
import urllib.request

import pytest

from conftest import BINARY, SLOW, left_over, wait_until

from .conftest import clean_environment

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Dev:
    """One `peek dev`, on a terminal or a pipe."""

    def __init__(self, *arguments, terminal=False, **environment):
        command = [BINARY, "dev", *map(str, arguments), "--listen", "127.0.0.1:0"]
        ours, theirs = pty.openpty() if terminal else os.pipe()
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=clean_environment(**environment)
        )
        os.close(theirs)
        self.stream, self.raw = ours, ""
        self.endpoint = self.wait_for(r"platform at (http://\S+),")[1]

    def wait_for(self, pattern, seconds=40):
        """Reads on until a pattern is there; returns the match."""
        deadline = time.monotonic() + seconds * SLOW
        while not (match := re.search(pattern, COLOUR.sub("", self.raw))):
            assert time.monotonic() < deadline, f"no {pattern!r} in:\n{self.raw}"
            if select.select([self.stream], [], [], 0.2)[0]:
                try:
                    chunk = os.read(self.stream, 1 << 16)
                except OSError:
                    chunk = b""
                assert chunk, f"it ended: {self.process.wait()}\n{self.raw}"
                self.raw += chunk.decode(errors="replace").replace("\r\n", "\n")
        return match

    def forget(self):
        """Takes what was said so far for read."""
        self.raw = ""

    def invoke(self, name, event=None):
        """What a function returns, without a signature, as curl would ask."""
        url = f"{self.endpoint}/2015-03-31/functions/{name}/invocations"
        body = json.dumps(event or {}).encode()
        with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=60 * SLOW) as answer:
            return json.loads(answer.read())

    def stop(self):
        """Ends it as Ctrl-C does; its status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=40 * SLOW)


@pytest.fixture
def dev():
    """Starts `peek dev`; each is ended with the test."""
    started = []

    def start(*arguments, **options):
        started.append(Dev(*arguments, **options))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def greeter(tmp_path):
    """A directory with a function."""
    folder = tmp_path / "greeter"
    folder.mkdir()
    (folder / "app.py").write_text("def handler(e, c):\n    print('first')\n    return 1\n")
    return folder


# A save is what runs next; one that cannot run is told and leaves what ran; Ctrl-C leaves nothing behind.
def test_saves_are_served(dev, greeter):
    before = left_over()
    one = dev(greeter)
    one.wait_for(r"greeter created in \d+ ms: python3")
    one.wait_for(r"peek fn invoke greeter")
    one.wait_for(r"watching .*greeter; Ctrl-C ends")
    assert one.invoke("greeter") == 1
    (greeter / "app.py").write_text("def handler(e, c):\n    return 2\n")
    one.wait_for(r"greeter updated in \d+ ms")
    assert one.invoke("greeter") == 2
    (greeter / "app.py").write_text("def handler(e, c:\n    return 3\n")
    one.wait_for(r"greeter is not deployed; the old version keeps serving: SyntaxError: .*app\.py")
    assert one.invoke("greeter") == 2
    (greeter / "app.py").write_text("def renamed(e, c):\n    return 4\n")
    one.wait_for(r"not deployed: .*--handler")
    assert one.invoke("greeter") == 2
    one.forget()
    (greeter / "app.py").write_text("def handler(e, c):\n    return 5\n")
    one.wait_for(r"greeter updated in")
    assert one.invoke("greeter") == 5
    assert one.stop() == 0
    assert wait_until(lambda: left_over() <= before)
    data = re.search(r"data in (\S+)", one.raw)
    assert data is None or not os.path.exists(data[1])


# Each directory with a function is one, and one that comes later is one too.
def test_several_functions(dev, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "app.py").write_text(f"def handler(e, c): return '{name}'\n")
    it = dev(tmp_path)
    it.wait_for(r"one created")
    it.wait_for(r"two created")
    assert (it.invoke("one"), it.invoke("two")) == ("one", "two")
    it.wait_for("Ctrl-C ends")
    (tmp_path / "three").mkdir()
    (tmp_path / "three" / "app.py").write_text("def handler(e, c): return 'three'\n")
    it.wait_for(r"three created")
    assert it.invoke("three") == "three"


# What functions log comes to the terminal in colour, under their request; without colour to a pipe or with NO_COLOR.
def test_logs_in_colour(dev, greeter):
    one = dev(greeter, terminal=True, TERM="xterm")
    one.wait_for("Ctrl-C ends")
    one.invoke("greeter")
    line = one.wait_for(r"\d\d:\d\d:\d\d\.\d{3} greeter ([0-9a-f]{8}) first")
    one.wait_for(rf"greeter {line[1]} REPORT RequestId: {line[1]}")
    assert "\x1b[" in one.raw
    plain = dev(greeter, terminal=True, TERM="xterm", NO_COLOR="1")
    plain.wait_for("Ctrl-C ends")
    assert "\x1b[" not in plain.raw


# Without freezing a thread works on between invocations; without a limit of time a function may have a day.
def test_no_freeze_and_no_timeout(dev, tmp_path):
    (tmp_path / "app.py").write_text(
        "import threading, time\n"
        "ticks = [0]\n"
        "def count():\n    while True:\n        time.sleep(0.02); ticks[0] += 1\n"
        "threading.Thread(target=count, daemon=True).start()\n"
        "def handler(e, c): return [ticks[0], c.get_remaining_time_in_millis()]\n"
    )
    one = dev(tmp_path, "--name", "awake", "--no-freeze", "--timeout", "off")
    one.wait_for("Ctrl-C ends")
    first = one.invoke("awake")
    assert wait_until(lambda: one.invoke("awake")[0] - first[0] >= 0 and time.sleep(0.5) is None)
    later = one.invoke("awake")
    assert later[0] - first[0] >= 10 and later[1] > 86_000_000


# A debugger reaches Node.js inside of its sandbox by a port of this machine, and speaks its protocol.
def test_node_inspector(dev, tmp_path):
    if not os.path.exists("/usr/bin/node"):
        pytest.skip("no node: ./run test installs it")
    (tmp_path / "index.mjs").write_text("export const handler = async () => process.execArgv.concat([process.env.NODE_OPTIONS])")
    one = dev(tmp_path, "--name", "noded", "--inspect=39229")
    one.wait_for(r"noded: a debugger can attach to 127\.0\.0\.1:39229")
    one.wait_for("Ctrl-C ends")
    assert "--inspect" in one.invoke("noded")[-1]
    targets = json.loads(urllib.request.urlopen("http://127.0.0.1:39229/json/list", timeout=30 * SLOW).read())
    assert targets and targets[0]["type"] == "node" and targets[0]["webSocketDebuggerUrl"].startswith("ws://")


# A template's functions run with what it says, and a change of it is deployed as one of code is.
def test_template(dev, tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "app.py").write_text("import os\ndef handler(e, c): return os.environ['STAGE']\n")
    template = tmp_path / "template.yaml"
    text = (
        "Transform: AWS::Serverless-2016-10-31\nParameters:\n  Stage: {Type: String, Default: dev}\n"
        "Globals: {Function: {Environment: {Variables: {STAGE: !Sub 'is-${Stage}'}}}}\n"
        "Resources:\n  Templated:\n    Type: AWS::Serverless::Function\n"
        "    Properties: {CodeUri: src, Handler: app.handler, MemorySize: 256}\n"
    )
    template.write_text(text)
    one = dev(tmp_path)
    one.wait_for(r"Templated created in \d+ ms: .* 256 MiB")
    one.wait_for("Ctrl-C ends")
    assert one.invoke("Templated") == "is-dev"
    template.write_text(text.replace("Default: dev", "Default: test").replace("256", "384"))
    one.wait_for(r"Templated updated in \d+ ms: .* 384 MiB")
    assert one.invoke("Templated") == "is-test"
    template.write_text(text + "  Table: {Type: AWS::DynamoDB::Table}\n")
    one.wait_for(r"AWS::DynamoDB::Table.*--skip-unsupported")
    assert one.invoke("Templated") == "is-test"
