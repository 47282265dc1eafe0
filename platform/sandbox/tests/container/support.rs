//! A container kind in a directory of its own, and functions that are shell or Python scripts.

use model::{HostId, InstanceId, MemoryMib, Span};
use sandbox::container::{
    Container, ContainerConfig, ContainerControl, ContainerImage, Control, Exit, Program, Reveal,
    Running,
};
use sandbox::runtime::Launch;
use sandbox::{Grace, HostSize, Identity, Kind, Settings};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

/// Whether this process is root; says that a test is skipped where it is not.
pub fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}

pub struct World {
    pub container: Container,
    pub data: TempDir,
    package: TempDir,
}

pub const HOST: HostId = HostId(1);

pub fn config(data: &TempDir, name: &str) -> ContainerConfig {
    ContainerConfig {
        data: data.path().to_owned(),
        server_id: format!("{name}-{}", std::process::id()),
        starter: vec![env!("CARGO_BIN_EXE_sandbox-starter").into()],
        reveal: Reveal::Nothing,
        pool: 0,
        interpreters: Vec::new(),
    }
}

impl World {
    pub async fn new(name: &str) -> Self {
        Self::with(name, |_| {}).await
    }

    pub async fn with(name: &str, change: impl FnOnce(&mut ContainerConfig)) -> Self {
        // On a disk, as a server's is: /tmp may be memory.
        let data = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("data directory");
        let package = TempDir::new().expect("package directory");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(package.path(), mode).expect("package is readable");
        let mut config = config(&data, name);
        change(&mut config);
        let container = Container::open(config).await.expect("containers can be had");
        let size = HostSize { memory: MemoryMib(3328), milli_cpus: 2000 };
        container.make_host(HOST, size).await.expect("a cell");
        Self { container, data, package }
    }

    /// Writes a file into the package.
    pub fn file(&self, name: &str, text: &str) {
        std::fs::write(self.package.path().join(name), text).expect("package file");
    }

    pub fn image(&self, command: &[&str]) -> ContainerImage {
        ContainerImage {
            package: self.package.path().to_owned(),
            launch: Launch {
                program: PathBuf::from(command[0]),
                arguments: command[1..].iter().map(|text| (*text).to_owned()).collect(),
            },
        }
    }

    /// Starts a command as an instance.
    pub async fn start(&self, instance: u64, command: &[&str]) -> Sandbox {
        self.start_with(instance, command, &settings()).await
    }

    pub async fn start_with(
        &self,
        instance: u64,
        command: &[&str],
        settings: &Settings,
    ) -> Sandbox {
        let image = self.image(command);
        let identity = identity(instance);
        let program = Program { image: &image, settings, identity: &identity };
        Sandbox(self.container.create(program).await.expect("a sandbox"))
    }

    /// Runs a command as an instance to its end. Returns how it ended and what it wrote.
    pub async fn run(&self, instance: u64, command: &[&str]) -> (Exit, String) {
        self.start(instance, command).await.finish().await
    }

    /// Runs a Python script as an instance to its end.
    pub async fn python(&self, instance: u64, script: &str) -> (Exit, String) {
        self.run(instance, &["/usr/bin/python3", "-c", script]).await
    }
}

pub struct Sandbox(pub Running<ContainerControl>);

impl Sandbox {
    /// Waits for its end, and returns what it wrote.
    pub async fn finish(self) -> (Exit, String) {
        let Running { output, control, listener } = self.0;
        let mut text = String::new();
        let exit = tokio::time::timeout(Duration::from_secs(60), control.exited())
            .await
            .expect("the command ends");
        control.destroy(Grace(Span::ZERO)).await;
        let mut file = std::fs::File::from(output);
        // It has been written by processes that have all ended.
        file.read_to_string(&mut text).expect("text");
        drop(listener);
        (exit, text)
    }

    /// Waits for a line of output.
    pub async fn line(&self) -> String {
        use std::os::fd::AsFd;
        let mut text = Vec::new();
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while !text.ends_with(b"\n") {
            let mut byte = [0];
            match rustix::io::read(self.0.output.as_fd(), &mut byte) {
                Ok(1) => text.push(byte[0]),
                Ok(_) => break,
                Err(_) => {
                    assert!(std::time::Instant::now() < deadline, "no line");
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        }
        String::from_utf8(text).expect("text").trim().to_owned()
    }
}

pub fn settings() -> Settings {
    Settings {
        runtime: "provided.al2023".into(),
        handler: "app.handler".into(),
        environment: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin:/usr/sbin".to_owned())]),
        memory: MemoryMib(256),
        cpu_ceiling_milli: None,
        cpu_weight: 100,
        tmp: MemoryMib(512),
        init_timeout: Span::from_secs(10),
    }
}

pub fn identity(instance: u64) -> Identity {
    Identity { instance: InstanceId(instance), host: HOST, environment: BTreeMap::new() }
}
