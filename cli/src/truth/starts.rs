//! What is true of what makes a cold start dearer.

use super::number;
use analysis::Truth;
use emulator::Expected;
use model::MemoryMib;
use record::Record;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

const EXPERIMENT: &str = "coldstart";

/// Truths of kind *expected* for the settings of `records`.
pub(super) fn expected(expected: &Expected<'_>, records: &[Record]) -> Vec<Truth> {
    let of = |phases: &[&str]| -> Vec<&Record> {
        let is_it = |record: &&Record| {
            record.experiment == EXPERIMENT && phases.contains(&record.phase.as_str())
        };
        records.iter().filter(is_it).collect()
    };
    let mut truths = packages(expected, &of(&["package", "again"]));
    truths.extend(at_once(expected, &of(&["at_once"])));
    let chain = of(&["chain"]);
    truths.extend(chain.first().map(|record| {
        let extra = expected.new_host_extra_ms(&record.runtime, MemoryMib(record.memory_mib));
        expect("coldstart.new_host_extra_ms", [], extra)
    }));
    truths
}

fn packages(expected: &Expected<'_>, records: &[&Record]) -> Vec<Truth> {
    let ballast = |record: &&Record| -> Option<(u32, (String, u32))> {
        let ballast_mib = record.setting.get("ballast_mib")?.parse().ok()?;
        Some((ballast_mib, (record.runtime.to_string(), record.memory_mib)))
    };
    let sizes: BTreeMap<u32, (String, u32)> = records.iter().filter_map(ballast).collect();
    let truths = sizes.into_iter().flat_map(|(ballast_mib, (runtime, memory_mib))| {
        let setting = || [("package_mib", json!(ballast_mib))];
        let first = expected.first_code_extra_ms(&runtime, MemoryMib(memory_mib));
        let package = expected.package_extra_ms(ballast_mib);
        [
            expect("coldstart.first_code_extra_ms", setting(), first),
            expect("coldstart.package_extra_ms", setting(), package),
        ]
    });
    truths.collect()
}

fn at_once(expected: &Expected<'_>, records: &[&Record]) -> Vec<Truth> {
    let Some(first) = records.first() else { return Vec::new() };
    let intended = |record: &&Record| record.setting.get("colevel")?.parse::<u32>().ok();
    let most = records.iter().filter_map(intended).max().unwrap_or(0);
    let truth = |colevel: u32| {
        let mean = expected.at_once_ms(&first.runtime, MemoryMib(first.memory_mib), colevel);
        expect("coldstart.concurrent_latency_ms", [("colevel", json!(colevel))], mean)
    };
    (1..=most).map(truth).collect()
}

fn expect<const N: usize>(metric: &str, setting: [(&str, Json); N], value: f64) -> Truth {
    Truth {
        metric: metric.to_owned(),
        setting: setting.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        value: number(value),
        kind: "expected".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use crate::truth::trial::{found, holds, numbers, of, platform, study};
    use analysis::Finding;
    use experiment::Kind;

    const METRICS: [&str; 4] = [
        "coldstart.package_extra_ms",
        "coldstart.first_code_extra_ms",
        "coldstart.new_host_extra_ms",
        "coldstart.concurrent_latency_ms",
    ];

    fn measured(changes: &[(&str, &str)]) -> Vec<Finding> {
        let target = platform(changes);
        let mut study = study(&target, &[Kind::ColdStart]);
        study.scope.runtimes.truncate(1);
        study.scope.coldstart.rounds = 50;
        study.scope.coldstart.memory_mib = vec![128];
        study.scope.starts.package_rounds = 100;
        study.scope.starts.ballast_mib = vec![5, 20, 45];
        study.scope.starts.starts = 600;
        study.scope.starts.bursts = 40;
        study.scope.starts.chain = 200;
        found(&target, &study)
    }

    // What makes cold starts dearer on AWS in 2018 is found: packages, new code, new hosts, neighbours.
    #[test]
    fn extras_are_found() {
        let found = measured(&[]);
        for metric in METRICS {
            of(&found, metric).into_iter().for_each(|it| assert!(holds(it), "{it:?}"));
        }
        let at_once = of(&found, METRICS[3]);
        assert_eq!(at_once.len(), 3);
        for finding in at_once {
            let (found, truth) = numbers(finding);
            assert!((found / truth - 1.0).abs() < 0.08, "{finding:?}");
        }
        let packages: Vec<f64> = of(&found, METRICS[0]).iter().map(|it| numbers(it).0).collect();
        assert!(packages.is_sorted_by(|small, large| small < large), "{packages:?}");
        // The figures that need no second clock are larger by the way back.
        for metric in ["coldstart.overhead_ms.p50", "warmstart.overhead_ms.p50"] {
            let finding = of(&found, metric)[0];
            let latency = of(&found, &metric.replace("overhead", "latency"))[0];
            assert!(holds(finding), "{finding:?}");
            assert!(numbers(finding).1 > numbers(latency).1, "{finding:?}");
        }
    }

    // Where nothing makes them dearer, nothing is found to.
    #[test]
    fn nothing_extra_is_nothing() {
        let found = measured(&[
            ("serial_ms = 59.7", "serial_ms = 0.0"),
            ("package_ms_per_mib = 10.0", "package_ms_per_mib = 0.0"),
            ("known_code_saves_ms = 20.0", "known_code_saves_ms = 0.0"),
            ("ready = { median_ms = 39.0 }", "ready = { median_ms = 0.0 }"),
        ]);
        for metric in &METRICS[..3] {
            for finding in of(&found, metric) {
                assert_eq!(numbers(finding).1, 0.0, "{finding:?}");
                assert!(holds(finding), "{finding:?}");
            }
        }
        let at_once: Vec<f64> = of(&found, METRICS[3]).iter().map(|it| numbers(it).1).collect();
        assert!(at_once.iter().all(|ms| (ms / at_once[0] - 1.0).abs() < 0.01), "{at_once:?}");
    }
}
