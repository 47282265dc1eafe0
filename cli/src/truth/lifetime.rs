//! What is true of instances that are in use: how long they live as seen, and their cap.

use super::{number, parameter};
use analysis::Truth;
use emulator::Expected;
use model::Span;
use record::Record;
use scheduler::Profile;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Interval in milliseconds, and memory size in MiB.
fn settings(records: &[Record]) -> BTreeSet<(u64, u32)> {
    let of = records.iter().filter(|record| record.experiment == "lifetime");
    let setting = |record: &Record| {
        let interval_s: f64 = record.setting.get("interval_s")?.parse().ok()?;
        Some(((interval_s * 1e3).round() as u64, record.memory_mib))
    };
    of.filter_map(setting).collect()
}

/// The cap, where age alone ends instances, and what is seen of it.
pub(super) fn of_profile(profile: &Profile, records: &[Record]) -> Vec<Truth> {
    let (Some(cap), None) = (profile.lifetime_cap, profile.lifetime) else { return Vec::new() };
    let cap_s = cap.as_secs_f64();
    let seen = settings(records).into_iter().flat_map(|(interval_ms, memory_mib)| {
        let interval_s = interval_ms as f64 / 1e3;
        let seen_s = ((cap_s / interval_s).ceil() - 1.0) * interval_s;
        statistics(interval_ms, memory_mib, |_| Some(seen_s))
    });
    std::iter::once(parameter("lifetime.max_s", number(cap_s))).chain(seen).collect()
}

/// What an emulated platform's model makes of them. Where instances end of other causes no cap is ever reached for sure.
pub(super) fn of_platform(
    expected: &Expected,
    profile: &Profile,
    crash: f64,
    records: &[Record],
) -> Vec<Truth> {
    let mut truths: Vec<Truth> = settings(records)
        .into_iter()
        .flat_map(|(interval_ms, memory_mib)| {
            let interval = Span::from_millis(interval_ms);
            statistics(interval_ms, memory_mib, |p| expected.lifetime_s(interval, p))
        })
        .collect();
    if let (Some(cap), None, 0.0) = (profile.lifetime_cap, profile.lifetime, crash) {
        truths.push(parameter("lifetime.max_s", number(cap.as_secs_f64())));
    }
    truths
}

fn statistics(
    interval_ms: u64,
    memory_mib: u32,
    quantile: impl Fn(f64) -> Option<f64>,
) -> Vec<Truth> {
    let setting = BTreeMap::from([
        ("interval_s".to_owned(), json!(interval_ms as f64 / 1e3)),
        ("memory_mib".to_owned(), json!(memory_mib)),
    ]);
    let of = |(name, p): (&str, f64)| {
        Some(Truth {
            setting: setting.clone(),
            kind: "expected".to_owned(),
            ..parameter(&format!("lifetime.{name}_s"), number(quantile(p)?))
        })
    };
    [("p5", 0.05), ("median", 0.5), ("p95", 0.95)].into_iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::super::measured::{covers, findings, number, of, platform, truth};
    use experiment::Kind;
    use model::Span;

    // A cap is found from both sides, at every interval, and so are the lifetimes that it makes.
    #[test]
    fn caps_are_found() {
        for (cap_s, seed) in [(1_009.0, 1), (5_003.0, 2)] {
            let cap = format!("lifetime_cap_s = {cap_s:.1}");
            let mut platform = platform("aws-2018", &[("lifetime_cap_s = 29880.0", &cap)]);
            platform.scheduler.lifetime = None;
            let found = findings(platform, Kind::Lifetime, seed, |scope| {
                scope.lifetime.watch = Span::from_secs(12_000);
            });
            let longest = of(&found, "lifetime.max_s");
            assert_eq!(longest.len(), 6, "three intervals at two sizes");
            for finding in longest {
                assert_eq!(truth(finding), cap_s);
                assert!(covers(finding, cap_s), "{:?}", finding.ci95);
            }
            for finding in of(&found, "lifetime.median_s") {
                assert!(
                    (number(&finding.value) / truth(finding) - 1.0).abs() < 1e-6,
                    "{finding:?}"
                );
                assert!(finding.n_clusters == Some(10) && finding.n >= 20);
            }
        }
    }

    // Where runtimes die by chance lifetimes vary, many outlive the watch, and the intervals still cover what is expected.
    #[test]
    fn chance_is_covered() {
        let changes = [("crash = 0.0", "crash = 0.01"), ("lifetime_cap_s = 29880.0", "")];
        let (mut covered, mut all) = (0, 0);
        for seed in 0..12 {
            let mut platform = platform("aws-2018", &changes);
            platform.scheduler.lifetime = None;
            let found = findings(platform, Kind::Lifetime, seed, |scope| {
                scope.lifetime.memory_mib = vec![128];
                scope.lifetime.intervals = [10, 30].map(Span::from_secs).to_vec();
                scope.lifetime.functions = 8;
                scope.lifetime.watch = Span::from_secs(3_000);
            });
            for finding in of(&found, "lifetime.median_s") {
                all += 1;
                covered += usize::from(covers(finding, truth(finding)));
            }
        }
        // 20 of 24 is the 1 % point of a binomial of 0.95.
        assert!(all == 24 && covered >= 20, "{covered} of {all}");
    }
}
