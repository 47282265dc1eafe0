//! Every language of the probe, run as a function by a small platform, gives the same answers, and they are this
//! machine's truth. Nothing here is judged by how long it took.

mod platform;

use platform::{Framing, Platform, Posted};
use probe::{Request, Response};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

/// One running probe.
struct Function {
    platform: Platform,
    child: Child,
    tmp: tempfile::TempDir,
}

impl Drop for Function {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Function {
    /// None, with a word on standard error, where the machine has no interpreter for it.
    fn start(language: &str) -> Option<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let tmp = tempfile::tempdir().expect("a directory");
        fs::write(tmp.path().join("peek-mark"), "code\n").expect("written");
        let mut command = match language {
            "native" => Command::new(env!("CARGO_BIN_EXE_probe")),
            "python" => {
                let mut command = Command::new("/usr/bin/python3");
                command.arg(here.join("tests/drive.py")).env("PYTHONPATH", here.join("python"));
                command.env("PYTHONDONTWRITEBYTECODE", "1");
                command
            }
            _ => {
                fs::copy(here.join("nodejs/probe.js"), tmp.path().join("probe.js"))
                    .expect("copied");
                let mut command = Command::new("node");
                command.arg(here.join("tests/drive.js"));
                command
            }
        };
        let platform = Platform::start();
        let child = command
            .env("AWS_LAMBDA_RUNTIME_API", platform.address.to_string())
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_INITIALIZATION_TYPE", "provisioned-concurrency")
            .env("LAMBDA_TASK_ROOT", tmp.path())
            .env("PEEK_MARK", "settings")
            .env("WEBSITE_INSTANCE_ID", "host-7")
            .env("TMPDIR", tmp.path())
            .stdin(Stdio::null())
            .spawn();
        match child {
            Ok(child) => Some(Self { platform, child, tmp }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                eprintln!("{language} is not on this machine: not tested");
                None
            }
            Err(error) => panic!("{language}: {error}"),
        }
    }

    fn answer(&self, request: &Request, framing: Framing) -> Response {
        let event = serde_json::to_string(request).expect("JSON");
        match self.platform.invoke(&event, framing) {
            Posted::Response(text) => read_strictly(&text),
            Posted::Error(text) => panic!("failed: {text}"),
        }
    }

    fn failure(&self, event: &Value) -> String {
        match self.platform.invoke(&event.to_string(), Framing::Length) {
            Posted::Error(text) => text,
            Posted::Response(text) => panic!("did not fail: {text}"),
        }
    }
}

/// The response, which has no field that the schema does not have.
fn read_strictly(text: &str) -> Response {
    let raw: Value = serde_json::from_str(text).expect("JSON");
    let response: Response = serde_json::from_value(raw.clone()).expect("the schema");
    let known = serde_json::to_value(&response).expect("JSON");
    assert_known(&raw, &known, "response");
    response
}

fn assert_known(raw: &Value, known: &Value, path: &str) {
    match (raw, known) {
        (Value::Object(raw), Value::Object(known)) => {
            for (name, value) in raw {
                let known = known.get(name).unwrap_or_else(|| panic!("{path}.{name} is unknown"));
                assert_known(value, known, &format!("{path}.{name}"));
            }
        }
        (Value::Array(raw), Value::Array(known)) => {
            raw.iter().zip(known).for_each(|(raw, known)| assert_known(raw, known, path));
        }
        _ => {}
    }
}

fn unix_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(now.as_nanos()).expect("before 2554")
}

/// Clocks of languages whose numbers are floating are exact to this.
const GRAIN_NS: u64 = 2_000_000;

/// A sink that reads to the end and closes.
fn sink() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            drop(std::io::copy(&mut stream.by_ref(), &mut std::io::sink()));
        }
    });
    address
}

fn everything() -> Value {
    json!({
        "identity": true, "exposure": true, "disk_counters": true,
        "barrier_unix_ns": unix_ns() + 20_000_000,
        "cpu": {"window_ms": 60.0, "threads": 2},
        "disk": {"block_bytes": 65536, "blocks": 4, "rounds": 3},
        "network": {"sink": sink().to_string(), "window_ms": 30.0},
        "hold_ms": 10.0, "hold_until_unix_ns": unix_ns() + 30_000_000,
        "background": {"for_ms": 5.0},
    })
}

