//! How much is kept.

use model::Span;

/// How much is kept. What is beyond goes, oldest first, in pieces of [`Bounds::segment_bytes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes on disk of one log group, which is one function's.
    pub group_bytes: u64,
    /// Bytes on disk of all log groups.
    pub total_bytes: u64,
    /// Age of the youngest event from which a segment goes. A group's retention may be shorter, never longer.
    pub age: Span,
    /// Bytes that wait to be written; what comes while they are full is dropped and counted.
    pub buffer_bytes: usize,
    /// Log groups of one tenant; further ones are not made (CloudWatch Logs quotas, 2026: 1,000,000).
    pub groups: usize,
}

impl Default for Bounds {
    /// 32 MiB per function, 1 GiB in all, 14 days.
    fn default() -> Self {
        Self {
            group_bytes: 32 << 20,
            total_bytes: 1 << 30,
            age: Span::from_secs(14 * 24 * 3600),
            buffer_bytes: 16 << 20,
            groups: 20_000,
        }
    }
}

impl Bounds {
    /// Size from which a segment file is not written to any more: an eighth of a group's bytes, at most 4 MiB.
    pub fn segment_bytes(&self) -> u64 {
        (self.group_bytes / 8).clamp(4 << 10, 4 << 20)
    }

    /// Time from its first event after which a segment is not written to any more: a fourteenth of the age.
    pub(crate) fn segment_ms(&self) -> i64 {
        i64::try_from(self.age.as_millis() / 14).unwrap_or(i64::MAX).max(1)
    }
}
