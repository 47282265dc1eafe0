//! The outgoing network of instances: a router namespace of the platform's own, and a link from each instance to it.
//!
//! ```text
//! instance  eth0 198.19.a.b/32 -- i<slot> router up 198.18.c.d+1 -- pk<server> host -- uplink
//!           default via 169.254.1.1       NAT, filter, names       NAT, nothing into the host
//! ```
//! Everything but one table and one link of the host's lives in the router's namespace and vanishes with it. No bridge
//! (1023 ports) and no neighbour lookups. Instances have no IPv6. Deliberately knows nothing of processes and cgroups,
//! and blocks: for a single-threaded owner that needs no runtime.

mod forwarder;
mod namespace;
mod netlink;
mod rules;

pub use rules::Obstacle;

use super::left::Whose;
use forwarder::Forwarder;
use netlink::{Batch, End};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Gateway and resolver of every instance, for its `resolv.conf`.
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// Connections that one instance may have open, as at AWS (Lambda quotas: 1,024 file descriptors, 2026-11).
const CONNECTIONS_LIMIT: u32 = 1024;
/// Locally administered; the same on every link, since no two share one.
const ROUTER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const INSTANCE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// Index of the loopback in every namespace.
const LOOPBACK_INDEX: u32 = 1;
/// Index of an instance's link in its own namespace: beyond those of the tunnels that some kernels put into each.
const INSTANCE_INDEX: u32 = 100;
/// Index of the first instance's link in the router's namespace.
const FIRST_INDEX: u32 = 1000;
/// Number of transit networks of four addresses in 198.18.0.0/16.
const TRANSITS: u32 = 1 << 14;

/// What instances may reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkConfig {
    /// TCP addresses that may be reached though they are the host's own, private or link-local.
    pub allowed: Vec<Allowed>,
    /// Most connections of one instance at a time.
    pub connections_limit: u32,
    /// Who answers name queries; the host's own where empty.
    pub resolvers: Vec<IpAddr>,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self { allowed: Vec::new(), connections_limit: CONNECTIONS_LIMIT, resolvers: Vec::new() }
    }
}

/// An address that may be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// A port of the host, at [`Router::host_address`]; its server must listen there or on all addresses.
    Host {
        /// The port.
        port: u16,
    },
    /// Any address.
    Address(SocketAddrV4),
}

/// Why instances get no network. The caller goes on without one.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// Namespaces of the host's network are for root.
    #[error("instances get no network without root; run as root, or choose --network none")]
    NotRoot,
    /// The packet filter's program is missing.
    #[error("nft is not installed; run: apt-get install nftables, or choose --network none")]
    NoNft,
    /// The packet filter refused our rules.
    #[error("nft refused the rules: {message}")]
    Rules {
        /// Its own words.
        message: String,
    },
    /// A change of links, addresses, routes or kernel settings failed.
    #[error("cannot {step}")]
    Step {
        /// What.
        step: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Slots end at [`SLOTS_LIMIT`].
    #[error("slot {slot} is not below {SLOTS_LIMIT}")]
    Slot {
        /// The slot.
        slot: u32,
    },
}

/// Slots for instances: the addresses of 198.19.0.0/16.
pub const SLOTS_LIMIT: u32 = 1 << 16;

/// A router: a network namespace with NAT, joined to the host by one veth pair. Closes when dropped.
#[derive(Debug)]
pub struct Router {
    server_id: String,
    transit: Transit,
    namespace: OwnedFd,
    socket: OwnedFd,
    obstacles: Vec<Obstacle>,
    /// Ends when dropped.
    _forwarder: Forwarder,
}

/// An instance's end of its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The instance's own address, the only one that it can send from.
    pub address: Ipv4Addr,
    /// Its resolver, for `resolv.conf`.
    pub resolver: Ipv4Addr,
}

/// The pair between a router and its host.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Transit {
    /// Name of the host's table.
    table: String,
    /// Name of the host's link.
    link: String,
    host: Ipv4Addr,
    router: Ipv4Addr,
}

impl Transit {
    /// Names by `server_id`, addresses by it and the number of the `attempt`.
    fn new(server_id: &str, attempt: u32) -> Self {
        // FNV-1a, 32 bits: names of links have at most 15 letters.
        let hash = server_id
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        let first = (198 << 24) + (18 << 16) + (hash.wrapping_add(attempt) % TRANSITS) * 4;
        Self {
            table: format!("peek_{hash:08x}"),
            link: format!("pk{hash:08x}"),
            host: Ipv4Addr::from_bits(first + 1),
            router: Ipv4Addr::from_bits(first + 2),
        }
    }
}

