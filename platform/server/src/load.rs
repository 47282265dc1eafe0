//! How busy hosts are, told to the scheduler where its placement asks.
//!
//! Deliberately decides nothing: what it reads are counters, what it tells are rates.

use crate::platform::Platform;
use model::HostId;
use sandbox::{HostUse, Kind};
use scheduler::HostLoad;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// From one measurement to the next: short beside an invocation that is worth moving, long beside a quota's period (100
/// ms).
const EVERY: Duration = Duration::from_millis(500);

/// Measures every host twice a second, for as long as the future is polled.
pub async fn watch<K: Kind>(platform: Arc<Platform<K>>) {
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut seen: HashMap<HostId, (Instant, HostUse)> = HashMap::new();
    loop {
        every.tick().await;
        let hosts = platform.hosts_in_use();
        seen.retain(|host, _| hosts.contains(host));
        for host in hosts {
            let Some(used) = platform.host_use(host).await else { continue };
            let now = Instant::now();
            if let Some((then, before)) = seen.get(&host) {
                platform.host_load(host, between(before, &used, now - *then));
            }
            seen.insert(host, (now, used));
        }
    }
}

/// What was used per second from one measurement to the next. An instance that is gone in between has used nothing.
fn between(before: &HostUse, after: &HostUse, time: Duration) -> HostLoad {
    let per_s = |amount: f64| amount / time.as_secs_f64().max(1e-3);
    let (mut disk, mut network) = (0, 0);
    for (instance, it) in &after.instances {
        let old = before.instances.get(instance).copied().unwrap_or_default();
        disk += it.disk_bytes.saturating_sub(old.disk_bytes);
        network += it.network_bytes.saturating_sub(old.network_bytes);
    }
    let cpu_s = after.cpu.as_secs_f64() - before.cpu.as_secs_f64();
    // Floats too large for an integer become the largest, those below zero become zero.
    HostLoad {
        milli_cpus: per_s(cpu_s * 1e3).round() as u32,
        disk_kib_s: per_s(disk as f64 / 1024.0).round() as u64,
        network_kbit_s: per_s(network as f64 * 8.0 / 1e3).round() as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Span;
    use sandbox::InstanceUse;

    // Counters become rates; a new instance counts from its beginning, and one that is gone takes nothing away.
    #[test]
    fn counters_become_rates() {
        let used = |cpu_ms, instances: &[(&str, u64, u64)]| HostUse {
            cpu: Span::from_millis(cpu_ms),
            instances: instances
                .iter()
                .map(|&(name, disk_bytes, network_bytes)| {
                    (name.to_owned(), InstanceUse { disk_bytes, network_bytes })
                })
                .collect(),
        };
        let before = used(1000, &[("a", 1 << 20, 500), ("gone", 1 << 30, 1 << 30)]);
        let after = used(1750, &[("a", 3 << 20, 125_500), ("new", 1 << 20, 0)]);
        let load = between(&before, &after, Duration::from_millis(500));
        let expected = HostLoad { milli_cpus: 1500, disk_kib_s: 6 << 10, network_kbit_s: 2000 };
        assert_eq!(load, expected);
    }
}
