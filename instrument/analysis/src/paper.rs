//! The figures of Wang et al. (USENIX ATC 2018), put beside what was found. For the report; no analysis sees them.
//!
//! The figures are in `paper/atc18.csv`, as far as they could be established, each with its source and how sure it is.
//! Only rows that are high, derived or medium are joined, and none that rests on recollection. They are of AWS in 2017
//! and 2018: history, not an expectation for today's platforms.

use crate::finding::{Finding, Paper, Value};

/// The table: section, platform, metric, setting, value, unit, source, confidence.
const TABLE: &str = include_str!("../paper/atc18.csv");

/// Puts the paper's figure beside each finding that asks the same question under the same setting.
pub fn join_paper(findings: &mut [Finding]) {
    let rows = rows();
    for finding in findings {
        finding.paper = LINKS
            .iter()
            .filter(|link| link.metrics.contains(&finding.metric.as_str()))
            .filter(|link| (link.holds)(finding))
            .find_map(|link| {
                let row = rows.iter().find(|row| row.is(link))?;
                let value = (link.value)(finding, row)?;
                let source = format!("atc18.csv:{}, {}: {}", row.line, row.confidence, row.setting);
                Some(Paper { value, platform: row.platform.clone(), source })
            });
    }
}

/// Which row of the table belongs to which findings.
struct Link {
    /// The row's section, metric and setting; the platform is AWS.
    row: [&'static str; 3],
    /// Metrics of ours that ask the same.
    metrics: &'static [&'static str],
    /// Whether the finding's setting is the row's.
    holds: fn(&Finding) -> bool,
    /// The row's value in the finding's unit.
    value: fn(&Finding, &Row) -> Option<Value>,
}

const P50: &[&str] = &["coldstart.latency_ms.p50"];
const SD: &[&str] = &["coldstart.latency_ms.sd"];
const CPU: &[&str] = &["cpu.share", "cpu.tick_share"];
const POOL_RULE: [&str; 3] = ["idle", "idle-pool rule", "same function, N idle instances"];

const LINKS: &[Link] = &[
    Link {
        row: ["scaling", "instances for N concurrent requests", "N<=200 (max tested)"],
        metrics: &["scaling.instances"],
        holds: |finding| number(finding, "concurrency").is_some_and(|requests| requests <= 200.0),
        value: |finding, _| number(finding, "concurrency").map(Value::Number),
    },
    Link {
        row: ["placement", "max aggregate instance memory on a VM", "observed"],
        metrics: &["placement.host_memory_mib"],
        holds: |_| true,
        value: |_, row| row.number(1.0),
    },
    Link {
        row: ["placement", "policy", "-"],
        metrics: &["placement.policy"],
        holds: |_| true,
        value: |_, _| Some(Value::Word("bin_pack".to_owned())),
    },
    Link {
        row: ["placement", "max instances per VM implied", "128 MB"],
        metrics: &["placement.max_colevel"],
        holds: |finding| has_memory(finding, 128.0),
        value: |_, row| row.number(1.0),
    },
    Link {
        row: ["warmstart", "warm latency median", "all"],
        metrics: &["warmstart.latency_ms.p50"],
        holds: |_| true,
        value: |_, row| row.number(1.0),
    },
    Link {
        row: ["coldstart", "cold latency median", "Nodejs 6, 128 MB"],
        metrics: P50,
        holds: |finding| has_runtime(finding, "nodejs") && has_memory(finding, 128.0),
        value: |_, row| row.number(1.0),
    },
    Link {
        row: ["coldstart", "cold latency median", "Nodejs 6, 1536 MB"],
        metrics: P50,
        holds: |finding| has_runtime(finding, "nodejs") && has_memory(finding, 1536.0),
        value: |_, row| row.number(1.0),
    },
    Link {
        row: ["coldstart", "cold latency SD", "Nodejs 6, 128 MB"],
        metrics: SD,
        holds: |finding| has_runtime(finding, "nodejs") && has_memory(finding, 128.0),
        value: |_, row| row.number(1.0),
    },
    Link {
        row: ["coldstart", "cold latency SD", "Nodejs 6, 1536 MB"],
        metrics: SD,
        holds: |finding| has_runtime(finding, "nodejs") && has_memory(finding, 1536.0),
        value: |_, row| row.number(1.0),
    },
    Link {
        row: ["coldstart", "cold latency median range", "Python 2.7, over memories"],
        metrics: P50,
        holds: |finding| has_runtime(finding, "python"),
        value: |_, row| Some(Value::Word(row.value.clone())),
    },
    Link {
        row: ["idle", "max idle time", "no other activity"],
        metrics: &["idle.max_idle_s", "idle.first_loss_s"],
        holds: |_| true,
        // Minutes.
        value: |_, row| row.number(60.0),
    },
    Link {
        row: POOL_RULE,
        metrics: &["idle.policy"],
        holds: |_| true,
        value: |_, _| Some(Value::Word("halving".to_owned())),
    },
    Link {
        row: POOL_RULE,
        metrics: &["idle.halving_interval_s"],
        holds: |_| true,
        // The row is a sentence: "about half shut down every ~300 s".
        value: |_, row| row.value.contains("~300 s").then_some(Value::Number(300.0)),
    },
    Link {
        row: ["cpu", "model value", "128 MB"],
        metrics: CPU,
        holds: |finding| has_memory(finding, 128.0),
        // Per cent.
        value: |_, row| row.number(0.01),
    },
    Link {
        row: ["cpu", "model value", "1536 MB"],
        metrics: CPU,
        holds: |finding| has_memory(finding, 1536.0),
        value: |_, row| row.number(0.01),
    },
    Link {
        row: ["cpu", "model", "memory m MB"],
        metrics: CPU,
        // The sizes that there were.
        holds: |finding| number(finding, "memory_mib").is_some_and(|size| size <= 1536.0),
        value: |finding, _| number(finding, "memory_mib").map(|m| Value::Number(2.0 * m / 3328.0)),
    },
    Link {
        row: ["cpu", "fairness among coresident", "-"],
        metrics: &["cpu.fairness"],
        holds: |_| true,
        value: |_, row| Some(Value::Word(row.value.clone())),
    },
];

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

