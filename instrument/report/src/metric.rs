//! Metrics and settings in words, and which metrics come first.
//!
//! Names and units are those of the findings' schema; a metric that is not known here is shown under its own name.

use crate::number::Unit;
use analysis::{Finding, Setting};
use serde_json::Value as Json;
use std::cmp::Ordering;

/// Where a metric is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// Among the answers, on the terminal, and in the open table.
    First,
    /// In the open table of its experiment.
    Table,
    /// In the table of everything else, which is folded away.
    Rest,
}

/// What is known about one metric by its name.
struct Known {
    name: &'static str,
    words: &'static str,
    rank: Rank,
}

const fn known(name: &'static str, words: &'static str, rank: Rank) -> Known {
    Known { name, words, rank }
}

/// Metrics by name; those of latencies are composed in [`words`] from their last part.
const KNOWN: &[Known] = &[
    known("identity.host_id_source", "What names the host", Rank::First),
    known("identity.coresidency_sensitivity", "Co-residency test: shared hosts found", Rank::Table),
    known(
        "identity.coresidency_specificity",
        "Co-residency test: separate hosts told apart",
        Rank::Table,
    ),
    known("isolation.cross_tenant_coresident", "Instances beside another tenant's", Rank::First),
    known("isolation.cross_role_coresident", "Instances beside another role's", Rank::Table),
    known("isolation.attempts_to_coreside", "Tries to land beside a victim", Rank::First),
    known("isolation.hosts_seen", "Hosts seen", Rank::Table),
    known("hosts.types", "Kinds of host", Rank::First),
    known("hosts.type_share", "Share of hosts of this kind", Rank::Table),
    known("hosts.vcpus", "vCPUs of a host", Rank::Table),
    known("hosts.memory_mib", "Memory of a host", Rank::Table),
    known("hosts.min_uptime_s", "Youngest host", Rank::Table),
    known("hosts.max_uptime_s", "Oldest host", Rank::Table),
    known("exposure.count", "Readable items about the host", Rank::First),
    known("exposure.item", "Readable", Rank::Rest),
    known("scaling.instances", "Instances for concurrent requests", Rank::Table),
    known("scaling.max_concurrent_instances", "Most instances at once", Rank::First),
    known("scaling.queued_fraction", "Requests that waited for an instance", Rank::Table),
    known("scaling.instances_per_s", "Instances added per second", Rank::Table),
    known("scaling.requests_per_instance", "Requests per instance at once", Rank::First),
    known("failures.fraction", "Requests that failed", Rank::Table),
    known("failures.throttled_fraction", "Requests refused by quota", Rank::Table),
    known("placement.policy", "How instances are placed", Rank::First),
    known(
        "placement.same_function_coresident",
        "Instances that share a host with their function's own",
        Rank::Table,
    ),
    known("placement.host_memory_mib", "Host’s memory for instances", Rank::First),
    known("placement.max_colevel", "Most instances on a host", Rank::First),
    known("coldstart.package_extra_ms", "A larger package costs", Rank::Table),
    known("coldstart.first_code_extra_ms", "A never-seen package costs", Rank::Table),
    known("coldstart.new_host_extra_ms", "A host not seen before costs", Rank::Table),
    known(
        "coldstart.concurrent_latency_ms",
        "Cold start, several at once on a host, mean",
        Rank::Table,
    ),
    known("lifetime.median_s", "Instance lifetime, median", Rank::First),
    known("lifetime.p5_s", "Instance lifetime, 5th percentile", Rank::Table),
    known("lifetime.p95_s", "Instance lifetime, 95th percentile", Rank::Table),
    known("lifetime.max_s", "Instance lifetime, longest", Rank::Table),
    known("idle.max_idle_s", "Longest idle time survived", Rank::First),
    known("idle.first_loss_s", "Shortest idle time with a loss", Rank::First),
    known("idle.alive_fraction", "Still there after idling", Rank::Table),
    known("idle.policy", "How idle instances go", Rank::First),
    known("idle.halving_interval_s", "Time between two halvings", Rank::First),
    known(
        "idle.busy_host_max_idle_s",
        "The same on a host that another instance keeps busy",
        Rank::Table,
    ),
    known("consistency.outdated_fraction", "Instances that ran an old version", Rank::First),
    known("consistency.outdated_new_fraction", "Outdated and newly started", Rank::Table),
    known(
        "consistency.max_requests_per_outdated_instance",
        "Most requests to an outdated instance",
        Rank::Table,
    ),
    known(
        "consistency.outdated_after_wait_fraction",
        "Instances that ran an old version after a wait",
        Rank::Table,
    ),
    known("consistency.safe_wait_s", "Wait after an update until it is safe", Rank::First),
    known("cpu.share", "CPU share of one instance alone", Rank::First),
    known("cpu.share_sd", "Spread of the CPU share over instances", Rank::Rest),
    known("cpu.tick_share", "CPU share by the paper's statistic", Rank::Table),
    known("cpu.share_shared", "CPU share beside busy neighbours", Rank::Table),
    known("cpu.fairness", "Fairness of sharing (Jain's index)", Rank::Table),
    known("disk.throughput_mib_s", "Disk throughput per instance", Rank::First),
    known("disk.host_total_mib_s", "Disk throughput of the host", Rank::Table),
    known("network.throughput_mbit_s", "Network throughput per instance", Rank::First),
    known("network.host_total_mbit_s", "Network throughput of the host", Rank::Table),
    known("contention.worst_slowdown", "Worst slowdown by neighbours", Rank::First),
    known("accounting.background_s", "Unpaid work goes on after the response", Rank::First),
    known("accounting.background_cpu_share", "CPU share of unpaid work", Rank::Table),
    known("accounting.billed_over_used", "Billed over used", Rank::First),
    known("limits.timeout_s", "Longest timeout", Rank::Table),
    known("limits.memory_mib", "Largest memory size", Rank::Table),
    known("limits.payload_mib", "Largest request", Rank::Table),
    known("limits.disk_mib", "Room in /tmp", Rank::Table),
    known("study.cost_usd", "Cost of the study", Rank::Table),
    known("study.duration_s", "Duration of the study", Rank::Table),
    known("clock.offset_ms", "Function's clock minus ours", Rank::Table),
];

