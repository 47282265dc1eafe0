//! What is to be deployed: any of the forms in which people have functions, as a zip with a runtime and a handler.
//!
//! Deliberately knows nothing of endpoints. What was guessed is said in words.

mod archive;
mod cargo_lambda;
mod entry;

use anyhow::{Context, bail};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use archive::Archive;
pub use archive::left_out;
pub use cargo_lambda::built;

/// A language that runs functions here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// A program named `bootstrap`.
    Native,
    /// Python 3.
    Python,
    /// Node.js.
    Node,
}

impl Language {
    /// The runtime to try first: what AWS offers as the newest that is in wide use (Lambda runtimes page, 2026-11). An
    /// endpoint that lacks it names those that it has.
    pub const fn runtime(self) -> &'static str {
        match self {
            Self::Native => "provided.al2023",
            Self::Python => "python3.13",
            Self::Node => "nodejs22.x",
        }
    }

    /// The language of a runtime, as in `python3.11`; None for others than these.
    pub fn of(runtime: &str) -> Option<Self> {
        match runtime {
            _ if runtime.starts_with("provided") => Some(Self::Native),
            _ if runtime.starts_with("python") => Some(Self::Python),
            _ if runtime.starts_with("nodejs") => Some(Self::Node),
            _ => None,
        }
    }
}

/// A function as it is found on disk.
#[derive(Clone, Debug)]
pub struct Source {
    /// A name for it, from its file or directory.
    pub name: String,
    /// Its language; None where the files do not say.
    pub language: Option<Language>,
    /// Its handler; None where the files do not say.
    pub handler: Option<String>,
    /// Its machine, as Lambda names it: `x86_64`, `arm64`; None where it runs on any.
    pub architecture: Option<&'static str>,
    /// What was found, in words.
    pub found: String,
    /// What its user may have overlooked.
    pub warnings: Vec<String>,
    /// What becomes the zip.
    pub content: Content,
    /// Files that are put into the zip beside that: name and text.
    pub added: Vec<(String, String)>,
}

/// What becomes a function's zip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// It is one.
    Zip(PathBuf),
    /// A directory, whole but for what no function needs.
    Directory(PathBuf),
    /// One file, under this name.
    File(PathBuf, String),
    /// One file of this name, with this text.
    Text(String, String),
}

impl Source {
    /// Looks at a path. `wanted` chooses among several functions of one directory.
    ///
    /// Errors: nothing that can be deployed, or several functions and none is named; they say what to do.
    pub fn find(path: &Path, wanted: Option<&str>) -> anyhow::Result<Self> {
        let path =
            fs::canonicalize(path).with_context(|| format!("cannot find {}", path.display()))?;
        if path.is_dir() {
            return Self::of_directory(&path, wanted);
        }
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        match extension.as_str() {
            "zip" => Self::of_zip(&path, stem),
            "py" | "js" | "mjs" | "cjs" => Self::of_script(&path, stem),
            "ts" | "mts" => bail!(
                "{} is TypeScript, which no runtime reads: compile it, then deploy the JavaScript",
                path.display()
            ),
            _ => Self::of_program(&path),
        }
    }

    /// The zip. Errors: files that cannot be read, or too many bytes.
    pub fn zip(&self) -> anyhow::Result<Vec<u8>> {
        let mut archive = Archive::new();
        match &self.content {
            Content::Zip(path) => {
                return fs::read(path).with_context(|| format!("cannot read {}", path.display()));
            }
            Content::Directory(path) => archive.add_directory(path)?,
            Content::File(path, name) => archive.add_file(name, path)?,
            Content::Text(name, text) => archive.add(name, text.as_bytes(), 0o644)?,
        }
        for (name, text) in &self.added {
            archive.add(name, text.as_bytes(), 0o644)?;
        }
        archive.finish()
    }

    /// The files of it that can be looked into, with their paths; none of a zip.
    pub fn files(&self) -> Vec<(String, PathBuf)> {
        match &self.content {
            Content::Directory(path) => archive::files(path).unwrap_or_default(),
            Content::File(path, name) => vec![(name.clone(), path.clone())],
            Content::Zip(_) | Content::Text(..) => Vec::new(),
        }
    }

    /// A function whose one file has this text.
    pub fn inline(name: &str, file: &str, text: String) -> Self {
        Self {
            name: as_name(name),
            language: entry::language_of(file),
            handler: None,
            architecture: None,
            found: "inline code".to_owned(),
            warnings: Vec::new(),
            content: Content::Text(file.to_owned(), text),
            added: Vec::new(),
        }
    }

    /// A directory of which nothing is to be guessed.
    pub fn plain(path: &Path) -> anyhow::Result<Self> {
        let path =
            fs::canonicalize(path).with_context(|| format!("cannot find {}", path.display()))?;
        Ok(Self {
            name: as_name(&path.file_name().unwrap_or_default().to_string_lossy()),
            language: None,
            handler: None,
            architecture: None,
            found: format!("directory {}", path.display()),
            warnings: Vec::new(),
            content: Content::Directory(path),
            added: Vec::new(),
        })
    }

