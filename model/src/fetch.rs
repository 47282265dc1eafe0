//! Having the cache fetch what will be read soon.
//!
//! Deliberately knows nothing of what that is.

/// Bytes of a cache line.
const LINE: usize = 64;

/// Has the cache fetch a thing, without waiting for it: many are fetched at once.
#[inline]
pub fn fetch<T>(thing: &T) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..size_of::<T>()).step_by(LINE) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: SSE is part of x86_64, and prefetching reads no memory that the program could see.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(thing).cast::<i8>().wrapping_add(line))
        };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (thing, LINE);
}
