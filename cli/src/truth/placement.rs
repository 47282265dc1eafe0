//! Where instances are placed, and how much of ours was on one host.

use super::{Realised, at, number, parameter, realised as realised_as, setting, sound, word};
use analysis::Truth;
use record::Record;
use scheduler::Profile;
use scheduler::policy::Placement;
use std::collections::BTreeMap;

pub(super) fn of_profile(profile: &Profile, records: &[Record]) -> Vec<Truth> {
    let policy = match &profile.placement {
        Placement::BinPack(_) => "bin_pack",
        Placement::Spread(it) if it.max_hosts >= largest_burst(profile, records) => "one_per_host",
        Placement::Spread(_) => "spread",
        Placement::LeastContention(_) => "unknown",
        Placement::Random(_) => "random",
        Placement::OnePerHost(_) => "one_per_host",
    };
    vec![
        parameter("placement.policy", word(policy)),
        parameter("placement.host_memory_mib", number(f64::from(profile.hosts.memory.0))),
    ]
}

/// Instances of one function that the largest burst can have: spread over as many hosts, each has its own.
fn largest_burst(profile: &Profile, records: &[Record]) -> u32 {
    let bursts = sound(records, "placement").filter_map(|record| setting(record, "concurrency"));
    let largest: Option<u32> = bursts.max();
    largest.map_or(u32::MAX, |largest| {
        let scaling = &profile.scaling;
        largest.div_ceil(scaling.requests_per_instance).min(scaling.limit(largest))
    })
}

/// The most instances of each size on one host, and how many of the bursts' had another of their function beside them.
pub(super) fn realised(realised: &Realised, records: &[Record]) -> Vec<Truth> {
    let mut sizes: BTreeMap<u32, Vec<&Record>> = BTreeMap::new();
    for record in sound(records, "placement") {
        sizes.entry(record.memory_mib).or_default().push(record);
    }
    let mut truths: Vec<Truth> = sizes
        .into_iter()
        .filter_map(|(memory_mib, records)| {
            let counts = realised.of_functions(records.into_iter());
            let most = counts.map(|counts| counts.alike).max()?;
            let truth = realised_as("placement.max_colevel", number(f64::from(most)));
            Some(at(truth, "memory_mib", memory_mib))
        })
        .collect();
    let bursts = sound(records, "placement").filter(|record| record.phase == "burst");
    let (all, coresident) = realised
        .of_functions(bursts)
        .fold((0, 0), |(all, some), it| (all + it.running, some + it.coresident));
    if all > 0 {
        let share = f64::from(coresident) / f64::from(all);
        truths.push(realised_as("placement.same_function_coresident", number(share)));
    }
    truths
}
