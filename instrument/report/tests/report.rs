//! The report as files: what they say, that they are well formed, and that odd studies do not break them.
#![allow(clippy::unwrap_used)]

mod fixture;

use analysis::{Finding, Findings, Problem, Value};
use record::Record;
use report::{ExperimentText, StudyFacts, draw, terminal_table};
use std::path::Path;

/// Elements of HTML that have no end.
const VOID: [&str; 2] = ["meta", "br"];

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// Draws and returns the page, after checking that it and every plot are well formed.
fn page(findings: &Findings, records: &[Record], facts: &StudyFacts) -> String {
    let folder = tempfile::tempdir().unwrap();
    let paths = draw(findings, records, facts, folder.path()).unwrap();
    let html = read(&paths.html);
    assert_balanced(&html);
    assert_links(&html, folder.path());
    for plot in &paths.plots {
        assert_balanced(&read(plot));
    }
    for path in paths.plots.iter().chain(&paths.tables) {
        assert!(path.starts_with(folder.path()) && path.is_file());
    }
    html
}

/// Every element ends where it should, and nothing is drawn at a place that is no number.
fn assert_balanced(markup: &str) {
    let mut open: Vec<&str> = Vec::new();
    for tag in markup.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("every < has its >");
        let name = tag.split([' ', '/']).find(|part| !part.is_empty()).unwrap_or_default();
        if tag.starts_with(['!', '?']) || VOID.contains(&name) {
            continue;
        }
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "</{name}> closes something else");
        } else {
            assert!(!tag.contains("NaN") && !tag.contains("inf "), "{tag}");
            open.push(name);
        }
    }
    assert!(open.is_empty(), "never closed: {open:?}");
}

/// Ids are unique, and what is referred to exists.
fn assert_links(html: &str, folder: &Path) {
    let of = |name: &str| -> Vec<&str> {
        let parts = html.split(name).skip(1);
        parts.map(|part| part.split('"').next().unwrap_or_default()).collect()
    };
    let ids = of(" id=\"");
    for id in &ids {
        assert_eq!(ids.iter().filter(|other| *other == id).count(), 1, "id {id}");
    }
    for labels in of("aria-labelledby=\"") {
        assert!(labels.split(' ').all(|label| ids.contains(&label)), "{labels}");
    }
    for link in of("href=\"").into_iter().filter(|link| *link != "findings.json") {
        match link.strip_prefix('#') {
            Some(id) => assert!(ids.contains(&id), "{link}"),
            None => assert!(folder.join(link).is_file(), "{link}"),
        }
    }
}

/// Markup without plots and style, a line for each element, so that a change of the page can be read.
fn skeleton(html: &str) -> String {
    let without = |html: &str, from: &str, to: &str| {
        let mut parts = html.split(from);
        let mut out = parts.next().unwrap_or_default().to_string();
        for part in parts {
            out.push_str(part.split_once(to).map(|(_, rest)| rest).unwrap_or_default());
        }
        out
    };
    let html = without(html, "<style>", "</style>");
    let html = without(&html, "<svg ", "</svg>");
    html.replace("><", ">\n<").replace('\u{a0}', " ")
}

/// The page says what it said when it was last looked at.
#[test]
fn page_is_as_reviewed() {
    let (findings, records, facts) = fixture::study();
    insta::assert_snapshot!("page", skeleton(&page(&findings, &records, &facts)));
}

/// A plot as a file is what it was when it was last looked at.
#[test]
fn plot_is_as_reviewed() {
    let (findings, records, facts) = fixture::study();
    let folder = tempfile::tempdir().unwrap();
    draw(&findings, &records, &facts, folder.path()).unwrap();
    let svg = read(&folder.path().join("plots/idle_pool.svg"));
    insta::assert_snapshot!("plot", svg.replace("><", ">\n<"));
}

/// The terminal's table is at most 100 columns wide and says the answers.
#[test]
fn terminal_table_fits() {
    let (findings, ..) = fixture::study();
    let table = terminal_table(&findings);
    assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
    insta::assert_snapshot!("terminal", table);
}

