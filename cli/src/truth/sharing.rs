//! What is true of what a host's instances share: its disk, its network, and how much neighbours slow each other down.

use super::{Realised, number, sound};
use analysis::statistics::CLUSTERS_MIN;
use analysis::{Truth, Value};
use emulator::Expected;
use model::MemoryMib;
use record::Record;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Metrics of one instance's part, by experiment: alone, and beside others.
const PARTS: [(&str, &str, &str); 3] = [
    ("cpu", "cpu.share", "cpu.share_shared"),
    ("disk", "disk.throughput_mib_s", "disk.throughput_mib_s"),
    ("network", "network.throughput_mbit_s", "network.throughput_mbit_s"),
];

/// One round of so many is few: colevels of disk and network met in fewer are in no figure.
const RARE: usize = 4;

/// Truths of kind *expected* of throughputs, at every colevel that there may have been.
pub(super) fn expected(expected: &Expected<'_>, records: &[Record]) -> Vec<Truth> {
    let mut truths = Vec::new();
    for (experiment, metric, sum) in [
        ("disk", "disk.throughput_mib_s", "disk.host_total_mib_s"),
        ("network", "network.throughput_mbit_s", "network.host_total_mbit_s"),
    ] {
        let of_it = || records.iter().filter(|record| record.experiment == experiment);
        let sizes: BTreeSet<u32> = of_it().map(|record| record.memory_mib).collect();
        let beside = of_it().find(|record| record.phase == "shared");
        let size = beside.map(|record| record.memory_mib);
        for colevel in 1..=of_it().filter_map(intended).max().unwrap_or(1) {
            for memory_mib in &sizes {
                let each = match experiment {
                    "disk" => expected.disk_write_mib_s(colevel),
                    _ => expected.network_mbit_s(MemoryMib(*memory_mib), colevel),
                };
                let setting = [("colevel", colevel), ("memory_mib", *memory_mib)];
                truths.push(expect(metric, &setting, each));
                if size == Some(*memory_mib) {
                    truths.push(expect(sum, &setting[..1], each * f64::from(colevel)));
                }
            }
        }
    }
    truths
}

/// The truth of the worst slowdown by neighbours: what is true of each part, at the numbers of instances that the platform
/// saw to share a host in as many rounds as a finding takes; None where nobody did.
pub(super) fn worst_slowdown(
    truths: &[Truth],
    realised: &Realised,
    records: &[Record],
) -> Option<Truth> {
    let slowdowns = PARTS.iter().flat_map(|part| slowdowns(truths, (realised, records), part));
    let is_full = |(rounds, _): &(usize, f64)| *rounds >= CLUSTERS_MIN;
    let (full, few): (Vec<_>, Vec<_>) = slowdowns.partition(is_full);
    let worst = |of: Vec<(usize, f64)>| of.into_iter().map(|(_, it)| it).max_by(f64::total_cmp);
    Some(expect("contention.worst_slowdown", &[], worst(full).or_else(|| worst(few))?))
}

/// What is true of one resource at each memory size and colevel that was met: in how many rounds, and how much slower an
/// instance is.
fn slowdowns(
    truths: &[Truth],
    (realised, records): (&Realised, &[Record]),
    (experiment, alone, shared): &(&str, &str, &str),
) -> Vec<(usize, f64)> {
    let (beside, single): (Vec<&Record>, Vec<&Record>) =
        sound(records, experiment).partition(|record| record.phase == "shared");
    let mut met: BTreeMap<(u32, u32), BTreeSet<u32>> = BTreeMap::new();
    for record in beside {
        let Some(counts) = realised.functions.get(record.function.as_str()) else { continue };
        for colevel in counts.beside.iter().filter(|colevel| **colevel > 1) {
            met.entry((record.memory_mib, *colevel)).or_default().insert(record.round);
        }
    }
    let rounds: BTreeSet<u32> = single.iter().map(|record| record.round).collect();
    let slowdown = |((memory_mib, colevel), met): ((u32, u32), BTreeSet<u32>)| {
        let of = |metric: &str, colevel: u32| {
            let setting = [("memory_mib", memory_mib), ("colevel", colevel)];
            let with = truths.iter().find(|truth| is(truth, metric, &setting));
            with.or_else(|| truths.iter().find(|truth| is(truth, metric, &setting[..1])))
        };
        // What came about in few rounds says little, as where a finding leaves it out.
        let usual = *experiment == "cpu" || met.len() * RARE >= rounds.len();
        let measured = single.iter().any(|record| record.memory_mib == memory_mib);
        match (&of(alone, 1)?.value, &of(shared, colevel)?.value) {
            (Value::Number(alone), Value::Number(shared)) if measured && usual => {
                Some((met.len(), alone / shared))
            }
            _ => None,
        }
    };
    met.into_iter().filter_map(slowdown).collect()
}

