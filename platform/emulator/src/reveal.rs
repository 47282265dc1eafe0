//! What a function can read of where it runs.

use crate::host::Host;
use crate::profile::{Model, Names, Seen};
use model::{InstanceId, Time};
use probe::{DiskCounter, Exposed, Identity};

/// Kernel release that hosts say they have.
const KERNEL: &str = "4.9.62-21.56.amzn1.x86_64";

/// The host's name under a source, as [`identity`] reveals it; empty where nothing does.
pub(crate) fn host_name(model: &Model, host: &Host, source: &str) -> String {
    // Names of hosts are the same for all of their instances.
    let names = identity(model, host, InstanceId(0), Time::ZERO.max(host.since)).host_ids;
    names.get(source).cloned().unwrap_or_default()
}

/// Everything that may name the instance or its host.
pub(crate) fn identity(model: &Model, host: &Host, instance: InstanceId, now: Time) -> Identity {
    let reveal = &model.reveal;
    let names = reveal.names.iter().map(|(source, whose)| {
        let (number, seed) = match whose {
            Names::Host => (host.number, host.name),
            Names::Instance => (instance.0, host.name ^ instance.0),
            Names::Nothing => (0, 0),
        };
        let word = source.word();
        let name = match word {
            "ip" => ip(number),
            "instance_root_id" => format!("sandbox-root-{:016x}", mixed(seed, word)),
            word => format!("{:016x}", mixed(seed, word)),
        };
        (word.to_owned(), name)
    });
    let host_ids: std::collections::BTreeMap<_, _> = names.collect();
    let seen = |seen: Seen| seen == Seen::Host;
    let address = host_ids.get("ip").cloned();
    Identity {
        hostname: address.as_ref().map_or("localhost".into(), |ip| ip.replace('.', "-")),
        uptime_s: if seen(reveal.uptime) { host.uptime_s(now) } else { 0.0 },
        cpu_model: if seen(reveal.cpu_model) {
            host.kind.cpu_model.clone()
        } else {
            "unknown".into()
        },
        cpu_count: host.kind.vcpus,
        host_memory_mib: if seen(reveal.memory) { host.kind.memory_mib } else { 0 },
        kernel: KERNEL.to_owned(),
        addresses: address.into_iter().collect(),
        host_ids,
    }
}

/// What of the host can be read: the same on all instances of a host, and different on each host.
pub(crate) fn exposure(model: &Model, host: &Host) -> Vec<Exposed> {
    let readable = |item: &str| model.reveal.readable.iter().any(|known| known == item);
    probe::EXPOSURE_ITEMS
        .lines()
        .map(|item| {
            let readable = readable(item);
            let digest = format!("{:016x}", mixed(host.name, item));
            Exposed {
                item: item.to_owned(),
                readable,
                digest: if readable { digest } else { String::new() },
            }
        })
        .collect()
}

/// The host's disk counters, where they can be seen.
pub(crate) fn disk_counters(model: &Model, host: &Host, now: Time) -> Option<Vec<DiskCounter>> {
    match model.reveal.disk_counters {
        Seen::Hidden => None,
        Seen::Host => {
            let (sectors_read, sectors_written) = host.sectors(now, model.disk.noise_mib_s);
            let device = "xvda".to_owned();
            Some(vec![DiskCounter { device, sectors_read, sectors_written }])
        }
    }
}

/// An address by number, so that no two hosts and no two instances of a study have the same one.
fn ip(number: u64) -> String {
    let [a, b, c, ..] = number.to_le_bytes();
    format!("10.{c}.{b}.{a}")
}

/// A number that depends on both (FNV-1a, offset basis and prime of the 64-bit variant, then a final mix).
pub(crate) fn mixed(number: u64, text: &str) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = number.to_le_bytes().iter().fold(0xcbf2_9ce4_8422_2325, step);
    let hash = text.as_bytes().iter().fold(hash, step);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}
