"""The probe in Python: one request and one response format with the probes in other languages.

The standard library only, imported where it is needed, so that a cold start is the platform's and the interpreter's.
Deliberately knows nothing of who asks or why.
"""

import time

INIT_UNIX_NS = time.time_ns()

import os  # noqa: E402
import sys  # noqa: E402

DIRECTORY = os.environ.get("TMPDIR", "/tmp")
INSTANCE_FILE = DIRECTORY + "/peek-instance"
DISK_FILE = DIRECTORY + "/peek-disk"
FILL_FILE = DIRECTORY + "/peek-fill"
# Gaps at least this long count as time without a CPU, nanoseconds.
GAP_NS = 100_000
# A gap from which a thread comes back as a quota's period begins is at least this long.
THROTTLED_NS = 1_000_000
# The period of a quota: who has burnt for that long has spent what it saved up while it was idle.
PERIOD_NS = 100_000_000
# How long the beginning of a quota's period is waited for: two periods and some.
SEARCH_NS = 250_000_000
# A pause this long ends background work: the instance was put to rest meanwhile.
PAUSE_NS = 500_000_000
# Limits of what may be asked.
WINDOW_LIMIT_MS = 900_000
THREAD_LIMIT = 256
PAIRS = 4096
BLOCK_LIMIT = 64 << 20
ROUND_LIMIT = 10 << 30
# The first piece of room that is asked for, and the smallest: a block of the usual file systems.
PIECE_MOST = 64 << 20
PIECE_LEAST = 4096
# How long a connection, a write that is stuck, or the sink's close may take, seconds.
PATIENCE_S = 5
READ_BYTES = 64 << 10

FIELDS = {
    "barrier_unix_ns": None, "identity": None, "exposure": None, "disk_counters": None,
    "cpu": ("window_ms", "threads"), "disk": ("block_bytes", "blocks", "rounds"),
    "fill": ("most_bytes",), "network": ("sink", "window_ms"), "hold_until_unix_ns": None, "hold_ms": None,
    "background": ("for_ms",), "fail": None, "padding": None,
}

# What of the host may be readable. The same items, in the same order, in every language of the probe.
ITEMS = """
/proc/cpuinfo
/proc/meminfo
/proc/stat
/proc/uptime
/proc/loadavg
/proc/version
/proc/cmdline
/proc/diskstats
/proc/partitions
/proc/interrupts
/proc/modules
/proc/kallsyms
/proc/vmstat
/proc/self/cgroup
/proc/self/mountinfo
/proc/net/arp
/proc/net/route
/proc/sys/kernel/random/boot_id
/proc/sys/kernel/hostname
/sys/class/dmi/id/sys_vendor
/sys/class/dmi/id/product_uuid
/sys/hypervisor/uuid
/sys/class/net
/sys/fs/cgroup
/sys/devices/system/cpu/online
/etc/machine-id
/etc/hostname
/etc/resolv.conf
/dev/kmsg
/dev/kvm
/dev/vda
env:AWS_REGION
env:AWS_ACCESS_KEY_ID
env:AWS_EXECUTION_ENV
env:WEBSITE_INSTANCE_ID
env:HOSTNAME
""".split()

HOST_VARIABLES = ("WEBSITE_INSTANCE_ID", "HOST_ID", "INSTANCE_ID", "NODE_NAME")


class Failed(Exception):
    """A failure on purpose."""


def _mark():
    try:
        with open(os.environ.get("LAMBDA_TASK_ROOT", "") + "/peek-mark") as file:
            code = file.read().strip()
    except OSError:
        code = ""
    return os.environ.get("PEEK_MARK", "") + "." + code


INSTANCE = os.urandom(16).hex()
MARK = _mark()
_state = {"invocations": 0, "work": None}


