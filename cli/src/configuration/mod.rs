//! Every flag of every command, from a file and from the environment too, by one mechanism.
//!
//! Before the command line is parsed, flags that it lacks are put into it: first those that the environment names, then
//! those of the files. So each value passes the same checks wherever it comes from, and a flag is stronger than a variable,
//! a variable than a file, the working directory's file than the machine's. Deliberately knows nothing of any one flag.

mod command_line;
mod environment;
mod file;
mod show;

use anyhow::Context;
use clap::error::ContextKind;
use clap::{Arg, ArgAction, Command};
use command_line::CommandLine;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

pub use file::File;
pub use show::{Arguments as ShowArguments, run as show};

/// The word by which `--config` asks for neither files nor variables.
pub const NONE: &str = "none";

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A variable.
    Variable(String),
    /// A line of a file.
    File(PathBuf, usize),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::File(path, line) => write!(f, "{} line {line}", path.display()),
        }
    }
}

/// A value, or several of a flag that may be repeated, as the command line would have them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// As text; `true` and `false` of a flag without a value.
    pub values: Vec<String>,
    /// Whether it was written as a list.
    pub is_list: bool,
    /// Where it comes from.
    pub origin: Origin,
}

/// Files and variables, read and found to name only what there is.
#[derive(Debug, Default)]
pub struct Configuration {
    files: Vec<File>,
    ignores_variables: bool,
}

/// The command line with what was put into it.
#[derive(Debug)]
pub struct Completed {
    /// For clap.
    pub arguments: Vec<OsString>,
    /// Which flag was put in, and where it comes from.
    pub added: Vec<(String, Origin)>,
}

/// The file that the command line, or else PEEK_CONFIG, names.
pub fn file_in(arguments: &[OsString]) -> Option<OsString> {
    let given = arguments.iter().enumerate().find_map(|(at, argument)| {
        let text = argument.to_str()?;
        match text.strip_prefix("--config")? {
            "" => arguments.get(at + 1).cloned(),
            rest => rest.strip_prefix('=').map(OsString::from),
        }
    });
    given.or_else(|| std::env::var_os("PEEK_CONFIG")).filter(|path| !path.is_empty())
}

impl Configuration {
    /// Reads the file that `--config` or PEEK_CONFIG names; else `peek.toml` in the working directory, and
    /// `/etc/peek/peek.toml` for what that does not say.
    ///
    /// Errors: a file that is named and cannot be read; a key or a variable that no command has, with the nearest one.
    pub fn read(root: &Command, named: Option<OsString>) -> anyhow::Result<Self> {
        if named.as_ref().is_some_and(|named| named == NONE) {
            return Ok(Self { files: Vec::new(), ignores_variables: true });
        }
        environment::check(root)?;
        let paths = match named {
            Some(path) => vec![PathBuf::from(path)],
            None => ["peek.toml", "/etc/peek/peek.toml"]
                .into_iter()
                .map(PathBuf::from)
                .filter(|path| path.exists())
                .collect(),
        };
        let files = paths.into_iter().map(|path| {
            let text = std::fs::read_to_string(&path);
            let text =
                text.with_context(|| format!("cannot read the configuration {}", path.display()))?;
            File::parse(root, path, &text)
        });
        Ok(Self { files: files.collect::<anyhow::Result<_>>()?, ignores_variables: false })
    }

    /// What is said of a flag of the command with this path, the strongest first to be found.
    pub fn setting(&self, path: &[String], flag: &Arg) -> anyhow::Result<Option<Setting>> {
        if !self.ignores_variables
            && let Some(setting) = environment::setting(path, flag)?
        {
            return Ok(Some(setting));
        }
        Ok(self.files.iter().find_map(|file| file.setting(path, flag)))
    }

