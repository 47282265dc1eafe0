//! The packet filters of a router and of its host, through the `nft` program, and what of others stands in the way.

use super::{Allowed, NetworkConfig, NetworkError, RESOLVER, Transit};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddrV4;
use std::path::Path;
use std::process::{Command, Stdio};

/// Where `nft` may be; PATH of a service often lacks the first two.
const PROGRAMS: [&str; 4] = ["/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft", "/usr/local/sbin/nft"];
/// What is nobody's on the internet: this network, private, shared, loopback, link-local, reserved for protocols and
/// benchmarks, multicast and future use (IANA special-purpose registry, RFC 6890). Documentation ranges are left out:
/// nothing is routed there.
const PRIVATE_RANGES: &str = "0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, \
    172.16.0.0/12, 192.0.0.0/24, 192.168.0.0/16, 198.18.0.0/15, 224.0.0.0/3";
/// Begins the comment that remembers what to undo on the host.
const UNDO: &str = "peek: forwarding was off on ";

/// Something of this machine that drops what the platform forwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// What it is.
    pub what: String,
    /// The line to run, as root.
    pub remedy: String,
}

/// The rules of a router's own namespace: sources are fixed by reverse path filtering, not here.
pub(super) fn router_rules(config: &NetworkConfig, transit: &Transit) -> String {
    let mut allowed = String::new();
    for SocketAddrV4Text(text) in allowed_pairs(config, transit) {
        let _ = writeln!(allowed, "    ip daddr . tcp dport {{ {text} }} accept");
    }
    let limit = config.connections_limit;
    format!(
        r#"table inet peek {{
  set connections {{ type ipv4_addr; size 65535; flags dynamic; }}
  chain input {{
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    iifname "i*" ip daddr {RESOLVER} udp dport 53 accept
    iifname "i*" ip daddr {RESOLVER} tcp dport 53 reject with tcp reset
  }}
  chain forward {{
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    meta nfproto ipv6 drop
    iifname != "i*" drop
    ct state new add @connections {{ ip saddr ct count over {limit} }} reject
{allowed}    oifname != "up" reject with icmp admin-prohibited
    ip daddr {{ {PRIVATE_RANGES} }} reject with icmp admin-prohibited
    accept
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat;
    oifname "up" masquerade
  }}
}}
"#
    )
}

/// The rules on the host: the router's packets go out in the host's name, and into the host not at all.
pub(super) fn host_rules(
    config: &NetworkConfig,
    transit: &Transit,
    closed_uplink: Option<&str>,
) -> String {
    let Transit { table, link, router, .. } = transit;
    let mut allowed = String::new();
    for SocketAddrV4Text(text) in allowed_pairs(config, transit) {
        let _ =
            writeln!(allowed, "    iifname \"{link}\" ip daddr . tcp dport {{ {text} }} accept");
    }
    // Forwarding was opened for us only: what comes in by the uplink may go to routers of Peek's and nowhere else.
    let guard = closed_uplink.map_or(String::new(), |uplink| {
        format!("    iifname \"{uplink}\" oifname != \"pk*\" drop comment \"{UNDO}{uplink}\"\n")
    });
    format!(
        r#"table inet {table} {{
  chain input {{
    type filter hook input priority filter; policy accept;
    iifname "{link}" ct state established,related accept
{allowed}    iifname "{link}" reject with icmpx admin-prohibited
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
{guard}    oifname "{link}" ct state established,related accept
    oifname "{link}" drop
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat;
    ip saddr {router} oifname != "pk*" masquerade
  }}
}}
"#
    )
}

/// An address and a port, as nft writes the pair.
struct SocketAddrV4Text(String);

fn allowed_pairs(
    config: &NetworkConfig,
    transit: &Transit,
) -> impl Iterator<Item = SocketAddrV4Text> {
    config.allowed.iter().map(|allowed| {
        let address = match *allowed {
            Allowed::Host { port } => SocketAddrV4::new(transit.host, port),
            Allowed::Address(address) => address,
        };
        SocketAddrV4Text(format!("{} . {}", address.ip(), address.port()))
    })
}

/// Loads rules into the namespace that the calling thread is in.
pub(super) fn load(rules: &str) -> Result<(), NetworkError> {
    let mut child = nft()?
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| NetworkError::Step { step: "run nft", source })?;
    if let Some(mut stdin) = child.stdin.take() {
        // Where it ends early, its own words say why.
        let _ = stdin.write_all(rules.as_bytes());
    }
    let output = child
        .wait_with_output()
        .map_err(|source| NetworkError::Step { step: "run nft", source })?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(NetworkError::Rules { message })
}

