//! A container kind in a directory of its own, and functions that are shell or Python scripts.

use model::{HostId, InstanceId, MemoryMib, Span};
use rustix::process::Pid;
use sandbox::container::{
    Container, ContainerConfig, ContainerControl, ContainerImage, Control, Exit, Network, Program,
    Reveal, Running,
};
use sandbox::runtime::Launch;
use sandbox::{Grace, HostSize, Identity, Invocation, Kind, Log, Settings, StartError};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
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
    server_id: String,
    package: TempDir,
}

fn package() -> TempDir {
    let package = TempDir::new().expect("package directory");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(package.path(), mode).expect("package is readable");
    package
}

pub const HOST: HostId = HostId(1);

pub fn config(data: &TempDir, name: &str) -> ContainerConfig {
    ContainerConfig {
        data: data.path().to_owned(),
        server_id: format!("{name}-{}", std::process::id()),
        starter: vec![env!("CARGO_BIN_EXE_sandbox-starter").into()],
        reveal: Reveal::Nothing,
        network: Network::None,
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
        let package = package();
        let mut config = config(&data, name);
        change(&mut config);
        let server_id = config.server_id.clone();
        let container = Container::open(config).await.expect("containers can be had");
        let size = HostSize { memory: MemoryMib(3328), milli_cpus: 2000 };
        container.make_host(HOST, size).await.expect("a cell");
        Self { container, data, server_id, package }
    }

    /// Around a container kind that is open already.
    pub fn from(container: Container, data: TempDir) -> Self {
        let server_id = config(&data, "rootless").server_id;
        Self { container, server_id, data, package: package() }
    }

    /// Writes a file into the package.
    pub fn file(&self, name: &str, text: &str) {
        std::fs::write(self.package.path().join(name), text).expect("package file");
    }

    /// Writes an executable file into the package.
    pub fn script(&self, name: &str, text: &str) {
        self.file(name, text);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(self.package.path().join(name), mode).expect("executable");
    }

    pub fn package(&self) -> PathBuf {
        self.package.path().to_owned()
    }

    pub fn image(&self, command: &[&str]) -> ContainerImage {
        ContainerImage {
            package: self.package.path().to_owned(),
            layers: None,
            extensions: Vec::new(),
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

    pub async fn try_start(&self, instance: u64, command: &[&str]) -> Result<Sandbox, StartError> {
        let (image, identity, settings) = (self.image(command), identity(instance), settings());
        let program = Program { image: &image, settings: &settings, identity: &identity };
        self.container.create(program).await.map(Sandbox)
    }

    /// Ends the starter, and sees that nothing is left.
    pub async fn close(self) {
        self.container.close().await;
        Leftovers::assert_none(&self);
    }

    /// Drops the container kind as a server does that is killed.
    pub fn lose(self) -> Place {
        Place { data: self.data, server_id: self.server_id }
    }

    /// Kills the starter. Returns which process it was.
    pub fn kill_starter(&self) -> Pid {
        let starter = self.starter().expect("a starter");
        rustix::process::kill_process(starter, rustix::process::Signal::KILL).expect("kills");
        starter
    }

    /// The starter: the child of this process among whose mounts is this server's directory.
    pub fn starter(&self) -> Option<Pid> {
        let parent = std::process::id().to_string();
        let data = self.data.path().to_string_lossy().into_owned();
        for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
            let read = |file: &str| std::fs::read_to_string(entry.path().join(file));
            let stat = read("stat").unwrap_or_default();
            let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
            if after.split_whitespace().nth(1) == Some(parent.as_str())
                && read("mountinfo").is_ok_and(|mounts| mounts.contains(&data))
            {
                let name = entry.file_name();
                return name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
            }
        }
        None
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

#[derive(Debug)]
pub struct Sandbox(pub Running<ContainerControl>);

impl Sandbox {
    /// Waits for its end, and returns what it wrote.
    pub async fn finish(self) -> (Exit, String) {
        let Running { output, control, listener, .. } = self.0;
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

    /// Ends it with a grace. Returns what it wrote.
    pub async fn end(self, grace: Span) -> String {
        let Running { output, control, listener, .. } = self.0;
        control.destroy(Grace(grace)).await;
        let mut text = String::new();
        let mut file = std::fs::File::from(output);
        file.read_to_string(&mut text).expect("text");
        drop(listener);
        text
    }

    /// Kills it.
    pub async fn kill(self) {
        self.end(Span::ZERO).await;
    }

    /// Panics where it has ended.
    pub async fn expect_alive(&self) {
        let exit = tokio::time::timeout(Duration::from_millis(50), self.0.control.exited()).await;
        assert!(exit.is_err(), "it has ended: {exit:?}");
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

/// Where a server was.
pub struct Place {
    pub data: TempDir,
    server_id: String,
}

impl Place {
    pub fn leftovers(&self) -> Leftovers {
        Leftovers::at(&self.server_id, self.data.path())
    }

    /// Panics where something is left. The kernel detaches a loop device a moment after its last user.
    pub fn assert_empty(&self) {
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        while self.leftovers().loops > 0 && std::time::Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(self.leftovers(), Leftovers::default());
    }
}

/// What is there of a server outside its data directory.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    pub groups: usize,
    pub loops: usize,
    pub mounts: usize,
    pub processes: usize,
}

impl Leftovers {
    pub fn of(world: &World) -> Self {
        Self::at(&world.server_id, world.data.path())
    }

    fn at(server_id: &str, data: &std::path::Path) -> Self {
        let name = format!("peek-{server_id}");
        let data = data.to_string_lossy().into_owned();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        let loops = std::fs::read_dir("/sys/block").expect("block devices").flatten();
        let files = loops
            .filter_map(|it| std::fs::read_to_string(it.path().join("loop/backing_file")).ok());
        // Of an ended process that its parent has not asked for yet there is no command line.
        let in_group = |path: std::path::PathBuf| {
            let read = |file: &str| std::fs::read_to_string(path.join(file)).unwrap_or_default();
            !read("cmdline").is_empty() && read("cgroup").contains(&name)
        };
        Self {
            groups: groups_named(std::path::Path::new("/sys/fs/cgroup"), &name),
            loops: files.filter(|file| file.starts_with(&data)).count(),
            mounts: mounts.lines().filter(|line| line.contains(&data)).count(),
            processes: std::fs::read_dir("/proc")
                .expect("processes")
                .flatten()
                .filter(|entry| in_group(entry.path()))
                .count(),
        }
    }

    /// Panics where something is left. The kernel detaches a loop device a moment after its last user.
    pub fn assert_none(world: &World) {
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        while Self::of(world).loops > 0 && std::time::Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(Self::of(world), Self::default());
    }
}

fn groups_named(directory: &std::path::Path, name: &str) -> usize {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| {
            usize::from(entry.file_name().to_str() == Some(name))
                + groups_named(&entry.path(), name)
        })
        .sum()
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
        account: String::new(),
    }
}

pub fn identity(instance: u64) -> Identity {
    Identity {
        instance: InstanceId(instance),
        host: HOST,
        environment: BTreeMap::new(),
        log: None,
        phase: Default::default(),
    }
}

/// An event that may take half a minute, and of which no lines are kept.
pub fn invocation(payload: &'static str) -> Invocation {
    Invocation {
        request_id: Arc::from("8476a536-e9f4-11e8-9739-2dfe598c3fcd"),
        payload: payload.into(),
        function_arn: Arc::from("arn:aws:lambda:eu-west-1:000000000000:function:f"),
        trace_id: Arc::from("Root=1-0"),
        client_context: None,
        deadline: SystemTime::now() + Duration::from_secs(30),
        log: Log::Drop,
        stream: None,
    }
}
