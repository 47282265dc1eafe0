//! Every key of a built-in profile says where its value comes from; what it says of the paper is in the paper's table.

use emulator::BUILT_IN;
use std::collections::{BTreeMap, BTreeSet};

const PAPER: &str = include_str!("../../../instrument/analysis/paper/atc18.csv");

/// Words by which a comment names a source that is no row of the table, or says that there is none.
const OTHER_SOURCES: &[&str] = &[
    "assumed",
    "assumption",
    "Guide, ",
    "whitepaper",
    "AWS news",
    "AWS compute blog",
    "developer guide",
    "operator guide",
    "modelled by",
    "The same at",
    "What it is",
];

/// Confidences by section and metric, of the rows that hold for a platform.
type Rows = BTreeMap<(String, String), BTreeSet<String>>;

fn rows(platform: &str) -> Rows {
    let mut rows = Rows::new();
    for line in PAPER.lines().skip(1) {
        let fields = fields(line);
        let [section, of, metric, _, _, _, _, confidence] = fields.as_slice() else {
            panic!("eight fields: {line}")
        };
        if of == "all" || of.split('/').any(|of| of == platform) {
            let first = confidence.split([' ', ';']).next().unwrap_or_default();
            rows.entry((section.clone(), metric.clone())).or_default().insert(first.to_owned());
            rows.entry((section.clone(), metric.clone())).or_default().extend(
                confidence
                    .split('/')
                    .map(|word| word.trim().to_owned())
                    .filter(|word| !word.contains(' ')),
            );
        }
    }
    rows
}

/// The fields of a line of CSV; a field in quotes may hold commas.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for letter in line.chars() {
        match letter {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            letter => fields.last_mut().expect("there is one").push(letter),
        }
    }
    fields
}

/// Keys with the comment that stands above them: their own, or that of the keys before them in their table. Elements of an
/// array of tables share one.
fn commented(text: &str) -> Vec<(String, String)> {
    let (mut keys, mut comment, mut table) = (Vec::new(), String::new(), String::new());
    let (mut used, mut ended) = (false, true);
    for line in text.lines().skip_while(|line| !line.starts_with("name")).skip(1) {
        if let Some(words) = line.strip_prefix('#') {
            if used || ended {
                comment.clear();
            }
            comment.push_str(words);
            (used, ended) = (false, false);
        } else if line.starts_with('[') {
            if used && table != line {
                comment.clear();
            }
            table = line.to_owned();
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with(' ')) {
            keys.push((format!("{table} {key}"), comment.clone()));
            used = true;
        } else if line.is_empty() {
            ended = true;
        }
    }
    keys
}

/// Each `section: metric` of a comment that begins as a section of the table does.
fn references<'c>(comment: &'c str, rows: &Rows) -> Vec<(&'c str, &'c str)> {
    let sections: BTreeSet<&str> = rows.keys().map(|(section, _)| section.as_str()).collect();
    let mut found = Vec::new();
    for (at, _) in comment.match_indices(": ") {
        let begin = comment[..at].rfind(|letter: char| !letter.is_ascii_lowercase());
        let section = &comment[begin.map_or(0, |begin| begin + 1)..at];
        if sections.contains(section) {
            found.push((section, &comment[at + 2..]));
        }
    }
    found
}

// No key stands without a source, and a source in the paper's table is there, for that platform, as sure as it is said.
#[test]
fn every_key_names_its_source() {
    for (name, text) in BUILT_IN {
        let platform = match name.split('-').next() {
            Some("azure") => "Azure",
            Some("google") => "Google",
            _ => "AWS",
        };
        let rows = rows(platform);
        for (key, comment) in commented(text) {
            let references = references(&comment, &rows);
            let elsewhere = OTHER_SOURCES.iter().any(|word| comment.contains(word));
            assert!(!references.is_empty() || elsewhere, "{name}: {key} has no source: {comment}");
            for (section, words) in references {
                let is_it = |key: &&(String, String)| key.0 == section && words.starts_with(&key.1);
                let confidences: BTreeSet<&str> = rows
                    .keys()
                    .filter(is_it)
                    .flat_map(|key| &rows[key])
                    .map(String::as_str)
                    .collect();
                assert!(
                    !confidences.is_empty(),
                    "{name}: {key}: {platform} has no row {section}: {words}"
                );
                let known = |word: &str| confidences.contains(word.trim());
                assert!(
                    words.split(['(', ',', ')', ';']).any(known),
                    "{name}: {key}: {words} is {confidences:?}"
                );
            }
        }
    }
}

// The test above would see a key without a comment, and a row that is not there.
#[test]
fn missing_sources_are_seen() {
    let keys = commented("name = \"x\"\n\n[a]\nb = 1\n# idle: no such metric (high).\nc = 2\n");
    assert_eq!(keys[0], ("[a] b".to_owned(), String::new()));
    let rows = rows("AWS");
    let found = references(&keys[1].1, &rows);
    assert_eq!(found.len(), 1);
    assert!(
        !rows
            .keys()
            .any(|(of, metric)| of == found[0].0 && found[0].1.starts_with(metric.as_str()))
    );
}
