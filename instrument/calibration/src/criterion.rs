//! What each metric is held to: its class and the numbers of its criterion.
//!
//! The classes and numbers are those of the table that the report prints beside the score. Deliberately knows nothing of how
//! a finding was made.

/// The class of a criterion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Class {
    /// Equal to the truth, to a part in a million.
    Exact,
    /// Relative error, median and 95th percentile over profiles, and coverage.
    Ratio {
        /// Largest median.
        median: f64,
        /// Largest 95th percentile.
        p95: f64,
    },
    /// The same of a figure that needs two clocks: its interval includes their bound, and so may always hold the truth.
    Clocked {
        /// Largest median.
        median: f64,
        /// Largest 95th percentile.
        p95: f64,
    },
    /// Within the interval, which includes the clocks' bound, or within this part of the truth.
    Clock {
        /// Largest error that is fine whatever the interval.
        slack: f64,
    },
    /// Absolute error, 95th percentile over profiles, and coverage.
    Abs {
        /// Largest 95th percentile, in the metric's unit.
        p95: f64,
    },
    /// The interval contains the truth; conservative, so it may do so always.
    Bracket {
        /// Largest width as a part of the truth, median over profiles; None where the width is not judged.
        width: Option<f64>,
    },
    /// Exact binomial by cluster: coverage from below only.
    Rare,
    /// Coverage alone.
    Tail,
    /// No wrong word, and few unknown ones.
    Word,
    /// Printed, never judged.
    None,
}

impl Class {
    /// As the table calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Ratio { .. } | Self::Clocked { .. } => "ratio",
            Self::Abs { .. } | Self::Clock { .. } => "abs",
            Self::Bracket { .. } => "bracket",
            Self::Rare => "rare",
            Self::Tail => "tail",
            Self::Word => "word",
            Self::None => "none",
        }
    }

    /// Whether more than 95 % coverage is fine: intervals that are conservative by construction.
    pub const fn is_conservative(self) -> bool {
        matches!(
            self,
            Self::Bracket { .. } | Self::Rare | Self::Clocked { .. } | Self::Clock { .. }
        )
    }

    /// Whether intervals are judged.
    pub const fn has_coverage(self) -> bool {
        !matches!(self, Self::Exact | Self::Word | Self::None)
    }
}

const CLOCKED: Class = Class::Clocked { median: 0.02, p95: 0.10 };
const CLOCKED_MEAN: Class = Class::Clocked { median: 0.05, p95: 0.15 };
const CLOCK: Class = Class::Clock { slack: 0.02 };
const RATIO: Class = Class::Ratio { median: 0.02, p95: 0.10 };
const MEAN: Class = Class::Ratio { median: 0.05, p95: 0.15 };
const SHARED: Class = Class::Ratio { median: 0.05, p95: 0.10 };

/// Metrics and their classes; a name that ends in a dot stands for all that begin so.
const CLASSES: &[(&str, Class)] = &[
    ("identity.host_id_source", Class::Word),
    ("identity.coresidency_sensitivity", Class::Rare),
    ("identity.coresidency_specificity", Class::Rare),
    ("isolation.cross_tenant_coresident", Class::Rare),
    ("isolation.cross_role_coresident", Class::Rare),
    ("isolation.attempts_to_coreside", Class::Ratio { median: 0.5, p95: 1.0 }),
    ("hosts.types", Class::Exact),
    ("hosts.type_share", Class::Abs { p95: 0.03 }),
    ("hosts.vcpus", Class::Exact),
    ("hosts.memory_mib", Class::Exact),
    ("hosts.min_uptime_s", Class::Abs { p95: 1.0 }),
    ("hosts.max_uptime_s", Class::Abs { p95: 1.0 }),
    ("limits.", Class::Exact),
    ("exposure.", Class::Exact),
    ("scaling.instances", RATIO),
    ("scaling.queued_fraction", Class::Exact),
    ("scaling.max_concurrent_instances", Class::Exact),
    ("placement.policy", Class::Word),
    ("placement.max_colevel", Class::Exact),
    ("placement.host_memory_mib", Class::Bracket { width: None }),
    ("coldstart.latency_ms.p50", CLOCKED),
    ("coldstart.overhead_ms.p50", RATIO),
    ("warmstart.overhead_ms.p50", RATIO),
    ("coldstart.latency_ms.mean", CLOCKED_MEAN),
    ("coldstart.overhead_ms.mean", MEAN),
    ("warmstart.overhead_ms.mean", MEAN),
    ("coldstart.latency_ms.p95", Class::Tail),
    ("coldstart.latency_ms.p99", Class::Tail),
    ("coldstart.overhead_ms.p95", Class::Tail),
    ("coldstart.overhead_ms.p99", Class::Tail),
    ("warmstart.latency_ms.p50", CLOCK),
    ("warmstart.latency_ms.p95", CLOCK),
    ("warmstart.latency_ms.p99", CLOCK),
    ("warmstart.overhead_ms.p95", Class::Tail),
    ("warmstart.overhead_ms.p99", Class::Tail),
    ("coldstart.new_host_extra_ms", Class::Tail),
    ("coldstart.package_extra_ms", Class::Tail),
    ("coldstart.first_code_extra_ms", Class::Tail),
    ("coldstart.concurrent_latency_ms", MEAN),
    ("lifetime.median_s", Class::Tail),
    ("lifetime.max_s", Class::Bracket { width: None }),
    ("idle.policy", Class::Word),
    ("idle.first_loss_s", Class::Bracket { width: Some(0.02) }),
    ("idle.max_idle_s", Class::Bracket { width: Some(0.02) }),
    ("idle.alive_fraction", Class::Rare),
    ("idle.halving_interval_s", Class::Ratio { median: 0.05, p95: 0.10 }),
    ("idle.busy_host_max_idle_s", Class::Bracket { width: None }),
    ("consistency.outdated_fraction", Class::Rare),
    ("consistency.outdated_new_fraction", Class::Rare),
    ("consistency.outdated_after_wait_fraction", Class::Rare),
    ("consistency.max_requests_per_outdated_instance", Class::Exact),
    ("consistency.safe_wait_s", Class::Bracket { width: None }),
    ("cpu.share", RATIO),
    ("cpu.share_shared", SHARED),
    ("cpu.fairness", Class::Abs { p95: 0.01 }),
    ("disk.throughput_mib_s", SHARED),
    ("disk.host_total_mib_s", SHARED),
    ("network.throughput_mbit_s", SHARED),
    ("network.host_total_mbit_s", SHARED),
    ("accounting.background_s", Class::Abs { p95: 0.010 }),
    ("accounting.background_cpu_share", Class::Abs { p95: 0.02 }),
    ("accounting.billed_over_used", Class::Exact),
    ("clock.offset_ms", Class::Bracket { width: None }),
];

/// The class of a metric; [`Class::None`] for one that is only printed.
pub fn class(metric: &str) -> Class {
    let is_it = |name: &str| name == metric || (name.ends_with('.') && metric.starts_with(name));
    CLASSES.iter().find(|(name, _)| is_it(name)).map_or(Class::None, |(_, class)| *class)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Every name stands once, and what is not listed is not judged.
    #[test]
    fn names_are_unique() {
        for (number, (name, _)) in CLASSES.iter().enumerate() {
            assert!(!CLASSES[..number].iter().any(|(other, _)| other == name), "{name}");
        }
        assert_eq!(class("limits.payload_mib"), Class::Exact);
        assert_eq!(class("coldstart.latency_ms.sd"), Class::None);
    }
}
