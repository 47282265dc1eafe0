//! The local platform's journals: what really ran, by its own account.
//!
//! Deliberately knows nothing of what is asked of it.

use super::Realised;
use anyhow::Context;
use emulator::FunctionCounts;
use model::{FunctionId, HostId, InstanceId};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;
use std::path::Path;

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Name {
        function: FunctionId,
        name: String,
        memory_mib: u32,
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
}

#[derive(Deserialize)]
struct Ended {
    instance: InstanceId,
}

/// Instances of one function that run an invocation, by host.
type Busy = BTreeMap<HostId, BTreeSet<InstanceId>>;

impl Realised {
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
        let mut sizes: BTreeMap<FunctionId, u32> = BTreeMap::new();
        let mut places = BTreeMap::new();
        let mut busy: BTreeMap<FunctionId, Busy> = BTreeMap::new();
        for line in std::io::BufReader::new(file).lines() {
            let line =
                line.with_context(|| format!("cannot read the journal {}", path.display()))?;
            // The last line of a server that was killed may be cut short.
            let Ok(line) = serde_json::from_str(&line) else { continue };
            match line {
                Line::Name { function, name, memory_mib } => {
                    names.insert(function, name);
                    sizes.insert(function, memory_mib);
                }
                Line::Start { start } => {
                    places.insert(start.instance, (start.function, start.host));
                }
                Line::Dispatch { dispatch } => {
                    let Some(&(function, host)) = places.get(&dispatch.instance) else { continue };
                    let hosts = busy.entry(function).or_default();
                    hosts.entry(host).or_default().insert(dispatch.instance);
                    let Some(name) = names.get(&function) else { continue };
                    let counts = self.functions.entry(name.clone()).or_default();
                    note(counts, hosts);
                    let size = sizes.get(&function);
                    let alike = busy.iter().filter(|(other, _)| sizes.get(other) == size);
                    let on_host =
                        alike.filter_map(|(_, hosts)| Some(hosts.get(&host)?.len() as u32));
                    counts.alike = counts.alike.max(on_host.sum());
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
}

/// Notes what is busy at this moment.
fn note(counts: &mut FunctionCounts, busy: &Busy) {
    let sizes = || busy.values().map(|instances| instances.len() as u32);
    let running: u32 = sizes().sum();
    counts.colevel = counts.colevel.max(sizes().max().unwrap_or(0));
    if running > counts.running {
        counts.running = running;
        counts.coresident = sizes().filter(|size| *size > 1).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Instances count while they run an invocation, and not after; those with another on their host are told apart.
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
        let it = &realised.functions["f"];
        assert_eq!((it.running, it.colevel, it.coresident, it.alike), (2, 2, 2, 2));
    }
}
