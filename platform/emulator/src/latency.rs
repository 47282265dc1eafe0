//! Latencies that vary as published ones do: a lognormal distribution above a smallest value, cut at a largest one.
//!
//! Deliberately knows nothing of what takes that long.

use model::Span;
use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};
use serde::Deserialize;
use statrs::function::erf::{erf_inv, erfc};
use std::f64::consts::SQRT_2;

/// Range in which sigma is searched. At 4, the upper quartile is 15 times the median.
const SIGMA_RANGE: (f64, f64) = (1e-4, 4.0);
/// Halvings of an interval until it is as narrow as a float can tell.
const BISECTIONS: u32 = 60;
/// Draws above the cut before the cut itself is returned; by then all but one in 10^12 of the worst case have ended.
const DRAWS: u32 = 40;

/// What is published of a latency, milliseconds. A profile may leave all but the median away, for a constant.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// Median.
    pub median_ms: f64,
    /// Standard deviation; 0 for a constant.
    #[serde(default)]
    pub sd_ms: f64,
    /// Smallest.
    #[serde(default)]
    pub min_ms: f64,
    /// Largest; infinite where nothing is cut.
    #[serde(default = "endless")]
    pub max_ms: f64,
}

fn endless() -> f64 {
    f64::INFINITY
}

/// Why no distribution has these figures.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum FitError {
    /// Not in order.
    #[error("min {min_ms}, median {median_ms} and max {max_ms} must rise, and min be at least 0")]
    Order {
        /// Smallest.
        min_ms: f64,
        /// Median.
        median_ms: f64,
        /// Largest.
        max_ms: f64,
    },
    /// No sigma gives so large a spread.
    #[error(
        "sd {sd_ms} is more than a lognormal between {min_ms} and {max_ms} can have, which is {most_ms:.1}"
    )]
    Spread {
        /// Standard deviation asked for.
        sd_ms: f64,
        /// Smallest.
        min_ms: f64,
        /// Largest.
        max_ms: f64,
        /// The largest possible.
        most_ms: f64,
    },
}

/// A latency that varies: `shift + exp(mu + sigma * Z)` milliseconds, drawn again while above the cut.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Published")]
pub struct Latency {
    shift_ms: f64,
    mu: f64,
    sigma: f64,
    max_ms: f64,
}

impl TryFrom<Published> for Latency {
    type Error = FitError;
    fn try_from(of: Published) -> Result<Self, FitError> {
        Self::fit(of)
    }
}

impl Latency {
    /// Always the same.
    pub fn constant(ms: f64) -> Self {
        Self { shift_ms: ms, mu: f64::NEG_INFINITY, sigma: 0.0, max_ms: f64::INFINITY }
    }

    /// The distribution with these figures: its smallest value is the published one, it is cut at the largest, and median
    /// and standard deviation after the cut are the published ones.
    ///
    /// # Errors
    /// [`FitError`] where there is none.
    pub fn fit(of: Published) -> Result<Self, FitError> {
        let Published { median_ms, sd_ms, min_ms, max_ms } = of;
        if sd_ms == 0.0 && median_ms >= 0.0 {
            return Ok(Self::constant(median_ms));
        }
        if !(0.0 <= min_ms && min_ms < median_ms && median_ms < max_ms) {
            return Err(FitError::Order { min_ms, median_ms, max_ms });
        }
        let (median, cut) = (median_ms - min_ms, max_ms - min_ms);
        let spread = |sigma: f64| moments(mu_of(median, cut, sigma), sigma, cut).1;
        let (mut low, mut high) = SIGMA_RANGE;
        if spread(high) < sd_ms {
            return Err(FitError::Spread { sd_ms, min_ms, max_ms, most_ms: spread(high) });
        }
        for _ in 0..BISECTIONS {
            let sigma = f64::midpoint(low, high);
            if spread(sigma) < sd_ms { low = sigma } else { high = sigma }
        }
        let sigma = f64::midpoint(low, high);
        Ok(Self { shift_ms: min_ms, mu: mu_of(median, cut, sigma), sigma, max_ms })
    }

