//! Flags in variables: `PEEK_SERVE_LISTEN` is `--listen` of `peek serve`, `PEEK_FN_DEPLOY_MEMORY` is `--memory` of
//! `peek fn deploy`; flags that several commands share have a short one too, as `PEEK_DATA`.

use super::{Origin, Setting, commands, flags, name};
use anyhow::bail;
use clap::{Arg, Command};
use scheduler::nearest;
use std::env;

/// What the environment says of a flag; the command's own variable before the shared one. An empty one says nothing.
pub fn setting(path: &[String], flag: &Arg) -> anyhow::Result<Option<Setting>> {
    let shared = flag.get_env().map(|name| name.to_string_lossy().into_owned());
    let names = [Some(variable(path, flag)), shared];
    for name in names.into_iter().flatten() {
        let Some(value) = env::var_os(&name).filter(|value| !value.is_empty()) else { continue };
        let Ok(value) = value.into_string() else { bail!("variable {name} is no UTF-8") };
        let (values, is_list) = match list(&value) {
            Some(values) => (values, true),
            None => (vec![value], false),
        };
        return Ok(Some(Setting { values, is_list, origin: Origin::Variable(name) }));
    }
    Ok(None)
}

/// The variable that stands for a flag of a command.
pub fn variable(path: &[String], flag: &Arg) -> String {
    let words = path.iter().map(String::as_str).chain([name(flag)]);
    let words = words.map(|word| word.replace('-', "_").to_uppercase());
    format!("PEEK_{}", words.collect::<Vec<_>>().join("_"))
}

/// Refuses variables of a command that it has no flag for: a misspelt one would be ignored in silence.
pub fn check(root: &Command) -> anyhow::Result<()> {
    let mut known = Vec::new();
    let mut prefixes = Vec::new();
    for (path, command) in commands(root) {
        for flag in flags(command) {
            known.push(variable(&path, flag));
            known.extend(flag.get_env().map(|name| name.to_string_lossy().into_owned()));
        }
        if !path.is_empty() {
            prefixes.push(format!("PEEK_{}_", path.join("_").replace('-', "_").to_uppercase()));
        }
    }
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if known.contains(&name) || !prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let names: Vec<&str> = known.iter().map(String::as_str).collect();
        match nearest(&name, &names) {
            Some(near) => bail!("variable {name} stands for no flag; {near} is near"),
            None => bail!("variable {name} stands for no flag: see `peek config`"),
        }
    }
    Ok(())
}

/// A list as a file has it: `["a", "b"]`.
fn list(text: &str) -> Option<Vec<String>> {
    let text = text.trim();
    if !text.starts_with('[') || !text.ends_with(']') {
        return None;
    }
    let table: toml::Table = format!("it = {text}").parse().ok()?;
    let items = table.get("it")?.as_array()?;
    items.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}