/// The metric in words, as a row of a table begins.
pub(crate) fn words(metric: &str) -> String {
    if let Some(known) = KNOWN.iter().find(|k| k.name == metric) {
        return known.words.into();
    }
    if let Some((family, statistic)) = metric.rsplit_once('.') {
        let subject = match family {
            "coldstart.latency_ms" => Some("Cold start"),
            "warmstart.latency_ms" => Some("Warm start"),
            "coldstart.overhead_ms" => Some("Cold round trip beyond the function"),
            "warmstart.overhead_ms" => Some("Warm round trip beyond the function"),
            _ => None,
        };
        if let Some(subject) = subject {
            return format!("{subject}, {}", statistic_words(statistic));
        }
    }
    metric.rsplit('.').next().unwrap_or(metric).replace('_', " ")
}

/// Where the metric is shown.
pub(crate) fn rank(metric: &str) -> Rank {
    match metric {
        "coldstart.latency_ms.p50" | "warmstart.latency_ms.p50" => return Rank::First,
        "coldstart.latency_ms.p95" | "warmstart.latency_ms.p95" => return Rank::Table,
        "coldstart.overhead_ms.p50" | "warmstart.overhead_ms.p50" => return Rank::Table,
        _ => {}
    }
    let latency = [".latency_ms.", ".overhead_ms."].iter().any(|part| metric.contains(part));
    match KNOWN.iter().find(|k| k.name == metric) {
        Some(known) => known.rank,
        None if latency => Rank::Rest,
        None => Rank::Table,
    }
}

/// Place of the metric in a table: the order of this file, latencies before it, unknown ones last.
pub(crate) fn order(metric: &str) -> usize {
    const STATISTICS: [&str; 7] = ["p50", "p95", "p99", "mean", "sd", "min", "max"];
    const FAMILIES: [&str; 4] = [
        "coldstart.latency_ms",
        "warmstart.latency_ms",
        "coldstart.overhead_ms",
        "warmstart.overhead_ms",
    ];
    let (family, statistic) = metric.rsplit_once('.').unwrap_or((metric, ""));
    if let Some(family) = FAMILIES.iter().position(|f| *f == family) {
        let statistic = STATISTICS.iter().position(|s| *s == statistic);
        return statistic.unwrap_or(STATISTICS.len()) * FAMILIES.len() + family;
    }
    let first = FAMILIES.len() * (STATISTICS.len() + 1);
    first + KNOWN.iter().position(|k| k.name == metric).unwrap_or(KNOWN.len())
}

/// How numbers of this finding are shown.
pub(crate) fn unit(finding: &Finding) -> Unit {
    match finding.unit.as_str() {
        "s" => Unit::Time(1.0),
        "ms" => Unit::Time(1e-3),
        "us" => Unit::Time(1e-6),
        "MiB" => Unit::Mib,
        "usd" => Unit::Usd,
        "count" | "instances" => Unit::Count,
        "fraction" if finding.metric.starts_with("cpu.share") => Unit::Cpus,
        "fraction" if finding.metric == "cpu.tick_share" => Unit::Cpus,
        "fraction" if finding.metric == "accounting.background_cpu_share" => Unit::Cpus,
        "fraction" if finding.metric == "accounting.billed_over_used" => Unit::Plain("×".into()),
        "fraction" if finding.metric == "cpu.fairness" => Unit::Plain(String::new()),
        "fraction" => Unit::Percent,
        "ratio" => Unit::Plain("×".into()),
        "word" | "bool" => Unit::Plain(String::new()),
        other => Unit::Plain(other.into()),
    }
}

/// A word of a finding as people say it: `bin_pack` is `bin-packing`.
pub(crate) fn word(metric: &str, word: &str) -> String {
    let said = match (metric, word) {
        ("placement.policy", "bin_pack") => "bin-packing",
        ("placement.policy", "one_per_host") => "one per host",
        ("idle.policy", "memory_pressure") => "by memory pressure",
        (_, "instance_root_id") => "cgroup path",
        (_, "cgroup") => "cgroup of the instance",
        (_, "env") => "an environment variable",
        (_, "boot_id") => "boot id",
        (_, "machine_id") => "machine id",
        (_, "ip") => "IP address",
        (_, "io_side_channel") => "I/O side channel",
        _ => return word.replace('_', " "),
    };
    said.into()
}

