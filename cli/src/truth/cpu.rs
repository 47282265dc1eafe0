//! CPU shares, alone and beside others.

use super::{at, expected as expected_as, number, parameter, setting};
use analysis::Truth;
use emulator::Expected;
use model::MemoryMib;
use record::Record;
use scheduler::Profile;
use std::collections::{BTreeMap, BTreeSet};

/// Memory sizes that were asked for alone, be it in vain.
fn alone(records: &[Record]) -> BTreeSet<u32> {
    let asked = |record: &&Record| record.experiment == "cpu" && record.phase == "alone";
    records.iter().filter(asked).map(|record| record.memory_mib).collect()
}

/// The largest colevel that was meant, by memory size: as many or fewer can have met on a host.
fn shared(records: &[Record]) -> BTreeMap<u32, u32> {
    let mut largest = BTreeMap::new();
    let asked = |record: &&Record| record.experiment == "cpu" && record.phase == "shared";
    for record in records.iter().filter(asked) {
        let colevel: u32 = setting(record, "colevel").unwrap_or(1);
        let entry: &mut u32 = largest.entry(record.memory_mib).or_default();
        *entry = colevel.max(*entry);
    }
    largest
}

/// What the local platform's profile says.
pub(super) fn of_profile(profile: &Profile, records: &[Record]) -> Vec<Truth> {
    let vcpus = f64::from(profile.hosts.milli_cpus) / 1e3;
    let share = |memory_mib: u32| {
        let ceiling = profile.cpu.ceiling_milli(MemoryMib(memory_mib), profile.hosts.milli_cpus);
        ceiling.map_or(vcpus, |milli| f64::from(milli) / 1e3).min(vcpus)
    };
    let mut truths = vec![parameter("cpu.fairness", number(1.0))];
    for memory_mib in alone(records) {
        let truth = parameter("cpu.share", number(share(memory_mib)));
        truths.push(at(truth, "memory_mib", memory_mib));
    }
    for (memory_mib, largest) in shared(records) {
        for colevel in 1..=largest {
            let value = share(memory_mib).min(vcpus / f64::from(colevel));
            let truth = parameter("cpu.share_shared", number(value));
            truths.push(at(at(truth, "memory_mib", memory_mib), "colevel", colevel));
        }
    }
    truths
}

/// What an emulated platform's hosts, and the variation of its instances, lead to.
pub(super) fn expected(expected: &Expected<'_>, records: &[Record]) -> Vec<Truth> {
    let mut truths = Vec::new();
    for memory_mib in alone(records) {
        let memory = MemoryMib(memory_mib);
        let (share, sd) = expected.cpu_share(memory);
        let ticks = expected.cpu_tick_share(memory);
        for (metric, value) in
            [("cpu.share", share), ("cpu.share_sd", sd), ("cpu.tick_share", ticks)]
        {
            truths.push(at(expected_as(metric, number(value)), "memory_mib", memory_mib));
        }
    }
    for (memory_mib, largest) in shared(records) {
        for colevel in 1..=largest {
            let (share, fairness) = expected.cpu_shared(MemoryMib(memory_mib), colevel);
            let truth = at(expected_as("cpu.share_shared", number(share)), "colevel", colevel);
            truths.push(at(truth, "memory_mib", memory_mib));
            truths.push(at(expected_as("cpu.fairness", number(fairness)), "colevel", colevel));
        }
    }
    truths
}