// One request with every part is answered in full, and its numbers do not contradict each other or this machine.
fn answers_everything(language: &str) {
    let Some(function) = Function::start(language) else { return };
    let request: Request = serde_json::from_value(everything()).expect("a request");
    let before = unix_ns();
    let response = function.answer(&request, Framing::Length);
    let after = unix_ns();

    let barrier = request.barrier_unix_ns.expect("asked");
    let held = request.hold_until_unix_ns.expect("asked");
    assert!(response.started_unix_ns + GRAIN_NS >= before);
    assert!(response.init_unix_ns <= response.started_unix_ns + GRAIN_NS);
    assert!(response.finished_unix_ns + GRAIN_NS >= held, "left before it was to be held until");
    assert!(response.finished_unix_ns <= after + GRAIN_NS);
    assert!(response.duration_ns >= 10_000_000, "not held");
    assert!(response.duration_ns <= after - before + GRAIN_NS);
    assert_eq!(response.instance.len(), 32);
    assert!(response.instance.bytes().all(|b| b.is_ascii_hexdigit()));
    assert_eq!(response.instance_tmp, response.instance);
    let kept = fs::read_to_string(function.tmp.path().join("peek-instance")).expect("kept");
    assert_eq!(kept, response.instance);
    assert_eq!((response.invocations, response.memory_mib), (1, 256));
    assert_eq!(response.initialization, "provisioned-concurrency");
    assert_eq!((response.version.as_str(), response.mark.as_str()), ("$LATEST", "settings.code"));
    check_runtime(language, &response);
    check_identity(&response);
    check_cpu(language, &response, barrier);
    check_disk(&response);
    let network = response.network.expect("network");
    assert!(network.sent_bytes > 0 && network.duration_ns >= 30_000_000);
    let excuses: Vec<_> = response.problems.keys().map(String::as_str).collect();
    // What Node.js cannot do is said, and nothing else is wrong.
    let expected = if language == "node" { vec!["background", "cpu", "disk"] } else { vec![] };
    assert!(excuses.iter().all(|part| expected.contains(part)), "{:?}", response.problems);
}

fn check_runtime(language: &str, response: &Response) {
    match language {
        "native" => assert_eq!(response.runtime, "native"),
        "python" => assert!(response.runtime.starts_with("python3."), "{}", response.runtime),
        _ => assert!(response.runtime.starts_with("nodejs"), "{}", response.runtime),
    }
}

fn check_identity(response: &Response) {
    let identity = response.identity.as_ref().expect("identity");
    let kernel = |name: &str| {
        let text = fs::read_to_string(format!("/proc/sys/kernel/{name}")).expect(name);
        text.trim().to_owned()
    };
    assert_eq!(identity.host_ids.get("boot_id"), Some(&kernel("random/boot_id")));
    assert_eq!(identity.host_ids.get("env").map(String::as_str), Some("host-7"));
    let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let seen = identity.host_ids.get("machine_id").map_or("", String::as_str);
    assert_eq!(seen, machine.trim());
    assert_eq!((&identity.hostname, &identity.kernel), (&kernel("hostname"), &kernel("osrelease")));
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").expect("cpuinfo");
    let count = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    assert_eq!(identity.cpu_count as usize, count);
    assert!(cpuinfo.contains(&identity.cpu_model));
    let meminfo = fs::read_to_string("/proc/meminfo").expect("meminfo");
    let kib: u32 =
        meminfo.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("MemTotal");
    assert_eq!(identity.host_memory_mib, kib / 1024);
    let uptime = fs::read_to_string("/proc/uptime").expect("uptime");
    let uptime: f64 = uptime.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
    assert!(identity.uptime_s > 0.0 && identity.uptime_s <= uptime);
    assert!(identity.addresses.iter().all(|address| !address.starts_with("127.")));
    let exposure = response.exposure.as_ref().expect("exposure");
    let items = include_str!("../../exposure.txt");
    assert!(exposure.iter().map(|e| e.item.as_str()).eq(items.lines()), "{exposure:?}");
    for exposed in exposure {
        assert_eq!(exposed.digest.len(), if exposed.readable { 16 } else { 0 }, "{exposed:?}");
    }
}

fn check_cpu(language: &str, response: &Response, barrier: u64) {
    let cpu = response.cpu.as_ref().expect("cpu");
    let most = u64::from(cpu.threads) * cpu.window_ns;
    assert_eq!((cpu.threads, cpu.window_ns), (2, 60_000_000));
    assert!(cpu.running_ns > 0 && cpu.running_ns <= most, "{cpu:?}");
    assert!(cpu.started_unix_ns + GRAIN_NS >= barrier, "began before the barrier");
    assert!((1..=60).contains(&cpu.ticks), "{}", cpu.ticks);
    assert!(cpu.ran.iter().all(|(from, to)| from < to && *to <= cpu.window_ns), "{:?}", cpu.ran);
    assert!(cpu.ran.is_sorted() && cpu.ran.windows(2).all(|two| two[0].1 <= two[1].0));
    if language == "node" {
        let excused = response.problems.contains_key("cpu");
        assert_ne!(excused, cpu.cpu_ns > 0, "a missing clock is said, and only then");
    } else {
        assert!(cpu.cpu_ns > 0 && cpu.cpu_ns <= most + GRAIN_NS, "{cpu:?}");
    }
}

