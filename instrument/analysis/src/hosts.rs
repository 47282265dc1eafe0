//! What kinds of host there are, and whether they were there before us.
//!
//! Each host counts once, by its name, whatever experiment met it and however many instances of ours it had. Its kind is
//! CPU model, vCPUs and memory; memory that differs by little is the same, since kernels reserve some of it. A host was
//! started when its uptime says, by the reading that says so latest, since a request that was held back reads it late.
//! An uptime that does not grow as time goes by is made up.

use crate::answers::Answers;
use crate::estimates::add_share;
use crate::finding::Finding;
use crate::placed::HostSource;
use crate::statistics::cluster::Row;
use crate::statistics::set;
use crate::study::{Study, is_sound};
use record::{Outcome, Record};
use std::collections::BTreeMap;

const EXPERIMENT: &str = "hosts";

/// Part of a host's memory by which hosts of one kind may differ: kernels reserve a few per cent, and sizes on offer
/// differ by far more.
const MEMORY_SLACK: f64 = 0.02;

/// By how much readings of one host may disagree about when it was started, s.
const UPTIME_SLACK_S: f64 = 60.0;

/// One host as it was met.
#[derive(Clone, Debug)]
struct Host<'a> {
    cpu_model: &'a str,
    vcpus: u32,
    memory_mib: u32,
    /// First contact, s since 1970 on the host's clock.
    met_s: f64,
    /// When it was started, by the latest and the earliest that its answers say.
    started_s: (f64, f64),
    /// Whether any answer told an uptime.
    tells_uptime: bool,
}

/// The kind's name, as the setting `type` has it.
pub fn host_type(cpu_model: &str, vcpus: u32, memory_mib: u32) -> String {
    let model = if cpu_model.is_empty() { "unknown" } else { cpu_model };
    match memory_mib {
        0 => format!("{model}, {vcpus} vCPU"),
        memory => format!("{model}, {vcpus} vCPU, {memory} MiB"),
    }
}

/// Adds the findings, where the study had such an experiment.
pub(crate) fn analyse(study: &Study, answers: &mut Answers) {
    if study.of(EXPERIMENT, answers).is_empty() {
        return;
    }
    if study.host == HostSource::None {
        let why = "nothing names the host, so a host that is met twice counts twice; a platform that reveals its \
                   hosts would tell";
        add_nothing(answers, why);
        return;
    }
    let hosts = met(study);
    let types = types(&hosts);
    if types.is_empty() {
        add_nothing(answers, "no request was answered; see the failures for the reason");
        return;
    }
    let finding = |metric: &str, unit: &str, method: &str, hosts: usize| {
        Finding::new(EXPERIMENT, metric, unit).with_method(method, hosts)
    };
    let count = types.len() as f64;
    answers.add(
        finding(
            "hosts.types",
            "count",
            "distinct kinds among the hosts that were met",
            hosts.len(),
        )
        .with_number(count)
        .with_interval(set::interval(count, set::Extent::AtLeast)),
    );
    for (name, own) in &types {
        let of_type = |metric: &str, unit: &str, method: &str| {
            finding(metric, unit, method, own.len()).with_setting("type", name.as_str())
        };
        let mut share =
            of_type("hosts.type_share", "fraction", "hosts of this kind, of all that were met");
        share.cluster = Some("host".to_owned());
        share.n = hosts.len() as u64;
        let rows: Vec<Row<bool>> =
            (0..hosts.len()).map(|number| Row::new(number as u64, number < own.len())).collect();
        add_share(answers, share, &rows);
        let vcpus = own.first().map(|host| f64::from(host.vcpus));
        answers.add(of_type("hosts.vcpus", "count", "CPUs that are online").with_number(vcpus));
        let memory =
            of_type("hosts.memory_mib", "MiB", "memory as the kernel has it, median of hosts");
        match memory_mib(own) {
            0 => answers.add_unknown(memory, "hosts do not tell their memory"),
            mib => answers.add(memory.with_number(f64::from(mib))),
        }
        let uptime =
            |metric: &str| of_type(metric, "s", "uptime of the host when it was first met");
        let (youngest, oldest) = (uptime("hosts.min_uptime_s"), uptime("hosts.max_uptime_s"));
        match uptimes_s(own) {
            Ok((least, most)) => {
                answers.add(youngest.with_number(least));
                answers.add(oldest.with_number(most));
            }
            Err(why) => {
                answers.add_unknown(youngest, why);
                answers.add_unknown(oldest, why);
            }
        }
    }
}

fn add_nothing(answers: &mut Answers, why: &str) {
    for (metric, unit) in [
        ("hosts.types", "count"),
        ("hosts.type_share", "fraction"),
        ("hosts.vcpus", "count"),
        ("hosts.memory_mib", "MiB"),
        ("hosts.min_uptime_s", "s"),
        ("hosts.max_uptime_s", "s"),
    ] {
        answers.add_unknown(Finding::new(EXPERIMENT, metric, unit), why);
    }
}

