//! Which crate may use which, and what crates may be called. The drawing is in docs/ARCHITECTURE.md.

use super::Complaint;
use crate::tree::{Crate, Tree};

/// Crates of ours that a crate may use beside `model`. What is not listed here is held to its folder's rule alone.
const MAY_USE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("scheduler", &[]),
    ("catalog", &[]),
    ("queue", &[]),
    ("timetable", &[]),
    ("courier", &["catalog", "queue", "timetable"]),
    ("logs", &[]),
    ("runtime_api", &[]),
    ("gateway", &["catalog", "logs", "timetable"]),
    ("sandbox", &["runtime_api"]),
    ("worker", &["sandbox"]),
    (
        "server",
        &["catalog", "courier", "gateway", "logs", "queue", "sandbox", "scheduler", "worker"],
    ),
    ("emulator", &["probe", "scheduler"]),
    ("replay", &["scheduler"]),
    ("probe", &[]),
    ("record", &[]),
    ("foreign", &["record"]),
    ("calibration", &["analysis", "experiment", "record", "target"]),
    ("experiment", &["probe", "record"]),
    ("analysis", &["record"]),
    ("report", &["analysis", "record"]),
    ("xtask", &[]),
];

/// What crosses from the platform's half: the emulator answers as the measurement function does, in its very types.
const ANSWERS: (&str, &str) = ("emulator", "probe");

/// Crates of others that a crate must not use, since its core would then depend on more than its input.
const MUST_NOT_USE: &[(&str, &[&str])] = &[
    ("model", &["tokio", "hyper", "reqwest"]),
    ("scheduler", &["tokio", "hyper", "tracing", "futures"]),
    ("queue", &["tokio", "hyper", "tracing", "futures"]),
    ("timetable", &["tokio", "hyper", "tracing", "futures"]),
    ("runtime_api", &["tokio", "hyper"]),
    ("experiment", &["tokio", "hyper", "reqwest", "aws-config", "aws-sdk-lambda"]),
    ("analysis", &["tokio", "hyper", "plotters", "maud"]),
    ("report", &["tokio", "hyper"]),
];

/// Names that say nothing of what is inside, and so collect everything.
const GRAB_BAGS: [&str; 9] =
    ["common", "core", "helper", "helpers", "library", "misc", "shared", "util", "utils"];

/// The crate between the two halves that measures emulated platforms; it alone crosses.
const CROSSING: (&str, &str) = ("target", "emulator");

/// A crate uses only what its layer may.
pub(super) fn layers(tree: &Tree) -> anyhow::Result<Vec<Complaint>> {
    let mut complaints = Vec::new();
    for user in &tree.crates {
        for used in &user.uses {
            let ours = tree.crates.iter().find(|other| other.name == *used);
            if let Some(text) = objection(user, used, ours) {
                let path = format!("{}/Cargo.toml", user.folder);
                complaints.push(Complaint { path, line: None, text });
            }
        }
    }
    Ok(complaints)
}

fn objection(user: &Crate, used: &str, ours: Option<&Crate>) -> Option<String> {
    let name = user.name.as_str();
    let Some(ours) = ours else {
        let (_, refused) = MUST_NOT_USE.iter().find(|(user, _)| *user == name)?;
        return refused
            .contains(&used)
            .then(|| format!("{name} uses {used}, which its layer must not know"));
    };
    if user.folder.starts_with("instrument/")
        && ours.folder.starts_with("platform/")
        && (name, used) != CROSSING
    {
        return Some(format!("{name} measures from outside, but uses {used} of the platform"));
    }
    if user.folder.starts_with("platform/")
        && ours.folder.starts_with("instrument/")
        && (name, used) != ANSWERS
    {
        return Some(format!("{name} is measured, but uses {used} of the instrument"));
    }
    if used == "cli" || used == "xtask" {
        return Some(format!("{name} uses {used}, which is a program and no library"));
    }
    let (_, allowed) = MAY_USE.iter().find(|(user, _)| *user == name)?;
    let allowed = allowed.contains(&used) || (used == "model" && name != "model");
    (!allowed).then(|| format!("{name} uses {used}, which its layer must not know"))
}

