//! What an infinitely long measurement would find: from many draws of the profile's model, or in closed form.
//!
//! The oracle for findings, and so independent of the instrument: it knows the model, and nothing of how it is measured.
//! It is independent of the driver too: no host, pool or agenda of a region is in it.

mod consistency;
mod cpu;
mod idle;
mod isolation;
mod latency;
mod lifetime;
mod scaling;
mod sharing;
mod starts;

use crate::profile::Platform;
use rand::SeedableRng;
use rand_pcg::Pcg64;
use std::cell::RefCell;
use std::collections::BTreeMap;

pub use isolation::{Meeting, Party, Shared, shared};
pub use latency::{Measure, Start};

/// Seed of the draws: the same for every study, since they are no part of one.
const SEED: u64 = 2018;

/// Expected values of one platform; what was drawn is kept.
pub struct Expected<'a> {
    platform: &'a Platform,
    /// Ascending draws, by what they are of.
    drawn: RefCell<BTreeMap<String, Vec<f64>>>,
}

impl<'a> Expected<'a> {
    /// The expectations for this platform.
    pub fn of(platform: &'a Platform) -> Self {
        Self { platform, drawn: RefCell::default() }
    }

    /// What `read` makes of the ascending draws of this name, which are drawn where they are not there yet.
    fn drawn_once<T>(
        &self,
        name: String,
        count: usize,
        mut draw: impl FnMut(&mut Pcg64) -> f64,
        read: impl Fn(&[f64]) -> T,
    ) -> T {
        let mut all = self.drawn.borrow_mut();
        let drawn = all.entry(name).or_insert_with(|| {
            let mut random = Pcg64::seed_from_u64(SEED);
            let mut drawn: Vec<f64> = (0..count).map(|_| draw(&mut random)).collect();
            drawn.sort_unstable_by(f64::total_cmp);
            drawn
        });
        read(drawn)
    }
}

/// Quantile `p` of ascending values.
fn quantile(ascending: &[f64], p: f64) -> f64 {
    let last = ascending.len().saturating_sub(1);
    ascending[((ascending.len() as f64 * p) as usize).min(last)]
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / values.len() as f64).sqrt()
}