fn check_disk(response: &Response) {
    let disk = response.disk.as_ref().expect("disk");
    assert_eq!((disk.write_mib_s.len(), disk.read_mib_s.len()), (3, 3));
    assert!(disk.write_mib_s.iter().chain(&disk.read_mib_s).all(|rate| *rate > 0.0));
    assert!(disk.duration_ns > 0);
    let devices = |counters: &Option<Vec<probe::DiskCounter>>| -> BTreeMap<String, u64> {
        let counters = counters.as_ref().expect("counters").iter();
        counters.map(|one| (one.device.clone(), one.sectors_written)).collect()
    };
    let (before, after) = (devices(&response.disk_before), devices(&response.disk_after));
    assert!(before.iter().all(|(device, sectors)| after.get(device) >= Some(sectors)));
}

// An instance keeps its id, counts its invocations, and tells of its background work once; events may be framed in any
// way that HTTP allows.
fn remembers(language: &str) {
    let Some(function) = Function::start(language) else { return };
    let background = probe::Background { for_ms: 5.0 };
    let request = Request { background: Some(background), ..Request::default() };
    let first = function.answer(&request, Framing::Chunked);
    assert_eq!(first.background, None);
    let wait = Request { hold_ms: Some(20.0), ..Request::default() };
    let second = function.answer(&wait, Framing::Close);
    let third = function.answer(&Request::default(), Framing::Length);
    assert!(first.instance == second.instance && first.instance == third.instance);
    assert_eq!((first.invocations, second.invocations, third.invocations), (1, 2, 3));
    assert_eq!(third.background, None);
    assert_eq!((third.identity, third.exposure, third.cpu), (None, None, None));
    let work = second.background.expect("a report");
    assert!(work.started_unix_ns >= first.started_unix_ns);
    assert!(work.last_unix_ns >= work.started_unix_ns);
    assert!(!work.finished || work.last_unix_ns + GRAIN_NS >= work.started_unix_ns + 5_000_000);
}

// Room in /tmp is taken up to what was asked for and given back; a request is no less of one for being large.
fn takes_room(language: &str) {
    let Some(function) = Function::start(language) else { return };
    let most_bytes = (5 << 20) + 4096;
    let request = Request {
        fill: Some(probe::Fill { most_bytes }),
        padding: "x".repeat(6 << 20),
        ..Request::default()
    };
    let response = function.answer(&request, Framing::Length);
    assert_eq!(response.problems, BTreeMap::new());
    assert_eq!(response.fill, Some(probe::FillResult { bytes: most_bytes, full: false }));
    let left: Vec<_> = fs::read_dir(function.tmp.path()).expect("its /tmp").flatten().collect();
    assert!(left.iter().all(|entry| entry.file_name() != "peek-fill"), "{left:?}");
}

// A failure on purpose, and a request that nobody understands, are errors with the words that were given.
fn fails_well(language: &str) {
    let Some(function) = Function::start(language) else { return };
    assert!(function.failure(&json!({"fail": "as you wish"})).contains("as you wish"));
    assert!(function.failure(&json!({"identitty": true})).contains("identitty"));
    assert!(function.failure(&json!({"cpu": {"window_ms": 1.0, "colour": 1}})).contains("colour"));
    function.failure(&json!("nonsense"));
    let response = function.answer(&Request::default(), Framing::Length);
    assert_eq!(response.invocations, 5, "an instance outlives its failures");
}

// What cannot be measured is a problem with its reason, never a number, and the rest is measured.
fn says_what_is_wrong(language: &str) {
    let Some(function) = Function::start(language) else { return };
    let refusing = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("bound")
    };
    let request = serde_json::from_value(json!({
        "cpu": {"window_ms": 0.0},
        "disk": {"block_bytes": 1_u64 << 40, "blocks": 1, "rounds": 1},
        "network": {"sink": refusing.to_string(), "window_ms": 1.0},
        "disk_counters": true,
    }));
    let response = function.answer(&request.expect("a request"), Framing::Length);
    assert_eq!((&response.cpu, &response.disk, &response.network), (&None, &None, &None));
    let parts: Vec<_> = response.problems.keys().map(String::as_str).collect();
    assert_eq!(parts, ["cpu", "disk", "network"], "{:?}", response.problems);
    assert!(response.problems["cpu"].contains("limit is"));
    assert!(response.problems["disk"].contains("limits are"));
    assert!(response.disk_before.is_some());
}

macro_rules! conformance {
    ($($language:ident),*) => {$(
        mod $language {
            // One request with every part is answered in full and without contradiction.
            #[test]
            fn answers_everything() {
                super::answers_everything(stringify!($language));
            }

            // Identity, count and background work last from one invocation to the next.
            #[test]
            fn remembers() {
                super::remembers(stringify!($language));
            }

            // Room in /tmp is taken and given back, and large requests are read.
            #[test]
            fn takes_room() {
                super::takes_room(stringify!($language));
            }

            // Failures are errors with the words that were given.
            #[test]
            fn fails_well() {
                super::fails_well(stringify!($language));
            }

            // What cannot be measured is a problem with its reason.
            #[test]
            fn says_what_is_wrong() {
                super::says_what_is_wrong(stringify!($language));
            }
        }
    )*};
}

conformance!(native, python, node);
