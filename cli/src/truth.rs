//! What the local platform's own configuration and journal say, to be set beside what was found.
//!
//! Read after the analysis; no experiment or analysis sees any of it.

mod accounting;
mod consistency;
#[cfg(test)]
mod idle;
mod isolation;
mod lifetime;
mod limits;
#[cfg(test)]
mod measured;
#[cfg(test)]
mod trial;

use analysis::{Truth, Value};
use anyhow::Context;
use emulator::{Expected, Platform};
use model::{FunctionId, HostId, InstanceId, InvocationId, MemoryMib, Span};
use record::Record;
use scheduler::policy::{KeepAlive, Placement};
use scheduler::{Profile, Reveal};
use serde::Deserialize;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;
use std::path::Path;

/// Truths of kind *parameter*: what `profile` says outright.
pub fn of_profile(profile: &Profile, records: &[Record]) -> Vec<Truth> {
    let vcpus = f64::from(profile.hosts.milli_cpus) / 1e3;
    let mut truths = vec![
        parameter("identity.host_id_source", word(host_id_source(profile.reveal))),
        parameter("placement.policy", word(placement(&profile.placement))),
        parameter("placement.host_memory_mib", number(f64::from(profile.hosts.memory.0))),
        parameter("cpu.fairness", number(1.0)),
    ];
    let limit = |limit: Span| {
        ["idle.max_idle_s", "idle.first_loss_s", "idle.busy_host_max_idle_s"]
            .map(|metric| parameter(metric, number(limit.as_secs_f64())))
    };
    truths.extend(isolation::expected(profile, records));
    truths.push(parameter("idle.policy", word(idle_policy(&profile.keep_alive))));
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
            truths
                .push(parameter("idle.halving_interval_s", number(halving.interval.as_secs_f64())));
        }
    }
    truths.extend(consistency::of_profile(profile));
    truths.extend(lifetime::of_profile(profile, records));
    truths.extend(accounting::of_profile(profile, records));
    truths.extend(limits::of_profile(profile));
    let of_cpu = || records.iter().filter(|record| record.experiment == "cpu");
    let share = |memory_mib: u32| {
        let ceiling = profile.cpu.ceiling_milli(MemoryMib(memory_mib), profile.hosts.milli_cpus);
        ceiling.map_or(vcpus, |milli| f64::from(milli) / 1e3).min(vcpus)
    };
    for memory_mib in of_cpu().map(|record| record.memory_mib).collect::<BTreeSet<_>>() {
        truths.push(Truth {
            setting: BTreeMap::from([("memory_mib".to_owned(), json!(memory_mib))]),
            ..parameter("cpu.share", number(share(memory_mib)))
        });
    }
    let shared = of_cpu().filter_map(|record| {
        let colevel: u32 = record.setting.get("colevel")?.parse().ok()?;
        Some((record.memory_mib, colevel))
    });
    for (memory_mib, colevel) in shared.collect::<BTreeSet<_>>() {
        let value = share(memory_mib).min(vcpus / f64::from(colevel.max(1)));
        truths.push(Truth {
            setting: BTreeMap::from([
                ("memory_mib".to_owned(), json!(memory_mib)),
                ("colevel".to_owned(), json!(colevel)),
            ]),
            ..parameter("cpu.share_shared", number(value))
        });
    }
    truths
}