impl Router {
    /// Makes a router in the network namespace of the calling thread, sweeping what an earlier one of the same
    /// `server_id` left.
    ///
    /// Errors: [`NetworkError`], with the remedy; nothing is left of it then.
    pub fn open(server_id: &str, config: &NetworkConfig) -> Result<Self, NetworkError> {
        if !rustix::process::geteuid().is_root() {
            return Err(NetworkError::NotRoot);
        }
        sweep(server_id)?;
        let routes = routes();
        let transit = (0..TRANSITS)
            .map(|attempt| Transit::new(server_id, attempt))
            .find(|transit| !routes.iter().any(|route| route.covers(transit.host)))
            .unwrap_or_else(|| Transit::new(server_id, 0));
        let opened = Self::build(server_id, &transit, config);
        if opened.is_err() {
            sweep(server_id)?;
        }
        opened
    }

    fn build(
        server_id: &str,
        transit: &Transit,
        config: &NetworkConfig,
    ) -> Result<Self, NetworkError> {
        let step = |step| move |source| NetworkError::Step { step, source };
        let namespace = namespace::create().map_err(step("make a network namespace"))?;
        let home = netlink::open().map_err(step("open a netlink socket"))?;
        let near = End { name: &transit.link, index: 0, mac: ROUTER_MAC };
        let far = End { name: "up", index: 0, mac: INSTANCE_MAC };
        let mut batch = Batch::default();
        batch.add_veth(near, far, namespace.as_fd());
        apply(batch, &home)?;
        let index = link_index(&transit.link)?;
        let mut batch = Batch::default();
        batch.add_address(index, transit.host, 30);
        batch.add_neighbour(index, transit.router, INSTANCE_MAC);
        apply(batch, &home)?;
        let (socket, listener) =
            namespace::within(namespace.as_fd(), || Ok(build_inside(config, transit)))
                .map_err(step("enter the router's namespace"))??;
        netlink::await_up(&home, index).map_err(step("bring the router's link up"))?;
        let uplink = open_host(config, transit)?;
        let resolvers = match config.resolvers.as_slice() {
            [] => host_resolvers(),
            given => given.to_vec(),
        };
        let forwarder = Forwarder::start(listener, &resolvers)
            .map_err(step("start the forwarder of name queries"))?;
        let chains = rules::ask(&["list", "chains"]);
        let mut obstacles =
            rules::obstacles(&chains, &rules::legacy_forward_rules(), &transit.link);
        if uplink.is_none() {
            obstacles.push(Obstacle {
                what: "this machine has no default route".to_owned(),
                remedy: "ip route add default via GATEWAY".to_owned(),
            });
        }
        Ok(Self {
            server_id: server_id.to_owned(),
            transit: transit.clone(),
            namespace,
            socket,
            obstacles,
            _forwarder: forwarder,
        })
    }

    /// Joins an instance's network namespace, in which nothing but a loopback is, to the router. Its loopback is left
    /// as it is. Deleting the namespace undoes it; the kernel does that in the background, so a slot is used again as
    /// late as possible.
    ///
    /// Errors: [`NetworkError::Slot`]; [`NetworkError::Step`], among others where the slot is still in use.
    pub fn attach(&self, instance: BorrowedFd<'_>, slot: u32) -> Result<Link, NetworkError> {
        if slot >= SLOTS_LIMIT {
            return Err(NetworkError::Slot { slot });
        }
        let address = Ipv4Addr::from_bits((198 << 24) + (19 << 16) + slot);
        let index = FIRST_INDEX + slot;
        let name = format!("i{slot}");
        let near = End { name: &name, index, mac: ROUTER_MAC };
        let far = End { name: "eth0", index: INSTANCE_INDEX, mac: INSTANCE_MAC };
        let mut batch = Batch::default();
        batch.add_veth(near, far, instance);
        batch.add_host_route(index, address);
        batch.add_neighbour(index, address, INSTANCE_MAC);
        apply(batch, &self.socket)?;
        let inside = namespace::within(instance, netlink::open).map_err(|source| {
            NetworkError::Step { step: "enter the instance's network", source }
        })?;
        let mut batch = Batch::default();
        batch.set_up(INSTANCE_INDEX);
        batch.add_address(INSTANCE_INDEX, address, 32);
        batch.add_default_route(INSTANCE_INDEX, RESOLVER);
        batch.add_neighbour(INSTANCE_INDEX, RESOLVER, ROUTER_MAC);
        apply(batch, &inside)?;
        netlink::await_up(&self.socket, index)
            .map_err(|source| NetworkError::Step { step: "bring the link up", source })?;
        Ok(Link { address, resolver: RESOLVER })
    }

