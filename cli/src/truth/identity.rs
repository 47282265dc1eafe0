//! What names the host, and how right the I/O test of co-residency is.
//!
//! In closed form: what else moves on an emulated disk moves evenly, so that the slots without a write take all of it away,
//! and a watcher sees exactly what was written where it shares the writer's host, and nothing elsewhere.

use super::{number, parameter, truth, word};
use analysis::Truth;
use emulator::{Platform, Seen};
use scheduler::{Profile, Reveal};

pub(super) fn of_profile(profile: &Profile) -> Vec<Truth> {
    let policy = match profile.reveal {
        Reveal::BootId => "boot_id",
        Reveal::MachineId => "machine_id",
        Reveal::InstanceRootId => "instance_root_id",
        Reveal::None => "none",
    };
    vec![parameter("identity.host_id_source", word(policy))]
}

pub(super) fn of_platform(platform: &Platform) -> Vec<Truth> {
    let mut truths = vec![parameter("identity.host_id_source", word(platform.host_id_source()))];
    truths.extend(coresidency(platform));
    truths
}

/// Expected rates, where counters can be read and hosts have names.
fn coresidency(platform: &Platform) -> Vec<Truth> {
    let named = !matches!(platform.host_id_source(), "none" | "io_side_channel");
    if !named || platform.model.reveal.disk_counters != Seen::Host {
        return Vec::new();
    }
    ["identity.coresidency_sensitivity", "identity.coresidency_specificity"]
        .map(|metric| truth(metric, number(1.0), "expected"))
        .into()
}

#[cfg(test)]
mod tests {
    use super::super::trial::{found, holds, numbers, one, platform, study};
    use analysis::{Finding, Value};
    use experiment::Kind;

    fn measured(changes: &[(&str, &str)]) -> Vec<Finding> {
        let target = platform(changes);
        found(&target, &study(&target, &[Kind::Identity]))
    }

    const NAMELESS: [(&str, &str); 3] = [
        ("instance_root_id = \"host\"", "instance_root_id = \"instance\""),
        ("boot_id = \"host\"", "boot_id = \"instance\""),
        ("ip = \"host\"", "ip = \"instance\""),
    ];

    // Counters of the host: the test agrees with the names, whatever else moves on its disk.
    #[test]
    fn the_test_agrees_with_names() {
        for noise in ["noise_mib_s = 0.02", "noise_mib_s = 30.0"] {
            let findings = measured(&[("noise_mib_s = 0.02", noise)]);
            for metric in ["identity.coresidency_sensitivity", "identity.coresidency_specificity"] {
                let finding = one(&findings, metric);
                assert_eq!(numbers(finding), (1.0, 1.0), "{finding:?}");
                assert!(holds(finding) && finding.n >= 100, "{finding:?}");
            }
        }
    }

    // Without counters there is no test, and without names either there is nothing.
    #[test]
    fn hidden_counters_are_told() {
        let hidden = ("disk_counters = \"host\"", "disk_counters = \"hidden\"");
        let findings = measured(&[hidden]);
        assert_eq!(one(&findings, "identity.coresidency_sensitivity").value, Value::Null);
        let [root, boot, ip] = NAMELESS;
        let findings = measured(&[hidden, root, boot, ip]);
        let word = one(&findings, "identity.host_id_source");
        assert_eq!(
            (&word.value, &word.value),
            (&Value::Word("none".to_owned()), word.truth.as_ref().expect("a truth"))
        );
    }

    // Without names the counters tell who shares a host.
    #[test]
    fn counters_are_the_source() {
        let findings = measured(&NAMELESS);
        let word = one(&findings, "identity.host_id_source");
        assert_eq!(word.value, Value::Word("io_side_channel".to_owned()));
        assert_eq!(word.truth.as_ref(), Some(&word.value));
    }
}
