"""Functions that misbehave hurt only themselves."""

import concurrent.futures
import textwrap

import pytest
from conftest import SLOW

GOOD = "def handler(event, context): return {'echo': event}"


@pytest.fixture(scope="module", autouse=True)
def neighbour(platform):
    platform.deploy("neighbour", GOOD)
    return platform


def still_well(platform):
    """The neighbour answers as if nothing had happened."""
    payload, error, _ = platform.invoke("neighbour", {"n": 1})
    assert (payload, error) == ({"echo": {"n": 1}}, None)


def hostile(platform, name, code, event=None, **settings):
    """Deploys and runs a function of ill will; returns its answer."""
    platform.deploy(name, textwrap.dedent(code), **settings)
    answer = platform.invoke(name, event)
    still_well(platform)
    return answer


# A fork bomb stays inside its process limit, and the function still answers.
def test_fork_bomb(platform):
    payload, error, _ = hostile(
        platform,
        "bomb",
        """
        import os, time
        def handler(event, context):
            made = 0
            for _ in range(20000):
                try:
                    pid = os.fork()
                except OSError as refusal:
                    return {"made": made, "errno": refusal.errno}
                if pid == 0:
                    time.sleep(60)
                    os._exit(0)
                made += 1
            return {"made": made}
        """,
        MemorySize=512,
    )
    # The limit of processes and threads is 1,024 at AWS; ours is no larger.
    assert error is not None or (payload["errno"] == 11 and payload["made"] <= 1024), payload


# Memory beyond the limit ends the instance with the service's words, and the next invocation has a new one.
def test_memory_hog(platform):
    code = """
    def handler(event, context):
        if event == "well":
            return "well"
        hoard = bytearray()
        while True:
            hoard += bytes(8 << 20)
    """
    payload, error, _ = hostile(platform, "hog", code, MemorySize=128)
    assert error == "Unhandled"
    assert payload["errorType"] in ("Runtime.OutOfMemory", "MemoryError"), payload
    assert platform.invoke("hog", "well")[0] == "well"


# A function that takes all the CPU it can get gets its memory's share of one, and no more.
def test_cpu_hog(platform):
    payload, error, _ = hostile(
        platform,
        "burner",
        """
        import time
        def handler(event, context):
            wall, own = time.monotonic(), time.process_time()
            while time.monotonic() < wall + 3:
                pass
            return {"share": (time.process_time() - own) / (time.monotonic() - wall)}
        """,
        MemorySize=256,
    )
    # 256 of the 1769 MiB that have a CPU; what others leave of the machine may be less.
    assert error is None and 0.01 < payload["share"] < 1.1 * 256 / 1769, payload


# /tmp is full at its size, counts as disk rather than memory, and the full /tmp goes with the instance.
def test_full_tmp(platform):
    payload, error, _ = hostile(
        platform,
        "filler",
        """
        import os
        def handler(event, context):
            written = 0
            try:
                with open("/tmp/fill", "wb", buffering=0) as file:
                    while True:
                        written += file.write(bytes(1 << 20))
            except OSError as refusal:
                return {"mib": written >> 20, "errno": refusal.errno}
        """,
        # Less than what is written, and enough CPU to write it in time on a slow machine.
        MemorySize=384,
        EphemeralStorage={"Size": 512},
    )
    assert error is None, payload
    assert payload["errno"] == 28 and 400 <= payload["mib"] <= 512, payload


# Descriptors end at the limit that Lambda has.
def test_many_files(platform):
    payload, error, _ = hostile(
        platform,
        "opener",
        """
        def handler(event, context):
            held = []
            try:
                while True:
                    held.append(open("/dev/null"))
            except OSError as refusal:
                return {"held": len(held), "errno": refusal.errno}
        """,
    )
    assert error is None and payload["errno"] == 24 and payload["held"] <= 1024, payload


# Endless logs neither stall the function nor the platform, and the tail is still the last 4 KiB.
def test_endless_logs(platform):
    payload, error, log = hostile(
        platform,
        "talker",
        """
        def handler(event, context):
            for number in range(200000):
                print("line", number, "x" * 80)
            return "said"
        """,
        MemorySize=1024,
        Timeout=60,
    )
    assert error is None and payload == "said"
    assert len(log) <= 4096 and "REPORT RequestId" in log


# A function that ignores SIGTERM ends all the same when its time is up, and the caller hears of it in time.
def test_ignores_sigterm(platform):
    payload, error, _ = hostile(
        platform,
        "stubborn",
        """
        import signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        def handler(event, context):
            while True:
                time.sleep(1)
        """,
        Timeout=1,
    )
    assert error == "Unhandled"
    assert payload["errorType"] == "Sandbox.Timedout"
    assert payload["errorMessage"].endswith("Task timed out after 1.00 seconds")