    /// Where instances find the ports that [`Allowed::Host`] opens.
    pub fn host_address(&self) -> Ipv4Addr {
        self.transit.host
    }

    /// What of this machine drops the router's packets, and the line that changes it. As it was when the router opened.
    pub fn obstacles(&self) -> &[Obstacle] {
        &self.obstacles
    }

    /// The router's network namespace.
    pub fn namespace(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        // What cannot be removed now is swept when a router of this server opens again.
        let _left = sweep(&self.server_id);
    }
}

/// Removes what a router of this server left on the host: its table, its link, and forwarding where it opened that and
/// no other router needs it.
pub fn sweep(server_id: &str) -> Result<(), NetworkError> {
    let Transit { table, link, .. } = Transit::new(server_id, 0);
    remove_table(&table)?;
    remove_link(&link)
}

/// Tables and links that routers have on the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Remains {
    pub(super) tables: Vec<String>,
    pub(super) links: Vec<String>,
}

/// Those of the servers that are meant.
pub(super) fn remains(whose: Whose<'_>) -> Remains {
    let names = |id: &String| {
        let transit = Transit::new(id, 0);
        [transit.table, transit.link]
    };
    let (known, is_of_known): (Vec<String>, bool) = match whose {
        Whose::AllBut(running) => (running.iter().flat_map(names).collect(), false),
        Whose::Of(id) => (names(&id.to_owned()).into(), true),
    };
    let is_hash = |text: &str| text.len() == 8 && text.bytes().all(|it| it.is_ascii_hexdigit());
    let is_meant = |name: &String| known.contains(name) == is_of_known;
    let tables = rules::ask(&["list", "tables"]);
    let tables = tables.lines().filter_map(|line| line.strip_prefix("table inet "));
    let tables = tables.filter(|name| name.strip_prefix("peek_").is_some_and(is_hash));
    let links = std::fs::read_dir("/sys/class/net").into_iter().flatten().filter_map(Result::ok);
    let links = links.filter_map(|entry| entry.file_name().into_string().ok());
    let links = links.filter(|name| name.strip_prefix("pk").is_some_and(is_hash));
    Remains {
        tables: tables.map(str::to_owned).filter(is_meant).collect(),
        links: links.filter(is_meant).collect(),
    }
}

/// Removes a router's table, where it is there, and closes the forwarding that it opened.
pub(super) fn remove_table(table: &str) -> Result<(), NetworkError> {
    let old = rules::ask(&["list", "table", "inet", table]);
    if old.is_empty() {
        return Ok(());
    }
    rules::load(&format!("delete table inet {table}\n"))?;
    let others = rules::ask(&["list", "tables"]).contains("table inet peek_");
    if let (Some(uplink), false) = (rules::remembered_uplink(&old), others) {
        let name = format!("ipv4/conf/{uplink}/forwarding");
        // The uplink may be gone by now.
        let _ = namespace::set(&name, "0");
    }
    Ok(())
}

/// Removes a router's link, where it is there.
pub(super) fn remove_link(link: &str) -> Result<(), NetworkError> {
    if link_index(link).is_err() {
        return Ok(());
    }
    let socket = netlink::open()
        .map_err(|source| NetworkError::Step { step: "open a netlink socket", source })?;
    let mut batch = Batch::default();
    batch.delete_link(link);
    apply(batch, &socket)
}

/// What a router's own namespace needs, from within it. Returns a socket to change it, and one that names are asked at.
fn build_inside(
    config: &NetworkConfig,
    transit: &Transit,
) -> Result<(OwnedFd, UdpSocket), NetworkError> {
    let step = |step| move |source| NetworkError::Step { step, source };
    for (name, value) in [
        ("ipv6/conf/all/disable_ipv6", "1"),
        ("ipv6/conf/default/disable_ipv6", "1"),
        // Packets whose source is not the address of the link they come by are dropped.
        ("ipv4/conf/all/rp_filter", "1"),
        ("ipv4/conf/default/rp_filter", "1"),
        ("ipv4/conf/all/send_redirects", "0"),
        ("ipv4/ip_forward", "1"),
    ] {
        match namespace::set(name, value) {
            // A kernel without IPv6 has nothing to be switched off.
            Err(error) if name.starts_with("ipv6") && error.kind() == io::ErrorKind::NotFound => {}
            set => set.map_err(step("set the router's kernel settings"))?,
        }
    }
    let socket = netlink::open().map_err(step("open a netlink socket"))?;
    let uplink = link_index("up")?;
    let mut batch = Batch::default();
    batch.set_up(LOOPBACK_INDEX);
    batch.add_address(LOOPBACK_INDEX, RESOLVER, 32);
    batch.set_up(uplink);
    batch.add_address(uplink, transit.router, 30);
    batch.add_neighbour(uplink, transit.host, ROUTER_MAC);
    batch.add_default_route(uplink, transit.host);
    apply(batch, &socket)?;
    netlink::await_up(&socket, uplink).map_err(step("bring the router's link up"))?;
    rules::load(&rules::router_rules(config, transit))?;
    let listener = UdpSocket::bind((RESOLVER, 53)).map_err(step("listen for name queries"))?;
    Ok((socket, listener))
}

