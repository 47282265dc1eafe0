//! `peek profile`: what platforms are like, in words.

use clap::Subcommand;
use std::process::ExitCode;
use target::Emulated;

/// Profiles of `peek serve`, and of the platform that `peek study` starts.
const OF_SERVE: [(&str, &str); 2] = [
    ("local", include_str!("../../profiles/local.toml")),
    ("study", include_str!("../../profiles/study.toml")),
];

/// Options of `peek profile`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the profiles that are built in.
    List,
    /// Explain a profile in words, or say what is wrong with it: line, key and limit.
    Check {
        /// A built-in profile, or a TOML file.
        #[arg(value_name = "FILE|NAME")]
        profile: String,
    },
}

/// Prints what was asked for.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    match &arguments.what {
        What::List => print!("{}", list()?),
        What::Check { profile } => print!("{}", check(profile)?),
    }
    Ok(ExitCode::SUCCESS)
}

fn list() -> anyhow::Result<String> {
    let mut text = "peek study --target emulated:NAME\n".to_owned();
    for name in Emulated::built_in() {
        text += &row(name, &Emulated::profile(name)?.model.about);
    }
    text += "peek serve --profile NAME, peek study --profile NAME\n";
    for (name, profile) in OF_SERVE {
        // The first words of each say what it is for.
        let about = profile.trim_start_matches("# ").split(':').next().unwrap_or_default();
        text += &row(name, about);
    }
    Ok(text)
}

fn row(name: &str, about: &str) -> String {
    format!("  {name:<16} {about}\n")
}

fn check(name: &str) -> anyhow::Result<String> {
    let words = match OF_SERVE.iter().find(|(known, _)| *known == name) {
        Some((_, text)) => Emulated::explain(name, text),
        None => Emulated::profile_text(name).and_then(|text| Emulated::explain(name, &text)),
    };
    match words {
        // Its names are those of emulated platforms; here the others count too.
        Err(target::ProfileFileError::Unknown { .. }) => Err(unknown(name)),
        words => Ok(words?),
    }
}

fn unknown(name: &str) -> anyhow::Error {
    let known: Vec<&str> =
        Emulated::built_in().chain(OF_SERVE.into_iter().map(|(name, _)| name)).collect();
    let near = match emulator::nearest(name, &known) {
        Some(near) => format!(", {near:?} is near"),
        None => String::new(),
    };
    let known = known.join(", ");
    anyhow::anyhow!(
        "there is no profile {name:?}{near}: built in are {known}; a file is named by a path to a .toml"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    // Every profile that is listed can be explained, and its explanation begins with its name.
    #[test]
    fn what_is_listed_is_explained() {
        let list = list().expect("profiles");
        let names = list.lines().filter_map(|line| line.strip_prefix("  "));
        let names: Vec<&str> = names.filter_map(|line| line.split(' ').next()).collect();
        assert!(names.contains(&"aws-2018") && names.contains(&"local"), "{list}");
        for name in names {
            assert!(check(name).expect(name).starts_with(&format!("{name}: ")));
        }
    }

    // A name that is near to one that exists is an error that says which; a file that is not there says so.
    #[test]
    fn wrong_names_are_errors() {
        let error = check("locale").expect_err("no such profile").to_string();
        assert!(
            error.starts_with("there is no profile \"locale\", \"local\" is near: "),
            "{error}"
        );
        let error = format!("{:#}", check("./absent.toml").expect_err("no such file"));
        assert!(error.starts_with("cannot read profile ./absent.toml: "), "{error}");
    }
}
