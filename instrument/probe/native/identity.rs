//! Who runs where: everything that may name the instance or its host.

use crate::exposure::digest;
use probe::Identity;
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fs::read_to_string;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Variables by which platforms name a host or a role instance. The first is Azure's (Wang et al., 4.1).
const HOST_VARIABLES: [&str; 4] = ["WEBSITE_INSTANCE_ID", "HOST_ID", "INSTANCE_ID", "NODE_NAME"];

pub fn read() -> Identity {
    let addresses = addresses();
    let (hostname, kernel) = names();
    let uptime = text("/proc/uptime");
    let memory = field(&text("/proc/meminfo"), "MemTotal");
    let memory_kib: u64 = memory.trim_end_matches("kB").trim().parse().unwrap_or_default();
    Identity {
        host_ids: host_ids(&addresses),
        hostname,
        uptime_s: uptime.split(' ').next().and_then(|s| s.parse().ok()).unwrap_or_default(),
        cpu_model: field(&text("/proc/cpuinfo"), "model name"),
        cpu_count: online_cpus(),
        host_memory_mib: u32::try_from(memory_kib / 1024).unwrap_or(u32::MAX),
        kernel,
        addresses,
    }
}

fn host_ids(addresses: &[String]) -> BTreeMap<String, String> {
    let cgroup = text("/proc/self/cgroup");
    let in_cgroup = cgroup.lines().any(|line| !line.ends_with(":/"));
    let variable = HOST_VARIABLES.iter().find_map(|name| std::env::var(name).ok());
    let ids = [
        ("instance_root_id", instance_root_id(&cgroup)),
        ("cgroup", if in_cgroup { digest(cgroup.as_bytes()) } else { String::new() }),
        ("env", variable.unwrap_or_default()),
        ("boot_id", text("/proc/sys/kernel/random/boot_id").trim().to_owned()),
        ("machine_id", text("/etc/machine-id").trim().to_owned()),
        ("ip", addresses.iter().find(|a| !a.contains(':')).cloned().unwrap_or_default()),
    ];
    let named = ids.into_iter().filter(|(_, id)| !id.is_empty());
    named.map(|(source, id)| (source.to_owned(), id)).collect()
}

/// The part before the last component of the path on the longest line (Wang et al., 4.1).
fn instance_root_id(cgroup: &str) -> String {
    // The first of the longest, as the probes in other languages have it.
    let longest = cgroup.lines().rev().max_by_key(|line| line.len()).unwrap_or_default();
    let path = longest.splitn(3, ':').nth(2).unwrap_or_default();
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    parent.trim_start_matches('/').to_owned()
}

/// The file's text; empty where it cannot be read.
fn text(path: &str) -> String {
    read_to_string(path).unwrap_or_default()
}

/// The value of the first line `name : value`; empty where there is none.
fn field(text: &str, name: &str) -> String {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines
        .into_iter()
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim().to_owned())
        .unwrap_or_default()
}

fn online_cpus() -> u32 {
    // SAFETY: sysconf takes a number and returns one, negative where it does not know.
    let count = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    u32::try_from(count).unwrap_or_default()
}

/// Host name and kernel release.
fn names() -> (String, String) {
    let mut names = std::mem::MaybeUninit::<libc::utsname>::zeroed();
    // SAFETY: `names` is valid for writes, and zeroed bytes are a valid utsname even if the call fails.
    let names = unsafe {
        libc::uname(names.as_mut_ptr());
        names.assume_init()
    };
    let text = |field: &[libc::c_char]| {
        // SAFETY: the kernel ends each field with a zero byte, and an untouched one is all zeros.
        unsafe { CStr::from_ptr(field.as_ptr()) }.to_string_lossy().into_owned()
    };
    (text(&names.nodename), text(&names.release))
}

/// Own addresses in order, without loopback and link-local ones.
fn addresses() -> Vec<String> {
    let mut list = std::ptr::null_mut();
    // SAFETY: `list` is valid for writes; on success it is a list that is freed below.
    if unsafe { libc::getifaddrs(&raw mut list) } != 0 {
        return Vec::new();
    }
    let mut addresses = Vec::new();
    let mut entry = list;
    while !entry.is_null() {
        // SAFETY: `entry` is an element of the list, which is not freed yet.
        let (address, next) = unsafe { ((*entry).ifa_addr, (*entry).ifa_next) };
        // SAFETY: an element's address is null or points to a socket address of the family that it names.
        addresses.extend(unsafe { ip(address) });
        entry = next;
    }
    // SAFETY: `list` came from getifaddrs and is freed once.
    unsafe { libc::freeifaddrs(list) };
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// # Safety
/// `address` is null or points to a valid socket address of the family that it names.
unsafe fn ip(address: *const libc::sockaddr) -> Option<String> {
    if address.is_null() {
        return None;
    }
    // SAFETY: not null, and valid by this function's contract; the family decides the type.
    let ip = match i32::from(unsafe { (*address).sa_family }) {
        libc::AF_INET => {
            // SAFETY: of family AF_INET.
            let bytes = unsafe { (*address.cast::<libc::sockaddr_in>()).sin_addr.s_addr };
            IpAddr::V4(Ipv4Addr::from(u32::from_be(bytes)))
        }
        libc::AF_INET6 => {
            // SAFETY: of family AF_INET6.
            let bytes = unsafe { (*address.cast::<libc::sockaddr_in6>()).sin6_addr.s6_addr };
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    let local = match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    (!ip.is_loopback() && !local).then(|| ip.to_string())
}