/// Where a runtime is shown: native first, then by name.
pub(crate) fn runtime_order(name: &str) -> (u8, &str) {
    (u8::from(!name.starts_with("provided")), name)
}

/// A runtime as people say it: `provided.al2023` runs native code.
pub(crate) fn runtime(name: &str) -> &str {
    if name.starts_with("provided") { "native" } else { name }
}

/// The setting in words, `all` where nothing was varied.
pub(crate) fn setting(setting: &Setting) -> String {
    let mut keys: Vec<&String> = setting.keys().collect();
    let place = |key: &str| SETTINGS.iter().position(|k| *k == key).unwrap_or(SETTINGS.len());
    keys.sort_by_key(|key| (place(key), key.as_str()));
    let parts: Vec<String> = keys.iter().map(|key| setting_part(key, &setting[*key])).collect();
    parts.join(" · ")
}

/// Place of a setting among others of its metric: native runtimes first, then sizes ascending.
pub(crate) fn setting_order(a: &Setting, b: &Setting) -> Ordering {
    let runtime = |s: &Setting| s.get("runtime").map(setting_text).unwrap_or_default();
    let (own, other) = (runtime(a), runtime(b));
    let mut order = runtime_order(&own).cmp(&runtime_order(&other));
    for key in
        ["memory_mib", "concurrency", "colevel", "interval_s", "duration_ms", "delay_s", "wait_s"]
    {
        let size = |s: &Setting| setting_number(s, key).unwrap_or(0.0);
        order = order.then_with(|| size(a).total_cmp(&size(b)));
    }
    order
}

/// Settings in the order in which they are said.
const SETTINGS: [&str; 9] = [
    "experiment",
    "type",
    "kind",
    "sandbox",
    "runtime",
    "memory_mib",
    "concurrency",
    "colevel",
    "delay_s",
];

fn setting_part(key: &str, value: &Json) -> String {
    let text = setting_text(value);
    match key {
        "runtime" => runtime(&text).into(),
        "memory_mib" => format!("{}\u{a0}MiB", grouped_text(&text)),
        "package_mib" => format!("package of {}\u{a0}MiB", grouped_text(&text)),
        "concurrency" => format!("{}\u{a0}at once", grouped_text(&text)),
        "colevel" => format!("{}\u{a0}on one host", grouped_text(&text)),
        "delay_s" => format!("{}\u{a0}s idle", grouped_text(&text)),
        "duration_ms" => format!("{}\u{a0}ms long", grouped_text(&text)),
        "init" => (if text == "true" { "with init" } else { "without init" }).into(),
        "wait_s" => format!("{}\u{a0}s waited", grouped_text(&text)),
        "interval_s" => format!("every {}\u{a0}s", grouped_text(&text)),
        "tenants" => format!("{text} tenants"),
        "roles" => format!("{text} roles"),
        "kind" | "sandbox" | "type" | "item" | "experiment" => text,
        _ => format!("{} {text}", key.replace('_', " ")),
    }
}

/// A setting's value as text, without quotes.
pub(crate) fn setting_text(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A setting's value as a number, whether written as one or as text.
pub(crate) fn setting_number(setting: &Setting, key: &str) -> Option<f64> {
    let number = match setting.get(key)? {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => text.parse().ok(),
        _ => None,
    };
    number.filter(|x: &f64| x.is_finite())
}

fn grouped_text(text: &str) -> String {
    match text.parse::<f64>() {
        Ok(x) if x.is_finite() => crate::number::quantity(x, &Unit::Plain(String::new())).number,
        _ => text.into(),
    }
}

fn statistic_words(statistic: &str) -> &str {
    match statistic {
        "p50" => "median",
        "p95" => "95th percentile",
        "p99" => "99th percentile",
        "sd" => "standard deviation",
        "min" => "least",
        "max" => "most",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A metric that this version does not know still has a readable name and a place.
    #[test]
    fn unknown_metrics_are_shown() {
        assert_eq!(words("future.new_thing_s"), "new thing s");
        assert_eq!(rank("future.new_thing_s"), Rank::Table);
        assert!(order("future.new_thing_s") > order("coldstart.latency_ms.p50"));
    }

    /// Latencies are composed from family and statistic.
    #[test]
    fn latencies_are_composed() {
        assert_eq!(words("coldstart.latency_ms.p50"), "Cold start, median");
        assert_eq!(rank("warmstart.latency_ms.sd"), Rank::Rest);
    }

    /// Settings come in a fixed order, with units.
    #[test]
    fn settings_are_ordered() {
        let mut given = Setting::new();
        given.insert("memory_mib".into(), 1769.into());
        given.insert("runtime".into(), "provided.al2023".into());
        assert_eq!(setting(&given), "native · 1,769\u{a0}MiB");
    }
}
