//! Quantiles of any number of latencies in constant memory.
//!
//! Buckets as HdrHistogram has them: 128 to each power of two, so that a quantile is at most 0.8 % too high.

use model::Span;

/// Bits of a bucket below its power of two.
const BITS: u32 = 7;

/// Buckets for 64 bits.
const BUCKETS: usize = (65 - BITS as usize) << BITS;

/// Counts of latencies.
pub(crate) struct Sketch {
    counts: Box<[u64]>,
    count: u64,
    sum_s: f64,
    most: u64,
}

impl Sketch {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; BUCKETS].into(), count: 0, sum_s: 0.0, most: 0 }
    }

    pub(crate) fn note(&mut self, span: Span) {
        let nanos = span.as_nanos();
        self.counts[bucket(nanos)] += 1;
        self.count += 1;
        self.sum_s += span.as_secs_f64();
        self.most = self.most.max(nanos);
    }

    /// The latency that this part of all does not exceed, ms; 0 where there are none.
    pub(crate) fn quantile_ms(&self, part: f64) -> f64 {
        let wanted = (self.count as f64 * part).ceil() as u64;
        let mut counted = 0;
        let reached = |&(_, count): &(usize, &u64)| {
            counted += count;
            counted >= wanted.max(1)
        };
        let bucket = self.counts.iter().enumerate().find(reached).map(|(bucket, _)| bucket);
        bucket.map_or(0.0, |bucket| upper(bucket).min(self.most) as f64 / 1e6)
    }

    pub(crate) fn mean_ms(&self) -> f64 {
        self.sum_s * 1e3 / self.count.max(1) as f64
    }

    pub(crate) fn most_ms(&self) -> f64 {
        self.most as f64 / 1e6
    }
}

fn bucket(nanos: u64) -> usize {
    let power = (64 - nanos.leading_zeros()).saturating_sub(BITS + 1);
    ((power as usize) << BITS) + (nanos >> power) as usize
}

/// The largest number in a bucket.
fn upper(bucket: usize) -> u64 {
    let power = (bucket >> BITS).saturating_sub(1);
    let digits = (bucket - (power << BITS)) as u128;
    u64::try_from(((digits + 1) << power) - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Every number is in a bucket whose upper end is less than 0.8 % above it, and buckets are in order.
    #[test]
    fn buckets_are_narrow() {
        let mut last = 0;
        for power in 0..64 {
            for nanos in [1_u64 << power, (1 << power) + (1 << power) / 3, u64::MAX >> (63 - power)]
            {
                let upper = upper(bucket(nanos));
                assert!(upper >= nanos && (upper - nanos) as f64 <= nanos as f64 * 0.008);
                assert!(bucket(nanos) >= last && bucket(nanos) < BUCKETS, "{nanos}");
                last = bucket(nanos);
            }
        }
    }

    // Quantiles of a known sample come out, and none is above the largest.
    #[test]
    fn quantiles_come_out() {
        let mut sketch = Sketch::new();
        (1..=1000).for_each(|ms| sketch.note(Span::from_millis(ms)));
        assert!((sketch.quantile_ms(0.5) / 500.0 - 1.0).abs() < 0.008);
        assert!((sketch.quantile_ms(0.99) / 990.0 - 1.0).abs() < 0.008);
        assert_eq!((sketch.quantile_ms(1.0), sketch.most_ms()), (1000.0, 1000.0));
        assert!((sketch.mean_ms() - 500.5).abs() < 1e-9);
        assert_eq!(Sketch::new().quantile_ms(0.5), 0.0);
    }
}
