//! Directories as zips, and what is in a zip.

use anyhow::{Context, bail};
use std::fs::{self, File};
use std::io::{Cursor, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// What no function needs: version control, caches, virtual environments, what compilers leave.
const LEFT_OUT: [&str; 11] = [
    ".git",
    ".hg",
    ".svn",
    "__pycache__",
    ".venv",
    "venv",
    ".mypy_cache",
    ".pytest_cache",
    ".aws-sam",
    "target",
    ".idea",
];
/// Most files of a package that is made here; a home directory that is named by mistake has more.
const FILES: usize = 50_000;
/// Most bytes of a package before it is packed (AWS Lambda quotas, 2026-11: 250 MB unzipped).
const BYTES: u64 = 262_144_000;
/// Most bytes of a text that is looked into.
const TEXT: u64 = 1 << 20;

/// A zip that is being made. The same files make the same bytes.
pub struct Archive {
    writer: ZipWriter<Cursor<Vec<u8>>>,
    bytes: u64,
}

impl Archive {
    /// An empty one.
    pub fn new() -> Self {
        Self { writer: ZipWriter::new(Cursor::new(Vec::new())), bytes: 0 }
    }

    /// Adds a file under this name. Whatever may run stays so; a `bootstrap` becomes so.
    pub fn add_file(&mut self, name: &str, path: &Path) -> anyhow::Result<()> {
        let cannot = || format!("cannot read {}", path.display());
        let mode = fs::metadata(path).with_context(cannot)?.permissions().mode();
        let bytes = fs::read(path).with_context(cannot)?;
        let is_program = mode & 0o111 != 0 || name == "bootstrap";
        self.add(name, &bytes, if is_program { 0o755 } else { 0o644 })
    }

    /// Adds the files of a directory, without what no function needs.
    pub fn add_directory(&mut self, path: &Path) -> anyhow::Result<()> {
        for (name, file) in files(path)? {
            self.add_file(&name, &file)?;
        }
        Ok(())
    }

    /// Adds bytes under this name.
    pub fn add(&mut self, name: &str, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
        self.bytes += bytes.len() as u64;
        if self.bytes > BYTES {
            bail!(
                "the package has more than {BYTES} bytes, which is the most that Lambda takes: leave files out"
            );
        }
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .unix_permissions(mode);
        self.writer.start_file(name, options).context("cannot write a zip")?;
        self.writer.write_all(bytes).context("cannot write a zip")
    }

    /// The bytes of the zip.
    pub fn finish(self) -> anyhow::Result<Vec<u8>> {
        Ok(self.writer.finish().context("cannot write a zip")?.into_inner())
    }
}

/// Whether a file or directory of this name belongs into no package.
pub fn left_out(name: &str) -> bool {
    LEFT_OUT.contains(&name) || name.ends_with(".pyc")
}

/// The files of a directory that belong into its package, by name, in order.
pub fn files(path: &Path) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), path.to_owned())];
    while let Some((prefix, directory)) = open.pop() {
        let entries = fs::read_dir(&directory)
            .with_context(|| format!("cannot read {}", directory.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot read {}", directory.display()))?;
            let Ok(name) = entry.file_name().into_string() else {
                bail!("{} has a name that is no UTF-8", entry.path().display());
            };
            if left_out(&name) {
                continue;
            }
            // Links are followed, as zip does; one that leads nowhere is passed over.
            let Ok(kind) = fs::metadata(entry.path()) else { continue };
            let name = format!("{prefix}{name}");
            if kind.is_dir() {
                open.push((format!("{name}/"), entry.path()));
            } else if kind.is_file() {
                found.push((name, entry.path()));
            }
            if found.len() > FILES || open.len() > FILES {
                bail!(
                    "{} has more than {FILES} files: name the directory of one function",
                    path.display()
                );
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The names of a zip's files.
pub fn names(path: &Path) -> anyhow::Result<Vec<String>> {
    let cannot = || format!("cannot read {} as a zip", path.display());
    let archive = ZipArchive::new(File::open(path).with_context(cannot)?).with_context(cannot)?;
    archive.file_names().map(|name| Ok(name.with_context(cannot)?.into_owned())).collect()
}

/// The text of one of a zip's files; None where it is none, or too long.
pub fn text(path: &Path, name: &str) -> Option<String> {
    let mut archive = ZipArchive::new(File::open(path).ok()?).ok()?;
    let file = archive.by_name(name).ok()?;
    let mut text = String::new();
    file.take(TEXT).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    // A package has what a function needs and nothing of version control or caches; the same files make the same bytes.
    #[test]
    fn packages_are_lean_and_alike() {
        let path = std::env::temp_dir().join(format!("peek-archive-{}", std::process::id()));
        for file in [
            "app.py",
            "lib/x.py",
            ".git/config",
            "__pycache__/app.pyc",
            "lib/y.pyc",
            "node_modules/m/i.js",
        ] {
            let file = path.join(file);
            fs::create_dir_all(file.parent().expect("a parent")).expect("made");
            fs::write(file, "x").expect("written");
        }
        let names: Vec<String> =
            files(&path).expect("read").into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["app.py", "lib/x.py", "node_modules/m/i.js"]);
        let zip = || {
            let mut archive = Archive::new();
            archive.add_directory(&path).expect("packed");
            archive.finish().expect("whole")
        };
        assert_eq!(zip(), zip());
        fs::remove_dir_all(path).expect("removed");
    }
}
