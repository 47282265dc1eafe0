//! What the machine of the vantage point does beside measuring. Deliberately knows nothing of targets.

use model::Span;

/// Ticks of `/proc/stat` in a second: user space sees 100 on every architecture that Linux runs on (proc_stat(5), USER_HZ).
const TICKS_PER_S: u64 = 100;

/// CPU time idle since boot, over all CPUs, to 10 ms; None where there is no `/proc/stat`.
pub(crate) fn idle_cpu() -> Option<Span> {
    idle_in(&std::fs::read_to_string("/proc/stat").ok()?)
}

/// Idle, and idle while a disk is waited for: the fourth and fifth number of the first line.
fn idle_in(stat: &str) -> Option<Span> {
    let mut words = stat.lines().next()?.split_whitespace();
    words.next().filter(|name| *name == "cpu")?;
    let ticks: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
    let idle = ticks.get(3)? + ticks.get(4).copied().unwrap_or(0);
    Some(Span::from_millis(idle * 1_000 / TICKS_PER_S))
}

#[cfg(test)]
mod tests {
    use super::*;

    // The first line is the sum over all CPUs; what is no such file says nothing.
    #[test]
    fn idle_time_is_read() {
        let stat = "cpu  1553628 515711 285540 678533 11949 0 7773 6864 0 0\ncpu0 1 2 3 4 5\n";
        assert_eq!(idle_in(stat), Some(Span::from_millis(6_904_820)));
        assert_eq!(idle_in("cpu0 1 2 3 4 5"), None);
        assert_eq!(idle_in("cpu 1 2 3"), None);
        assert_eq!(idle_in(""), None);
    }
}