/// A crate is called like its folder.
pub(super) fn folders(tree: &Tree) -> anyhow::Result<Vec<Complaint>> {
    let differs = |it: &&Crate| it.folder.rsplit('/').next() != Some(&it.name);
    let complaints = tree.crates.iter().filter(differs).map(|it| Complaint {
        path: it.folder.clone(),
        line: None,
        text: format!("the crate is called {}, unlike its folder", it.name),
    });
    Ok(complaints.collect())
}

/// No crate and no module has a name that could hold anything.
pub(super) fn grab_bags(tree: &Tree) -> anyhow::Result<Vec<Complaint>> {
    let sources = tree.paths.iter().filter(|path| path.ends_with(".rs"));
    let folders = tree.crates.iter().map(|it| &it.folder);
    let mut complaints = Vec::new();
    for path in sources.chain(folders) {
        let mut names = path.split('/').map(|name| name.strip_suffix(".rs").unwrap_or(name));
        if let Some(name) = names.find(|name| GRAB_BAGS.contains(name)) {
            let text = format!("{name} says nothing of what is inside: name it by its noun");
            complaints.push(Complaint { path: path.clone(), line: None, text });
        }
    }
    Ok(complaints)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::tests::complaints;

    /// Folder and name of a crate, and names and folders of those that it uses.
    type Sketch<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

    /// A workspace of these crates.
    fn workspace(crates: &[Sketch]) -> Vec<(String, String)> {
        let members: Vec<String> = crates.iter().map(|it| format!("{:?}", it.0)).collect();
        let text = format!("[workspace]\nresolver = \"3\"\nmembers = [{}]\n", members.join(", "));
        let mut files = vec![("Cargo.toml".to_owned(), text)];
        for (folder, name, uses) in crates {
            let up = "../".repeat(folder.split('/').count());
            let uses: String = uses
                .iter()
                .map(|(name, folder)| format!("{name} = {{ path = \"{up}{folder}\" }}\n"))
                .collect();
            let text =
                format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n[dependencies]\n{uses}");
            files.push((format!("{folder}/Cargo.toml"), text));
            files.push((format!("{folder}/src/lib.rs"), String::new()));
        }
        files
    }

    fn said(check: fn(&Tree) -> anyhow::Result<Vec<Complaint>>, crates: &[Sketch]) -> Vec<String> {
        let files = workspace(crates);
        let files: Vec<_> =
            files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        complaints(check, &files)
    }

    // The instrument must not reach into the platform, nor a core beyond `model`; what is allowed is not complained of.
    #[test]
    fn layers_are_kept() {
        let crates: &[Sketch] = &[
            ("model", "model", &[]),
            ("platform/catalog", "catalog", &[("model", "model")]),
            ("platform/scheduler", "scheduler", &[("catalog", "platform/catalog")]),
            ("instrument/analysis", "analysis", &[("scheduler", "platform/scheduler")]),
        ];
        assert_eq!(
            said(layers, crates),
            [
                "platform/scheduler/Cargo.toml: scheduler uses catalog, which its layer must not know",
                "instrument/analysis/Cargo.toml: analysis measures from outside, but uses scheduler \
                 of the platform",
            ]
        );
    }

    // A core must not use a runtime of others either, whereas a driver may.
    #[test]
    fn cores_use_no_runtime() {
        let of = |name: &str| Crate {
            name: name.to_owned(),
            folder: format!("platform/{name}"),
            uses: Vec::new(),
        };
        assert!(objection(&of("scheduler"), "tokio", None).is_some());
        assert_eq!(objection(&of("scheduler"), "serde", None), None);
        assert_eq!(objection(&of("server"), "tokio", None), None);
    }

    // A crate's folder bears its name.
    #[test]
    fn folders_bear_names() {
        let said = said(folders, &[("platform/brain", "scheduler", &[])]);
        assert_eq!(said, ["platform/brain: the crate is called scheduler, unlike its folder"]);
    }

    // Names that could hold anything are refused, of crates and of modules.
    #[test]
    fn grab_bags_are_refused() {
        let said = complaints(grab_bags, &[("a/src/utils.rs", ""), ("a/src/utility.rs", "")]);
        assert_eq!(said.len(), 1);
        assert!(said[0].starts_with("a/src/utils.rs: utils says nothing"), "{said:?}");
    }
}
