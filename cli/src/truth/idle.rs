//! How long idle instances are kept.

use super::{at, expected as expected_as, number, parameter, setting, sound, word};
use analysis::Truth;
use emulator::{Expected, Platform};
use model::Span;
use record::Record;
use scheduler::Profile;
use scheduler::policy::KeepAlive;
use std::collections::BTreeSet;

pub(super) fn of_profile(profile: &Profile) -> Vec<Truth> {
    let policy = match &profile.keep_alive {
        KeepAlive::None(_) => "none",
        KeepAlive::Fixed(_) => "fixed",
        KeepAlive::Halving(_) => "halving",
        KeepAlive::Memoryless(_) => "random",
        KeepAlive::MemoryPressure(_) => "memory_pressure",
        KeepAlive::Histogram(_) => "adaptive",
        // No word says what these do.
        KeepAlive::Bimodal(_) | KeepAlive::Sweep(_) => "unknown",
    };
    let mut truths = vec![parameter("idle.policy", word(policy))];
    let limit = |limit: Span| {
        // Nothing that a host's other instances do changes how long one is kept.
        ["idle.max_idle_s", "idle.first_loss_s", "idle.busy_host_max_idle_s"]
            .map(|metric| parameter(metric, number(limit.as_secs_f64())))
    };
    match &profile.keep_alive {
        KeepAlive::None(_)
        | KeepAlive::Memoryless(_)
        | KeepAlive::Bimodal(_)
        | KeepAlive::Sweep(_)
        | KeepAlive::MemoryPressure(_)
        | KeepAlive::Histogram(_) => {}
        KeepAlive::Fixed(fixed) => truths.extend(limit(fixed.limit)),
        KeepAlive::Halving(halving) => {
            truths.extend(limit(halving.limit));
            let interval_s = halving.interval.as_secs_f64();
            truths.push(parameter("idle.halving_interval_s", number(interval_s)));
        }
    }
    truths
}

/// The same of an emulated platform, and the chance that a single instance is still there. Where the rule changed, that in
/// force while the experiment's instances were idle counts; where it changed meanwhile, no number is true, and no word but
/// that of the rule in force when the experiment ended.
pub(super) fn of_platform(platform: &Platform, records: &[Record]) -> Vec<Truth> {
    let own = || records.iter().filter(|record| record.experiment == "idle");
    let first = own().map(|record| record.sent_ns).min().unwrap_or_default();
    let last = own().map(|record| record.received_ns).max().unwrap_or_default();
    let mut in_force = platform.clone();
    if let Some(change) = platform.model.change {
        let at = change.at().as_nanos();
        if at < last {
            in_force.scheduler.keep_alive = change.keep_alive();
        }
        if (first..last).contains(&at) {
            let truths = of_profile(&in_force.scheduler).into_iter();
            return truths.filter(|truth| truth.metric == "idle.policy").collect();
        }
    }
    let mut truths = of_profile(&in_force.scheduler);
    truths.extend(expected(&Expected::of(&in_force), records));
    truths
}

/// The chance that a single instance is still there, by delay.
fn expected(expected: &Expected<'_>, records: &[Record]) -> Vec<Truth> {
    let delays_ms: BTreeSet<u64> = sound(records, "idle")
        .filter(|record| record.phase == "first")
        .filter_map(|record| Some((setting::<f64>(record, "delay_s")? * 1e3).round() as u64))
        .collect();
    let alive = |delay_ms: u64| {
        let delay_s = delay_ms as f64 / 1e3;
        let truth = expected_as("idle.alive_fraction", number(expected.alive(delay_s)?));
        Some(at(truth, "delay_s", delay_s))
    };
    delays_ms.into_iter().filter_map(alive).collect()
}

#[cfg(test)]
mod tests {
    use super::super::measured::{covers, findings, of, platform, truth};
    use analysis::Value;
    use experiment::Kind;

    // On hosts that another instance keeps busy the limit of this scheduler is the same, and is found within its bracket,
    // short and long.
    #[test]
    fn busy_hosts_change_nothing_here() {
        for (limit_s, seed) in [(240.0, 1), (1_620.0, 2)] {
            let limit = format!("limit_s = {limit_s:.1}");
            let platform = platform("aws-2018", &[("limit_s = 1620.0", &limit)]);
            let found = findings(platform, Kind::Idle, seed, |scope| {
                (scope.idle.pools, scope.idle.confirm_pairs) = (0, 5);
            });
            let busy = of(&found, "idle.busy_host_max_idle_s")[0];
            assert_eq!(truth(busy), limit_s);
            assert!(covers(busy, limit_s), "{busy:?}");
            assert!(busy.n >= 20, "silences on busy hosts: {}", busy.n);
            let (low, high) = busy.ci95.expect("a bracket");
            let width = high.zip(low).map(|(high, low)| high - low);
            assert!(width.is_some_and(|width| width <= 0.03 * limit_s), "{:?}", busy.ci95);
        }
    }

    // A rule that changed before the experiment is found as it then was, and one that changes afterwards as it was at first.
    #[test]
    fn rules_that_change_are_those_of_the_moment() {
        for (at_s, limit_s) in [(0.0, 240.0), (9e8, 600.0)] {
            let change = format!(
                "[emulated.change]\nat_s = {at_s:.1}\nidle_limit_s = 240.0\n[emulated.control]"
            );
            let changes =
                [("limit_s = 1620.0", "limit_s = 600.0"), ("[emulated.control]", change.as_str())];
            let found = findings(platform("aws-2018", &changes), Kind::Idle, 4, |scope| {
                (scope.idle.pools, scope.idle.confirm_pairs) = (0, 5);
            });
            let longest = of(&found, "idle.max_idle_s")[0];
            assert_eq!(truth(longest), limit_s);
            assert!(covers(longest, limit_s), "{longest:?}");
        }
    }

    // Where each instance has a host to itself nobody else can keep it busy, and where hosts have no names nobody can tell:
    // then the answer is that it is not known.
    #[test]
    fn lonely_and_nameless_hosts_are_unknown() {
        let alone = ("policy = \"bin_pack\"", "policy = \"one_per_host\"");
        let nameless = [
            ("instance_root_id = \"host\"", "instance_root_id = \"nothing\""),
            ("boot_id = \"host\"", "boot_id = \"nothing\""),
            ("ip = \"host\"", "ip = \"instance\""),
        ];
        for changes in [&[alone][..], &nameless] {
            let found = findings(platform("aws-2018", changes), Kind::Idle, 3, |scope| {
                (scope.idle.pools, scope.idle.confirm_pairs) = (0, 5);
            });
            assert_eq!(of(&found, "idle.busy_host_max_idle_s")[0].value, Value::Null);
        }
    }
}