    /// The same latency without a part of it that is modelled elsewhere; never below 0.
    pub fn less(self, part_ms: f64) -> Self {
        let part_ms = part_ms.min(self.shift_ms);
        Self { shift_ms: self.shift_ms - part_ms, max_ms: self.max_ms - part_ms, ..self }
    }

    /// Between two latencies: `at` 0 is this, 1 is the other.
    pub fn between(self, other: Self, at: f64) -> Self {
        if self.sigma == 0.0 || other.sigma == 0.0 {
            return if at < 0.5 { self } else { other };
        }
        let mix = |a: f64, b: f64| if a == b { a } else { a + (b - a) * at };
        Self {
            shift_ms: mix(self.shift_ms, other.shift_ms),
            mu: mix(self.mu, other.mu),
            sigma: mix(self.sigma, other.sigma),
            max_ms: mix(self.max_ms, other.max_ms),
        }
    }

    /// One latency, milliseconds.
    pub fn draw_ms(&self, random: &mut impl Rng) -> f64 {
        if self.sigma == 0.0 {
            return self.shift_ms;
        }
        for _ in 0..DRAWS {
            let normal: f64 = StandardNormal.sample(random);
            let ms = self.shift_ms + (self.mu + self.sigma * normal).exp();
            if ms <= self.max_ms {
                return ms;
            }
        }
        self.max_ms
    }

    /// One latency.
    pub fn draw(&self, random: &mut impl Rng) -> Span {
        Span::from_secs_f64(self.draw_ms(random) / 1e3)
    }

    /// The smallest possible, milliseconds.
    pub fn min_ms(&self) -> f64 {
        self.shift_ms
    }

    /// The median, milliseconds.
    pub fn median_ms(&self) -> f64 {
        if self.sigma == 0.0 {
            return self.shift_ms;
        }
        let below = normal_cdf(((self.max_ms - self.shift_ms).ln() - self.mu) / self.sigma);
        self.shift_ms + (self.mu + self.sigma * normal_quantile(below / 2.0)).exp()
    }
}

/// The mu with which half of what is below the cut is below the median.
fn mu_of(median: f64, cut: f64, sigma: f64) -> f64 {
    if cut.is_infinite() {
        return median.ln();
    }
    // The cut takes from the upper side, so mu is above ln(median); the median grows with it.
    let (mut low, mut high) = (median.ln(), cut.ln() + 8.0 * sigma);
    for _ in 0..BISECTIONS {
        let mu = f64::midpoint(low, high);
        let below_cut = normal_cdf((cut.ln() - mu) / sigma);
        let below_median = normal_cdf((median.ln() - mu) / sigma);
        if below_median > below_cut / 2.0 { low = mu } else { high = mu }
    }
    f64::midpoint(low, high)
}

/// Mean and standard deviation of a lognormal below a cut (E[X^k; X < c] = exp(k mu + k^2 sigma^2 / 2) Phi((ln c - mu) /
/// sigma - k sigma)).
fn moments(mu: f64, sigma: f64, cut: f64) -> (f64, f64) {
    let end = if cut.is_infinite() { f64::INFINITY } else { (cut.ln() - mu) / sigma };
    let below = normal_cdf(end);
    let moment =
        |k: f64| (k * mu + k * k * sigma * sigma / 2.0).exp() * normal_cdf(end - k * sigma) / below;
    let mean = moment(1.0);
    (mean, (moment(2.0) - mean * mean).max(0.0).sqrt())
}

/// By the complement, which is exact far below the mean too, where a cut close to the median puts most of a distribution.
fn normal_cdf(z: f64) -> f64 {
    if z.is_infinite() {
        return if z > 0.0 { 1.0 } else { 0.0 };
    }
    0.5 * erfc(-z / SQRT_2)
}

fn normal_quantile(p: f64) -> f64 {
    SQRT_2 * erf_inv(2.0 * p - 1.0)
}

