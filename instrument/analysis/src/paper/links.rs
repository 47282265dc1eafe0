//! Which row of the paper's table belongs to which metric of ours.

use super::{Link, PaperPlatform, Row};
use crate::finding::{Finding, Value};
use PaperPlatform::{Aws, Azure, Google};

const P50: &[&str] = &["coldstart.latency_ms.p50"];
const SD: &[&str] = &["coldstart.latency_ms.sd"];
const WARM: &[&str] = &["warmstart.latency_ms.p50"];
const CPU: &[&str] = &["cpu.share", "cpu.tick_share"];
const IDLE: &[&str] = &["idle.max_idle_s", "idle.first_loss_s"];
const NETWORK: &[&str] = &["network.throughput_mbit_s"];
const AT_ONCE: &[&str] = &["coldstart.concurrent_latency_ms"];
const POOL_RULE: [&str; 3] = ["idle", "idle-pool rule", "same function, N idle instances"];

/// A row that holds for every setting and is a number in our unit times `factor`.
const fn plain(
    platform: PaperPlatform,
    row: [&'static str; 3],
    metrics: &'static [&'static str],
    value: fn(&Finding, &Row) -> Option<Value>,
) -> Link {
    Link { platform, row, metrics, holds: |_| true, value }
}

/// As it stands.
fn as_is(_: &Finding, row: &Row) -> Option<Value> {
    row.number(1.0)
}

/// From minutes.
fn minutes(_: &Finding, row: &Row) -> Option<Value> {
    row.number(60.0)
}

/// From hours.
fn hours(_: &Finding, row: &Row) -> Option<Value> {
    row.number(3_600.0)
}

/// From per cent.
fn per_cent(_: &Finding, row: &Row) -> Option<Value> {
    row.number(0.01)
}

/// The row's own words.
fn words(_: &Finding, row: &Row) -> Option<Value> {
    Some(Value::Word(format!("{} {}", row.value, row.unit).trim_end_matches([' ', '-']).to_owned()))
}