def handler(event, context):
    """Does what is asked, in the order of the request's schema."""
    started_unix_ns, started_ns = time.time_ns(), time.monotonic_ns()
    _state["invocations"] += 1
    _check(event)
    problems = {}
    response = {
        "started_unix_ns": started_unix_ns,
        "instance": INSTANCE,
        "instance_tmp": _note(problems, "instance_tmp", _instance_tmp) or "",
        "invocations": _state["invocations"],
        "init_unix_ns": INIT_UNIX_NS,
        "runtime": "python%d.%d" % sys.version_info[:2],
        "version": os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", ""),
        "mark": MARK,
        "memory_mib": _number(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")),
        "initialization": os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE", ""),
    }
    work, _state["work"] = _state["work"], None
    if work is not None:
        response["background"] = work.stop()
    _measure(event, response, problems)
    if event.get("hold_until_unix_ns") is not None:
        _sleep_until(event["hold_until_unix_ns"])
    if event.get("hold_ms") is not None:
        _sleep_until(time.time_ns() + int(event["hold_ms"] * 1e6))
    if event.get("fail") is not None:
        raise Failed(event["fail"])
    if event.get("background") is not None:
        for_ns = int(event["background"]["for_ms"] * 1e6)
        _state["work"] = _note(problems, "background", lambda: _Work(for_ns))
    response["problems"] = problems
    response["duration_ns"] = time.monotonic_ns() - started_ns
    response["finished_unix_ns"] = time.time_ns()
    return response


def _check(event):
    if not isinstance(event, dict):
        raise ValueError("event is not a request of the probe: no object")
    for name, value in event.items():
        if name not in FIELDS:
            raise ValueError("event is not a request of the probe: unknown field `%s`" % name)
        for inner in value if FIELDS[name] and value is not None else ():
            if inner not in FIELDS[name]:
                raise ValueError(
                    "event is not a request of the probe: unknown field `%s` in %s" % (inner, name)
                )


def _measure(event, response, problems):
    if event.get("barrier_unix_ns") is not None:
        _sleep_until(event["barrier_unix_ns"])
    if event.get("identity"):
        response["identity"] = _identity()
    if event.get("exposure"):
        response["exposure"] = [_expose(item) for item in ITEMS]
    if event.get("disk_counters"):
        response["disk_before"] = _note(problems, "disk_counters", _disk_counters)
    for part, measure in (("cpu", _cpu), ("disk", _disk), ("fill", _fill), ("network", _network)):
        asked = event.get(part)
        if asked is not None:
            response[part] = _note(problems, part, lambda: measure(asked))
    if event.get("disk_counters"):
        response["disk_after"] = _note(problems, "disk_counters", _disk_counters)


def _note(problems, part, measure):
    try:
        return measure()
    except Exception as error:
        problems[part] = "%s: %s" % (type(error).__name__, error)
        return None


def _sleep_until(unix_ns):
    while True:
        left = unix_ns - time.time_ns()
        if left <= 0:
            return
        time.sleep(min(left / 1e9, 1.0))


def _number(text):
    return int(text) if text.isdigit() else 0


def _instance_tmp():
    try:
        with open(INSTANCE_FILE) as file:
            return file.read()
    except OSError:
        with open(INSTANCE_FILE, "w") as file:
            file.write(INSTANCE)
        return INSTANCE


# Identity


def _text(path):
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _field(text, name):
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon and key.strip() == name:
            return value.strip()
    return ""


def _identity():
    addresses = _addresses()
    names = os.uname()
    uptime = _text("/proc/uptime").split(" ")[0]
    memory = _field(_text("/proc/meminfo"), "MemTotal").split(" ")[0]
    return {
        "host_ids": _host_ids(addresses),
        "hostname": names.nodename,
        "uptime_s": float(uptime) if uptime else 0.0,
        "cpu_model": _field(_text("/proc/cpuinfo"), "model name"),
        "cpu_count": os.sysconf("SC_NPROCESSORS_ONLN"),
        "host_memory_mib": _number(memory) // 1024,
        "kernel": names.release,
        "addresses": addresses,
    }


def _host_ids(addresses):
    cgroup = _text("/proc/self/cgroup")
    lines = cgroup.splitlines()
    # The part before the last component of the path on the longest line (Wang et al., 4.1).
    path = max(lines, key=len, default="").split(":", 2)[-1]
    in_cgroup = any(not line.endswith(":/") for line in lines)
    named = (os.environ[name] for name in HOST_VARIABLES if name in os.environ)
    ids = {
        "instance_root_id": path.rpartition("/")[0].lstrip("/"),
        "cgroup": _digest(cgroup.encode()) if in_cgroup else "",
        "env": next(named, ""),
        "boot_id": _text("/proc/sys/kernel/random/boot_id").strip(),
        "machine_id": _text("/etc/machine-id").strip(),
        "ip": next((address for address in addresses if ":" not in address), ""),
    }
    return {source: name for source, name in ids.items() if name}


def _addresses():
    """Own addresses in order, without loopback and link-local ones, as the kernel's tables have them."""
    import socket

    found = set()
    lines = _text("/proc/net/fib_trie").splitlines()
    for above, line in zip(lines, lines[1:]):
        if line.strip() == "/32 host LOCAL":
            address = above.split()[-1]
            if not address.startswith(("127.", "169.254.")):
                found.add(address)
    for line in _text("/proc/net/if_inet6").splitlines():
        digits, _, _, scope = line.split()[:4]
        if scope not in ("10", "20"):
            found.add(socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits)))
    return sorted(found)


