//! What docs say of the sources is so.

use super::Complaint;
use crate::tree::{File, Tree};

/// Where the crates are drawn.
const MAP: &str = "docs/ARCHITECTURE.md";

/// Signs of a path that stands for many, or for none in particular.
const PATTERNS: [char; 6] = ['*', '<', '{', '$', '…', ' '];

/// A path that a document names is there.
///
/// Looks at links, relative to the document, and at words in backticks that begin with a folder of the root.
pub(super) fn paths(tree: &Tree) -> anyhow::Result<Vec<Complaint>> {
    let mut complaints = Vec::new();
    for document in tree.documents() {
        let mut fenced = false;
        for (number, line) in (1..).zip(document.text.lines()) {
            fenced ^= line.trim_start().starts_with("```");
            if fenced {
                continue;
            }
            let links = between(line, "](", ")").map(|link| resolve(document, link));
            let words = between(line, "`", "`").map(|word| named(tree, word));
            for path in links.chain(words).flatten() {
                if !tree.paths.contains(&path) {
                    let text = format!("there is no {path}");
                    complaints.push(Complaint {
                        path: document.path.clone(),
                        line: Some(number),
                        text,
                    });
                }
            }
        }
    }
    Ok(complaints)
}

/// Each crate is on the map.
pub(super) fn map(tree: &Tree) -> anyhow::Result<Vec<Complaint>> {
    let text = tree.files.iter().find(|file| file.path == MAP).map_or("", |file| &file.text);
    let missing = tree.crates.iter().filter(|it| !text.contains(&format!("`{}`", it.name)));
    let complaints = missing.map(|it| Complaint {
        path: MAP.to_owned(),
        line: None,
        text: format!("says nothing of `{}` in {}", it.name, it.folder),
    });
    Ok(complaints.collect())
}

/// The texts between pairs of marks.
fn between<'a>(line: &'a str, open: &str, close: &str) -> impl Iterator<Item = &'a str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once(open)?;
        let (inside, after) = after.split_once(close)?;
        rest = after;
        Some(inside)
    })
}

/// The path from the root that a link in a document means, if it is one of ours.
fn resolve(document: &File, link: &str) -> Option<String> {
    let path = link.split('#').next()?;
    if path.is_empty() || path.contains(':') || path.starts_with('/') || path.contains(PATTERNS) {
        return None;
    }
    let mut names: Vec<&str> = document.path.split('/').collect();
    names.pop();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    Some(names.join("/"))
}

/// The path from the root that a word in backticks means, if it is one.
fn named(tree: &Tree, word: &str) -> Option<String> {
    let path = word.strip_prefix("./").unwrap_or(word);
    let path = path.split([':', '#']).next()?.trim_end_matches('/');
    let (first, _) = path.split_once('/')?;
    let ours = tree.paths.iter().any(|path| path == first);
    (ours && !path.contains(PATTERNS)).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::tests::complaints;

    // Links and words in backticks that lead nowhere are found, in docs and in the root; what is no path is left alone.
    #[test]
    fn dead_paths_are_found() {
        let files = [
            ("src/here.rs", ""),
            (
                "docs/decisions/0001.md",
                "[up](../MAP.md), [gone](0002.md#part), [web](https://a.b/c)",
            ),
            ("docs/MAP.md", "`src/here.rs:7`, `src/gone.rs`, `src/*.rs`, `text/html`, `/src/x`"),
            ("README.md", "```\n`src/example.rs`\n```\nsee [map](docs/MAP.md) and `docs/none/`"),
            ("src/notes.md", "`src/private.rs`"),
        ];
        assert_eq!(
            complaints(paths, &files),
            [
                "README.md: there is no docs/none",
                "docs/MAP.md: there is no src/gone.rs",
                "docs/decisions/0001.md: there is no docs/decisions/0002.md",
            ]
        );
    }

    // A crate that the map does not name is found.
    #[test]
    fn the_map_is_whole() {
        let package = "[package]\nname = \"brain\"\n[workspace]\n[lib]\npath = \"lib.rs\"";
        let unnamed = [("Cargo.toml", package), ("lib.rs", ""), (MAP, "brain")];
        assert_eq!(complaints(map, &unnamed).len(), 1);
        let named = [("Cargo.toml", package), ("lib.rs", ""), (MAP, "`brain`")];
        assert_eq!(complaints(map, &named).len(), 0);
    }
}
