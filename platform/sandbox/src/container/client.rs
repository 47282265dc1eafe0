//! The server's side of a starter: spawns it, asks it, and replaces it when it dies.
//!
//! Deliberately knows nothing of functions, packages or runtimes.

use super::cgroup::Cgroups;
use super::channel::{Channel, MESSAGE_LIMIT, Received};
use super::protocol::{self, Configuration, Failure, HostSpec, Reply, Request, Step};
use model::{HostId, InstanceId};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::io::unix::AsyncFd;
use tokio::sync::{oneshot, watch};

/// A starter, whichever process it is at the moment.
#[derive(Debug)]
pub(super) struct Starter {
    command: Vec<OsString>,
    configuration: Configuration,
    /// What the next process must be told again.
    hosts: Mutex<BTreeMap<HostId, HostSpec>>,
    current: tokio::sync::Mutex<Option<Arc<Connection>>>,
    stage: Mutex<Stage>,
    /// Itself, for the tasks that replace a process that has died.
    own: Weak<Self>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    Closed,
}

/// One process and what was asked of it.
#[derive(Debug)]
pub(super) struct Connection {
    channel: AsyncFd<Channel>,
    pub(super) cgroups: Cgroups,
    pub(super) limitations: Vec<String>,
    pub(super) host_address: Option<Ipv4Addr>,
    asked: Mutex<Asked>,
    life: watch::Sender<Life>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Life {
    Alive,
    /// It has closed its connection, as the first thing in its end.
    Closed,
    /// It has been reaped.
    Ended,
}

/// A process that lived for less than this is not replaced at once: whatever ended it may end the next, too.
const STABLE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Asked {
    hosts: BTreeMap<HostId, oneshot::Sender<Option<Failure>>>,
    gone: BTreeMap<InstanceId, oneshot::Sender<()>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is under these locks is whole between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Receives one message into `buffer`, waiting for it. Cancel-safe.
pub(super) async fn receive(channel: &AsyncFd<Channel>, buffer: &mut [u8]) -> io::Result<Received> {
    loop {
        let mut ready = channel.readable().await?;
        match channel.get_ref().try_receive(buffer)? {
            Some(received) => return Ok(received),
            None => ready.clear_ready(),
        }
    }
}

/// Whether a variable is the server's own, or names credentials.
fn is_configuration(name: &std::ffi::OsStr) -> bool {
    let name = name.to_string_lossy();
    (name.starts_with("PEEK_") && name != "PEEK_LOG") || name.starts_with("AWS_")
}

impl Starter {
    /// Spawns the first process: `command`, with the connection as standard input.
    pub(super) async fn open(
        command: Vec<OsString>,
        configuration: Configuration,
    ) -> Result<Arc<Self>, Failure> {
        let starter = Arc::new_cyclic(|own| Self {
            command,
            configuration,
            hosts: Mutex::default(),
            current: tokio::sync::Mutex::default(),
            stage: Mutex::new(Stage::Open),
            own: own.clone(),
        });
        starter.connection().await?;
        Ok(starter)
    }

    /// The living process; a new one where the last has died, with the same cells.
    pub(super) async fn connection(&self) -> Result<Arc<Connection>, Failure> {
        let mut current = self.current.lock().await;
        if let Some(connection) = current.as_ref().filter(|connection| connection.is_alive()) {
            return Ok(Arc::clone(connection));
        }
        let connection = Connection::open(&self.command, &self.configuration).await?;
        let hosts: Vec<HostSpec> = lock(&self.hosts).values().cloned().collect();
        for host in hosts {
            connection.ask_host(host.host, &Request::MakeHost(host.clone())).await?;
        }
        *current = Some(Arc::clone(&connection));
        tokio::spawn(Self::replace(Weak::clone(&self.own), Arc::clone(&connection)));
        Ok(connection)
    }

    /// Starts the next process as soon as this one has died, if it is still wanted then.
    fn replace(
        starter: Weak<Self>,
        connection: Arc<Connection>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        // In a box, since the next process has a task like this.
        Box::pin(async move {
            let began = Instant::now();
            connection.closed().await;
            let is_wanted = |starter: &Arc<Self>| *lock(&starter.stage) == Stage::Open;
            if !starter.upgrade().is_some_and(|starter| is_wanted(&starter)) {
                return;
            }
            eprintln!("peek: the starter has died, and its instances with it: it is replaced");
            tokio::time::sleep(STABLE.saturating_sub(began.elapsed())).await;
            let Some(starter) = starter.upgrade() else { return };
            if let Err(failure) = starter.recover().await {
                // The next start tries again, and says why if that fails too.
                eprintln!("peek: no other starter: {}: {}", failure.step, failure.error());
            }
        })
    }

    /// Makes a cell, also in every later process.
    pub(super) async fn make_host(&self, spec: HostSpec) -> Result<(), Failure> {
        let connection = self.connection().await?;
        connection.ask_host(spec.host, &Request::MakeHost(spec.clone())).await?;
        lock(&self.hosts).insert(spec.host, spec);
        Ok(())
    }

    /// Removes a cell.
    pub(super) async fn remove_host(&self, host: HostId) -> Result<(), Failure> {
        lock(&self.hosts).remove(&host);
        self.connection().await?.ask_host(host, &Request::RemoveHost(host)).await
    }

    /// CPUs of a cell, in thousandths.
    pub(super) fn milli_cpus(&self, host: HostId) -> Option<u32> {
        lock(&self.hosts).get(&host).map(|spec| spec.milli_cpus)
    }

    /// After a process has died: starts the next, which removes what the last has left.
    pub(super) async fn recover(&self) -> Result<(), Failure> {
        let stage = *lock(&self.stage);
        match stage {
            Stage::Open => self.connection().await.map(drop),
            Stage::Closed => Ok(()),
        }
    }

    /// Name of a cell's control group.
    pub(super) fn group(&self, host: HostId) -> String {
        lock(&self.hosts).get(&host).map_or_else(|| host.to_string(), HostSpec::group)
    }

    /// Ends the process, and waits until nothing of its is left.
    pub(super) async fn close(&self) {
        *lock(&self.stage) = Stage::Closed;
        let Some(connection) = self.current.lock().await.take() else { return };
        connection.shut_down();
        connection.ended().await;
    }
}

impl Drop for Starter {
    fn drop(&mut self) {
        // The task that reads replies holds the connection until the process has ended.
        if let Some(connection) = self.current.get_mut() {
            connection.shut_down();
        }
    }
}

impl Connection {
    async fn open(
        command: &[OsString],
        configuration: &Configuration,
    ) -> Result<Arc<Self>, Failure> {
        let cannot = || format!("cannot run the starter, {command:?}");
        let (ours, theirs) = Channel::pair().step(cannot)?;
        let (program, arguments) = command
            .split_first()
            .ok_or_else(|| Failure { step: "no command for the starter".into(), errno: 0 })?;
        let mut starter = Command::new(program);
        // A key may have come by a variable: the starter, which runs foreign code, has no need of any.
        let names = std::env::vars_os().map(|(name, _)| name);
        for name in names.filter(|name| is_configuration(name)) {
            starter.env_remove(name);
        }
        let child = starter
            .args(arguments)
            .stdin(Stdio::from(theirs.into_descriptor()))
            .spawn()
            .step(cannot)?;
        let channel = ours.watched().step(cannot)?;
        let configure = protocol::encode(&Request::Configure(configuration.clone()));
        channel.get_ref().send(&[&configure], &[]).step(cannot)?;
        let mut buffer = vec![0; MESSAGE_LIMIT];
        let (cgroups, limitations, host_address) =
            match receive(&channel, &mut buffer).await.step(cannot)? {
                Received::End => {
                    return Err(Failure { step: format!("{}: it ended", cannot()), errno: 0 });
                }
                Received::Message(length, _) => {
                    match protocol::decode::<Reply>(&buffer[..length]).step(cannot)?.0 {
                        Reply::Ready { cgroups, limitations, host_address } => {
                            (cgroups, limitations, host_address)
                        }
                        Reply::Unusable(failure) => return Err(failure),
                        Reply::Host { .. } | Reply::Gone(_) => {
                            let step = format!("{}: it speaks out of turn", cannot());
                            return Err(Failure { step, errno: 0 });
                        }
                    }
                }
            };
        let connection = Arc::new(Self {
            channel,
            cgroups,
            limitations,
            host_address,
            asked: Mutex::default(),
            life: watch::Sender::new(Life::Alive),
        });
        tokio::spawn(Arc::clone(&connection).read(child, buffer));
        Ok(connection)
    }

    pub(super) fn is_alive(&self) -> bool {
        *self.life.borrow() == Life::Alive
    }

    /// Whether the process has closed its end, by a look at the connection itself: [`Self::closed`] may not have been
    /// told yet.
    pub(super) fn is_closed(&self) -> bool {
        use rustix::net::RecvFlags;
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let received = rustix::net::recv(self.channel.get_ref(), &mut [0_u8; 1], flags);
        !self.is_alive() || matches!(received, Ok((0, _)) | Err(rustix::io::Errno::CONNRESET))
    }

    /// Returns when the process has closed its connection, which it does when it ends.
    pub(super) async fn closed(&self) {
        self.reached(Life::Closed).await;
    }

    /// Returns when the process has ended.
    pub(super) async fn ended(&self) {
        self.reached(Life::Ended).await;
    }

    async fn reached(&self, stage: Life) {
        let mut life = self.life.subscribe();
        // The sender lives as long as `self`.
        let _reached = life.wait_for(|life| *life >= stage).await;
    }

    /// Ends the connection, and with it the process.
    fn shut_down(&self) {
        use std::os::fd::AsFd;
        let descriptor = self.channel.get_ref().as_fd();
        // A connection that is closed already is what is wanted.
        let _closed = rustix::net::shutdown(descriptor, rustix::net::Shutdown::Write);
    }

    /// Takes in replies until the process ends, and reaps it.
    async fn read(self: Arc<Self>, mut child: Child, mut buffer: Vec<u8>) {
        while let Ok(Received::Message(length, _)) = receive(&self.channel, &mut buffer).await {
            match protocol::decode::<Reply>(&buffer[..length]) {
                Ok((Reply::Host { host, failure }, _)) => {
                    if let Some(asked) = lock(&self.asked).hosts.remove(&host) {
                        // Whoever asked may have lost interest.
                        let _unheard = asked.send(failure);
                    }
                }
                Ok((Reply::Gone(instance), _)) => {
                    if let Some(asked) = lock(&self.asked).gone.remove(&instance) {
                        let _unheard = asked.send(());
                    }
                }
                Ok((Reply::Ready { .. } | Reply::Unusable(_), _)) => {}
                Err(_) => break,
            }
        }
        self.life.send_replace(Life::Closed);
        self.shut_down();
        // It closes its connection only when it ends; that takes no thread of the event loop.
        let _waited = tokio::task::spawn_blocking(move || child.wait()).await;
        self.life.send_replace(Life::Ended);
        *lock(&self.asked) = Asked::default();
    }

    async fn ask_host(&self, host: HostId, request: &Request) -> Result<(), Failure> {
        let (sender, answer) = oneshot::channel();
        lock(&self.asked).hosts.insert(host, sender);
        self.send(&[&protocol::encode(request)], &[]).await?;
        match answer.await {
            Ok(None) => Ok(()),
            Ok(Some(failure)) => Err(failure),
            Err(_) => Err(Failure { step: "the starter has ended".to_owned(), errno: 0 }),
        }
    }

    /// Sends one message with descriptors, waiting for room.
    pub(super) async fn send<const PARTS: usize>(
        &self,
        parts: &[&[u8]; PARTS],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), Failure> {
        let cannot = || "cannot ask the starter".to_owned();
        loop {
            let mut ready = self.channel.writable().await.step(cannot)?;
            match self.channel.get_ref().try_send(parts, descriptors) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                sent => return sent.step(cannot),
            }
        }
    }

    /// Asks for something about an instance, without an answer.
    pub(super) async fn tell(&self, request: &Request) -> Result<(), Failure> {
        self.send(&[&protocol::encode(request)], &[]).await
    }

    /// Has an instance killed and removed. Returns when nothing is left of it.
    pub(super) async fn remove(&self, instance: InstanceId) {
        let (sender, gone) = oneshot::channel();
        lock(&self.asked).gone.insert(instance, sender);
        if self.tell(&Request::Remove(instance)).await.is_ok() {
            // An error means that the starter has ended, and its instances with it.
            let _ended = gone.await;
        } else {
            self.ended().await;
        }
    }

    /// Has an instance killed and removed some time soon.
    pub(super) fn remove_unseen(&self, instance: InstanceId) {
        let message = protocol::encode(&Request::Remove(instance));
        // There is room unless the starter hangs or has ended; both end its instances.
        let _sent = self.channel.get_ref().try_send(&[&message], &[]);
    }
}