# Exposure


def _digest(content):
    import hashlib

    return hashlib.sha256(content).hexdigest()[:16]


def _expose(item):
    try:
        content = _content(item)
    except OSError:
        content = b""
    digest = _digest(content) if content else ""
    return {"item": item, "readable": bool(content), "digest": digest}


def _content(item):
    """A file's beginning, a directory's sorted names in lines, or a device's number where it can be opened."""
    import stat

    if item.startswith("env:"):
        return os.environ.get(item[4:], "").encode()
    status = os.stat(item)
    if stat.S_ISDIR(status.st_mode):
        return "\n".join(sorted(os.listdir(item))).encode()
    descriptor = os.open(item, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0) as file:
        if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
            return str(status.st_rdev).encode()
        content = b""
        while len(content) < READ_BYTES:
            more = file.read(READ_BYTES - len(content))
            if not more:
                break
            content += more
        return content


# CPU


def _window_ns(window_ms):
    if not 0 < window_ms <= WINDOW_LIMIT_MS:
        raise ValueError("window of %s ms, limit is %d ms" % (window_ms, WINDOW_LIMIT_MS))
    return int(window_ms * 1e6)


def _cpu(asked):
    """One busy process for each thread that is asked for: threads of one interpreter take turns."""
    import mmap
    import struct

    window_ns = _window_ns(asked["window_ms"])
    threads = asked.get("threads") or len(os.sched_getaffinity(0))
    if threads > THREAD_LIMIT:
        raise ValueError("%d threads, limit is %d" % (threads, THREAD_LIMIT))
    # The beginning of the window on both clocks, once the first process has found it.
    begin = memoryview(mmap.mmap(-1, 16)).cast("Q")
    others = []
    try:
        for _ in range(1, threads):
            others.append(_fork(window_ns, begin))
    except OSError:
        # Those that run already would wait for a beginning forever.
        begin[0] = 1
        for pid, _ in others:
            os.waitpid(pid, 0)
        raise
    result = _burn(window_ns, begin, True)
    for pid, pipe in others:
        with open(pipe, "rb") as file:
            content = file.read()
        os.waitpid(pid, 0)
        if len(content) != 16:
            raise OSError("a busy process ended early")
        cpu_ns, running_ns = struct.unpack("QQ", content)
        result["cpu_ns"] += cpu_ns
        result["running_ns"] += running_ns
    result.update(
        window_ns=window_ns, started_unix_ns=begin[1], threads=threads, gap_ns=GAP_NS
    )
    return result


