//! Interval methods: one file each, all for 95 %.
//!
//! Deliberately knows nothing of records, metrics or units: numbers in, intervals out. Randomness is seeded, so the same
//! numbers give the same interval.

pub mod binomial;
pub mod bootstrap;
pub mod bracket;
pub mod cluster;
pub mod kaplan_meier;
pub mod order_statistic;
pub mod set;

/// Probability that is left outside an interval, both sides together.
pub const ALPHA: f64 = 0.05;

/// Clusters below which nothing that was sampled within clusters gets an interval.
pub const CLUSTERS_MIN: usize = 10;

/// How an interval was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Ranks of the sorted sample; see [`order_statistic`].
    OrderStatistic,
    /// Clopper and Pearson; see [`binomial`].
    ExactBinomial,
    /// Resampling of whole clusters; see [`bootstrap`].
    ClusterBootstrap,
    /// Ends of a search; see [`bracket`].
    Bracket,
    /// Product-limit estimate; see [`kaplan_meier`].
    KaplanMeier,
    /// What was seen, as a bound; see [`set`].
    Set,
}

impl Method {
    /// Its name in `findings.json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OrderStatistic => "order-statistic",
            Self::ExactBinomial => "exact binomial",
            Self::ClusterBootstrap => "cluster bootstrap",
            Self::Bracket => "bracket",
            Self::KaplanMeier => "Kaplan-Meier",
            Self::Set => "set",
        }
    }
}

/// A 95 % interval. An end that is None is open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// How it was made.
    pub method: Method,
}

impl Interval {
    /// The part of it that lies from `least` to `most`, where the statistic cannot lie elsewhere.
    pub fn within(self, least: f64, most: f64) -> Self {
        let clamp = |end: f64| end.clamp(least, most);
        Self { low: self.low.map(clamp), high: self.high.map(clamp), ..self }
    }

    /// Whether `value` lies within, ends included; an open end holds everything on its side.
    pub fn contains(&self, value: f64) -> bool {
        self.low.is_none_or(|low| low <= value) && self.high.is_none_or(|high| value <= high)
    }
}

/// Why there is no interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoInterval {
    /// Too few clusters to tell how much clusters differ.
    #[error("{found} independent clusters, at least {CLUSTERS_MIN} are needed")]
    TooFewClusters {
        /// How many there were.
        found: usize,
    },
    /// The statistic cannot be computed from the sample, or from too many of its resamples.
    #[error("the sample does not determine the statistic")]
    Undetermined,
}
