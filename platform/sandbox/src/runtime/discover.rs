//! The interpreters of this machine, by exact version.

use super::environment::TASK_ROOT;
use super::install::{Launch, RUNTIME_DIRECTORY};
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runtimes that bring their own program: any Lambda bootstrap.
const PROVIDED: [&str; 2] = ["provided.al2", "provided.al2023"];
/// Where interpreters are looked for. Directories under /opt may have one each, as /opt/python3.12/bin.
const DIRECTORIES: [&str; 2] = ["/usr/bin", "/usr/local/bin"];
/// Nothing under these is ever used: instances do not see them, and shims live there.
const PRIVATE: [&str; 2] = ["/root", "/home"];

/// What a program interprets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Language {
    /// CPython.
    Python,
    /// Node.js.
    Nodejs,
}

/// An interpreter of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpreter {
    /// Lambda's name of the runtime: `python3.11`, `nodejs20.x`.
    pub name: String,
    /// What it interprets.
    pub language: Language,
    /// The program itself, links resolved.
    pub path: PathBuf,
    /// Whole version, as in `3.11.2`.
    pub version: String,
    /// File name of our client, once it is installed.
    pub(super) client: Option<String>,
}

impl Interpreter {
    /// The directory that must be visible beside /usr and /lib for it to run, where there is one: its installation's
    /// own, as /opt/python3.12 or /usr/local.
    pub fn prefix(&self) -> Option<&Path> {
        let prefix = self.path.parent()?.parent()?;
        (prefix != Path::new("/usr") && prefix != Path::new("/")).then_some(prefix)
    }
}

/// The runtimes that functions can have here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runtimes {
    /// By name, each once.
    pub(super) interpreters: Vec<Interpreter>,
    pub(super) mount: PathBuf,
}

impl Runtimes {
    /// Looks in /usr/bin, /usr/local/bin, /opt/*/bin and then in `extra`, each an interpreter or a directory of some.
    /// The first of a name is taken. Runs each candidate once, to ask for its version; scripts, such as version
    /// managers' shims, and anything under /root or /home are passed over.
    pub fn discover(extra: &[PathBuf]) -> Self {
        let mut directories: Vec<PathBuf> = DIRECTORIES.iter().map(PathBuf::from).collect();
        directories.extend(entries(Path::new("/opt")).into_iter().map(|path| path.join("bin")));
        let mut candidates: Vec<PathBuf> = Vec::new();
        for directory in directories.iter().chain(extra) {
            if directory.is_file() {
                candidates.push(directory.clone());
            } else {
                candidates.extend(entries(directory).into_iter().filter(|path| is_named_so(path)));
            }
        }
        let mut interpreters: Vec<Interpreter> =
            candidates.iter().filter_map(|path| inspect(path)).collect();
        // Stable, so that the first of a name stays first.
        interpreters.sort_by(|one, other| one.name.cmp(&other.name));
        interpreters.dedup_by(|later, first| later.name == first.name);
        Self { interpreters, mount: PathBuf::from(RUNTIME_DIRECTORY) }
    }

    /// The interpreters, by name.
    pub fn interpreters(&self) -> impl Iterator<Item = &Interpreter> {
        self.interpreters.iter()
    }

    /// Every name that a function may ask for, `provided.al2023` among them.
    pub fn names(&self) -> Vec<String> {
        let provided = PROVIDED.iter().map(|name| (*name).to_owned());
        let found = self.interpreters.iter().map(|interpreter| interpreter.name.clone());
        found.chain(provided).collect()
    }

    /// How to start a runtime in a sandbox that shows `package` at /var/task and our clients where they were installed
    /// to. None where there is no such runtime here. The handler goes by `_HANDLER`.
    pub fn launch(&self, runtime: &str, package: &Path) -> Option<Launch> {
        if PROVIDED.contains(&runtime) {
            let own = package.join("bootstrap").exists();
            let directory = if own { TASK_ROOT } else { "/opt" };
            return Some(Launch {
                program: Path::new(directory).join("bootstrap"),
                arguments: Vec::new(),
            });
        }
        let interpreter = self.interpreters.iter().find(|found| found.name == runtime)?;
        let mut arguments = Vec::new();
        if interpreter.language == Language::Python {
            // No `site`: its packages are the host's, not Lambda's, and it costs a tenth of the start.
            arguments.push("-S".to_owned());
        }
        let client = self.mount.join(interpreter.client.as_ref()?);
        arguments.push(client.to_string_lossy().into_owned());
        Some(Launch { program: interpreter.path.clone(), arguments })
    }
}

