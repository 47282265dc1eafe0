//! What a command line names already: its command, and the flags that it gives.

use clap::{Arg, Command, Id};
use std::collections::BTreeSet;
use std::ffi::OsString;

/// A command line, read as far as is needed to add to it.
#[derive(Debug)]
pub struct CommandLine<'c> {
    /// Names of the commands, outermost first, without the program's.
    pub path: Vec<String>,
    /// The innermost command.
    pub command: &'c Command,
    /// Where further flags of it can be put: right after its name.
    pub flags_at: usize,
    /// Its flags that are given.
    pub given: BTreeSet<Id>,
}

impl<'c> CommandLine<'c> {
    /// Reads `arguments`, whose first is the program. What is wrong in them is for clap to tell.
    pub fn read(root: &'c Command, arguments: &[OsString]) -> Self {
        let mut line = Self {
            path: Vec::new(),
            command: root,
            flags_at: 1.min(arguments.len()),
            given: BTreeSet::new(),
        };
        let mut at = 1;
        while at < arguments.len() {
            let text = arguments[at].to_string_lossy();
            at += 1;
            if text == "--" {
                break;
            }
            if let Some(long) = text.strip_prefix("--") {
                at += line.take_long(long);
            } else if let Some(short) = text.strip_prefix('-').filter(|short| !short.is_empty()) {
                at += line.take_short(short);
            } else if let Some(below) = line.command.find_subcommand(text.as_ref()) {
                line.path.push(below.get_name().to_owned());
                line.command = below;
                line.flags_at = at;
            }
        }
        line
    }

    /// Notes a flag `--long` or `--long=value`. Returns how many of the next arguments are its values.
    fn take_long(&mut self, text: &str) -> usize {
        let (name, value) = match text.split_once('=') {
            Some((name, _)) => (name, true),
            None => (text, false),
        };
        let named = |arg: &&Arg| {
            arg.get_long() == Some(name)
                || arg.get_all_aliases().is_some_and(|aliases| aliases.contains(&name))
        };
        let Some(arg) = self.command.get_arguments().find(named) else { return 0 };
        self.given.insert(arg.get_id().clone());
        usize::from(!value && needs_value(arg))
    }

    /// Notes flags `-x`, `-xvalue`, `-xy`. Returns how many of the next arguments are values.
    fn take_short(&mut self, text: &str) -> usize {
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            let named = |arg: &&Arg| arg.get_short() == Some(letter);
            let Some(arg) = self.command.get_arguments().find(named) else { return 0 };
            self.given.insert(arg.get_id().clone());
            if needs_value(arg) {
                return usize::from(letters.as_str().is_empty());
            }
        }
        0
    }
}

fn needs_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
        && arg.get_num_args().is_none_or(|number| number.min_values() > 0)
}
