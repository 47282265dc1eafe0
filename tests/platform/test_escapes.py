"""Ways out of a sandbox that are known from elsewhere, tried from inside one. Beside these, `test_hostile.py`."""

import textwrap

import pytest

# What each attempt returns when it fails as it should is None; anything else is what it got.
CODE = '''
import ctypes, glob, os, socket, stat, subprocess

libc = ctypes.CDLL(None, use_errno=True)


def write(path, text="x"):
    """Writes to a file of the kernel; whoever can has it."""
    try:
        with open(path, "w") as file:
            file.write(text)
        return path
    except OSError:
        return None


def any_of(found):
    return [it for it in found if it] or None


def kernel_files():
    return any_of(
        write(path)
        for path in (
            "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/vm/overcommit_memory",
            "/proc/sysrq-trigger", "/proc/sys/fs/binfmt_misc/register", "/sys/kernel/uevent_helper",
            "/sys/power/state", "/proc/self/oom_adj_x", "/proc/1/oom_score_adj", "/proc/timer_list",
        )
    )


def release_agent():
    """The way out by control groups: any group that shows, and a file that names a program of the host's."""
    shown = [line for line in open("/proc/self/mountinfo") if " - cgroup" in line]
    agents = [path for path in glob.glob("/sys/fs/cgroup/**/release_agent", recursive=True) if os.access(path, os.W_OK)]
    return any_of([*shown, *agents, write("/sys/fs/cgroup/release_agent"), write("/sys/fs/cgroup/cgroup.procs", "1")])


def devices():
    made = []
    for name, kind, major, minor in (("mem", stat.S_IFCHR, 1, 1), ("disk", stat.S_IFBLK, 254, 0), ("loop", stat.S_IFBLK, 7, 0)):
        try:
            os.mknod("/tmp/" + name, kind | 0o666, os.makedev(major, minor))
            made.append(name)
        except OSError:
            pass
    listed = sorted(os.listdir("/dev"))
    return any_of([*made, *set(listed) & {"mem", "kmem", "kmsg", "port", "kvm", "fuse", "loop0", "vda", "sda", "net"}])


def other_processes():
    """Another process: by its root, its memory, its descriptors, a signal."""
    found = []
    for pid in (1, os.getppid()):
        if pid == os.getpid() or pid == 0:
            continue
        for what in ("root/etc/shadow", "environ", "mem", "maps", "fd/0"):
            try:
                with open(f"/proc/{pid}/{what}", "rb") as file:
                    found.append(what if file.read(1) else None)
            except OSError:
                pass
    outside = any(int(pid) > 64 for pid in os.listdir("/proc") if pid.isdigit())
    return any_of([*found, "outside" if outside else None])


def root_of_the_host():
    """Up and out: more than the root above the root, by a descriptor that was left open or by climbing."""
    above = os.path.realpath("/" + "../" * 40)
    left = []
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink("/proc/self/fd/" + name)
        except OSError:
            continue
        if target.startswith("/") and not target.startswith(("/dev/null", "/proc", "/var/task", "/var/runtime", "/usr")):
            left.append(target)
    return any_of([*left, above if above != "/" else None])


def set_user_id():
    """A file of the package with the set-user-id bit."""
    said = subprocess.run(["/var/task/whoami"], capture_output=True, text=True).stdout.split()
    return None if said and said[0] == str(os.getuid()) and os.getuid() != 0 else said


def schedule():
    """The right to run before everybody else."""
    found = []
    for policy in (os.SCHED_FIFO, os.SCHED_RR):
        try:
            os.sched_setscheduler(0, policy, os.sched_param(1))
            found.append(policy)
        except OSError:
            pass
    try:
        os.nice(-5)
        found.append("nice")
    except OSError:
        pass
    return any_of(found)


def limits():
    """Limits that were set once cannot be raised."""
    import resource
    raised = []
    for name in ("NOFILE", "NPROC", "CORE", "MEMLOCK", "MSGQUEUE"):
        which = getattr(resource, "RLIMIT_" + name)
        try:
            resource.setrlimit(which, (1 << 20, 1 << 20))
            raised.append(name)
        except (OSError, ValueError):
            pass
    return any_of(raised)


def names_of_sockets():
    """Sockets of others by their abstract names, which no file guards."""
    seen = [line.split()[-1] for line in open("/proc/net/unix").read().splitlines()[1:] if "@" in line]
    mine = socket.socket(socket.AF_UNIX)
    try:
        mine.connect("\\0peek-escape")
        seen.append("peek-escape")
    except OSError:
        pass
    return any_of(seen)


def neighbours(addresses):
    """Runtime APIs and anything else that listens at another instance's address, and at this machine's."""
    reached = []
    for address in addresses:
        for port in (9001, 22, 80):
            with socket.socket() as probe:
                probe.settimeout(0.3)
                if probe.connect_ex((address, port)) == 0:
                    reached.append((address, port))
    return any_of(reached)


def raw_sockets():
    made = []
    for family, kind, protocol in (
        (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
        (socket.AF_INET6, socket.SOCK_RAW, 58),
        (17, socket.SOCK_RAW, 0x0300),
        (16, socket.SOCK_RAW, 15),
        (40, socket.SOCK_STREAM, 0),
    ):
        try:
            socket.socket(family, kind, protocol).close()
            made.append(family)
        except OSError:
            pass
    return any_of(made)


ATTEMPTS = (
    kernel_files, release_agent, devices, other_processes, root_of_the_host, set_user_id, schedule, limits,
    names_of_sockets, raw_sockets,
)


def address():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return probe.getsockname()[0]
        except OSError:
            return None


def listen():
    """Waits at an abstract name and at every address, as a victim would."""
    named = socket.socket(socket.AF_UNIX)
    named.bind("\\0peek-escape")
    named.listen()
    open_port = socket.socket()
    open_port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    open_port.bind(("0.0.0.0", 8080))
    open_port.listen()
    return named, open_port


held = None


def handler(event, context):
    global held
    if event.get("listen"):
        held = held or listen()
        import time
        time.sleep(event["listen"])
        return {"address": address()}
    got = {attempt.__name__: attempt() for attempt in ATTEMPTS}
    if event.get("addresses"):
        got["neighbours"] = neighbours(event["addresses"])
    return got
'''