    /// Puts into the command line what it lacks.
    pub fn complete(&self, root: &Command, arguments: Vec<OsString>) -> anyhow::Result<Completed> {
        let line = CommandLine::read(root, &arguments);
        let mut completed = Completed { arguments, added: Vec::new() };
        if line.command.is_hide_set() || line.command.get_name() == "help" {
            return Ok(completed);
        }
        let mut settings = Vec::new();
        for flag in flags(line.command).filter(|flag| !line.given.contains(flag.get_id())) {
            if let Some(setting) = self.setting(&line.path, flag)? {
                settings.push((flag, setting));
            }
        }
        // A variable that excludes what a file says wins, as a flag wins over both.
        settings.sort_by_key(|(_, setting)| matches!(setting.origin, Origin::File(..)));
        let mut present: Vec<&Arg> =
            line.command.get_arguments().filter(|arg| line.given.contains(arg.get_id())).collect();
        let mut tokens = Vec::new();
        for (flag, setting) in settings {
            if present.iter().any(|other| are_exclusive(line.command, flag, other)) {
                continue;
            }
            let added = as_arguments(flag, &setting)
                .with_context(|| format!("{}: {}", setting.origin, name(flag)))?;
            if !added.is_empty() {
                completed.added.push((name(flag).to_owned(), setting.origin));
                present.push(flag);
            }
            tokens.extend(added);
        }
        completed.arguments.splice(line.flags_at..line.flags_at, tokens);
        Ok(completed)
    }
}

impl Completed {
    /// Says of an error of the command line where the flag in question came from, if not from there.
    pub fn explain(&self, error: &clap::Error) -> Option<String> {
        let culprit = error.get(ContextKind::InvalidArg)?.to_string();
        let (flag, origin) = self.added.iter().find(|(flag, _)| {
            let rest = culprit.strip_prefix("--").and_then(|rest| rest.strip_prefix(flag.as_str()));
            rest.is_some_and(|rest| {
                !rest.starts_with(|next: char| next.is_alphanumeric() || next == '-')
            })
        })?;
        Some(format!("--{flag} comes from {origin}"))
    }
}

/// The flags of a command that can be configured: those with a long name, but for help, version and `--config`.
pub fn flags(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| {
        let is_own = !matches!(
            arg.get_action(),
            ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
        );
        is_own && arg.get_long().is_some_and(|long| long != "config")
    })
}

/// A flag's name without its dashes.
pub fn name(flag: &Arg) -> &str {
    flag.get_long().unwrap_or_else(|| flag.get_id().as_str())
}

/// Whether a flag is one for every command that has it, so that it may stand outside of any section.
pub fn is_shared(flag: &Arg) -> bool {
    flag.get_env().is_some() || flag.is_global_set()
}

/// All commands that are for users, with their paths.
pub fn commands(root: &Command) -> Vec<(Vec<String>, &Command)> {
    let mut found = Vec::new();
    let mut open: Vec<(Vec<String>, &Command)> = vec![(Vec::new(), root)];
    while let Some((path, command)) = open.pop() {
        for below in command.get_subcommands() {
            if !below.is_hide_set() && below.get_name() != "help" {
                open.push(([&path[..], &[below.get_name().to_owned()]].concat(), below));
            }
        }
        found.push((path, command));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

fn are_exclusive(command: &Command, one: &Arg, other: &Arg) -> bool {
    let excludes = |one: &Arg, other: &Arg| {
        command.get_arg_conflicts_with(one).iter().any(|arg| arg.get_id() == other.get_id())
    };
    excludes(one, other) || excludes(other, one)
}

fn as_arguments(flag: &Arg, setting: &Setting) -> anyhow::Result<Vec<OsString>> {
    let long = name(flag);
    if setting.is_list && !matches!(flag.get_action(), ArgAction::Append) {
        anyhow::bail!("takes one value, not a list");
    }
    let takes_none = !flag.get_action().takes_values();
    let may_take_none = flag.get_num_args().is_some_and(|number| number.min_values() == 0);
    let mut arguments = Vec::new();
    for value in &setting.values {
        match is_true(value) {
            Some(true) if takes_none || may_take_none => arguments.push(format!("--{long}").into()),
            Some(false) if takes_none || may_take_none => {}
            _ if takes_none => anyhow::bail!("is true or false, not {value:?}"),
            _ => arguments.push(format!("--{long}={value}").into()),
        }
    }
    Ok(arguments)
}

fn is_true(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" | "" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
