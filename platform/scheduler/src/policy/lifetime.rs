//! How long instances live at most, where that is drawn for each.

use crate::lots::Lot;
use model::Span;

/// The age, from its start, from which an instance is no longer reused, drawn once for each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lifetime {
    /// Exponential: an instance is as likely to be given up at any age as at any other.
    Exponential {
        /// Age that half of them reach, more than zero.
        median: Span,
    },
    /// Lognormal.
    Lognormal {
        /// Age that half of them reach, more than zero.
        median: Span,
        /// Standard deviation of the age's logarithm.
        sigma: f64,
    },
}

impl Lifetime {
    /// Age that half of all instances reach.
    pub fn median(&self) -> Span {
        match *self {
            Self::Exponential { median } | Self::Lognormal { median, .. } => median,
        }
    }

    pub(crate) fn draw(&self, lot: Lot) -> Span {
        let factor = match *self {
            Self::Exponential { .. } => lot.exponential() / std::f64::consts::LN_2,
            Self::Lognormal { sigma, .. } => (sigma * lot.normal()).exp(),
        };
        Span::from_secs_f64(self.median().as_secs_f64() * factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Half of the instances reach the median, and the tails are those of the distribution.
    #[test]
    fn lifetimes_have_their_median() {
        let median = Span::from_secs(100);
        let exponential = Lifetime::Exponential { median };
        let lognormal = Lifetime::Lognormal { median, sigma: 0.5 };
        for (lifetime, twice) in [(exponential, 0.25), (lognormal, 0.0828)] {
            let share = |secs| {
                let of = (0..20_000).map(|n| lifetime.draw(Lot::of(2, n)));
                of.filter(|&drawn| drawn > Span::from_secs(secs)).count() as f64 / 2e4
            };
            assert!((share(100) - 0.5).abs() < 0.02, "{lifetime:?}: {}", share(100));
            assert!((share(200) - twice).abs() < 0.02, "{lifetime:?}: {}", share(200));
        }
    }
}