/// One row that may be joined.
struct Row {
    line: usize,
    section: String,
    platform: String,
    metric: String,
    setting: String,
    value: String,
    confidence: String,
}

impl Row {
    fn is(&self, link: &Link) -> bool {
        self.platform == "AWS" && [&self.section[..], &self.metric, &self.setting] == link.row
    }

    fn number(&self, factor: f64) -> Option<Value> {
        self.value.parse::<f64>().ok().map(|number| Value::Number(number * factor))
    }
}

/// The table's rows that are sure enough.
fn rows() -> Vec<Row> {
    let sure = |row: &[String; 8]| {
        let [.., source, confidence] = row;
        ["high", "derived", "medium"].iter().any(|word| confidence.starts_with(word))
            && !confidence.contains("low")
            && !source.starts_with("memory, unverified")
    };
    TABLE
        .lines()
        .enumerate()
        .skip(1)
        .filter_map(|(index, line)| Some((index + 1, <[String; 8]>::try_from(cells(line)).ok()?)))
        .filter(|(_, row)| sure(row))
        .map(|(line, [section, platform, metric, setting, value, _, _, confidence])| Row {
            line,
            section,
            platform,
            metric,
            setting,
            value,
            confidence,
        })
        .collect()
}

/// The cells of one line of CSV: commas within quotes belong to the cell, doubled quotes are one.
fn cells(line: &str) -> Vec<String> {
    let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(std::mem::take(&mut cell)),
            _ => cell.push(letter),
        }
    }
    cells.push(cell);
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(finding: Finding) -> Option<Paper> {
        let mut findings = [finding];
        join_paper(&mut findings);
        findings[0].paper.clone()
    }

    // Each link names exactly one row of the table that is sure enough, so that none is silently lost.
    #[test]
    fn every_link_has_its_row() {
        let rows = rows();
        for link in LINKS {
            let found = rows.iter().filter(|row| row.is(link)).count();
            assert_eq!(found, 1, "{:?}", link.row);
        }
    }

    // Units are converted: 27 minutes are 1620 s, 7.7 % are 0.077.
    #[test]
    fn units_are_ours() {
        let idle = joined(Finding::new("idle", "idle.max_idle_s", "s")).unwrap();
        assert_eq!((idle.value, &idle.platform[..]), (Value::Number(1620.0), "AWS"));
        let cpu = Finding::new("cpu", "cpu.share", "fraction").with_setting("memory_mib", 128);
        let Value::Number(share) = joined(cpu).unwrap().value else { panic!("no number") };
        assert!((share - 0.077).abs() < 1e-9);
    }

    // A figure of one language and size is joined to no other.
    #[test]
    fn other_settings_get_nothing() {
        let cold = |runtime: &str, memory_mib: u32| {
            Finding::new("coldstart", "coldstart.latency_ms.p50", "ms")
                .with_setting("runtime", runtime)
                .with_setting("memory_mib", memory_mib)
        };
        assert_eq!(joined(cold("nodejs20.x", 128)).unwrap().value, Value::Number(265.21));
        assert_eq!(joined(cold("nodejs20.x", 512)), None);
        assert_eq!(joined(cold("provided.al2023", 128)), None);
        assert_eq!(joined(cold("python3.11", 512)).unwrap().value, Value::Word("167-171".into()));
    }

    // Quoted cells keep their commas and quotes.
    #[test]
    fn cells_may_be_quoted() {
        assert_eq!(cells(r#"a,"b, ""c""",,d"#), ["a", r#"b, "c""#, "", "d"]);
    }
}
