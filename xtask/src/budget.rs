//! What the binary may weigh, and how much of others is in it.
//!
//! Deliberately knows nothing of the sources.

use anyhow::{Context, bail};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Size of the stripped release binary, in bytes: 40 MB.
const BINARY_BYTES: u64 = 40_000_000;

/// The package and the binary that users get.
const PROGRAM: (&str, &str) = ("cli", "peek");

/// Builds the binary, prints its size and the number of crates of others in it.
///
/// Errors: if it does not build, or weighs more than [`BINARY_BYTES`].
pub fn check(root: &Path) -> anyhow::Result<()> {
    let (package, binary) = PROGRAM;
    let mut cargo = Command::new(env!("CARGO"));
    // Cargo set these for this program. A build script that looks at them would run again, and all above it be built
    // again, here and then once more in the next build.
    for (name, _) in std::env::vars_os() {
        if is_of_this_program(&name.to_string_lossy()) {
            cargo.env_remove(name);
        }
    }
    let status = cargo
        .args(["build", "--release", "--locked", "--package", package, "--bin", binary])
        .current_dir(root)
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        bail!("{binary} does not build");
    }
    let metadata = resolve(root)?;
    let path = metadata.target_directory.join("release").join(binary);
    let bytes = std::fs::metadata(&path).with_context(|| format!("cannot find {path}"))?.len();
    let dependencies = dependencies(&metadata, package)?;
    println!("{path}: {:.1} MB of {:.0} MB", megabytes(bytes), megabytes(BINARY_BYTES));
    println!("{package}: {dependencies} crates of others");
    within(bytes, BINARY_BYTES)
}

/// Whether a variable of the environment says something of the package that `cargo run` started.
fn is_of_this_program(name: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"]
        .iter()
        .any(|start| name.starts_with(start))
}

/// The workspace with its dependencies on this platform; those of others need not be downloaded.
fn resolve(root: &Path) -> anyhow::Result<Metadata> {
    let output = Command::new("rustc").arg("-vV").output().context("cannot run rustc")?;
    let facts = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = facts.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("rustc does not say for which platform it builds")?;
    MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .other_options(["--locked", "--filter-platform", host].map(str::to_owned))
        .exec()
        .context("cannot read the workspace")
}

fn within(bytes: u64, limit: u64) -> anyhow::Result<()> {
    if bytes > limit {
        bail!(
            "the binary has {:.1} MB, {:.0} MB are allowed: look at it with cargo bloat",
            megabytes(bytes),
            megabytes(limit)
        );
    }
    Ok(())
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// How many crates of others the package's binary is made of, build scripts and macros included.
fn dependencies(metadata: &Metadata, package: &str) -> anyhow::Result<usize> {
    let resolve = metadata.resolve.as_ref().context("cargo resolved no dependencies")?;
    let root = metadata.workspace_packages().into_iter().find(|it| it.name == package);
    let mut left: Vec<&PackageId> = vec![&root.context("no such package")?.id];
    let mut seen: BTreeSet<&PackageId> = BTreeSet::new();
    while let Some(id) = left.pop() {
        if !seen.insert(id) {
            continue;
        }
        let node = resolve.nodes.iter().find(|node| node.id == *id).context("no such node")?;
        let used = node
            .deps
            .iter()
            .filter(|it| it.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development));
        left.extend(used.map(|it| &it.pkg));
    }
    Ok(seen.iter().filter(|id| !metadata.workspace_members.contains(id)).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    // A binary above its limit is refused with both figures, one at the limit is not.
    #[test]
    fn heavy_binaries_are_refused() {
        assert!(within(BINARY_BYTES, BINARY_BYTES).is_ok());
        let text = within(41_000_000, BINARY_BYTES).expect_err("too heavy").to_string();
        assert!(text.contains("41.0 MB") && text.contains("40 MB"), "{text}");
    }

    // What cargo says of this program is kept from the build, what the user says to cargo is not.
    #[test]
    fn builds_see_what_users_say() {
        let own: Vec<_> = std::env::vars().filter(|(name, _)| is_of_this_program(name)).collect();
        assert!(own.iter().any(|(_, value)| value == "xtask"), "cargo names this package: {own:?}");
        for kept in ["CARGO_TARGET_DIR", "CARGO_HOME", "CARGO_BUILD_JOBS", "CARGO_PROFILE_DEV_LTO"]
        {
            assert!(!is_of_this_program(kept), "{kept}");
        }
    }

    // Dependencies of tests do not count, and crates of ours do not either.
    #[test]
    fn dependencies_are_those_of_the_binary() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the root");
        let metadata = resolve(root).expect("the workspace");
        let of = |package| dependencies(&metadata, package).expect("a package");
        assert!(of("model") < of("scheduler"), "{} {}", of("model"), of("scheduler"));
        assert!(dependencies(&metadata, "no-crate-of-ours").is_err());
    }
}
