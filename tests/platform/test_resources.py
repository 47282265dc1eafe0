"""Walls that control groups do not make: resource limits and landlock, as a function finds them."""

import ctypes
import errno
import textwrap

import pytest


def run(platform, name, code):
    """Deploys and runs a function that must answer."""
    platform.deploy(name, textwrap.dedent(code))
    payload, error, _ = platform.invoke(name)
    assert error is None, payload
    return payload


# The limits are as promised, soft and hard, so that nothing inside can raise them.
def test_resource_limits(platform):
    assert run(
        platform,
        "limits",
        """
        import resource
        def handler(event, context):
            names = ("CORE", "NOFILE", "NPROC", "MEMLOCK", "MSGQUEUE", "SIGPENDING", "NICE", "RTPRIO")
            return {name: resource.getrlimit(getattr(resource, "RLIMIT_" + name)) for name in names}
        """,
    ) == {
        "CORE": [1, 1],
        "NOFILE": [1024, 1024],
        "NPROC": [1025, 1025],
        "MEMLOCK": [64 << 10, 64 << 10],
        "MSGQUEUE": [0, 0],
        "SIGPENDING": [1024, 1024],
        "NICE": [0, 0],
        "RTPRIO": [0, 0],
    }


# The limits hold: memory cannot be locked past 64 KiB, no message queue can be made, signals pile up to 1,024, and a
# crash leaves no core file.
def test_resources_end(platform):
    found = run(
        platform,
        "user-of-all",
        """
        import ctypes, mmap, os, signal
        libc = ctypes.CDLL(None, use_errno=True)

        def outcome(result):
            return 0 if result >= 0 else ctypes.get_errno()

        def locked(kib):
            area = mmap.mmap(-1, kib << 10)
            address = ctypes.addressof(ctypes.c_char.from_buffer(area))
            result = outcome(libc.mlock(ctypes.c_void_p(address), ctypes.c_size_t(kib << 10)))
            libc.munlock(ctypes.c_void_p(address), ctypes.c_size_t(kib << 10))
            return result

        def signals():
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN])
            for sent in range(5000):
                if libc.sigqueue(os.getpid(), int(signal.SIGRTMIN), None):
                    return sent, ctypes.get_errno()

        def crash():
            os.chdir("/tmp")
            child = os.fork()
            if child == 0:
                ctypes.string_at(0)
            status = os.waitpid(child, 0)[1]
            return os.WTERMSIG(status), os.WCOREDUMP(status), os.listdir("/tmp")

        def handler(event, context):
            return {
                "locked": (locked(64), locked(68)),
                "queue": outcome(libc.mq_open(b"/q", os.O_CREAT | os.O_RDWR, 0o600, None)),
                "signals": signals(),
                "crash": crash(),
            }
        """,
    )
    assert found["locked"] in ([0, errno.ENOMEM], [0, errno.EPERM]), found
    assert found["queue"] in (errno.EMFILE, errno.EPERM, errno.ENOSYS), found
    sent, refusal = found["signals"]
    assert 1000 <= sent <= 1024 and refusal == errno.EAGAIN, found
    assert found["crash"] == [11, False, []], found


# Landlock stands behind the mounts: what the file system itself would refuse by EPERM is refused by EACCES before, and
# the places that can be written are those four.
def test_landlock(platform):
    libc = ctypes.CDLL(None)
    # landlock_create_ruleset, which answers its version where there is no rule and the flag is 1.
    if libc.syscall(444, None, 0, 1) < 1:
        pytest.skip("this kernel has no landlock: instances have one wall less, and the doctor says so")
    found = run(
        platform,
        "maker-of-files",
        """
        import os, stat

        def errno_of(action):
            try:
                action()
                return 0
            except OSError as refusal:
                return refusal.errno

        def write(path):
            with open(path, "w") as file:
                file.write("x")

        def handler(event, context):
            return {
                "device": errno_of(lambda: os.mknod("/tmp/null", stat.S_IFCHR | 0o600, os.makedev(1, 3))),
                "shm device": errno_of(lambda: os.mknod("/dev/shm/d", stat.S_IFBLK | 0o600, os.makedev(7, 0))),
                "dev": errno_of(lambda: os.mkfifo("/dev/pipe")),
                "proc": errno_of(lambda: os.mkdir("/proc/x")),
                "written": [
                    path
                    for path in ("/tmp/x", "/dev/shm/x", "/dev/null", "/proc/self/comm", "/var/task/x", "/etc/x",
                                 "/usr/x", "/x", "/var/x", "/opt/x", "/run/x", "/home/x")
                    if errno_of(lambda: write(path)) == 0
                ],
            }
        """,
    )
    assert found["device"] == found["shm device"] == errno.EACCES, found
    assert found["dev"] != 0 and found["proc"] != 0, found
    assert found["written"] == ["/tmp/x", "/dev/shm/x", "/dev/null", "/proc/self/comm"], found
