//! A quantity that changes at moments, and its integral over time.

use model::Time;

/// MiB that are in use for something.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gauge {
    mib: u64,
    most_mib: u64,
    since: Time,
    mib_s: f64,
}

impl Gauge {
    pub(crate) fn add(&mut self, now: Time, mib: u32) {
        self.settle(now);
        self.mib += u64::from(mib);
        self.most_mib = self.most_mib.max(self.mib);
    }

    pub(crate) fn take(&mut self, now: Time, mib: u32) {
        self.settle(now);
        self.mib = self.mib.saturating_sub(u64::from(mib));
    }

    /// Brings the integral up to now.
    pub(crate) fn settle(&mut self, now: Time) {
        self.mib_s += self.mib as f64 * now.since(self.since).as_secs_f64();
        self.since = self.since.max(now);
    }

    pub(crate) fn mib_s(&self) -> f64 {
        self.mib_s
    }

    pub(crate) fn most_mib(&self) -> u64 {
        self.most_mib
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Span;

    // The integral is that of the steps, and looking does not change it.
    #[test]
    fn integrates_steps() {
        let at = |secs| Time::ZERO + Span::from_secs(secs);
        let mut gauge = Gauge::default();
        gauge.add(at(1), 100);
        gauge.add(at(3), 50);
        gauge.settle(at(3));
        gauge.take(at(4), 100);
        gauge.settle(at(10));
        assert_eq!((gauge.mib_s(), gauge.most_mib()), (200.0 + 150.0 + 300.0, 150));
    }
}
