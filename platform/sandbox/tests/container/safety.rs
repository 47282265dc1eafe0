//! What a function cannot do, tried from inside.

use crate::support::{World, is_root, settings};
use model::MemoryMib;
use sandbox::Settings;
use sandbox::container::Cause;
use std::time::Duration;

/// Calls, each of which must be refused, as Python: number, arguments.
const CALLS: &str = r"
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(4096)
CALLS = {
    'mount': (165, b'none', b'/tmp', b'tmpfs', 0, None),
    'umount2': (166, b'/tmp', 2),
    'pivot_root': (155, b'/tmp', b'/tmp'),
    'chroot': (161, b'/tmp'),
    'unshare user': (272, 0x10000000),
    'unshare mount': (272, 0x20000),
    'setns': (308, 0, 0),
    'clone user': (56, 0x10000000 | 17, 0, 0, 0, 0),
    'clone network': (56, 0x40000000 | 17, 0, 0, 0, 0),
    'clone3': (435, buffer, 88),
    'ptrace': (101, 16, 1, 0, 0),
    'process_vm_readv': (310, 1, buffer, 1, buffer, 1, 0),
    'pidfd_getfd': (438, 0, 0, 0),
    'kcmp': (312, 1, 1, 0, 0, 0),
    'bpf': (321, 0, buffer, 72),
    'perf_event_open': (298, buffer, 0, -1, -1, 0),
    'userfaultfd': (323, 0),
    'io_uring_setup': (425, 1, buffer),
    'keyctl': (250, 1, 0, 0, 0, 0),
    'add_key': (248, b'user', b'x', b'y', 1, -3),
    'request_key': (249, b'user', b'x', 0, -3),
    'open_by_handle_at': (304, 0, buffer, 0),
    'name_to_handle_at': (303, -100, b'/', buffer, buffer, 0),
    'init_module': (175, buffer, 0, b''),
    'finit_module': (313, 0, b'', 0),
    'delete_module': (176, b'x', 0),
    'kexec_load': (246, 0, 0, None, 0),
    'reboot': (169, 0xfee1dead, 672274793, 0x89abcdef, None),
    'swapon': (167, b'/tmp/x', 0),
    'acct': (163, b'/tmp/x'),
    'settimeofday': (164, buffer, None),
    'clock_settime': (227, 0, buffer),
    'sethostname': (170, b'x', 1),
    'syslog': (103, 3, buffer, 10),
    'quotactl': (179, 0, None, 0, buffer),
    'fsopen': (430, b'tmpfs', 0),
    'open_tree': (428, -100, b'/', 1),
    'move_mount': (429, 0, b'', 0, b'', 0),
    'mount_setattr': (442, 0, b'', 0, buffer, 32),
    'fanotify_init': (300, 0, 0),
    'iopl': (172, 3),
    'ioperm': (173, 0, 1, 1),
    'modify_ldt': (154, 0, buffer, 16),
    'personality': (135, 8),
    'x32 getpid': (0x40000000 + 39,),
    'socket vsock': (41, 40, 1, 0),
    'socket alg': (41, 38, 5, 0),
    'socket packet': (41, 17, 3, 0),
    'socket netlink audit': (41, 16, 3, 9),
    'socket bluetooth': (41, 31, 3, 0),
    'TIOCSTI': (16, 0, 0x5412, buffer),
    'memfd_secret': (447, 0),
}
for name, (number, *arguments) in CALLS.items():
    ctypes.set_errno(0)
    got = libc.syscall(ctypes.c_long(number), *[
        ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    code = ctypes.get_errno()
    if got >= 0 or code not in (errno.EPERM, errno.ENOSYS):
        print(name, got, errno.errorcode.get(code))
    if got == 0 and name.startswith('clone'):
        os._exit(0)
print('done')
";

// Every call that reaches beyond the sandbox answers EPERM or ENOSYS.
#[tokio::test]
async fn forbidden_calls_are_refused() {
    if !is_root() {
        return;
    }
    let world = World::new("calls").await;
    let (exit, text) = world.python(1, CALLS).await;
    assert_eq!((exit.status, text.trim()), (Some(0), "done"));
    world.close().await;
}

// Nothing of the host is in view or can be written: files, processes, groups, devices, identities.
#[tokio::test]
async fn the_host_is_out_of_view() {
    if !is_root() {
        return;
    }
    let world = World::new("view").await;
    let script = r"
import os, stat
def listing(path):
    try: return sorted(os.listdir(path))
    except OSError as error: return error.strerror
def opens(path, mode='r'):
    try:
        with open(path, mode) as file: return repr(file.read(64) if mode == 'r' else 'writable')
    except OSError as error: return 'error'
print('root', listing('/'))
print('home', listing('/home'), listing('/root'), listing('/sys'), listing('/opt'), listing('/usr/local'))
print('pids', sorted(int(p) for p in os.listdir('/proc') if p.isdigit()))
print('one', opens('/proc/1/environ'), opens('/proc/1/mem'), listing('/proc/1/root'), listing('/proc/1/fd'))
print('etc', opens('/etc/shadow'), opens('/etc/ssh/ssh_host_rsa_key'))
print('cgroup', sorted(set(line.split(':')[2].strip() for line in open('/proc/self/cgroup'))))
print('ids', os.getuid(), os.getgid(), os.getgroups(), open('/proc/self/uid_map').read().split()[0::2])
print('caps', [l.split()[1] for l in open('/proc/self/status') if l.startswith(('Cap', 'NoNewPrivs', 'Seccomp:'))])
print('dev', listing('/dev'))
print('write', [p for p in ('/x', '/usr/x', '/etc/x', '/var/task/x', '/dev/x', '/proc/sys/kernel/hostname') if opens(p, 'w') != 'error'])
print('write ok', [p for p in ('/tmp/x', '/dev/shm/x', '/dev/null') if opens(p, 'w') != 'error'])
try: os.mknod('/tmp/device', 0o600 | stat.S_IFCHR, os.makedev(1, 3)); print('mknod worked')
except OSError: pass
print('fds', sorted(int(f) for f in os.listdir('/proc/self/fd'))[:4], 'mounts', len(open('/proc/self/mounts').readlines()))
print('suid', [l for l in open('/proc/self/mounts') if 'nosuid' not in l.split()[3]])
print('proc', [n for n in ('stat', 'cpuinfo', 'meminfo', 'uptime', 'loadavg', 'diskstats', 'cmdline', 'interrupts') if len(opens('/proc/' + n)) > 90], opens('/proc/uptime'))
print('boot', len(open('/proc/sys/kernel/random/boot_id').read()), len(open('/etc/machine-id').read()))
";
    let (exit, text) = world.python(1, script).await;
    assert_eq!(exit.status, Some(0), "{text}");
    let line = |name: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        found.unwrap_or_else(|| panic!("no line {name} in {text}")).to_owned()
    };
    assert_eq!(line("home"), "[] Permission denied [] [] []");
    assert_eq!(line("pids"), "[1, 2]");
    assert_eq!(line("one"), "error error Permission denied Permission denied");
    assert_eq!(line("etc"), "error error");
    assert_eq!(line("cgroup"), "['/']");
    assert!(line("ids").starts_with("993 990 [] ['993', '1']"), "{text}");
    assert_eq!(
        line("caps"),
        "['0000000000000000', '0000000000000000', '0000000000000000', '0000000000000000', \
         '0000000000000000', '1', '2']"
    );
    assert_eq!(line("write"), "[]");
    assert_eq!(line("write ok"), "['/tmp/x', '/dev/shm/x', '/dev/null']");
    assert!(!text.contains("mknod worked"));
    assert_eq!(line("suid"), "[]");
    assert!(line("proc").ends_with("'1.00 1.00\\n'"), "{text}");
    assert_eq!(line("boot"), "37 33");
    let host_boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("boot id");
    assert!(!text.contains(host_boot_id.trim()));
    world.close().await;
}

// A fork bomb stays inside its limit, and the machine goes on.
#[tokio::test]
async fn fork_bombs_stay_inside() {
    if !is_root() {
        return;
    }
    let world = World::new("bomb").await;
    let script = r"
import os, time
made = 0
try:
    while made < 5000:
        if os.fork() == 0:
            time.sleep(60); os._exit(0)
        made += 1
except OSError: pass
print(made, flush=True)
";
    // Its children together would else meet the limit of memory first, now and then.
    let settings = Settings { memory: MemoryMib(1024), ..settings() };
    let command = ["/usr/bin/python3", "-c", script];
    let (exit, text) = world.start_with(1, &command, &settings).await.finish().await;
    assert_eq!(exit.status, Some(0), "{text}");
    let made: u32 = text.trim().parse().expect("a number");
    assert!((100..1024).contains(&made), "{made}");
    let (exit, text) = world.run(2, &["/bin/echo", "alive"]).await;
    assert_eq!((exit.status, text.as_str()), (Some(0), "alive\n"));
    world.close().await;
}

// Who eats memory is killed alone, and it is known why.
#[tokio::test]
async fn memory_hogs_die_alone() {
    if !is_root() {
        return;
    }
    let world = World::new("hog").await;
    let other = world.start(1, &["/bin/sh", "-c", "echo up; exec sleep 600"]).await;
    assert_eq!(other.line().await, "up");
    let (exit, _) =
        world.python(2, "x = bytearray(1 << 30)\nfor i in range(0, 1 << 30, 4096): x[i] = 1").await;
    assert_eq!(exit.cause, Cause::Memory, "{exit:?}");
    assert_eq!(exit.signal, Some(9));
    other.expect_alive().await;
    other.kill().await;
    world.close().await;
}

// A full /tmp answers ENOSPC, in bytes and in files, and does not count as memory.
#[tokio::test]
async fn a_full_tmp_is_only_full() {
    if !is_root() {
        return;
    }
    let world = World::new("full").await;
    let script = r"
import errno, os
def fill():
    with open('/tmp/big', 'wb') as file:
        for _ in range(2048):
            file.write(b'x' * (1 << 20))
try: fill(); print('endless')
except OSError as error: print(errno.errorcode[error.errno], os.path.getsize('/tmp/big') >> 20)
os.unlink('/tmp/big')
try:
    for number in range(1000000): open(f'/tmp/{number}', 'w').close()
    print('endless')
except OSError as error: print(errno.errorcode[error.errno], number)
";
    let mut settings = settings();
    settings.memory = MemoryMib(128);
    let sandbox = world.start_with(1, &["/usr/bin/python3", "-c", script], &settings).await;
    let (exit, text) = sandbox.finish().await;
    assert_eq!((exit.status, exit.cause), (Some(0), Cause::Own), "{exit:?} {text}");
    let mut words = text.split_whitespace();
    assert_eq!(words.next(), Some("ENOSPC"));
    let full_mib: u32 = words.next().and_then(|word| word.parse().ok()).expect("a size");
    assert!((400..=512).contains(&full_mib), "{full_mib}");
    assert_eq!(words.next(), Some("ENOSPC"));
    let files: u32 = words.next().and_then(|word| word.parse().ok()).expect("a number");
    assert!((30_000..=32_768).contains(&files), "{files}");
    world.close().await;
}

// Instances have different users, each its own loopback, and none sees another's listener or processes.
#[tokio::test]
async fn instances_are_apart() {
    if !is_root() {
        return;
    }
    let world = World::new("apart").await;
    let one = world
        .start(1, &["/usr/bin/python3", "-c", "import socket,time\ns=socket.create_server(('127.0.0.1',7000))\nprint('up',flush=True)\ntime.sleep(600)"])
        .await;
    assert_eq!(one.line().await, "up");
    let script = r"
import socket
def connect(address, port):
    try: socket.create_connection((address, port), 1).close(); return 'connected'
    except OSError as error: return error.strerror
print(connect('127.0.0.1', 7000), '|', connect('127.0.0.1', 9001), '|', connect('10.255.255.53', 53))
";
    let two = world.start(2, &["/usr/bin/python3", "-c", script]).await;
    assert_eq!(two.line().await, "Connection refused | connected | Network is unreachable");
    two.kill().await;
    one.kill().await;
    world.close().await;
}

// A function that opens many files is stopped by its own limit.
#[tokio::test]
async fn open_files_are_limited() {
    if !is_root() {
        return;
    }
    let world = World::new("files").await;
    let script = "import errno\nf=[]\ntry:\n  while True: f.append(open('/dev/null'))\nexcept OSError as e: print(errno.errorcode[e.errno], len(f))";
    let (_, text) = world.python(1, script).await;
    assert!(text.starts_with("EMFILE 10"), "{text}");
    let (_, text) = world.run(2, &["/bin/sh", "-c", "ulimit -c; ulimit -Hc; ulimit -n"]).await;
    assert_eq!(text.split_whitespace().last(), Some("1024"), "{text}");
    tokio::time::sleep(Duration::from_millis(1)).await;
    world.close().await;
}
