//! Counts of what was seen: a lower bound, and an upper one only where nothing can have been missed.
//!
//! Deliberately estimates nothing of what was not seen.

use super::{Interval, Method};

/// Whether a count can grow with more looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Everything there was to see was looked at.
    Complete,
    /// More may exist.
    AtLeast,
}

/// The interval of a count.
pub const fn interval(count: f64, extent: Extent) -> Interval {
    let high = match extent {
        Extent::Complete => Some(count),
        Extent::AtLeast => None,
    };
    Interval { low: Some(count), high, method: Method::Set }
}

#[cfg(test)]
mod tests {
    use super::*;

    // More can only be excluded where everything was looked at.
    #[test]
    fn only_complete_counts_are_closed() {
        assert_eq!(interval(3.0, Extent::Complete).high, Some(3.0));
        let found = interval(3.0, Extent::AtLeast);
        assert!(found.contains(1e9) && !found.contains(2.0));
    }
}
