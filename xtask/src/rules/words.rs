//! Words that have no place here. They are written in halves below, so that this file does not break its own rules.

use super::Complaint;
use crate::tree::Tree;

/// Marks of work that was put off: do it, or write down why not.
const LEFTOVERS: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];

/// Hosts of package registries: which one serves a build is its machine's matter.
const REGISTRIES: [&str; 5] = [
    concat!("crates", ".io"),
    concat!("npmjs", ".org"),
    concat!("npmjs", ".com"),
    concat!("pypi", ".org"),
    concat!("python", "hosted.org"),
];

/// Nothing is left to do.
pub(super) fn leftovers(tree: &Tree) -> anyhow::Result<Vec<Complaint>> {
    Ok(find(tree, &LEFTOVERS, "do it, or say in words why not"))
}

/// No package registry is named.
pub(super) fn registries(tree: &Tree) -> anyhow::Result<Vec<Complaint>> {
    Ok(find(tree, &REGISTRIES, "which registry serves a build is the machine's matter"))
}

fn find(tree: &Tree, words: &[&str], remedy: &str) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in &tree.files {
        for (number, line) in (1..).zip(file.text.lines()) {
            for word in words.iter().filter(|word| has_word(line, word)) {
                complaints.push(Complaint {
                    path: file.path.clone(),
                    line: Some(number),
                    text: format!("{word}: {remedy}"),
                });
            }
        }
    }
    complaints
}

/// Whether a word stands in a line, and not as a part of another word.
fn has_word(line: &str, word: &str) -> bool {
    let part = |it: Option<char>| it.is_some_and(|it| it.is_alphanumeric() || it == '_');
    line.match_indices(word).any(|(start, _)| {
        let (before, after) = (&line[..start], &line[start + word.len()..]);
        !part(before.chars().next_back()) && !part(after.chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::tests::complaints;

    // A mark of work put off is found as a word, in any file of text, and not as a part of one.
    #[test]
    fn leftovers_are_found() {
        let text = format!("// {}: later\nlet {}ER = 1;\n", LEFTOVERS[1], LEFTOVERS[3]);
        let said = complaints(leftovers, &[("a.rs", &text), ("b.py", LEFTOVERS[0])]);
        assert_eq!(said.len(), 2, "{said:?}");
    }

    // A registry's host is found, also as a part of an address.
    #[test]
    fn registries_are_found() {
        let text = format!("see https://index.{}/x", REGISTRIES[0]);
        assert_eq!(complaints(registries, &[("README.md", &text)]).len(), 1);
    }
}
