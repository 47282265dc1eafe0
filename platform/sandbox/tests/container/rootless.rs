//! Sandboxes by a starter that is not root.

use crate::support::{HOST, Sandbox, World, config, is_root};
use model::MemoryMib;
use sandbox::container::{Container, Control};
use sandbox::{HostSize, Kind};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// User and group that own nothing.
const NOBODY: u32 = 65534;

// Without root, functions run, in namespaces and behind the filters all the same, and what is missing is said.
#[tokio::test]
async fn runs_without_root() {
    // Root is needed to become somebody else.
    if !is_root() {
        return;
    }
    // The starter must be able to reach its program and directory, so neither may be below /root.
    let (data, place) = (TempDir::new().expect("directory"), TempDir::new().expect("directory"));
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(place.path(), open).expect("permissions");
    let program = place.path().join("starter");
    std::fs::copy(env!("CARGO_BIN_EXE_sandbox-starter"), &program).expect("copies");
    std::os::unix::fs::chown(data.path(), Some(NOBODY), Some(NOBODY)).expect("owner");
    let tried = Command::new("setpriv")
        .args(AS_NOBODY)
        .args(["unshare", "--user", "--mount", "true"])
        .status();
    if !tried.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this machine gives no user namespaces to other users");
        return;
    }
    let mut config = config(&data, "rootless");
    config.starter = std::iter::once("setpriv").chain(AS_NOBODY).map(Into::into).collect();
    config.starter.push(program.into());
    config.pool = 1;
    let container = Container::open(config).await.expect("containers can be had");
    let limitations = container.facts().limitations.join("\n");
    for said in ["control groups", "host user", "/tmp is memory"] {
        assert!(limitations.contains(said), "{limitations}");
    }
    let size = HostSize { memory: MemoryMib(3328), milli_cpus: 2000 };
    container.make_host(HOST, size).await.expect("a cell");
    let world = World::from(container, data);
    let script = "id -u; ls /home /root /sys 2>&1; echo x > /tmp/x && cat /tmp/x; \
                  cat /proc/uptime; ls /proc/1/root; mount -t tmpfs x /tmp; exit 5";
    let (exit, text) = world.run(1, &["/bin/sh", "-c", script]).await;
    assert_eq!(exit.status, Some(5), "{text}");
    assert!(text.starts_with("993\n"), "{text}");
    assert!(text.contains("\nx\n1.00 1.00\n"), "{text}");
    assert!(text.contains("/proc/1/root': Permission denied"), "{text}");
    assert!(text.contains("ermission denied") && text.contains("mount"), "{text}");
    let sandbox: Sandbox = world.start(2, &["/bin/sh", "-c", "echo up; sleep 600"]).await;
    assert_eq!(sandbox.line().await, "up");
    sandbox.0.control.freeze().expect("does nothing");
    sandbox.kill().await;
    assert!(Path::new("/proc/self").exists());
    world.close().await;
}

const AS_NOBODY: [&str; 3] = ["--reuid=65534", "--regid=65534", "--clear-groups"];
