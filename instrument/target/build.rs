//! Builds the native probe, static and small, so that it can be embedded in whatever deploys it.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() -> Result<(), String> {
    let variable = |name: &str| env::var(name).map_err(|error| format!("{name}: {error}"));
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("../..");
    let out = PathBuf::from(variable("OUT_DIR")?);
    // The same target triple as the embedding program's, named even where it is the host's: without it the flag
    // below would reach procedural macros, which cannot be static.
    let triple = variable("TARGET")?;
    for path in [
        "../probe/src",
        "../probe/native",
        "../probe/exposure.txt",
        "../probe/Cargo.toml",
        "build.rs",
    ] {
        println!("cargo::rerun-if-changed={path}");
    }
    let mut cargo = Command::new(variable("CARGO")?);
    cargo
        .args(["build", "--frozen", "--package", "probe", "--bin", "probe", "--profile", "probe"])
        .args(["--target", &triple])
        .arg("--target-dir")
        .arg(out.join("probe"))
        .arg("--manifest-path")
        .arg(root.join("Cargo.toml"))
        // Static in both senses: nothing to load and nothing to relocate before the first statement.
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static\x1f-Crelocation-model=static")
        // Set by `cargo clippy` for the outer build; here it would lint instead of compile.
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("CARGO_BUILD_TARGET")
        .env_remove("CARGO_TARGET_DIR");
    // A compiler cache is welcome; any other wrapper (a linter, a coverage tool) would change what is embedded.
    if !env::var("RUSTC_WRAPPER").is_ok_and(|wrapper| wrapper.ends_with("cache")) {
        cargo.env_remove("RUSTC_WRAPPER");
    }
    let status = cargo.status().map_err(|error| format!("cannot run {cargo:?}: {error}"))?;
    if !status.success() {
        return Err(format!("{cargo:?}: {status}"));
    }
    let binary = out.join("probe").join(triple).join("probe/probe");
    println!("cargo::rustc-env=PEEK_PROBE={}", binary.display());
    Ok(())
}