/// What `nft` says to these arguments; empty where it fails.
pub(super) fn ask(arguments: &[&str]) -> String {
    let Ok(mut command) = nft() else { return String::new() };
    let output = command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output();
    output.map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn nft() -> Result<Command, NetworkError> {
    let program = PROGRAMS.iter().find(|program| Path::new(program).exists());
    let mut command = Command::new(program.ok_or(NetworkError::NoNft)?);
    command.env_clear();
    Ok(command)
}

/// The uplink on which some router of this host's opened forwarding, as the rules remember it.
pub(super) fn remembered_uplink(ruleset: &str) -> Option<String> {
    let (_, rest) = ruleset.split_once(UNDO)?;
    let (name, _) = rest.split_once('"')?;
    Some(name.to_owned())
}

/// What others' rules on this host drop of what is forwarded for `link`.
///
/// `chains`: what `nft list chains` says. `legacy`: what `iptables-legacy -S FORWARD` says, where there is that.
pub(super) fn obstacles(chains: &str, legacy: &str, link: &str) -> Vec<Obstacle> {
    let mut found = Vec::new();
    let has = |name: &str| chains.contains(&format!("chain {name} {{"));
    let accept = |chain: &str| {
        format!(
            "iptables -I {chain} -i {link} -j ACCEPT && iptables -I {chain} -o {link} \
             -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
        )
    };
    let mut table = "";
    let mut closed = legacy.lines().any(|line| line.trim() == "-P FORWARD DROP");
    for line in chains.lines().map(str::trim) {
        if line.starts_with("table ") {
            table = line.trim_end_matches(" {");
        }
        let drops = line.contains("hook forward") && line.contains("policy drop");
        if drops && matches!(table, "table ip filter") {
            closed = true;
        } else if drops && table != "table ip6 filter" && !table.starts_with("table inet peek_") {
            found.push(Obstacle {
                what: format!("{table} drops what is forwarded"),
                remedy: format!("nft insert rule {} forward iifname {link} accept", &table[6..]),
            });
        }
    }
    if chains.contains("table inet firewalld {") {
        found.push(Obstacle {
            what: "firewalld rejects what is forwarded between unknown interfaces".to_owned(),
            remedy: format!("firewall-cmd --zone=trusted --add-interface={link}"),
        });
    }
    if closed && has("ufw-user-forward") {
        found.push(Obstacle {
            what: "ufw drops what is forwarded".to_owned(),
            remedy: format!("ufw route allow in on {link}"),
        });
    } else if closed && has("DOCKER-USER") {
        found.push(Obstacle {
            what: "Docker drops what is forwarded for others".to_owned(),
            remedy: accept("DOCKER-USER"),
        });
    } else if closed {
        found.push(Obstacle {
            what: "iptables drops what is forwarded (policy of FORWARD)".to_owned(),
            remedy: accept("FORWARD"),
        });
    }
    found
}

/// What `iptables-legacy` has in its own tables, which `nft` does not show.
pub(super) fn legacy_forward_rules() -> String {
    let program = Path::new("/usr/sbin/iptables-legacy");
    let loaded = std::fs::read_to_string("/proc/thread-self/net/ip_tables_names");
    if !program.exists() || !loaded.is_ok_and(|names| names.contains("filter")) {
        return String::new();
    }
    let output = Command::new(program).args(["-S", "FORWARD"]).stdin(Stdio::null()).output();
    output.map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    // Each of the usual firewalls is named, with the line that lets the router through; an open host has none.
    #[test]
    fn obstacles_are_named() {
        let docker = "table ip filter {\n\tchain DOCKER-USER {\n\t}\n\tchain FORWARD {\n\t\ttype filter hook forward \
                      priority filter; policy drop;\n\t}\n}\n";
        let found = obstacles(docker, "", "pk1");
        assert_eq!(found.len(), 1);
        assert!(found[0].what.contains("Docker") && found[0].remedy.contains("DOCKER-USER -i pk1"));
        let ufw = docker.replace("DOCKER-USER", "ufw-user-forward");
        assert!(obstacles(&ufw, "", "pk1")[0].remedy.starts_with("ufw route allow in on pk1"));
        let firewalld = "table inet firewalld {\n\tchain filter_FORWARD {\n\t\ttype filter hook forward priority \
                         filter + 10; policy accept;\n\t}\n}\n";
        assert!(obstacles(firewalld, "", "pk1")[0].remedy.contains("firewall-cmd"));
        let own = "table inet mine {\n\tchain f {\n\t\ttype filter hook forward priority 0; policy drop;\n";
        assert!(obstacles(own, "", "pk1")[0].what.contains("table inet mine"));
        assert_eq!(obstacles("", "-P FORWARD DROP\n", "pk1").len(), 1);
        assert_eq!(obstacles(&docker.replace("policy drop", "policy accept"), "", "pk1"), []);
    }

    // What is to be undone on the host is found again in its rules.
    #[test]
    fn the_uplink_is_remembered() {
        let transit = Transit::new("test", 0);
        let config = NetworkConfig::default();
        let rules = host_rules(&config, &transit, Some("eth0.1"));
        assert_eq!(remembered_uplink(&rules), Some("eth0.1".to_owned()));
        assert_eq!(remembered_uplink(&host_rules(&config, &transit, None)), None);
    }
}
