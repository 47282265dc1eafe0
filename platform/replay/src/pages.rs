//! Large pages for large replays: a million functions and their instances are half a GiB that is touched at random, and a
//! processor finds only some thousands of pages without looking them up in memory.
//!
//! Deliberately knows nothing of what is in them. Where the system gives none, nothing is lost.

use std::fs;

/// Size of a large page on x86-64 and on ARM with pages of 4 KiB.
const LARGE: usize = 2 << 20;

/// Memory from which on it is worth asking, by mapping: what is smaller is found in the caches as it is.
const WORTH: usize = 16 * LARGE;

/// Asks the system for large pages in all that this process has allocated so far.
pub(crate) fn enlarge() {
    let Ok(maps) = fs::read_to_string("/proc/self/maps") else { return };
    for (from, to) in maps.lines().filter_map(allocated) {
        let begin = from.next_multiple_of(LARGE);
        let end = to / LARGE * LARGE;
        if end.saturating_sub(begin) < WORTH {
            continue;
        }
        for advice in [libc::MADV_HUGEPAGE, libc::MADV_COLLAPSE] {
            // SAFETY: the range lies within one mapping of memory of this process, as the system says; the advice changes no
            // byte of it, and where the mapping is gone meanwhile the call fails.
            unsafe { libc::madvise(begin as *mut libc::c_void, end - begin, advice) };
        }
    }
}

/// Where a mapping of memory that belongs to no file begins and ends, from its line in `/proc/self/maps`.
fn allocated(line: &str) -> Option<(usize, usize)> {
    let mut words = line.split_ascii_whitespace();
    let (range, rights, name) = (words.next()?, words.next()?, words.nth(3).unwrap_or_default());
    if rights != "rw-p" || !(name.is_empty() || name == "[heap]") {
        return None;
    }
    let (from, to) = range.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    Some((number(from)?, number(to)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    // The heap and unnamed memory count, files and stacks do not.
    #[test]
    fn memory_is_told_from_files() {
        let heap = "5571bae0000-5571bb00000 rw-p 00000000 00:00 0          [heap]";
        assert_eq!(allocated(heap), Some((0x5571_bae_0000, 0x5571_bb0_0000)));
        assert_eq!(allocated("7f00-8f00 rw-p 00000000 00:00 0 "), Some((0x7f00, 0x8f00)));
        for other in [
            "7f00-8f00 rw-p 00000000 00:00 0 [stack]",
            "7f00-8f00 r--p 00000000 fe:00 9 /usr/lib/libc.so.6",
            "7f00-8f00 rw-p 00000000 fe:00 9 /usr/lib/libc.so.6",
            "",
        ] {
            assert_eq!(allocated(other), None, "{other}");
        }
    }

    // Asking changes nothing that is in memory.
    #[test]
    fn memory_stays_as_it_is() {
        let numbers: Vec<u64> = (0..(2 * WORTH / 8) as u64).collect();
        enlarge();
        assert!(numbers.iter().zip(0..).all(|(number, expected)| *number == expected));
    }
}
