//! The figures of Wang et al. (USENIX ATC 2018), put beside what was found. For the report; no analysis sees them.
//!
//! The figures are in `paper/atc18.csv`, as far as they could be established, each with its source and how sure it is.
//! Only rows that are high, derived or medium are joined, and none that rests on recollection. They are of 2017 and 2018:
//! history, not an expectation for today's platforms. [`links`] says which row belongs to which metric.

mod links;

use crate::finding::{Finding, Paper, Value};
use links::LINKS;

/// The table: section, platform, metric, setting, value, unit, source, confidence.
const TABLE: &str = include_str!("../paper/atc18.csv");

/// A platform that the paper measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PaperPlatform {
    /// AWS Lambda.
    #[default]
    Aws,
    /// Azure Functions.
    Azure,
    /// Google Cloud Functions.
    Google,
}

impl PaperPlatform {
    /// The one whose figures stand beside a target's: of an emulated platform its own, else AWS, whose API Peek speaks.
    pub fn of_target(uri: &str) -> Self {
        match uri.strip_prefix("emulated:").unwrap_or_default() {
            name if name.starts_with("azure") => Self::Azure,
            name if name.starts_with("google") => Self::Google,
            _ => Self::Aws,
        }
    }

    /// As the table calls it.
    const fn name(self) -> &'static str {
        match self {
            Self::Aws => "AWS",
            Self::Azure => "Azure",
            Self::Google => "Google",
        }
    }
}

/// Puts the paper's figure of a platform beside each finding that asks the same question under the same setting.
pub fn join_paper(findings: &mut [Finding], platform: PaperPlatform) {
    let rows = rows();
    for finding in findings {
        finding.paper = LINKS
            .iter()
            .filter(|link| {
                link.platform == platform && link.metrics.contains(&finding.metric.as_str())
            })
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
    /// The row's platform.
    platform: PaperPlatform,
    /// The row's section, metric and setting.
    row: [&'static str; 3],
    /// Metrics of ours that ask the same.
    metrics: &'static [&'static str],
    /// Whether the finding's setting is the row's.
    holds: fn(&Finding) -> bool,
    /// The row's value in the finding's unit.
    value: fn(&Finding, &Row) -> Option<Value>,
}

/// One row that may be joined.
struct Row {
    line: usize,
    section: String,
    platform: String,
    metric: String,
    setting: String,
    value: String,
    unit: String,
    confidence: String,
}

impl Row {
    fn is(&self, link: &Link) -> bool {
        self.platform == link.platform.name()
            && [&self.section[..], &self.metric, &self.setting] == link.row
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
            && !confidence.split(|letter: char| !letter.is_alphabetic()).any(|word| word == "low")
            && !source.starts_with("memory, unverified")
    };
    TABLE
        .lines()
        .enumerate()
        .skip(1)
        .filter_map(|(index, line)| Some((index + 1, <[String; 8]>::try_from(cells(line)).ok()?)))
        .filter(|(_, row)| sure(row))
        .map(|(line, [section, platform, metric, setting, value, unit, _, confidence])| Row {
            line,
            section,
            platform,
            metric,
            setting,
            value,
            unit,
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
        join_paper(&mut findings, PaperPlatform::Aws);
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
        assert_eq!(
            joined(cold("python3.11", 512)).unwrap().value,
            Value::Word("167-171 ms".into())
        );
    }

    // Quoted cells keep their commas and quotes.
    #[test]
    fn cells_may_be_quoted() {
        assert_eq!(cells(r#"a,"b, ""c""",,d"#), ["a", r#"b, "c""#, "", "d"]);
    }
}