    fn of_zip(path: &Path, name: String) -> anyhow::Result<Self> {
        let files = archive::names(path)?;
        let entry = entry::among(&files, |file| archive::text(path, file));
        let name = if name == "bootstrap" { parent_name(path) } else { name };
        Ok(Self {
            name: as_name(&name),
            language: entry.as_ref().map(|entry| entry.language),
            handler: entry.map(|entry| entry.handler),
            architecture: None,
            found: format!("zip {}", path.display()),
            warnings: Vec::new(),
            content: Content::Zip(path.to_owned()),
            added: Vec::new(),
        })
    }

    fn of_script(path: &Path, stem: String) -> anyhow::Result<Self> {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let language = entry::language_of(&file).context("it is Python or JavaScript")?;
        let handler =
            entry::handler_in(&text, language).map(|function| format!("{stem}.{function}"));
        Ok(Self {
            name: as_name(&stem),
            language: Some(language),
            handler,
            architecture: None,
            found: format!("file {file}"),
            warnings: Vec::new(),
            content: Content::File(path.to_owned(), file),
            added: Vec::new(),
        })
    }

    fn of_program(path: &Path) -> anyhow::Result<Self> {
        let mut head = [0; 20];
        let read = fs::File::open(path).and_then(|mut file| file.read(&mut head));
        let read = read.with_context(|| format!("cannot read {}", path.display()))?;
        let is_script = head.starts_with(b"#!");
        if !is_script && !head[..read].starts_with(b"\x7fELF") {
            bail!(
                "{} is none of: a directory, a .zip, a .py, .js, .mjs or .cjs file, an ELF program, a script that \
                 begins with #!",
                path.display()
            );
        }
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let name = if stem == "bootstrap" { parent_name(path) } else { stem };
        Ok(Self {
            name: as_name(&name),
            language: Some(Language::Native),
            handler: Some("bootstrap".to_owned()),
            architecture: if is_script { None } else { Some(machine(&head, path)?) },
            found: format!("{} {}", if is_script { "script" } else { "program" }, path.display()),
            warnings: Vec::new(),
            content: Content::File(path.to_owned(), "bootstrap".to_owned()),
            added: Vec::new(),
        })
    }

    fn of_directory(path: &Path, wanted: Option<&str>) -> anyhow::Result<Self> {
        let built = cargo_lambda::built(path);
        let chosen = match (built.as_slice(), wanted) {
            ([], _) => None,
            (built, Some(wanted)) if built.iter().any(|(name, _)| name == wanted) => {
                built.iter().find(|(name, _)| name == wanted)
            }
            ([one], _) => Some(one),
            (several, _) => {
                let names: Vec<&str> = several.iter().map(|(name, _)| name.as_str()).collect();
                bail!(
                    "{} holds several functions ({}): choose one with --name, or deploy them one by one from {}",
                    path.display(),
                    names.join(", "),
                    several[0].1.parent().and_then(Path::parent).unwrap_or(path).display()
                )
            }
        };
        if let Some((name, program)) = chosen {
            let mut source = if program.extension().is_some_and(|it| it == "zip") {
                Self::of_zip(program, name.clone())?
            } else {
                Self::of_program(program)?
            };
            source.name = as_name(name);
            source.found = format!("output of cargo lambda build, {}", program.display());
            return Ok(source);
        }
        let files = archive::files(path)?;
        let names: Vec<String> = files.iter().map(|(name, _)| name.clone()).collect();
        let entry = entry::among(&names, |name| fs::read_to_string(path.join(name)).ok());
        let has = |name: &str| names.iter().any(|file| file == name);
        if entry.is_none() && has("Cargo.toml") {
            bail!(
                "{} is a Rust project that is not built: run cargo lambda build --release in it, or name the program",
                path.display()
            );
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self {
            name: as_name(&name),
            language: entry.as_ref().map(|entry| entry.language),
            handler: entry.as_ref().map(|entry| entry.handler.clone()),
            architecture: None,
            found: format!("directory {}, {} files", path.display(), names.len()),
            warnings: overlooked(path, entry.map(|entry| entry.language)),
            content: Content::Directory(path.to_owned()),
            added: Vec::new(),
        })
    }
}

/// What a package manager would have had to do before.
fn overlooked(path: &Path, language: Option<Language>) -> Vec<String> {
    let has = |name: &str| path.join(name).exists();
    let mut warnings = Vec::new();
    let wants_python = fs::read_to_string(path.join("requirements.txt")).is_ok_and(|text| {
        text.lines().any(|line| !line.trim().is_empty() && !line.trim().starts_with('#'))
    });
    let has_packages = fs::read_dir(path).is_ok_and(|mut entries| {
        entries.any(|entry| {
            entry.is_ok_and(|entry| entry.file_name().to_string_lossy().ends_with(".dist-info"))
        })
    });
    if language == Some(Language::Python) && wants_python && !has_packages {
        warnings.push(
            "requirements.txt is not installed by this command: pip install --target . -r requirements.txt".to_owned(),
        );
    }
    let wants_node = fs::read_to_string(path.join("package.json"))
        .is_ok_and(|text| text.contains("\"dependencies\""));
    if language == Some(Language::Node) && wants_node && !has("node_modules") {
        warnings.push(
            "package.json has dependencies and there is no node_modules: npm install --omit=dev"
                .to_owned(),
        );
    }
    warnings
}

