//! Creation of a sandbox to the exec of its program: prepared and not, back to back and 300 ms apart, beside `runc run`
//! and `crun run` of an equal bundle in the same run, and beside a process without any sandbox. Prints medians and
//! ratios. Needs root.

use model::{HostId, InstanceId, MemoryMib, Span};
use sandbox::container::{
    Container, ContainerConfig, ContainerImage, Control, Network, Program, Reveal,
};
use sandbox::runtime::Launch;
use sandbox::{Grace, HostSize, Identity, Kind, Phase, Settings};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const HOST: HostId = HostId(1);
const ROUNDS: usize = 40;

/// What is timed: from the request to the exec, in milliseconds.
struct Series {
    name: String,
    milliseconds: Vec<f64>,
}

impl Series {
    fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), milliseconds: Vec::new() }
    }

    fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.milliseconds.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
            .get(((sorted.len() - 1) as f64 * share).round() as usize)
            .copied()
            .unwrap_or(f64::NAN)
    }
}

async fn open(data: &Path, pool: usize) -> Container {
    std::fs::create_dir_all(data).expect("data directory");
    let container = Container::open(ContainerConfig {
        data: data.to_owned(),
        server_id: format!("bench-{}-{pool}", std::process::id()),
        starter: vec![env!("CARGO_BIN_EXE_sandbox-starter").into()],
        reveal: Reveal::Nothing,
        network: Network::None,
        pool,
        interpreters: Vec::new(),
    })
    .await
    .expect("containers can be had");
    let size = HostSize { memory: MemoryMib(3328), milli_cpus: 2000 };
    container.make_host(HOST, size).await.expect("a cell");
    container
}

async fn measure(
    container: &Container,
    image: &ContainerImage,
    pause: Duration,
    name: &str,
) -> Series {
    let mut series = Series::new(name);
    let settings = settings();
    for round in 0..ROUNDS {
        tokio::time::sleep(pause).await;
        let identity = Identity {
            instance: InstanceId(next()),
            host: HOST,
            environment: BTreeMap::new(),
            log: None,
            phase: Phase::Init,
        };
        let began = Instant::now();
        let program = Program { image, settings: &settings, identity: &identity };
        let running = container.create(program).await.expect("a sandbox");
        let taken = began.elapsed();
        if round > 0 {
            series.milliseconds.push(taken.as_secs_f64() * 1e3);
        }
        running.control.destroy(Grace(Span::ZERO)).await;
    }
    series
}

fn next() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A command from its start to its end; its program ends at once, so that is little more than its creation. None where it
/// is missing or refuses.
fn measure_command(name: &str, pause: Duration, command: impl Fn() -> Command) -> Option<Series> {
    let mut series = Series::new(format!("{name}, {} ms apart", pause.as_millis()));
    for round in 0..ROUNDS / 2 {
        std::thread::sleep(pause);
        let mut command = command();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let began = Instant::now();
        let status = command.status().ok()?;
        if !status.success() {
            return None;
        }
        if round > 0 {
            series.milliseconds.push(began.elapsed().as_secs_f64() * 1e3);
        }
    }
    Some(series)
}

/// `runtime run` of a bundle with the same program.
fn run(runtime: &str, bundle: &Path) -> Command {
    let mut command = Command::new(runtime);
    command.args(["run", "--bundle"]).arg(bundle);
    command.arg(format!("peek-bench-{}-{}", std::process::id(), next()));
    command
}

