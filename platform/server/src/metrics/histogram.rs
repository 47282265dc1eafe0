//! A histogram of fixed buckets.

use super::Text;
use std::sync::atomic::{AtomicU64, Ordering};

/// Buckets of the widest histogram.
const BUCKETS: usize = 18;

/// Counts of values in buckets; the bounds come with each use, so that they are kept once.
#[derive(Debug)]
pub(crate) struct Histogram {
    /// Each value is in one bucket; the sums over them are made when they are written down.
    buckets: [AtomicU64; BUCKETS],
    /// In millionths, or in whole units where values are large.
    sum: AtomicU64,
    unit: f64,
}

impl Histogram {
    pub fn new() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; BUCKETS], sum: AtomicU64::new(0), unit: 1e6 }
    }

    /// Adds a value.
    pub fn add(&self, value: f64, bounds: &[f64]) {
        let bucket = bounds.iter().position(|bound| value <= *bound).unwrap_or(bounds.len());
        self.buckets[bucket.min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
        // A sum that wraps around after 2^64 millionths is a counter that begins again.
        self.sum.fetch_add((value * self.unit) as u64, Ordering::Relaxed);
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }

    /// Writes it down as Prometheus has histograms.
    pub fn write(&self, text: &mut Text, labels: &[(&str, &str)], bounds: &[f64]) {
        let mut sum = 0;
        for (bucket, bound) in self.buckets.iter().zip(bounds) {
            sum += bucket.load(Ordering::Relaxed);
            text.bucket(labels, &bound.to_string(), sum as f64);
        }
        sum += self.buckets[bounds.len().min(BUCKETS - 1)].load(Ordering::Relaxed);
        text.bucket(labels, "+Inf", sum as f64);
        text.part("_sum", labels, self.sum.load(Ordering::Relaxed) as f64 / self.unit);
        text.part("_count", labels, sum as f64);
    }
}
