//! The network of instances, in namespaces made here: a host, an outside world behind it, and instances.
//!
//! Needs root, `nft` and `ip`; passes over itself, saying so, where one is missing.

mod namespace;

use namespace::{Namespace, ip};
use sandbox::container::network::{Allowed, NetworkConfig, RESOLVER, Router};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::time::Duration;

const HOST: Ipv4Addr = Ipv4Addr::new(93, 184, 216, 1);
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(93, 184, 216, 34);
/// An address of the outside's that is private.
const PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 9);
/// Longer than anything that arrives takes, a first packet lost while links come up included.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait for what must not arrive.
const GLANCE: Duration = Duration::from_millis(300);

/// A host whose default route leads to an outside with servers on ports 80 and 81, and a resolver.
struct World {
    host: Namespace,
    _outside: Namespace,
}

impl World {
    fn new() -> Option<Self> {
        let missing = ["/usr/sbin/nft", "/usr/sbin/ip"].iter().find(|it| !Path::new(it).exists());
        if !rustix::process::geteuid().is_root() || missing.is_some() {
            eprintln!("passed over: needs root, and {missing:?} to be there");
            return None;
        }
        let (host, outside) = (Namespace::new(), Namespace::new());
        let outside_id = outside.thread_id();
        host.run(move || {
            ip("link set lo up");
            ip(&format!("link add eth0 type veth peer name eth0 netns {outside_id}"));
            ip(&format!("address add {HOST}/24 dev eth0"));
            ip("link set eth0 up");
            ip(&format!("route add default via {OUTSIDE}"));
            serve(8080);
            serve(9090);
        });
        outside.run(|| {
            ip("link set lo up");
            ip(&format!("address add {OUTSIDE}/24 dev eth0"));
            ip(&format!("address add {PRIVATE}/32 dev lo"));
            ip("link set eth0 up");
            serve(80);
            serve(81);
            resolve();
        });
        Some(Self { host, _outside: outside })
    }

    fn router(&self, server_id: &'static str, config: NetworkConfig) -> Router {
        self.host.run(move || Router::open(server_id, &config).expect("opens"))
    }
}

fn config() -> NetworkConfig {
    NetworkConfig { resolvers: vec![IpAddr::V4(OUTSIDE)], ..NetworkConfig::default() }
}

/// Answers every connection with the address that it came from.
fn serve(port: u16) {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).expect("port");
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for mut stream in listener.incoming().flatten() {
            let from = stream.peer_addr().map(|address| address.ip().to_string());
            let _gone = stream.write_all(format!("{}\n", from.unwrap_or_default()).as_bytes());
            kept.push(stream);
        }
    });
}

/// Answers every name query with itself, marked as an answer.
fn resolve() {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 53)).expect("port");
    std::thread::spawn(move || {
        let mut message = [0; 512];
        while let Ok((size, from)) = socket.recv_from(&mut message) {
            message[2] |= 0x80;
            let _gone = socket.send_to(&message[..size], from);
        }
    });
}

fn instance(router: &Router, slot: u32) -> Namespace {
    let instance = Namespace::new();
    router.attach(instance.descriptor(), slot).expect("attaches");
    instance
}

/// Who the server at this address says is asking; None where it cannot be reached within `patience`.
fn ask(address: Ipv4Addr, port: u16, patience: Duration) -> Option<(TcpStream, String)> {
    let address = SocketAddr::V4(SocketAddrV4::new(address, port));
    let mut stream = TcpStream::connect_timeout(&address, patience).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    let mut answer = [0; 64];
    let size = stream.read(&mut answer).ok()?;
    Some((stream, String::from_utf8_lossy(&answer[..size]).trim().to_owned()))
}

fn reaches(instance: &Namespace, address: Ipv4Addr, port: u16) -> bool {
    instance.run(move || ask(address, port, PATIENCE).is_some())
}

fn misses(instance: &Namespace, address: Ipv4Addr, port: u16) -> bool {
    instance.run(move || ask(address, port, GLANCE).is_none())
}

// Instances reach the outside in the host's name, and neither each other, nor the host, nor private addresses.
#[test]
fn outside_and_nothing_else() {
    let Some(world) = World::new() else { return };
    let router = world.router("outside", config());
    let (one, two) = (instance(&router, 1), instance(&router, 300));
    for instance in [&one, &two] {
        let answer = instance.run(|| ask(OUTSIDE, 80, PATIENCE).map(|(_, from)| from));
        assert_eq!(answer, Some(HOST.to_string()));
    }
    two.run(|| serve(80));
    let other = Ipv4Addr::new(198, 19, 1, 44);
    assert!(two.run(move || ask(other, 80, GLANCE).is_none()), "its own loopback is down");
    assert!(misses(&one, other, 80));
    assert!(misses(&one, HOST, 8080));
    assert!(misses(&one, router.host_address(), 8080));
    assert!(misses(&one, PRIVATE, 80));
    assert!(misses(&one, Ipv4Addr::new(169, 254, 169, 254), 80));
    assert_eq!(router.obstacles(), []);
    world.host.run(move || drop(router));
}