/// Paths in a directory, sorted; none where it cannot be read.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let read = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = read.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// `node`, `nodejs`, `node20`, `python3.11`; not `python3`, whose version changes under its name, nor
/// `python3.11-config`.
fn is_named_so(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let numbered = |rest: &str| rest.bytes().all(|byte| byte.is_ascii_digit());
    match (name.strip_prefix("python3."), name.strip_prefix("node")) {
        (Some(minor), _) => !minor.is_empty() && numbered(minor),
        (None, Some(rest)) => numbered(rest.strip_prefix("js").unwrap_or(rest)),
        (None, None) => false,
    }
}

/// What an interpreter says of itself; None for anything that is none.
fn inspect(path: &Path) -> Option<Interpreter> {
    let path = fs::canonicalize(path).ok()?;
    if PRIVATE.iter().any(|directory| path.starts_with(directory)) || !is_program(&path) {
        return None;
    }
    let output = Command::new(&path)
        .arg("--version")
        .env_clear()
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (name, language, version) = parse_version(text.trim())?;
    Some(Interpreter { name, language, path, version, client: None })
}

/// Lambda's name, language and version of `Python 3.11.2` or `v20.20.2`.
fn parse_version(text: &str) -> Option<(String, Language, String)> {
    let (language, version) = match (text.strip_prefix("Python "), text.strip_prefix('v')) {
        (Some(version), _) => (Language::Python, version),
        (None, Some(version)) => (Language::Nodejs, version),
        (None, None) => return None,
    };
    let mut numbers = version.split('.');
    let major: u32 = numbers.next()?.parse().ok()?;
    let minor: u32 = numbers.next()?.parse().ok()?;
    let name = match language {
        Language::Python => format!("python{major}.{minor}"),
        Language::Nodejs => format!("nodejs{major}.x"),
    };
    Some((name, language, version.to_owned()))
}

/// Whether a file is an executable program of the kernel's own format, no script.
fn is_program(path: &Path) -> bool {
    let Ok(mut file) = fs::File::open(path) else { return false };
    let executable = file
        .metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0);
    let mut magic = [0; 4];
    executable && file.read_exact(&mut magic).is_ok() && magic == *b"\x7fELF"
}

#[cfg(test)]
mod tests {
    use super::*;

    // Exact names only: what follows a version is another program.
    #[test]
    fn names_of_interpreters() {
        for name in ["python3.11", "python3.9", "node", "nodejs", "node22"] {
            assert!(is_named_so(&Path::new("/usr/bin").join(name)), "{name}");
        }
        for name in ["python3", "python3.", "python3.11-config", "nodemon", "node-gyp", "perl"] {
            assert!(!is_named_so(&Path::new("/usr/bin").join(name)), "{name}");
        }
    }

    // Versions become Lambda's names, and other words none.
    #[test]
    fn versions() {
        let python = ("python3.11".to_owned(), Language::Python, "3.11.2".to_owned());
        assert_eq!(parse_version("Python 3.11.2"), Some(python));
        let node = ("nodejs20.x".to_owned(), Language::Nodejs, "20.20.2".to_owned());
        assert_eq!(parse_version("v20.20.2"), Some(node));
        assert_eq!(parse_version("GNU bash"), None);
    }

    // A script that calls itself an interpreter is passed over without being run.
    #[test]
    fn shims_are_passed_over() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let shim = directory.path().join("python3.99");
        fs::write(&shim, "#!/bin/sh\ntouch \"$0.ran\"; echo Python 3.99.1\n").expect("writes");
        fs::set_permissions(&shim, fs::Permissions::from_mode(0o755)).expect("permissions");
        let runtimes = Runtimes::discover(&[directory.path().to_owned()]);
        assert!(!runtimes.names().contains(&"python3.99".to_owned()));
        assert!(!shim.with_extension("99.ran").exists());
    }

    // A package with a bootstrap runs it; one without leaves it to a layer.
    #[test]
    fn provided_runtimes() {
        let package = tempfile::tempdir().expect("temporary directory");
        let runtimes = Runtimes::default();
        let program = |package: &Path| {
            runtimes.launch("provided.al2023", package).map(|launch| launch.program)
        };
        assert_eq!(program(package.path()), Some("/opt/bootstrap".into()));
        fs::write(package.path().join("bootstrap"), "").expect("writes");
        assert_eq!(program(package.path()), Some("/var/task/bootstrap".into()));
        assert_eq!(runtimes.launch("python3.11", package.path()), None);
    }
}
