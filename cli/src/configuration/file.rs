//! Flags in a TOML file: a section for each command, a key for each flag.

use super::{Origin, Setting, commands, flags, is_shared, name};
use anyhow::bail;
use clap::{Arg, Command};
use scheduler::nearest;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// A file's keys, by command and flag.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    values: BTreeMap<(Vec<String>, String), Value>,
}

#[derive(Clone, Debug)]
struct Value {
    line: usize,
    values: Vec<String>,
    is_list: bool,
}

/// What a section may hold.
struct Section {
    path: Vec<String>,
    keys: Vec<String>,
    sections: Vec<String>,
}

impl File {
    /// Reads a file's text. Errors: no TOML; a key that is no flag of the section's command, with line and nearest name;
    /// a value that is no text, number, truth value or list of them.
    pub fn parse(root: &Command, path: PathBuf, text: &str) -> anyhow::Result<Self> {
        let table = match DeTable::parse(text) {
            Ok(table) => table,
            Err(error) => {
                let line = error.span().map_or(1, |span| line_of(text, span.start));
                bail!("{} line {line}: {}", path.display(), error.message())
            }
        };
        let sections: BTreeMap<Vec<String>, Section> = commands(root)
            .into_iter()
            .map(|(path, command)| (path.clone(), section(path, command, root)))
            .collect();
        let mut file = Self { path, values: BTreeMap::new() };
        file.take(&sections, &[], (table.get_ref(), text))?;
        Ok(file)
    }

    /// What the file says of a flag: in its command's section, or outside of all of them where several commands share it.
    pub fn setting(&self, path: &[String], flag: &Arg) -> Option<Setting> {
        let key = |path: &[String]| (path.to_vec(), name(flag).to_owned());
        let own = self.values.get(&key(path));
        let value = own.or_else(|| self.values.get(&key(&[])).filter(|_| is_shared(flag)))?;
        Some(Setting {
            values: value.values.clone(),
            is_list: value.is_list,
            origin: Origin::File(self.path.clone(), value.line),
        })
    }

    fn take(
        &mut self,
        sections: &BTreeMap<Vec<String>, Section>,
        path: &[String],
        (table, text): (&DeTable<'_>, &str),
    ) -> anyhow::Result<()> {
        let Some(section) = sections.get(path) else { return Ok(()) };
        for (key, value) in table.iter() {
            let line = line_of(text, key.span().start);
            let word = key.get_ref().replace('_', "-");
            let is_section = section.sections.contains(&word);
            match value.get_ref() {
                DeValue::Table(below) if is_section => {
                    let path = [path, &[word]].concat();
                    self.take(sections, &path, (below, text))?;
                }
                value if section.keys.contains(&word) => {
                    let (values, is_list) = scalars(value).ok_or_else(|| {
                        anyhow::anyhow!(
                            "{} line {line}: `{word}` is neither a text, a number, true, false nor a list of them",
                            self.path.display()
                        )
                    })?;
                    self.values.insert((path.to_vec(), word), Value { line, values, is_list });
                }
                _ => bail!("{}", unknown(&self.path, line, &word, section)),
            }
        }
        Ok(())
    }
}

fn section(path: Vec<String>, command: &Command, root: &Command) -> Section {
    let mut keys: Vec<String> = if path.is_empty() {
        // Outside of all sections stand the flags that several commands share.
        let all = commands(root);
        let shared =
            all.iter().flat_map(|(_, command)| flags(command)).filter(|flag| is_shared(flag));
        shared.map(|flag| name(flag).to_owned()).collect()
    } else {
        flags(command).map(|flag| name(flag).to_owned()).collect()
    };
    keys.sort();
    keys.dedup();
    let below = command.get_subcommands().filter(|it| !it.is_hide_set() && it.get_name() != "help");
    Section { path, keys, sections: below.map(|it| it.get_name().to_owned()).collect() }
}

fn unknown(file: &Path, line: usize, word: &str, section: &Section) -> String {
    let known: Vec<&str> =
        section.keys.iter().chain(&section.sections).map(String::as_str).collect();
    let place = match section.path.as_slice() {
        [] => "outside of all sections".to_owned(),
        path => format!("in [{}]", path.join(".")),
    };
    let near = match nearest(word, &known) {
        Some(near) => format!(", `{near}` is near"),
        None => String::new(),
    };
    format!(
        "{} line {line}: `{word}` is not known {place}{near}; known there: {}",
        file.display(),
        known.join(", ")
    )
}

fn scalars(value: &DeValue<'_>) -> Option<(Vec<String>, bool)> {
    match value {
        DeValue::Array(items) => {
            let texts: Option<Vec<String>> =
                items.iter().map(|item| scalar(item.get_ref())).collect();
            texts.map(|texts| (texts, true))
        }
        one => scalar(one).map(|text| (vec![text], false)),
    }
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// The line, from 1, at which a byte stands.
fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes()[..at.min(text.len())].iter().filter(|&&byte| byte == b'\n').count()
}