/// What the host needs: the router's packets are forwarded to the uplink and back, and nothing else is that was not
/// before. Returns the uplink.
fn open_host(config: &NetworkConfig, transit: &Transit) -> Result<Option<String>, NetworkError> {
    let step =
        |source| NetworkError::Step { step: "forward from the router to the uplink", source };
    // The host has nothing to say to its router over IPv6.
    let _ = namespace::set(&format!("ipv6/conf/{}/disable_ipv6", transit.link), "1");
    let uplink = routes().into_iter().find(|route| route.mask == 0).map(|route| route.link);
    let mut closed = None;
    if let Some(uplink) = &uplink {
        let name = format!("ipv4/conf/{uplink}/forwarding");
        let others = rules::remembered_uplink(&rules::ask(&["list", "ruleset"]));
        if namespace::get(&name).map_err(step)? == "0" || others.as_ref() == Some(uplink) {
            closed = Some(uplink.as_str());
        }
        // Rules first: the uplink is never open without its guard.
        rules::load(&rules::host_rules(config, transit, closed))?;
        namespace::set(&name, "1").map_err(step)?;
    } else {
        rules::load(&rules::host_rules(config, transit, None))?;
    }
    namespace::set(&format!("ipv4/conf/{}/forwarding", transit.link), "1").map_err(step)?;
    Ok(uplink)
}

fn apply(batch: Batch, socket: &OwnedFd) -> Result<(), NetworkError> {
    batch.apply(socket).map_err(|(step, source)| NetworkError::Step { step, source })
}

/// Index of a link in the namespace that the calling thread is in.
fn link_index(name: &str) -> Result<u32, NetworkError> {
    let step = |source| NetworkError::Step { step: "find the link", source };
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).map_err(step)?;
    rustix::net::netdevice::name_to_index(&socket, name).map_err(|error| step(error.into()))
}

/// A route of the host's.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Route {
    link: String,
    destination: u32,
    mask: u32,
}

impl Route {
    /// Whether an address is in a network that the host knows, its default route's aside.
    fn covers(&self, address: Ipv4Addr) -> bool {
        self.mask != 0 && address.to_bits() & self.mask == self.destination & self.mask
    }
}

/// The routes of the namespace that the calling thread is in.
fn routes() -> Vec<Route> {
    let text = std::fs::read_to_string("/proc/thread-self/net/route").unwrap_or_default();
    text.lines().skip(1).filter_map(parse_route).collect()
}

/// One line of `/proc/net/route`: link, destination and, sixth after it, mask, in the machine's byte order.
fn parse_route(line: &str) -> Option<Route> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let number = |at: usize| Some(u32::from_str_radix(fields.get(at)?, 16).ok()?.swap_bytes());
    let link = (*fields.first()?).to_owned();
    Some(Route { link, destination: number(1)?, mask: number(7)? })
}

/// The resolvers of the host's `resolv.conf`.
fn host_resolvers() -> Vec<IpAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver")?.trim().parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Addresses of two servers differ, and of one server's attempts; names are as long as the kernel allows.
    #[test]
    fn transits() {
        let (one, other) = (Transit::new("a", 0), Transit::new("b", 0));
        assert_ne!((&one.link, one.host), (&other.link, other.host));
        assert_ne!(Transit::new("a", 1).host, one.host);
        assert!(one.link.len() <= 15);
        assert_eq!(one.host.octets()[..2], [198, 18]);
        assert_eq!(one.router.to_bits() - one.host.to_bits(), 1);
    }

    // A line of the kernel's table is read in its odd byte order.
    #[test]
    fn routes_are_read() {
        let line = "eth0\t0002000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0";
        let route = parse_route(line).expect("well-formed");
        assert!(route.covers(Ipv4Addr::new(10, 0, 2, 9)));
        assert!(!route.covers(Ipv4Addr::new(10, 0, 3, 9)));
    }
}
