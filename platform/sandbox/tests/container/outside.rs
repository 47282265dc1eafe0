//! The network of instances, as their starter connects it. What it lets pass is tried where the router is.

use crate::support::{World, is_root};
use sandbox::container::Network;
use sandbox::container::network::{NetworkConfig, RESOLVER};

// With a routed network, fresh and prepared sandboxes have an address of their own, a way out and a resolver; closing
// leaves no link.
#[tokio::test]
async fn routed_networks_connect() {
    if !is_root() {
        return;
    }
    if !std::path::Path::new("/usr/sbin/nft").exists() {
        eprintln!("skipped: needs nft");
        return;
    }
    let links = || std::fs::read_dir("/sys/class/net").expect("links").count();
    let before = links();
    let world = World::with("routed", |config| {
        config.pool = 1;
        config.network = Network::Routed(NetworkConfig::default());
    })
    .await;
    assert_eq!(links(), before + 1);
    let script = "cat /etc/resolv.conf; tail -n +2 /proc/net/route | cut -f 1-3; \
                  grep -m 1 -o '198[.]19[.][0-9.]*' /proc/net/fib_trie; exec sleep 600";
    let mut addresses = std::collections::BTreeSet::new();
    let mut running = Vec::new();
    for instance in 1..=3 {
        let sandbox = world.start(instance, &["/bin/sh", "-c", script]).await;
        assert_eq!(sandbox.line().await, format!("nameserver {RESOLVER}"));
        assert_eq!(sandbox.line().await, "eth0\t00000000\t0101FEA9");
        addresses.insert(sandbox.line().await);
        running.push(sandbox);
    }
    assert_eq!(addresses.len(), 3, "{addresses:?}");
    for sandbox in running {
        sandbox.kill().await;
    }
    world.close().await;
    assert_eq!(links(), before);
}