/// The page needs nothing from outside: no script, no address of another machine.
#[test]
fn page_is_self_contained() {
    let (findings, records, facts) = fixture::study();
    let html = page(&findings, &records, &facts);
    for forbidden in ["<script", "<link", "<img", "http://", "https://", "@import", "url("] {
        assert!(!html.contains(forbidden), "{forbidden}");
    }
    for wanted in ["prefers-color-scheme:dark", "@media print", "width=device-width", "<title>"] {
        assert!(html.contains(wanted), "{wanted}");
    }
}

/// Every number among the answers and in the tables is one of the findings, in some unit, rounded to the digits shown.
#[test]
fn every_number_is_found() {
    let (findings, records, facts) = fixture::study();
    let html = skeleton(&page(&findings, &records, &facts));
    let from = html.find("<div class=\"grid\">").unwrap();
    let to = html.find("<div class=\"score\">").unwrap();
    let mut shown = html[from..to].to_string();
    // The instrument's score is the same in every report: its numbers are of no finding.
    let findings_end =
        html.find("<section class=\"experiment\" id=\"trust\"").unwrap_or(html.len());
    for table in html[..findings_end].split("<table>").skip(1) {
        shown.push_str(table.split("</table>").next().unwrap_or_default());
    }
    let sources = sources(&findings);
    let numbers = numbers(&shown);
    assert!(numbers.len() > 300, "only {} numbers seen", numbers.len());
    for (number, step) in numbers {
        let factors = [1.0, 1e3, 1e6, 1e-3, 100.0, 1.0 / 60.0, 1.0 / 1024.0];
        let is_source =
            |x: &f64| factors.iter().any(|f| (x.abs() * f - number).abs() <= step * 0.500_001);
        assert!(sources.iter().any(is_source), "{number} is in no finding");
    }
}

/// Everything numeric that a finding holds, and how many items were tried.
fn sources(findings: &Findings) -> Vec<f64> {
    let number = |value: &Value| match value {
        Value::Number(x) => Some(*x),
        _ => None,
    };
    let mut out =
        vec![findings.findings.iter().filter(|f| f.metric == "exposure.item").count() as f64];
    for finding in &findings.findings {
        let ends = finding.ci95.unwrap_or_default();
        out.extend([number(&finding.value), ends.0, ends.1].into_iter().flatten());
        out.extend(finding.truth.as_ref().and_then(number));
        out.extend(finding.paper.as_ref().and_then(|paper| number(&paper.value)));
        out.extend(finding.setting.values().filter_map(|value| value.as_f64()));
        out.push(finding.n as f64);
        out.extend(finding.n_clusters.map(|n| n as f64));
    }
    out
}

/// Numbers of the text with the size of their last digit, without those that are part of a name or a phrase.
fn numbers(html: &str) -> Vec<(f64, f64)> {
    let mut text = String::new();
    for part in html.split('<') {
        text.push_str(part.split_once('>').map(|(_, text)| text).unwrap_or(part));
        text.push(' ');
    }
    let phrases = [
        "python3.11",
        "nodejs20.x",
        "95 % interval",
        "within 2 %",
        "paper, 2018",
        "burst at 14:02",
    ];
    for phrase in phrases.into_iter().chain(["95th", "99th"]) {
        text = text.replace(phrase, " ");
    }
    let path = |word: &&str| !word.contains(['/', ':']) || word.parse::<f64>().is_ok();
    text.split([' ', '\n', '(', ')'])
        .filter(path)
        .map(|word| word.trim_end_matches(['.', ',', ':']).replace(',', ""))
        .filter_map(|word| {
            let decimals = word.split_once('.').map_or(0, |(_, fraction)| fraction.len() as i32);
            Some((word.parse::<f64>().ok()?, 10f64.powi(-decimals)))
        })
        .collect()
}

