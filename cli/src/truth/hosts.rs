//! Truths of the hosts experiment: kinds by the profile, uptimes as the platform counted them.

use super::{number, parameter};
use analysis::{Truth, host_type};
use emulator::{Counts, FirstRun, HostType, Platform};
use model::HostId;
use record::Record;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Hosts of the rarest kind that must be expected before one can rely on every kind being met: e^-10 are then missed.
const RAREST_MIN: f64 = 10.0;

/// What the profile says of its hosts, and what was counted of those that functions ran on which asked for them.
pub(super) fn truths(platform: &Platform, counts: &Counts, records: &[Record]) -> Vec<Truth> {
    if !records.iter().any(|record| record.experiment == "hosts") {
        return Vec::new();
    }
    let told = |record: &&Record| record.cpu_count > 0 && !record.setting.contains_key("void");
    let functions: BTreeSet<&str> =
        records.iter().filter(told).map(|record| record.function.as_str()).collect();
    let mut met: BTreeMap<HostId, &FirstRun> = BTreeMap::new();
    for (host, first) in
        functions.iter().filter_map(|name| counts.functions.get(*name)).flat_map(|it| &it.hosts)
    {
        let earliest = met.entry(*host).or_insert(first);
        if first.uptime_s < earliest.uptime_s {
            *earliest = first;
        }
    }
    let mut kinds: BTreeMap<String, Kind> = BTreeMap::new();
    let all: f64 = platform.model.host.iter().map(|kind| kind.share).sum();
    for kind in &platform.model.host {
        kinds.entry(seen(platform, kind)).or_insert_with(|| Kind::of(kind)).share +=
            kind.share / all;
    }
    for first in met.values() {
        if let Some(kind) = kinds.get_mut(&seen(platform, &first.kind)) {
            kind.uptimes_s.push(first.uptime_s);
        }
    }
    let rarest = kinds.values().map(|kind| kind.share).fold(1.0, f64::min);
    let types = match rarest * met.len() as f64 >= RAREST_MIN {
        true => parameter("hosts.types", number(kinds.len() as f64)),
        false => {
            let met = kinds.values().filter(|kind| !kind.uptimes_s.is_empty()).count();
            realised(parameter("hosts.types", number(met as f64)))
        }
    };
    let of_kinds = kinds.iter().flat_map(|(name, kind)| kind.truths(platform, name));
    std::iter::once(types).chain(of_kinds).collect()
}

/// One kind of host, as far as functions can tell it from others.
struct Kind {
    vcpus: u32,
    memory_mib: u32,
    share: f64,
    uptimes_s: Vec<f64>,
}

impl Kind {
    fn of(kind: &HostType) -> Self {
        let HostType { vcpus, memory_mib, .. } = *kind;
        Self { vcpus, memory_mib, share: 0.0, uptimes_s: Vec::new() }
    }

    fn truths(&self, platform: &Platform, name: &str) -> Vec<Truth> {
        let reveal = &platform.model.reveal;
        let mut truths = vec![
            parameter("hosts.type_share", number(self.share)),
            parameter("hosts.vcpus", number(f64::from(self.vcpus))),
        ];
        if reveal.memory == emulator::Seen::Host {
            truths.push(parameter("hosts.memory_mib", number(f64::from(self.memory_mib))));
        }
        if reveal.uptime == emulator::Seen::Host && !self.uptimes_s.is_empty() {
            let least = self.uptimes_s.iter().copied().fold(f64::INFINITY, f64::min);
            let most = self.uptimes_s.iter().copied().fold(0.0, f64::max);
            truths.push(realised(parameter("hosts.min_uptime_s", number(least))));
            truths.push(realised(parameter("hosts.max_uptime_s", number(most))));
        }
        for truth in &mut truths {
            truth.setting.insert("type".to_owned(), json!(name));
        }
        truths
    }
}

/// A kind's name by what functions see of it.
fn seen(platform: &Platform, kind: &HostType) -> String {
    let reveal = &platform.model.reveal;
    let model = if reveal.cpu_model == emulator::Seen::Host { kind.cpu_model.as_str() } else { "" };
    let memory = if reveal.memory == emulator::Seen::Host { kind.memory_mib } else { 0 };
    host_type(model, kind.vcpus, memory)
}

fn realised(truth: Truth) -> Truth {
    Truth { kind: "realised".to_owned(), ..truth }
}

#[cfg(test)]
mod tests {
    use super::super::trial::{found, holds, numbers, one, platform, study};
    use analysis::{Finding, Value};
    use experiment::Kind;
    use model::Span;

    fn measured(changes: &[(&str, &str)]) -> Vec<Finding> {
        let target = platform(changes);
        let mut study = study(&target, &[Kind::Identity, Kind::Hosts]);
        // Long enough that each round meets hosts of its own.
        study.scope.hosts.spacing = Span::from_secs(2 * 3_600);
        found(&target, &study)
    }

    fn of<'a>(findings: &'a [Finding], metric: &str) -> Vec<&'a Finding> {
        findings.iter().filter(|finding| finding.metric == metric).collect()
    }

    // The kinds of the profile are found by name, with what each has, and uptimes to the reading's grain.
    #[test]
    fn kinds_are_found() {
        let findings = measured(&[]);
        let (types, truth) = numbers(one(&findings, "hosts.types"));
        assert_eq!(types, truth);
        assert!(types >= 3.0, "{types}");
        for metric in ["hosts.vcpus", "hosts.memory_mib"] {
            for finding in of(&findings, metric) {
                let (value, truth) = numbers(finding);
                assert_eq!(value, truth, "{finding:?}");
            }
        }
        let shares = of(&findings, "hosts.type_share");
        assert!(shares.iter().filter(|share| holds(share)).count() + 1 >= shares.len());
        for metric in ["hosts.min_uptime_s", "hosts.max_uptime_s"] {
            for finding in of(&findings, metric) {
                let (value, truth) = numbers(finding);
                assert!((value - truth).abs() < 1.0, "{finding:?}");
                assert!((132.0..10_000.0).contains(&value), "{finding:?}");
            }
        }
    }

    // What hosts hide is null, and their kinds are told apart by what is left.
    #[test]
    fn hidden_facts_are_null() {
        let findings = measured(&[
            ("cpu_model = \"host\"", "cpu_model = \"hidden\""),
            ("uptime = \"host\"", "uptime = \"hidden\""),
            ("memory = \"host\"", "memory = \"hidden\""),
        ]);
        let (types, truth) = numbers(one(&findings, "hosts.types"));
        assert_eq!(types, truth);
        for metric in ["hosts.memory_mib", "hosts.min_uptime_s", "hosts.max_uptime_s"] {
            assert!(of(&findings, metric).iter().all(|it| it.value == Value::Null), "{metric}");
        }
    }
}
