//! A server from its first line to its last: open, announce, serve, drain.

use crate::identity::{self, Keys};
use crate::journal::Journal;
use crate::load;
use crate::memory;
use crate::observe::{Observe, Observer};
use crate::platform::Platform;
use crate::secrecy;
use crate::tls::{self, Tls};
use anyhow::{Context, bail};
use gateway::{AccessKey, Front, Gateway, GatewayConfig, Scheme};
use sandbox::Kind;
use sandbox::container::network::{Allowed, NetworkConfig};
use sandbox::container::{self, Container, ContainerConfig, Reveal};
use scheduler::Profile;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

pub use gateway::Unsigned;

/// Region in the ARNs of the platform's functions.
const REGION: &str = "us-east-1";

/// How long instances may take to end after the server was told to.
const DRAIN: Duration = Duration::from_secs(10);

/// Sandboxes that are kept prepared: enough for one start after another; a burst makes its own.
const POOL: usize = 4;

/// What to serve, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Address of the API.
    pub listen: SocketAddr,
    /// Where functions, code and credentials are kept.
    pub data: PathBuf,
    /// Accounts that have an access key at least.
    pub tenants: u32,
    /// Where their keys come from.
    pub keys: Keys,
    /// What becomes of requests without a signature.
    pub unsigned: Unsigned,
    /// Whether the API is spoken through TLS.
    pub tls: Tls,
    /// How the platform behaves.
    pub profile: Profile,
    /// What instances can reach.
    pub network: Network,
    /// Addresses of this machine that instances may reach all the same.
    pub allow: Vec<SocketAddr>,
    /// What is to be kept and shown of what happens.
    pub observe: Observe,
    /// Where to write what the platform really does.
    pub journal: Option<PathBuf>,
    /// Command that becomes a starter of sandboxes.
    pub starter: Vec<OsString>,
}

/// What instances can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// The world where this machine can route it, else nothing.
    Auto,
    /// The world, by routed veths and NAT.
    Routed,
    /// Nothing.
    None,
}

impl Network {
    /// As it is written on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Routed => "routed",
            Self::None => "none",
        }
    }
}

impl std::str::FromStr for Network {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "routed" => Ok(Self::Routed),
            "none" => Ok(Self::None),
            _ => Err(format!("network {text:?} is none of auto, routed, none")),
        }
    }
}

/// What a server that listens has to say.
#[derive(Clone, Debug)]
pub struct Ready {
    /// URL of the API.
    pub endpoint: String,
    /// Who may use it: key, secret and account of each.
    pub access_keys: Vec<AccessKey>,
    /// URL of the metrics, where there are some.
    pub metrics: Option<String>,
    /// Region to sign for.
    pub region: &'static str,
    /// Kind of its sandboxes.
    pub sandbox: &'static str,
    /// Smallest and largest memory size of a function, MiB.
    pub memory_mib: (u32, u32),
    /// Runtimes that can be had.
    pub runtimes: Vec<String>,
    /// What cannot be enforced or offered here.
    pub limitations: Vec<String>,
    /// File with the certificate that clients have to be told to trust.
    pub bundle: Option<PathBuf>,
    /// This machine's address as instances reach the ports that they are allowed to; None where they have no network.
    pub host_address: Option<Ipv4Addr>,
}

/// Refuses a profile by which instances take more than one request at once: only an emulated platform has that.
pub fn check(profile: &Profile) -> anyhow::Result<()> {
    let several = profile.scaling.requests_per_instance;
    if several > 1 {
        bail!(
            "scaling.requests_per_instance is {several}, but this platform hands an instance one request at a time, as the \
             Lambda Runtime API has it: remove the line or set it to 1, or try the profile in virtual time, with \
             --target emulated:FILE"
        );
    }
    Ok(())
}

/// Refuses to let everyone in from elsewhere, and warns of an API that is spoken in the open there.
fn check_front(options: &Options) -> anyhow::Result<()> {
    let listen = options.listen;
    if listen.ip().is_loopback() {
        return Ok(());
    }
    if options.unsigned == Unsigned::First {
        bail!(
            "--no-auth lets in whoever reaches {listen}, and has them act as the first account: leave it out, or listen on \
             loopback, as in --listen 127.0.0.1:{}",
            listen.port()
        );
    }
    if options.tls == Tls::None {
        tracing::warn!(
            "{listen} is not loopback and the API is spoken in the open: code, events and variables can be read on the way; \
             --tls-self-signed, or --tls-cert and --tls-key, prevent that"
        );
    }
    Ok(())
}

