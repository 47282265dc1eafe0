//! `peek config`: what holds, and where each value comes from.

use super::{Configuration, Origin, commands, environment, flags, name};
use clap::Command;
use serde_json::json;
use std::process::ExitCode;

/// Options of `peek config`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Only this command, as in `serve` or `fn deploy`.
    command: Vec<String>,
    /// Only what is set somewhere, not what holds by default.
    #[arg(long)]
    set: bool,
    /// `toml` is a file that says the same; `json` a list.
    #[arg(long, value_enum, default_value_t)]
    output: Form,
}

/// How values are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    // As a configuration file, with the origin of each value as a comment.
    #[default]
    Toml,
    // As JSON.
    Json,
}

/// One flag's value.
struct Row {
    path: Vec<String>,
    flag: String,
    variable: String,
    value: Option<serde_json::Value>,
    from: String,
}

/// Prints every flag's value, as it holds where the command line does not name it.
pub fn run(
    arguments: &Arguments,
    root: &Command,
    configuration: &Configuration,
) -> anyhow::Result<ExitCode> {
    let mut rows = Vec::new();
    for (path, command) in commands(root) {
        if path.is_empty() || !path.starts_with(&arguments.command) {
            continue;
        }
        for flag in flags(command) {
            let setting = configuration.setting(&path, flag)?;
            let defaults =
                flag.get_default_values().iter().map(|it| it.to_string_lossy().into_owned());
            let (value, from) = match setting {
                Some(setting) => {
                    let from = match &setting.origin {
                        Origin::Variable(name) => name.clone(),
                        Origin::File(path, line) => format!("{}:{line}", path.display()),
                    };
                    (Some(value(&setting.values, setting.is_list)), from)
                }
                None => {
                    let defaults: Vec<String> = defaults.collect();
                    let is_set = flag.get_action().takes_values() && !defaults.is_empty();
                    (is_set.then(|| value(&defaults, false)), "default".to_owned())
                }
            };
            let variable = environment::variable(&path, flag);
            rows.push(Row {
                path: path.clone(),
                flag: name(flag).to_owned(),
                variable,
                value,
                from,
            });
        }
    }
    if rows.is_empty() && !arguments.command.is_empty() {
        let known: Vec<String> =
            commands(root).into_iter().map(|(path, _)| path.join(" ")).collect();
        anyhow::bail!(
            "there is no command {:?} with flags; commands are:{}",
            arguments.command.join(" "),
            known.join(", ")
        );
    }
    if arguments.set {
        rows.retain(|row| row.from != "default");
    }
    match arguments.output {
        Form::Toml => print!("{}", as_toml(&rows)),
        Form::Json => {
            let rows = rows.iter().map(|row| {
                json!({
                    "command": row.path.join(" "), "flag": row.flag, "variable": row.variable,
                    "value": row.value, "from": row.from,
                })
            });
            println!("{:#}", rows.collect::<serde_json::Value>());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn value(values: &[String], is_list: bool) -> serde_json::Value {
    let scalar = |text: &String| match text.as_str() {
        "true" => json!(true),
        "false" => json!(false),
        text => text.parse::<i64>().map_or_else(|_| json!(text), |number| json!(number)),
    };
    match values {
        [one] if !is_list => scalar(one),
        several => several.iter().map(scalar).collect(),
    }
}

fn as_toml(rows: &[Row]) -> String {
    let (mut text, mut section) = (String::new(), None);
    for row in rows {
        if section != Some(&row.path) {
            let gap = if section.is_some() { "\n" } else { "" };
            text.push_str(&format!("{gap}[{}]\n", row.path.join(".")));
            section = Some(&row.path);
        }
        match &row.value {
            // JSON's texts, numbers, truth values and lists of them are TOML's too.
            Some(value) => text.push_str(&format!("{} = {value} # {}\n", row.flag, row.from)),
            None => text.push_str(&format!("# {} is not set\n", row.flag)),
        }
    }
    text
}