/// Truths of kinds *parameter* and *expected* of an emulated platform.
pub fn of_platform(platform: &Platform, records: &[Record]) -> Vec<Truth> {
    let mut truths = of_profile(&platform.scheduler, records);
    truths.retain(|truth| truth.metric != "identity.host_id_source");
    truths.push(parameter("identity.host_id_source", word(platform.host_id_source())));
    let expected = Expected::of(platform);
    let modelled =
        |metric: &str| metric.starts_with("lifetime.") || metric == "accounting.background_s";
    truths.retain(|truth| !modelled(&truth.metric));
    truths.extend(accounting::of_platform(platform, records));
    truths.extend(limits::of_platform(platform));
    truths.extend(consistency::of_platform(&expected, records));
    let crash = platform.model.faults.crash;
    truths.extend(lifetime::of_platform(&expected, &platform.scheduler, crash, records));
    let started = records.iter().filter(|record| record.experiment == "coldstart");
    let settings: BTreeSet<(&str, u32)> =
        started.map(|record| (record.runtime.as_str(), record.memory_mib)).collect();
    for (runtime, memory_mib) in settings {
        let setting = BTreeMap::from([
            ("runtime".to_owned(), json!(runtime)),
            ("memory_mib".to_owned(), json!(memory_mib)),
        ]);
        let mut expect = |metric: &str, value: f64| {
            truths.push(Truth {
                metric: metric.to_owned(),
                setting: setting.clone(),
                value: number(value),
                kind: "expected".to_owned(),
            });
        };
        let memory = MemoryMib(memory_mib);
        for (name, p) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)] {
            let cold = expected.cold_ms(runtime, memory, p);
            expect(&format!("coldstart.latency_ms.{name}"), cold);
            expect(&format!("warmstart.latency_ms.{name}"), expected.warm_ms(p));
        }
        expect("coldstart.latency_ms.mean", expected.cold_mean_ms(runtime, memory));
    }
    truths
}

/// The word for where a function finds its host's name.
fn host_id_source(reveal: Reveal) -> &'static str {
    match reveal {
        Reveal::BootId => "boot_id",
        Reveal::MachineId => "machine_id",
        Reveal::InstanceRootId => "instance_root_id",
        Reveal::None => "none",
    }
}

fn placement(placement: &Placement) -> &'static str {
    match placement {
        Placement::BinPack(_) => "bin_pack",
        Placement::Spread(_) => "spread",
        Placement::Random(_) => "random",
        Placement::OnePerHost(_) => "one_per_host",
    }
}

fn idle_policy(keep_alive: &KeepAlive) -> &'static str {
    match keep_alive {
        KeepAlive::None(_) => "none",
        KeepAlive::Fixed(_) => "fixed",
        KeepAlive::Halving(_) => "halving",
        KeepAlive::Memoryless(_) => "random",
        KeepAlive::MemoryPressure(_) => "memory_pressure",
        KeepAlive::Histogram(_) => "adaptive",
        // No word says what these do.
        KeepAlive::Bimodal(_) | KeepAlive::Sweep(_) => "unknown",
    }
}

fn parameter(metric: &str, value: Value) -> Truth {
    Truth {
        metric: metric.to_owned(),
        setting: BTreeMap::new(),
        value,
        kind: "parameter".to_owned(),
    }
}

fn word(word: &str) -> Value {
    Value::Word(word.to_owned())
}

fn number(number: f64) -> Value {
    Value::Number(number)
}

