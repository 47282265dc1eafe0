//! Warm invocations per second of the instance driver alone: no gateway, no sandbox, a runtime of raw sockets.
//!
//! `cargo bench -p sandbox --bench warm [-- SECONDS]`. Everything shares the machine's CPUs, the runtimes included.

#[path = "../tests/instance/process.rs"]
mod process;

use model::{MemoryMib, Span};
use process::Process;
use sandbox::container::ContainerInstance;
use sandbox::{Instance, Invocation, Log, Outcome, Settings, ShutdownReason};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

/// Names the runtime's part of this program.
const PART: &str = "PEEK_BENCH_RUNTIME";

fn main() {
    if std::env::var_os(PART).is_some() {
        let ended = serve_events();
        eprintln!("runtime: {ended:?}");
        return;
    }
    let seconds = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(3.0);
    let window = Duration::from_secs_f64(seconds);
    println!("instances  log   invocations/s  server CPU us each");
    for (instances, log) in [(1, Log::Drop), (1, Log::Tail), (16, Log::Drop)] {
        let cpu_start = cpu_time();
        let count = measure(instances, log, window);
        let cpu = cpu_time().saturating_sub(cpu_start);
        println!(
            "{instances:9}  {log:4?}  {:13.0}  {:18.1}",
            count as f64 / seconds,
            cpu.as_secs_f64() * 1e6 / count as f64
        );
    }
}

/// Counts the invocations that `instances` serve within `window`, each its own one after the other.
fn measure(instances: usize, log: Log, window: Duration) -> u64 {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio starts");
    runtime.block_on(async move {
        let mut tasks = Vec::new();
        for _ in 0..instances {
            let mut instance = start().await;
            tasks.push(tokio::spawn(async move {
                let started = Instant::now();
                let mut count = 0;
                while started.elapsed() < window {
                    let mut answered = false;
                    let ended = instance.invoke(invocation(log), |outcome| {
                        answered = matches!(outcome, Outcome::Response { .. });
                    });
                    assert_eq!(ended.await, Ok(()));
                    assert!(answered);
                    count += 1;
                }
                instance.stop(ShutdownReason::Spindown).await;
                count
            }));
        }
        let mut sum = 0;
        for task in tasks {
            sum += task.await.expect("no panic");
        }
        sum
    })
}

async fn start() -> ContainerInstance<Process> {
    let mut command = Command::new(std::env::current_exe().expect("own path"));
    command.env(PART, "1");
    let settings = Settings {
        runtime: "provided.al2023".into(),
        handler: String::new(),
        environment: Default::default(),
        memory: MemoryMib(128),
        cpu_ceiling_milli: None,
        cpu_weight: 100,
        tmp: MemoryMib(512),
        init_timeout: Span::from_secs(10),
        account: String::new(),
    };
    let running = Process::spawn(command);
    ContainerInstance::start(running, &settings, Instant::now()).await.expect("starts")
}

fn invocation(log: Log) -> Invocation {
    Invocation {
        request_id: "8476a536-e9f4-11e8-9739-2dfe598c3fcd".into(),
        payload: bytes::Bytes::from_static(br#"{"key1":"value1"}"#),
        function_arn: "arn:aws:lambda:eu-west-1:000000000001:function:f".into(),
        trace_id: "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700".into(),
        client_context: None,
        deadline: SystemTime::now() + Duration::from_secs(3),
        log,
        stream: None,
    }
}

/// The runtime: answers every event with `{}`, on one connection.
fn serve_events() -> std::io::Result<()> {
    let address = std::env::var("AWS_LAMBDA_RUNTIME_API").unwrap_or_default();
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut buffer = [0; 8192];
    loop {
        stream.write_all(
            b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: 127.0.0.1:9001\r\n\r\n",
        )?;
        // An event of this benchmark fits one segment.
        let count = stream.read(&mut buffer)?;
        let head = String::from_utf8_lossy(&buffer[..count]);
        let Some(request_id) =
            head.lines().find_map(|line| line.strip_prefix("Lambda-Runtime-Aws-Request-Id: "))
        else {
            return Ok(());
        };
        let response = format!(
            "POST /2018-06-01/runtime/invocation/{request_id}/response HTTP/1.1\r\n\
             Host: 127.0.0.1:9001\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
        );
        stream.write_all(response.as_bytes())?;
        if stream.read(&mut buffer)? == 0 {
            return Ok(());
        }
    }
}

/// CPU time of this process so far, its threads' but not its children's.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