@pytest.fixture(scope="module")
def escaper(platform):
    # A program that says who it is, with the set-user-id bit that a zip can carry.
    files = {"app.py": CODE, "whoami": "#!/bin/sh\nid -u\n"}
    platform.deploy("escaper", files, MemorySize=512)
    return platform


# None of the ways that are known leads out.
def test_ways_out(escaper):
    payload, error, log = escaper.invoke("escaper", {})
    assert error is None, (payload, log)
    got = {name: what for name, what in payload.items() if what is not None}
    assert got == {}
    assert len(payload) == 10


# An instance beside it, of the same function, is out of reach: its abstract socket, its port, its Runtime API.
def test_neighbours_are_out_of_reach(escaper):
    import concurrent.futures

    victim = textwrap.dedent(CODE)
    escaper.deploy("victim", {"app.py": victim, "whoami": "#!/bin/sh\nid -u\n"}, MemorySize=512)
    address, error, _ = escaper.invoke("victim", {"listen": 0.1})
    assert error is None, address
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        waits = pool.submit(escaper.invoke, "victim", {"listen": 4})
        addresses = [it for it in (address["address"],) if it] + ["169.254.1.1", "127.0.0.2"]
        payload, error, log = escaper.invoke("escaper", {"addresses": addresses})
        assert error is None, (payload, log)
        assert waits.result()[1] is None
    assert payload["names_of_sockets"] is None and payload["neighbours"] is None, payload


# A package cannot lead the unpacking astray by links: neither a link out nor a file that would go through one.
def test_links_in_packages(platform):
    import io
    import stat
    import zipfile

    from botocore.exceptions import ClientError

    def package(*entries):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, mode, content in entries:
                info = zipfile.ZipInfo(name)
                info.external_attr = mode << 16
                archive.writestr(info, content)
        return buffer.getvalue()

    link, plain = stat.S_IFLNK | 0o777, stat.S_IFREG | 0o644
    for name, entries in {
        "out": [("x", link, "../../../../etc")],
        "absolute": [("x", link, "/etc")],
        "through": [("x", link, "/tmp"), ("x/pwned", plain, "y")],
        "through-inside": [("d", link, "e"), ("e/f", plain, "1"), ("d/../../../pwned", plain, "y")],
        "device": [("x", stat.S_IFCHR | 0o666, "")],
    }.items():
        with pytest.raises(ClientError) as refused:
            platform.client.create_function(
                FunctionName=f"links-{name}", Runtime="provided.al2023", Handler="h",
                Role="arn:aws:iam::123456789012:role/any", Code={"ZipFile": package(*entries)},
            )
        assert refused.value.response["Error"]["Code"] == "InvalidParameterValueException", name
