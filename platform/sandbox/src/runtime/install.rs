//! Our clients of the Runtime API, on disk where instances can read them.

use super::discover::{Interpreter, Language, Runtimes};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where instances see the clients (`LAMBDA_RUNTIME_DIR` of the Lambda docs).
pub const RUNTIME_DIRECTORY: &str = "/var/runtime";

const PYTHON: &str = include_str!("python.py");
const NODEJS: &str = include_str!("nodejs.js");

/// A program and its arguments, as a sandbox sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Absolute path.
    pub program: PathBuf,
    /// Arguments after the program's own name.
    pub arguments: Vec<String>,
}

impl Launch {
    /// Whether it is a program that the function brings itself, for want of an interpreter of the machine's.
    pub fn is_bootstrap(&self) -> bool {
        self.program.file_name().is_some_and(|name| name == "bootstrap")
    }
}

/// Why the clients could not be installed.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}")]
pub struct InstallError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

impl Runtimes {
    /// Writes our clients into `directory`, which instances will see at `mount` ([`RUNTIME_DIRECTORY`] but in tests).
    /// Compiles the Python client once per interpreter: from source it would take a third of each start.
    ///
    /// Errors: a file that cannot be written. Where compiling fails, the source is used.
    pub fn install(&mut self, directory: &Path, mount: &Path) -> Result<(), InstallError> {
        self.mount = mount.to_owned();
        let write = |name: &str, text: &str| {
            let path = directory.join(name);
            fs::write(&path, text).map_err(|source| InstallError { path, source })
        };
        write("bootstrap.py", PYTHON)?;
        write("bootstrap.js", NODEJS)?;
        for interpreter in &mut self.interpreters {
            interpreter.client = Some(match interpreter.language {
                Language::Nodejs => "bootstrap.js".to_owned(),
                Language::Python => {
                    compile(interpreter, directory).unwrap_or_else(|| "bootstrap.py".to_owned())
                }
            });
        }
        Ok(())
    }
}

/// Compiles the Python client for one interpreter. Returns the file's name.
fn compile(interpreter: &Interpreter, directory: &Path) -> Option<String> {
    let name = format!("bootstrap-{}.pyc", interpreter.name);
    let code = "import py_compile, sys\n\
                mode = py_compile.PycInvalidationMode.UNCHECKED_HASH\n\
                py_compile.compile(sys.argv[1], sys.argv[2], sys.argv[3], True, invalidation_mode=mode)";
    let status = Command::new(&interpreter.path)
        .args(["-S", "-E", "-c", code])
        .arg(directory.join("bootstrap.py"))
        .arg(directory.join(&name))
        .arg(format!("{RUNTIME_DIRECTORY}/bootstrap.py"))
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success()).then_some(name)
}