/// Runs the platform until SIGTERM or SIGINT, then ends what runs and removes what it held.
///
/// `announce` is called once, when the API answers.
pub async fn serve(options: Options, announce: impl FnOnce(&Ready)) -> anyhow::Result<()> {
    memory::keep_little();
    secrecy::keep_to_oneself()?;
    check(&options.profile).context("cannot serve this profile")?;
    check_front(&options)?;
    let Options { listen, data, mut profile, network, allow, observe, journal, starter, .. } =
        options;
    let Options { tenants, keys, unsigned, tls, .. } = options;
    let _lock = identity::lock(&data)?;
    // Bound before anything else is made: a busy port costs nothing.
    let (listener, address) = bind(listen).await?;
    let observer = Observer::open(&data, observe).await?;
    let stop = stop()?;
    let container = Container::open(ContainerConfig {
        data: data.clone(),
        server_id: identity::server_id(&data)?,
        starter,
        reveal: reveal(profile.reveal),
        network: container_network(network, &allow)?,
        pool: POOL,
        interpreters: Vec::new(),
    })
    .await
    .context("cannot run functions in containers")?;
    let (access_keys, key_file) = identity::access_keys(&data, &keys, tenants)?;
    let tls = tls::open(&tls, &data, address).context("cannot serve through TLS")?;
    let scheme = if tls.is_some() { Scheme::Https } else { Scheme::Http };
    let (acceptor, bundle) = tls.map_or((None, None), |tls| (Some(tls.acceptor), tls.bundle));
    let catalog = catalog::Catalog::open(&data)
        .with_context(|| format!("cannot open the catalog in {}", data.display()))?;
    if profile.limits.memory.is_none() {
        profile.limits.memory = memory::total_and_available().map(|(total, _)| total);
    }
    let ready = Ready {
        endpoint: format!("{}://{address}", scheme.word()),
        metrics: observer.metrics_url()?,
        access_keys: access_keys.clone(),
        bundle,
        region: REGION,
        sandbox: container.facts().name,
        memory_mib: (profile.limits.memory_min.0, profile.limits.memory_max.0),
        runtimes: container.runtimes(),
        limitations: container.facts().limitations,
        host_address: container.facts().host_address,
    };
    let journal = journal.as_deref().map(Journal::create).transpose()?;
    let session_secret = identity::session_secret(&data)?;
    let front = Front { unsigned, scheme };
    let config =
        gateway_config(&profile, access_keys, (session_secret, front), observer.logs.clone());
    let weighs_load = profile.placement.weighs_load();
    let books = (observer.ledger(REGION), journal);
    let platform = Arc::new(Platform::new(container, profile, seed(), books));
    let catalog = Arc::new(catalog);
    let gateway = Gateway::new(config, Arc::clone(&catalog), Arc::clone(&platform));
    gateway.recover().await;
    platform.keep_events(catalog, REGION).context("cannot take over asynchronous events")?;
    let files = (ready.bundle.as_deref(), key_file.as_deref());
    let _said = identity::say_endpoint(&data, &ready.endpoint, REGION, files)?;
    announce(&ready);
    let watched = tokio::spawn(watch(Arc::clone(&platform), weighs_load));
    let observed = observer.watch(&platform);
    gateway.serve_by(listener, acceptor, stop).await;
    watched.abort();
    drop(observed);
    platform.close(DRAIN).await;
    Ok(())
}

/// What is done once the server is told to end. From here on the signals do nothing else.
fn stop() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Listens at an address; with port 0 it is another one.
async fn bind(listen: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(listen).await.with_context(|| {
        format!("cannot listen on {listen}: choose another address with --listen (port 0 takes a free one)")
    })?;
    let address = listener.local_addr().context("cannot read the own address")?;
    Ok((listener, address))
}

/// Tells the platform how the machine is, and where its placement asks, how busy hosts are.
async fn watch<K: Kind>(platform: Arc<Platform<K>>, weighs_load: bool) {
    let loads = async {
        if weighs_load {
            load::watch(Arc::clone(&platform)).await;
        }
    };
    tokio::join!(watch_memory(Arc::clone(&platform)), loads);
}

/// Tells the platform, every second, how much memory is really free, and keeps none that it does not need.
async fn watch_memory<K: Kind>(platform: Arc<Platform<K>>) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    loop {
        every.tick().await;
        if let Some((_, available)) = memory::total_and_available() {
            platform.memory_free(available);
        }
        memory::give_back();
    }
}

/// What instances can reach, as the container kind takes it. Addresses of the loopback mean ports of this machine.
fn container_network(network: Network, allow: &[SocketAddr]) -> anyhow::Result<container::Network> {
    let allowed = |address: &SocketAddr| match address {
        _ if address.ip().is_loopback() => Ok(Allowed::Host { port: address.port() }),
        SocketAddr::V4(address) => Ok(Allowed::Address(*address)),
        SocketAddr::V6(_) => {
            bail!(
                "--allow {address} is an IPv6 address; instances have IPv4 only: name an IPv4 address"
            )
        }
    };
    let config = NetworkConfig {
        allowed: allow.iter().map(allowed).collect::<anyhow::Result<_>>()?,
        ..NetworkConfig::default()
    };
    Ok(match network {
        Network::Auto => container::Network::Auto(config),
        Network::Routed => container::Network::Routed(config),
        Network::None => container::Network::None,
    })
}

fn reveal(reveal: scheduler::Reveal) -> Reveal {
    match reveal {
        scheduler::Reveal::BootId => Reveal::BootId,
        scheduler::Reveal::MachineId => Reveal::MachineId,
        scheduler::Reveal::InstanceRootId => Reveal::InstanceRootId,
        scheduler::Reveal::None => Reveal::Nothing,
    }
}

fn gateway_config(
    profile: &Profile,
    access_keys: Vec<AccessKey>,
    (session_secret, front): ([u8; 32], Front),
    logs: logs::Logs,
) -> GatewayConfig {
    GatewayConfig {
        region: REGION.to_owned(),
        access_keys,
        session_secret,
        logs: Some(logs),
        front,
        limits: gateway::Limits {
            memory_min: profile.limits.memory_min,
            memory_max: profile.limits.memory_max,
            timeout_s_max: u32::try_from(profile.limits.timeout_max.as_millis() / 1000)
                .unwrap_or(u32::MAX),
            concurrency: profile.limits.account_concurrency,
            ..gateway::Limits::default()
        },
    }
}

/// A seed of its own for every start: nothing outside may foresee a choice.
fn seed() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}
