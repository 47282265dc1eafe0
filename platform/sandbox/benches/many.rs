//! Many sandboxes at once: the time until all have executed their program, and what each costs in memory and descriptors
//! while it waits, also by the kernel's own counters, which other work on the machine disturbs little. Prints figures.
//! Needs root. `cargo bench -p sandbox --bench many [-- COUNT]`.

use model::{HostId, InstanceId, MemoryMib, Span};
use sandbox::container::{
    Container, ContainerConfig, ContainerImage, Control, Network, Program, Reveal,
};
use sandbox::runtime::Launch;
use sandbox::{Grace, HostSize, Identity, Kind, Phase, Settings};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

const HOST: HostId = HostId(1);
const COUNT: u64 = 200;
/// Slab caches of which fewer bytes than this go to each sandbox are not listed.
const LISTED: i64 = 1024;

/// Kernel memory by kind, in bytes: lines of /proc/meminfo, and active objects of each slab cache.
fn kernel_memory() -> BTreeMap<String, i64> {
    const KINDS: [&str; 5] = ["Slab:", "PageTables:", "KernelStack:", "Percpu:", "AnonPages:"];
    let text = std::fs::read_to_string("/proc/meminfo").expect("a file of /proc");
    let word =
        |line: &str, at: usize| -> Option<i64> { line.split_whitespace().nth(at)?.parse().ok() };
    let kinds = text.lines().filter_map(|line| {
        let kind = KINDS.iter().find(|kind| line.starts_with(**kind))?;
        Some(((*kind).to_owned(), word(line, 1)? << 10))
    });
    let slabs = std::fs::read_to_string("/proc/slabinfo").unwrap_or_default();
    let caches = slabs.lines().skip(2).filter_map(|line| {
        let name = line.split_whitespace().next()?;
        Some((format!("  {name}"), word(line, 1)? * word(line, 3)?))
    });
    kinds.chain(caches).collect()
}

/// How many sandboxes.
fn count() -> u64 {
    std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(COUNT)
}

/// MemAvailable and the server's own resident memory in KiB, and its open descriptors.
fn memory() -> (i64, i64, i64) {
    let number = |file: &str, name: &str| {
        let text = std::fs::read_to_string(file).expect("a file of /proc");
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        line.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number")
    };
    let descriptors = std::fs::read_dir("/proc/self/fd").expect("descriptors").count();
    (
        number("/proc/meminfo", "MemAvailable:"),
        number("/proc/self/status", "VmRSS:"),
        descriptors as i64,
    )
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root");
        return;
    }
    let directory = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("directory");
    let shared = Arc::new(platform(directory.path()).await);
    measure(&shared).await;
    shared.0.close().await;
}

/// A container kind with one large cell, and what each sandbox runs.
async fn platform(directory: &Path) -> (Container, ContainerImage, Settings) {
    let container = Container::open(ContainerConfig {
        data: directory.to_owned(),
        server_id: format!("many-{}", std::process::id()),
        starter: vec![env!("CARGO_BIN_EXE_sandbox-starter").into()],
        reveal: Reveal::Nothing,
        network: Network::None,
        pool: 8,
        interpreters: Vec::new(),
    })
    .await
    .expect("containers can be had");
    let size = HostSize { memory: MemoryMib(65_536), milli_cpus: 2000 };
    container.make_host(HOST, size).await.expect("a cell");
    let image = ContainerImage {
        package: directory.to_owned(),
        layers: None,
        extensions: Vec::new(),
        launch: Launch { program: "/usr/bin/sleep".into(), arguments: vec!["600".into()] },
    };
    let settings = Settings {
        runtime: "provided.al2023".into(),
        handler: "bootstrap".into(),
        environment: BTreeMap::new(),
        memory: MemoryMib(128),
        cpu_ceiling_milli: None,
        cpu_weight: 100,
        tmp: MemoryMib(512),
        init_timeout: Span::from_secs(10),
        account: String::new(),
    };
    (container, image, settings)
}

/// Starts all, waits until they are at rest, removes all, and prints what each step took.
async fn measure(shared: &Arc<(Container, ContainerImage, Settings)>) {
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let before = memory();
    let kernel = kernel_memory();
    let count = count();
    let began = Instant::now();
    let mut starting = Vec::new();
    for number in 1..=count {
        let shared = Arc::clone(shared);
        starting.push(tokio::spawn(async move {
            let (container, image, settings) = &*shared;
            let identity = Identity {
                instance: InstanceId(number),
                host: HOST,
                environment: BTreeMap::new(),
                log: None,
                phase: Phase::Init,
            };
            let program = Program { image, settings, identity: &identity };
            container.create(program).await.expect("a sandbox")
        }));
    }
    let mut running = Vec::new();
    for start in starting {
        running.push(start.await.expect("a start"));
    }
    println!("{count} sandboxes at once: {:.0} ms", began.elapsed().as_secs_f64() * 1e3);
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let after = memory();
    let each = |from: i64, to: i64| (to - from) as f64 / count as f64;
    println!("available memory, each: {:.0} KiB", each(after.0, before.0));
    println!("server's memory, each: {:.1} KiB", each(before.1, after.1));
    println!("server's descriptors, each: {:.1}", each(before.2, after.2));
    for (kind, bytes) in kernel_memory() {
        let each = (bytes - kernel.get(&kind).copied().unwrap_or(0)) / count as i64;
        if each.abs() >= LISTED || !kind.starts_with(' ') {
            println!("{kind:<32} {:>8.1} KiB each", each as f64 / 1024.0);
        }
    }
    let mut used: Vec<u64> =
        running.iter().map(|sandbox| sandbox.control.usage().memory_peak_bytes >> 10).collect();
    used.sort_unstable();
    println!("highest memory of the middle instance: {} KiB", used[used.len() / 2]);
    let began = Instant::now();
    for sandbox in running {
        sandbox.control.destroy(Grace(Span::ZERO)).await;
    }
    println!(
        "removed one after the other: {:.1} ms each",
        began.elapsed().as_secs_f64() * 1e3 / count as f64
    );
}
