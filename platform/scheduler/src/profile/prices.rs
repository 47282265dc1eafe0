//! What a platform charges, for its accounts. No policy looks at it.

use super::error::Fault;
use serde::Deserialize;

/// What is charged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prices {
    /// For a million invocations, USD.
    pub million_invocations_usd: f64,
    /// For a GiB-second that is billed, USD.
    pub gib_second_usd: f64,
}

impl Default for Prices {
    /// The public list of AWS Lambda: x86, first tier, US East (aws.amazon.com/lambda/pricing, 2026-11).
    fn default() -> Self {
        Self { million_invocations_usd: 0.20, gib_second_usd: 0.000_016_666_7 }
    }
}

/// The section of a profile's file. Absent keys are the public list's.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PricesSection {
    million_invocations_usd: Option<f64>,
    gib_second_usd: Option<f64>,
}

/// Most that a price can be, USD.
const MOST_USD: f64 = 1e6;

pub(super) fn prices(section: &PricesSection) -> Result<Prices, Fault> {
    let list = Prices::default();
    let price = |key: &'static str, value: Option<f64>, default: f64| match value {
        None => Ok(default),
        Some(value) if (0.0..=MOST_USD).contains(&value) => Ok(value),
        Some(value) => Err(Fault::Value {
            key: key.to_owned(),
            value: value.to_string(),
            limit: format!("0 to {MOST_USD}"),
        }),
    };
    Ok(Prices {
        million_invocations_usd: price(
            "prices.million_invocations_usd",
            section.million_invocations_usd,
            list.million_invocations_usd,
        )?,
        gib_second_usd: price(
            "prices.gib_second_usd",
            section.gib_second_usd,
            list.gib_second_usd,
        )?,
    })
}

#[cfg(test)]
mod tests {
    use crate::{Prices, Profile};

    // A profile may say what it charges; what it does not say is the public list's, and nonsense is refused by its key.
    #[test]
    fn prices_are_read() {
        let local = include_str!("../../../../profiles/local.toml");
        assert_eq!(Profile::from_toml(local).expect("valid").prices, Prices::default());
        let own = format!("{local}\n[prices]\ngib_second_usd = 0.5\n");
        let prices = Profile::from_toml(&own).expect("valid").prices;
        assert_eq!((prices.gib_second_usd, prices.million_invocations_usd), (0.5, 0.20));
        let wrong = format!("{local}\n[prices]\ngib_second_usd = -1.0\n");
        let error = Profile::from_toml(&wrong).expect_err("refused").to_string();
        assert!(error.contains("prices.gib_second_usd"), "{error}");
    }
}
