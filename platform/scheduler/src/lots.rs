//! Random numbers that belong to a thing: they come from the seed and the thing's number alone, and so are the same
//! whatever else is drawn.
//!
//! Deliberately knows nothing of what is decided with them.

/// A number drawn for one thing. [`Self::next`] has further ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lot(u64);

/// Step of the generator: 2^64 over the golden ratio (Steele, Lea and Flood, OOPSLA 2014, "SplitMix").
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Lot {
    /// The lot of thing `number` in the region of this seed.
    pub(crate) fn of(seed: u64, number: u64) -> Self {
        Self(mix(mix(seed.wrapping_add(STEP)) ^ number.wrapping_mul(STEP)))
    }

    /// Another one for the same thing.
    pub(crate) fn next(self) -> Self {
        Self(mix(self.0.wrapping_add(STEP)))
    }

    /// From 0 to 1, 1 not included.
    pub(crate) fn unit(self) -> f64 {
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From 0 to `end`, `end` not included; 0 where `end` is 0.
    pub(crate) fn below(self, end: u64) -> u64 {
        ((u128::from(self.0) * u128::from(end)) >> 64) as u64
    }

    /// Whether something happens that has this chance.
    pub(crate) fn happens(self, chance: f64) -> bool {
        self.unit() < chance
    }

    /// Exponential, of mean 1.
    pub(crate) fn exponential(self) -> f64 {
        -(1.0 - self.unit()).ln()
    }

    /// Normal, of mean 0 and standard deviation 1 (Box and Muller, 1958).
    pub(crate) fn normal(self) -> f64 {
        let radius = (2.0 * self.exponential()).sqrt();
        radius * (std::f64::consts::TAU * self.next().unit()).cos()
    }
}

/// The finalizer of SplitMix64.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(of: impl Fn(Lot) -> f64) -> f64 {
        (0..100_000).map(|number| of(Lot::of(7, number))).sum::<f64>() / 1e5
    }

    // Lots of neighbouring things are spread as they should be: uniform, exponential, normal; five standard errors.
    #[test]
    fn lots_are_spread() {
        assert!((mean(Lot::unit) - 0.5).abs() < 5.0 * 0.289 / 316.0);
        assert!((mean(|lot| lot.below(10) as f64) - 4.5).abs() < 5.0 * 2.88 / 316.0);
        assert!((mean(Lot::exponential) - 1.0).abs() < 5.0 / 316.0);
        assert!(mean(Lot::normal).abs() < 5.0 / 316.0);
        assert!((mean(|lot| lot.normal().powi(2)) - 1.0).abs() < 5.0 * 1.42 / 316.0);
    }

    // A lot depends on the seed and the thing, and on nothing else.
    #[test]
    fn lots_belong_to_things() {
        assert_eq!(Lot::of(1, 2), Lot::of(1, 2));
        assert!(Lot::of(1, 2) != Lot::of(2, 1) && Lot::of(1, 2) != Lot::of(1, 3));
        assert!(Lot::of(1, 2).next() != Lot::of(1, 2));
    }
}