/// What really ran, as the platform's journal tells it.
#[derive(Debug, Default)]
pub struct Realised {
    /// By function name: most instances that ran an invocation at one instant.
    running: BTreeMap<String, u32>,
    /// By function name: most of them on one host.
    colevel: BTreeMap<String, u32>,
    /// By function name: answers after an update, where the platform counts them.
    updated: BTreeMap<String, Vec<emulator::Updated>>,
    /// By function name: the hosts that its instances ran on, numbered by platform.
    hosts: BTreeMap<String, BTreeSet<(u32, HostId)>>,
    /// Platforms whose journals were read.
    platforms: u32,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Name {
        function: FunctionId,
        name: String,
    },
    Start {
        #[serde(rename = "Start")]
        start: Started,
    },
    Dispatch {
        #[serde(rename = "Dispatch")]
        dispatch: Dispatched,
    },
    Finished {
        #[serde(rename = "Finished")]
        finished: Ended,
    },
    Died {
        #[serde(rename = "Died")]
        died: Ended,
    },
    Other(#[allow(dead_code)] serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct Started {
    instance: InstanceId,
    host: HostId,
    function: FunctionId,
}

#[derive(Deserialize)]
struct Dispatched {
    instance: InstanceId,
    #[allow(dead_code)]
    invocation: InvocationId,
}

#[derive(Deserialize)]
struct Ended {
    instance: InstanceId,
}

impl Realised {
    /// What an emulated platform counted.
    pub fn of(counts: &emulator::Counts) -> Self {
        let by_name = |of: fn(&emulator::FunctionCounts) -> u32| {
            counts.functions.iter().map(|(name, it)| (name.clone(), of(it))).collect()
        };
        let hosts = counts
            .functions
            .iter()
            .map(|(name, it)| (name.clone(), it.hosts.keys().map(|host| (0, *host)).collect()));
        let updated = counts.functions.iter().filter(|(_, it)| !it.updated.is_empty());
        Self {
            running: by_name(|it| it.running),
            colevel: by_name(|it| it.colevel),
            hosts: hosts.collect(),
            platforms: 1,
            updated: updated.map(|(name, it)| (name.clone(), it.updated.clone())).collect(),
        }
    }

    /// Reads the journals of every sitting of the study in `directory`.
    pub fn read_all(directory: &Path) -> anyhow::Result<Self> {
        let mut realised = Self::default();
        let entries = std::fs::read_dir(directory)
            .with_context(|| format!("cannot read {}", directory.display()))?;
        for entry in entries.flatten() {
            if entry.path().extension().is_some_and(|it| it == "jsonl") {
                realised.read(&entry.path())?;
            }
        }
        Ok(realised)
    }

    /// Reads the journal at `path`. Each is a platform of its own, with numbers of its own.
    fn read(&mut self, path: &Path) -> anyhow::Result<()> {
        let file = std::fs::File::open(path)
            .with_context(|| format!("cannot read the journal {}", path.display()))?;
        self.platforms += 1;
        let platform = self.platforms;
        let mut names = BTreeMap::new();
        let mut places = BTreeMap::new();
        let mut busy: BTreeMap<FunctionId, BTreeMap<HostId, BTreeSet<InstanceId>>> =
            BTreeMap::new();
        for line in std::io::BufReader::new(file).lines() {
            let line =
                line.with_context(|| format!("cannot read the journal {}", path.display()))?;
            // The last line of a server that was killed may be cut short.
            let Ok(line) = serde_json::from_str(&line) else { continue };
            match line {
                Line::Name { function, name } => {
                    names.insert(function, name);
                }
                Line::Start { start } => {
                    places.insert(start.instance, (start.function, start.host));
                }
                Line::Dispatch { dispatch } => {
                    let Some(&(function, host)) = places.get(&dispatch.instance) else { continue };
                    let hosts = busy.entry(function).or_default();
                    hosts.entry(host).or_default().insert(dispatch.instance);
                    let Some(name) = names.get(&function) else { continue };
                    let running = hosts.values().map(|it| it.len() as u32).sum();
                    let colevel = hosts.values().map(|it| it.len() as u32).max().unwrap_or(0);
                    raise(&mut self.running, name, running);
                    raise(&mut self.colevel, name, colevel);
                    self.hosts.entry(name.clone()).or_default().insert((platform, host));
                }
                Line::Finished { finished: Ended { instance } }
                | Line::Died { died: Ended { instance } } => {
                    let Some((function, host)) = places.get(&instance) else { continue };
                    if let Some(hosts) = busy.get_mut(function)
                        && let Some(instances) = hosts.get_mut(host)
                    {
                        instances.remove(&instance);
                    }
                }
                Line::Other(_) => {}
            }
        }
        Ok(())
    }