/// The colevel that a record's burst was meant to have.
fn intended(record: &Record) -> Option<u32> {
    record.setting.get("colevel")?.parse().ok()
}

fn is(truth: &Truth, metric: &str, setting: &[(&str, u32)]) -> bool {
    truth.metric == metric
        && truth.setting.len() == setting.len()
        && setting.iter().all(|(name, value)| truth.setting.get(*name) == Some(&json!(value)))
}

fn expect(metric: &str, setting: &[(&str, u32)], value: f64) -> Truth {
    let setting = setting.iter().map(|(name, value)| ((*name).to_owned(), json!(value)));
    Truth {
        metric: metric.to_owned(),
        setting: setting.collect::<BTreeMap<_, _>>(),
        value: number(value),
        kind: "expected".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use crate::truth::trial::{found, holds, numbers, of, platform, study};
    use analysis::{Finding, Value};
    use experiment::{Kind, SharingScope};

    /// 26 instances of 128 MiB fill a host, so that the largest burst shows that there are several.
    fn shape(scope: &mut SharingScope) {
        scope.colevels = vec![2, 5, 10, 40];
        scope.rounds = 80;
    }

    fn near(finding: &Finding) {
        let (found, truth) = numbers(finding);
        assert!((found / truth - 1.0).abs() <= 0.05, "{finding:?}");
    }

    // A disk of hosts that are shared out, at both ends: all of a slow one, and a ceiling that neighbours never reach.
    #[test]
    fn disks_are_found() {
        let slow = [("write_mib_s = 80.0", "write_mib_s = 5.0")];
        let capped = [("noise_mib_s = 0.02", "noise_mib_s = 0.02\ninstance_mib_s = 3.0")];
        for (changes, slowdown) in [(slow, 26.0), (capped, 1.0)] {
            let target = platform(&changes);
            let mut study = study(&target, &[Kind::Disk]);
            shape(&mut study.scope.disk.sharing);
            study.scope.disk.blocks = 10;
            let found = found(&target, &study);
            let each = of(&found, "disk.throughput_mib_s");
            let sums = of(&found, "disk.host_total_mib_s");
            assert!(each.len() >= 6 && sums.len() == 6, "{} {}", each.len(), sums.len());
            let covered = each.iter().filter(|it| holds(it)).count();
            assert!(covered + 1 >= each.len(), "{covered} of {}", each.len());
            each.iter().chain(&sums).for_each(|it| near(it));
            let worst = &of(&found, "contention.worst_slowdown")[0].value;
            let Value::Number(worst) = worst else { panic!("{worst:?}") };
            assert!((worst / slowdown - 1.0).abs() < 0.1, "{worst}");
        }
    }

    // A network that is shared out, and one whose instances have a ceiling by memory, so that four times the memory sends
    // four times as much.
    #[test]
    fn networks_are_found() {
        let open = ("mbit_s = 560.0", "mbit_s = 560.0");
        let capped = ("mbit_s = 560.0", "mbit_s = 9000.0\nmbit_s_at_128_mib = 40.0");
        for change in [open, capped] {
            let target = platform(&[change]);
            let mut study = study(&target, &[Kind::Network]);
            shape(&mut study.scope.network.sharing);
            let found = found(&target, &study);
            let each = of(&found, "network.throughput_mbit_s");
            each.iter().chain(&of(&found, "network.host_total_mbit_s")).for_each(|it| near(it));
            let at = |memory_mib: u32| {
                let is_it = |it: &&&Finding| {
                    it.setting["colevel"] == 1 && it.setting["memory_mib"] == memory_mib
                };
                numbers(each.iter().find(is_it).expect("a size")).0
            };
            let ratio = at(512) / at(128);
            let expected = if change == open { 1.0 } else { 4.0 };
            assert!((ratio / expected - 1.0).abs() < 0.1, "{ratio}");
        }
    }

    // By chance a host now and then has more instances of a burst than in most rounds: truth and finding leave them out alike.
    #[test]
    fn rare_levels_are_no_truth() {
        let change = ("policy = \"bin_pack\"", "policy = \"random\"\nmax_hosts = 6");
        let target = platform(&[change]);
        let mut study = study(&target, &[Kind::Network]);
        study.scope.network.sharing.colevels = vec![4];
        study.scope.network.sharing.rounds = 40;
        let found = found(&target, &study);
        let worst = of(&found, "contention.worst_slowdown")[0];
        let (_, truth) = numbers(worst);
        assert_eq!(truth, 2.0, "three or four of four on one of six hosts are rare: {worst:?}");
        near(worst);
    }
}
