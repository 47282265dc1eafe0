//! How long things may be.

use super::Complaint;
use crate::tree::Tree;
use anyhow::Context;
use proc_macro2::Span;
use syn::visit::{self, Visit};

/// Lines of a function, from its `fn` to its closing brace.
const FUNCTION_LINES: usize = 70;

/// Lines of a file from which it is worth a look whether it holds two nouns.
const FILE_LINES: usize = 600;

/// No function is longer than [`FUNCTION_LINES`].
pub(super) fn functions(tree: &Tree) -> anyhow::Result<Vec<Complaint>> {
    let mut complaints = Vec::new();
    for file in tree.ending(".rs") {
        let syntax = syn::parse_file(&file.text)
            .with_context(|| format!("cannot read {} as Rust", file.path))?;
        let mut found = Functions::default();
        found.visit_file(&syntax);
        for (name, line, lines) in found.0 {
            if lines > FUNCTION_LINES {
                let text = format!("{name} has {lines} lines, {FUNCTION_LINES} are allowed");
                complaints.push(Complaint { path: file.path.clone(), line: Some(line), text });
            }
        }
    }
    Ok(complaints)
}

/// A source file is no longer than [`FILE_LINES`].
pub(super) fn files(tree: &Tree) -> anyhow::Result<Vec<Complaint>> {
    let mut complaints = Vec::new();
    for file in tree.ending(".rs") {
        let lines = file.text.lines().count();
        if lines > FILE_LINES {
            let text = format!("{lines} lines: split it by noun below {FILE_LINES}");
            complaints.push(Complaint { path: file.path.clone(), line: None, text });
        }
    }
    Ok(complaints)
}

/// Name, first line and number of lines of each function with a body.
#[derive(Default)]
struct Functions(Vec<(String, usize, usize)>);

impl Functions {
    fn note(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let first = signature.fn_token.span.start().line;
        let end: Span = block.brace_token.span.close();
        self.0.push((signature.ident.to_string(), first, end.end().line - first + 1));
    }
}

impl<'a> Visit<'a> for Functions {
    fn visit_item_fn(&mut self, it: &'a syn::ItemFn) {
        self.note(&it.sig, &it.block);
        visit::visit_item_fn(self, it);
    }

    fn visit_impl_item_fn(&mut self, it: &'a syn::ImplItemFn) {
        self.note(&it.sig, &it.block);
        visit::visit_impl_item_fn(self, it);
    }

    fn visit_trait_item_fn(&mut self, it: &'a syn::TraitItemFn) {
        if let Some(block) = &it.default {
            self.note(&it.sig, block);
        }
        visit::visit_trait_item_fn(self, it);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::tests::complaints;

    /// A function of this many lines.
    fn function(name: &str, lines: usize) -> String {
        format!("fn {name}() {{\n{}}}\n", "    let _ = 1;\n".repeat(lines - 2))
    }

    // Long functions are found wherever they are; one of just the allowed length is not.
    #[test]
    fn long_functions_are_found() {
        let text = format!(
            "{}struct S;\nimpl S {{\n{}}}\ntrait T {{\n{}}}\nmod m {{\n{}}}\n",
            function("free", 71),
            function("method", 72),
            function("given", 73),
            function("fitting", 70),
        );
        assert_eq!(
            complaints(functions, &[("a.rs", &text)]),
            [
                "a.rs: free has 71 lines, 70 are allowed",
                "a.rs: method has 72 lines, 70 are allowed",
                "a.rs: given has 73 lines, 70 are allowed",
            ]
        );
    }

    // Long files are found.
    #[test]
    fn long_files_are_found() {
        let tree = [("long.rs", "\n".repeat(601)), ("short.rs", "\n".repeat(600))];
        let tree: Vec<_> = tree.iter().map(|(path, text)| (*path, text.as_str())).collect();
        assert_eq!(complaints(files, &tree), ["long.rs: 601 lines: split it by noun below 600"]);
    }
}
