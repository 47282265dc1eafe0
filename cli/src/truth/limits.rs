//! What is true of limits: what the profile says.

use super::{number, parameter};
use analysis::Truth;
use emulator::Platform;
use scheduler::Profile;

/// Timeout and memory are the scheduler's.
pub(super) fn of_profile(profile: &Profile) -> Vec<Truth> {
    let limits = &profile.limits;
    vec![
        parameter("limits.timeout_s", number(limits.timeout_max.as_secs_f64())),
        parameter("limits.memory_mib", number(f64::from(limits.memory_max.0))),
    ]
}

/// Requests and /tmp are the emulated platform's.
pub(super) fn of_platform(platform: &Platform) -> Vec<Truth> {
    let limits = &platform.model.limits;
    vec![
        parameter("limits.payload_mib", number(limits.payload_mib)),
        parameter("limits.disk_mib", number(f64::from(limits.disk_mib))),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::measured::{findings, number, of, platform, truth};
    use experiment::Kind;

    // Each limit is found exactly, small ones and large ones.
    #[test]
    fn limits_are_found() {
        let small = [
            ("memory_max_mib = 1536", "memory_max_mib = 192"),
            ("timeout_max_s = 300.0", "timeout_max_s = 60.0"),
            ("payload_mib = 6.0", "payload_mib = 0.25"),
            ("disk_mib = 512", "disk_mib = 1"),
        ];
        let large = [
            ("memory_max_mib = 1536", "memory_max_mib = 10240"),
            ("timeout_max_s = 300.0", "timeout_max_s = 900.0"),
            ("payload_mib = 6.0", "payload_mib = 10.0"),
            ("disk_mib = 512", "disk_mib = 10240"),
        ];
        for (changes, seed) in [(&small[..], 1), (&[], 2), (&large[..], 3)] {
            let found = findings(platform("aws-2018", changes), Kind::Limits, seed, |_| {});
            for metric in
                ["limits.timeout_s", "limits.memory_mib", "limits.payload_mib", "limits.disk_mib"]
            {
                let finding = of(&found, metric)[0];
                assert_eq!(number(&finding.value), truth(finding), "{metric}");
            }
        }
    }

    // Crashes, lost answers and failed starts are no refusals: the limit is found, or unknown where no try tells.
    #[test]
    fn failures_are_no_limits() {
        let faults = [
            ("lost_reply = 0.0", "lost_reply = 0.05"),
            ("crash = 0.0", "crash = 0.05"),
            ("start_failure = 0.0", "start_failure = 0.05"),
        ];
        let mut exact = 0;
        for seed in 1..=8 {
            let found = findings(platform("aws-2018", &faults), Kind::Limits, seed, |_| {});
            let payload = of(&found, "limits.payload_mib")[0];
            if payload.value != analysis::Value::Null {
                assert_eq!(number(&payload.value), truth(payload), "seed {seed}");
                exact += 1;
            }
        }
        assert!(exact >= 6, "{exact} of 8");
    }
}