/// A study that found nothing, and one that ran nothing, still have a page.
#[test]
fn empty_studies_are_drawn() {
    let (mut findings, records, facts) = fixture::study();
    findings.findings.clear();
    page(&findings, &records, &facts);
    page(&findings, &[], &StudyFacts::default());
    findings.problems.clear();
    findings.started_at.clear();
    assert!(page(&findings, &[], &StudyFacts::default()).contains("Nothing could be found"));
    assert_eq!(terminal_table(&findings), "No findings.\n");
}

/// Whatever value stands where another was expected, the page is drawn.
#[test]
fn odd_values_are_drawn() {
    let (study, records, facts) = fixture::study();
    let odd = [
        Value::Null,
        Value::Bool(true),
        Value::Word("unknown".into()),
        Value::Number(0.0),
        Value::Number(-1e300),
        Value::Number(f64::NAN),
        Value::Number(f64::INFINITY),
    ];
    for value in odd {
        for ci95 in [None, Some((None, None)), Some((Some(f64::NAN), Some(-5.0)))] {
            let change = |finding: Finding| Finding {
                ci95,
                value: value.clone(),
                truth: Some(value.clone()),
                setting: finding
                    .setting
                    .into_keys()
                    .map(|k| (k, serde_json::Value::Null))
                    .collect(),
                ..finding
            };
            let findings = study.findings.clone().into_iter().map(change).collect();
            let findings = Findings { findings, ..study.clone() };
            page(&findings, &records[..0], &facts);
            terminal_table(&findings);
        }
    }
    let same_settings = |finding: Finding| Finding { value: Value::Null, ..finding };
    let findings = study.findings.clone().into_iter().map(same_settings).collect();
    assert!(page(&Findings { findings, ..study }, &records, &facts).contains("Not known"));
}

/// Records with nothing in them, with one row of each phase, or with clocks that ran backwards are drawn.
#[test]
fn odd_records_are_drawn() {
    let (findings, records, facts) = fixture::study();
    let blanks: Vec<Record> = records
        .iter()
        .map(|r| Record {
            experiment: r.experiment.clone(),
            phase: r.phase.clone(),
            outcome: r.outcome,
            instance: r.instance.clone(),
            ..Record::default()
        })
        .collect();
    page(&findings, &blanks, &facts);
    let mut backwards = records.clone();
    for record in &mut backwards {
        (record.sent_ns, record.received_ns) = (u64::MAX, 0);
        record.detail = "not JSON".into();
        record.setting = record.setting.iter().map(|(name, _)| (name.clone(), "NaN")).collect();
    }
    page(&findings, &backwards, &facts);
    for record in &records {
        if record.sequence == 0 && record.round == 0 {
            page(&findings, std::slice::from_ref(record), &facts);
            break;
        }
    }
}

/// Names from a findings file are text on the page, and never lead out of the directory.
#[test]
fn hostile_names_are_text() {
    let (mut findings, records, mut facts) = fixture::study();
    let name = "../../x<script>alert(1)</script>\"";
    findings.findings[0].experiment = name.into();
    findings.findings[1].metric = name.into();
    findings.problems.push(Problem { experiment: name.into(), text: name.into() });
    facts.title = name.into();
    facts.experiments.push(ExperimentText { name: name.into(), ..ExperimentText::default() });
    let html = page(&findings, &records, &facts);
    assert!(!html.contains("<script") && html.contains("&lt;script"));
}

/// The findings file is read back as it was.
#[test]
fn findings_are_kept() {
    let (mut findings, ..) = fixture::study();
    // Their numbers are short, so reading them back rounds nothing.
    findings.findings.retain(|finding| finding.experiment == "idle");
    let folder = tempfile::tempdir().unwrap();
    let path = report::write_findings(&findings, &folder.path().join("new")).unwrap();
    let back: Findings = serde_json::from_str(&read(&path)).unwrap();
    assert!(back == findings);
}

/// A place that cannot be written is named.
#[test]
fn unwritable_places_are_named() {
    let (findings, records, facts) = fixture::study();
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = draw(&findings, &records, &facts, file.path()).unwrap_err().to_string();
    assert!(error.starts_with("cannot make directory") && error.contains("--out"), "{error}");
}
