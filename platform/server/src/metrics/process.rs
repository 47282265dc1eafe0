//! The process's own numbers, with the names that Prometheus's client libraries give them.

use super::Text;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

/// Writes down what /proc says; what it does not say is left out.
pub(super) fn write(text: &mut Text) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // What comes after the name, which may hold anything.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().collect())
        .unwrap_or_default();
    let field = |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok());
    let ticks = ticks_per_second();
    if let (Some(user), Some(system)) = (field(11), field(12)) {
        let help = "CPU time of the server's process.";
        text.single("process_cpu_seconds_total", "counter", help, (user + system) / ticks);
    }
    if let (Some(threads), Some(started), Some(size), Some(resident)) =
        (field(17), field(19), field(20), field(21))
    {
        text.single("process_threads", "gauge", "Threads.", threads);
        let help = "Memory mapped.";
        text.single("process_virtual_memory_bytes", "gauge", help, size);
        let help = "Memory in use.";
        text.single("process_resident_memory_bytes", "gauge", help, resident * page_bytes());
        if let Some(up) = uptime() {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let at = now.as_secs_f64() - up + started / ticks;
            text.single("process_start_time_seconds", "gauge", "When it was started.", at);
        }
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        text.single("process_open_fds", "gauge", "Open descriptors.", open.count() as f64);
    }
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let most = limits.lines().find_map(|line| {
        line.strip_prefix("Max open files")?.split_whitespace().next()?.parse::<f64>().ok()
    });
    if let Some(most) = most {
        text.single("process_max_fds", "gauge", "Most descriptors.", most);
    }
}

fn uptime() -> Option<f64> {
    fs::read_to_string("/proc/uptime").ok()?.split_whitespace().next()?.parse().ok()
}

fn ticks_per_second() -> f64 {
    // SAFETY: sysconf takes an integer and reads nothing of ours.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    if ticks > 0 { ticks as f64 } else { 100.0 }
}

fn page_bytes() -> f64 {
    // SAFETY: sysconf takes an integer and reads nothing of ours.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    if bytes > 0 { bytes as f64 } else { 4096.0 }
}
