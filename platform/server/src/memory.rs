//! Memory of the machine, as the kernel tells it.

use model::MemoryMib;

/// All of it, and what could be had now; None where /proc/meminfo does not say.
pub fn total_and_available() -> Option<(MemoryMib, MemoryMib)> {
    parse(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

/// Free memory at the end of an arena beyond which it is given back at once, and size from which an allocation is a
/// mapping of its own: glibc's initial values (mallopt(3)).
#[cfg(target_env = "gnu")]
const THRESHOLD: libc::c_int = 128 << 10;

/// Has the allocator keep little of what was freed, for good.
///
/// Left alone, glibc raises its thresholds to the largest block ever freed, as a code package of some MiB is; then each
/// thread's arena keeps twice as much at its end, where [`give_back`] does not reach: 2 MiB per process, seen after two
/// uploads of 0.9 MiB. Stating a threshold keeps it.
pub fn keep_little() {
    #[cfg(target_env = "gnu")]
    for parameter in [libc::M_TRIM_THRESHOLD, libc::M_MMAP_THRESHOLD] {
        // SAFETY: mallopt takes integers and the allocator's own locks.
        let set = unsafe { libc::mallopt(parameter, THRESHOLD) };
        // Refused, it costs memory and nothing else.
        tracing::debug!(parameter, set, "allocator's threshold");
    }
}

/// Gives back to the machine what the allocator keeps of a burst that is over.
///
/// glibc returns freed memory of a thread's arena only when asked; other allocators do it by themselves.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes the allocator's own locks and touches only memory that is free.
    unsafe {
        libc::malloc_trim(0);
    }
}

fn parse(meminfo: &str) -> Option<(MemoryMib, MemoryMib)> {
    let mib = |name: &str| {
        let line = meminfo.lines().find(|line| line.starts_with(name))?;
        let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        u32::try_from(kib / 1024).ok().map(MemoryMib)
    };
    Some((mib("MemTotal:")?, mib("MemAvailable:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Sizes are read from the lines that have them, and nothing is made up where a line is missing.
    #[test]
    fn meminfo_is_read() {
        let text = "MemTotal:       24576 kB\nMemFree: 1 kB\nMemAvailable:   2048 kB\n";
        assert_eq!(parse(text), Some((MemoryMib(24), MemoryMib(2))));
        assert_eq!(parse("MemTotal: 24576 kB\n"), None);
    }
}