/// A factor around 1 that varies by this part of it: lognormal, of mean 1.
pub(crate) fn varied(random: &mut impl Rng, sd: f64) -> f64 {
    let variance = (sd * sd).ln_1p();
    let normal: f64 = StandardNormal.sample(random);
    (variance.sqrt() * normal - variance / 2.0).exp()
}

/// True in this part of all cases.
pub(crate) fn chance(random: &mut impl Rng, part: f64) -> bool {
    part > 0.0 && random.random::<f64>() < part
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_pcg::Pcg64;

    fn figures(of: Published, draws: usize) -> (f64, f64, f64, f64) {
        let latency = Latency::fit(of).expect("a distribution");
        let mut random = Pcg64::seed_from_u64(1);
        let mut drawn: Vec<f64> = (0..draws).map(|_| latency.draw_ms(&mut random)).collect();
        drawn.sort_by(f64::total_cmp);
        let mean = drawn.iter().sum::<f64>() / draws as f64;
        let variance = drawn.iter().map(|ms| (ms - mean).powi(2)).sum::<f64>() / draws as f64;
        (drawn[draws / 2], variance.sqrt(), drawn[0], drawn[draws - 1])
    }

    // The figures published for four settings come out of the draws, although cuts take much of some tails.
    #[test]
    fn published_figures_come_out() {
        for (median_ms, sd_ms, min_ms, max_ms) in [
            (265.21, 354.43, 189.87, 7048.42),
            (493.04, 345.8, 268.5, 2803.8),
            (110.77, 124.3, 52.66, 1407.76),
            (3640.0, 5110.12, 431.58, 45772.06),
            // Cut close to the median, above as below it.
            (1500.0, 200.0, 1200.0, 3000.0),
            (1500.0, 450.0, 1200.0, 3000.0),
            (1000.0, 90.0, 800.0, 1200.0),
        ] {
            let of = Published { median_ms, sd_ms, min_ms, max_ms };
            let (median, sd, min, max) = figures(of, 200_000);
            assert!((median / median_ms - 1.0).abs() < 0.01, "{median} {median_ms}");
            assert!((sd / sd_ms - 1.0).abs() < 0.03, "{sd} {sd_ms}");
            assert!(min >= min_ms && max <= max_ms, "{min} {max}");
            let said = Latency::fit(of).expect("a distribution").median_ms();
            assert!((said / median_ms - 1.0).abs() < 1e-6, "{said}");
        }
    }

    // Factors have the mean and the spread that they are said to have.
    #[test]
    fn factors_are_around_one() {
        let mut random = Pcg64::seed_from_u64(2);
        let drawn: Vec<f64> = (0..100_000).map(|_| varied(&mut random, 0.3)).collect();
        let mean = drawn.iter().sum::<f64>() / 1e5;
        let variance = drawn.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / 1e5;
        assert!((mean - 1.0).abs() < 0.005, "{mean}");
        assert!((variance.sqrt() - 0.3).abs() < 0.01, "{variance}");
        assert_eq!(varied(&mut random, 0.0), 1.0);
    }

    // A constant is one, and figures that no distribution has are refused with the figure.
    #[test]
    fn impossible_figures_are_refused() {
        let of = Published { median_ms: 5.0, sd_ms: 0.0, min_ms: 5.0, max_ms: 5.0 };
        assert_eq!(figures(of, 10), (5.0, 0.0, 5.0, 5.0));
        let wrong = Latency::fit(Published { sd_ms: 1.0, ..of }).expect_err("no order");
        assert!(wrong.to_string().contains("must rise"));
        let of = Published { median_ms: 5.0, sd_ms: 900.0, min_ms: 1.0, max_ms: 10.0 };
        // Widest is a power law with its median there, by hand: of power ln 2 / ln (9 / 4), sd 2.65.
        let error = Latency::fit(of).expect_err("too wide").to_string();
        assert_eq!(
            error,
            "sd 900 is more than a lognormal between 1 and 10 can have, which is 2.6"
        );
    }
}