// What is allowed by name is reached, at that port only.
#[test]
fn allowed_addresses() {
    let Some(world) = World::new() else { return };
    let private = SocketAddrV4::new(PRIVATE, 81);
    let allowed = vec![Allowed::Host { port: 9090 }, Allowed::Address(private)];
    let router = world.router("allowed", NetworkConfig { allowed, ..config() });
    let one = instance(&router, 7);
    assert!(reaches(&one, router.host_address(), 9090));
    assert!(misses(&one, router.host_address(), 8080));
    assert!(reaches(&one, PRIVATE, 81));
    assert!(misses(&one, PRIVATE, 80));
    world.host.run(move || drop(router));
}

// An instance cannot speak with another address than its own.
#[test]
fn sources_are_fixed() {
    let Some(world) = World::new() else { return };
    let router = world.router("sources", config());
    let one = instance(&router, 1);
    assert!(reaches(&one, OUTSIDE, 80));
    one.run(|| {
        ip("address add 198.19.0.2/32 dev eth0");
        ip("route replace default via 169.254.1.1 dev eth0 onlink src 198.19.0.2");
    });
    assert!(misses(&one, OUTSIDE, 80));
    world.host.run(move || drop(router));
}

// Names are asked through the forwarder, each client getting its own answer.
#[test]
fn names() {
    let Some(world) = World::new() else { return };
    let router = world.router("names", config());
    let instances = [instance(&router, 1), instance(&router, 2)];
    for number in 0..20_u16 {
        for (index, instance) in instances.iter().enumerate() {
            let mut query = [0; 17];
            query[..2].copy_from_slice(&number.to_be_bytes());
            query[16] = index as u8;
            let answer = instance.run(move || {
                let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("port");
                socket.connect((RESOLVER, 53)).expect("route");
                socket.set_read_timeout(Some(Duration::from_secs(20))).expect("timeout");
                socket.send(&query).expect("sends");
                let mut answer = [0; 64];
                let size = socket.recv(&mut answer).expect("is answered");
                answer[..size].to_vec()
            });
            query[2] |= 0x80;
            assert_eq!(answer, query);
        }
    }
    world.host.run(move || drop(router));
}

// Connections are counted per instance: one at its limit does not take another's.
#[test]
fn connections_are_limited() {
    let Some(world) = World::new() else { return };
    let router = world.router("limit", NetworkConfig { connections_limit: 5, ..config() });
    let (one, two) = (instance(&router, 1), instance(&router, 2));
    let opened = one.run(|| {
        let streams: Vec<_> = (0..8).filter_map(|_| ask(OUTSIDE, 80, GLANCE * 10)).collect();
        let count = streams.len();
        std::mem::forget(streams);
        count
    });
    assert_eq!(opened, 5);
    assert!(reaches(&two, OUTSIDE, 80));
    world.host.run(move || drop(router));
}

// Closing leaves the host as it was, and another server's router working.
#[test]
fn closing_leaves_nothing() {
    let Some(world) = World::new() else { return };
    let state = || {
        let forwarding = std::fs::read_to_string("/proc/sys/net/ipv4/conf/eth0/forwarding");
        let links = ip("-brief link");
        let names: Vec<_> = links
            .lines()
            .filter_map(|line| Some(line.split_whitespace().next()?.to_owned()))
            .collect();
        (forwarding.expect("setting"), names, namespace::output("nft", "list ruleset"))
    };
    let before = world.host.run(state);
    let first = world.router("first", config());
    let second = world.router("second", config());
    let one = instance(&first, 1);
    let two = instance(&second, 1);
    assert!(reaches(&one, OUTSIDE, 80) && reaches(&two, OUTSIDE, 80));
    world.host.run(move || drop(first));
    assert!(misses(&one, OUTSIDE, 80));
    assert!(reaches(&two, OUTSIDE, 80));
    // What a killed server leaves is swept when it comes back.
    std::mem::forget(second);
    let second = world.router("second", config());
    let two = instance(&second, 1);
    assert!(reaches(&two, OUTSIDE, 80));
    world.host.run(move || drop(second));
    assert_eq!(world.host.run(state), before);
}

// A slot in use is an error, not somebody else's network; one out of range too.
#[test]
fn slots() {
    let Some(world) = World::new() else { return };
    let router = world.router("slots", config());
    let _one = instance(&router, 1);
    let other = Namespace::new();
    assert!(router.attach(other.descriptor(), 1).is_err());
    assert!(router.attach(other.descriptor(), 1 << 16).is_err());
    assert!(router.attach(other.descriptor(), (1 << 16) - 1).is_ok());
    world.host.run(move || drop(router));
}
