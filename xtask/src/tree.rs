//! The sources as rules see them: files with their text, and crates with what they use.
//!
//! Deliberately knows nothing of rules.

use anyhow::Context;
use cargo_metadata::MetadataCommand;
use std::path::Path;

/// Where cargo builds, in the root.
const BUILT: &str = "target";

/// Folders that hold nothing that we wrote. Hidden ones are left out as well, but for `.ci`.
const SKIPPED: [&str; 2] = ["node_modules", "__pycache__"];

/// Endings of files that we read. What has none is read if it is a script.
const READ: [&str; 9] = ["rs", "md", "toml", "py", "js", "mjs", "sh", "txt", "css"];

/// The sources below one folder.
pub struct Tree {
    /// Every text file of ours, by path.
    pub files: Vec<File>,
    /// Every file and folder below the root, with `/` between names.
    pub paths: Vec<String>,
    /// Members of the workspace; none where there is no Cargo.toml.
    pub crates: Vec<Crate>,
}

/// One text file.
pub struct File {
    /// From the root, with `/` between names.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// One member of the workspace.
pub struct Crate {
    /// Name.
    pub name: String,
    /// Its folder from the root, with `/` between names.
    pub folder: String,
    /// Names of the crates that it uses in its library, binaries and build script, ours and others.
    pub uses: Vec<String>,
}

impl Tree {
    /// Reads everything below `root`.
    pub fn read(root: &Path) -> anyhow::Result<Self> {
        let mut tree = Self { files: Vec::new(), paths: Vec::new(), crates: Vec::new() };
        tree.walk(root, "")?;
        tree.files.sort_by(|one, other| one.path.cmp(&other.path));
        if root.join("Cargo.toml").exists() {
            tree.crates = crates(root)?;
        }
        Ok(tree)
    }

    /// Files with this ending.
    pub fn ending(&self, ending: &str) -> impl Iterator<Item = &File> {
        self.files.iter().filter(move |file| file.path.ends_with(ending))
    }

    /// Documents for readers: docs/**/*.md, and those in the root.
    pub fn documents(&self) -> impl Iterator<Item = &File> {
        self.ending(".md").filter(|file| file.path.starts_with("docs/") || !file.path.contains('/'))
    }

    fn walk(&mut self, root: &Path, folder: &str) -> anyhow::Result<()> {
        let path = root.join(folder);
        let entries = path.read_dir().with_context(|| format!("cannot list {}", path.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot list {}", path.display()))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            let hidden = name.starts_with('.') && name != ".ci";
            if hidden || path == BUILT || SKIPPED.contains(&name.as_str()) {
                continue;
            }
            let kind = entry.file_type().with_context(|| format!("cannot look at {path}"))?;
            self.paths.push(path.clone());
            if kind.is_dir() {
                self.walk(root, &path)?;
            } else if kind.is_file() && is_read(&name) {
                // What is no text is nothing that we wrote.
                let bytes =
                    std::fs::read(entry.path()).with_context(|| format!("cannot read {path}"))?;
                if let Ok(text) = String::from_utf8(bytes) {
                    self.files.push(File { path, text });
                }
            }
        }
        Ok(())
    }
}

fn is_read(name: &str) -> bool {
    match name.rsplit_once('.') {
        Some((_, ending)) => READ.contains(&ending),
        None => true,
    }
}

fn crates(root: &Path) -> anyhow::Result<Vec<Crate>> {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec()
        .context("cannot read the workspace")?;
    let mut crates = Vec::new();
    for package in &metadata.packages {
        let folder = package
            .manifest_path
            .parent()
            .and_then(|folder| folder.strip_prefix(&metadata.workspace_root).ok())
            .with_context(|| format!("{} is outside of the workspace", package.manifest_path))?;
        let uses = package.dependencies.iter().filter(|it| {
            matches!(
                it.kind,
                cargo_metadata::DependencyKind::Normal | cargo_metadata::DependencyKind::Build
            )
        });
        crates.push(Crate {
            name: package.name.to_string(),
            folder: folder.to_string(),
            uses: uses.map(|it| it.name.clone()).collect(),
        });
    }
    Ok(crates)
}
