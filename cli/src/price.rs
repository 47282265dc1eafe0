//! What AWS charges for requests by its public price list.
//!
//! Deliberately knows nothing of what was planned or measured, nor of any account: free allowances and discounts are
//! the account's.

/// USD for a GiB-second: x86, first tier, US East (N. Virginia); other regions and arm64 differ by up to a third (page "AWS
/// Lambda Pricing", aws.amazon.com/lambda/pricing, looked up 2026-11).
const USD_OF_GIB_S: f64 = 0.000_016_666_7;

/// USD for a request (the same page, 2026-11: 0.20 USD per million).
const USD_OF_REQUEST: f64 = 0.000_000_2;

/// Where and when the prices were found, for whoever reads a cost.
pub const SOURCE: &str = "aws.amazon.com/lambda/pricing, x86, US East, 2026-11";

/// What AWS charges for so many requests that ran for so many GiB-seconds together, USD.
pub fn aws_usd(requests: u64, gib_s: f64) -> f64 {
    requests as f64 * USD_OF_REQUEST + gib_s * USD_OF_GIB_S
}

#[cfg(test)]
mod tests {
    use super::*;

    // The price page's own kind of sum: 3 million requests of 512 MiB that run for a second are 0.60 and 25.00 USD.
    #[test]
    fn charges_by_the_list() {
        let usd = aws_usd(3_000_000, 1_500_000.0);
        assert!((usd - 25.60).abs() < 1e-3, "{usd}");
        assert_eq!(aws_usd(0, 0.0), 0.0);
    }
}