/// Every host of the study, by name.
fn met<'a>(study: &Study<'a>) -> Vec<Host<'a>> {
    let mut hosts: BTreeMap<&str, Host> = BTreeMap::new();
    let told = |record: &&&Record| {
        record.outcome == Outcome::Ok && record.cpu_count > 0 && is_sound(record)
    };
    for record in study.records.iter().filter(told) {
        let Some(name) = study.host.of(record) else { continue };
        let met_s = record.started_unix_ns as f64 / 1e9;
        let started_s = met_s - record.uptime_s;
        let new = || Host {
            cpu_model: &record.cpu_model,
            vcpus: record.cpu_count,
            memory_mib: record.host_memory_mib,
            met_s,
            started_s: (started_s, started_s),
            tells_uptime: false,
        };
        let host = hosts.entry(name).or_insert_with(new);
        host.met_s = host.met_s.min(met_s);
        host.started_s = (host.started_s.0.max(started_s), host.started_s.1.min(started_s));
        host.tells_uptime |= record.uptime_s > 0.0;
    }
    hosts.into_values().collect()
}

/// Hosts by the name of their kind.
fn types<'a>(hosts: &[Host<'a>]) -> BTreeMap<String, Vec<Host<'a>>> {
    let mut sorted: Vec<&Host> = hosts.iter().collect();
    sorted.sort_by_key(|host| (host.cpu_model, host.vcpus, host.memory_mib));
    let same = |one: &&Host, next: &&Host| {
        let near = f64::from(next.memory_mib - one.memory_mib.min(next.memory_mib))
            <= MEMORY_SLACK * f64::from(next.memory_mib);
        one.cpu_model == next.cpu_model && one.vcpus == next.vcpus && near
    };
    let mut types = BTreeMap::new();
    for kind in sorted.chunk_by(same) {
        let own: Vec<Host> = kind.iter().map(|host| (*host).clone()).collect();
        let name = host_type(own[0].cpu_model, own[0].vcpus, memory_mib(&own));
        types.insert(name, own);
    }
    types
}

/// The memory that most of them say, ascending; the lower one of two in the middle.
fn memory_mib(sorted: &[Host]) -> u32 {
    sorted.get(sorted.len().saturating_sub(1) / 2).map_or(0, |host| host.memory_mib)
}

/// Least and most uptime at first contact, or why it is not known.
fn uptimes_s(hosts: &[Host]) -> Result<(f64, f64), &'static str> {
    if !hosts.iter().all(|host| host.tells_uptime) {
        return Err("hosts do not tell their uptime");
    }
    if hosts.iter().any(|host| host.started_s.0 - host.started_s.1 > UPTIME_SLACK_S) {
        return Err("the uptime that hosts tell does not grow as time goes by, so it is made up");
    }
    let uptimes = || hosts.iter().map(|host| (host.met_s - host.started_s.0).max(0.0));
    Ok((uptimes().fold(f64::INFINITY, f64::min), uptimes().fold(0.0, f64::max)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Value;

    /// Three instances on each of twelve hosts, asked twice, 100 s apart; the first third of another kind.
    fn records(uptime_s: impl Fn(u32, f64) -> f64) -> Vec<Record> {
        let mut records = Vec::new();
        for (phase, at_s) in [("burst", 1_000.0), ("again", 1_100.0)] {
            records.extend((0..36_u32).map(|number| {
                let host = number / 3;
                Record {
                    experiment: EXPERIMENT.into(),
                    phase: phase.into(),
                    function: "one".into(),
                    outcome: Outcome::Ok,
                    instance: number.to_string().into(),
                    started_unix_ns: (at_s * 1e9) as u64,
                    finished_unix_ns: ((at_s + 1.0) * 1e9) as u64,
                    host_ids: [("boot_id".to_owned(), host.to_string())].into(),
                    cpu_model: if host < 4 { "old" } else { "new" }.into(),
                    cpu_count: 2,
                    // What kernels reserve differs from host to host.
                    host_memory_mib: 3_840 - host % 4,
                    uptime_s: uptime_s(host, at_s - 1_000.0),
                    ..Record::default()
                }
            }));
        }
        records
    }

    fn found(records: &[Record]) -> BTreeMap<(String, String), Value> {
        let (findings, _) = crate::analyse(records);
        let named = |finding: &Finding| {
            let kind = finding.setting.get("type").and_then(|kind| kind.as_str());
            (finding.metric.clone(), kind.unwrap_or_default().to_owned())
        };
        findings.iter().map(|finding| (named(finding), finding.value.clone())).collect()
    }

    // Hosts count once, kinds are told apart, and uptimes are those of the first contact.
    #[test]
    fn hosts_count_once() {
        let found = found(&records(|host, since_s| 500.0 + f64::from(host) + since_s));
        let value = |metric: &str, kind: &str| {
            found.get(&(metric.to_owned(), kind.to_owned())).cloned().expect("found")
        };
        let (old, new) = ("old, 2 vCPU, 3838 MiB", "new, 2 vCPU, 3838 MiB");
        assert_eq!(value("hosts.types", ""), Value::Number(2.0));
        assert_eq!(value("hosts.type_share", old), Value::Number(4.0 / 12.0));
        assert_eq!(value("hosts.vcpus", new), Value::Number(2.0));
        assert_eq!(value("hosts.memory_mib", new), Value::Number(3_838.0));
        assert_eq!(value("hosts.min_uptime_s", old), Value::Number(500.0));
        assert_eq!(value("hosts.max_uptime_s", new), Value::Number(511.0));
    }

    // An uptime that stays the same as time goes by says nothing.
    #[test]
    fn standing_uptimes_are_refused() {
        let found = found(&records(|_, _| 1.0));
        let uptimes = found.iter().filter(|((metric, _), _)| metric.ends_with("uptime_s"));
        assert_eq!(uptimes.clone().count(), 4);
        assert!(uptimes.clone().all(|(_, value)| *value == Value::Null));
    }
}