def _fork(window_ns, begin):
    import struct

    theirs, ours = os.pipe()
    pid = os.fork()
    if pid:
        os.close(ours)
        return pid, theirs
    try:
        share = _burn(window_ns, begin, False)
        os.write(ours, struct.pack("QQ", share["cpu_ns"], share["running_ns"]))
    finally:
        os._exit(0)


def _burn(window_ns, begin, lead):
    clock = time.monotonic_ns
    start = _await_begin(begin, lead)
    end = start + window_ns
    running_ns, ticks, ran = 0, 0, []
    last = since = next_tick = start
    cpu_begin = time.thread_time_ns()
    while True:
        now = clock()
        off = now - last >= GAP_NS
        inside = now if now < end else end
        if not off and inside > last:
            running_ns += inside - last
        if off or now >= end:
            to = last if off else inside
            if to > since and len(ran) < PAIRS:
                ran.append((since - start, to - start))
            since = inside
        if now >= end:
            cpu_ns = time.thread_time_ns() - cpu_begin
            return {"cpu_ns": cpu_ns, "running_ns": running_ns, "ticks": ticks, "ran": ran}
        if now >= next_tick:
            ticks += 1
            next_tick = now - (now - start) % 1_000_000 + 1_000_000
        last = now


def _await_begin(begin, lead):
    """Burns until the window begins; returns that moment, which may have passed for those that follow."""
    clock = time.monotonic_ns
    searched_from = last = clock()
    while True:
        now = clock()
        burnt = now - searched_from
        if not lead:
            if begin[0]:
                return begin[0]
        elif (burnt >= PERIOD_NS and now - last >= THROTTLED_NS) or burnt >= SEARCH_NS:
            begin[1] = time.time_ns()
            begin[0] = now
            return now
        last = now


# Disk


def _disk(asked):
    blocks, block_bytes = asked["blocks"], asked["block_bytes"]
    if not 0 < block_bytes <= BLOCK_LIMIT or not 0 < blocks * block_bytes <= ROUND_LIMIT:
        raise ValueError(
            "%d blocks of %d bytes, limits are %d bytes in a block and %d in a round"
            % (blocks, block_bytes, BLOCK_LIMIT, ROUND_LIMIT)
        )
    try:
        return _rounds(asked["rounds"], blocks, block_bytes)
    finally:
        # Also where it failed half-way: the next measurement wants the space.
        if os.path.exists(DISK_FILE):
            os.remove(DISK_FILE)


def _rounds(rounds, blocks, block_bytes):
    import mmap
    import random

    # Noise from a generator, not from the kernel: what is measured is the disk. Memory maps begin on whole pages,
    # as O_DIRECT wants it.
    block = mmap.mmap(-1, block_bytes)
    block[:] = random.Random(1).randbytes(block_bytes) if sys.version_info >= (3, 9) else bytes(
        random.Random(1).getrandbits(8) for _ in range(block_bytes)
    )
    descriptor, direct = _open(block)
    view = memoryview(block)
    mib = blocks * block_bytes / (1 << 20)
    result = {"write_mib_s": [], "read_mib_s": [], "direct": direct}
    result["started_unix_ns"], started_ns = time.time_ns(), time.monotonic_ns()
    try:
        for _ in range(rounds):
            since = time.monotonic_ns()
            for number in range(blocks):
                # No two blocks are the same, lest something below stores one of them.
                head = (since ^ number).to_bytes(8, "little")[:block_bytes]
                block[: len(head)] = head
                _whole(os.pwritev, descriptor, view, number * block_bytes)
            os.fsync(descriptor)
            result["write_mib_s"].append(mib * 1e9 / (time.monotonic_ns() - since))
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            since = time.monotonic_ns()
            for number in range(blocks):
                _whole(os.preadv, descriptor, view, number * block_bytes)
            result["read_mib_s"].append(mib * 1e9 / (time.monotonic_ns() - since))
    finally:
        os.close(descriptor)
    result["duration_ns"] = time.monotonic_ns() - started_ns
    return result