/// A bundle that shows the host's /usr and runs /usr/bin/true with the same namespaces and limits.
fn bundle(directory: &Path) -> PathBuf {
    let root = directory.join("rootfs");
    for name in ["usr", "proc", "dev", "tmp", "etc", "sys"] {
        std::fs::create_dir_all(root.join(name)).expect("bundle");
    }
    for name in ["bin", "sbin", "lib", "lib64"] {
        if let Ok(target) = std::fs::read_link(Path::new("/").join(name)) {
            std::os::unix::fs::symlink(target, root.join(name)).expect("bundle");
        }
    }
    let namespaces: Vec<_> = ["pid", "network", "ipc", "uts", "mount", "cgroup"]
        .iter()
        .map(|kind| serde_json::json!({ "type": kind }))
        .collect();
    let config = serde_json::json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": { "uid": 993, "gid": 990 },
            "args": ["/usr/bin/true"],
            "env": ["PATH=/usr/bin"],
            "cwd": "/",
            "noNewPrivileges": true,
        },
        "root": { "path": "rootfs", "readonly": true },
        "hostname": "localhost",
        "mounts": [
            { "destination": "/usr", "type": "bind", "source": "/usr",
              "options": ["rbind", "ro", "nosuid", "nodev"] },
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid"] },
            { "destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev"] },
        ],
        "linux": {
            "resources": {
                "memory": { "limit": 268_435_456 },
                "pids": { "limit": 1024 },
                "cpu": { "shares": 1024, "quota": 200_000, "period": 100_000 },
            },
            "namespaces": namespaces,
        },
    });
    std::fs::write(directory.join("config.json"), config.to_string()).expect("bundle");
    directory.to_owned()
}

fn settings() -> Settings {
    Settings {
        runtime: "provided.al2023".into(),
        handler: "bootstrap".into(),
        environment: BTreeMap::from([("PATH".to_owned(), "/usr/bin".to_owned())]),
        memory: MemoryMib(1769),
        cpu_ceiling_milli: None,
        cpu_weight: 100,
        tmp: MemoryMib(512),
        init_timeout: Span::from_secs(10),
        account: String::new(),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root");
        return;
    }
    let directory = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("directory");
    let image = ContainerImage {
        package: directory.path().to_owned(),
        layers: None,
        extensions: Vec::new(),
        launch: Launch { program: "/usr/bin/true".into(), arguments: Vec::new() },
    };
    let apart = Duration::from_millis(300);
    let only = std::env::args().find(|argument| argument == "direct" || argument == "pool");
    let mut all = Vec::new();
    for (pool, name) in [(0, "direct"), (4, "from the pool")] {
        if only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        let container = open(&directory.path().join(name), pool).await;
        tokio::time::sleep(apart).await;
        // A pool takes a while to fill: back to back is what it gives when it runs dry.
        for pause in [Duration::ZERO, Duration::from_millis(20), apart] {
            let name = format!("peek {name}, {} ms apart", pause.as_millis());
            all.push(measure(&container, &image, pause, &name).await);
        }
        container.close().await;
    }
    if only.is_some() {
        all.iter().for_each(|series| {
            println!(
                "{:<36} {:>9.2} {:>9.2}",
                series.name,
                series.quantile(0.1),
                series.quantile(0.5)
            );
        });
        return;
    }
    let bundle = bundle(&directory.path().join("bundle"));
    let mut peers = Vec::new();
    for runtime in ["runc", "crun"] {
        for pause in [Duration::ZERO, apart] {
            match measure_command(&format!("{runtime} run"), pause, || run(runtime, &bundle)) {
                Some(series) => peers.push(series),
                None => println!("{runtime} run does not work here"),
            }
        }
    }
    // What a process costs on this machine when it has no sandbox at all.
    for pause in [Duration::ZERO, apart] {
        peers.extend(measure_command("no sandbox", pause, || Command::new("/usr/bin/true")));
    }
    println!("{:<36} {:>9} {:>9} {:>9}", "milliseconds", "p50", "p90", "n");
    for series in all.iter().chain(&peers) {
        println!(
            "{:<36} {:>9.2} {:>9.2} {:>9}",
            series.name,
            series.quantile(0.5),
            series.quantile(0.9),
            series.milliseconds.len()
        );
    }
    for peer in &peers {
        for series in &all {
            let ratio = peer.quantile(0.5) / series.quantile(0.5);
            println!("{:<36} is {ratio:>5.1} times {}", peer.name, series.name);
        }
    }
}