# A runtime that exits in the middle of an invocation is an error at once, and the next invocation is served.
def test_exits(platform):
    code = """
    import os
    def handler(event, context):
        if event == "die":
            os._exit(3)
        return "alive"
    """
    payload, error, _ = hostile(platform, "leaver", code, "die")
    assert error == "Unhandled" and payload["errorType"] == "Runtime.ExitError"
    assert "exit status 3" in payload["errorMessage"]
    assert platform.invoke("leaver", "stay")[0] == "alive"


# A handler that is not there, code that does not import: the runtime's own error, as at AWS.
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("def other(event, context): pass", "Runtime.HandlerNotFound"),
        ("import nothing_of_that_name", "Runtime.ImportModuleError"),
        ("def handler(event, context:", "Runtime.UserCodeSyntaxError"),
    ],
)
def test_init_errors(platform, code, kind):
    payload, error, _ = hostile(platform, kind.replace(".", "-"), code)
    assert error == "Unhandled" and payload["errorType"] == kind, payload


# What a function must not see or do, tried from inside.
def test_walls(platform):
    payload, error, _ = hostile(
        platform,
        "climber",
        """
        import ctypes, os, socket
        libc = ctypes.CDLL(None, use_errno=True)

        def readable(path):
            try:
                # A file that is masked reads as empty.
                with open(path, "rb") as file:
                    return file.read(16) != b""
            except OSError:
                return False

        def call(number, *arguments):
            ctypes.set_errno(0)
            result = libc.syscall(number, *arguments)
            return "allowed" if result >= 0 else os.strerror(ctypes.get_errno())

        def sockets(family, kind):
            try:
                socket.socket(family, kind).close()
                return True
            except OSError:
                return False

        def handler(event, context):
            status = dict(
                line.split(":", 1) for line in open("/proc/self/status").read().splitlines()
            )
            return {
                "uid": os.getuid(),
                "capabilities": status["CapEff"].strip() + status["CapBnd"].strip(),
                "no_new_privs": status["NoNewPrivs"].strip(),
                "seccomp": status["Seccomp"].strip(),
                "read": [
                    path
                    for path in ("/etc/shadow", "/root/.bashrc", "/home", "/proc/1/environ",
                                 "/proc/kcore", "/proc/kmsg", "/sys/kernel/notes", "/dev/vda",
                                 "/dev/kvm", "/dev/loop0", "/proc/sysrq-trigger")
                    if readable(path)
                ],
                "written": [
                    path
                    for path in ("/usr/x", "/etc/x", "/var/task/x", "/proc/sys/kernel/hostname", "/x")
                    if not isinstance(attempt(path), str)
                ],
                "calls": {
                    "mount": call(165, b"none", b"/tmp", b"tmpfs", 0, None),
                    "unshare": call(272, 0x10000000),
                    "ptrace": call(101, 16, 1, 0, 0),
                    "bpf": call(321, 0, 0, 0),
                    "userfaultfd": call(323, 0),
                    "io_uring_setup": call(425, 1, 0),
                    "keyctl": call(250, 0, 0, 0, 0, 0),
                    "perf_event_open": call(298, 0, 0, -1, -1, 0),
                    "kexec_load": call(246, 0, 0, 0, 0),
                    "open_by_handle_at": call(304, -1, 0, 0),
                    "init_module": call(175, 0, 0, 0),
                    "reboot": call(169, 0, 0, 0, 0),
                },
                "packet": sockets(17, socket.SOCK_RAW),
                "vsock": sockets(40, socket.SOCK_STREAM),
                "alg": sockets(38, socket.SOCK_SEQPACKET),
                "processes": [name for name in os.listdir("/proc") if name.isdigit()],
            }

        def attempt(path):
            try:
                open(path, "w").close()
            except OSError as refusal:
                return str(refusal)
        """,
    )
    assert error is None, payload
    assert payload["uid"] != 0
    assert set(payload["capabilities"]) == {"0"}
    assert (payload["no_new_privs"], payload["seccomp"]) == ("1", "2")
    assert payload["read"] == []
    assert payload["written"] == []
    assert "allowed" not in payload["calls"].values(), payload["calls"]
    assert not (payload["packet"] or payload["vsock"] or payload["alg"])
    assert len(payload["processes"]) <= 3, payload["processes"]


# One instance runs one invocation at a time, and no two share memory, /tmp or addresses.
def test_instances_are_apart(platform):
    platform.deploy(
        "apart",
        textwrap.dedent(
            """
            import os, time, uuid
            me = str(uuid.uuid4())
            def handler(event, context):
                before = os.listdir("/tmp")
                open("/tmp/" + me, "w").close()
                time.sleep(event)
                return {"me": me, "before": before}
            """
        ),
    )
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = [answer for answer, _, _ in pool.map(lambda _: platform.invoke("apart", 3 * SLOW), range(20))]
    assert len({answer.get("me") for answer in answers}) == 20, answers
    assert all(answer["before"] == [] for answer in answers), answers
    still_well(platform)
