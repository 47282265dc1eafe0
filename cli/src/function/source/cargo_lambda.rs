//! Where `cargo lambda build` leaves programs: `target/lambda/NAME/bootstrap`, or `bootstrap.zip` beside it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The functions that were built in, or for, this directory, by name.
pub fn built(path: &Path) -> Vec<(String, PathBuf)> {
    let named = env::var_os("CARGO_TARGET_DIR").filter(|_| path.join("Cargo.toml").exists());
    // The directory itself may be that of the outputs, or the whole target directory.
    let places = named.into_iter().map(PathBuf::from).chain([path.join("target"), path.to_owned()]);
    let places: Vec<PathBuf> = places.map(|place| place.join("lambda")).collect();
    let mut found: Vec<(String, PathBuf)> = places.iter().flat_map(|place| inside(place)).collect();
    found.sort();
    found.dedup_by(|a, b| a.0 == b.0);
    found
}

fn inside(place: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(place).into_iter().flatten().filter_map(Result::ok);
    entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let files = ["bootstrap", "bootstrap.zip"].map(|file| entry.path().join(file));
            files.into_iter().find(|file| file.is_file()).map(|file| (name, file))
        })
        .collect()
}
