//! How many instances one function can have.

/// Limits of a function's instances. Requests beyond them wait for one that is there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scaling {
    /// Instances of one function; None for any number.
    pub max_instances: Option<u32>,
    /// Requests that one instance takes at once, 1 or more. A new instance is started only when all have as many.
    pub requests_per_instance: u32,
    /// Of a function's concurrent requests, the share that have an instance started for them, more than 0, at most 1. `n`
    /// requests in flight have `ceil(start_share * n)` instances at least, if they are more than idle ones were.
    pub start_share: f64,
}

impl Default for Scaling {
    fn default() -> Self {
        Self { max_instances: None, requests_per_instance: 1, start_share: 1.0 }
    }
}

impl Scaling {
    /// Instances up to which new ones are started, with so many invocations in flight.
    pub fn limit(&self, in_flight: u32) -> u32 {
        let most = self.max_instances.unwrap_or(u32::MAX);
        if self.start_share >= 1.0 {
            return most;
        }
        // A product that should be a whole number can be a little more.
        let share = (f64::from(in_flight) * self.start_share - 1e-9).ceil() as u32;
        most.min(share.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The share is rounded up and is one at least, and the smaller of both limits counts.
    #[test]
    fn the_smaller_limit_counts() {
        let half = Scaling { start_share: 0.5, ..Scaling::default() };
        assert_eq!([1, 2, 3, 10].map(|n| half.limit(n)), [1, 1, 2, 5]);
        assert_eq!(Scaling { max_instances: Some(3), ..half }.limit(10), 3);
        let third = Scaling { start_share: 0.1, ..Scaling::default() };
        assert_eq!([10, 11, 30].map(|n| third.limit(n)), [1, 2, 3]);
        assert_eq!(Scaling::default().limit(1), u32::MAX);
    }
}
