//! Latencies of starts, cold and warm.

use super::{Expected, deviation, mean, quantile};
use model::MemoryMib;
use rand::RngExt;

/// Draws of one latency.
const DRAWS: usize = 1_000_000;

/// A start whose latency is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Start<'s> {
    /// A new instance, alone, of code never seen.
    Cold {
        /// Its runtime.
        runtime: &'s str,
        /// Its memory.
        memory: MemoryMib,
        /// Size of its package, MiB.
        package_mib: f64,
        /// Chance that its host is to be made first.
        new_host: f64,
    },
    /// An instance that is there.
    Warm,
}

/// From where to where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// From the sending to the handler's first statement.
    Latency,
    /// Round trip without the function's own duration.
    Overhead,
}

impl Expected<'_> {
    /// Quantile `p` of a start, ms, of all requests: those without an answer are later than any. None where it falls
    /// among these.
    pub fn start_ms(&self, start: Start<'_>, measure: Measure, p: f64) -> Option<f64> {
        let of_answered = p / (1.0 - self.unanswered(start));
        (of_answered < 1.0)
            .then(|| self.starts(start, measure, |drawn| quantile(drawn, of_answered)))
    }

    /// Share of requests that the function does not answer.
    fn unanswered(&self, start: Start<'_>) -> f64 {
        let faults = &self.platform.model.faults;
        let begins = match start {
            Start::Cold { .. } => 1.0 - faults.start_failure,
            Start::Warm => 1.0,
        };
        1.0 - begins
            * (1.0 - faults.crash)
            * (1.0 - faults.lost_request)
            * (1.0 - faults.lost_reply)
    }

    /// Mean and standard deviation of the same, ms.
    pub fn start_moments_ms(&self, start: Start<'_>, measure: Measure) -> (f64, f64) {
        self.starts(start, measure, |drawn| (mean(drawn), deviation(drawn)))
    }

    fn starts<T>(&self, start: Start<'_>, measure: Measure, read: impl Fn(&[f64]) -> T) -> T {
        let model = &self.platform.model;
        let path = &model.path;
        let (within, more_ms, new_host) = match start {
            Start::Cold { runtime, memory, package_mib, new_host } => (
                self.platform.cold(runtime, memory).less(path.out.median_ms()),
                model.starts.package_ms_per_mib * package_mib,
                new_host,
            ),
            Start::Warm => (model.warm.latency, 0.0, 0.0),
        };
        self.drawn_once(
            format!("{start:?} {measure:?}"),
            DRAWS,
            |random| {
                let back = match measure {
                    Measure::Latency => 0.0,
                    Measure::Overhead => path.back.draw_ms(random),
                };
                let host = match random.random_bool(new_host) {
                    true => model.hosts.ready.draw_ms(random),
                    false => 0.0,
                };
                path.out.draw_ms(random) + within.draw_ms(random) + more_ms + host + back
            },
            read,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::{Latency, Published};
    use crate::profile::built_in;

    // Constants add up, and a distribution has the median and spread that it was made from.
    #[test]
    fn constants_and_figures_come_out() {
        let mut platform = built_in("aws-2018").expect("built in").expect("valid");
        platform.model.path.out = Latency::constant(2.0);
        platform.model.path.back = Latency::constant(3.0);
        platform.model.warm.latency = Latency::constant(20.0);
        let of = Published { median_ms: 265.21, sd_ms: 354.43, min_ms: 189.87, max_ms: 7048.42 };
        platform.model.cold[0].latency = Latency::fit(of).expect("a distribution");
        let expected = Expected::of(&platform);
        assert_eq!(expected.start_ms(Start::Warm, Measure::Latency, 0.99), Some(22.0));
        assert_eq!(expected.start_moments_ms(Start::Warm, Measure::Overhead), (25.0, 0.0));
        let row = &platform.model.cold[0];
        let (runtime, memory) = (row.runtime.as_str(), MemoryMib(row.memory_mib));
        let cold = |package_mib| Start::Cold { runtime, memory, package_mib, new_host: 0.0 };
        let median = expected.start_ms(cold(0.0), Measure::Latency, 0.5).expect("answers");
        assert!((median / 265.21 - 1.0).abs() < 0.002, "{median}");
        let (_, sd) = expected.start_moments_ms(cold(0.0), Measure::Latency);
        assert!((sd / 354.43 - 1.0).abs() < 0.02, "{sd}");
        // 10 ms for each MiB.
        let larger = expected.start_ms(cold(5.0), Measure::Latency, 0.5).expect("answers");
        assert!((larger - median - 50.0).abs() < 1e-6, "{larger}");
    }
    // Requests without an answer are later than any: with a tenth of them the median is the 0.556 quantile of the others,
    // and there is no 95th percentile. Hosts that are made first add what they take.
    #[test]
    fn failures_and_new_hosts_count() {
        let mut platform = built_in("aws-2018").expect("built in").expect("valid");
        platform.model.faults.crash = 0.1;
        platform.model.hosts.ready = Latency::constant(1e6);
        let expected = Expected::of(&platform);
        let cold = |new_host| Start::Cold {
            runtime: "nodejs6.10",
            memory: MemoryMib(128),
            package_mib: 0.0,
            new_host,
        };
        let of = |new_host, p| expected.start_ms(cold(new_host), Measure::Latency, p);
        assert_eq!(of(0.0, 0.95), None);
        assert!(of(0.0, 0.5) > Some(266.0), "{:?}", of(0.0, 0.5));
        assert!(of(0.1, 0.5) < Some(1e3) && of(0.1, 0.85) > Some(1e6));
    }
}