pub(super) const LINKS: &[Link] = &[
    plain(
        Aws,
        [
            "isolation",
            "cross-tenant VM sharing",
            "two accounts, new function in each per round, 1 week",
        ],
        &["isolation.cross_tenant_coresident"],
        as_is,
    ),
    plain(
        Azure,
        ["isolation", "cross-tenant VM sharing", "500 functions in each of two accounts"],
        &["isolation.cross_tenant_coresident"],
        per_cent,
    ),
    plain(
        Azure,
        ["isolation", "VMs seen in that test", "2 x 500 functions"],
        &["isolation.hosts_seen"],
        as_is,
    ),
    plain(Aws, ["vm", "VM types", "count"], &["hosts.types"], as_is),
    plain(Azure, ["vm", "VM types", "at least"], &["hosts.types"], as_is),
    plain(Google, ["vm", "distinct model versions", "count"], &["hosts.types"], as_is),
    plain(Aws, ["vm", "host VM", "main type"], &["hosts.vcpus", "hosts.memory_mib"], words),
    plain(Azure, ["vm", "vCPU counts", "env var report"], &["hosts.vcpus"], words),
    plain(
        Aws,
        ["coldstart", "smallest host kernel uptime seen", "new VM"],
        &["hosts.min_uptime_s"],
        as_is,
    ),
    plain(Aws, ["lifetime", "longest host kernel uptime", "-"], &["hosts.max_uptime_s"], hours),
    plain(Aws, ["config", "max execution time", "2018"], &["limits.timeout_s"], as_is),
    plain(Azure, ["config", "function memory", "2018"], &["limits.memory_mib"], words),
    Link {
        platform: Aws,
        row: ["scaling", "instances for N concurrent requests", "N<=200 (max tested)"],
        metrics: &["scaling.instances"],
        holds: |finding| number(finding, "concurrency").is_some_and(|requests| requests <= 200.0),
        value: |finding, _| number(finding, "concurrency").map(Value::Number),
    },
    plain(
        Azure,
        ["scaling", "observed concurrent instances of one function", "any interval"],
        &["scaling.max_concurrent_instances"],
        words,
    ),
    plain(
        Azure,
        ["scaling", "instances of one function sharing a VM", "concurrent"],
        &["placement.same_function_coresident"],
        words,
    ),
    Link {
        platform: Google,
        row: ["scaling", "launched / expected instances", "even at concurrency 10"],
        metrics: &["scaling.instances"],
        holds: |finding| number(finding, "concurrency").is_some_and(|requests| requests >= 10.0),
        value: |finding, row| {
            let half = row.value.contains("~50").then_some(0.5)?;
            number(finding, "concurrency").map(|requests| Value::Number(requests * half))
        },
    },
    plain(
        Aws,
        ["placement", "max aggregate instance memory on a VM", "observed"],
        &["placement.host_memory_mib"],
        as_is,
    ),
    plain(Aws, ["placement", "policy", "-"], &["placement.policy"], |_, _| {
        Some(Value::Word("bin_pack".to_owned()))
    }),
    Link {
        platform: Aws,
        row: ["placement", "max instances per VM implied", "128 MB"],
        metrics: &["placement.max_colevel"],
        holds: |finding| has_memory(finding, 128.0),
        value: as_is,
    },
    plain(Aws, ["warmstart", "warm latency median", "all"], WARM, as_is),
    plain(Azure, ["warmstart", "warm latency median", "all"], WARM, as_is),
    plain(Google, ["warmstart", "warm latency median", "all"], WARM, as_is),
    cold(Aws, "cold latency median", "Nodejs 6, 128 MB", P50, |it| is(it, "nodejs", 128.0)),
    cold(Aws, "cold latency median", "Nodejs 6, 1536 MB", P50, |it| is(it, "nodejs", 1536.0)),
    cold(Aws, "cold latency SD", "Nodejs 6, 128 MB", SD, |it| is(it, "nodejs", 128.0)),
    cold(Aws, "cold latency SD", "Nodejs 6, 1536 MB", SD, |it| is(it, "nodejs", 1536.0)),
    cold(Google, "cold latency median", "Nodejs 6, 128 MB", P50, |it| is(it, "nodejs", 128.0)),
    cold(Google, "cold latency median", "Nodejs 6, 2048 MB", P50, |it| is(it, "nodejs", 2048.0)),
    cold(Google, "cold latency SD", "Nodejs 6, 128 MB", SD, |it| is(it, "nodejs", 128.0)),
    cold(Google, "cold latency SD", "Nodejs 6, 2048 MB", SD, |it| is(it, "nodejs", 2048.0)),
    cold(Azure, "cold latency median", "1536 MB", P50, |it| has_memory(it, 1536.0)),
    Link {
        platform: Azure,
        row: ["coldstart", "cold latency SD", "1536 MB"],
        metrics: SD,
        holds: |finding| has_memory(finding, 1536.0),
        // "5110 (5110.12)"
        value: |_, row| row.value.split(' ').next()?.parse().ok().map(Value::Number),
    },
    Link {
        platform: Aws,
        row: ["coldstart", "cold latency median range", "Python 2.7, over memories"],
        metrics: P50,
        holds: |finding| has_runtime(finding, "python"),
        value: words,
    },
    Link {
        platform: Aws,
        row: ["coldstart", "cold latency median range", "Java, over memories"],
        metrics: P50,
        holds: |finding| has_runtime(finding, "java"),
        value: words,
    },
    plain(
        Aws,
        ["coldstart", "new VM minus existing VM", "median difference"],
        &["coldstart.new_host_extra_ms"],
        as_is,
    ),
    cold(Aws, STARTS, "Python 2.7, 128 MB, k=20", AT_ONCE, |it| {
        number(it, "colevel") == Some(20.0)
    }),
    cold(Aws, STARTS, "Python 2.7, 128 MB, k=1", AT_ONCE, |it| number(it, "colevel") == Some(1.0)),
    plain(Aws, ["lifetime", "lifetime median", "all settings"], &["lifetime.median_s"], hours),
    plain(Aws, ["lifetime", "lifetime max", "all settings"], &["lifetime.max_s"], hours),
    Link {
        platform: Google,
        row: ["lifetime", "90% of lifetimes", "128 MB, every 5 s"],
        metrics: &["lifetime.p5_s", "lifetime.p95_s"],
        holds: |finding| has_memory(finding, 128.0) && number(finding, "interval_s") == Some(5.0),
        value: words,
    },
    Link {
        platform: Google,
        row: ["lifetime", "90% of lifetimes", "2048 MB, every 5 s"],
        metrics: &["lifetime.p5_s", "lifetime.p95_s"],
        holds: |finding| has_memory(finding, 2048.0) && number(finding, "interval_s") == Some(5.0),
        value: words,
    },
    plain(Aws, ["idle", "max idle time", "no other activity"], IDLE, minutes),
    plain(Azure, ["idle", "max idle time", "different days"], IDLE, words),
    plain(Google, ["idle", "max idle time", "-"], IDLE, words),
    Link {
        platform: Google,
        row: ["idle", "instances still alive after 120 min", "-"],
        metrics: &["idle.alive_fraction"],
        holds: |finding| {
            number(finding, "delay_s").is_some_and(|delay| (delay / 7200.0 - 1.0).abs() < 0.02)
        },
        value: per_cent,
    },
    plain(
        Aws,
        ["idle", "max idle when another instance on the VM stays active", "ping every 10 s"],
        &["idle.busy_host_max_idle_s"],
        words,
    ),
    plain(Aws, POOL_RULE, &["idle.policy"], |_, _| Some(Value::Word("halving".to_owned()))),
    // The row is a sentence: "about half shut down every ~300 s".
    plain(Aws, POOL_RULE, &["idle.halving_interval_s"], |_, row| {
        row.value.contains("~300 s").then_some(Value::Number(300.0))
    }),
    plain(
        Aws,
        ["consistency", "instances running an outdated function", "no wait"],
        &["consistency.outdated_fraction"],
        per_cent,
    ),
    plain(
        Aws,
        ["consistency", "of these, NEW instances of the outdated function", "no wait"],
        &["consistency.outdated_new_fraction"],
        per_cent,
    ),
    plain(
        Aws,
        ["consistency", "requests served by an inconsistent instance", "-"],
        &["consistency.max_requests_per_outdated_instance"],
        |_, row| row.value.starts_with("at most 1,").then_some(Value::Number(1.0)),
    ),
    plain(
        Aws,
        ["consistency", "inconsistent share", "wait 6 s before requests"],
        &["consistency.safe_wait_s"],
        |_, row| (row.value == "0").then_some(Value::Number(6.0)),
    ),
    Link {
        platform: Aws,
        row: ["cpu", "model value", "128 MB"],
        metrics: CPU,
        holds: |finding| has_memory(finding, 128.0),
        value: per_cent,
    },
    Link {
        platform: Aws,
        row: ["cpu", "model value", "1536 MB"],
        metrics: CPU,
        holds: |finding| has_memory(finding, 1536.0),
        value: per_cent,
    },
    Link {
        platform: Aws,
        row: ["cpu", "model", "memory m MB"],
        metrics: CPU,
        // The sizes that there were.
        holds: |finding| number(finding, "memory_mib").is_some_and(|size| size <= 1536.0),
        value: |finding, _| number(finding, "memory_mib").map(|m| Value::Number(2.0 * m / 3328.0)),
    },
    Link {
        platform: Google,
        row: ["cpu", "median utilization", "128 .. 2048 MB"],
        metrics: CPU,
        holds: |finding| has_memory(finding, 128.0) || has_memory(finding, 2048.0),
        // "11.1 .. 100"
        value: |finding, row| {
            let (least, most) = row.value.split_once(" .. ")?;
            let share = if has_memory(finding, 128.0) { least } else { most };
            share.parse::<f64>().ok().map(|share| Value::Number(share / 100.0))
        },
    },
    plain(Aws, ["cpu", "fairness among coresident", "-"], &["cpu.fairness"], words),
    Link {
        platform: Aws,
        row: ["net", "per-instance throughput", "colevel 1"],
        metrics: NETWORK,
        holds: |finding| number(finding, "colevel").is_none_or(|colevel| colevel == 1.0),
        value: as_is,
    },
    Link {
        platform: Aws,
        row: ["net", "per-instance throughput", "colevel 20"],
        metrics: NETWORK,
        holds: |finding| number(finding, "colevel") == Some(20.0),
        value: as_is,
    },
    Link {
        platform: Google,
        row: ["net", "throughput range", "2048 MB"],
        metrics: NETWORK,
        holds: |finding| has_memory(finding, 2048.0),
        value: words,
    },
    plain(
        Aws,
        ["contention", "worst slowdown among coresident instances", "I/O, network or cold start"],
        &["contention.worst_slowdown"],
        as_is,
    ),
];

const STARTS: &str = "mean cold latency, k starts at once on one VM";

/// A number of the section on cold starts that holds for some settings.
const fn cold(
    platform: PaperPlatform,
    metric: &'static str,
    setting: &'static str,
    metrics: &'static [&'static str],
    holds: fn(&Finding) -> bool,
) -> Link {
    Link { platform, row: ["coldstart", metric, setting], metrics, holds, value: as_is }
}

fn is(finding: &Finding, language: &str, memory_mib: f64) -> bool {
    has_runtime(finding, language) && has_memory(finding, memory_mib)
}

fn number(finding: &Finding, setting: &str) -> Option<f64> {
    finding.setting.get(setting)?.as_f64()
}

fn has_memory(finding: &Finding, memory_mib: f64) -> bool {
    number(finding, "memory_mib") == Some(memory_mib)
}

fn has_runtime(finding: &Finding, language: &str) -> bool {
    let runtime = finding.setting.get("runtime").and_then(|runtime| runtime.as_str());
    runtime.is_some_and(|runtime| runtime.starts_with(language))
}