/// A directory as a zip, without what no function needs.
pub fn directory_zip(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut archive = Archive::new();
    archive.add_directory(path)?;
    archive.finish()
}

/// A name that Lambda takes, from one that a file has.
pub fn as_name(text: &str) -> String {
    let name: String = text
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || letter == '_' { letter } else { '-' })
        .take(64)
        .collect();
    match name.trim_matches('-') {
        "" => "function".to_owned(),
        name => name.to_owned(),
    }
}

fn parent_name(path: &Path) -> String {
    let parent = path.parent().and_then(Path::file_name).unwrap_or_default();
    parent.to_string_lossy().into_owned()
}

/// The machine of an ELF program (ELF header, e_machine: 62 is x86-64, 183 AArch64).
fn machine(head: &[u8; 20], path: &Path) -> anyhow::Result<&'static str> {
    match u16::from_le_bytes([head[18], head[19]]) {
        62 => Ok("x86_64"),
        183 => Ok("arm64"),
        other => bail!(
            "{} is a program for machine {other}; functions run on x86_64 or arm64",
            path.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
        let path = std::env::temp_dir().join(format!("peek-source-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        for (file, text) in files {
            let file = path.join(file);
            fs::create_dir_all(file.parent().expect("a parent")).expect("made");
            fs::write(file, text).expect("written");
        }
        path
    }

    // Runtime and handler come from the files themselves, in the order in which people name them.
    #[test]
    fn directories_tell_runtime_and_handler() {
        for (files, language, handler) in [
            (
                vec![("app.py", "def lambda_handler(event, context):\n  pass")],
                Language::Python,
                "app.lambda_handler",
            ),
            (
                vec![("x.py", "X = 1"), ("y.py", "async def handler(e, c): pass")],
                Language::Python,
                "y.handler",
            ),
            (
                vec![("index.mjs", "export const handler = async () => 1")],
                Language::Node,
                "index.handler",
            ),
            (
                vec![
                    ("package.json", r#"{"main": "src/a.js"}"#),
                    ("src/a.js", "exports.run = 1; exports.handler = f"),
                ],
                Language::Node,
                "src/a.handler",
            ),
            (vec![("bootstrap", "#!/bin/sh"), ("app.py", "")], Language::Native, "bootstrap"),
        ] {
            let path = folder("tell", &files);
            let source = Source::find(&path, None).expect("found");
            assert_eq!(
                (source.language, source.handler.as_deref()),
                (Some(language), Some(handler)),
                "{files:?}"
            );
            fs::remove_dir_all(path).expect("removed");
        }
    }

    // The output of cargo lambda build is taken as it is; of several functions one must be named.
    #[test]
    fn built_programs_are_found() {
        let elf = "\u{7f}ELF\u{2}\u{1}\u{1}\0\0\0\0\0\0\0\0\0\u{3}\0\u{3e}\0";
        let path = folder("built", &[("Cargo.toml", ""), ("target/lambda/one/bootstrap", elf)]);
        let source = Source::find(&path, None).expect("found");
        assert_eq!((source.name.as_str(), source.architecture), ("one", Some("x86_64")));
        let more = path.join("target/lambda/two");
        fs::create_dir_all(&more).expect("made");
        fs::write(more.join("bootstrap"), elf).expect("written");
        let error = Source::find(&path, None).expect_err("two").to_string();
        assert!(error.contains("one, two") && error.contains("--name"), "{error}");
        assert_eq!(Source::find(&path, Some("two")).expect("named").name, "two");
        fs::remove_dir_all(path).expect("removed");
    }

    // What cannot be run is refused with what to do, not uploaded.
    #[test]
    fn other_things_are_refused() {
        let path =
            folder("refused", &[("Cargo.toml", "[package]"), ("f.ts", ""), ("notes.txt", "text")]);
        let refused = |file: &str| {
            format!("{:#}", Source::find(&path.join(file), None).expect_err("refused"))
        };
        assert!(refused("").contains("cargo lambda build"), "{}", refused(""));
        assert!(refused("f.ts").contains("compile it"));
        assert!(refused("notes.txt").contains("none of"));
        assert!(refused("absent").contains("cannot find"));
        fs::remove_dir_all(path).expect("removed");
    }

    // Names are made of what Lambda allows.
    #[test]
    fn names_fit() {
        assert_eq!(as_name("my app.v2"), "my-app-v2");
        assert_eq!(as_name("..."), "function");
        assert_eq!(as_name(&"x".repeat(100)).len(), 64);
    }
}
