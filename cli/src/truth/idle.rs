//! How long idle instances are kept.

use super::{at, expected as expected_as, number, parameter, setting, sound, word};
use analysis::Truth;
use emulator::Expected;
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
        ["idle.max_idle_s", "idle.first_loss_s"]
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

/// The chance that a single instance is still there, by delay.
pub(super) fn expected(expected: &Expected<'_>, records: &[Record]) -> Vec<Truth> {
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
