//! What a sandbox runs: a package and its layers on disk, and the command.
//!
//! Deliberately knows nothing of how either is mounted.

use super::child::{LAYERS, PACKAGE};
use crate::runtime::{Launch, Runtimes};
use crate::seam::{Package, PrepareError, Settings};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Names the program that starts the runtime in its place (AWS Lambda developer guide, "Modifying the runtime
/// environment", 2026-11). OS-only runtimes have none.
const WRAPPER: &str = "AWS_LAMBDA_EXEC_WRAPPER";

/// Where a sandbox sees its external extensions (AWS Lambda developer guide, "Extensions API", 2026-11).
pub(super) const EXTENSIONS: &str = "/opt/extensions";

/// A package and how to run it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerImage {
    /// Directory that is seen as /var/task.
    pub package: PathBuf,
    /// Directory that is seen as /opt: all layers of the function, merged. None for an empty /opt.
    pub layers: Option<PathBuf>,
    /// Names of the external extensions among the layers' files, sorted.
    pub extensions: Vec<String>,
    /// What to exec.
    pub launch: Launch,
}

impl ContainerImage {
    /// Finds what is to be executed. Errors: [`PrepareError`].
    pub(super) fn prepare(
        runtimes: &Runtimes,
        package: &Package,
        settings: &Settings,
    ) -> Result<Self, PrepareError> {
        let canonical = |path: &Path| {
            fs::canonicalize(path).map_err(|source| PrepareError::Io {
                digest: package.digest.clone(),
                path: path.to_owned(),
                source,
            })
        };
        let directory = canonical(&package.directory)?;
        let layers = package.layers.as_deref().map(canonical).transpose()?;
        let mut launch = runtimes.launch(&settings.runtime, &directory).ok_or_else(|| {
            PrepareError::NoRuntime {
                runtime: settings.runtime.clone(),
                found: runtimes.names().join(", "),
            }
        })?;
        let is_interpreted = !launch.is_bootstrap();
        if is_interpreted && layers.is_some() && launch.program.starts_with(LAYERS) {
            let interpreter = launch.program;
            return Err(PrepareError::HiddenByLayers { interpreter });
        }
        let wrapper = settings.environment.get(WRAPPER).filter(|wrapper| !wrapper.is_empty());
        if let Some(wrapper) = wrapper.filter(|_| is_interpreted) {
            let interpreter = launch.program.to_string_lossy().into_owned();
            launch.arguments.insert(0, interpreter);
            launch.program = PathBuf::from(wrapper);
        }
        let extensions = match &layers {
            Some(layers) => extensions(layers).map_err(|source| PrepareError::Io {
                digest: package.digest.clone(),
                path: layers.join("extensions"),
                source,
            })?,
            None => Vec::new(),
        };
        Ok(Self { package: directory, layers, extensions, launch })
    }

    /// Whether there is something to run. Interpreters were found; what a package or a layer brings may be missing, or no
    /// program.
    pub(super) fn has_entrypoint(&self) -> bool {
        let program = &self.launch.program;
        let root = match (program.strip_prefix(PACKAGE), program.strip_prefix(LAYERS)) {
            (Ok(path), _) => Some((Some(&self.package), path)),
            (_, Ok(path)) if self.layers.is_some() || self.launch.is_bootstrap() => {
                Some((self.layers.as_ref(), path))
            }
            _ => None,
        };
        match root {
            // The machine's own.
            None => true,
            Some((None, _)) => false,
            Some((Some(root), path)) => is_program(root, path).unwrap_or(false),
        }
    }
}

/// Names of the files right in `extensions` within `layers`, wherever links there lead: they are the function's. Directories
/// are none, and what is no program fails when it is started, as at AWS.
fn extensions(layers: &Path) -> io::Result<Vec<String>> {
    let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, layers, directory, Mode::empty())?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let within = ResolveFlags::IN_ROOT;
    let extensions = match openat2(root, "extensions", flags, Mode::empty(), within) {
        Ok(extensions) => extensions,
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(&extensions)? {
        let entry = entry?;
        if entry.file_type() != rustix::fs::FileType::Directory {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Whether there is an executable file at `path` within `root`, whatever links there say: they are the function's.
fn is_program(root: &Path, path: &Path) -> io::Result<bool> {
    let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, root, directory, Mode::empty())?;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let file = openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT)?;
    let stat = rustix::fs::fstat(file)?;
    let kind = rustix::fs::FileType::from_raw_mode(stat.st_mode);
    Ok(kind == rustix::fs::FileType::RegularFile && stat.st_mode & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn image(package: &Path, layers: Option<&Path>, program: &str) -> ContainerImage {
        ContainerImage {
            package: package.to_owned(),
            layers: layers.map(Path::to_owned),
            extensions: Vec::new(),
            launch: Launch { program: program.into(), arguments: Vec::new() },
        }
    }

    fn write(path: &Path, mode: u32) {
        fs::write(path, "#!/bin/sh\n").expect("writes");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions");
    }

    // Extensions are the files of one directory, whatever is beside and below it; no link shows files of the machine.
    #[test]
    fn extensions_are_files() {
        let layers = tempfile::tempdir().expect("layers");
        let found = || extensions(layers.path()).expect("reads");
        assert!(found().is_empty());
        fs::write(layers.path().join("extensions"), "").expect("writes");
        assert!(found().is_empty(), "no directory");
        fs::remove_file(layers.path().join("extensions")).expect("removes");
        fs::create_dir_all(layers.path().join("extensions/lib")).expect("directories");
        for name in ["two", "one", "lib/three"] {
            write(&layers.path().join("extensions").join(name), 0o555);
        }
        assert_eq!(found(), ["one", "two"]);
        fs::remove_dir_all(layers.path().join("extensions")).expect("removes");
        symlink("/etc", layers.path().join("extensions")).expect("link");
        assert!(found().is_empty(), "within the layers there is no /etc");
    }

    // A bootstrap is looked for where the sandbox will see it, in the package or in the layers, and never beyond by a link.
    #[test]
    fn entrypoints_are_found_within() {
        let (package, layers) =
            (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
        let (package, layers) = (package.path(), layers.path());
        let runs = |layers, program| image(package, layers, program).has_entrypoint();
        assert!(runs(None, "/usr/bin/python3.11"), "the machine's own");
        assert!(!runs(None, "/var/task/bootstrap") && !runs(None, "/opt/bootstrap"));
        write(&package.join("bootstrap"), 0o444);
        assert!(!runs(None, "/var/task/bootstrap"), "no program");
        write(&layers.join("real"), 0o555);
        symlink("real", layers.join("bootstrap")).expect("link");
        assert!(runs(Some(layers), "/opt/bootstrap"));
        symlink("/bin/sh", layers.join("out")).expect("link");
        assert!(!runs(Some(layers), "/opt/out"), "leads out of the layers");
        assert!(!runs(Some(layers), "/opt/none"));
    }
}