    /// Truths of kind *realised* for the functions that `records` name.
    pub fn truths(&self, records: &[Record]) -> Vec<Truth> {
        let mut instances: BTreeMap<(u32, u32), BTreeMap<&str, u32>> = BTreeMap::new();
        let mut colevels: BTreeMap<u32, u32> = BTreeMap::new();
        for record in records.iter().filter(|record| !record.setting.contains_key("void")) {
            if record.experiment == "scaling"
                && let Some(Ok(concurrency)) =
                    record.setting.get("concurrency").map(|text| text.parse::<u32>())
                && let Some(&running) = self.running.get(&record.function)
            {
                instances
                    .entry((concurrency, record.memory_mib))
                    .or_default()
                    .insert(&record.function, running);
            }
            if record.experiment == "placement"
                && let Some(&colevel) = self.colevel.get(&record.function)
            {
                let most = colevels.entry(record.memory_mib).or_default();
                *most = colevel.max(*most);
            }
        }
        let scaling = instances.into_iter().map(|((concurrency, memory_mib), by_function)| {
            let mut counts: Vec<u32> = by_function.into_values().collect();
            counts.sort_unstable();
            realised(
                "scaling.instances",
                &[("concurrency", concurrency), ("memory_mib", memory_mib)],
                median(&counts),
            )
        });
        let placement = colevels.into_iter().map(|(memory_mib, colevel)| {
            realised("placement.max_colevel", &[("memory_mib", memory_mib)], f64::from(colevel))
        });
        let consistency = consistency::counted(&self.updated, records);
        let isolation = isolation::realised(&self.hosts, records);
        scaling.chain(placement).chain(consistency).chain(isolation).collect()
    }
}

fn raise(most: &mut BTreeMap<String, u32>, name: &str, to: u32) {
    let most = most.entry(name.to_owned()).or_default();
    *most = to.max(*most);
}

fn realised(metric: &str, setting: &[(&str, u32)], value: f64) -> Truth {
    Truth {
        metric: metric.to_owned(),
        setting: setting.iter().map(|&(name, value)| (name.to_owned(), json!(value))).collect(),
        value: number(value),
        kind: "realised".to_owned(),
    }
}

/// Middle of ascending counts; the mean of the middle two where there are two.
fn median(ascending: &[u32]) -> f64 {
    match ascending.len() {
        0 => 0.0,
        n if n % 2 == 1 => f64::from(ascending[n / 2]),
        n => f64::midpoint(f64::from(ascending[n / 2 - 1]), f64::from(ascending[n / 2])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Instances count while they run an invocation, and not after.
    #[test]
    fn a_journal_tells_what_ran_at_once() {
        let journal = std::env::temp_dir().join(format!("peek-journal-{}", std::process::id()));
        let lines = [
            r#"{"at_ns":0,"function":7,"name":"f","memory_mib":128}"#,
            r#"{"at_ns":1,"Start":{"instance":1,"host":1,"function":7,"epoch":1}}"#,
            r#"{"at_ns":1,"Start":{"instance":2,"host":1,"function":7,"epoch":1}}"#,
            r#"{"at_ns":1,"Start":{"instance":3,"host":2,"function":7,"epoch":1}}"#,
            r#"{"at_ns":2,"Dispatch":{"instance":1,"invocation":1,"epoch":1,"cold":true}}"#,
            r#"{"at_ns":2,"Dispatch":{"instance":2,"invocation":2,"epoch":1,"cold":true}}"#,
            r#"{"at_ns":3,"Finished":{"instance":1,"invocation":1}}"#,
            r#"{"at_ns":4,"Dispatch":{"instance":3,"invocation":3,"epoch":1,"cold":true}}"#,
            r#"{"at_ns":5,"Rec"#,
        ];
        std::fs::write(&journal, lines.join("\n")).expect("a writable directory");
        let mut realised = Realised::default();
        realised.read(&journal).expect("the file just written");
        std::fs::remove_file(&journal).expect("the file just written");
        assert_eq!((realised.running["f"], realised.colevel["f"]), (2, 2));
    }
}
