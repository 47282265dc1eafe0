//! Truths of the functions' clocks: by the profile where one offset holds, by host where hosts differ.

use super::{number, parameter};
use analysis::Truth;
use emulator::{Counts, Platform};
use serde_json::json;
use std::collections::BTreeMap;

/// Offsets that hold for the whole study, those of hosts as long as clocks are not set; none where clocks drift.
pub(super) fn truths(platform: &Platform, counts: &Counts) -> Vec<Truth> {
    let clock = &platform.model.clock;
    if clock.drift_ppm != 0.0 {
        return Vec::new();
    }
    if clock.host_sd_ms == 0.0 && clock.step_ms == 0.0 {
        return vec![parameter("clock.offset_ms", number(clock.offset_ms))];
    }
    let mut hosts: BTreeMap<&str, f64> = BTreeMap::new();
    for first in counts.functions.values().flat_map(|it| it.hosts.values()) {
        hosts.insert(&first.name, first.clock_ms);
    }
    let of_host = |(name, clock_ms): (&str, f64)| Truth {
        setting: [("host".to_owned(), json!(name))].into(),
        ..parameter("clock.offset_ms", number(clock_ms))
    };
    hosts.into_iter().filter(|(name, _)| !name.is_empty()).map(of_host).collect()
}

/// Functions that read the clock of the vantage point's own machine.
pub fn same() -> Truth {
    parameter("clock.offset_ms", number(0.0))
}

#[cfg(test)]
mod tests {
    use super::super::trial::{found, holds, of, one, platform, study};
    use experiment::Kind;

    fn measured(clock: &[(&str, &str)]) -> Vec<analysis::Finding> {
        let target = platform(clock);
        found(&target, &study(&target, &[Kind::Identity, Kind::Exposure]))
    }

    // An offset of the platform is within its bound, small or large.
    #[test]
    fn offsets_are_bounded() {
        for offset in ["1.5", "-250.0", "86400000.0"] {
            let clock = [("offset_ms = 1.5", format!("offset_ms = {offset}"))];
            let findings = measured(&[(clock[0].0, clock[0].1.as_str())]);
            assert!(holds(one(&findings, "clock.offset_ms")), "{offset}");
        }
    }

    // Where hosts' clocks differ, each one's is within its own bound.
    #[test]
    fn hosts_have_offsets_of_their_own() {
        let findings = measured(&[("host_sd_ms = 0.0", "host_sd_ms = 200.0")]);
        let own: Vec<_> = findings.iter().filter(|it| it.metric == "clock.offset_ms").collect();
        assert!(own.len() >= 2, "{own:?}");
        assert!(own.iter().all(|finding| holds(finding)), "{own:?}");
    }

    // Clocks that are set in mid-study are noticed, in either direction; what one clock tells is as right as before.
    #[test]
    fn steps_are_noticed() {
        for step in ["3000.0", "-3000.0"] {
            let keys = format!("host_sd_ms = 0.0\nstep_ms = {step}\nstep_at_s = 100.0");
            let target = platform(&[("host_sd_ms = 0.0", &keys)]);
            let findings = found(&target, &study(&target, &[Kind::Identity, Kind::ColdStart]));
            assert_eq!(one(&findings, "clock.offset_ms").value, analysis::Value::Null, "{step}");
            let overheads = of(&findings, "coldstart.overhead_ms.p50");
            let missed = overheads.iter().filter(|finding| !holds(finding)).count();
            assert!(missed <= 1, "{step}: {overheads:?}");
            let latencies = of(&findings, "coldstart.latency_ms.p50");
            assert!(latencies.iter().all(|finding| holds(finding)), "{step}: {latencies:?}");
        }
    }
}
