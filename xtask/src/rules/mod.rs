//! What the sources must keep to: one function per rule, listed here.
//!
//! Deliberately knows nothing of how complaints are shown.

mod documents;
mod layers;
mod lengths;
mod words;

use crate::tree::Tree;

/// One rule.
pub struct Rule {
    /// Its name, shown with each complaint.
    pub name: &'static str,
    /// Whether breaking it fails the check.
    pub weight: Weight,
    /// Says where it is broken.
    pub check: fn(&Tree) -> anyhow::Result<Vec<Complaint>>,
}

/// Whether breaking a rule fails the check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// It does.
    Error,
    /// It is only shown.
    Warning,
}

/// One place where a rule is broken.
#[derive(Debug, PartialEq, Eq)]
pub struct Complaint {
    /// File or folder, from the root.
    pub path: String,
    /// Line, from 1.
    pub line: Option<usize>,
    /// What is wrong, and what is right.
    pub text: String,
}

/// Every rule.
pub const RULES: &[Rule] = &[
    Rule { name: "layers", weight: Weight::Error, check: layers::layers },
    Rule { name: "folders", weight: Weight::Error, check: layers::folders },
    Rule { name: "grab-bags", weight: Weight::Error, check: layers::grab_bags },
    Rule { name: "paths", weight: Weight::Error, check: documents::paths },
    Rule { name: "map", weight: Weight::Error, check: documents::map },
    Rule { name: "functions", weight: Weight::Error, check: lengths::functions },
    Rule { name: "leftovers", weight: Weight::Error, check: words::leftovers },
    Rule { name: "registries", weight: Weight::Error, check: words::registries },
    Rule { name: "files", weight: Weight::Warning, check: lengths::files },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// What a rule says of a tree with these files.
    pub(super) fn complaints(
        check: fn(&Tree) -> anyhow::Result<Vec<Complaint>>,
        files: &[(&str, &str)],
    ) -> Vec<String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        }
        let tree = Tree::read(folder.path()).expect("a tree");
        let complaints = check(&tree).expect("a check");
        complaints.into_iter().map(|it| format!("{}: {}", it.path, it.text)).collect()
    }

    // Every rule has a name of its own, so that a complaint says which one it comes from.
    #[test]
    fn names_differ() {
        let mut names: Vec<_> = RULES.iter().map(|rule| rule.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), RULES.len());
    }

    // This project keeps its own rules.
    #[test]
    fn the_project_is_tidy() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the root");
        let tree = Tree::read(root).expect("the sources");
        assert!(tree.crates.len() > 10 && tree.files.len() > 100, "the whole project is read");
        for rule in RULES.iter().filter(|rule| rule.weight == Weight::Error) {
            assert_eq!((rule.check)(&tree).expect("a check"), [], "{}", rule.name);
        }
    }
}
