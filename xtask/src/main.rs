//! Checks that no compiler makes: layers, docs, lengths, words and sizes.
//!
//! `cargo run -p xtask -- tidy` reads the sources, `cargo run -p xtask -- budget` builds and measures the binary.
//! Deliberately knows nothing of what the crates do.

mod budget;
mod rules;
mod tree;

use anyhow::{Context, bail};
use rules::{RULES, Weight};
use std::path::Path;
use std::process::ExitCode;
use tree::Tree;

const USAGE: &str = "usage: cargo run -p xtask -- tidy | budget";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask is in a folder")?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["tidy"] => tidy(root),
        ["budget"] => budget::check(root),
        _ => bail!(USAGE),
    }
}

/// Prints what every rule has to say of the sources. Errors: if one complains.
fn tidy(root: &Path) -> anyhow::Result<()> {
    let tree = Tree::read(root)?;
    let mut broken = 0;
    for rule in RULES {
        for complaint in (rule.check)(&tree)? {
            let line = complaint.line.map_or(String::new(), |line| format!(":{line}"));
            let weight = match rule.weight {
                Weight::Error => "error",
                Weight::Warning => "warning",
            };
            println!("{}{line}: {weight}: {} [{}]", complaint.path, complaint.text, rule.name);
            broken += usize::from(rule.weight == Weight::Error);
        }
    }
    if broken > 0 {
        bail!("{broken} places break a rule");
    }
    println!(
        "tidy: {} files and {} crates keep {} rules",
        tree.files.len(),
        tree.crates.len(),
        RULES.len()
    );
    Ok(())
}