def _fill(asked):
    """Takes room without writing, so that neither time nor memory is spent on it."""
    import errno

    full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    most, taken, piece = asked["most_bytes"], 0, PIECE_MOST
    descriptor = os.open(FILL_FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        while piece >= PIECE_LEAST and taken < most:
            wanted = min(piece, most - taken)
            try:
                os.posix_fallocate(descriptor, taken, wanted)
                taken += wanted
            except OSError as error:
                if error.errno not in full:
                    raise
                piece //= 2
    finally:
        os.close(descriptor)
        os.remove(FILL_FILE)
    return {"bytes": taken, "full": taken < most}


def _whole(move, descriptor, view, offset):
    done = 0
    while done < len(view):
        moved = move(descriptor, [view[done:]], offset + done)
        if moved == 0:
            raise OSError("the file ended early")
        done += moved


def _open(block):
    """The file, and whether it goes past the page cache."""
    flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    try:
        descriptor = os.open(DISK_FILE, flags | os.O_DIRECT, 0o600)
        try:
            # Some file systems refuse the flag only when something is written, or refuse odd lengths.
            os.pwritev(descriptor, [block], 0)
            return descriptor, True
        except OSError:
            os.close(descriptor)
    except OSError:
        pass
    return os.open(DISK_FILE, flags, 0o600), False


def _disk_counters():
    counters = []
    with open("/proc/diskstats") as file:
        for line in file:
            fields = line.split()
            read, written = int(fields[5]), int(fields[9])
            if read + written > 0:
                counters.append(
                    {"device": fields[2], "sectors_read": read, "sectors_written": written}
                )
    return counters


# Network


def _network(asked):
    import socket

    window_ns = _window_ns(asked["window_ms"])
    host, _, port = asked["sink"].rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), PATIENCE_S) as stream:
        block = b"Z" * (128 << 10)
        sent_bytes = 0
        started_unix_ns, started_ns = time.time_ns(), time.monotonic_ns()
        while time.monotonic_ns() - started_ns < window_ns:
            sent_bytes += stream.send(block)
        stream.shutdown(socket.SHUT_WR)
        # The sink closes when it has read to the end: what waits in buffers is not counted before it is there.
        while stream.recv(64):
            pass
        duration_ns = time.monotonic_ns() - started_ns
    return {
        "sent_bytes": sent_bytes, "duration_ns": duration_ns, "started_unix_ns": started_unix_ns
    }


# Background work


class _Work:
    """A busy thread that says how far it has come."""

    def __init__(self, for_ns):
        import threading

        now = time.time_ns()
        self.signs = {
            "started_unix_ns": now, "last_unix_ns": now, "longest_gap_ns": 0, "cpu_ns": 0,
            "finished": False,
        }
        self.stopped = False
        started_ns = time.monotonic_ns()
        threading.Thread(target=self._burn, args=(started_ns, for_ns), daemon=True).start()

    def _burn(self, started_ns, for_ns):
        signs, last = self.signs, started_ns
        while not self.stopped:
            now = time.monotonic_ns()
            signs["longest_gap_ns"] = max(signs["longest_gap_ns"], now - last)
            if now - last >= PAUSE_NS:
                return
            signs["last_unix_ns"] = time.time_ns()
            signs["cpu_ns"] = time.thread_time_ns()
            if now >= started_ns + for_ns:
                signs["finished"] = True
                return
            last = now

    def stop(self):
        """What it managed; ends it where it has not ended."""
        self.stopped = True
        return dict(self.signs)

