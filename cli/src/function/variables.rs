//! Environment variables of a function: flags, and files of lines `KEY=VALUE`.

use anyhow::{Context, bail};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The variables of these files, then of these `KEY=VALUE`; later ones win. None where neither was given.
pub fn read(
    files: &[PathBuf],
    flags: &[String],
) -> anyhow::Result<Option<BTreeMap<String, String>>> {
    if files.is_empty() && flags.is_empty() {
        return Ok(None);
    }
    let mut variables = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read --env-file {}", file.display()))?;
        variables.extend(of_text(&text, file)?);
    }
    for flag in flags {
        let (name, value) = flag.split_once('=').with_context(|| {
            format!(
                "--env {flag:?} is not KEY=VALUE; a file of such lines is named with --env-file"
            )
        })?;
        variables
            .insert(checked(name).with_context(|| format!("--env {flag:?}"))?, value.to_owned());
    }
    Ok(Some(variables))
}

/// The variables of a file: lines `KEY=VALUE`, with or without `export` before them; `#` begins a comment line; a value in
/// single quotes is taken as it is, one in double quotes has `\n`, `\"` and `\\` undone.
fn of_text(text: &str, file: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let mut variables = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let place = || format!("{} line {}", file.display(), number + 1);
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) =
            line.split_once('=').with_context(|| format!("{}: not KEY=VALUE", place()))?;
        let name = checked(name.trim()).with_context(place)?;
        variables.push((name, unquoted(value.trim()).with_context(place)?));
    }
    Ok(variables)
}

/// A name that Lambda takes: a letter, then letters, digits and `_`, two at least (service model, EnvironmentVariableName).
fn checked(name: &str) -> anyhow::Result<String> {
    let mut bytes = name.bytes();
    let fits = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && name.len() > 1
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !fits {
        bail!("{name:?} is no name of a variable: a letter, then at least one letter, digit or _");
    }
    Ok(name.to_owned())
}

fn unquoted(value: &str) -> anyhow::Result<String> {
    if let Some(rest) = value.strip_prefix('\'') {
        let inner = rest.strip_suffix('\'').context("a single quote is not closed")?;
        return Ok(inner.to_owned());
    }
    let Some(rest) = value.strip_prefix('"') else {
        // A comment after a value begins with a blank and `#`.
        return Ok(value.split(" #").next().unwrap_or(value).trim_end().to_owned());
    };
    let inner = rest.strip_suffix('"').context("a double quote is not closed")?;
    let mut text = String::with_capacity(inner.len());
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some(other) => text.push(other),
                None => bail!("a double quote is not closed"),
            },
            letter => text.push(letter),
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Comments, quotes and `export` are read as shells read them, and a value may hold any further `=`.
    #[test]
    fn files_are_read() {
        let text = "# ours\n\nexport URL=http://x?a=b\nQUOTED=\"two\\nlines # kept\"\nRAW='a\\n'\nNOTE=x # why\nNONE=\n";
        let read = of_text(text, Path::new(".env")).expect("read");
        let expected = [
            ("URL", "http://x?a=b"),
            ("QUOTED", "two\nlines # kept"),
            ("RAW", "a\\n"),
            ("NOTE", "x"),
            ("NONE", ""),
        ];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    // What is no variable is told with its line, and an open quote is not closed in silence.
    #[test]
    fn wrong_lines_are_told() {
        for (text, expected) in [
            ("OK=1\nnonsense\n", ".env line 2: not KEY=VALUE"),
            ("1A=x\n", ".env line 1: \"1A\" is no name"),
            ("AB=\"x\n", ".env line 1: a double quote"),
            ("AB='x\n", ".env line 1: a single quote"),
        ] {
            let error = format!("{:#}", of_text(text, Path::new(".env")).expect_err("wrong"));
            assert!(error.starts_with(expected), "{error}");
        }
        assert!(read(&[], &["A".to_owned()]).is_err() && read(&[], &[]).expect("none").is_none());
    }
}
